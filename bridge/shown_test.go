package bridge

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nudge/bridge/im"
)

// small is a client that takes three contacts.
func (b *box) small(handle string) (*Session, *sink) {
	b.t.Helper()
	k := &sink{proves: true}
	s, err := b.SignOn(handle, Client{Proto: "test", MaxContacts: 3}, k)
	if err != nil {
		b.t.Fatal(err)
	}
	s.SetPresence(im.Presence{Status: im.Online}, "1")
	return s, k
}

// shows are the local parts of who is on the client's forward list.
func shows(s *Session) string {
	var who []string
	for _, c := range s.Lists().On(FL) {
		local, _, _ := strings.Cut(c.ID, "@")
		who = append(who, local)
	}
	return strings.Join(who, " ")
}

func friend(id string, groups ...string) im.Contact {
	return im.Contact{Person: wirePerson(id + "@wire.test"), Follows: true, Followed: true, Groups: groups}
}

// TestWhoIsShown adds one reason after the other for somebody to be on a list
// that has no room for all.
func TestWhoIsShown(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("zoe@hotmail.com")
		b.linked("alice@hotmail.com")
		again := func(want string) {
			t.Helper()
			rest()
			s, _ := b.small("alice@hotmail.com")
			if got := shows(s); got != want {
				t.Errorf("shown are %q, want %q", got, want)
			}
		}
		room := friend("a-room")
		room.Room = true
		b.in(im.Roster{Items: []im.Contact{room, friend("b"), friend("c")}})
		again("a-room b c")
		b.in(im.Roster{Items: []im.Contact{friend("d")}})
		again("b c d") // people before rooms
		b.in(im.Roster{Items: []im.Contact{friend("e", "Pals")}})
		again("b c e") // and those in a group before others
		b.in(says("1", "d@wire.test", "hi"))
		again("b d e") // whom one talked to
		b.in(im.Roster{Items: []im.Contact{friend("f", "favorites")}})
		again("d e f") // favourites
		if err := b.AddContact(t.Context(), "alice@hotmail.com", "zoe@hotmail.com"); err != nil {
			t.Fatal(err)
		}
		again("d f zoe") // who lives here
		b.restart()
		b.linked("alice@hotmail.com")
		again("d f zoe")
	})
}

// TestListsWithHoles shows what the client hears, and may do, about those that it
// does not have.
func TestListsWithHoles(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		b.in(im.Roster{Items: []im.Contact{friend("a"), friend("b"), friend("c"), friend("d")}})
		before, _ := b.signOn("alice@hotmail.com")
		version := before.Lists().Version
		s, k := b.small("alice@hotmail.com")
		if got := s.Lists(); got.Version == version || shows(s) != "a b c" || len(got.Contacts) != 4 {
			t.Errorf("%d entries, shown %q, version %d after %d", len(got.Contacts), shows(s), got.Version, version)
		}
		if got := of[im.PresenceChanged](k.take()); len(got) != 3 {
			t.Errorf("presence of %d", len(got))
		}
		b.in(im.PresenceChanged{Who: wirePerson("d@wire.test"), Now: im.Presence{Status: im.Busy}}, im.Roster{Items: []im.Contact{friend("e")}})
		for _, ev := range k.take() {
			if c, ok := ev.(im.ListChanged); !ok || c.List == "FL" {
				t.Errorf("told of somebody who is not there: %+v", ev)
			}
		}
		for _, who := range []string{"d", "new"} {
			if _, err := s.Add(t.Context(), FL, who+"@wire.test", 0); err != ErrListFull {
				t.Errorf("adding %s: %v", who, err)
			}
		}
		if _, err := s.Remove(t.Context(), FL, "d@wire.test", 0, false); err != ErrNotOnList {
			t.Errorf("removing d: %v", err)
		}
		b.in(im.Roster{Gone: []im.Addr{{Net: "wire", ID: "e@wire.test"}, {Net: "wire", ID: "a@wire.test"}}})
		var gone []string
		for _, c := range of[im.ListChanged](k.take()) {
			if c.List == "FL" {
				gone = append(gone, c.Who.ID)
			}
		}
		if !slices.Equal(gone, []string{"a@wire.test"}) {
			t.Errorf("told that %q went", gone)
		}
		if _, err := s.Add(t.Context(), FL, "d@wire.test", 0); err != nil || shows(s) != "b c d" {
			t.Errorf("adding d when there is room: %v, shown %q", err, shows(s))
		}
		s.Announce("d@wire.test", "9")
		if got := of[im.PresenceChanged](k.take()); len(got) != 1 || got[0].Now.Status != im.Busy {
			t.Errorf("d shows %+v", got)
		}
		for _, ev := range b.wire.sent() {
			if _, edit := ev.(im.ContactEdit); edit {
				t.Errorf("the server was told: %+v", ev)
			}
		}
	})
}

// TestGroupsOfANetwork has more groups than a client takes, and longer names.
// Nothing of it is lost on the server by an edit here.
func TestGroupsOfANetwork(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		long := strings.Repeat("long ", 20) + "name"
		items := []im.Contact{friend("a", long)}
		for i := range 40 {
			items = append(items, friend(fmt.Sprint("b", i), fmt.Sprint("Group ", i)))
		}
		items = append(items, friend("c", "Group 39", "Group 2"))
		b.in(im.Roster{Items: items})
		s, _ := b.signOn("alice@hotmail.com")
		ls := s.Lists()
		if len(ls.Groups) != maxGroups || ls.Groups[0].Name != long {
			t.Errorf("%d groups, the first is %q", len(ls.Groups), ls.Groups[0].Name)
		}
		for _, c := range ls.Contacts {
			if want := map[string]int{"a@wire.test": 1, "b0@wire.test": 1, "b39@wire.test": 0, "c@wire.test": 1}[c.ID]; (want > 0 || c.ID == "b39@wire.test") && len(c.Groups) != want {
				t.Errorf("%s is in %v", c.ID, c.Groups)
			}
		}
		if _, err := s.AddGroup(t.Context(), "one more"); err != ErrTooMany {
			t.Errorf("one group more: %v", err)
		}
		b.wire.sent()
		must(s.Add(t.Context(), FL, "c@wire.test", ls.Groups[0].ID))
		for _, ev := range b.wire.sent() {
			if e, ok := ev.(im.ContactEdit); ok && !slices.Contains(e.Who.Groups, "Group 39") {
				t.Errorf("the edit loses a group: %q", e.Who.Groups)
			}
		}
	})
}
