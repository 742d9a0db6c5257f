package bridge

import (
	"errors"
	"maps"
	"slices"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// Client says what signed on. Proto is the dialect's name: a switchboard
// connection that presents a cookie of this session speaks it too.
type Client struct {
	Proto       string
	Program     string // as the client named itself in CVR
	MaxContacts int    // the longest forward list it takes, 0: any
	GroupZero   bool   // to it everybody on the forward list is in a group, and who is in none other in group 0
	Emoji       bool   // its system draws them: for the switchboard to know
	Pictures    bool   // it can show those of contacts
	Remote      string // its address and port
	Local       string // those of the box that it came to
}

// Session is one signed-on client. Its methods may be called from the
// connection's reader goroutine.
type Session struct {
	hub    *Hub
	acct   *account
	client Client
	sink   im.Sink
	since  time.Time // signed on
	now    im.Presence

	promised *im.Picture // what the client shows of itself, as it says
	ready    bool        // the first presence was set: the client takes events
	deaf     bool        // it wants no conversations
	site     string      // what its links to files begin with, "" when it gets none
	ended    bool
	hidden   map[im.Addr]bool // of the forward list, whom the client has no room for
	zero     map[im.Addr]bool // whom the client has in group 0 beside others
}

// What a client can be told about why a request failed. The notification
// server and the switchboard turn them into wire codes (MSNP.md G).
var (
	ErrNoAccount    = errors.New("no such account")
	ErrBadHandle    = errors.New("this is no address")
	ErrNoSuchUser   = errors.New("nobody of that name")
	ErrNoAnswer     = errors.New("nobody can say now who that is: a link is down")
	ErrListFull     = errors.New("the list is full")
	ErrOnList       = errors.New("already on the list")
	ErrNotOnList    = errors.New("not on the list")
	ErrOpposite     = errors.New("on the opposite list")
	ErrTooMany      = errors.New("too many groups")
	ErrNoGroup      = errors.New("no such group")
	ErrNotInGroup   = errors.New("not in that group")
	ErrGroupExists  = errors.New("a group of that name exists")
	ErrGroupName    = errors.New("this is no name for a group")
	ErrGroupZero    = errors.New("the first group can't be removed")
	ErrUnchanged    = errors.New("already so")
	ErrName         = errors.New("this is no name")
	ErrHidden       = errors.New("not while hidden or signed off")
	ErrManyChats    = errors.New("too many conversations are open")
	ErrFull         = errors.New("the conversation is full")
	ErrNotReachable = errors.New("not on-line")
	ErrPresent      = errors.New("already in the conversation")
	ErrCookie       = errors.New("this cookie is used up, expired or somebody else's")
	ErrAlone        = errors.New("nobody else is in the conversation")
	ErrClosed       = errors.New("the box is shutting down")
)

// SignOn attaches a client that has proved to be handle. Of the sessions the
// account has, the oldest make room: they end with SignedOff{Elsewhere} first
// (MSNP.md B.17).
func (h *Hub) SignOn(handle string, c Client, sink im.Sink) (*Session, error) {
	site := ""
	if h.fileSite != nil {
		site = h.fileSite(c.Local)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.accounts[canonical(handle)]
	switch {
	case h.closed:
		return nil, ErrClosed
	case a == nil:
		return nil, ErrNoAccount
	}
	for len(a.sessions) >= h.limits.Sessions {
		a.sessions[0].end(im.Elsewhere)
	}
	s := &Session{hub: h, acct: a, client: c, sink: sink, since: time.Now(), site: site}
	s.hide()
	a.sessions = append(a.sessions, s)
	for _, p := range a.ports {
		p.wake()
	}
	return s, nil
}

// Person is the account as others see it.
func (s *Session) Person() im.Person {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.acct.person()
}

// SetPresence shows p to everybody who may see the account; note and media stay
// as SetNote set them. Picture is what Object stands for, as the client says. The first time, the sink gets the presence of every
// contact that is there, with Re set to re (ILN, MSNP.md B.10), and then the
// messages that waited.
func (s *Session) SetPresence(p im.Presence, re string) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.ended {
		return
	}
	before := s.acct.shown()
	p.Note, p.Media, p.Playing = s.now.Note, s.now.Media, s.now.Playing
	s.promised, p.Picture = p.Picture, s.acct.ownPicture(p.Picture)
	s.now = p
	h.presenceMoved(s.acct, before)
	if s.ready {
		return
	}
	s.ready = true
	for c := range s.acct.sorted() {
		s.announce(c, re)
	}
	s.acct.fetchWaiting()
	s.sayHidden()
	s.acct.identify()
	s.acct.hearOutages()
}

// SetNote shows the note and the media of p beside the presence. Before the
// first SetPresence nobody is told.
func (s *Session) SetNote(p im.Presence) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	before := s.acct.shown()
	s.now.Note, s.now.Media, s.now.Playing = p.Note, p.Media, p.Playing
	if s.ready && !s.ended {
		h.presenceMoved(s.acct, before)
	}
}

// Presence is what this session shows.
func (s *Session) Presence() im.Presence {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.now
}

// SetDeaf says that the client wants no conversations for now (IMS OFF, MSNP.md
// B.14). What is written to the account meanwhile waits.
func (s *Session) SetDeaf(deaf bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.deaf = deaf
	if !deaf {
		for _, t := range s.acct.threads {
			t.pump()
		}
	}
}

// listens says whether the client can be asked into a conversation.
func (s *Session) listens() bool { return s.ready && !s.deaf }

// Announce delivers presence and properties of one contact, as after ADD FL.
func (s *Session) Announce(who, re string) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	c := s.acct.find(who)
	if c == nil {
		return
	}
	if s.ready {
		s.announce(c, re)
	}
	s.tellProperties(c)
}

// announce tells the client about c if he is on its forward list and there.
// The lock is held.
func (s *Session) announce(c *contact, re string) {
	if !c.on(FL) || s.hides(c) {
		return
	}
	if now := s.acct.sees(c); isThere(now) {
		if s.client.Pictures {
			s.acct.wishFor(c)
		}
		s.sink.Deliver(im.PresenceChanged{Who: s.acct.show(c), Now: now, Re: re}, nil)
	}
}

// maxName is the longest friendly name in bytes (MSNP.md A.5).
const maxName = 387

// SetName changes the account's own name and returns the new list version.
func (s *Session) SetName(name string) (uint64, error) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if name = im.OneLine(name); name == "" || len(name) > maxName {
		return 0, ErrName
	}
	s.acct.rec.Name = name
	v := s.acct.bump()
	h.put(store.Soon, s.acct)
	h.nameMoved(s.acct)
	return v, nil
}

// Close signs the client off.
func (s *Session) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.leave()
}

// end signs the client off from our side, its conversations too: what is said
// from now on is for the next session. The lock is held.
func (s *Session) end(why im.SignOff) {
	if s.ended {
		return
	}
	s.sink.Deliver(im.SignedOff{Why: why}, nil)
	for _, c := range s.hub.chats {
		for _, seat := range slices.Clone(c.seats) {
			if seat.session == s {
				seat.sink.Deliver(im.SignedOff{Why: why}, nil)
				seat.leave(false)
			}
		}
	}
	s.leave()
}

// leave takes the session away and lets the contacts see it. The lock is held.
func (s *Session) leave() {
	if s.ended {
		return
	}
	s.ended = true
	maps.DeleteFunc(s.hub.cookies, func(_ string, a *admission) bool { return a.session == s })
	before := s.acct.shown()
	s.acct.sessions = slices.DeleteFunc(s.acct.sessions, func(o *Session) bool { return o == s })
	s.hub.presenceMoved(s.acct, before)
	if len(s.acct.sessions) == 0 {
		s.acct.rest()
		for _, p := range s.acct.ports {
			p.drowse()
		}
	}
}

// CheckPassword tells whether password is the account's, and the account's
// spelling of handle. It costs the hash's time and is called without the lock.
func (h *Hub) CheckPassword(handle, password string) (spelled string, ok bool) {
	rec, found := h.record(handle)
	return rec.Handle, rec.Password.Matches(password) && found
}

// record is an account as it was put on disk, or will be.
func (h *Hub) record(handle string) (rec store.Account, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.accounts[canonical(handle)]; a != nil {
		return a.rec, true
	}
	return rec, false
}

// HasAccount tells whether there is an account of that handle.
func (h *Hub) HasAccount(handle string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.accounts[canonical(handle)] != nil
}

// MD5Secret is the clear password for the sign-in of MSNP2–7, when the account
// allows that.
func (h *Hub) MD5Secret(handle string) (secret string, ok bool) {
	rec, _ := h.record(handle)
	if !rec.MD5 {
		return "", false
	}
	plain, err := h.db.Unseal(md5Context(rec.Handle), rec.MD5Secret)
	if err != nil {
		h.log.Error("the sealed password can't be opened; set it again with nudge user passwd", "account", rec.Handle, "err", err)
		return "", false
	}
	return string(plain), true
}

func md5Context(handle string) string { return "md5 " + canonical(handle) }
