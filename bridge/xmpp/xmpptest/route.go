package xmpptest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"
)

const (
	nsCarbons  = "urn:xmpp:carbons:2"
	nsForward  = "urn:xmpp:forward:0"
	nsHints    = "urn:xmpp:hints"
	nsMAM      = "urn:xmpp:mam:2"
	nsSM       = "urn:xmpp:sm:3"
	nsRSM      = "http://jabber.org/protocol/rsm"
	nsBlocking = "urn:xmpp:blocking"
	nsPrivacy  = "jabber:iq:privacy"
)

// handle is what the server does with a stanza of one of its users.
func (s *Server) handle(a *account, x *session, n *stanza.Node) {
	switch n.XMLName.Local {
	case "message":
		s.message(a, x, n)
	case "presence":
		s.presence(a, x, n)
	case "iq":
		s.iq(a, x, n)
	}
}

func split(jid string) (bare, res string) {
	bare, res, _ = strings.Cut(jid, "/")
	return bare, res
}

// local is the account behind an address of this server, nil when there is none.
func (s *Server) local(jid string) *account {
	bare, _ := split(jid)
	name, ok := strings.CutSuffix(bare, "@"+s.Domain)
	if !ok {
		return nil
	}
	return s.accounts[name]
}

func (s *Server) message(a *account, x *session, n *stanza.Node) {
	to := attr(n, "to")
	keep := child(n, stanza.NSClient, "body") != nil || child(n, nsHints, "store") != nil
	keep = keep && attr(n, "type") != "error" && child(n, nsHints, "no-store") == nil && !s.NoMAM
	if keep {
		s.store(a, to, n)
	}
	s.carbons(a, x, "sent", n)
	b := s.local(to)
	if b == nil && s.ofComponent(to) {
		s.toComponent(n)
		return
	}
	if b == nil {
		if attr(n, "type") != "error" {
			x.give(parse(fmt.Sprintf("<message type='error' id='%s' from='%s'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>", attr(n, "id"), to)))
		}
		return
	}
	bare, _ := split(x.full())
	if b.blocked[bare] {
		return
	}
	s.arrive(b, n, keep)
}

// arrive delivers to an account: to the resource named, else to the available
// ones, else to the offline store.
func (s *Server) arrive(b *account, n *stanza.Node, keep bool) {
	_, res := split(attr(n, "to"))
	if keep {
		id := s.store(b, attr(n, "from"), n)
		n = clone(n)
		n.Nodes = append(n.Nodes, *parse(fmt.Sprintf("<stanza-id xmlns='urn:xmpp:sid:0' by='%s@%s' id='%s'/>", b.name, s.Domain, id)))
	}
	if y := b.sessions[res]; y != nil {
		y.give(n)
		s.carbons(b, y, "received", n)
		return
	}
	given := false
	for _, y := range b.sessions {
		if y.prio >= 0 {
			given = true
			y.give(n)
		}
	}
	if !given && child(n, stanza.NSClient, "body") != nil {
		d := clone(n)
		d.Nodes = append(d.Nodes, *parse(fmt.Sprintf("<delay xmlns='urn:xmpp:delay' from='%s' stamp='%s'/>", s.Domain, stamp(time.Now()))))
		b.offline = append(b.offline, d)
	}
}

func (s *Server) store(a *account, with string, n *stanza.Node) string {
	s.serial++
	id := fmt.Sprintf("a%06d", s.serial)
	bare, _ := split(with)
	a.archive = append(a.archive, archived{id, time.Now(), bare, clone(n)})
	return id
}

// carbons copies a chat message to the account's other resources.
func (s *Server) carbons(a *account, x *session, kind string, n *stanza.Node) {
	if t := attr(n, "type"); t != "chat" && t != "" {
		return
	}
	for _, y := range a.sessions {
		if y != x && y.carbons && y.prio >= 0 {
			inner := clone(n)
			if kind == "sent" && len(a.archive) > 0 {
				inner.Nodes = append(inner.Nodes, *parse(fmt.Sprintf("<stanza-id xmlns='urn:xmpp:sid:0' by='%s@%s' id='%s'/>", a.name, s.Domain, a.archive[len(a.archive)-1].id)))
			}
			c := parse(fmt.Sprintf("<message type='chat' from='%s'><%s xmlns='%s'><forwarded xmlns='%s'/></%s></message>", y.bare(), kind, nsCarbons, nsForward, kind))
			c.Nodes[0].Nodes[0].Nodes = []stanza.Node{*inner}
			y.give(c)
		}
	}
}

// presence handles own presence, probes and subscriptions. A block keeps
// presence back, but tells nobody that it began or ended, like ejabberd's.
func (s *Server) presence(a *account, x *session, n *stanza.Node) {
	to, typ := attr(n, "to"), attr(n, "type")
	switch {
	case s.ofComponent(to):
		s.presenceToComponent(a, x, to, typ, n)
		return
	case to != "":
		s.directed(a, x, to, typ, n)
		return
	}
	if typ == "unavailable" {
		x.prio, x.presence = -128, nil
		s.broadcast(a, x, n)
		return
	}
	first := x.prio == -128
	x.prio, x.presence = 0, n
	if p := child(n, stanza.NSClient, "priority"); p != nil {
		x.prio = number(p.Content, 0)
	}
	s.broadcast(a, x, n)
	if !first {
		return
	}
	s.remind(a, x)
	for jid, i := range a.roster {
		if i.sub == "to" || i.sub == "both" {
			s.answerProbe(x, jid)
		}
		if i.pending {
			x.give(parse(fmt.Sprintf("<presence type='subscribe' from='%s'><status>let me in</status></presence>", jid)))
		}
	}
	for _, m := range a.offline {
		x.give(m)
	}
	a.offline = nil
}

func (s *Server) broadcast(a *account, x *session, n *stanza.Node) {
	if x.hidden {
		return
	}
	c := clone(n)
	c.Attrs = set(c.Attrs, "from", x.full())
	for jid, i := range a.roster {
		if s.ofComponent(jid) && (i.sub == "from" || i.sub == "both") {
			c.Attrs = set(c.Attrs, "to", jid)
			s.toComponent(c)
		} else if b := s.local(jid); b != nil && (i.sub == "from" || i.sub == "both") && !a.blocked[jid] && !b.blocked[x.bare()] {
			for _, y := range b.sessions {
				if y.prio > -128 {
					y.give(c)
				}
			}
		}
	}
}

func (s *Server) answerProbe(x *session, jid string) {
	if s.ofComponent(jid) {
		s.toComponent(parse(fmt.Sprintf("<presence type='probe' from='%s' to='%s'/>", x.full(), jid)))
	}
	if b := s.local(jid); b != nil {
		for _, y := range b.sessions {
			if y.presence != nil && !y.hidden {
				c := clone(y.presence)
				c.Attrs = set(c.Attrs, "from", y.full())
				x.give(c)
			}
		}
	}
}

func (s *Server) directed(a *account, x *session, to, typ string, n *stanza.Node) {
	bare, _ := split(to)
	if typ == "unsubscribed" && a.roster[bare] == nil {
		return
	}
	mine, b := s.entry(a, bare), s.local(to)
	if typ == "probe" {
		if mine.sub == "to" || mine.sub == "both" {
			s.answerProbe(x, bare)
		}
		return
	}
	var theirs *item
	if b != nil {
		theirs = s.entry(b, x.bare())
	}
	switch typ {
	case "subscribe":
		if mine.sub == "none" || mine.sub == "from" {
			mine.ask = "subscribe"
		}
		if theirs != nil {
			theirs.pending = true
			if theirs.approved {
				defer s.directed(b, &session{s: s, user: b.name, prio: -128}, x.bare(), "subscribed", parse("<presence type='subscribed'/>"))
			}
		}
	case "subscribed":
		if !mine.pending { // RFC 6121 §3.4
			mine.approved = true
			s.push(a, bare)
			return
		}
		mine.pending = false
		mine.sub = map[string]string{"none": "from", "to": "both"}[mine.sub]
		if theirs != nil && theirs.ask != "" {
			theirs.ask, theirs.sub = "", map[string]string{"none": "to", "from": "both", "to": "to", "both": "both"}[theirs.sub]
		}
	case "unsubscribed":
		mine.pending = false
		mine.sub = map[string]string{"from": "none", "both": "to", "to": "to", "none": "none"}[mine.sub]
		if theirs != nil {
			theirs.ask, theirs.sub = "", map[string]string{"to": "none", "both": "from", "from": "from", "none": "none"}[theirs.sub]
		}
	case "", "unavailable":
		if b == nil || a.blocked[bare] || b.blocked[x.bare()] {
			return
		}
		b.show(n, x.full())
		return
	default:
		return
	}
	s.push(a, bare)
	if b == nil {
		return
	}
	b.show(n, x.bare())
	s.push(b, x.bare())
	if typ == "subscribed" {
		for _, y := range b.sessions {
			s.answerProbe(y, x.bare())
		}
	}
}

// show gives every available resource of b a presence that comes from from.
func (b *account) show(n *stanza.Node, from string) {
	c := clone(n)
	c.Attrs = set(c.Attrs, "from", from)
	for _, y := range b.sessions {
		if y.prio > -128 {
			y.give(c)
		}
	}
}

// push tells every interested session of a about its roster entry.
func (s *Server) push(a *account, bare string) {
	s.serial++
	for _, y := range a.sessions {
		if y.roster {
			y.give(parse(fmt.Sprintf("<iq type='set' id='p%d'><query xmlns='jabber:iq:roster'>%s</query></iq>", s.serial, s.itemXML(a, bare))))
		}
	}
}

func (s *Server) itemXML(a *account, bare string) string {
	i := a.roster[bare]
	if i == nil {
		return "<item jid='" + bare + "' subscription='remove'/>"
	}
	ask := ""
	if i.ask != "" {
		ask = " ask='" + i.ask + "'"
	}
	groups := ""
	for _, g := range i.groups {
		groups += "<group>" + quote(g) + "</group>"
	}
	return fmt.Sprintf("<item jid='%s' name='%s' subscription='%s'%s>%s</item>", bare, quote(i.name), i.sub, ask, groups)
}

func sortedKeys(m map[string]*item) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
