package web

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"nudge/cmd/nudge/control"
)

// sessionPath is where everything behind the door lies.
const sessionPath = "/s/"

// How long a session lasts without being used, how many there may be (the oldest
// makes room), and how long an invitation to link is good.
const (
	sessionTime    = 30 * time.Minute
	mostSessions   = 64
	invitationTime = 10 * time.Minute
)

// session is somebody who has come in. The lock of sessions guards what changes.
type session struct {
	token    string
	from     netip.Addr
	handle   string // "": who claimed a box that nobody owns
	linkOnly bool   // came by an invitation of the box's contact
	used     time.Time
	told     told
}

// told is what the next page says about what was done on the last one.
type told struct {
	Good, Bad string
	Typed     map[string]string // what was typed into the form that failed, without secrets
}

// invitation lets an account's person in once, to link it.
type invitation struct {
	handle string
	until  time.Time
}

type sessions struct {
	mu      *sync.Mutex
	all     map[string]*session
	invited map[string]invitation
}

func newSessions() sessions {
	return sessions{new(sync.Mutex), map[string]*session{}, map[string]invitation{}}
}

// begin makes a session and returns its token.
func (ss sessions) begin(s session) string {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	now := time.Now()
	var oldest *session
	for token, o := range ss.all {
		if now.Sub(o.used) > sessionTime {
			delete(ss.all, token)
		} else if oldest == nil || o.used.Before(oldest.used) {
			oldest = o
		}
	}
	if len(ss.all) >= mostSessions {
		delete(ss.all, oldest.token)
	}
	s.token, s.used = rand.Text(), now
	ss.all[s.token] = &s
	return s.token
}

// find looks a session up. What it has to tell is told once.
func (ss sessions) find(token string, from netip.Addr, look bool) (s session, ok bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	found := ss.all[token]
	if found == nil || found.from != from || time.Since(found.used) > sessionTime {
		return session{}, false
	}
	found.used = time.Now()
	s = *found
	if look {
		found.told = told{}
	}
	return s, true
}

// change alters a session that is still there.
func (ss sessions) change(token string, with func(*session)) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.all[token]; s != nil {
		with(s)
	}
}

func (ss sessions) end(token string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.all, token)
}

// SignOut ends the sessions of an account, as after a new password.
func (p *Pages) SignOut(handle string) {
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	for token, s := range p.sessions.all {
		if same(s.handle, handle) {
			delete(p.sessions.all, token)
		}
	}
}

// LinkPage makes a path under which the account's person can link it, once and
// within ten minutes.
func (p *Pages) LinkPage(handle string) string {
	ss := p.sessions
	ss.mu.Lock()
	defer ss.mu.Unlock()
	now := time.Now()
	for token, i := range ss.invited {
		if same(i.handle, handle) || now.After(i.until) {
			delete(ss.invited, token)
		}
	}
	token := rand.Text()
	ss.invited[token] = invitation{handle, now.Add(invitationTime)}
	return "/link/" + token
}

// take spends an invitation.
func (ss sessions) take(token string) (handle string, ok bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	i, ok := ss.invited[token]
	delete(ss.invited, token)
	return i.handle, ok && time.Now().Before(i.until)
}

// right is what a page asks of who wants to see it.
type right uint8

const (
	anybody  right = iota // who came in
	newOwner              // who claimed the box, or owns it
	owners
	family  // about one account: its person, a parent's, or an owner
	linkers // like family, but no child about itself; also by an invitation
)

// enter shows a page to who has a session and the right to see it.
func (p *Pages) enter(w http.ResponseWriter, r *http.Request, c closedPage) {
	v := &visit{pages: p, w: w, r: r, from: peer(r)}
	s, ok := p.sessions.find(r.PathValue("token"), v.from, r.Method == http.MethodGet)
	if !ok {
		v.refuse(http.StatusForbidden, "You have been away for too long, or this address was made for another PC. Please sign in again.")
		return
	}
	v.session, v.base = &s, sessionPath+s.token+"/"
	if err := v.recognise(); err != nil {
		p.sessions.end(s.token)
		v.refuse(http.StatusForbidden, err.Error()+". Please sign in again.")
		return
	}
	if why := v.may(c.right); why != "" {
		v.refuse(http.StatusForbidden, why)
		return
	}
	if err := c.show(v); err != nil {
		p.Log.Error("a page can't be shown", "page", c.pattern, "err", err)
		v.refuse(http.StatusInternalServerError, err.Error())
	}
}

// recognise finds out who the session's person is now.
func (v *visit) recognise() (err error) {
	if v.session.handle == "" {
		return nil
	}
	if v.users, err = v.control().Users(v.r.Context()); err != nil {
		return err
	}
	v.me = v.user(v.session.handle)
	if v.me == nil {
		return control.ErrWrongPassword
	}
	return nil
}

// may says why a page is not for this person, "" when it is.
func (v *visit) may(want right) string {
	owner := v.me != nil && v.me.Owner
	switch {
	case v.session.linkOnly && want != linkers && want != anybody:
		return "You came by a link of the box's own contact, which is good for linking only. Sign in with your password for the rest."
	case want == anybody:
		return ""
	case want == newOwner && v.me == nil, owner && (want < family):
		return ""
	case v.me == nil || want < family:
		return notForYou
	}
	v.about = v.user(v.r.FormValue("h"))
	switch {
	case v.about == nil && owner:
		return "There is no such account."
	case v.about == nil:
		return notForYou
	}
	return v.over(v.about, want)
}

const notForYou = "This page is not for you. Ask the owner of the box."

// over says why a page of right family or linkers is not for this person when it is
// about that account, "" when it is.
func (v *visit) over(about *control.User, want right) string {
	switch {
	case v.me.Owner, same(about.Parent, v.me.Handle):
		return ""
	case !same(about.Handle, v.me.Handle):
		return notForYou
	case want == linkers && v.me.Parent != "":
		return "Your account is that of a child: " + v.me.Parent + " can link it."
	}
	return ""
}

func (v *visit) user(handle string) *control.User {
	for i := range v.users {
		if same(v.users[i].Handle, handle) {
			return &v.users[i]
		}
	}
	return nil
}

// same compares handles.
func same(x, y string) bool { return strings.EqualFold(strings.TrimSpace(x), strings.TrimSpace(y)) }
