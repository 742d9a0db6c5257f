package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// Keys of the link's KV. Every value is JSON.
const (
	roomKey    = "room/"    // + room id: room
	personKey  = "person/"  // + user id: person
	entryKey   = "contact/" // + Addr.ID: entry
	directKey  = "direct"   // the account's m.direct
	ignoredKey = "ignored"  // the account's m.ignored_user_list
	hushKey    = "hush"     // of its m.push_rules
	formKey    = "form"     // which form of all this was asked for
	wornKey    = "worn"     // check sum of the picture that the profile was given
)

// form is raised when /sync is asked for more than before: what is kept of rooms
// lacks it, and /sync from a kept position will not tell it (catchForm). 1: topics,
// pictures, spaces, upgrades and push rules.
const form = 1

// room is what the box knows of one room. /sync tells changes only, so it has
// to be remembered.
type room struct {
	Membership event.Membership `json:"membership"` // the account's own
	Name       string           `json:"name,omitempty"`
	Alias      string           `json:"alias,omitempty"`
	Space      bool             `json:"space,omitempty"`
	Topic      string           `json:"topic,omitempty"`
	Avatar     string           `json:"avatar,omitempty"`    // mxc URI
	Encrypted  bool             `json:"encrypted,omitempty"` // never goes back to false
	Successor  id.RoomID        `json:"successor,omitempty"` // a tombstone names it
	Continues  id.RoomID        `json:"continues,omitempty"` // the room whose successor this one says to be
	Pursued    bool             `json:"pursued,omitempty"`   // the tombstone came while the account was linked
	Joined     int              `json:"joined,omitempty"`    // members with the account, 0 unknown
	Invited    int              `json:"invited,omitempty"`
	Heroes     []id.UserID      `json:"heroes,omitempty"` // some others, for a name
	Inviter    id.UserID        `json:"inviter,omitempty"`
	Direct     bool             `json:"direct,omitempty"`   // the invitation says so
	Note       string           `json:"note,omitempty"`     // words of the invitation
	Last       int64            `json:"last,omitempty"`     // ms of the newest message
	Members    []id.UserID      `json:"members,omitempty"`  // of a small one, without the account, sorted
	Complete   bool             `json:"complete,omitempty"` // Members misses nobody
	Children   []id.RoomID      `json:"children,omitempty"` // of a space, sorted
	Expelled   bool             `json:"expelled,omitempty"` // somebody put the account out; it stays on the list

	clear  bool               // the server said during this connection: not encrypted
	typing map[id.UserID]bool // who is writing now
	moves  int                // changes of its members during this connection
	asked  bool               // for its members
	via    []string           // servers that an alias named
}

// person is what the box knows of a user.
type person struct {
	Name   string `json:"name,omitempty"`
	Avatar string `json:"avatar,omitempty"` // mxc URI
	Asked  bool   `json:"asked,omitempty"`  // the profile was looked up

	told   *im.Presence // what m.presence says, nil when the server says nothing
	active time.Time    // last sign of life
}

// entry is what the user made of a contact on the box's own lists; Matrix has
// no such thing.
type entry struct {
	Added   bool     `json:"added,omitempty"`  // on the list without a room
	Hidden  bool     `json:"hidden,omitempty"` // removed, until something new comes
	Name    string   `json:"name,omitempty"`
	Grouped bool     `json:"grouped,omitempty"` // Groups are the user's, not the spaces'
	Groups  []string `json:"groups,omitempty"`
}

// memory is all that a link knows between two responses of /sync. Its methods
// lock; what they return are copies.
type memory struct {
	me id.UserID

	mu      sync.Mutex
	rooms   map[id.RoomID]*room
	people  map[id.UserID]*person
	entries map[string]*entry
	direct  map[id.UserID][]id.RoomID
	partner map[id.RoomID]id.UserID // direct the other way round
	ignored map[id.UserID]bool
	unheard map[id.UserID]bool // ignored here, and /sync did not say so yet
	hush    hush
	form    int
	worn    string
	stirred map[id.RoomID]bool // rooms that the hub is to hear of
	dirty   map[string]bool    // keys to write; false: it can wait
	saving  chan struct{}      // the turn to write: an older value must not come last
	ready   bool               // the first response is in: the contact list is complete
}

func loadMemory(kv im.KV, me id.UserID) (*memory, error) {
	m := &memory{
		me:    me,
		rooms: map[id.RoomID]*room{}, people: map[id.UserID]*person{}, entries: map[string]*entry{},
		direct: map[id.UserID][]id.RoomID{}, ignored: map[id.UserID]bool{}, unheard: map[id.UserID]bool{}, stirred: map[id.RoomID]bool{}, dirty: map[string]bool{},
		saving: make(chan struct{}, 1),
	}
	err := kv.View(func(tx im.Tx) error {
		if err := scan(tx, roomKey, func(k string) *room { return m.room(id.RoomID(k)) }); err != nil {
			return err
		}
		if err := scan(tx, personKey, func(k string) *person { return m.person(id.UserID(k)) }); err != nil {
			return err
		}
		if err := scan(tx, entryKey, m.entry); err != nil {
			return err
		}
		if b := tx.Get([]byte(directKey)); b != nil {
			if err := json.Unmarshal(b, &m.direct); err != nil {
				return err
			}
		}
		for key, at := range map[string]any{hushKey: &m.hush, formKey: &m.form, wornKey: &m.worn, ignoredKey: &m.ignored} {
			if b := tx.Get([]byte(key)); b != nil {
				if err := json.Unmarshal(b, at); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is known of Matrix rooms: %w", err)
	}
	m.index()
	return m, nil
}

// scan decodes every value under prefix into what of makes for the rest of
// its key.
func scan[T any](tx im.Tx, prefix string, of func(string) *T) error {
	for k, v := range tx.Scan([]byte(prefix)) {
		if err := json.Unmarshal(v, of(strings.TrimPrefix(string(k), prefix))); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

// save writes what changed, and returns after it is durable as far as it must
// not be behind the mark, also what another goroutine is writing just now. When only
// the times of messages changed nothing is written: they ride along with the next
// change, or with flush.
func (m *memory) save(ctx context.Context, kv im.KV) error {
	return m.write(ctx, kv, func() bool { return slices.Contains(slices.Collect(maps.Values(m.dirty)), true) })
}

// flush writes all that changed.
func (m *memory) flush(ctx context.Context, kv im.KV) error {
	return m.write(ctx, kv, func() bool { return len(m.dirty) > 0 })
}

// write writes all that changed, if that is due then. What could not be written has
// still to be.
func (m *memory) write(ctx context.Context, kv im.KV, due func() bool) error {
	select {
	case m.saving <- struct{}{}:
		defer func() { <-m.saving }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	m.mu.Lock()
	if !due() {
		m.mu.Unlock()
		return nil
	}
	values, changed := make(map[string][]byte, len(m.dirty)), maps.Clone(m.dirty)
	urgent := false
	for key, now := range m.dirty {
		b, err := json.Marshal(m.value(key))
		if err != nil {
			m.mu.Unlock()
			return err
		}
		values[key] = b
		urgent = urgent || now && !strings.HasPrefix(key, personKey)
	}
	clear(m.dirty)
	m.mu.Unlock()
	err := kv.Update(func(tx im.Tx) error {
		for k, v := range values {
			if err := tx.Put([]byte(k), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && urgent {
		err = kv.Sync(ctx)
	}
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		for key, now := range changed {
			m.dirty[key] = m.dirty[key] || now
		}
		return fmt.Errorf("write what is known of Matrix rooms: %w", err)
	}
	return nil
}

func (m *memory) value(key string) any {
	kind, rest, _ := strings.Cut(key, "/")
	switch kind + "/" {
	case roomKey:
		return m.rooms[id.RoomID(rest)]
	case personKey:
		return m.people[id.UserID(rest)]
	case entryKey:
		return m.entries[rest]
	}
	switch key {
	case directKey:
		return m.direct
	case hushKey:
		return m.hush
	case formKey:
		return m.form
	case wornKey:
		return m.worn
	}
	return m.ignored
}

// The following are for callers that hold mu.

func (m *memory) room(r id.RoomID) *room {
	if m.rooms[r] == nil {
		m.rooms[r] = &room{}
	}
	return m.rooms[r]
}

func (m *memory) person(u id.UserID) *person {
	if m.people[u] == nil {
		m.people[u] = &person{}
	}
	return m.people[u]
}

func (m *memory) entry(addr string) *entry {
	if m.entries[addr] == nil {
		m.entries[addr] = &entry{}
	}
	return m.entries[addr]
}

func (m *memory) index() {
	m.partner = map[id.RoomID]id.UserID{}
	for u, rooms := range m.direct {
		for _, r := range rooms {
			if u != m.me {
				m.partner[r] = u
			}
		}
	}
}

// with is the person a room is a direct conversation with, "" when it is a
// group: m.direct names it and nobody else is in it.
func (m *memory) with(r id.RoomID) id.UserID {
	u := m.partner[r]
	if rm := m.rooms[r]; u != "" && rm != nil && rm.Joined+rm.Invited <= 2 {
		return u
	}
	return ""
}

// set changes *at and notes that key is to be written.
func set[T comparable](m *memory, key string, at *T, v T) {
	if *at != v {
		*at = v
		m.dirty[key] = true
	}
}

// conv is the contact a room belongs to and, for a direct room, the person.
func (m *memory) conv(r id.RoomID) (conv string, with id.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.with(r); u != "" {
		return string(u), u
	}
	return string(m.root(r)), ""
}

// place is the room to write to for a contact: the room itself or the one that it
// goes on in, or the direct
// room with the newest activity whose other member is still there. "" when
// there is none.
func (m *memory) place(conv string) id.RoomID {
	m.mu.Lock()
	defer m.mu.Unlock()
	if strings.HasPrefix(conv, "!") {
		r := m.tip(id.RoomID(conv))
		if rm := m.rooms[r]; rm != nil && rm.Membership == event.MembershipJoin {
			return r
		}
		return ""
	}
	var usable []id.RoomID
	for _, r := range m.direct[id.UserID(conv)] {
		rm := m.rooms[r]
		alone := rm != nil && rm.Joined > 0 && rm.Joined+rm.Invited < 2
		if rm != nil && m.with(r) != "" && rm.Membership == event.MembershipJoin && rm.Successor == "" && !alone {
			usable = append(usable, r)
		}
	}
	if len(usable) == 0 {
		return ""
	}
	return slices.MaxFunc(usable, func(a, b id.RoomID) int {
		return cmp.Or(cmp.Compare(m.rooms[a].Last, m.rooms[b].Last), cmp.Compare(a, b))
	})
}

// secrecy tells what is known of a room's encryption.
func (m *memory) secrecy(r id.RoomID) (encrypted, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm := m.room(r)
	return rm.Encrypted, rm.Encrypted || rm.clear
}

// learn notes the server's answer about a room's encryption. It never takes
// back that a room is encrypted.
func (m *memory) learn(r id.RoomID, encrypted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm := m.room(r)
	if encrypted {
		set(m, roomKey+string(r), &rm.Encrypted, true)
	} else {
		rm.clear = true
	}
}

// left notes that the account is not in a room any more.
func (m *memory) left(r id.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rm := m.rooms[r]; rm != nil {
		set(m, roomKey+string(r), &rm.Membership, event.MembershipLeave)
		rm.Members, rm.Complete, rm.asked = nil, false, false
	}
}

// joinedDirect notes that the account is in a direct room with u, before /sync
// says so.
func (m *memory) joinedDirect(r id.RoomID, u id.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	set(m, roomKey+string(r), &m.room(r).Membership, event.MembershipJoin)
	m.pair(r, u)
}

// pair notes that a room is a direct one with u. mu is held.
func (m *memory) pair(r id.RoomID, u id.UserID) {
	if !slices.Contains(m.direct[u], r) {
		m.direct[u] = append(m.direct[u], r)
		m.dirty[directKey] = true
		m.index()
	}
}

// follows tells whether a contact is on the user's list.
func (m *memory) follows(addr string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[addr]; e != nil && (e.Hidden || e.Added) {
		return e.Added
	}
	for _, r := range m.direct[id.UserID(addr)] {
		if rm := m.rooms[r]; rm != nil && rm.Membership == event.MembershipJoin {
			return true
		}
	}
	return false
}

// invitations are the rooms a contact's Addr.ID has invited the account to.
func (m *memory) invitations(addr string) (rooms []id.RoomID, direct bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r, rm := range m.rooms {
		if rm.Membership != event.MembershipInvite {
			continue
		}
		if string(r) == addr || rm.Direct && string(rm.Inviter) == addr {
			rooms = append(rooms, r)
		}
	}
	slices.Sort(rooms)
	return rooms, !strings.HasPrefix(addr, "!")
}

// amend changes the user's entry for a contact.
func (m *memory) amend(addr string, change func(*entry)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m.entry(addr))
	m.dirty[entryKey+addr] = true
}
