package matrix

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// upgrade replaces a room: the new one says so, and then the old one does.
func (w *world) upgrade(r id.RoomID, by id.UserID, invite ...id.UserID) id.RoomID {
	next := w.create(by, false, invite...)
	w.setState(next, by, "m.room.create", map[string]any{"creator": by, "predecessor": map[string]any{"room_id": r}})
	w.setState(next, by, "m.room.name", map[string]string{"name": "Party"})
	w.setState(r, by, "m.room.tombstone", map[string]any{"body": "moved", "replacement_room": next})
	return next
}

// TestRoomUpgrade: the contact stays the same one, and what is said in the new
// room before the account is there is heard.
func TestRoomUpgrade(t *testing.T) {
	w := newWorld(t)
	r, carol := w.party("Party")
	l := w.connect()
	w.host.crowd(r, func(r im.Room) bool { return among(r) == "Bob,Carol" })
	l.Close()
	w.say(r, carol, "we move")
	next := w.upgrade(r, carol)
	w.say(next, carol, "here we are")
	w.host = w.host.copy()
	l = w.connect()
	m := await(w.host, "message", func(m im.Message) bool { return m.Text == "here we are" })
	if m.Conv != string(r) || m.Name != "Carol" {
		t.Errorf("message %+v", m)
	}
	w.host.crowd(r, func(r im.Room) bool { return among(r) == "Carol" })
	if err := l.Handle(t.Context(), account, im.Message{ID: "m1", Conv: string(r), Text: "so am I"}); err != nil {
		t.Fatal(err)
	}
	last := w.upgrade(next, carol)
	w.say(last, carol, "once more")
	if m := await(w.host, "message", func(m im.Message) bool { return m.Text == "once more" }); m.Conv != string(r) {
		t.Errorf("message %+v", m)
	}
	l = w.restart(l)
	w.host.contact(string(r), func(c im.Contact) bool { return c.Follows && c.Name == "Party" })
	for _, ev := range w.host.all() {
		if list, ok := ev.(im.Roster); ok && slices.ContainsFunc(list.Items, func(c im.Contact) bool { return c.Room && c.ID != string(r) }) {
			t.Errorf("another contact: %+v", list)
		}
	}
	w.edit(l, im.Remove, named(string(r)))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, room := range []id.RoomID{r, next, last} {
		if m, _ := w.rooms[room].membership(id.UserID(w.alice)); m != "leave" {
			t.Errorf("membership in %s: %q", room, m)
		}
	}
	if e := w.rooms[next].state("m.room.create", ""); e == nil || !slices.ContainsFunc(w.rooms[next].events, func(e hsEvent) bool {
		return strings.Contains(string(e.Content), "so am I")
	}) {
		t.Error("the answer went elsewhere")
	}
}

// TestUpgradeByInvitation: where the new room needs an invitation, that is taken
// without asking; until it comes the contact stays, and says why it can't be
// written to.
func TestUpgradeByInvitation(t *testing.T) {
	w := newWorld(t)
	r, carol := w.party("Party")
	l := w.connect()
	w.host.contact(string(r), func(c im.Contact) bool { return c.Follows })
	w.fail(fault{method: "POST", path: "/join/", times: 1, status: 403, body: `{"errcode":"M_FORBIDDEN"}`})
	next := w.upgrade(r, carol)
	w.until(func() bool { return len(w.requests("POST", "/join/")) == 1 })
	w.fail(fault{method: "PUT", path: "/send/", times: 1, status: 403, body: `{"errcode":"M_FORBIDDEN"}`})
	var no *im.Refused
	if err := l.Handle(t.Context(), account, im.Message{ID: "m", Conv: string(r), Text: "hello?"}); !errors.As(err, &no) || !strings.Contains(no.Text, "replaced") {
		t.Errorf("writing there: %v", err)
	}
	w.mu.Lock()
	w.member(next, carol, id.UserID(w.alice), "invite", false)
	w.mu.Unlock()
	w.say(next, carol, "come in")
	if m := await(w.host, "message", func(m im.Message) bool { return m.Text == "come in" }); m.Conv != string(r) {
		t.Errorf("message %+v", m)
	}
	for _, ev := range w.host.all() {
		if e, ok := ev.(im.ContactEdit); ok {
			t.Errorf("asked: %+v", e)
		}
		if list, ok := ev.(im.Roster); ok && len(list.Gone) > 0 {
			t.Errorf("gone: %+v", list)
		}
	}
}

// TestForeignUpgrade: a tombstone alone does not make another room the same
// contact, and one from before the link is not gone after.
func TestForeignUpgrade(t *testing.T) {
	w := newWorld(t)
	old, carol := w.party("Old")
	w.upgrade(old, carol)
	other := w.create(id.UserID(w.bob), false, id.UserID(w.alice))
	w.join(other, id.UserID(w.alice))
	r := w.create(carol, false, id.UserID(w.alice))
	w.join(r, id.UserID(w.alice))
	w.connect()
	w.setState(r, carol, "m.room.tombstone", map[string]any{"replacement_room": other})
	w.say(other, id.UserID(w.bob), "mine")
	if m := await(w.host, "message", func(m im.Message) bool { return m.Text == "mine" }); m.Conv != string(other) {
		t.Errorf("message %+v", m)
	}
	for _, q := range w.requests("POST", "/join/") {
		if !strings.Contains(q.path, string(other)) {
			t.Errorf("went to %s", q.path)
		}
	}
	if c := w.host.contact(string(old), func(im.Contact) bool { return true }); c.ID != "" {
		t.Errorf("an old room is listed: %+v", c)
	}
}

// TestUpgradedDirect: a direct room that is upgraded stays one with the person.
func TestUpgradedDirect(t *testing.T) {
	w := newWorld(t)
	w.connect()
	next := w.upgrade(id.RoomID(w.room), id.UserID(w.bob))
	w.say(next, id.UserID(w.bob), "just us")
	if m := await(w.host, "message", func(m im.Message) bool { return m.Text == "just us" }); m.Conv != w.bob {
		t.Errorf("message %+v", m)
	}
	w.until(func() bool { return strings.Contains(string(w.account(id.UserID(w.alice), "m.direct")), string(next)) })
}

// TestUpgradeCircle: rooms that continue each other in a circle end.
func TestUpgradeCircle(t *testing.T) {
	m, err := loadMemory(newTestHost(t), "@alice:hs.test")
	if err != nil {
		t.Fatal(err)
	}
	for a, b := range map[id.RoomID]id.RoomID{"!a:x": "!b:x", "!b:x": "!a:x"} {
		*m.room(a) = room{Membership: "join", Successor: b, Continues: b, Pursued: true}
	}
	m.complete()
	m.place("!a:x")
	m.list(time.Now(), 0)
}
