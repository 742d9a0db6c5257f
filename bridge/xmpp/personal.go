package xmpp

import (
	"cmp"
	"encoding/xml"
	"strings"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// What people publish about themselves by their own server (personal eventing,
// XEP-0163): a picture (XEP-0084), what they hear (XEP-0118), a nick (XEP-0172). Who
// is sent it says so in the capabilities of his presence.
const (
	nsAvatar     = "urn:xmpp:avatar:metadata"
	nsAvatarData = "urn:xmpp:avatar:data"
	nsTune       = "http://jabber.org/protocol/tune"
	notify       = "+notify"
	// nsConversion: the server makes vCard and published picture the same (XEP-0398).
	nsConversion = "urn:xmpp:pep-vcard-conversion:0"
)

// longTune and longNick are how many characters of a tune and of a nick are kept.
const (
	longTune = 200
	longNick = 100
)

// published is what a contact says of himself besides his presence.
type published struct {
	tune, nick string
	avatar     string // as in im.Presence
}

// event is one thing that somebody published, or, without a payload, took back.
type event struct {
	node, item string
	payload    *stanza.Node
}

// readEvent reads what a server tells of a node (XEP-0060 §7.1.2, §8). False when that is
// nothing, or the payload has to be asked for, which no node of a person needs.
func readEvent(n *stanza.Node) (e event, ok bool) {
	of := stream.Child(stream.Child(n, nsPubSubEvent, "event"), nsPubSubEvent, "")
	if of == nil || stream.Attr(n, "type") == "error" {
		return e, false
	}
	e.node = stream.Attr(of, "node")
	switch of.XMLName.Local {
	case "purge", "delete":
		return e, true
	case "items":
		it := stream.Child(of, nsPubSubEvent, "item")
		if it == nil {
			return e, stream.Child(of, nsPubSubEvent, "retract") != nil
		}
		if e.item = stream.Attr(it, "id"); len(it.Nodes) > 0 {
			e.payload = &it.Nodes[0]
		}
	}
	return e, e.payload != nil
}

// personal tells whether it is about what the box shows of people.
func (e event) personal() bool { return e.node == nsAvatar || e.node == nsTune || e.node == nsNick }

// take puts what the person with the address bare published over what was known of him.
// The nodes have the names of their payloads' name spaces.
func (p *published) take(bare string, e event) {
	n := e.payload
	if n != nil && n.XMLName.Space != e.node {
		n = nil
	}
	switch e.node {
	case nsTune:
		p.tune = readTune(n)
	case nsNick:
		p.nick = ""
		if n != nil {
			p.nick = im.Short(n.Content, longNick)
		}
	case nsAvatar:
		p.avatar = ""
		if hash := readMetadata(n); hash != "" {
			p.avatar = bare + "#" + hash
		}
	}
}

// readTune is a tune as the clients' now playing has it, "" when it is over.
func readTune(n *stanza.Node) string {
	tell := func(local string) string { return strings.TrimSpace(stream.Text(n, nsTune, local)) }
	title, artist := cmp.Or(tell("title"), tell("source")), tell("artist")
	if title != "" && artist != "" {
		title = artist + between + title
	}
	return im.Short(cmp.Or(title, artist), longTune)
}

// between stands between artist and title in im.Presence.Media.
const between = " – "

// tune makes what is playing out of that, and of "" that it is over (XEP-0118 §2).
func tune(media string) stanza.Node {
	n := element(nsTune, "tune")
	if media == "" {
		return n
	}
	artist, title, both := strings.Cut(media, between)
	if both {
		n.Nodes = append(n.Nodes, words(nsTune, "artist", artist))
	} else {
		title = media
	}
	n.Nodes = append(n.Nodes, words(nsTune, "title", title))
	return n
}

// readMetadata is the check sum of the picture to fetch, "" none: a PNG when there is one,
// as there has to be (XEP-0084 §4.2.1), and none that lies on another server: who looks
// at it there would tell that server where he is.
func readMetadata(n *stanza.Node) (hash string) {
	if n == nil {
		return ""
	}
	for i := range n.Nodes {
		info := &n.Nodes[i]
		id := stream.Attr(info, "id")
		if info.XMLName != (xml.Name{Space: nsAvatar, Local: "info"}) || stream.Attr(info, "url") != "" || !isHash(id) {
			continue
		}
		if stream.Attr(info, "type") == "image/png" {
			return id
		}
		hash = cmp.Or(hash, id)
	}
	return hash
}

// isHash tells whether s is a SHA-1 as XMPP writes it.
func isHash(s string) bool { return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == "" }

// beside adds to what a contact's presence says what he published. His clients know
// better what he hears and how he is called now; of his picture both say the same, but
// not at the same time.
func (p published) beside(s seen) seen {
	if s.Status != im.Offline {
		s.Media = cmp.Or(s.Media, p.tune)
	}
	s.nick, s.Avatar = cmp.Or(s.nick, p.nick), cmp.Or(p.avatar, s.Avatar)
	return s
}

// publishes notes what somebody published, and tells whether the hub is to hear of it
// now. Only of whom the account may see something is noted, and only from his own server.
// soon: his presence may be on its way.
func (m *memory) publishes(from stream.JID, e event, soon bool) (c *contact, tell bool) {
	c = m.contacts[addr(from).ID]
	if c == nil || !c.sees() || from.Resource != "" {
		return nil, false
	}
	c.says.take(addr(from).ID, e)
	return c, c.told && (len(c.resources) > 0 || !soon)
}

// published takes an event from the reader.
func (l *link) published(n *stanza.Node, e event) {
	from, err := stream.ParseJID(stream.Attr(n, "from"))
	switch {
	case err != nil:
		return
	case from == l.me.Bare():
		l.reminded(e)
		return
	}
	l.mu.Lock()
	c, tell := l.publishes(from, e, !l.shown.sweep.IsZero())
	if !tell {
		l.mu.Unlock()
		return
	}
	l.tell(addr(from).ID, c)
}

// published takes an event from the reader.
func (k *component) published(r *resident, from stream.JID, e event) {
	k.mu.Lock()
	c, tell := r.publishes(from, e, false)
	if !tell {
		k.mu.Unlock()
		return
	}
	ev, news := c.news(addr(from).ID)
	k.mu.Unlock()
	if news {
		k.accept(r.user, nil, ev)
	}
}
