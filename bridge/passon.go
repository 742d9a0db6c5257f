package bridge

import (
	"cmp"
	"time"

	"nudge/bridge/im"
)

// In a conversation everybody hears everybody, as old clients know it. Who is on a
// network hears only the account that he is a contact of, so in its name the box
// repeats to him what others on networks say there, with their names. Rooms have
// their own members, and the box's own contacts take what they hear for orders: both
// are left out.

// passOn repeats what c says to the account in an open conversation to the others in
// it who can't hear that. What he said before he was in it they are not told. The
// lock is held.
func (a *account) passOn(c *contact, m im.Message) {
	t := a.threads[c.addr()]
	if t == nil || t.seat == nil || !a.apart(c) || m.Passed || m.Aside || m.Kind == im.Notice || !m.Speaks() {
		return
	}
	if m.Rel.Kind != im.NoRel {
		words, can := inWords(m)
		if !can {
			return
		}
		m = words
	}
	text := cmp.Or(m.Text, "(a file)")
	switch {
	case m.Kind == im.Nudge:
		text = "(a nudge)"
	case m.Kind == im.Emote:
		text = "* " + text
	}
	name := cmp.Or(m.Name, a.show(c).Name)
	for _, g := range t.seat.chat.guests {
		if g.c == c || !g.owner.apart(g.c) {
			continue
		}
		words := im.Message{ID: newID(), Conv: g.c.ID, At: time.Now(), Text: name + ": " + text, Passed: true}
		g.owner.talked(g.c, words.At)
		g.owner.port(g.c.Net).submit(g.owner.key, words, nil)
	}
}

// apart tells whether c is a person on a network, with whom the others in a
// conversation share nothing but the account.
func (a *account) apart(c *contact) bool {
	p := a.port(c.Net)
	return c.Net != "" && !c.Room && p != nil && !p.builtin()
}
