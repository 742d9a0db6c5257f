package matrix

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// Who is in a room is told by /sync only of those who speak (lazy loading), so
// the members of a small one are asked for once, kept up by the changes that
// /sync brings, and asked for again when it left something out. Of rooms larger
// than im.Crowd only the number is kept.

// moved notes that somebody came into a room or is not in it. mu is held.
func (m *memory) moved(r id.RoomID, u id.UserID, now event.Membership) {
	rm := m.room(r)
	rm.moves++
	m.stir(r)
	if u == m.me || !rm.Complete {
		return
	}
	switch i, in := slices.BinarySearch(rm.Members, u); {
	case now == event.MembershipJoin && !in:
		rm.Members = slices.Insert(slices.Clone(rm.Members), i, u)
		m.dirty[roomKey+string(r)] = true
	case now != event.MembershipJoin && in:
		rm.Members = slices.Delete(slices.Clone(rm.Members), i, i+1)
		m.dirty[roomKey+string(r)] = true
	}
}

// stir notes that the hub is to hear of a room again. mu is held.
func (m *memory) stir(r id.RoomID) { m.stirred[r] = true }

// outgrown forgets the members of a room that is too large, or of which /sync
// left something out. mu is held.
func (m *memory) outgrown(r id.RoomID, gap bool) {
	rm := m.room(r)
	large := rm.Joined > im.Crowd
	if gap || large {
		rm.moves++
	}
	if rm.Complete && (large || gap) {
		rm.Complete, rm.asked = false, false
		m.dirty[roomKey+string(r)] = true
	}
	if large && rm.Members != nil {
		rm.Members = nil
		m.stir(r)
	}
}

// unasked are the small rooms whose members are to be asked for. Each is named
// once.
func (m *memory) unasked() (rooms []id.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r, rm := range m.rooms {
		if rm.asked || rm.Complete || !m.isGroup(r) || rm.Joined > im.Crowd {
			continue
		}
		rm.asked = true
		rooms = append(rooms, r)
	}
	slices.Sort(rooms)
	return rooms
}

// isGroup tells whether the account is in a room that is a contact of its own.
// mu is held.
func (m *memory) isGroup(r id.RoomID) bool {
	rm := m.rooms[r]
	return rm != nil && rm.Membership == event.MembershipJoin && !rm.Space && m.with(r) == "" && m.after(r) == ""
}

// small tells whether a room is one whose members are shown.
func (m *memory) small(r id.RoomID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isGroup(r) && m.rooms[r].Joined <= im.Crowd
}

// roomMember is one of the answer of /joined_members.
type roomMember struct {
	Name   string `json:"display_name"`
	Avatar string `json:"avatar_url"`
}

// changes counts what /sync told of a room's members during this connection.
func (m *memory) changes(r id.RoomID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.room(r).moves
}

// populate notes who is in a room. It tells whether that can be used: not when
// /sync told more since the server was asked, because then nobody knows which is
// newer.
func (m *memory) populate(r id.RoomID, members map[id.UserID]roomMember, changes int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm := m.room(r)
	if rm.moves != changes {
		return false
	}
	delete(members, m.me)
	m.dirty[roomKey+string(r)] = true
	m.stir(r)
	rm.Joined, rm.Complete, rm.Members = len(members)+1, true, slices.Sorted(maps.Keys(members))
	for u, c := range members {
		m.member(u, event.MemberEventContent{Displayname: c.Name, AvatarURL: id.ContentURIString(c.Avatar)})
	}
	m.outgrown(r, false)
	return true
}

// lookUpMembers asks for the members of rooms where they are not known.
func (l *link) lookUpMembers(ctx context.Context) {
	rooms := l.mem.unasked()
	if len(rooms) == 0 {
		return
	}
	l.errand(ctx, func(ctx context.Context) error {
		for _, r := range rooms {
			if err := l.askMembers(ctx, r); err != nil {
				return err
			}
		}
		return l.mem.save(ctx, l.kv)
	})
}

// attempts is how often the members of a room are asked for anew because somebody
// came or went meanwhile.
const attempts = 5

func (l *link) askMembers(ctx context.Context, r id.RoomID) error {
	for range attempts {
		changes := l.mem.changes(r)
		var list struct {
			Joined map[id.UserID]roomMember `json:"joined"`
		}
		_, err := l.cli.MakeRequest(ctx, http.MethodGet, l.cli.BuildClientURL("v3", "rooms", r, "joined_members"), nil, &list)
		switch {
		case err != nil && (passing(err) || tokenRefused(err) || ctx.Err() != nil):
			return err
		case err != nil:
			l.log.Info("the members of a room are not told", "room", r, "err", words(err))
			return nil
		}
		if l.mem.populate(r, list.Joined, changes) {
			l.poke()
			return nil
		}
	}
	return nil
}

// crowds is what the hub is to know of the rooms that changed since it was last
// asked, or of all of them.
func (m *memory) crowds(all bool) (rooms []im.Room) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if all {
		for r := range m.rooms {
			m.stir(r)
		}
	}
	for r := range m.stirred {
		conv, rm := string(m.root(r)), m.rooms[r]
		switch {
		case rm.Expelled:
			rooms = append(rooms, im.Room{Conv: conv, Name: m.contact(conv).Name, Full: true})
			continue
		case !m.isGroup(r):
			continue
		}
		room := im.Room{Conv: conv, Name: m.contact(conv).Name, Topic: m.note(r), Full: true, Size: max(rm.Joined, len(rm.Members)+1)}
		for _, u := range rm.Members {
			room.Members = append(room.Members, im.Person{Addr: im.Addr{Net: Name, ID: string(u)}, Name: m.person(u).Name})
		}
		rooms = append(rooms, room)
	}
	clear(m.stirred)
	sort.Slice(rooms, func(i, j int) bool { return rooms[i].Conv < rooms[j].Conv })
	return rooms
}

// note is what a room shows as its personal message: its topic, and how many are
// in it. mu is held.
func (m *memory) note(r id.RoomID) string {
	rm := m.rooms[r]
	n := rm.Joined
	if rm.Complete {
		n = len(rm.Members) + 1
	}
	return strings.Join(slices.DeleteFunc([]string{im.OneLine(rm.Topic), headCount(n)}, func(s string) bool { return s == "" }), noteJoin)
}

// headCount is a number of members in words. Of many it is about right, so that
// not everybody who comes and goes is worth a line to the clients.
func headCount(n int) string {
	switch {
	case n < 1:
		return ""
	case n == 1:
		return "nobody else"
	case n <= im.Crowd:
		return fmt.Sprintf("%d members", n)
	}
	round := 10
	for round*10 < n {
		round *= 10
	}
	return fmt.Sprintf("over %d members", (n-1)/round*round)
}
