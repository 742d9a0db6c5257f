package matrix

import (
	"context"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// A room that is upgraded goes on in another one: its tombstone names that, and
// the other's m.room.create names it (client-server API, room upgrades). Only
// when both say so they are one contact, under the address of the first, which
// stays what it is on the user's lists. A room may have been upgraded many times.

// maxUpgrades bounds a chain of rooms, which anybody may have made a circle.
const maxUpgrades = 30

// before is the room that r continues, "" when it is the first. mu is held.
func (m *memory) before(r id.RoomID) id.RoomID {
	if rm := m.rooms[r]; rm != nil && rm.Continues != "" && rm.Continues != r {
		if old := m.rooms[rm.Continues]; old != nil && old.Successor == r && old.Membership != "" {
			return rm.Continues
		}
	}
	return ""
}

// after is the room the account is in that continues r, "" when there is none. mu
// is held.
func (m *memory) after(r id.RoomID) id.RoomID {
	rm := m.rooms[r]
	if rm == nil || rm.Successor == "" || m.before(rm.Successor) != r || m.rooms[rm.Successor].Membership != event.MembershipJoin {
		return ""
	}
	return rm.Successor
}

// along follows a chain to where next names no other room.
func along(r id.RoomID, next func(id.RoomID) id.RoomID) id.RoomID {
	for range maxUpgrades {
		n := next(r)
		if n == "" {
			break
		}
		r = n
	}
	return r
}

// root is the first room of the chain that r is in. mu is held.
func (m *memory) root(r id.RoomID) id.RoomID { return along(r, m.before) }

// tip is the newest room of the chain that the account is in. mu is held.
func (m *memory) tip(r id.RoomID) id.RoomID { return along(r, m.after) }

// newest is the last room of the chain that r is in, whether or not the account is
// in it. mu is held.
func (m *memory) newest(r id.RoomID) id.RoomID {
	return along(r, func(r id.RoomID) id.RoomID {
		if rm := m.rooms[r]; rm != nil && rm.Successor != "" && m.before(rm.Successor) == r {
			return rm.Successor
		}
		return ""
	})
}

// rootOf is root for those who don't hold mu.
func (m *memory) rootOf(r id.RoomID) id.RoomID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.root(r)
}

// chain is every room that a room's contact stands for in which the account is,
// or to which it is invited.
func (m *memory) chain(addr string) (rooms []id.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r, rm := range m.rooms {
		if rm.Membership.IsInviteOrJoin() && string(m.root(r)) == addr && m.with(r) == "" {
			rooms = append(rooms, r)
		}
	}
	return rooms
}

// awaited tells whether r continues a room that the account is in: nobody has to
// be asked before it goes there.
func (m *memory) awaited(r id.RoomID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.continues(r)
}

// continues is awaited for those who hold mu.
func (m *memory) continues(r id.RoomID) bool {
	for _, rm := range m.rooms {
		if rm.Successor == r && rm.Membership == event.MembershipJoin && rm.Pursued {
			return true
		}
	}
	return false
}

// inherits makes a room that continues a direct one direct with the same person,
// and returns him; "" when there is nothing to do.
func (m *memory) inherits(r id.RoomID) id.UserID {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.partner[m.before(r)]
	if u == "" || m.partner[r] != "" {
		return ""
	}
	m.pair(r, u)
	return u
}

// heir tells whether what was said in r before the account came is for it: it was
// in the room that r continues, and what is not encrypted can be read.
func (m *memory) heir(r id.RoomID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm, old := m.rooms[r], m.rooms[m.before(r)]
	return rm != nil && !rm.Encrypted && old != nil && old.Pursued
}

// pursue goes after a room that was replaced. Where that needs an invitation, it
// comes when somebody sends it (invitation).
func (l *link) pursue(ctx context.Context, r id.RoomID, e *evt) {
	c, ok := decode[event.TombstoneEventContent](e.Content)
	if !ok || c.ReplacementRoom == "" || !l.mem.pursued(r) {
		return
	}
	l.errand(ctx, func(ctx context.Context) error {
		if !l.mem.pursued(r) {
			return nil
		}
		_, err := l.cli.JoinRoom(ctx, string(c.ReplacementRoom), &mautrix.ReqJoinRoom{Via: []string{e.Sender.Homeserver()}})
		if err != nil && !passing(err) {
			l.log.Info("a room was replaced by one that can't be entered yet", "room", r, "by", c.ReplacementRoom, "err", words(err))
			return nil
		}
		return err
	})
}

// pursued notes that the account goes where a room goes. It tells whether there is
// anything to do: not when it is there already, or has left since.
func (m *memory) pursued(r id.RoomID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm := m.rooms[r]
	if rm == nil || rm.Membership != event.MembershipJoin {
		return false
	}
	set(m, roomKey+string(r), &rm.Pursued, true)
	return m.after(r) == ""
}

// replaced tells whether a room goes on in one that the account is not in.
func (m *memory) replaced(r id.RoomID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm := m.rooms[r]
	return rm != nil && rm.Successor != "" && m.after(r) == ""
}
