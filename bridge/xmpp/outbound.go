package xmpp

import (
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
	j, err := stream.ParseJID(m.Conv)
	if err != nil {
		return &im.Refused{Text: "This is not an XMPP address."}
	}
	conv := addr(j).ID
	l.mu.Lock()
	c := l.contact(conv)
	to := conv
	if c.lock != "" {
		to = c.lock
	}
	target, known := l.refs.name(conv, m.Rel.To)
	if m.Kind == im.Nudge && time.Since(c.nudgedOut) < nudgePause {
		l.mu.Unlock()
		return &im.Refused{Text: "You can't send nudges that often."}
	}
	p, err := compose(m, to, target, known)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	if m.Kind == im.Nudge {
		c.nudgedOut = time.Now()
	}
	c.typed, c.wrote = time.Time{}, true
	l.sends.add(m.ID, m.Conv)
	l.refs.add(m.ID, conv, m.ID, false)
	l.mu.Unlock()
	return l.s.Send(p, func() { l.receipt(im.Receipt{ID: m.ID, Conv: m.Conv, State: im.Sent}) })
}

// contact is the contact of that address, made when it is new. Caller holds
// l.mu.
func (l *link) contact(bare string) *contact {
	c := l.contacts[bare]
	if c == nil {
		c = &contact{sub: "none"}
		l.contacts[bare] = c
	}
	return c
}

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
	c := l.contact(t.Conv)
	to := t.Conv
	if c.lock != "" {
		to = c.lock
	}
	was := !c.typed.IsZero()
	there := len(c.resources) > 0 || c.lock != ""
	c.typed = time.Time{}
	if t.On && there && available(l.shown.wanted.Status) {
		c.typed = time.Now()
	}
	is := !c.typed.IsZero()
	l.mu.Unlock()
	switch {
	case is == was:
		return nil
	case is:
		l.wake()
		return l.s.Send(composeState(to, "composing"), nil)
	}
	return l.s.Send(composeState(to, "paused"), nil)
}

// stopTyping says "paused" for those whose last key is long ago, and returns
// when to look again, 0 when there is nobody.
func (l *link) stopTyping(now time.Time) (next time.Duration) {
	var stop []stanza.Message
	l.mu.Lock()
	for conv, c := range l.contacts {
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
	l.mu.Unlock()
	for _, p := range stop {
		l.s.Send(p, nil)
	}
	return next
}

// displayed tells a contact that his message was shown (XEP-0333).
func (l *link) displayed(r im.Receipt) error {
	if r.State != im.Read || l.host.Setting(l.user, "markers") == "no" {
		return nil
	}
	l.mu.Lock()
	c := l.contact(r.Conv)
	name, known := l.refs.name(r.Conv, r.ID)
	tell := known && l.refs.read[r.ID] && l.mayLearn(c)
	to := r.Conv
	if c.lock != "" {
		to = c.lock
	}
	l.mu.Unlock()
	if !tell {
		return nil
	}
	return l.s.Send(composeReceipt(to, nsMarkers, "displayed", name), nil)
}
