package bridge

import (
	"testing"
	"testing/synctest"

	"nudge/bridge/im"
)

// TestNote: what the user says of himself goes out beside his presence, to this
// box and to the network, from the first presence on and until he changes it.
func TestNote(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("bob@hotmail.com")
		b.linked("alice@hotmail.com")
		if err := b.AddContact(t.Context(), "bob@hotmail.com", "alice@hotmail.com"); err != nil {
			t.Fatal(err)
		}
		_, bk := b.signOn("bob@hotmail.com")
		ak := &sink{proves: true}
		alice := must(b.SignOn("alice@hotmail.com", Client{Proto: "test"}, ak))
		b.wire.sent()
		bk.take()

		note := im.Presence{Note: "at home", Media: "a – b", Playing: "raw"}
		alice.SetNote(note)
		if got := append(bk.take(), b.wire.sent()...); len(got) != 0 {
			t.Fatalf("before the first presence came %+v", got)
		}
		want := note
		want.Status, want.Caps, want.Object = im.Busy, 7, "obj"
		alice.SetPresence(im.Presence{Status: im.Busy, Caps: 7, Object: "obj", Note: "not the client's way to set it"}, "1")
		see := func(when string) {
			t.Helper()
			for who, evs := range map[string][]im.Event{"bob": bk.take(), "the network": b.wire.sent()} {
				if got := of[im.PresenceChanged](evs); len(got) != 1 || got[0].Now != want {
					t.Errorf("%s %s sees %+v, want %+v", when, who, got, want)
				}
			}
		}
		see("at first")
		want.Note, want.Media, want.Playing = "gone", "", ""
		alice.SetNote(im.Presence{Note: "gone"})
		see("after a change of the note")
		alice.SetNote(im.Presence{Note: "gone"})
		if got := append(bk.take(), b.wire.sent()...); len(got) != 0 {
			t.Fatalf("the same note again brought %+v", got)
		}
		want.Status, want.Caps, want.Object = im.Online, 0, ""
		alice.SetPresence(im.Presence{Status: im.Online}, "2")
		see("after a change of the status")
	})
}

// TestGUIDs: contacts and groups are found by GUID as by name, in whatever case,
// and keep theirs over a restart.
func TestGUIDs(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("bob@hotmail.com")
		alice, _ := b.signOn("alice@hotmail.com")
		friends := must(alice.AddGroup(t.Context(), "Friends")).Group
		work := must(alice.AddGroup(t.Context(), "Work")).Group
		bob := must(alice.Add(t.Context(), FL, "bob@hotmail.com", friends.ID))
		if got := must(alice.Add(t.Context(), FL, bob.GUID, work.ID)); got.GUID != bob.GUID || got.Who.ID != "bob@hotmail.com" {
			t.Errorf("added by GUID: %+v", got)
		}
		b.restart()
		alice, _ = b.signOn("alice@hotmail.com")
		l := alice.Lists().Contacts
		if len(l) != 1 || l[0].GUID != bob.GUID || len(l[0].Groups) != 2 {
			t.Fatalf("after a restart: %+v", l)
		}
		for name, want := range map[string]Group{friends.GUID: friends, "Work": work, "work": {}, "": {}, bob.GUID: {}} {
			if got, ok := alice.FindGroup(name); got != want || ok != (want != Group{}) {
				t.Errorf("group %q: %+v, %v", name, got, ok)
			}
		}
		// A group may be called as another one's GUID: the GUID wins.
		if _, err := alice.RenameGroup(t.Context(), work.ID, friends.GUID); err != nil {
			t.Fatal(err)
		}
		if got, ok := alice.FindGroup(friends.GUID); !ok || got.ID != friends.ID {
			t.Errorf("the GUID of a group finds %+v", got)
		}
		if _, err := alice.Remove(t.Context(), FL, bob.GUID, 0, false); err != nil {
			t.Errorf("removed by GUID: %v", err)
		}
		if _, err := alice.Remove(t.Context(), FL, "00000000-0000-0000-0000-000000000000", 0, false); err != ErrNotOnList {
			t.Errorf("removed by a GUID that nobody has: %v", err)
		}
	})
}

// TestAnswered: a client may say that it has dealt with somebody who added the
// user, whatever became of him; others can't be put on the reverse list.
func TestAnswered(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("bob@hotmail.com")
		alice, _ := b.signOn("alice@hotmail.com")
		bob, _ := b.signOn("bob@hotmail.com")
		if _, err := bob.Answered("alice@hotmail.com"); err != ErrNotOnList {
			t.Errorf("somebody who is on no list: %v", err)
		}
		must(alice.Add(t.Context(), FL, "bob@hotmail.com", 0))
		before := bob.Lists()
		for range 2 {
			if got, err := bob.Answered("Alice@Hotmail.com"); err != nil || got.Who.ID != "alice@hotmail.com" {
				t.Errorf("%+v, %v", got, err)
			}
			must(bob.Add(t.Context(), AL, "alice@hotmail.com", 0))
			must(bob.Remove(t.Context(), AL, "alice@hotmail.com", 0, false))
		}
		if l := bob.Lists().Contacts; len(l) != 1 || l[0].Lists != RL || before.Contacts[0].Lists != RL|PL {
			t.Errorf("before %+v, after %+v", before.Contacts, l)
		}
	})
}

// TestAsked: somebody on a network who asks while nobody is signed on waits for a
// person; not so people on this box, whom the owner brings together himself.
func TestAsked(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("bob@hotmail.com")
		b.linked("alice@hotmail.com")
		if err := b.AddContact(t.Context(), "bob@hotmail.com", "alice@hotmail.com"); err != nil {
			t.Fatal(err)
		}
		if got := b.Asked(); len(got) > 0 {
			t.Errorf("asked are %+v", got)
		}
		b.in(im.ContactEdit{Op: im.Add, Who: im.Contact{Person: wirePerson("carol@wire.test")}})
		synctest.Wait()
		if got := b.Asked(); len(got) != 1 || got[0] != (Asked{"alice@hotmail.com", 1}) {
			t.Errorf("asked are %+v", got)
		}
		alice, _ := b.signOn("alice@hotmail.com")
		if got := b.Asked(); len(got) > 0 {
			t.Errorf("%+v are asked while they are here", got)
		}
		must(alice.Add(t.Context(), BL, "carol@wire.test", 0))
		alice.Close()
		if got := b.Asked(); len(got) > 0 {
			t.Errorf("%+v are asked, who have answered", got)
		}
	})
}

// TestOfferDeclined: an offer that nobody on a network can take up is acknowledged
// at once, and its maker is told; other bytes between programs are not worth a
// word.
func TestOfferDeclined(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		alice, _ := b.signOn("alice@hotmail.com")
		must(alice.Add(t.Context(), FL, "bob@wire.test", 0))
		k := &sink{proves: true}
		seat := must(b.Open(must(alice.Cookie()), "alice@hotmail.com", k, func(im.Person) {}))
		if err := seat.Call("bob@wire.test", func(uint32) {}); err != nil {
			t.Fatal(err)
		}
		k.take()
		b.wire.sent()
		acks := 0
		ack := func(err error) {
			if acks++; err != nil {
				t.Error(err)
			}
		}
		seat.Send(im.Message{Raw: []byte("data")}, ack)
		if got := k.take(); len(got) != 0 || acks != 1 {
			t.Fatalf("%d acknowledged, %+v", acks, got)
		}
		seat.Send(im.Message{Raw: []byte("INVITE"), Offer: "the file a.jpg"}, ack)
		seat.Decline("the file a.jpg")
		got := of[im.Message](k.take())
		if acks != 2 || len(got) != 1 || got[0].Kind != im.Notice || got[0].From.ID != "bob@wire.test" ||
			got[0].Text != "Not delivered: the file a.jpg can't go to found from here. You can cancel it." {
			t.Errorf("%d acknowledged, %+v", acks, got)
		}
		if out := of[im.Message](b.wire.sent()); len(out) != 0 {
			t.Errorf("the network was sent %+v", out)
		}
	})
}
