package xmpp

import (
	"cmp"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// typingEnds is how long after the last key the account is said to have
// stopped: clients only ever say that it goes on.
const typingEnds = 10 * time.Second

// say sends a message. It is settled when the server has handled it.
func (l *link) say(m im.Message) error {
	l.mu.Lock()
	p, err := l.outgoing(m)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.s.Send(p, func() { l.receipt(im.Receipt{ID: m.ID, Conv: m.Conv, State: im.Sent}) })
}

// outgoing makes the stanza for a message and notes what later ones need.
func (m *memory) outgoing(msg im.Message) (p stanza.Message, err error) {
	j, err := stream.ParseJID(msg.Conv)
	if err != nil {
		return p, &im.Refused{Text: "This is not an XMPP address."}
	}
	conv := addr(j).ID
	c := m.contact(conv)
	if msg.Kind == im.Nudge && time.Since(c.nudgedOut) < nudgePause {
		return p, &im.Refused{Text: "You can't send nudges that often."}
	}
	if p, err = compose(msg, c.target(conv), m.refs.about(conv, msg.Rel)); err != nil {
		return p, err
	}
	if msg.Kind == im.Nudge {
		c.nudgedOut = time.Now()
	}
	c.typed, c.wrote = time.Time{}, true
	m.sends.add(msg.ID, msg.Conv)
	m.refs.add(msg.ID, conv, msg.ID, false)
	return p, nil
}

// target is where what is said to a contact goes: to the client that he spoke
// from last, else to all.
func (c *contact) target(bare string) string { return cmp.Or(c.lock, bare) }

// receipt reports how far a message came, unless that is known.
func (l *link) receipt(r im.Receipt) {
	l.mu.Lock()
	news := l.sends.furthers(r)
	l.mu.Unlock()
	if news {
		l.accept(nil, r)
	}
}

// typing passes on that the account is typing. Who hides does not tell.
func (l *link) typing(t im.Typing) error {
	l.mu.Lock()
	p, news := l.typed(t, available(l.shown.wanted.Status))
	l.mu.Unlock()
	if !news {
		return nil
	}
	l.wake()
	return l.s.Send(p, nil)
}

// typed notes that the account types, or no longer, and makes what is to be said
// about it, if anything is. Of who is not visible nothing is said.
func (m *memory) typed(t im.Typing, visible bool) (p stanza.Message, news bool) {
	c := m.contact(t.Conv)
	was := !c.typed.IsZero()
	there := len(c.resources) > 0 || c.lock != ""
	c.typed = time.Time{}
	state := "paused"
	if t.On && there && visible {
		c.typed, state = time.Now(), "composing"
	}
	return composeState(c.target(t.Conv), state), was == c.typed.IsZero()
}

// stopTyping says "paused" for those whose last key is long ago, and returns
// when to look again, 0 when there is nobody.
func (l *link) stopTyping(now time.Time) (next time.Duration) {
	l.mu.Lock()
	stop, next := l.typedNoMore(now)
	l.mu.Unlock()
	for _, p := range stop {
		l.s.Send(p, nil)
	}
	return next
}

// typedNoMore is what to say to those for whom the last key is long ago, and
// when to look again, 0 when there is nobody.
func (m *memory) typedNoMore(now time.Time) (stop []stanza.Message, next time.Duration) {
	for conv, c := range m.contacts {
		if c.typed.IsZero() {
			continue
		}
		left := typingEnds - now.Sub(c.typed)
		if left <= 0 {
			c.typed = time.Time{}
			stop = append(stop, composeState(conv, "paused"))
		} else if next == 0 || left < next {
			next = left
		}
	}
	return stop, next
}

// displayed tells a contact that his message was shown (XEP-0333).
func (l *link) displayed(r im.Receipt) error {
	if r.State != im.Read || l.host.Setting(l.user, "markers") == "no" {
		return nil
	}
	l.mu.Lock()
	p, wanted := l.marker(r)
	tell := wanted && l.mayLearn(l.contact(r.Conv))
	l.mu.Unlock()
	if !tell {
		return nil
	}
	return l.s.Send(p, nil)
}

// marker says that a message was shown, to whom wants to know.
func (m *memory) marker(r im.Receipt) (p stanza.Message, wanted bool) {
	name, known := m.refs.name(r.Conv, r.ID)
	return composeReceipt(m.contact(r.Conv).target(r.Conv), nsMarkers, "displayed", name), known && m.refs.read[r.ID]
}
