package xmpp

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// Name spaces of what is said.
const (
	nsActive    = "http://jabber.org/protocol/chatstates"
	nsAttention = "urn:xmpp:attention:0"
	nsCarbons   = "urn:xmpp:carbons:2"
	nsCorrect   = "urn:xmpp:message-correct:0"
	nsDelay     = "urn:xmpp:delay"
	nsEME       = "urn:xmpp:eme:0"
	nsFallback  = "urn:xmpp:fallback:0"
	nsForward   = "urn:xmpp:forward:0"
	nsHints     = "urn:xmpp:hints"
	nsMarkers   = "urn:xmpp:chat-markers:0"
	nsOOB       = "jabber:x:oob"
	nsMUCUser   = "http://jabber.org/protocol/muc#user"
	nsReactions = "urn:xmpp:reactions:0"
	nsReceipts  = "urn:xmpp:receipts"
	nsReply     = "urn:xmpp:reply:0"
	nsRetract   = "urn:xmpp:message-retract:1"
	nsSID       = "urn:xmpp:sid:0"

	nsOldOMEMO   = "eu.siacs.conversations.axolotl"
	nsOMEMO      = "urn:xmpp:omemo:2"
	nsFasten     = "urn:xmpp:fasten:0"
	nsOldRetract = "urn:xmpp:message-retract:0"
)

// addr is the address of a contact as the rest of the box knows it.
func addr(j stream.JID) im.Addr { return im.Addr{Net: Name, ID: j.Bare().String()} }

// heard is what one message stanza means.
type heard struct {
	peer    stream.JID // with whom the conversation is, his full address
	room    bool       // it is one, and peer who speaks in it
	own     bool       // the account said it, on another device or here
	device  string     // the resource that said it
	id      string     // network id, "" when nothing can come twice
	archive string     // its place in the account's archive, "" none or unknown
	ref     string     // what other stanzas call it
	origin  string     // what the sender's client called it
	client  string     // likewise, in the archive of a room
	msg     *im.Message
	state   string // chat state, "" none
	about   []im.Receipt
	wants   bool // a receipt
	mark    bool // a read marker
	late    bool // delivered later than said
}

// listener is what reading depends on.
type listener struct {
	me      stream.JID
	archive bool // the server has an archive, hence removes or adds stanza ids
	gateway bool // on a component: nothing comes twice but what a sender repeats
	now     time.Time
}

// live reads a message stanza as it came, unwrapping carbons. False: there is
// nothing in it for us, or it is forged.
func (l listener) live(n *stanza.Node) (heard, bool) {
	for _, kind := range []string{"received", "sent"} {
		c := stream.Child(n, nsCarbons, kind)
		if c == nil {
			continue
		}
		from, err := stream.ParseJID(stream.Attr(n, "from"))
		inner := stream.Child(stream.Child(c, nsForward, "forwarded"), stanza.NSClient, "message")
		if err != nil || from != l.me.Bare() || inner == nil {
			return heard{}, false // only our own server may speak for others
		}
		h, ok := l.read(inner)
		return h, ok && h.own == (kind == "sent")
	}
	h, ok := l.read(n)
	return h, ok && !h.own
}

// archived reads one archive result (XEP-0313 §4). False as in live.
func (l listener) archived(result *stanza.Node) (heard, bool) {
	f := stream.Child(result, nsForward, "forwarded")
	h, ok := l.read(stream.Child(f, stanza.NSClient, "message"))
	h.archive, h.late = stream.Attr(result, "id"), true
	if h.archive != "" {
		h.id = h.archive
	}
	if at, ok := stamp(f, l.now); ok && h.msg != nil {
		h.msg.At = at
	}
	if h.msg != nil {
		h.msg.ID = h.id
	}
	return h, ok
}

func (l listener) read(n *stanza.Node) (heard, bool) {
	if n == nil {
		return heard{}, false
	}
	from, err := stream.ParseJID(stream.Attr(n, "from"))
	if err != nil {
		return heard{}, false
	}
	h := heard{peer: from, device: from.Resource, ref: stream.Attr(n, "id"), origin: stream.Attr(stream.Child(n, nsSID, "origin-id"), "id")}
	if from.Bare() == l.me.Bare() {
		h.own = true
		if h.peer, err = stream.ParseJID(stream.Attr(n, "to")); err != nil {
			return heard{}, false
		}
	}
	if h.peer.Bare() == l.me.Bare() || stream.Child(n, nsMUCUser, "x") != nil {
		return heard{}, false
	}
	switch stream.Attr(n, "type") {
	case "groupchat":
		return heard{}, false
	case "error":
		if h.own || h.ref == "" {
			return heard{}, false
		}
		h.about = []im.Receipt{{ID: h.ref, Conv: h.conv(), State: im.Failed, Err: failure(stream.ErrorOf(n))}}
		return h, true
	case "headline":
		if stream.Child(n, nsAttention, "attention") == nil {
			return heard{}, false
		}
	}
	at, late := stamp(n, l.now)
	h.late = late
	l.identify(&h, n)
	h.signals(n)
	if h.msg = content(n); h.msg != nil {
		m := h.msg
		m.ID, m.Conv, m.From, m.Own, m.At = h.id, h.conv(), addr(h.peer), h.own, at
		m.Passed = stream.Child(n, nsPassed, "passed") != nil
		if h.own {
			m.From = im.Addr{}
		}
		h.wants = !h.own && stream.Child(n, nsReceipts, "request") != nil && h.ref != ""
		h.mark = !h.own && stream.Child(n, nsMarkers, "markable") != nil && h.ref != ""
	}
	return h, true
}

func (h *heard) conv() string { return addr(h.peer).ID }

// identify finds the id under which the live copy, the copy from the offline
// store and the archive's copy are the same message: the archive's own. Some
// servers leave in what a sender forged, before their own; so the last counts.
// Without an archive it is a hash of what no copy changes.
func (l listener) identify(h *heard, n *stanza.Node) {
	if l.archive && !h.room {
		h.archive = stanzaID(n, l.me.Bare())
	}
	if h.id = h.archive; h.id != "" {
		return
	}
	sum := sha256.New()
	parts := []string{h.who().ID, h.ref, h.origin, stream.Text(n, stanza.NSClient, "body")}
	weak := h.ref == "" && h.origin == ""
	if l.gateway { // a client that counts its messages from 1 does not repeat the first
		weak = len(h.ref)+len(h.origin) < strongName
	}
	if weak { // told apart by time only
		at, _ := stamp(n, l.now)
		parts = append(parts, at.Format(time.RFC3339Nano))
	}
	for _, p := range parts {
		sum.Write([]byte(p))
		sum.Write([]byte{0})
	}
	h.id = "no-archive:" + hex.EncodeToString(sum.Sum(nil)[:16])
}

// stanzaID is the place in by's archive (XEP-0359 §4), "" when it is not told.
func stanzaID(n *stanza.Node, by stream.JID) (id string) {
	for i := range n.Nodes {
		c := &n.Nodes[i]
		if c.XMLName.Space != nsSID || c.XMLName.Local != "stanza-id" {
			continue
		}
		if j, err := stream.ParseJID(stream.Attr(c, "by")); err == nil && j == by {
			id = stream.Attr(c, "id")
		}
	}
	return id
}

// strongName is how long a client's name for a message is at least when it is
// meant for this one only.
const strongName = 8

// stamp is when a stanza was sent (XEP-0203), or now; late tells which. Nobody
// writes from the future.
func stamp(n *stanza.Node, now time.Time) (at time.Time, late bool) {
	d := stream.Child(n, nsDelay, "delay")
	if d == nil {
		return now, false
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(stream.Attr(d, "stamp")))
	if err != nil || at.After(now) || at.Year() < 1999 {
		return now, true
	}
	return at, true
}

// signals reads what is not text: chat state, receipts, markers.
func (h *heard) signals(n *stanza.Node) {
	if c := stream.Child(n, nsActive, ""); c != nil && !h.own {
		h.state = c.XMLName.Local
	}
	if h.own {
		return
	}
	for _, s := range []struct {
		space, local string
		state        im.ReceiptState
	}{{nsReceipts, "received", im.Delivered}, {nsMarkers, "received", im.Delivered}, {nsMarkers, "displayed", im.Read}} {
		if id := stream.Attr(stream.Child(n, s.space, s.local), "id"); id != "" {
			h.about = append(h.about, im.Receipt{ID: id, Conv: h.conv(), State: s.state})
		}
	}
}

// content is what a person is to read, nil when there is nothing. Rel.To is
// still the sender's name for the other message.
func content(n *stanza.Node) *im.Message {
	body, file := attached(n)
	if sealed, what := encrypted(n); sealed {
		if what == "" {
			return nil
		}
		return &im.Message{Kind: im.Notice, Text: what}
	}
	m := &im.Message{Text: body, File: file}
	switch {
	case related(m, n):
		if m.Text == "" && m.File == nil && m.Rel.Kind != im.Retract {
			return nil
		}
		return m
	case stream.Child(n, nsAttention, "attention") != nil && body == "":
		m.Kind, m.File = im.Nudge, nil
		return m
	case body == "" && file == nil:
		return nil
	}
	if rest, ok := strings.CutPrefix(m.Text, slashMe); ok { // XEP-0245
		m.Kind, m.Text = im.Emote, rest
	}
	return m
}

// related reads relations to earlier messages: XEP-0308, 0424, 0444, 0461.
func related(m *im.Message, n *stanza.Node) bool {
	if c := stream.Child(n, nsCorrect, "replace"); c != nil {
		m.Rel = im.Rel{Kind: im.Edit, To: stream.Attr(c, "id")}
		return true
	}
	retract := stream.Child(n, nsRetract, "retract")
	if f := stream.Child(n, nsFasten, "apply-to"); f != nil && stream.Child(f, nsOldRetract, "retract") != nil {
		retract = f
	}
	if retract != nil {
		m.Rel, m.Text, m.File = im.Rel{Kind: im.Retract, To: stream.Attr(retract, "id")}, "", nil
		return true
	}
	if c := stream.Child(n, nsReactions, "reactions"); c != nil {
		var emoji []string
		for i := range c.Nodes {
			if e := im.Plain(strings.TrimSpace(c.Nodes[i].Content)); e != "" && len(emoji) < 8 {
				emoji = append(emoji, e)
			}
		}
		m.Rel, m.Text, m.File = im.Rel{Kind: im.React, To: stream.Attr(c, "id")}, strings.Join(emoji, " "), nil
		return true
	}
	if c := stream.Child(n, nsReply, "reply"); c != nil && m.Text != "" {
		m.Rel = im.Rel{Kind: im.Reply, To: stream.Attr(c, "id")}
		m.Text = withoutQuote(m.Text, n)
	}
	return false
}

// withoutQuote removes the quotation that a reply repeats for older clients:
// XEP-0428 names it by character positions.
func withoutQuote(body string, n *stanza.Node) string {
	for i := range n.Nodes {
		f := &n.Nodes[i]
		if f.XMLName.Space != nsFallback || stream.Attr(f, "for") != nsReply {
			continue
		}
		b := stream.Child(f, nsFallback, "body")
		r := []rune(body)
		start, end := position(stream.Attr(b, "start"), 0), position(stream.Attr(b, "end"), len(r))
		if b != nil && start <= end && end <= len(r) && end-start < len(r) {
			return string(slices.Concat(r[:start], r[end:]))
		}
	}
	return body
}

func position(s string, otherwise int) int {
	if s == "" || len(s) > 6 {
		return otherwise
	}
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return otherwise
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// encrypted tells whether a message is end-to-end encrypted, and what to say
// about it: nothing when it only exchanges keys.
func encrypted(n *stanza.Node) (sealed bool, what string) {
	for _, space := range []string{nsOldOMEMO, nsOMEMO} {
		if c := stream.Child(n, space, "encrypted"); c != nil {
			if stream.Child(c, space, "payload") == nil {
				return true, ""
			}
			return true, cannotRead("OMEMO")
		}
	}
	c := stream.Child(n, nsEME, "encryption")
	if c == nil {
		return false, ""
	}
	how := im.Plain(stream.Attr(c, "name"))
	if how == "" {
		how = "end-to-end"
	}
	return true, cannotRead(how)
}

func cannotRead(how string) string {
	return "(a message with " + how + " encryption, which this box can't read: ask to switch encryption off for this chat)"
}

const slashMe = "/me "
