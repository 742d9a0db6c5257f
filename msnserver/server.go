// Package msnserver serves MSN Messenger clients: notification server and
// switchboard on one port (a client's first word tells which it wants), and
// ports 80 and 443 for signing in, for MSNP over HTTP and for pages. It remembers
// for the owner which PCs could not sign in, and why.
//
// A Server is shaped like net/http.Server: the Serve methods block until
// Shutdown. Each connection has one goroutine, its reader; Shutdown waits for
// all of them. The hub stays the caller's: close it after Shutdown.
package msnserver

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/msnserver/conn"
	"nudge/msnserver/front"
	"nudge/msnserver/gateway"
	"nudge/msnserver/ns"
	"nudge/msnserver/passport"
	"nudge/msnserver/sb"
	"nudge/msnserver/soap"
)

// ErrClosed is what the Serve methods return after Shutdown.
var ErrClosed = errors.New("the MSN server is shut down")

// Config is what a Server is made of.
type Config struct {
	Hub  *bridge.Hub
	Log  *slog.Logger
	Cert *front.Certificate // for ServeHTTPS
	// Pages answers HTTP requests that are not of old clients; nil for one page
	// that says what this is.
	Pages http.Handler
	// Allow tells whether a peer may connect; nil for AtHome.
	Allow func(netip.Addr) bool
	// Limits of what clients may cost; none for DefaultLimits.
	Limits Limits
}

// Server answers MSN clients. Make one with New.
type Server struct {
	hub     *bridge.Hub
	log     *slog.Logger
	limits  Limits
	gate    *gate
	tickets *passport.Tickets
	trouble troubles
	tries   *passport.Throttle
	gateway *gateway.Server
	front   *front.Server
	record  recorder
	ctx     context.Context
	cancel  context.CancelFunc

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn.Conn]im.Sink // nil until the first word was read
	work      sync.WaitGroup
}

// New makes a server.
func New(c Config) *Server {
	if c.Allow == nil {
		c.Allow = AtHome
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	s := &Server{hub: c.Hub, log: c.Log, limits: c.Limits, gate: newGate(c.Allow, c.Limits, c.Log),
		tickets: passport.NewTickets(), tries: passport.NewThrottle(c.Limits.Passwords),
		listeners: map[net.Listener]struct{}{}, conns: map[*conn.Conn]im.Sink{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.gateway = gateway.New(gateway.Config{Serve: s.admit, Vouch: vouch, Unacknowledged: conn.Unacknowledged, Log: c.Log,
		Astray:   func(peer netip.Addr) { s.trouble.Saw(peer, "", passport.StaleServer) },
		Sessions: c.Limits.Connections, PerAddress: c.Limits.PerSource})
	if c.Pages == nil {
		c.Pages = http.HandlerFunc(front.Welcome)
	}
	s.front = front.New(&passport.Server{Accounts: c.Hub, Tickets: s.tickets, Witness: &s.trouble, Throttle: s.tries, Log: c.Log}, s.gateway, c.Cert, soap.WithConfig(c.Pages), c.Log)
	return s
}

// AtHome tells whether a peer is of the home network: its address is private or
// link-local, or this machine's (DESIGN.md §6). The name server asks it too.
func AtHome(a netip.Addr) bool { return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() }

// VoidTickets makes an account's clients log in again: its password changed or
// it was removed.
func (s *Server) VoidTickets(handle string) { s.tickets.Void(handle) }

// Try asks before a password or code from source is looked at outside of MSN
// (passport.Throttle): who guesses there is slowed down here too.
func (s *Server) Try(source net.Addr, what string) (done func(right bool), pause time.Duration) {
	return s.tries.Try(source, what)
}

// Troubles are the PCs that could not sign in lately, and why.
func (s *Server) Troubles() []Trouble { return s.trouble.list(time.Now()) }

// Outsiders tells who came from the Internet and was turned away.
func (s *Server) Outsiders() Outsiders { return s.gate.outsiders() }

// AskedName notes that a PC was told our address for a name that old clients
// look for: login says that the name is one of the log-in servers', else it is
// the messenger server's. A PC that then does not come is in trouble.
func (s *Server) AskedName(peer netip.Addr, login bool) {
	t := passport.AskedServer
	if login {
		t = passport.AskedLogin
	}
	s.trouble.Saw(peer.Unmap().WithZone(""), "", t)
}

// ServeMSN answers on l, port 1863, until Shutdown.
func (s *Server) ServeMSN(l net.Listener) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		l.Close()
		return ErrClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	l = &noting{s.gate.before(l), &s.trouble, passport.AskedServer}
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return ErrClosed
		}
		if err != nil {
			return err
		}
		s.admit(c)
	}
}

// admit serves a connection in a goroutine of its own, which Shutdown waits for.
func (s *Server) admit(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
	} else {
		s.work.Go(func() { s.ServeConn(c) })
	}
}

// ServeHTTP answers on l, port 80, until Shutdown.
func (s *Server) ServeHTTP(l net.Listener) error { return s.serveFront(l, false) }

// ServeHTTPS answers on l, port 443, until Shutdown.
func (s *Server) ServeHTTPS(l net.Listener) error { return s.serveFront(l, true) }

func (s *Server) serveFront(l net.Listener, secure bool) error {
	port := passport.SignedIn // nobody is told to come to port 80
	if secure {
		port = passport.AskedLogin
	}
	err := s.front.Serve(&noting{s.gate.before(l), &s.trouble, port}, secure)
	if errors.Is(err, http.ErrServerClosed) {
		return ErrClosed
	}
	return err
}

// readBuffer is how much is read from a client at once: little, because most
// clients are silent nearly always, and a switchboard's seat wants more.
const (
	readBuffer = 512
	seatBuffer = 4 << 10
)

// ServeConn serves one MSN connection and returns when it has ended. As all
// that a silent client waits in, it has little on its stack: a thousand of them
// shall fit into a small board.
func (s *Server) ServeConn(nc net.Conn) {
	c := s.conn(nc)
	if !s.track(c, nil) {
		nc.Close()
		return
	}
	defer s.untrack(c)
	if serve := s.begin(c); serve != nil {
		serve()
	}
}

// conn is the connection of a socket.
func (s *Server) conn(nc net.Conn) *conn.Conn {
	nc.SetReadDeadline(time.Now().Add(s.limits.SignIn))
	limits := conn.Limits{Line: s.limits.Line, Payload: s.limits.Payload, Queue: s.limits.Queue, SignIn: s.limits.SignIn}
	c := conn.New(nc, bufio.NewReaderSize(nc, readBuffer), limits, s.log.With("remote", nc.RemoteAddr().String()))
	if a, ok := nc.(admitted); ok {
		c.Greeted = a.Vouch
	}
	s.listen(c)
	return c
}

// begin finds out which server the client wants, and is nil when it left
// without a word: a switchboard connection starts with USR or ANS, one to the
// notification server with VER.
func (s *Server) begin(c *conn.Conn) (serve func()) {
	switch c.FirstVerb() {
	case "":
		c.Close()
		return nil
	case "USR", "ANS":
		c.ReadAhead(seatBuffer)
		c.Commands = s.limits.SB
		seat := sb.New(c, s.hub)
		s.track(c, seat)
		return seat.Serve
	}
	c.Commands = s.limits.NS
	session := ns.New(s.ctx, c, s.hub, s.tickets, &s.trouble, s.tries)
	s.track(c, session)
	return session.Serve
}

// track notes whom to tell of a shutdown; false when it has begun.
func (s *Server) track(c *conn.Conn, sink im.Sink) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.HangUp()
		return false
	}
	s.conns[c] = sink
	return true
}

func (s *Server) untrack(c *conn.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Shutdown stops listening, tells every client that the server goes (OUT SSD)
// and waits until they are gone; when ctx ends first they are cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		l.Close()
		delete(s.listeners, l)
	}
	for c, sink := range s.conns {
		if sink != nil {
			sink.Deliver(im.SignedOff{Why: im.Shutdown}, nil)
		} else {
			c.Close()
		}
	}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.Close()
		}
	})
	s.work.Wait()
	stop()
	s.cancel()
	s.gateway.Close()
	return errors.Join(ctx.Err(), s.front.Shutdown(ctx))
}
