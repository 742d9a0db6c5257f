package matrix

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// party is a room with alice, bob and carol in it, which carol made.
func (w *world) party(name string) (r id.RoomID, carol id.UserID) {
	w.t.Helper()
	carol = w.user("carol", "x", "Carol")
	r = w.create(carol, false, id.UserID(w.alice), id.UserID(w.bob))
	w.join(r, id.UserID(w.alice))
	w.join(r, id.UserID(w.bob))
	w.setState(r, carol, "m.room.name", map[string]string{"name": name})
	return r, carol
}

// leave takes u out of a room: by himself, or somebody else does.
func (h *homeserver) leave(r id.RoomID, by, u id.UserID, membership, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := string(u)
	h.add(r, by, "m.room.member", &key, map[string]string{"membership": membership, "reason": reason})
}

// crowd waits for what the hub is told last of a room.
func (h *testHost) crowd(conv id.RoomID, ok func(im.Room) bool) (room im.Room) {
	h.t.Helper()
	h.wait("room "+string(conv), func(events []im.Event) bool {
		room = im.Room{}
		for _, ev := range events {
			if r, is := ev.(im.Room); is && r.Conv == string(conv) {
				room = r
			}
		}
		return room.Conv != "" && ok(room)
	})
	return room
}

// among lists the members by name.
func among(r im.Room) string {
	var names []string
	for _, p := range r.Members {
		names = append(names, p.Name)
	}
	return strings.Join(names, ",")
}

// TestRoomMembers: who is in a room is asked for once, and kept over changes, over a
// restart and over a gap.
func TestRoomMembers(t *testing.T) {
	w := newWorld(t)
	r, carol := w.party("Party")
	w.setState(r, carol, "m.room.topic", map[string]string{"topic": "cake"})
	l := w.connect()
	room := w.host.crowd(r, func(r im.Room) bool { return among(r) == "Bob,Carol" })
	if room.Name != "Party" || room.Topic != "cake · 3 members" || room.Size != 3 || !room.Full {
		t.Errorf("room %+v", room)
	}
	await(w.host, "presence of the room", func(p im.PresenceChanged) bool {
		return p.Who.ID == string(r) && p.Now.Status == im.Online && p.Now.Note == "cake · 3 members"
	})
	dave := w.user("dave", "x", "Dave")
	w.join(r, dave)
	w.host.crowd(r, func(r im.Room) bool { return among(r) == "Bob,Carol,Dave" && r.Size == 4 })
	w.leave(r, id.UserID(w.bob), id.UserID(w.bob), "leave", "")
	w.host.crowd(r, func(r im.Room) bool { return among(r) == "Carol,Dave" && r.Topic == "cake · 3 members" })
	if n := len(w.requests("GET", "/joined_members")); n != 1 {
		t.Errorf("members were asked for %d times", n)
	}
	l = w.restart(l)
	w.host.crowd(r, func(r im.Room) bool { return among(r) == "Carol,Dave" })
	if n := len(w.requests("GET", "/joined_members")); n != 1 {
		t.Errorf("members were asked for again after a restart")
	}
	l.Close()
	w.leave(r, dave, dave, "leave", "")
	for i := range 60 {
		w.say(r, carol, fmt.Sprint(i))
	}
	w.host = w.host.copy()
	w.connect()
	w.host.crowd(r, func(r im.Room) bool { return among(r) == "Carol" })
}

// TestManyMembers: of a large room only the number is told.
func TestManyMembers(t *testing.T) {
	w := newWorld(t)
	r, _ := w.party("Fair")
	for i := range im.Crowd - 3 {
		w.join(r, w.user(fmt.Sprint("guest", i), "x", fmt.Sprint("Guest ", i)))
	}
	w.connect()
	w.host.crowd(r, func(r im.Room) bool { return r.Size == im.Crowd && len(r.Members) == im.Crowd-1 })
	last := w.user("last", "x", "Last")
	w.join(r, last)
	w.host.crowd(r, func(r im.Room) bool {
		return r.Size == im.Crowd+1 && len(r.Members) == 0 && r.Topic == "over 20 members"
	})
	w.leave(r, last, last, "leave", "")
	w.host.crowd(r, func(r im.Room) bool { return len(r.Members) == im.Crowd-1 })
}

func TestHeadCount(t *testing.T) {
	for n, want := range map[int]string{
		0: "", 1: "nobody else", 2: "2 members", 20: "20 members", 21: "over 20 members", 30: "over 20 members", 31: "over 30 members",
		100: "over 90 members", 101: "over 100 members", 12345: "over 10000 members",
	} {
		if got := headCount(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestPutOut: who is put out of a room, and by whom, is said; the account's own
// contact stays until the user removes it.
func TestPutOut(t *testing.T) {
	w := newWorld(t)
	r, carol := w.party("Party")
	l := w.connect()
	w.host.crowd(r, func(r im.Room) bool { return among(r) == "Bob,Carol" })
	w.leave(r, carol, id.UserID(w.bob), "ban", "spam")
	m := await(w.host, "line", func(m im.Message) bool { return m.Text == "banned Bob from this room (spam)." })
	if m.Conv != string(r) || m.Name != "Carol" || m.Kind != im.Notice {
		t.Errorf("line %+v", m)
	}
	w.say(r, carol, "and you too")
	w.leave(r, carol, id.UserID(w.alice), "leave", "")
	m = await(w.host, "farewell", func(m im.Message) bool { return m.Text == "Carol removed you from this room." })
	if m.Conv != string(r) || m.From.ID != string(r) {
		t.Errorf("farewell %+v", m)
	}
	if !slices.Contains(texts(w.host.all()), "and you too") {
		t.Errorf("what was said before is lost: %q", texts(w.host.all()))
	}
	w.host.crowd(r, func(r im.Room) bool { return len(r.Members) == 0 && r.Full })
	await(w.host, "presence", func(p im.PresenceChanged) bool { return p.Who.ID == string(r) && p.Now.Status == im.Offline })
	l = w.restart(l)
	w.host.contact(string(r), func(c im.Contact) bool { return c.Follows && c.Room && c.Name == "Party" })
	var no *im.Refused
	if err := l.Handle(t.Context(), account, im.Message{ID: "m", Conv: string(r), Text: "why?"}); !errors.As(err, &no) {
		t.Errorf("writing there: %v", err)
	}
	w.edit(l, im.Remove, named(string(r)))
	w.host.contact(string(r), func(c im.Contact) bool { return c.ID == "" })
}

// TestQuitAndComeBack: a room that is removed is left, and one that is added by
// its alias is entered; without an invitation that may be refused.
func TestQuitAndComeBack(t *testing.T) {
	w := newWorld(t)
	r, _ := w.party("Party")
	w.mu.Lock()
	w.aliases = map[string]id.RoomID{"#party:hs.test": r}
	w.mu.Unlock()
	l := w.connect()
	w.host.contact(string(r), func(c im.Contact) bool { return c.Follows })
	w.edit(l, im.Remove, named(string(r)))
	w.host.contact(string(r), func(c im.Contact) bool { return c.ID == "" })
	membership := func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		m, _ := w.rooms[r].membership(id.UserID(w.alice))
		return m
	}
	if m := membership(); m != "leave" {
		t.Errorf("membership %q", m)
	}
	found, err := l.Find(t.Context(), account, "party@hs.test")
	if err != nil || found.ID != string(r) || found.Name != "party" {
		t.Errorf("found %+v, %v", found, err)
	}
	if _, err := l.Find(t.Context(), account, "nowhere@hs.test"); !errors.Is(err, im.ErrNotFound) {
		t.Errorf("nowhere is found: %v", err)
	}
	w.edit(l, im.Add, named(string(r)))
	w.host.contact(string(r), func(c im.Contact) bool { return c.Follows })
	w.host.crowd(r, func(r im.Room) bool { return among(r) == "Bob,Carol" })
	w.fail(fault{method: "POST", path: "/join/", times: 1, status: 403, body: `{"errcode":"M_FORBIDDEN"}`})
	var no *im.Refused
	other := w.create(id.UserID(w.bob), false)
	if err := l.Handle(t.Context(), account, im.ContactEdit{ID: "e", Op: im.Add, Who: named(string(other))}); !errors.As(err, &no) ||
		!strings.Contains(no.Text, "invit") {
		t.Errorf("adding a room for members: %v", err)
	}
}

// TestRoomInvitation: who asks, and why, is said; an invitation by somebody who is
// ignored is none.
func TestRoomInvitation(t *testing.T) {
	w := newWorld(t)
	w.setAccount(id.UserID(w.alice), "m.ignored_user_list", map[string]any{"ignored_users": map[string]any{"@eve:hs.test": struct{}{}}})
	w.connect()
	w.create(w.user("eve", "x", "Eve"), false, id.UserID(w.alice))
	w.create(id.UserID(w.bob), false, id.UserID(w.alice))
	ask := await(w.host, "request", func(e im.ContactEdit) bool { return e.Op == im.Add })
	if ask.Note != "Bob invites you to this room." || !ask.Who.Room {
		t.Errorf("request %+v", ask)
	}
	for _, ev := range w.host.all() {
		if r, ok := ev.(im.Roster); ok && slices.ContainsFunc(r.Items, func(c im.Contact) bool { return c.Asked && c.ID != ask.Who.ID }) {
			t.Errorf("listed: %+v", r)
		}
	}
}

// TestSpaces: the spaces that a contact's rooms are in are its groups, until the
// user puts it into others.
func TestSpaces(t *testing.T) {
	w := newWorld(t)
	r, _ := w.party("Party")
	space := w.create(id.UserID(w.alice), false)
	child := func(r id.RoomID, via ...string) {
		key := string(r)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.add(space, id.UserID(w.alice), "m.space.child", &key, map[string][]string{"via": via})
	}
	w.setState(space, id.UserID(w.alice), "m.room.create", map[string]string{"type": "m.space"})
	w.setState(space, id.UserID(w.alice), "m.room.name", map[string]string{"name": "Family"})
	child(r, "hs.test")
	child(id.RoomID(w.room), "hs.test")
	l := w.connect()
	in := func(groups ...string) func(im.Contact) bool {
		return func(c im.Contact) bool { return c.Follows && slices.Equal(c.Groups, groups) }
	}
	w.host.contact(string(r), in("Family"))
	w.host.contact(w.bob, in("Family"))
	w.setState(space, id.UserID(w.alice), "m.room.name", map[string]string{"name": "Home"})
	w.host.contact(string(r), in("Home"))
	child(id.RoomID(w.room))
	w.host.contact(w.bob, in())
	c := named(string(r))
	c.Groups = []string{"Fun"}
	w.edit(l, im.Regroup, c)
	w.host.contact(string(r), in("Fun"))
	l = w.restart(l)
	w.host.contact(string(r), in("Fun"))
	c.Groups = nil
	w.edit(l, im.Regroup, c)
	w.host.contact(string(r), in())
	w.host.contact(string(space), func(c im.Contact) bool { return c.ID == "" })
}

// TestIgnoredElsewhere: a block that is made or taken back on another device is
// made and taken back here. What somebody ignored says in a room is not heard.
func TestIgnoredElsewhere(t *testing.T) {
	w := newWorld(t)
	r, carol := w.party("Party")
	l := w.connect()
	ignore := func(users ...string) {
		list := map[string]any{}
		for _, u := range users {
			list[u] = struct{}{}
		}
		w.setAccount(id.UserID(w.alice), "m.ignored_user_list", map[string]any{"ignored_users": list})
	}
	ignore(w.bob, string(carol))
	w.host.contact(w.bob, func(c im.Contact) bool { return c.Blocked })
	l.Close()
	ignore(string(carol))
	w.host = w.host.copy()
	w.connect()
	e := await(w.host, "edit", func(e im.ContactEdit) bool { return e.Op == im.Unblock })
	if e.Who.ID != w.bob {
		t.Errorf("edit %+v", e)
	}
	w.say(r, carol, "buy this")
	w.say(r, id.UserID(w.bob), "hello all")
	await(w.host, "message", func(m im.Message) bool { return m.Text == "hello all" })
	if slices.Contains(texts(w.host.all()), "buy this") {
		t.Error("somebody ignored was heard")
	}
}

// TestOlderIgnoreList: a list from before the user blocked somebody here takes no
// block back.
func TestOlderIgnoreList(t *testing.T) {
	m, err := loadMemory(newTestHost(t), "@alice:hs.test")
	if err != nil {
		t.Fatal(err)
	}
	list := func(users string) []id.UserID {
		return m.accountData(evts{{Type: "m.ignored_user_list", Content: json.RawMessage(`{"ignored_users":{` + users + `}}`)}})
	}
	m.ignore("@a:x", true)
	m.ignore("@b:x", true)
	for i, c := range []struct {
		users string
		heard []id.UserID
		b     bool
	}{
		{`"@a:x":{}`, nil, true},
		{`"@a:x":{},"@b:x":{}`, nil, true},
		{`"@b:x":{}`, []id.UserID{"@a:x"}, true},
		{``, []id.UserID{"@b:x"}, false},
	} {
		if heard := list(c.users); !slices.Equal(heard, c.heard) || m.ignores("@b:x") != c.b {
			t.Errorf("%d: heard %q, b is ignored: %v", i, heard, m.ignores("@b:x"))
		}
	}
}
