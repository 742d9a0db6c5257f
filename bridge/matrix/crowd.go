package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"maunium.net/go/mautrix"
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
	slices.SortFunc(rooms, func(a, b im.Room) int { return cmp.Compare(a.Conv, b.Conv) })
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

// farewell is what to say when somebody put the account out of a room.
func (l *link) farewell(r id.RoomID, e *evt) (im.Message, bool) {
	if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey != string(l.cli.UserID) || e.Sender == l.cli.UserID {
		return im.Message{}, false
	}
	now, before := l.memberships(e)
	if now.Membership.IsInviteOrJoin() || before.Membership != event.MembershipJoin {
		return im.Message{}, false // an invitation that was taken back
	}
	what := "removed"
	if now.Membership == event.MembershipBan {
		what = "banned"
	}
	conv, _ := l.mem.conv(r)
	who := cmp.Or(l.mem.nameOf(e.Sender), e.Sender.Localpart())
	return im.Message{
		ID: string(e.ID), Conv: conv, From: im.Addr{Net: Name, ID: conv}, At: e.time(), Kind: im.Notice,
		Text: who + " " + what + " you from this room" + because(now.Reason) + ".",
	}, true
}

// removal is what to say when somebody put somebody else out of a small room:
// others see it from his going.
func (l *link) removal(r id.RoomID, e *evt) (im.Message, bool) {
	if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey == string(e.Sender) || *e.StateKey == string(l.cli.UserID) || !l.mem.small(r) {
		return im.Message{}, false
	}
	now, before := l.memberships(e)
	if now.Membership.IsInviteOrJoin() || before.Membership != event.MembershipJoin {
		return im.Message{}, false
	}
	what, whom := "removed ", id.UserID(*e.StateKey)
	if now.Membership == event.MembershipBan {
		what = "banned "
	}
	s := l.scene(r, e)
	return im.Message{
		ID: string(e.ID), Conv: s.conv, From: im.Addr{Net: Name, ID: string(e.Sender)}, At: e.time(), Own: e.Sender == s.me, Kind: im.Notice,
		Name: cmp.Or(s.name, e.Sender.Localpart()),
		Text: what + cmp.Or(l.mem.nameOf(whom), whom.Localpart()) + " from this room" + because(now.Reason) + ".",
	}, true
}

// lastWords is what was said in a room up to when somebody put the account out of
// it. Who went by himself has seen it where he did.
func (l *link) lastWords(ctx context.Context, r id.RoomID, left leftRoom, since, next string) ([]im.Event, error) {
	said, bye, out := left.Timeline, im.Message{}, false
	for i := range said.Events {
		if m, ok := l.farewell(r, &said.Events[i]); ok {
			bye, out = m, true
		}
	}
	if since == "" || !out {
		return nil, nil
	}
	for i := range said.Events {
		l.mem.change(r, &said.Events[i])
	}
	events, err := l.heard(ctx, r, said, since, next, false)
	l.mem.expel(r)
	return append(events, bye), err
}

// expel notes that somebody put the account out of a room: the contact stays,
// for the user to see and to remove.
func (m *memory) expel(r id.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rm := m.room(r); m.with(r) == "" && !rm.Space {
		set(m, roomKey+string(r), &rm.Expelled, true)
	}
	m.stir(r)
}

// forsake takes the rooms that the account was put out of off the list.
func (m *memory) forsake(addr string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r, rm := range m.rooms {
		if rm.Expelled && string(m.root(r)) == addr {
			set(m, roomKey+string(r), &rm.Expelled, false)
		}
	}
}

// memberships is what a member event says now and said before.
func (l *link) memberships(e *evt) (now, before event.MemberEventContent) {
	now, _ = decode[event.MemberEventContent](e.Content)
	before, _ = decode[event.MemberEventContent](e.Unsigned.PrevContent)
	return now, before
}

func because(reason string) string {
	if reason = im.OneLine(reason); reason != "" {
		return " (" + reason + ")"
	}
	return ""
}

// small tells whether a room is one whose members are shown.
func (m *memory) small(r id.RoomID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isGroup(r) && m.rooms[r].Joined <= im.Crowd
}

// enterRoom joins a room that the user added by its address. Nobody has invited
// the account, so that may not be allowed.
func (l *link) enterRoom(ctx context.Context, r id.RoomID) error {
	r, via := l.mem.entrance(r)
	err := l.retry(ctx, func() error {
		_, err := l.cli.JoinRoom(ctx, string(r), &mautrix.ReqJoinRoom{Via: via})
		return err
	})
	switch {
	case errors.Is(err, mautrix.MForbidden):
		return &im.Refused{Text: "This Matrix room is for those who were invited. Ask somebody in it for an invitation."}
	case errors.Is(err, mautrix.MNotFound):
		return &im.Refused{Text: "This Matrix room is not there any more."}
	}
	return err
}

// findRoom asks the homeserver for the room that a handle names: kitchen@example.org
// is #kitchen:example.org.
func (l *link) findRoom(ctx context.Context, u id.UserID) (im.Person, error) {
	alias := id.NewRoomAlias(u.Localpart(), u.Homeserver())
	var resp *mautrix.RespAliasResolve
	err := l.retry(ctx, func() (err error) {
		resp, err = l.cli.ResolveAlias(ctx, alias)
		return err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return im.Person{}, context.Cause(ctx)
	case err != nil && (passing(err) || tokenRefused(err)):
		return im.Person{}, err
	case err != nil || !strings.HasPrefix(string(resp.RoomID), "!"):
		return im.Person{}, im.ErrNotFound
	}
	l.mem.reached(resp.RoomID, resp.Servers)
	return im.Person{Addr: im.Addr{Net: Name, ID: string(l.mem.rootOf(resp.RoomID))}, Name: u.Localpart()}, nil
}

// reached notes which servers a room can be entered by.
func (m *memory) reached(r id.RoomID, servers []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room(r).via = servers[:min(len(servers), 5)]
}

// entrance is the room that a contact's room goes on in, and the servers that it
// can be entered by: as an alias said, or the one that made it.
func (m *memory) entrance(r id.RoomID) (newest id.RoomID, servers []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r = m.newest(r)
	if rm := m.rooms[r]; rm != nil && len(rm.via) > 0 {
		return r, rm.via
	}
	if _, server, ok := strings.Cut(string(r), ":"); ok {
		return r, []string{server}
	}
	return r, nil
}

// spaceChild is m.space.child; without servers it takes the child out.
type spaceChild struct {
	Via []json.RawMessage `json:"via"`
}

// child notes that a room is in a space or not. mu is held.
func (m *memory) child(space, r id.RoomID, in bool) {
	rm := m.room(space)
	i, had := slices.BinarySearch(rm.Children, r)
	if in == had {
		return
	}
	if rm.Children = slices.Clone(rm.Children); in {
		rm.Children = slices.Insert(rm.Children, i, r)
	} else {
		rm.Children = slices.Delete(rm.Children, i, i+1)
	}
	m.dirty[roomKey+string(space)] = true
}

// groups are the names of the spaces that a contact's rooms are in, by Addr.ID.
// mu is held.
func (m *memory) groups() map[string][]string {
	in := map[string][]string{}
	for space, rm := range m.rooms {
		name := im.OneLine(m.title(space))
		if !rm.Space || rm.Membership != event.MembershipJoin || name == "" {
			continue
		}
		for _, r := range rm.Children {
			conv := string(m.root(r))
			if u := m.with(r); u != "" {
				conv = string(u)
			}
			if !slices.Contains(in[conv], name) {
				in[conv] = append(in[conv], name)
			}
		}
	}
	for _, names := range in {
		slices.Sort(names)
	}
	return in
}
