package xmpp

import (
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// nudgePause is how far apart nudges of one contact must be, each way.
const nudgePause = 10 * time.Second

// message takes a message stanza from the reader.
func (l *link) message(n *stanza.Node, done func()) {
	if r := stream.Child(n, nsMAM, "result"); r != nil {
		if !l.lobby.result(n, r) {
			l.result(n, r)
		}
		done()
		return
	}
	if in, out, ok := readBookmarkEvent(n); ok {
		if j, err := stream.ParseJID(stream.Attr(n, "from")); err == nil && j == l.me.Bare() {
			l.lobby.changed(in, out)
		}
		done()
		return
	}
	if e, ok := readEvent(n); ok && e.personal() {
		l.published(n, e)
		done()
		return
	}
	if l.lobby.message(n, done) {
		return
	}
	l.mu.Lock()
	if l.catching && len(l.held) < maxHeld {
		l.held = append(l.held, held{n, done})
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	l.hear(n, done)
}

// hear acts on a live message. done is called when nothing of it can be lost.
func (l *link) hear(n *stanza.Node, done func()) {
	h, ok := l.listener().live(n)
	if !ok {
		done()
		return
	}
	l.mu.Lock()
	if h.archive != "" && l.mark.has(h.archive) { // a second copy
		l.mu.Unlock()
		done()
		return
	}
	events, to := l.digest(&h)
	b := im.Batch{User: l.user, Events: events}
	if l.moves && h.archive != "" {
		l.mark.advance(h.archive, time.Time{})
		b.Mark = l.mark.encode()
	}
	l.mu.Unlock()
	if len(events) == 0 && b.Mark == nil {
		done()
		return
	}
	l.acceptBatch(b, func(err error) {
		if err != nil {
			l.fail(err)
			return
		}
		done()
		l.confirm(to)
	})
}

func (l *link) listener() listener {
	return listener{me: l.me, archive: l.has.archive, now: time.Now()}
}

// confirmation is a receipt that a sender wants.
type confirmation struct{ to, ref string }

// digest turns what was heard into events and notes what later stanzas need.
// Caller holds l.mu.
func (l *link) digest(h *heard) (events []im.Event, to confirmation) {
	c := l.contact(h.conv())
	if m := h.msg; !h.own && (m == nil && !h.late || m != nil && time.Since(m.At) < pollHidden+probeSilence) {
		l.look(c) // he is there
	}
	events, said := l.memory.digest(h, l.me.Domain)
	if said && h.wants && l.mayLearn(c) {
		to = confirmation{h.peer.String(), h.ref}
	}
	return events, to
}

// digest turns what was heard into events, said when the message is among them,
// and notes what later stanzas need. Failures may also come from the server of
// the domain own.
func (m *memory) digest(h *heard, own string) (events []im.Event, said bool) {
	conv := h.conv()
	c := m.contact(conv)
	for _, r := range h.about {
		if m.sends.news(&r, h.peer, own) {
			events = append(events, r)
		}
	}
	if !h.late && !h.own {
		events = append(events, c.heardState(h, conv)...)
		if h.msg != nil && !h.room {
			c.lock = h.peer.String()
		}
	}
	msg := h.msg
	if msg == nil {
		return events, false
	}
	if msg.Kind == im.Nudge && !h.own {
		if d := msg.At.Sub(c.nudgedIn); d < nudgePause && d > -nudgePause {
			return events, false
		}
		c.nudgedIn = msg.At
	}
	if msg.Rel.Kind != im.NoRel {
		msg.Rel.To = m.refs.id(conv, msg.Rel.To)
	}
	m.refs.add(h.id, conv, h.ref, h.mark)
	if h.room {
		m.refs.saidBy(h.id, h.peer.String())
	}
	return append(events, *msg), true
}

// heardState turns chat states into typing; a message ends it.
func (c *contact) heardState(h *heard, conv string) []im.Event {
	was := c.composing
	switch h.state {
	case "composing":
		c.composing = h.msg == nil
	case "active", "paused", "inactive", "gone":
		c.composing = false
	}
	if h.msg != nil {
		c.composing = false
	}
	if h.state == "gone" {
		c.lock = ""
	}
	if c.composing == was && h.state != "composing" || h.msg != nil && !was {
		return nil
	}
	return []im.Event{im.Typing{Conv: conv, Who: h.who(), On: c.composing}}
}

// mayLearn tells whether a contact may learn what became of his messages: he may
// see the account anyway or was written to, and it does not hide. Caller holds
// l.mu.
func (l *link) mayLearn(c *contact) bool {
	return l.shown.wanted.Status != im.Hidden && (c.seenBy() || c.wrote)
}

// confirm sends the receipt that a sender asked for (XEP-0184), now that his
// message is safe.
func (l *link) confirm(to confirmation) {
	if to.ref != "" && l.host.Setting(l.user, "receipts") != "no" {
		l.s.Send(composeReceipt(to.to, nsReceipts, "received", to.ref), nil) // a lost one is no loss
	}
}
