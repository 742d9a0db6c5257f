package matrix

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// contact waits until the hub's view of a contact is one that ok accepts; gone
// contacts are zero.
func (h *testHost) contact(addr string, ok func(im.Contact) bool) im.Contact {
	h.t.Helper()
	var c im.Contact
	h.wait("contact "+addr, func(events []im.Event) bool {
		c = im.Contact{}
		for _, ev := range events {
			r, _ := ev.(im.Roster)
			for _, item := range r.Items {
				if item.ID == addr {
					c = item
				}
			}
			for _, g := range r.Gone {
				if g.ID == addr {
					c = im.Contact{}
				}
			}
		}
		return ok(c)
	})
	return c
}

func (w *world) edit(l im.Link, op im.EditOp, who im.Contact) {
	w.t.Helper()
	who.Net = Name
	e := im.ContactEdit{ID: "edit-" + time.Now().String(), Op: op, Who: who}
	if err := l.Handle(w.t.Context(), account, e); err != nil {
		w.t.Fatalf("edit %d of %s: %v", op, who.ID, err)
	}
	await(w.host, "receipt of the edit", func(r im.Receipt) bool { return r.ID == e.ID && r.State == im.Sent })
}

func named(addr string) im.Contact { return im.Contact{Person: im.Person{Addr: im.Addr{ID: addr}}} }

func TestFirstRoster(t *testing.T) {
	w := newWorld(t)
	alice, bob := id.UserID(w.alice), id.UserID(w.bob)
	carol := w.user("carol", "x", "Carol")
	group := w.create(carol, false, alice, bob)
	w.join(group, alice)
	w.setState(group, carol, "m.room.name", map[string]string{"name": "Party"})
	space := w.create(alice, false)
	w.setState(space, alice, "m.room.create", map[string]string{"type": "m.space"})
	w.connect()
	r := await(w.host, "roster", func(im.Roster) bool { return true })
	if !r.Full || len(r.Items) != 2 {
		t.Fatalf("roster %+v, want bob and the group, full", r)
	}
	g, b := r.Items[0], r.Items[1]
	if !g.Room || g.Name != "Party" || g.ID != string(group) || !g.Follows {
		t.Errorf("group %+v", g)
	}
	if b.Room || b.Name != "Bob" || b.ID != w.bob || !b.Follows || !b.Followed {
		t.Errorf("bob %+v", b)
	}
	w.say(group, carol, "hi all")
	m := await(w.host, "group message", func(m im.Message) bool { return m.Text == "hi all" })
	if m.Conv != string(group) || m.From.ID != string(carol) || m.Name != "Carol" {
		t.Errorf("group message %+v", m)
	}
}

func TestInvitationAccepted(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	carol := w.user("carol", "x", "Carol")
	r := w.create(carol, true, id.UserID(w.alice))
	ask := await(w.host, "request", func(e im.ContactEdit) bool { return e.Op == im.Add })
	if ask.Who.ID != string(carol) || ask.Who.Name != "Carol" || !ask.Who.Asked {
		t.Errorf("request %+v", ask)
	}
	w.host.contact(string(carol), func(c im.Contact) bool { return c.Asked && !c.Follows })
	w.say(r, carol, "are you there?")
	w.edit(l, im.Accept, named(string(carol)))
	w.host.contact(string(carol), func(c im.Contact) bool { return !c.Asked && c.Follows && c.Followed })
	m := await(w.host, "message from before the joining", func(m im.Message) bool { return m.Text == "are you there?" })
	if m.Conv != string(carol) {
		t.Errorf("message %+v", m)
	}
	var direct map[string][]string
	json.Unmarshal(w.account(id.UserID(w.alice), "m.direct"), &direct)
	if !slices.Equal(direct[string(carol)], []string{string(r)}) || !slices.Equal(direct[w.bob], []string{w.room}) {
		t.Errorf("m.direct %v, want carol added and bob kept", direct)
	}
	w.edit(l, im.Accept, named(string(carol))) // again: no harm
}

func TestInvitationDeclined(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	carol := w.user("carol", "x", "Carol")
	r := w.create(carol, true, id.UserID(w.alice))
	w.host.contact(string(carol), func(c im.Contact) bool { return c.Asked })
	w.edit(l, im.Decline, named(string(carol)))
	w.host.contact(string(carol), func(c im.Contact) bool { return c.ID == "" })
	w.mu.Lock()
	defer w.mu.Unlock()
	if m, _ := w.rooms[r].membership(id.UserID(w.alice)); m != "leave" {
		t.Errorf("membership %q after declining, want leave", m)
	}
}

func TestGroupInvitation(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	r := w.create(id.UserID(w.bob), false, id.UserID(w.alice))
	ask := await(w.host, "request", func(e im.ContactEdit) bool { return e.Op == im.Add })
	if ask.Who.ID != string(r) || !ask.Who.Room {
		t.Errorf("request %+v, want one for the room", ask)
	}
	w.edit(l, im.Accept, named(string(r)))
	w.host.contact(string(r), func(c im.Contact) bool { return c.Follows && c.Room })
}

// Who is on the list and opens another room is followed without asking.
func TestContactOpensAnotherRoom(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	r := w.create(id.UserID(w.bob), true, id.UserID(w.alice))
	w.say(r, id.UserID(w.bob), "over here")
	m := await(w.host, "message in the new room", func(m im.Message) bool { return m.Text == "over here" })
	if m.Conv != w.bob {
		t.Errorf("message %+v, want bob's conversation", m)
	}
	w.mustSend(l, "out", "I see")
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := w.rooms[r].events[len(w.rooms[r].events)-1]; last.Sender != id.UserID(w.alice) {
		t.Error("the answer did not go to the room of the newest activity")
	}
	for _, ev := range w.host.all() {
		if e, ok := ev.(im.ContactEdit); ok {
			t.Errorf("asked again: %+v", e)
		}
	}
}

func TestAddAndFirstMessage(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	dave := w.user("dave", "x", "Dave")
	w.edit(l, im.Add, named("dave@hs.test"))
	w.host.contact(string(dave), func(c im.Contact) bool { return c.Follows && !c.Followed })
	if n := len(w.requests("POST", "/createRoom")); n != 0 {
		t.Errorf("%d rooms made before anything was said", n)
	}
	var no *im.Refused
	nobody := im.ContactEdit{ID: "n", Op: im.Add, Who: named("@nobody:hs.test")}
	if err := l.Handle(t.Context(), account, nobody); !errors.As(err, &no) {
		t.Errorf("adding nobody: %v, want a refusal", err)
	}
	l = w.restart(l) // still on the list
	w.host.contact(string(dave), func(c im.Contact) bool { return c.Follows })
	for _, s := range []string{"one", "two"} {
		m := im.Message{ID: "m" + s, Conv: string(dave), Text: s}
		if err := l.Handle(t.Context(), account, m); err != nil {
			t.Fatal(err)
		}
	}
	rooms := w.requests("POST", "/createRoom")
	if len(rooms) != 1 || !strings.Contains(rooms[0].body, `"is_direct":true`) || !strings.Contains(rooms[0].body, "trusted_private_chat") ||
		strings.Contains(rooms[0].body, "m.room.encryption") {
		t.Errorf("rooms made: %v, want one direct room, encryption left to the server", rooms)
	}
	if c := w.host.contact(string(dave), func(c im.Contact) bool { return c.Followed }); c.Room {
		t.Errorf("dave is %+v", c)
	}
	for _, ev := range w.host.all() {
		if r, ok := ev.(im.Roster); ok && slices.ContainsFunc(r.Items, func(c im.Contact) bool { return c.Room }) {
			t.Errorf("the new room was shown as a group: %+v", r)
		}
	}
}

func TestRemoveUntilSomethingNew(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	w.edit(l, im.Remove, named(w.bob))
	w.host.contact(w.bob, func(c im.Contact) bool { return c.ID == "" })
	w.restart(l)
	if r := await(w.host, "roster", func(im.Roster) bool { return true }); len(r.Items) != 0 {
		t.Errorf("after a restart the removed contact is back: %+v", r)
	}
	w.say(id.RoomID(w.room), id.UserID(w.bob), "still friends?")
	w.host.contact(w.bob, func(c im.Contact) bool { return c.Follows })
}

func TestRenameAndRegroupAreKept(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	c := named(w.bob)
	c.Name, c.Groups = "Bobby", []string{"Friends"}
	w.edit(l, im.Rename, c)
	w.edit(l, im.Regroup, c)
	w.restart(l)
	got := w.host.contact(w.bob, func(c im.Contact) bool { return c.ID != "" })
	if got.Name != "Bobby" || !slices.Equal(got.Groups, []string{"Friends"}) {
		t.Errorf("after a restart: %+v", got)
	}
}

func TestBlockKeepsWhatOthersWrote(t *testing.T) {
	w := newWorld(t)
	w.setAccount(id.UserID(w.alice), "m.ignored_user_list", json.RawMessage(`{"ignored_users":{"@spam:x":{"org.x":1}},"org.y":true}`))
	l := w.connect()
	w.edit(l, im.Block, named(w.bob))
	w.host.contact(w.bob, func(c im.Contact) bool { return c.Blocked })
	if got := string(w.account(id.UserID(w.alice), "m.ignored_user_list")); got != `{"ignored_users":{"@bob:hs.test":{},"@spam:x":{"org.x":1}},"org.y":true}` {
		t.Errorf("m.ignored_user_list is %s", got)
	}
	w.edit(l, im.Unblock, named(w.bob))
	w.host.contact(w.bob, func(c im.Contact) bool { return c.ID != "" && !c.Blocked })
	if got := string(w.account(id.UserID(w.alice), "m.ignored_user_list")); got != `{"ignored_users":{"@spam:x":{"org.x":1}},"org.y":true}` {
		t.Errorf("m.ignored_user_list is %s", got)
	}
}

func TestTypingIn(t *testing.T) {
	w := newWorld(t)
	w.connect()
	for _, on := range []bool{true, false} {
		w.setTyping(id.RoomID(w.room), id.UserID(w.bob), on)
		ty := await(w.host, "typing", func(ty im.Typing) bool { return ty.On == on })
		if ty.Conv != w.bob || ty.Who.ID != w.bob {
			t.Errorf("typing %+v", ty)
		}
	}
}

func TestPresenceTold(t *testing.T) {
	w := newWorld(t)
	w.setPresence(id.UserID(w.bob), `{"presence":"unavailable","last_active_ago":1000,"status_msg":"Out to lunch"}`)
	l := w.connect()
	lunch := func(p im.PresenceChanged) bool {
		return p.Who.ID == w.bob && p.Now == im.Presence{Status: im.Lunch, Later: true}
	}
	await(w.host, "presence", lunch)
	w.restart(l)
	await(w.host, "presence after a restart, where /sync tells changes only", lunch)
}

func TestPresenceInferred(t *testing.T) {
	now := time.Now()
	m, err := loadMemory(newTestHost(t), "@alice:hs.test")
	if err != nil {
		t.Fatal(err)
	}
	m.joinedDirect("!r:hs.test", "@bob:hs.test")
	m.complete()
	status := func(at time.Time) im.Presence {
		_, p, _ := m.list(at, 5*time.Minute)
		return p["@bob:hs.test"]
	}
	away := im.Presence{Status: im.Away, Later: true}
	if got := status(now); got != away {
		t.Errorf("never seen: %+v, want away, gets it later", got)
	}
	m.tell(evts{{Type: "m.presence", Sender: "@bob:hs.test", Content: json.RawMessage(`{"presence":"offline"}`)}})
	m.spoke("!r:hs.test", "@bob:hs.test", now.UnixMilli())
	if got := status(now.Add(4 * time.Minute)); got.Status != im.Online {
		t.Errorf("4 minutes after he wrote: %+v, want online", got)
	}
	if got := status(now.Add(6 * time.Minute)); got != away {
		t.Errorf("6 minutes after he wrote: %+v, want away", got)
	}
	m.tell(evts{{Type: "m.presence", Sender: "@bob:hs.test", Content: json.RawMessage(`{"presence":"offline","last_active_ago":60000}`)}})
	if got := status(now); got.Status != im.Offline || !got.Later {
		t.Errorf("told offline: %+v", got)
	}
}

func TestPlaceOfPerson(t *testing.T) {
	m, err := loadMemory(newTestHost(t), "@alice:hs.test")
	if err != nil {
		t.Fatal(err)
	}
	one, two := 1, 2
	enter := func(r id.RoomID, joined *int, last int64) {
		m.joinedDirect(r, "@bob:hs.test")
		j := joinedRoom{}
		j.Summary.Joined = joined
		m.enter(r, &j)
		m.spoke(r, "@bob:hs.test", last)
	}
	enter("!old:hs.test", &two, 10)
	enter("!new:hs.test", &two, 20)
	enter("!deserted:hs.test", &one, 30)
	if got := m.place("@bob:hs.test"); got != "!new:hs.test" {
		t.Errorf("place %s, want the newest that bob is in", got)
	}
	m.left("!new:hs.test")
	if got := m.place("@bob:hs.test"); got != "!old:hs.test" {
		t.Errorf("place %s after leaving the newest", got)
	}
	if got := m.place("!nowhere:hs.test"); got != "" {
		t.Errorf("place %q of an unknown room", got)
	}
}

func TestUserID(t *testing.T) {
	for handle, want := range map[string]id.UserID{
		"@bob:example.org": "@bob:example.org", "bob@example.org": "@bob:example.org", "Bob@Example.org": "@bob:example.org",
		"bob": "@bob:home", " bob ": "@bob:home", "@bob:host:8448": "@bob:host:8448", "@Old:host": "@Old:host",
		"": "", "@bob": "", "!room:host": "", "#alias:host": "", "b ob@host": "", "a@b@c": "", "bob@": "", "@:host": "",
		strings.Repeat("x", 300): "",
	} {
		if got, ok := userID(handle, "home"); got != want || ok != (want != "") {
			t.Errorf("userID(%q) = %q, %v; want %q", handle, got, ok, want)
		}
	}
}

// The time of the newest message decides where answers go. It is not worth a
// write of its own, but a connection that ends in order leaves it on disk.
func TestMessageTimesAreWrittenAtTheEnd(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	key := roomKey + w.room
	before := w.host.disk(key)
	w.say(id.RoomID(w.room), id.UserID(w.bob), "hi")
	await(w.host, "message", func(m im.Message) bool { return m.Text == "hi" })
	if now := w.host.disk(key); now != before {
		t.Errorf("one message wrote %s", now)
	}
	l.Close()
	if now := w.host.disk(key); now == before {
		t.Error("the time was not written at the end")
	}
}
