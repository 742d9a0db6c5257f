package matrix

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// view is what the hub was last told of contacts and their presence. Only the
// emitter uses it.
type view struct {
	contacts map[string]im.Contact // nil: nothing told yet
	shown    map[string]im.Presence
}

// update tells the hub what has changed in memory since the last time: the
// whole contact list the first time, the presence of everybody on it, and who is
// in its rooms.
func (v *view) update(m *memory, now time.Time, window time.Duration) []im.Event {
	contacts, presence, ready := m.list(now, window)
	if !ready {
		return nil
	}
	first := v.contacts == nil
	var events []im.Event
	if change := v.roster(contacts); change.Full || len(change.Items)+len(change.Gone) > 0 {
		events = append(events, change)
	}
	v.contacts = contacts
	if v.shown == nil {
		v.shown = map[string]im.Presence{}
	}
	for _, k := range slices.Sorted(maps.Keys(presence)) {
		if old, ok := v.shown[k]; !ok || old != presence[k] {
			events = append(events, im.PresenceChanged{Who: contacts[k].Person, Now: presence[k]})
		}
	}
	v.shown = presence
	for _, room := range m.crowds(first) {
		events = append(events, room)
	}
	return events
}

func (v *view) roster(contacts map[string]im.Contact) im.Roster {
	change := im.Roster{Full: v.contacts == nil}
	for _, k := range slices.Sorted(maps.Keys(contacts)) {
		if old, ok := v.contacts[k]; !ok || !reflect.DeepEqual(old, contacts[k]) {
			change.Items = append(change.Items, contacts[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(v.contacts)) {
		if _, ok := contacts[k]; !ok {
			change.Gone = append(change.Gone, v.contacts[k].Addr)
		}
	}
	return change
}

// list is the contact list as memory has it, with what each person on it
// shows. Not ready means that it is not complete yet.
func (m *memory) list(now time.Time, window time.Duration) (map[string]im.Contact, map[string]im.Presence, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ready {
		return nil, nil, false
	}
	cs := map[string]im.Contact{}
	presence := map[string]im.Presence{}
	for r, rm := range m.rooms {
		switch u := m.with(r); {
		case rm.Membership == event.MembershipInvite:
			m.listInvitation(cs, r, rm)
		case rm.Expelled:
			c := m.contact(string(m.root(r)))
			c.Follows = true
			cs[c.ID] = c
			presence[c.ID] = im.Presence{Status: im.Offline}
		case rm.Membership != event.MembershipJoin || rm.Space:
		case u != "" && rm.Successor == "":
			c := m.contact(string(u))
			c.Follows, c.Followed, c.Asked, c.Note = true, true, false, ""
			cs[c.ID] = c
		case u == "" && m.after(r) == "" && (rm.Successor == "" || rm.Pursued):
			c := m.contact(string(m.root(r)))
			c.Follows, c.Followed = true, true
			cs[c.ID] = c
			presence[c.ID] = im.Presence{Status: im.Online, Note: m.note(r), Avatar: rm.Avatar}
		}
	}
	for addr, e := range m.entries {
		c, there := cs[addr]
		switch {
		case e.Hidden && !c.Asked:
			delete(cs, addr)
		case e.Added && !there:
			c = m.contact(addr)
			c.Follows = true
			cs[addr] = c
		case e.Added:
			c.Follows = true
			cs[addr] = c
		}
	}
	for u := range m.ignored {
		c, there := cs[string(u)]
		if !there {
			c = m.contact(string(u))
		}
		c.Blocked = true
		cs[string(u)] = c
	}
	groups := m.groups()
	for addr, c := range cs {
		if e := m.entries[addr]; c.Follows && (e == nil || !e.Grouped && len(e.Groups) == 0) {
			c.Groups = groups[addr]
			cs[addr] = c
		}
		if c.Follows && !c.Room {
			presence[addr] = m.person(id.UserID(addr)).shows(now, window)
		}
	}
	maps.DeleteFunc(presence, func(addr string, _ im.Presence) bool { return !cs[addr].Follows })
	return cs, presence, true
}

// listInvitation adds who asks: the person for a direct room, else the room.
// Somebody already on the list is not asked about again.
func (m *memory) listInvitation(cs map[string]im.Contact, r id.RoomID, rm *room) {
	c := m.contact(string(r))
	if rm.Direct {
		c = m.contact(string(rm.Inviter))
	}
	if cs[c.ID].Follows || m.ignored[rm.Inviter] || m.continues(r) {
		return
	}
	c.Asked, c.Note = true, m.request(rm)
	cs[c.ID] = c
}

// requestFor is request for those who don't hold mu.
func (m *memory) requestFor(rm *room) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.request(rm)
}

// request is what an invitation says: into a room it is others who invite. mu is
// held.
func (m *memory) request(rm *room) string {
	if rm.Direct || rm.Inviter == "" {
		return rm.Note
	}
	name := rm.Inviter.Localpart()
	if p := m.people[rm.Inviter]; p != nil && p.Name != "" {
		name = p.Name
	}
	what := "room"
	if rm.Space {
		what = "space, which is a group of rooms"
	}
	return strings.TrimSpace(name + " invites you to this " + what + ". " + im.OneLine(rm.Note))
}

// contact is a contact without his standing. mu is held.
func (m *memory) contact(addr string) im.Contact {
	c := im.Contact{Person: im.Person{Addr: im.Addr{Net: Name, ID: addr}}, Room: strings.HasPrefix(addr, "!")}
	if c.Room {
		c.Name = m.title(m.tip(id.RoomID(addr)))
	} else if p := m.people[id.UserID(addr)]; p != nil {
		c.Name = p.Name
	}
	if e := m.entries[addr]; e != nil {
		c.Name = cmp.Or(e.Name, c.Name)
		c.Groups = e.Groups
	}
	return c
}

// title is a room's name: its own, its alias, or some of its members. mu is
// held.
func (m *memory) title(r id.RoomID) string {
	rm := m.rooms[r]
	if rm == nil {
		return ""
	}
	if s := cmp.Or(rm.Name, rm.Alias); s != "" {
		return s
	}
	var names []string
	for _, u := range rm.Heroes {
		name := u.Localpart()
		if p := m.people[u]; p != nil && p.Name != "" {
			name = p.Name
		}
		names = append(names, name)
	}
	if len(names) == 0 && rm.Inviter != "" {
		return "Room of " + rm.Inviter.Localpart()
	}
	return strings.Join(names, ", ")
}
