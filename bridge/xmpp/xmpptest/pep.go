package xmpptest

import (
	"fmt"
	"strings"

	"gosrc.io/xmpp/stanza"
)

const (
	nsPubSub = "http://jabber.org/protocol/pubsub"
	nsVCard  = "vcard-temp"
)

// published is an item on a node of an account (XEP-0163). Everybody is told of it who may
// see the account, whether he said that he wants to or not; but of nodes for data nobody
// is.
type published struct {
	node, id string
	payload  *stanza.Node
}

// pep answers what x, of a, asks of nodes and vCard of b, and tells whether it was such a
// question.
func (s *Server) pep(a, b *account, x *session, n *stanza.Node) bool {
	if len(n.Nodes) == 0 {
		return false
	}
	q, typ := &n.Nodes[0], attr(n, "type")
	set, get := typ == "set" && a == b, typ == "get"
	switch ns := q.XMLName.Space; {
	case ns == nsVCard && set:
		b.card = clone(q)
		s.reply(x, n, "")
	case ns == nsVCard && get && b.card == nil:
		s.fail(x, n, "item-not-found")
	case ns == nsVCard && get:
		s.reply(x, n, render(b.card))
	case ns == nsPubSub && set && child(q, ns, "publish") != nil:
		p := child(q, ns, "publish")
		s.publish(b, attr(p, "node"), child(p, ns, "item"))
		s.reply(x, n, "")
	case ns == nsPubSub && get:
		of := child(q, ns, "items")
		found := b.item(attr(of, "node"), attr(child(of, ns, "item"), "id"))
		if found == nil {
			s.fail(x, n, "item-not-found")
			break
		}
		s.reply(x, n, fmt.Sprintf("<pubsub xmlns='%s'><items node='%s'>%s</items></pubsub>", ns, found.node, found.render()))
	default:
		return false
	}
	return true
}

func (p *published) render() string {
	return "<item id='" + p.id + "'>" + render(p.payload) + "</item>"
}

// item is the one of that id, or without one the latest; nil when there is none.
func (b *account) item(node, id string) *published {
	for i := len(b.nodes) - 1; i >= 0; i-- {
		if p := &b.nodes[i]; p.node == node && (id == "" || p.id == id) {
			return p
		}
	}
	return nil
}

func (s *Server) publish(b *account, node string, item *stanza.Node) {
	b.nodes = append(b.nodes, published{node, attr(item, "id"), clone(&item.Nodes[0])})
	for _, o := range s.accounts {
		for _, y := range o.sessions {
			if y.prio > -128 && (o == b || s.mayLook(o, b)) {
				s.tell(y, b, node)
			}
		}
	}
}

func (s *Server) mayLook(o, b *account) bool {
	i := b.roster[o.name+"@"+s.Domain]
	return i != nil && (i.sub == "from" || i.sub == "both")
}

// tell gives y the latest item of a node of b.
func (s *Server) tell(y *session, b *account, node string) {
	if !strings.HasSuffix(node, ":data") {
		y.give(parse(fmt.Sprintf("<message type='headline' from='%s@%s'><event xmlns='%s#event'><items node='%s'>%s</items></event></message>",
			b.name, s.Domain, nsPubSub, node, b.item(node, "").render())))
	}
}

// remind gives x, who has just come, the latest of whom he may see, and of himself.
func (s *Server) remind(a *account, x *session) {
	for _, b := range s.accounts {
		told := map[string]bool{}
		for _, p := range b.nodes {
			if (a == b || s.mayLook(a, b)) && !told[p.node] {
				told[p.node] = true
				s.tell(x, b, p.node)
			}
		}
	}
}

// Publish lets an account publish what its other device has, given as XML.
func (s *Server) Publish(user, node, id, payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publish(s.accounts[user], node, parse("<item id='"+id+"'>"+payload+"</item>"))
}

// Item is the latest that an account has on a node, as XML, "" when there is nothing.
func (s *Server) Item(user, node string) (id, payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.accounts[user].item(node, "")
	if p == nil {
		return "", ""
	}
	return p.id, render(p.payload)
}

// Card is an account's vCard, "" when it has none.
func (s *Server) Card(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.accounts[user].card; c != nil {
		return render(c)
	}
	return ""
}

// SetCard gives an account a vCard.
func (s *Server) SetCard(user, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[user].card = parse(text)
}
