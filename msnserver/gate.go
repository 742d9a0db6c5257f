package msnserver

import (
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"nudge/msnserver/conn"
	"nudge/msnserver/passport"
)

// gate lets peers of the home network in, and of those not too many at once. One
// gate stands before all ports. A connection that has signed in to MSN no longer
// counts for its address: what an account may hold open is limited elsewhere, and
// an old proxy may stand before many PCs. Who connects again and again without
// signing in is turned away before anything is read: that costs others least.
type gate struct {
	allow  func(netip.Addr) bool
	limits Limits
	log    *slog.Logger

	mu      sync.Mutex
	open    int                    // connections
	from    map[netip.Addr]*origin // who has some, or had lately
	turned  int                    // turned away since it was logged
	quietly time.Time              // not to be logged again before
	outside Outsiders
}

// origin is what an address has of the limits.
type origin struct {
	open   int       // connections that count
	recent float64   // connections made lately without signing in; time takes them off
	at     time.Time // when that was reckoned
}

// mostOrigins is how many are remembered, besides those with open connections.
const mostOrigins = 1024

// cool takes off what time has taken.
func (c *origin) cool(now time.Time, r conn.Rate) {
	c.recent = max(0, c.recent-now.Sub(c.at).Seconds()*float64(r.PerSecond))
	c.at = now
}

// Outsiders is who came from the Internet and was turned away: how many, and the
// last of them. With IPv6 nobody can tell them from the home's own PCs: those do
// not count.
type Outsiders struct {
	Peer  netip.Addr
	Times int
	Last  time.Time
}

// turnedAway is how often connections that were turned away are logged: whoever
// makes thousands must not fill the log.
const turnedAway = time.Minute

// Why a connection is turned away, for the log.
var (
	errOutside  = errors.New("it comes from outside the home network")
	errMany     = errors.New("too many connections are open; the limit is connections in the configuration")
	errManyFrom = errors.New("too many connections from that address; the limit is connections_per_address in the configuration")
	errFastFrom = errors.New("that address connects too often without signing in; the limit is connects_per_second in the configuration")
)

func newGate(allow func(netip.Addr) bool, l Limits, log *slog.Logger) *gate {
	return &gate{allow: allow, limits: l, log: log, from: map[netip.Addr]*origin{}}
}

// before is l with the gate before it.
func (g *gate) before(l net.Listener) net.Listener { return &guarded{l, g} }

// guarded is a listener that takes only what its gate lets in.
type guarded struct {
	net.Listener
	gate *gate
}

func (l *guarded) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		in, err := l.gate.enter(c)
		if err == nil {
			return in, nil
		}
		l.gate.turnAway(c, err)
	}
}

// enter counts c in.
func (g *gate) enter(c net.Conn) (admitted, error) {
	peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil || !g.allow(peer.Addr().Unmap()) {
		return nil, errOutside
	}
	source := passport.Source(c.RemoteAddr())
	g.mu.Lock()
	defer g.mu.Unlock()
	from := g.origin(source)
	from.cool(time.Now(), g.limits.Connects)
	switch {
	case g.open >= g.limits.Connections:
		return nil, errMany
	case from.open >= g.limits.PerSource:
		return nil, errManyFrom
	case g.limits.Connects.PerSecond > 0 && from.recent >= float64(g.limits.Connects.Burst):
		return nil, errFastFrom
	}
	g.open++
	from.open++
	from.recent++
	p := pass{gate: g, from: from}
	if tcp, ok := c.(*net.TCPConn); ok {
		return &tcpSocket{tcp, p}, nil
	}
	return &inside{c, p}, nil
}

// origin is what is remembered of an address. When that are too many, those who
// have nothing open are forgotten. g.mu is held.
func (g *gate) origin(source netip.Addr) *origin {
	from := g.from[source]
	if from == nil {
		if len(g.from) >= mostOrigins+g.open {
			maps.DeleteFunc(g.from, func(_ netip.Addr, c *origin) bool { return c.open == 0 })
		}
		from = &origin{}
		g.from[source] = from
	}
	return from
}

func (g *gate) turnAway(c net.Conn, why error) {
	c.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.turned++
	now := time.Now()
	if peer, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil && why == errOutside && internet(peer.Addr().Unmap()) {
		g.outside = Outsiders{peer.Addr().Unmap(), g.outside.Times + 1, now}
	}
	if now.After(g.quietly) {
		g.log.Warn("a connection was turned away", "remote", c.RemoteAddr(), "why", why, "since last told", g.turned)
		g.turned, g.quietly = 0, now.Add(turnedAway)
	}
}

// shared is what providers give out when they run short of addresses, and what
// private networks over the Internet use (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// internet tells whether a is an IPv4 address of the Internet.
func internet(a netip.Addr) bool {
	return a.Is4() && a.IsGlobalUnicast() && !AtHome(a) && !shared.Contains(a)
}

func (g *gate) outsiders() Outsiders {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.outside
}

// admitted is a connection that was let in, or that came in over such ones
// through the gateway. Vouch tells that it has signed in.
type admitted interface {
	net.Conn
	Vouch()
}

// vouch vouches for a connection, also for one inside TLS.
func vouch(c net.Conn) {
	for {
		if a, ok := c.(admitted); ok {
			a.Vouch()
			return
		}
		t, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		c = t.NetConn()
	}
}

// pass is what an open connection takes of the gate's limits.
type pass struct {
	gate          *gate
	from          *origin
	vouched, left bool // the gate's lock guards them
}

// Vouch takes the connection off its address's account: somebody signed in.
func (p *pass) Vouch() {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	if !p.vouched && !p.left {
		p.vouched = true
		p.from.open--
		p.from.recent--
	}
}

func (p *pass) leave() {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	if !p.left {
		p.left = true
		p.gate.open--
		if !p.vouched {
			p.from.open--
		}
	}
}

// tcpSocket is admitted and remains a TCP connection for who asks the kernel about
// it.
type tcpSocket struct {
	*net.TCPConn
	pass
}

// Close gives the place up.
func (s *tcpSocket) Close() error { s.leave(); return s.TCPConn.Close() }

// inside is admitted and no TCP connection.
type inside struct {
	net.Conn
	pass
}

// Close gives the place up.
func (i *inside) Close() error { i.leave(); return i.Conn.Close() }
