// Package stream keeps one XMPP stream, of a client or of a component (see
// DialComponent): it finds the server, encrypts, logs in, binds, survives short
// cuts of the line (XEP-0198) and tells when the server has taken what was sent. It
// uses the stanza types of gosrc.io/xmpp and nothing else of that module, whose
// client loses order and can be ended by any contact.
//
// # Goroutines
//
// A started stream has one reader, which also resumes the stream after a cut
// and calls Config.Handle in order; a keeper, which pings; and a writer while
// there is something to write. Handle may block: the server then waits, and so
// do answers to Do. Send never waits for the line. Close waits for all of them.
//
// # What was taken
//
// Towards the server, a stanza counts as handled only when Handle's done was
// called for it and for all before it: what this process may still lose is
// kept by the server. From the server, acked of Send runs when the server has
// handled the stanza: by its XEP-0198 count or, where it has none, when it
// answered a ping that was sent behind it.
package stream

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gosrc.io/xmpp/stanza"
)

// Name spaces of the stream itself.
const (
	nsTLS     = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL    = stanza.NSSASL
	nsSM      = stanza.NSStreamManagement
	nsStreams = "urn:ietf:params:xml:ns:xmpp-streams"
	nsStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"
	nsPing    = "urn:xmpp:ping"
)

// TLSMode says how the line is encrypted; it always is.
type TLSMode uint8

// Auto takes what DNS offers; without DNS, port 5223 is direct TLS.
const (
	Auto TLSMode = iota
	StartTLS
	Direct
)

// Config is what a stream needs. Zero values of the lower half are replaced by
// the defaults named.
type Config struct {
	JID        JID // with the resource to bind
	Password   string
	Server     string // host or host:port instead of what DNS says
	TLS        TLSMode
	RootCAs    *x509.CertPool // nil: the system's
	AllowPlain bool           // PLAIN, and that only inside verified TLS

	Dial         func(ctx context.Context, network, addr string) (net.Conn, error)                  // net.Dialer
	LookupSRV    func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) // net.DefaultResolver
	Timeout      time.Duration                                                                      // connecting and logging in, and one write: 20 s
	PingEvery    time.Duration                                                                      // silence after which the server is pinged: 60 s
	PingTimeout  time.Duration                                                                      // silence after the ping that means a cut: 20 s
	ResumeWithin time.Duration                                                                      // how long a cut is mended: 30 s
	MaxStanza    int64                                                                              // bytes of one stanza: 2 MiB
	Log          *slog.Logger
}

func (c *Config) fill() {
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.LookupSRV == nil {
		c.LookupSRV = net.DefaultResolver.LookupSRV
	}
	c.Timeout = cmp.Or(c.Timeout, 20*time.Second)
	c.PingEvery = cmp.Or(c.PingEvery, time.Minute)
	c.PingTimeout = cmp.Or(c.PingTimeout, 20*time.Second)
	c.ResumeWithin = cmp.Or(c.ResumeWithin, 30*time.Second)
	c.MaxStanza = cmp.Or(c.MaxStanza, defaultMaxStanza)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Handler takes one stanza (message, presence, or an IQ that is no answer to
// Do). done must be called once, from any goroutine, when the stanza need not
// come again.
type Handler func(n *stanza.Node, done func())

// Stream is one logged-in stream. Its methods may be called from any
// goroutine.
type Stream struct {
	cfg       Config
	component bool
	bound     JID
	features  *stanza.Node // after the first log-in
	handle    Handler
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	done      chan struct{} // closed when the stream has ended, err is then set
	err       error
	last      atomic.Int64 // when bytes last came, unix nanoseconds
	handling  atomic.Bool  // the reader is inside Handle: silence proves nothing

	mu      sync.Mutex // guards what follows; never held across I/O or callbacks
	wire    *wire      // nil while the line is cut
	started bool
	closed  bool
	sm      management
	waiting map[string]waiter
}

// Dial connects, logs in and binds. Nothing is read after that until Start.
// Errors are *Error.
func Dial(ctx context.Context, cfg Config) (*Stream, error) {
	cfg.fill()
	s := &Stream{cfg: cfg, done: make(chan struct{}), waiting: map[string]waiter{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	w, err := s.signIn(ctx)
	if err != nil {
		s.cancel()
		return nil, err
	}
	if err := s.bind(ctx, w); err != nil {
		s.cancel()
		w.conn.Close()
		return nil, explain(cfg.JID.Domain, err)
	}
	s.wire, s.features = w, w.features
	cfg.Log.Debug("signed in to the chat server", "resume", s.sm.id != "")
	return s, nil
}

// Start begins reading; h is called in order from one goroutine.
func (s *Stream) Start(h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.closed {
		return
	}
	s.started, s.handle = true, h
	s.wg.Add(2)
	go s.run(s.wire)
	go s.keep()
}

// Bound is the full address that the server gave us.
func (s *Stream) Bound() JID { return s.bound }

// Peer is the address of the server's machine, the zero Addr while that is not known.
func (s *Stream) Peer() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wire == nil {
		return netip.Addr{}
	}
	at, _ := netip.ParseAddrPort(s.wire.conn.RemoteAddr().String())
	return at.Addr().Unmap().WithZone("")
}

// Offers tells whether the server announced a stream feature after log-in.
func (s *Stream) Offers(space, local string) bool { return Child(s.features, space, local) != nil }

// Done is closed when the stream has ended.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Wait returns when the stream has ended: with *Error, or nil after Close.
func (s *Stream) Wait() error {
	<-s.done
	return s.err
}

// run reads until the stream ends, mending cuts on the way.
func (s *Stream) run(w *wire) {
	defer s.wg.Done()
	for {
		err := s.read(w)
		w.conn.Close()
		s.mu.Lock()
		s.wire = nil
		closed, resume := s.closed, s.sm.id != ""
		s.mu.Unlock()
		if closed {
			s.end(nil)
			return
		}
		cut := isCut(err)
		if !cut || !resume {
			s.end(s.explain(err))
			return
		}
		s.cfg.Log.Debug("the line to the chat server was cut", "err", err)
		if w, err = s.resume(); err != nil {
			s.end(err)
			return
		}
	}
}

// isCut tells a broken line, which can be mended, from an end that the server
// meant.
func isCut(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Condition == "connection-timeout"
	}
	var bad *xml.SyntaxError
	if errors.As(err, &bad) {
		return strings.Contains(bad.Msg, "unexpected EOF")
	}
	return !errors.Is(err, errEnd) && !errors.Is(err, errTooBig) && !errors.Is(err, errXML)
}

// end records why the stream is over and releases everybody who waits.
func (s *Stream) end(err error) {
	s.mu.Lock()
	if s.closed {
		err = nil
	}
	s.closed, s.wire = true, nil
	s.mu.Unlock()
	s.err = err
	s.cancel()
	close(s.done)
}

// read hands stanzas on until the line ends.
func (s *Stream) read(w *wire) error {
	for {
		n, err := w.next()
		if err != nil {
			return err
		}
		switch n.XMLName.Space {
		case nsSM:
			if err := s.managed(n); err != nil {
				return err
			}
		case stanza.NSStream:
			if n.XMLName.Local == "error" {
				return streamError(n)
			}
		case stanza.NSClient:
			s.received(n)
		}
	}
}

func (s *Stream) received(n *stanza.Node) {
	switch n.XMLName.Local {
	case "message", "presence", "iq":
	default:
		return
	}
	s.mu.Lock()
	seq := s.sm.in.begin()
	s.mu.Unlock()
	done := func() { s.settled(seq) }
	if n.XMLName.Local == "iq" {
		if t := Attr(n, "type"); t == "result" || t == "error" || s.echo(n) {
			done()
			s.answered(n)
			return
		}
	}
	s.handling.Store(true)
	s.handle(n, done)
	s.handling.Store(false)
	s.last.Store(time.Now().UnixNano())
}

// keep pings a silent server and cuts a dead line, so that it can be mended.
func (s *Stream) keep() {
	defer s.wg.Done()
	t := time.NewTicker(s.cfg.PingEvery)
	defer t.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-t.C:
		}
		before := s.last.Load()
		if time.Since(time.Unix(0, before)) < s.cfg.PingEvery || s.handling.Load() {
			continue
		}
		s.mu.Lock()
		w := s.wire
		s.mu.Unlock()
		if w == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.cfg.PingTimeout)
		s.Ping(ctx)
		cancel()
		if s.last.Load() == before && !s.handling.Load() {
			s.cfg.Log.Debug("the chat server is silent: cutting the line")
			w.conn.Close()
		}
	}
}

// Close signs the stream off, waits for its goroutines and returns. The server
// gets two seconds to say goodbye.
func (s *Stream) Close() error {
	s.mu.Lock()
	first := !s.closed
	if first && s.wire != nil {
		s.write(s.wire, []byte(stanza.StreamClose))
	}
	s.closed = true
	w, started := s.wire, s.started
	s.mu.Unlock()
	s.cancel()
	switch {
	case !started && first:
		w.conn.Close()
		close(s.done)
	case first && w != nil:
		bye := time.NewTimer(2 * time.Second)
		select {
		case <-s.done:
		case <-bye.C:
			w.conn.Close()
		}
		bye.Stop()
	}
	<-s.done
	s.wg.Wait()
	return nil
}

// wire is one TCP connection with its decoder and its writer. The decoder
// belongs to whoever reads; out and writing are guarded by Stream.mu.
type wire struct {
	conn     net.Conn
	dec      *decoder
	secure   bool         // TLS with a verified certificate
	features *stanza.Node // the last that the server announced
	out      []byte
	writing  bool
}

func (w *wire) next() (*stanza.Node, error) { return w.dec.next() }

// send writes during negotiation, under the connection's deadline.
func (w *wire) send(x string) error {
	_, err := io.WriteString(w.conn, x)
	return err
}
