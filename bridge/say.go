package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"nudge/bridge/im"
)

// Send says m to everybody else in the session. m.Raw are the client's own
// bytes, relayed as they are to clients of this box; people on networks get
// what was read out of them. ack runs once when it is known what becomes of m:
// nil when it was queued to every client and taken by every network's server,
// or is on disk because a link is down (DESIGN.md §3); it may run before Send
// returns, with the lock held, and only queues.
func (s *Seat) Send(m im.Message, ack func(error)) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	c := s.chat
	if c == nil || len(c.seats)+len(c.guests) < 2 {
		ack(ErrAlone)
		return
	}
	m.From, m.At = s.me.Addr, time.Now()
	ev := im.Event(m) // once for all: it is copied to make it
	if m.Speaks() {
		h.said(m)
	}
	for _, o := range c.seats {
		if o == s {
			continue
		}
		s.acct.talkedTo(o.acct, m.At)
		if m.Speaks() {
			o.take(ev, s.acct)
		} else {
			o.sink.Deliver(ev, nil)
		}
	}
	if len(c.guests) == 0 || !m.Speaks() {
		ack(nil)
		return
	}
	all := &tally{left: len(c.guests), ack: ack}
	for _, g := range c.guests {
		h.sayTo(g, s, m, all)
	}
}

// Decline tells the maker of an offer which of the others can't take it up: they
// are on networks, and his client would wait for an answer for ever.
func (s *Seat) Decline(offer string) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.chat == nil {
		return
	}
	for _, g := range s.chat.guests {
		s.decline(g, offer)
	}
}

func (s *Seat) decline(g *guest, offer string) {
	s.tell(g, noWay(offer, g.owner.show(g.c)))
}

func noWay(offer string, to im.Person) string {
	return fmt.Sprintf("Not delivered: %s can't go to %s from here. You can cancel it.", offer, to.Name)
}

// tell shows the client, as if a guest said it, why something was not done.
func (s *Seat) tell(g *guest, why string) {
	who := g.owner.show(g.c)
	s.sink.Deliver(im.Message{From: who.Addr, Conv: who.ID, At: time.Now(), Kind: im.Notice, Text: why}, nil)
}

// tally joins the outcomes of one message to several people: the first failure
// wins. The hub's lock guards it.
type tally struct {
	left int
	err  error
	ack  func(error)
}

func (t *tally) one(err error) {
	if t.err == nil {
		t.err = err
	}
	if t.left--; t.left == 0 {
		t.ack(t.err)
	}
}

// take delivers the words (an im.Message) of another client of this box. What
// this client can't prove to have got is kept for it as an offline message.
func (s *Seat) take(said im.Event, from *account) {
	s.sink.Deliver(said, func(ok bool) {
		m, words := said.(im.Message)
		if ok || !words {
			return
		}
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		m.Conv, m.ID, m.From = from.key, "", from.addr()
		s.acct.receive(from.addr(), from.person().Name, m)
	})
}

// sayTo carries m to a guest through his owner's link, or, when he is an
// account of this box whose client is gone, into his journal.
func (h *Hub) sayTo(g *guest, from *Seat, m im.Message, all *tally) {
	m.Raw = nil
	m.ID, m.Conv = newID(), g.c.ID
	g.owner.talked(g.c, m.At)
	if g.c.Net == "" {
		if o := h.accounts[g.c.ID]; o != nil {
			m.ID, m.Conv, m.From = "", from.acct.key, from.acct.addr()
			o.receive(from.acct.addr(), from.me.Name, m)
			all.one(nil)
			return
		}
		all.one(ErrNotReachable)
		return
	}
	m.From = im.Addr{}
	if g.owner != from.acct {
		m.Text = from.me.Name + ": " + m.Text
	}
	p := g.owner.port(g.c.Net)
	if p == nil {
		all.one(ErrNotReachable)
		return
	}
	if g.owner == from.acct && !p.builtin() {
		var why string
		if m, why = g.c.obey(m); why != "" {
			from.tell(g, why)
			all.one(nil)
			return
		}
	}
	p.submit(g.owner.key, m, all.one)
}

// Typing tells the others that the client's user is writing. raw are the
// client's own bytes.
func (s *Seat) Typing(raw []byte) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.chat == nil {
		return
	}
	s.chat.tell(s, im.Message{From: s.me.Addr, Raw: raw})
	for _, g := range s.chat.guests {
		if p := g.owner.port(g.c.Net); p != nil && g.owner == s.acct {
			p.sendTyping(s.acct.key, im.Typing{Conv: g.c.ID, Who: s.acct.addr(), On: true})
		}
	}
}

// newID makes an identifier that is unique for ever: it becomes a Matrix
// transaction id or an XMPP origin-id.
func newID() string {
	var b [12]byte
	rand.Read(b[:])
	return "nudge-" + hex.EncodeToString(b[:])
}
