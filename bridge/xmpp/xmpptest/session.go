package xmpptest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"
)

// session is one signed-in resource: of a connection, of a cut connection that
// may resume (k nil), or a Peer's.
type session struct {
	s         *Server
	user, res string
	k         *conn
	peer      *Peer
	sm        bool
	id        string
	in        int // stanzas handled
	acked     int
	unacked   []string
	prio      int // -128: not available
	presence  *stanza.Node
	carbons   bool
	roster    bool // asked for it: gets pushes
	hidden    bool // a privacy list hides it
}

func (x *session) bare() string { return x.user + "@" + x.s.Domain }
func (x *session) full() string { return x.bare() + "/" + x.res }

func (x *session) ack(h int) {
	if n := h - x.acked; n > 0 && n <= len(x.unacked) {
		x.unacked, x.acked = x.unacked[n:], h
	}
}

// give sends a stanza to the session.
func (x *session) give(n *stanza.Node) {
	c := clone(n)
	c.Attrs = set(c.Attrs, "to", x.full())
	if x.peer != nil {
		x.peer.take(c)
		return
	}
	text := render(c)
	if x.sm {
		x.unacked = append(x.unacked, text)
		text += "<r xmlns='urn:xmpp:sm:3'/>"
	}
	if x.k != nil {
		x.k.write(text)
	}
}

// Peer is a contact that lives in the test: what the server delivers to it is
// on In, what it sends goes through the server like a client's stanza.
type Peer struct {
	In chan *stanza.Node
	x  *session
}

// Peer signs a user of the server in as a contact, available.
func (s *Server) Peer(user, resource string) *Peer {
	p := &Peer{In: make(chan *stanza.Node, 10_000)}
	s.mu.Lock()
	p.x = &session{s: s, user: user, res: resource, peer: p, prio: -128}
	s.accounts[user].sessions[resource] = p.x
	s.mu.Unlock()
	p.Send("<presence/>")
	return p
}

func (p *Peer) take(n *stanza.Node) { p.In <- n }

// JID is the peer's full address.
func (p *Peer) JID() string { return p.x.full() }

// Send sends one stanza, given as XML without name space.
func (p *Peer) Send(text string) {
	n := parse(text)
	s := p.x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	n.Attrs = set(n.Attrs, "from", p.x.full())
	s.handle(s.accounts[p.x.user], p.x, n)
}

// Quit signs the peer off.
func (p *Peer) Quit() {
	s := p.x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(s.accounts[p.x.user], p.x)
}

// Push writes raw XML to every session of user, as a server gone mad or a
// stranger's stanza that the server passes on would arrive.
func (s *Server) Push(user, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.accounts[user].sessions {
		if x.k == nil {
			continue
		}
		if x.sm && (strings.HasPrefix(text, "<message") || strings.HasPrefix(text, "<presence") || strings.HasPrefix(text, "<iq")) {
			x.unacked = append(x.unacked, text)
		}
		x.k.write(text)
	}
}

// drop ends a session; unacknowledged messages go to the offline store, unless
// the archive has them.
func (s *Server) drop(a *account, x *session) {
	if a.sessions[x.res] != x {
		return
	}
	delete(a.sessions, x.res)
	if x.prio > -128 {
		x.prio = -128
		s.broadcast(a, x, parse("<presence type='unavailable'/>"))
	}
	for _, text := range x.unacked {
		if n := parse(text); s.NoMAM && n.XMLName.Local == "message" && child(n, stanza.NSClient, "body") != nil {
			a.offline = append(a.offline, n)
		}
	}
}

// Helpers on trees.

func parse(text string) *stanza.Node {
	n := new(stanza.Node)
	d := xml.NewDecoder(strings.NewReader(text))
	d.DefaultSpace = stanza.NSClient
	if err := d.Decode(n); err != nil {
		panic(fmt.Sprintf("xmpptest: %v in %s", err, text))
	}
	return n
}

func render(n *stanza.Node) string {
	var b bytes.Buffer
	if err := xml.NewEncoder(&b).Encode(n); err != nil {
		panic("xmpptest: " + err.Error())
	}
	return b.String()
}

func clone(n *stanza.Node) *stanza.Node {
	c := *n
	c.Attrs = slices.Clone(n.Attrs)
	c.Nodes = slices.Clone(n.Nodes)
	return &c
}

func child(n *stanza.Node, space, local string) *stanza.Node {
	if n == nil {
		return nil
	}
	for i := range n.Nodes {
		if c := &n.Nodes[i]; c.XMLName.Space == space && (local == "" || c.XMLName.Local == local) {
			return c
		}
	}
	return nil
}

func attr(n *stanza.Node, name string) string {
	if n != nil {
		for _, a := range n.Attrs {
			if a.Name.Local == name {
				return a.Value
			}
		}
	}
	return ""
}

func set(attrs []xml.Attr, name, value string) []xml.Attr {
	out := slices.DeleteFunc(slices.Clone(attrs), func(a xml.Attr) bool { return a.Name.Local == name })
	return append(out, xml.Attr{Name: xml.Name{Local: name}, Value: value})
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
		return n
	}
	return otherwise
}
