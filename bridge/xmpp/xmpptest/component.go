package xmpptest

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"gosrc.io/xmpp/stanza"
)

// Secret is what the server's component has to know.
const Secret = "component secret"

// Component is the domain of the server's one component (XEP-0114).
func (s *Server) Component() string { return "msn." + s.Domain }

// DialComponent connects to where the server waits for its component, through
// this process: it is meant for stream.Config.Dial.
func (s *Server) DialComponent(context.Context, string, string) (net.Conn, error) {
	mine, theirs := net.Pipe()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.downs || s.ctx.Err() != nil {
		return nil, errors.New("connection refused")
	}
	s.serve(theirs, true)
	return mine, nil
}

// PushComponent writes raw XML to the component.
func (s *Server) PushComponent(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.component != nil {
		s.component.write(text)
	}
}

func (s *Server) ofComponent(jid string) bool {
	bare, _ := split(jid)
	return bare == s.Component() || strings.HasSuffix(bare, "@"+s.Component())
}

// talkComponent is a component's connection.
func (k *conn) talkComponent() error {
	k.dec = xml.NewDecoder(k.c)
	to := ""
	for to == "" {
		t, err := k.dec.Token()
		if err != nil {
			return err
		}
		if start, ok := t.(xml.StartElement); ok && start.Name.Local == "stream" {
			to = attr(&stanza.Node{Attrs: start.Attr}, "to")
		}
	}
	refuse := func(condition string) error {
		k.write("<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
		return errQuit
	}
	k.write("<?xml version='1.0'?><stream:stream id='c&lt;1' from='" + to + "' xmlns='jabber:component:accept' xmlns:stream='" + stanza.NSStream + "'>")
	if to != k.s.Component() {
		return refuse("host-unknown")
	}
	n, err := k.next()
	if err != nil {
		return err
	}
	if sum := sha1.Sum([]byte("c<1" + Secret)); n.Content != hex.EncodeToString(sum[:]) {
		return refuse("not-authorized")
	}
	k.s.mu.Lock()
	busy := k.s.component != nil
	if !busy {
		k.s.component = k
		k.write("<handshake/>")
		for _, m := range k.s.unreceipted { // what the line lost, its senders send again
			k.write(render(asComponent(clone(m))))
		}
	}
	k.s.mu.Unlock()
	if busy {
		return refuse("conflict")
	}
	for {
		n, err := k.next()
		if err != nil {
			return err
		}
		if from := attr(n, "from"); !k.s.ofComponent(from) {
			return refuse("invalid-from")
		}
		k.s.mu.Lock()
		k.s.fromComponent(k, asClient(n))
		k.s.mu.Unlock()
	}
}

// ToRooms returns what the component has sent to rooms, at muc below any domain, since it
// was asked last: there are none, the test speaks for them by PushComponent.
func (s *Server) ToRooms() []*stanza.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.toRooms
	s.toRooms = nil
	return sent
}

// Privilege lets the component see to contact lists (XEP-0356), or no longer.
func (s *Server) Privilege(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.privileged = on
	typ := "none"
	if on {
		typ = "both"
	}
	s.component.write("<message from='" + s.Domain + "' to='" + s.Component() + "'><privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='" + typ + "'/></privilege></message>")
}

// RoomsRefuse makes rooms answer whatever they are asked with that condition.
func (s *Server) RoomsRefuse(condition string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roomsRefuse = condition
}

// asClient puts a stanza of the component into the name space of clients.
func asClient(n *stanza.Node) *stanza.Node {
	if n.XMLName.Space == stanza.NSComponent {
		n.XMLName.Space = stanza.NSClient
	}
	for i := range n.Nodes {
		asClient(&n.Nodes[i])
	}
	return n
}

// toComponent passes a stanza on. A message that asks for a receipt is kept until
// that comes, as its sender would; any other is lost when nobody is connected.
func (s *Server) toComponent(n *stanza.Node) {
	if n.XMLName.Local == "message" && child(n, "urn:xmpp:receipts", "request") != nil {
		s.unreceipted = append(s.unreceipted, clone(n))
	}
	if s.component != nil {
		s.component.write(render(asComponent(clone(n))))
	}
}

func asComponent(n *stanza.Node) *stanza.Node {
	if n.XMLName.Space == stanza.NSClient {
		n.XMLName.Space = stanza.NSComponent
	}
	n.Nodes = slices.Clone(n.Nodes)
	for i := range n.Nodes {
		asComponent(&n.Nodes[i])
	}
	return n
}

// fromComponent routes what the component sends.
func (s *Server) fromComponent(k *conn, n *stanza.Node) {
	from, to, typ := attr(n, "from"), attr(n, "to"), attr(n, "type")
	if s.ofComponent(to) {
		k.write(render(asComponent(clone(n))))
		return
	}
	b := s.local(to)
	if asks := typ == "get" || typ == "set"; strings.Contains(to, "@muc.") && !asks {
		s.toRooms = append(s.toRooms, clone(n))
		return
	}
	switch n.XMLName.Local {
	case "message":
		if r := child(n, "urn:xmpp:receipts", "received"); r != nil {
			s.unreceipted = slices.DeleteFunc(s.unreceipted, func(m *stanza.Node) bool {
				bare, _ := split(attr(m, "from"))
				toBare, _ := split(to)
				return attr(m, "id") == attr(r, "id") && bare == toBare
			})
		}
		if b != nil {
			s.arrive(b, n, false)
		} else if typ != "error" {
			k.write(fmt.Sprintf("<message type='error' id='%s' from='%s' to='%s'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>", attr(n, "id"), to, from))
		}
		if s.lose && child(n, stanza.NSClient, "body") != nil {
			s.lose, s.component = false, nil
			k.lose()
		}
	case "presence":
		if b != nil {
			s.presenceFromComponent(b, from, typ, n)
		}
	case "iq":
		s.iqFromComponent(k, b, n)
	}
}

// presenceToComponent changes the sender's half of a subscription.
func (s *Server) presenceToComponent(a *account, x *session, to, typ string, n *stanza.Node) {
	bare, _ := split(to)
	mine := s.entry(a, bare)
	switch typ {
	case "subscribe":
		mine.ask = "subscribe"
	case "subscribed":
		mine.pending = false
		mine.sub = map[string]string{"none": "from", "to": "both", "from": "from", "both": "both"}[mine.sub]
	case "unsubscribe":
		mine.ask = ""
		mine.sub = map[string]string{"none": "none", "to": "none", "from": "from", "both": "from"}[mine.sub]
	case "unsubscribed":
		mine.pending = false
		mine.sub = map[string]string{"none": "none", "to": "to", "from": "none", "both": "to"}[mine.sub]
	}
	if typ != "" && typ != "unavailable" && typ != "probe" {
		n.Attrs = set(n.Attrs, "from", x.bare())
		s.push(a, bare)
	}
	s.toComponent(n)
	if typ == "subscribed" && x.presence != nil {
		c := clone(x.presence)
		c.Attrs = set(set(c.Attrs, "from", x.full()), "to", bare)
		s.toComponent(c)
	}
}

// presenceFromComponent changes the roster of b, whose half of the subscription
// the server keeps; the component keeps its own.
func (s *Server) presenceFromComponent(b *account, from, typ string, n *stanza.Node) {
	bare, _ := split(from)
	theirs := s.entry(b, bare)
	change := func(to map[string]string) {
		if now, ok := to[theirs.sub]; ok {
			theirs.sub = now
		}
	}
	switch typ {
	case "probe":
		if theirs.sub == "from" || theirs.sub == "both" {
			for _, y := range b.sessions {
				if y.presence != nil && !y.hidden {
					c := clone(y.presence)
					c.Attrs = set(set(c.Attrs, "from", y.full()), "to", from)
					s.toComponent(c)
				}
			}
		}
		return
	case "subscribe":
		if theirs.sub == "from" || theirs.sub == "both" { // RFC 6121 §3.1.3
			s.component.write(fmt.Sprintf("<presence type='subscribed' from='%s@%s' to='%s'/>", b.name, s.Domain, bare))
			return
		}
		theirs.pending = true
	case "subscribed":
		theirs.ask = ""
		change(map[string]string{"none": "to", "from": "both"})
	case "unsubscribed":
		theirs.ask = ""
		change(map[string]string{"to": "none", "both": "from"})
	case "unsubscribe":
		change(map[string]string{"from": "none", "both": "to"})
	case "", "unavailable":
		b.show(n, from)
		return
	}
	s.push(b, bare)
	b.show(n, bare)
}

func (s *Server) iqFromComponent(k *conn, b *account, n *stanza.Node) {
	from, to, typ := attr(n, "from"), attr(n, "to"), attr(n, "type")
	_, res := split(to)
	answer := func(kind, payload string) {
		k.write(fmt.Sprintf("<iq type='%s' id='%s' from='%s' to='%s'>%s</iq>", kind, attr(n, "id"), to, from, payload))
	}
	switch {
	case b != nil && b.sessions[res] != nil:
		b.sessions[res].give(n)
	case typ != "get" && typ != "set":
	case typ == "set" && b != nil && s.privileged && from == s.Component() && child(n, stanza.NSRoster, "query") != nil:
		for _, c := range child(n, stanza.NSRoster, "query").Nodes {
			e := s.entry(b, attr(&c, "jid"))
			e.name = attr(&c, "name")
			if !s.Reluctant {
				e.sub = attr(&c, "subscription")
			}
			s.push(b, attr(&c, "jid"))
		}
		answer("result", "")
	case b != nil && s.privileged && from == s.Component() && child(n, stanza.NSRoster, "query") != nil:
		list := "<query xmlns='" + stanza.NSRoster + "'>"
		for jid, e := range b.roster {
			list += "<item jid='" + jid + "' subscription='" + e.sub + "'/>"
		}
		answer("result", list+"</query>")
	case to == s.Domain:
		answer("result", "<query xmlns='"+stanza.NSDiscoInfo+"'/>")
	case strings.Contains(to, "@muc.") && s.roomsRefuse != "":
		answer("error", "<error type='cancel'><"+s.roomsRefuse+" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
	case strings.HasSuffix(to, s.Domain):
		answer("error", "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
	default:
		answer("error", "<error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
	}
}
