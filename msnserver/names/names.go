// Package names leads the old PCs of a home network to this box. It answers DNS
// for the host names that MSN clients were made with, and the box's own name in
// DNS, over NetBIOS (Windows up to XP ask there for a name without dots) and over
// LLMNR (Windows from Vista on). So neither a PC nor a kit ever holds an address:
// each answer is the address of the box that the question came to, hence one that
// the asker can reach, also after the box got another.
//
// It is never an open resolver: only peers of the home network are answered, each
// so often and no more. Every other name is asked of the one upstream the owner
// has set, or refused. Names that Windows and other programs of today still need
// (hosts.go) lead here only for the PCs that the owner has listed.
//
// # Goroutines
//
// A Server is shaped like net/http.Server: the Serve methods block until Close.
// Each socket has one reader, which answers at once whatever needs no upstream. A
// question to the upstream and a TCP connection have a goroutine each, of which
// there are only so many (limits.go); Close waits for all.
//
// # Caveats
//
// IPv4 only, as the clients are. A PC that has a second name server asks that one
// too and may believe it: the router must hand out this box alone, or each old PC
// be told. Windows keeps a NetBIOS answer for ten minutes, whatever we say.
package names

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a Server is made of.
type Config struct {
	// Hosts are what the box is called, without a domain, such as NUDGE.
	Hosts []string
	// Rules are those of the moment, asked for whenever a question depends on them:
	// it must be quick.
	Rules func() Rules
	// Asked is told that a PC was given our address for the messenger server's
	// name or, with login, for that of a log-in server.
	Asked func(peer netip.Addr, login bool)
	// Allow tells whether a peer is answered.
	Allow func(netip.Addr) bool
	Log   *slog.Logger
}

// Rules are what the owner has decided.
type Rules struct {
	Upstream netip.AddrPort // where other names are asked; none: they are refused
	Guarded  []netip.Prefix // the PCs for which also the guarded names lead here
	Patched  bool           // so do the names of today's MSN servers, for PCs patched for those
}

// Server answers. Make one with New.
type Server struct {
	conf      Config
	hosts     []string // in lower case
	netbios16 []string // the same as NetBIOS names
	sources   sources
	modern    modern
	ctx       context.Context
	cancel    context.CancelFunc
	work      sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[io.Closer]struct{}
	port   uint16    // that DNS is answered on
	health error     // how the last question to the upstream went
	told   time.Time // when a failure of it was last logged
}

// New makes a server.
func New(c Config) *Server {
	s := &Server{conf: c, open: map[io.Closer]struct{}{}}
	for _, h := range c.Hosts {
		if h = strings.ToLower(h); h != "" && !slices.Contains(s.hosts, h) {
			s.hosts, s.netbios16 = append(s.hosts, h), append(s.netbios16, netbiosNames(h)...)
		}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Upstream is how the last question to the upstream failed, nil when it went well
// or none was asked yet.
func (s *Server) Upstream() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health
}

// Close ends the Serve methods and waits until nothing of the server runs.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
}

// hold makes Close close c too; false when it has begun. drop ends that.
func (s *Server) hold(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Server) drop(c io.Closer) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// start runs f on a goroutine that Close waits for; false when it has begun.
func (s *Server) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Go(f)
	}
	return !s.closed
}

// ServeDNS answers DNS on a socket, port 53, until Close. The error is why it
// ended, nil after Close.
func (s *Server) ServeDNS(sock *Socket) error {
	s.mu.Lock()
	s.port = sock.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	s.mu.Unlock()
	return s.serve(sock, s.dnsPacket)
}

// ServeNetBIOS answers the NetBIOS name service on a socket, port 137, likewise.
func (s *Server) ServeNetBIOS(sock *Socket) error {
	return s.serve(sock, func(p packet) {
		if reply := s.netbios(p.data, p.own); reply != nil {
			sock.write(reply, p)
		}
	})
}

// ServeLLMNR answers LLMNR on a socket of ListenLLMNR, port 5355, likewise.
func (s *Server) ServeLLMNR(sock *Socket) error {
	s.start(func() {
		again := time.NewTicker(time.Minute)
		defer again.Stop()
		for {
			select {
			case <-s.ctx.Done():
				return
			case <-again.C: // for a network that came up later
				sock.join()
			}
		}
	})
	return s.serve(sock, func(p packet) {
		if reply := s.llmnr(p.data, p.own); reply != nil {
			sock.write(reply, p)
		}
	})
}

// serve reads packets until Close, and takes those that count.
func (s *Server) serve(sock *Socket, take func(packet)) error {
	if !s.hold(sock) {
		return nil
	}
	defer s.drop(sock)
	buf := make([]byte, maxQuery+1)
	for {
		p, err := sock.read(buf)
		switch {
		case s.isClosed():
			return nil
		case err != nil:
			return err
		case len(p.data) > maxQuery || !p.own.IsValid() || p.peer.Port() == 0 || !s.conf.Allow(p.peer.Addr()):
		case s.sources.may(p.peer.Addr(), time.Now()):
			take(p)
		}
	}
}

// ServeTCP answers DNS over TCP on l, port 53, until Close. The error is why it
// ended, nil after Close.
func (s *Server) ServeTCP(l net.Listener) error {
	if !s.hold(l) {
		return nil
	}
	defer s.drop(l)
	for {
		c, err := l.Accept()
		switch {
		case s.isClosed():
			if err == nil {
				c.Close()
			}
			return nil
		case err != nil:
			return err
		}
		peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
		from := peer.Addr().Unmap()
		if err != nil || !s.conf.Allow(from) || !s.sources.begin(from, time.Now()) {
			c.Close()
			continue
		}
		if !s.start(func() {
			defer s.sources.end(from)
			s.dnsConn(c, from)
		}) {
			s.sources.end(from)
			c.Close()
		}
	}
}
