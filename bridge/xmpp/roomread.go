package xmpp

import (
	"slices"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// Name spaces of rooms.
const (
	nsMUC          = "http://jabber.org/protocol/muc"
	nsMUCOwner     = "http://jabber.org/protocol/muc#owner"
	nsConference   = "jabber:x:conference"
	nsOccupant     = "urn:xmpp:occupant-id:0"
	nsBookmarks    = "urn:xmpp:bookmarks:1"
	nsOldBookmarks = "storage:bookmarks"
)

// occupancy is what one presence from a room says (XEP-0045 §7).
type occupancy struct {
	nick    string
	gone    bool
	self    bool   // it is about the account
	newNick string // under which he comes back
	codes   []string
	words   string // of whoever removed him
	err     *stream.StanzaError
}

func (o occupancy) has(code string) bool { return slices.Contains(o.codes, code) }

// readOccupancy reads a presence from a room.
func readOccupancy(n *stanza.Node, from stream.JID) occupancy {
	o := occupancy{nick: from.Resource}
	switch stream.Attr(n, "type") {
	case "unavailable":
		o.gone = true
	case "error":
		o.err = stream.ErrorOf(n)
		return o
	}
	x := stream.Child(n, nsMUCUser, "x")
	if x == nil {
		return o
	}
	for i := range x.Nodes {
		switch c := &x.Nodes[i]; c.XMLName.Local {
		case "status":
			o.codes = append(o.codes, stream.Attr(c, "code"))
		case "item":
			o.newNick = stream.Attr(c, "nick")
			o.words = im.OneLine(stream.Text(c, nsMUCUser, "reason"))
		}
	}
	o.self = o.has("110")
	return o
}

// removals says why the account is not in a room any more (XEP-0045 §15.6.2).
var removals = map[string]string{
	"301": "You were banned from the room",
	"307": "You were removed from the room",
	"321": "You were removed from the room: it is for members now, or you are no member any more",
	"322": "You were removed from the room: it is for members only now",
}

// removal puts into words why somebody keeps the account out, "" when nobody does.
func (o occupancy) removal() string {
	for _, code := range o.codes {
		if text := removals[code]; text != "" {
			if o.words != "" {
				text += " (" + o.words + ")"
			}
			return text + "."
		}
	}
	return ""
}

// group reads a message to all in a room, as it came or from the room's archive.
// False: it is none, or not from there.
func (l listener) group(n *stanza.Node) (h heard, ok bool) {
	if n == nil || stream.Attr(n, "type") != "groupchat" {
		return heard{}, false
	}
	from, err := stream.ParseJID(stream.Attr(n, "from"))
	if err != nil || from.Local == "" {
		return heard{}, false
	}
	h = heard{peer: from, room: true, device: from.Resource, ref: stream.Attr(n, "id"), origin: stream.Attr(stream.Child(n, nsSID, "origin-id"), "id")}
	if sid := stanzaID(n, from.Bare()); sid != "" {
		h.filed(sid)
	}
	at, late := stamp(n, l.now)
	h.late = late
	if h.id == "" {
		l.identify(&h, n)
	}
	if c := stream.Child(n, nsActive, ""); c != nil {
		h.state = c.XMLName.Local
	}
	if h.msg = content(n); h.msg != nil {
		h.msg.ID, h.msg.Conv, h.msg.From, h.msg.Name, h.msg.At = h.id, h.conv(), h.who(), from.Resource, at
	}
	return h, true
}

// filed gives what was said in a room its place in the room's archive, and the name
// that others refer to it by (XEP-0359, XEP-0461 §3.1).
func (h *heard) filed(sid string) {
	h.archive, h.id, h.ref = sid, h.conv()+"#"+sid, sid
	if h.msg != nil {
		h.msg.ID = h.id
	}
}

// groupArchived reads one result of a room's archive.
func (l listener) groupArchived(result *stanza.Node) (h heard, ok bool) {
	f := stream.Child(result, nsForward, "forwarded")
	said := stream.Child(f, stanza.NSClient, "message")
	if h, ok = l.group(said); !ok {
		return h, false
	}
	h.late = true
	h.client = stream.Attr(said, "id")
	h.filed(stream.Attr(result, "id"))
	if at, ok := stamp(f, l.now); ok && h.msg != nil {
		h.msg.At = at
	}
	return h, true
}

// who is the address of whoever said it.
func (h *heard) who() im.Addr {
	if h.room {
		return im.Addr{Net: Name, ID: h.peer.String()}
	}
	return addr(h.peer)
}

// invitation is somebody's wish to see the account in a room (XEP-0045 §7.8,
// XEP-0249).
type invitation struct {
	room     stream.JID
	by       stream.JID
	mediated bool // by the room, who takes the answer to him
	words    string
	password string
}

// readInvitation reads one out of a message; false when there is none.
func readInvitation(n *stanza.Node) (v invitation, ok bool) {
	from, err := stream.ParseJID(stream.Attr(n, "from"))
	if n == nil || err != nil || stream.Attr(n, "type") == "error" || stream.Attr(n, "type") == "groupchat" {
		return v, false
	}
	if x := stream.Child(n, nsMUCUser, "x"); x != nil && from.Local != "" && from.Resource == "" {
		if c := stream.Child(x, nsMUCUser, "invite"); c != nil {
			v = invitation{room: from, mediated: true, words: stream.Text(c, nsMUCUser, "reason"), password: stream.Text(x, nsMUCUser, "password")}
			v.by, _ = stream.ParseJID(stream.Attr(c, "from")) // nobody: the room does not say
			return v, true
		}
	}
	c := stream.Child(n, nsConference, "x")
	room, err := stream.ParseJID(stream.Attr(c, "jid"))
	if err != nil || room.Local == "" || from.Local == "" {
		return v, false
	}
	return invitation{room: room.Bare(), by: from, words: stream.Attr(c, "reason"), password: stream.Attr(c, "password")}, true
}

// note is what the user reads next to the request.
func (v invitation) note() string {
	text := "You are invited to this room."
	if !v.by.IsZero() {
		text = v.by.Bare().String() + " invites you to this room."
	}
	return strings.TrimSpace(text + " " + im.OneLine(v.words))
}

// bookmark is what is kept of a room (XEP-0402, XEP-0048).
type bookmark struct {
	name, nick, password string
	old                  bool         // kept as XEP-0048 has it
	extensions           *stanza.Node // of other clients, to be left as they are
}

// readBookmark reads one; false when it is none of a room that is to be entered by
// itself.
func readBookmark(jid string, c *stanza.Node) (room stream.JID, b bookmark, ok bool) {
	room, err := stream.ParseJID(jid)
	auto := stream.Attr(c, "autojoin")
	if err != nil || room.Local == "" || room.Resource != "" || auto != "true" && auto != "1" {
		return room, b, false
	}
	space := c.XMLName.Space
	b = bookmark{
		name: im.OneLine(stream.Attr(c, "name")), nick: strings.TrimSpace(stream.Text(c, space, "nick")), password: stream.Text(c, space, "password"),
		old: space == nsOldBookmarks, extensions: stream.Child(c, nsBookmarks, "extensions"),
	}
	return room, b, true
}

// conference writes the bookmark of a room down.
func (b bookmark) conference(room string) stanza.Node {
	space, attrs := nsBookmarks, []string{"autojoin", "true"}
	if b.old {
		space, attrs = nsOldBookmarks, append(attrs, "jid", room)
	}
	if b.name != "" {
		attrs = append(attrs, "name", b.name)
	}
	c := element(space, "conference", attrs...)
	if b.nick != "" {
		c.Nodes = append(c.Nodes, words(space, "nick", b.nick))
	}
	if b.password != "" {
		c.Nodes = append(c.Nodes, words(space, "password", b.password))
	}
	if b.extensions != nil {
		c.Nodes = append(c.Nodes, *b.extensions)
	}
	return c
}

// author is who said something in a room, by what he can't change (XEP-0421), or by
// his nick.
func author(n *stanza.Node) string {
	if id := stream.Attr(stream.Child(n, nsOccupant, "occupant-id"), "id"); id != "" {
		return "id " + id
	}
	_, nick, _ := strings.Cut(stream.Attr(n, "from"), "/")
	return "nick " + nick
}

// saying is who said what in a room lately: only its author may change it
// (XEP-0308 §5).
type saying struct{ name, author string }

// recalled is how many of them are known.
const recalled = 100

// mayChange tells whether what n does to an earlier message is to be believed, and
// notes who said n.
func (r *room) mayChange(n *stanza.Node, h *heard) bool {
	by := author(n)
	names := []string{h.ref, stream.Attr(n, "id")}
	to := ""
	if h.msg != nil && (h.msg.Rel.Kind == im.Edit || h.msg.Rel.Kind == im.Retract) {
		to = h.msg.Rel.To
	}
	forged := to != "" && slices.ContainsFunc(r.said, func(s saying) bool { return s.name == to && s.author != by }) &&
		!slices.ContainsFunc(r.said, func(s saying) bool { return s.name == to && s.author == by })
	for _, name := range slices.Compact(names) {
		if name != "" {
			r.said = append(r.said, saying{name, by})
		}
	}
	if extra := len(r.said) - recalled; extra > 0 {
		r.said = slices.Delete(r.said, 0, extra)
	}
	return !forged
}

// silent is how long a room may say nothing before it is asked whether the account
// is still in it (XEP-0410).
const silent = 5 * time.Minute
