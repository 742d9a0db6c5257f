// Package gateway carries MSNP over HTTP (MSNP.md E), for clients behind a
// proxy or a firewall that lets nothing else through. A client opens a session
// with a POST, sends commands in others and polls for what the server has to
// say. A session is a net.Conn for the server, which serves it as any other
// connection.
//
// # Proof
//
// The session id that an answer carries ends in a number that rises with every
// answer that has something in it, and the client's next request shows the
// newest number it has got. So the gateway knows better than a kernel what has
// arrived: bytes are acknowledged when a request shows that the client has them,
// or, with the last answer of a session, when the client's machine has confirmed
// them. An answer that was lost with its connection is given again, and a
// request that is repeated for the lack of an answer is not run twice. Clients
// that have two requests on their way at once, which some do against the rules,
// show old numbers too; Line and session.missed tell the two apart.
//
// # Goroutines
//
// The gateway has none. A request is served by the goroutine that reads its HTTP
// connection, a session by the one that Config.Serve starts. One timer for each
// session ends it when its client stays away.
//
// Nothing is ever fetched from elsewhere: a session is with this server or there
// is none.
package gateway

import (
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// msnPort is the port named in the address of our end (MSNP.md E): a client
// over HTTP ignores it, any other finds the server there.
const msnPort = 1863

// Config is what a Server is made of.
type Config struct {
	// Serve starts to serve a client and returns at once; it may close c
	// instead. c has a method Vouch, by which it is told that the client has
	// signed in.
	Serve func(c net.Conn)
	// Vouch is told each HTTP connection that such a client uses; nil when
	// nobody wants to know.
	Vouch func(net.Conn)
	// Unacknowledged tells how many bytes written to an HTTP connection the
	// client's machine has not confirmed, if that is known; nil when it never
	// is.
	Unacknowledged func(net.Conn) (n int, known bool)
	// Astray is told of a client that wants a switchboard elsewhere; nil when
	// nobody wants to know.
	Astray func(peer netip.Addr)
	Log    *slog.Logger
	// Sessions is how many there may be, PerAddress how many from one address
	// that have not signed in; 0 is no limit.
	Sessions, PerAddress int
}

// Server is the gateway. Make one with New.
type Server struct {
	serve, vouch   func(net.Conn)
	unacknowledged func(net.Conn) (int, bool)
	astray         func(netip.Addr)
	log            *slog.Logger
	most, each     int

	mu       sync.Mutex
	closed   bool
	sessions map[string]*session
}

// New makes a gateway.
func New(c Config) *Server {
	g := &Server{serve: c.Serve, vouch: c.Vouch, unacknowledged: c.Unacknowledged, astray: c.Astray, log: c.Log,
		most: c.Sessions, each: c.PerAddress, sessions: map[string]*session{}}
	if g.unacknowledged == nil {
		g.unacknowledged = func(net.Conn) (int, bool) { return 0, false }
	}
	if g.vouch == nil {
		g.vouch = func(net.Conn) {}
	}
	if g.astray == nil {
		g.astray = func(netip.Addr) {}
	}
	return g
}

// Wants tells whether a request that starts with line is for the gateway.
func Wants(line string) bool {
	f := strings.Fields(line)
	if len(f) < 2 {
		return false
	}
	_, path, _ := splitTarget(f[1])
	return path == "/gateway/gateway.dll"
}

// Close ends what is left of sessions and opens no more. The server ends those
// that it serves by itself, before.
func (g *Server) Close() {
	g.mu.Lock()
	g.closed = true
	left := g.sessions
	g.sessions = map[string]*session{}
	g.mu.Unlock()
	for _, s := range left {
		s.expiry.Stop()
		s.Close()
	}
}

// refusal is why a session is not opened.
type refusal struct{ status, text string }

// open makes a session for a client on c.
func (g *Server) open(c net.Conn, r request) (*session, refusal) {
	here, peer := ipOf(c.LocalAddr()), ipOf(c.RemoteAddr())
	if r.server == "SB" && !ours(r.ip, here) {
		g.log.Warn("a client asked the gateway for a switchboard that is not here: it has an old address of this box, or one of another server", "remote", peer, "asked", r.ip)
		g.astray(peer)
		return nil, refusal{"400 Bad Request", "The switchboard asked for is not here; sign in again."}
	}
	id := binary.BigEndian.AppendUint64(nil, 0)
	rand.Read(id)
	s := newSession(g, strconv.FormatUint(binary.BigEndian.Uint64(id)>>1, 10),
		net.TCPAddrFromAddrPort(netip.AddrPortFrom(here, msnPort)), net.TCPAddrFromAddrPort(netip.AddrPortFrom(peer, 0)))
	if !g.remember(s, peer) {
		s.expiry.Stop()
		g.log.Warn("the gateway has too many sessions, in all or from one address: a client was turned away; "+
			"the limits are connections and connections_per_address in the configuration", "remote", peer)
		return nil, refusal{"503 Service Unavailable", "Too many sessions are open; try again later."}
	}
	g.serve(s)
	return s, refusal{}
}

// ours tells whether an address that a client took from XFR or RNG is this
// box's: the one it came to now, or another one (a PC may be connected by cable
// and by radio). A session with the notification server may name anything: there
// is only one here, and clients ask for it by names and by addresses of long ago.
func ours(host string, here netip.Addr) bool {
	ip, err := netip.ParseAddr(hostOnly(host))
	if err != nil {
		return false
	}
	if ip = ip.Unmap().WithZone(""); ip == here {
		return true
	}
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Unmap() == ip {
				return true
			}
		}
	}
	return false
}

// remember enters a session if there is room.
func (g *Server) remember(s *session, peer netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, o := range g.sessions {
		if !o.vouched.Load() && ipOf(o.remote) == peer {
			n++
		}
	}
	if g.closed || g.most > 0 && len(g.sessions) >= g.most || g.each > 0 && n >= g.each {
		return false
	}
	g.sessions[s.id] = s
	return true
}

func (g *Server) find(id string) *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions[id]
}

func (g *Server) forget(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s.id)
}

// arrived waits a moment for the client's machine to confirm what was written
// to c. Where that can't be known, what was written has arrived.
func (g *Server) arrived(c net.Conn) bool {
	for end := time.Now().Add(doubtTime); ; time.Sleep(doubtTime / 50) {
		n, known := g.unacknowledged(c)
		if !known || n == 0 {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
