package matrix

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// accountData takes in m.direct, m.ignored_user_list and m.push_rules. It tells who is not
// ignored any more.
func (m *memory) accountData(events evts) (heard []id.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		switch e.Type {
		case event.AccountDataDirectChats.Type:
			raw, _ := decode[map[id.UserID]json.RawMessage](e.Content)
			m.direct = map[id.UserID][]id.RoomID{}
			for u, list := range raw {
				if rooms, ok := decode[[]id.RoomID](list); ok && len(rooms) > 0 {
					m.direct[u] = rooms
				}
			}
			m.index()
			m.dirty[directKey] = true
		case event.AccountDataIgnoredUserList.Type:
			list, _ := decode[ignoredUsers](e.Content)
			before := m.ignored
			m.ignored = map[id.UserID]bool{}
			for u := range list.Users {
				m.ignored[u] = true
				delete(before, u)
				delete(m.unheard, u)
			}
			for u := range m.unheard { // the list is from before the user blocked him here
				m.ignored[u] = true
				delete(before, u)
			}
			heard = slices.Sorted(maps.Keys(before))
			m.dirty[ignoredKey] = true
		case event.AccountDataPushRules.Type:
			m.hush = readHush(e.Content)
			m.dirty[hushKey] = true
		}
	}
	return heard
}

// ignores tells whether u is on the account's ignored users.
func (m *memory) ignores(u id.UserID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ignored[u]
}

// ignoredUsers is the content of m.ignored_user_list.
type ignoredUsers struct {
	Users map[id.UserID]json.RawMessage `json:"ignored_users"`
}

// change takes in one state event of a room the account is in.
func (m *memory) change(r id.RoomID, e *evt) {
	if e.StateKey == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	rm, key := m.room(r), roomKey+string(r)
	switch e.Type {
	case event.StateCreate.Type:
		c, _ := decode[event.CreateEventContent](e.Content)
		set(m, key, &rm.Space, c.Type == event.RoomTypeSpace)
		if c.Predecessor != nil {
			set(m, key, &rm.Continues, c.Predecessor.RoomID)
		}
	case event.StateRoomName.Type:
		c, _ := decode[event.RoomNameEventContent](e.Content)
		set(m, key, &rm.Name, c.Name)
		m.stir(r)
	case event.StateTopic.Type:
		c, _ := decode[event.TopicEventContent](e.Content)
		set(m, key, &rm.Topic, c.Topic)
		m.stir(r)
	case event.StateRoomAvatar.Type:
		c, _ := decode[struct{ URL string }](e.Content)
		set(m, key, &rm.Avatar, c.URL)
	case event.StateSpaceChild.Type:
		c, _ := decode[spaceChild](e.Content)
		m.child(r, id.RoomID(*e.StateKey), len(c.Via) > 0)
	case event.StateCanonicalAlias.Type:
		c, _ := decode[event.CanonicalAliasEventContent](e.Content)
		set(m, key, &rm.Alias, string(c.Alias))
	case event.StateEncryption.Type:
		set(m, key, &rm.Encrypted, true)
	case event.StateTombstone.Type:
		c, _ := decode[event.TombstoneEventContent](e.Content)
		set(m, key, &rm.Successor, c.ReplacementRoom)
	case event.StateMember.Type:
		c, ok := decode[event.MemberEventContent](e.Content)
		m.moved(r, id.UserID(*e.StateKey), c.Membership)
		if !ok || !c.Membership.IsInviteOrJoin() {
			return
		}
		m.member(id.UserID(*e.StateKey), c)
		if c.IsDirect && e.Sender == m.me && c.Membership == event.MembershipInvite {
			m.pair(r, id.UserID(*e.StateKey)) // ours; m.direct follows
		}
	}
}

// member notes a user's name and picture. mu is held.
func (m *memory) member(u id.UserID, c event.MemberEventContent) {
	if u == m.me {
		return
	}
	p, key := m.person(u), personKey+string(u)
	set(m, key, &p.Name, c.Displayname)
	set(m, key, &p.Avatar, string(c.AvatarURL))
}

// enter notes that the account is in a room, with the counts that came along.
// It tells whether it was not in it before, and who had asked it into a direct
// conversation: another device of the account may join without saying so in
// m.direct.
func (m *memory) enter(r id.RoomID, j *joinedRoom) (fresh bool, asked id.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm, key := m.room(r), roomKey+string(r)
	fresh = rm.Membership != event.MembershipJoin
	count := rm.Joined
	if rm.Membership == event.MembershipInvite && rm.Direct {
		asked = rm.Inviter
		m.pair(r, asked)
	}
	set(m, key, &rm.Membership, event.MembershipJoin)
	set(m, key, &rm.Expelled, false)
	if j.Summary.Joined != nil {
		set(m, key, &rm.Joined, *j.Summary.Joined)
	}
	if j.Summary.Invited != nil {
		set(m, key, &rm.Invited, *j.Summary.Invited)
	}
	if j.Summary.Heroes != nil && !slices.Equal(rm.Heroes, j.Summary.Heroes) {
		rm.Heroes = j.Summary.Heroes
		m.dirty[key] = true
	}
	if fresh || rm.Joined != count {
		m.stir(r)
	}
	m.outgrown(r, j.Timeline.Limited)
	return fresh, asked
}

// invited takes in an invitation. Ok is false when it does not say from whom.
func (m *memory) invited(r id.RoomID, state evts) (rm room, ok bool) {
	for i := range state {
		m.change(r, &state[i])
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known, key := m.room(r), roomKey+string(r)
	for _, e := range state {
		if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey != string(m.me) {
			continue
		}
		c, _ := decode[event.MemberEventContent](e.Content)
		set(m, key, &known.Membership, event.MembershipInvite)
		set(m, key, &known.Expelled, false)
		set(m, key, &known.Inviter, e.Sender)
		set(m, key, &known.Direct, c.IsDirect)
		set(m, key, &known.Note, c.Reason)
		ok = true
	}
	return *known, ok
}

// spoke notes that somebody wrote in a room at a time (ms): the newest room
// of a person is where answers go, and a removed contact who writes is back.
func (m *memory) spoke(r id.RoomID, u id.UserID, at int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm := m.room(r)
	if at > rm.Last {
		rm.Last = at
		key := roomKey + string(r)
		if _, noted := m.dirty[key]; !noted {
			m.dirty[key] = false // it can wait
		}
	}
	if u == m.me {
		return
	}
	m.alive(u, at)
	conv := string(m.root(r))
	if w := m.with(r); w != "" {
		conv = string(w)
	}
	if e := m.entries[conv]; e != nil && e.Hidden {
		e.Hidden = false
		m.dirty[entryKey+conv] = true
	}
}

// alive notes a sign of life of u (ms). mu is held.
func (m *memory) alive(u id.UserID, at int64) {
	t := time.UnixMilli(at)
	if now := time.Now(); t.After(now) {
		t = now
	}
	if p := m.person(u); t.After(p.active) {
		p.active = t
	}
}

// writing takes in m.typing and tells who began and who stopped.
func (m *memory) writing(r id.RoomID, users []id.UserID, now time.Time) (began, stopped []id.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm, are := m.room(r), map[id.UserID]bool{}
	for _, u := range users {
		if u == m.me {
			continue
		}
		are[u] = true
		if !rm.typing[u] {
			began = append(began, u)
		}
		m.alive(u, now.UnixMilli())
	}
	for u := range rm.typing {
		if !are[u] {
			stopped = append(stopped, u)
		}
	}
	rm.typing = are
	slices.Sort(stopped)
	return began, stopped
}

// read takes in m.receipt: somebody who reads is there.
func (m *memory) read(content json.RawMessage) {
	receipts, ok := decode[map[id.EventID]map[string]map[id.UserID]struct {
		At int64 `json:"ts"`
	}](content)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, kinds := range receipts {
		for u, read := range kinds[string(event.ReceiptTypeRead)] {
			if u != m.me {
				m.alive(u, read.At)
			}
		}
	}
}

// tell takes in m.presence.
func (m *memory) tell(events evts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		c, ok := decode[presenceContent](e.Content)
		if !ok || e.Type != event.EphemeralEventPresence.Type || e.Sender == m.me || e.Sender == "" {
			continue
		}
		p := m.person(e.Sender)
		if c.nothing() && p.told == nil {
			continue
		}
		now := presenceIn(c)
		p.told = &now
	}
}

// nameless are the contacts in direct rooms whose profile is still to be
// looked up.
func (m *memory) nameless() (users []id.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for u := range m.direct {
		if p := m.person(u); u != m.me && p.Name == "" && !p.Asked {
			users = append(users, u)
		}
	}
	slices.Sort(users)
	return users
}

// profile notes a looked-up profile.
func (m *memory) profile(u id.UserID, name string, avatar id.ContentURI) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, key := m.person(u), personKey+string(u)
	p.Asked = true
	m.dirty[key] = true
	set(m, key, &p.Name, name)
	if !avatar.IsEmpty() {
		set(m, key, &p.Avatar, avatar.String())
	}
}

// complete says that the contact list may be shown.
func (m *memory) complete() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready = true
}

// nameOf is the name to show for a user, "" unknown.
func (m *memory) nameOf(u id.UserID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.people[u]; p != nil {
		return p.Name
	}
	return ""
}

// personOf is a user as im names him.
func (m *memory) personOf(u id.UserID) im.Person {
	return im.Person{Addr: im.Addr{Net: Name, ID: string(u)}, Name: m.nameOf(u)}
}

// ignore notes that u was put on the account's ignored users or taken off.
func (m *memory) ignore(u id.UserID, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.ignored, u)
	delete(m.unheard, u)
	if on {
		m.ignored[u], m.unheard[u] = true, true
	}
	m.dirty[ignoredKey] = true
}
