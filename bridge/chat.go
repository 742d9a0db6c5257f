package bridge

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"nudge/bridge/im"
)

// chat is one switchboard session. Seats are clients of this box; guests are
// the people who take part without a client here. The hub's lock guards it.
type chat struct {
	hub    *Hub
	id     uint32
	seats  []*Seat
	guests []*guest
}

// guest is a contact of owner, whose link carries what is said to him.
type guest struct {
	owner   *account
	c       *contact
	members []member // of a room, those whom the clients were told of
}

// admission is what a switchboard cookie stands for. It is good once.
type admission struct {
	session *Session
	chat    uint32 // 0: a new one
	until   time.Time
}

// cookieLife is how long a cookie may wait for its connection (MSNP.md K.11).
const cookieLife = 2 * time.Minute

// Seat is one client's place in a switchboard session.
type Seat struct {
	hub     *Hub
	session *Session
	acct    *account
	sink    im.Sink
	chat    *chat
	opened  bool // the session, with a cookie of XFR
	me      im.Person
}

// Cookie admits the client to a switchboard session of its own (XFR SB). It is
// refused while the client is hidden, deaf or has no presence yet (MSNP.md B.11),
// and when the account has too many.
func (s *Session) Cookie() (string, error) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.ended || s.deaf || s.now.Status == im.Hidden || s.now.Status == im.Offline {
		return "", ErrHidden
	}
	h.sweep()
	open := s.acct.chats
	for _, a := range h.cookies {
		if a.chat == 0 && a.session.acct == s.acct {
			open++
		}
	}
	if open >= h.limits.Chats {
		return "", ErrManyChats
	}
	return h.admit(s, 0), nil
}

// sweep drops the cookies that nobody used. The lock is held.
func (h *Hub) sweep() {
	now := time.Now()
	for k, a := range h.cookies {
		if now.After(a.until) {
			delete(h.cookies, k)
		}
	}
}

// admit makes a cookie. Who is invited into one session again and again gets the
// same one. The lock is held.
func (h *Hub) admit(s *Session, chat uint32) string {
	h.sweep()
	until := time.Now().Add(cookieLife)
	for k, a := range h.cookies {
		if chat != 0 && a.chat == chat && a.session == s {
			a.until = until
			return k
		}
	}
	var b [10]byte
	rand.Read(b[:])
	k := hex.EncodeToString(b[:])
	h.cookies[k] = &admission{session: s, chat: chat, until: until}
	return k
}

// redeem uses a cookie up. The lock is held.
func (h *Hub) redeem(cookie, handle string) (*admission, error) {
	a := h.cookies[cookie]
	if a == nil || h.closed || time.Now().After(a.until) || a.session.acct.key != canonical(handle) {
		return nil, ErrCookie
	}
	delete(h.cookies, cookie)
	return a, nil
}

// Admission tells which client a cookie was made for, without using it up: a
// switchboard connection must know its dialect before it is let in.
func (h *Hub) Admission(cookie string) (Client, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.cookies[cookie]
	if a == nil {
		return Client{}, false
	}
	return a.session.client, true
}

// Open seats the client that a cookie of XFR admits in a new session. welcome
// runs before anything is delivered; like Deliver it only queues.
func (h *Hub) Open(cookie, handle string, sink im.Sink, welcome func(me im.Person)) (*Seat, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ad, err := h.redeem(cookie, handle)
	if err != nil || ad.chat != 0 {
		return nil, ErrCookie
	}
	c := h.newChat()
	s := c.seat(ad.session, sink)
	s.opened = true
	s.acct.chats++
	welcome(s.me)
	return s, nil
}

// Answer seats the client that was invited into session. welcome gets who is
// there already and runs before anything is delivered; it only queues.
func (h *Hub) Answer(cookie, handle string, session uint32, sink im.Sink, welcome func(me im.Person, present []im.Membership)) (*Seat, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ad, err := h.redeem(cookie, handle)
	if err != nil || ad.chat != session || h.chats[session] == nil {
		return nil, ErrCookie
	}
	c := h.chats[session]
	if c.full() {
		return nil, ErrFull
	}
	for _, g := range c.guests {
		c.follow(g) // nobody was there to see who moved while the client was called
	}
	present := c.present()
	s := c.seat(ad.session, sink)
	welcome(s.me, present)
	c.tell(s, s.joined())
	for _, g := range c.guests {
		if g.owner == s.acct {
			t := s.acct.thread(g.c.addr())
			t.seat = s
			t.stopRing()
			t.pump()
		}
	}
	return s, nil
}

// newChat makes a session with an unguessable id that fits an int32.
func (h *Hub) newChat() *chat {
	for {
		var b [4]byte
		rand.Read(b[:])
		id := binary.BigEndian.Uint32(b[:]) >> 1
		if id != 0 && h.chats[id] == nil {
			c := &chat{hub: h, id: id}
			h.chats[id] = c
			return c
		}
	}
}

func (c *chat) seat(s *Session, sink im.Sink) *Seat {
	st := &Seat{hub: c.hub, session: s, acct: s.acct, sink: sink, chat: c, me: s.acct.person()}
	c.seats = append(c.seats, st)
	return st
}

// full tells whether the session has room for nobody else.
func (c *chat) full() bool { return len(c.seats)+len(c.guests) >= c.hub.limits.Members }

// present lists everybody in the session.
func (c *chat) present() []im.Membership {
	var ms []im.Membership
	for _, s := range c.seats {
		ms = append(ms, s.joined())
	}
	for _, g := range c.guests {
		for _, p := range g.everybody() {
			ms = append(ms, im.Membership{Who: p, Joined: true})
		}
	}
	return ms
}

// joined is what the others are told of a seat.
func (s *Seat) joined() im.Membership {
	return im.Membership{Who: s.me, Caps: s.session.now.Caps, Joined: true}
}

// tell delivers ev to every seat but one.
func (c *chat) tell(but *Seat, ev im.Event) {
	for _, s := range c.seats {
		if s != but {
			s.sink.Deliver(ev, nil)
		}
	}
}

// Call invites who. ringing gets the session's id before anything that follows
// from the call is delivered; it only queues. A contact on a network joins at
// once, a client of this box when it answers.
func (s *Seat) Call(who string, ringing func(session uint32)) error {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.chat == nil || h.closed {
		return ErrClosed
	}
	if !validHandle(who) {
		return ErrBadHandle
	}
	if s.chat.full() {
		return ErrFull
	}
	if c := s.acct.find(who); c != nil && c.Net != "" {
		return s.callGuest(c, ringing)
	}
	other := h.accounts[canonical(who)]
	switch {
	case other == nil:
		return ErrNotReachable
	case slices.ContainsFunc(s.chat.seats, func(o *Seat) bool { return o.acct == other }):
		return ErrPresent
	case !other.visible(s.acct.addr()), seenByOthers(other.shown()).Status == im.Offline,
		!slices.ContainsFunc(other.sessions, (*Session).listens):
		return ErrNotReachable
	}
	ringing(s.chat.id)
	for _, o := range other.sessions {
		if o.listens() {
			o.sink.Deliver(im.Invitation{From: s.me, Cookie: h.admit(o, s.chat.id), Session: s.chat.id}, nil)
		}
	}
	return nil
}

func (s *Seat) callGuest(c *contact, ringing func(uint32)) error {
	if slices.ContainsFunc(s.chat.guests, func(g *guest) bool { return g.c == c }) {
		return ErrPresent
	}
	if s.acct.port(c.Net) == nil {
		return ErrNotReachable
	}
	ringing(s.chat.id)
	g := newGuest(s.acct, c)
	s.chat.guests = append(s.chat.guests, g)
	for _, p := range g.everybody() {
		s.chat.tell(nil, im.Membership{Who: p, Joined: true})
	}
	t := s.acct.thread(c.addr())
	t.seat = s
	t.stopRing()
	t.pump()
	return nil
}

// Leave gives the seat up; idle says that it was quiet for too long.
func (s *Seat) Leave(idle bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.leave(idle)
}

func (s *Seat) leave(idle bool) {
	c := s.chat
	if c == nil {
		return
	}
	s.chat = nil
	if s.opened {
		s.acct.chats--
	}
	c.seats = slices.DeleteFunc(c.seats, func(o *Seat) bool { return o == s })
	c.tell(nil, im.Membership{Who: s.me, Idle: idle})
	c.guests = slices.DeleteFunc(c.guests, func(g *guest) bool {
		if g.owner != s.acct {
			return false
		}
		for _, p := range g.everybody() {
			c.tell(nil, im.Membership{Who: p, Idle: idle})
		}
		return true
	})
	if len(c.seats) == 0 {
		delete(s.hub.chats, c.id)
	}
	for _, t := range s.acct.threads {
		if t.seat == s {
			t.seat = nil
			t.pump()
		}
	}
}

// Person is the account as the others in the conversation know it.
func (s *Seat) Person() im.Person { return s.me }

// Client is the client whose session this seat belongs to.
func (s *Seat) Client() Client { return s.session.client }
