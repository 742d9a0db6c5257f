// Package front serves ports 80 and 443. It peeks at the first line of a
// connection's next request, inside TLS on 443: what old clients send in a way
// net/http refuses (no HTTP version) or must be answered letter by letter (nexus
// and log-in) goes to package passport, MSNP over HTTP to package gateway,
// everything else to net/http on the same connection. Pages are served without
// redirects: doubled slashes are folded, because the clients that send them follow
// none (CLIENTS.md 3), and every answer has a Content-Length, because some read
// nothing else.
//
// On 443 everything from TLS 1.0 with RC4 on is taken, and what shows of PCs that
// get no further is told to passport's witness (hello.go, certificate.go).
//
// Each connection has one goroutine of ours until it is handed to net/http,
// which has one of its own. Shutdown waits for both.
package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"nudge/msnserver/gateway"
	"nudge/msnserver/passport"
)

// Server answers HTTP. Make one with New.
type Server struct {
	passport *passport.Server
	gateway  *gateway.Server
	cert     *Certificate
	log      *slog.Logger
	http     http.Server
	handed   handoff
	ctx      context.Context // ends with Shutdown
	cancel   context.CancelFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[net.Conn]struct{} // not yet handed to net/http
	closed    bool
	work      sync.WaitGroup
}

// Time limits: for a TLS hello and the first line, and between requests.
const (
	helloTime = 30 * time.Second
	idleTime  = 2 * time.Minute
)

// New makes a server. pages answers what is neither Passport's nor the
// gateway's; nil serves a page that says what this is. cert may be nil when nothing
// is served with TLS.
func New(p *passport.Server, g *gateway.Server, cert *Certificate, pages http.Handler, log *slog.Logger) *Server {
	if pages == nil {
		pages = http.HandlerFunc(Welcome)
	}
	if cert != nil {
		pages = withRoot(pages, cert)
	}
	s := &Server{passport: p, gateway: g, cert: cert, log: log, listeners: map[net.Listener]struct{}{}, conns: map[net.Conn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.handed = handoff{conns: make(chan net.Conn), done: make(chan struct{})}
	s.http = http.Server{
		Handler:           plain(pages),
		ReadHeaderTimeout: helloTime,
		ReadTimeout:       idleTime,
		WriteTimeout:      idleTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.work.Go(func() { s.http.Serve(&s.handed) })
	return s
}

// Serve answers on l until Shutdown. With secure, connections speak TLS.
func (s *Server) Serve(l net.Listener, secure bool) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		l.Close()
		return http.ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	for {
		c, err := l.Accept()
		if err != nil {
			if s.isClosed() || errors.Is(err, net.ErrClosed) {
				return http.ErrServerClosed
			}
			return err
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return http.ErrServerClosed
		}
		s.conns[c] = struct{}{}
		s.work.Go(func() { s.serve(c, secure) })
		s.mu.Unlock()
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Shutdown stops listening, ends the connections and waits for them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		l.Close()
		delete(s.listeners, l)
	}
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	s.work.Wait()
	return err
}

// serve answers the requests of one connection that are not for net/http, and
// hands it over at the first one that is.
func (s *Server) serve(raw net.Conn, secure bool) {
	keep, err := s.oldRequests(raw, secure)
	if err != nil {
		s.log.Debug("no request", "remote", raw.RemoteAddr(), "err", err)
	}
	s.mu.Lock()
	delete(s.conns, raw)
	s.mu.Unlock()
	if keep != nil && !s.handed.give(keep) {
		keep.Close()
	}
}

// oldRequests returns the connection, with what was read ahead, when there
// is a request for net/http in it; else it closes it.
func (s *Server) oldRequests(c net.Conn, secure bool) (keep net.Conn, err error) {
	if secure {
		if c, err = s.secure(c); err != nil {
			return nil, err
		}
	}
	defer func() {
		if keep == nil {
			c.Close()
		}
	}()
	br := bufio.NewReaderSize(c, 8<<10)
	gate := s.gateway.Attach(c, br)
	defer func() { gate.End(err) }()
	for first := true; ; first = false {
		wait := idleTime
		if first {
			wait = helloTime
		}
		c.SetDeadline(time.Now().Add(wait))
		line, err := peekLine(br)
		if err != nil {
			if t, ok := c.(*tls.Conn); ok && first && br.Buffered() == 0 {
				s.left(t, err)
			}
			return nil, err
		}
		if gateway.Wants(line) {
			if err := gate.Answer(); err != nil {
				return nil, err
			}
			continue
		}
		if !passport.Wants(line) {
			c.SetDeadline(time.Time{})
			return &readAhead{c, br}, nil
		}
		c.SetDeadline(time.Now().Add(helloTime))
		r, err := passport.ReadRequest(br, c)
		if err != nil {
			return nil, err
		}
		again, err := s.passport.Answer(c, r, passport.Via{Local: c.LocalAddr(), Remote: c.RemoteAddr(), TLS: secure})
		if !again || err != nil {
			return nil, err
		}
	}
}

// peekLine returns the next line that is not empty without consuming it; empty
// lines before it are dropped. A line that does not fit the buffer is returned
// cut: net/http will refuse it.
func peekLine(br *bufio.Reader) (string, error) {
	for n := 1; ; {
		b, err := br.Peek(n)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		if b[0] == '\r' || b[0] == '\n' {
			br.Discard(1)
			n = 1
			continue
		}
		b, _ = br.Peek(br.Buffered())
		if i := bytes.IndexByte(b, '\n'); i >= 0 || len(b) == br.Size() {
			line, _, _ := bytes.Cut(b, []byte{'\n'})
			return string(bytes.TrimRight(line, "\r")), nil
		}
		n = len(b) + 1
	}
}

// readAhead is a connection of which a part is in a buffer already.
type readAhead struct {
	net.Conn
	br *bufio.Reader
}

func (c *readAhead) Read(b []byte) (int, error) { return c.br.Read(b) }

// handoff is the listener from which net/http gets its connections.
type handoff struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// give passes c on; false after Close.
func (h *handoff) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.done:
		return false
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }
