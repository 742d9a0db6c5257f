package bridge

import (
	"fmt"
	"strings"

	"nudge/bridge/im"
)

// lately is what was said last in one conversation: what a command of the user can
// mean (command.go). It is gone when the box is started anew. The hub's lock guards it.
type lately struct {
	mine    utterance // words of the account
	theirs  utterance // of the others
	poll    string    // id of the last one
	choices []im.Choice
}

// utterance is one message: Rel.To of those that relate to it is its id.
type utterance struct {
	id, text string // "" where it can't be changed
	kind     im.Kind
	style    im.Style
}

// quoted is how many characters of a message are kept for answers to it; longest how
// many bytes one may have that can be corrected.
const (
	quoted  = 60
	longest = 8 << 10
)

// lately is what was said last to and by a contact on a network.
func (h *heard) lately() *lately {
	if h.last == nil {
		h.last = &lately{}
	}
	return h.last
}

// listen notes what the others said. What only the box says, and notices of
// programs, nobody answers. The lock is held.
func (h *heard) listen(m im.Message) {
	l := h.lately()
	l.asked(m)
	now := utterance{id: m.ID, text: im.Short(m.Text, quoted)}
	if m.File != nil {
		now.text = im.Short("["+m.File.Name+"] "+m.Text, quoted)
	}
	switch {
	case m.Aside || m.Kind != im.Text && m.Kind != im.Emote || m.ID == "":
	case m.Rel.Kind == im.NoRel, m.Rel.Kind == im.Reply:
		l.theirs = now
	case m.Rel.Kind == im.Resolve:
		now.id = m.Rel.To
		l.theirs = now
	case m.Rel.To != l.theirs.id:
	case m.Rel.Kind == im.Edit:
		l.theirs.text = now.text
	case m.Rel.Kind == im.Retract:
		l.theirs = utterance{}
	}
}

// quote is what the message that rel is to said, where the network does not know. The
// lock is held.
func (h *heard) quote(rel im.Rel) string {
	l := h.lately()
	switch {
	case rel.Quote != "" || rel.To == "":
		return rel.Quote
	case rel.To == l.mine.id:
		return im.Short(l.mine.text, quoted)
	case rel.To == l.theirs.id:
		return l.theirs.text
	}
	return ""
}

// asked notes a poll, whoever made it, and that one is gone.
func (l *lately) asked(m im.Message) {
	switch {
	case len(m.Poll) > 0 && m.Rel.Kind == im.NoRel:
		l.poll, l.choices = m.ID, m.Poll
	case m.Rel.Kind == im.Retract && m.Rel.To == l.poll:
		l.poll, l.choices = "", nil
	}
}

// spoke notes what the account said, here or on another device. The lock is held.
func (h *heard) spoke(m im.Message) {
	l := h.lately()
	l.asked(m)
	switch {
	case m.Kind == im.Nudge:
	case m.Rel.Kind == im.NoRel, m.Rel.Kind == im.Reply:
		l.mine = utterance{m.ID, m.Text, m.Kind, m.Style}
		if m.File != nil || len(m.Text) > longest {
			l.mine.text = ""
		}
	case m.Rel.To != l.mine.id:
	case m.Rel.Kind == im.Edit:
		l.mine.text = m.Text
	case m.Rel.Kind == im.Retract:
		l.mine = utterance{}
	}
}

// unsaid forgets what did not go out after all: what a failed change has left of
// a message is not known. The lock is held.
func (a *account) unsaid(with im.Addr, m im.Message) {
	c := a.contacts.of(with)
	if c == nil || c.heard == nil {
		return
	}
	if l := c.lately(); l.mine.id == m.ID || l.mine.id == m.Rel.To {
		l.mine = utterance{}
	}
}

// named notes what the network calls a message of the account, also for what waits
// to go out after it. The lock is held.
func (p *port) named(s *send, as string) {
	m, said := s.ev.(im.Message)
	a := p.hub.accounts[s.user]
	if !said || as == "" || a == nil {
		return
	}
	if c := a.contacts.of(im.Addr{Net: p.net, ID: m.Conv}); c != nil && c.heard != nil && c.lately().mine.id == m.ID {
		c.last.mine.id = as
	}
	for _, o := range p.sends {
		if next, is := o.ev.(im.Message); is && o.user == s.user && next.Rel.To == m.ID {
			next.Rel.To = as
			o.ev = next
		}
	}
}

// What the user is told when a command can't be done.
const (
	noneToDelete = "Nothing of yours is known here that could be deleted. Older messages you can delete in another app. To send the word itself, write //del"
	noneToReact  = "There is nothing here yet to react to. To send a sign as a message, put a blank before it."
	noneToAnswer = "There is nothing here yet to answer. Send it without /reply."
	noPoll       = "No poll is known here. Vote in another app."
	howToReact   = "Write one emoticon after /react, as in: /react (Y)"
	howToAnswer  = "Write your answer after /reply, as in: /reply see you there"
	howToVote    = "Write the number of an answer after /vote, from 1 to %d."
)

// obey makes what the network is to get of what the user wrote: a command becomes
// what it does to an earlier message. why is what he is told when that can't be,
// and then nothing goes out. The lock is held.
func (c *contact) obey(m im.Message) (out im.Message, why string) {
	l := c.lately()
	cmd, ok := readCommand(m.Text)
	if ok = ok && m.Kind == im.Text; ok && cmd.kind == im.Edit {
		ok = l.mine.corrects(cmd)
	}
	if !ok {
		m.Text = literal(m.Text)
		c.spoke(m)
		return m, ""
	}
	if why := l.missing(cmd); why != "" {
		return m, why
	}
	m.Rel = im.Rel{Kind: cmd.kind, To: l.theirs.id, Quote: l.theirs.text}
	switch cmd.kind {
	case im.Edit:
		m.Rel.To, m.Rel.Quote = l.mine.id, ""
		m.Text, m.Kind, m.Style = l.mine.corrected(cmd), l.mine.kind, l.mine.style
	case im.Retract:
		m.Rel.To, m.Rel.Quote, m.Text = l.mine.id, im.Short(l.mine.text, quoted), ""
	case im.Vote:
		choice := l.choices[cmd.choice-1]
		m.Rel.To, m.Rel.Quote, m.Text, m.Poll = l.poll, "", choice.Text, []im.Choice{choice}
	default:
		m.Text = cmd.text
	}
	c.spoke(m)
	return m, ""
}

// missing is what the user is told when there is nothing that cmd could mean, or
// when it lacks something itself.
func (l *lately) missing(cmd command) string {
	switch cmd.kind {
	case im.Retract:
		if l.mine.id == "" {
			return noneToDelete
		}
	case im.React:
		if cmd.text == "" {
			return howToReact
		} else if l.theirs.id == "" {
			return noneToReact
		}
	case im.Reply:
		if cmd.text == "" {
			return howToAnswer
		} else if l.theirs.id == "" {
			return noneToAnswer
		}
	case im.Vote:
		if l.poll == "" {
			return noPoll
		} else if cmd.choice < 1 || cmd.choice > len(l.choices) {
			return fmt.Sprintf(howToVote, len(l.choices))
		}
	}
	return ""
}

// corrects tells whether cmd changes these words into others. What merely looks like
// a correction does not.
func (u utterance) corrects(cmd command) bool {
	now := u.corrected(cmd)
	return u.id != "" && now != u.text && strings.TrimSpace(now) != ""
}

func (u utterance) corrected(cmd command) string {
	return strings.Replace(u.text, cmd.old, cmd.text, 1)
}

// inWords is what relates to an earlier message, for a network that can't tell to
// which; false when words can't stand for it.
func inWords(ev im.Event) (m im.Message, can bool) {
	m, _ = ev.(im.Message)
	rel := m.Rel
	m.Rel, m.Poll = im.Rel{}, nil
	switch rel.Kind {
	case im.Edit:
		m.Text = "corrected: " + m.Text
	case im.React:
		if rel.Quote != "" {
			m.Text = fmt.Sprintf("%s (to %q)", m.Text, rel.Quote)
		}
	case im.Reply:
		if rel.Quote != "" {
			m.Text = "> " + rel.Quote + "\n" + m.Text
		}
	case im.Vote:
		m.Text = "I vote for: " + m.Text
	default:
		return m, false
	}
	return m, true
}
