package bridge

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge/im"
)

// off makes the link go down and stay down, up makes it come back.
func (b *box) off() {
	b.wire.set(func(w *wire) { w.down = true })
	b.wire.link().Close()
	synctest.Wait()
}

func (b *box) up() {
	b.wire.set(func(w *wire) { w.down = false })
	time.Sleep(10 * time.Minute)
	synctest.Wait()
}

// onWire runs a test with alice signed on and her link up.
func onWire(t *testing.T, test func(t *testing.T, b *box, s *Session, k *sink)) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		s, k := b.signOn("alice@hotmail.com")
		test(t, b, s, k)
	})
}

// addLater adds who as the notification server does.
func addLater(t *testing.T, s *Session, l List, who string, group uint32) Change {
	t.Helper()
	if _, err := s.Add(t.Context(), l, who, group); !errors.Is(err, ErrNoAnswer) {
		t.Fatalf("adding %s while the link is down: %v", who, err)
	}
	ch, err := s.AddPending(t.Context(), l, who, group)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// A contact that is added while the link is down is on the list at once, through
// a restart too, and becomes who he is when the link is back.
func TestPendingContact(t *testing.T) {
	onWire(t, func(t *testing.T, b *box, s *Session, _ *sink) {
		b.off()
		group := must(s.AddGroup(t.Context(), "Pals")).Group
		addLater(t, s, FL, "Bob@wire.test", group.ID)
		if _, err := s.Add(t.Context(), AL, "bob@wire.test", 0); err != nil {
			t.Errorf("AL: %v", err)
		}
		addLater(t, s, FL, "nobody@nowhere.test", 0)
		b.restart()
		s, k := b.signOn("alice@hotmail.com")
		if ls := s.Lists(); len(ls.On(FL)) != 2 || len(ls.On(AL)) != 1 {
			t.Fatalf("after the restart: %+v", ls)
		}
		k.take()
		b.up()
		ls := s.Lists()
		if len(ls.Contacts) != 1 {
			t.Fatalf("lists: %+v", ls)
		}
		c := ls.Contacts[0]
		if c.Net != "wire" || c.ID != "bob@wire.test" || c.Name != "found" || c.Lists != FL|AL || len(c.Groups) != 1 || c.Groups[0] != group.ID {
			t.Errorf("bob: %+v", c)
		}
		if got := of[im.ContactEdit](b.wire.sent()); len(got) != 1 || got[0].Op != im.Add || got[0].Who.ID != "bob@wire.test" {
			t.Errorf("the network was told %+v", got)
		}
		events := k.take()
		if gone := of[im.ListChanged](events); len(gone) != 1 || gone[0].Added || gone[0].List != "FL" || gone[0].Who.ID != "nobody@nowhere.test" {
			t.Errorf("the client was told %+v", gone)
		}
		if seen := of[im.PresenceChanged](events); len(seen) != 1 || seen[0].Who.ID != "bob@wire.test" || !seen[0].Now.Later {
			t.Errorf("the client saw %+v", seen)
		}
		b.restart()
		s, _ = b.signOn("alice@hotmail.com")
		if ls := s.Lists(); len(ls.Contacts) != 1 || ls.Contacts[0].Net != "wire" {
			t.Errorf("on disk: %+v", ls)
		}
	})
}

// Whom the network speaks of before he was asked for keeps the handle that he was
// added under.
func TestPendingContactIsOnTheRoster(t *testing.T) {
	onWire(t, func(t *testing.T, b *box, s *Session, k *sink) {
		b.off()
		addLater(t, s, FL, "bob@wire.test", 0)
		k.take()
		b.wire.set(func(w *wire) {
			w.known = []im.Contact{{Person: wirePerson("bob@wire.test"), Follows: true, Followed: true}}
		})
		b.up()
		ls := s.Lists()
		if len(ls.Contacts) != 1 || ls.Contacts[0].Net != "wire" || ls.Contacts[0].ID != "bob@wire.test" || ls.Contacts[0].Lists != FL|AL|RL {
			t.Errorf("lists: %+v", ls)
		}
		for _, ev := range of[im.ListChanged](k.take()) {
			if !ev.Added {
				t.Errorf("the client was told %+v", ev)
			}
		}
	})
}

// Whom the account turns out to have under another address is not there twice.
func TestPendingContactIsKnown(t *testing.T) {
	onWire(t, func(t *testing.T, b *box, s *Session, k *sink) {
		must(s.Add(t.Context(), BL, "bob@wire.test", 0))
		b.off()
		addLater(t, s, FL, "also.bob@wire.test", 0)
		must(s.Add(t.Context(), AL, "also.bob@wire.test", 0))
		k.take()
		b.up()
		ls := s.Lists()
		if len(ls.Contacts) != 1 || ls.Contacts[0].ID != "bob@wire.test" || ls.Contacts[0].Lists != FL|BL {
			t.Errorf("lists: %+v", ls)
		}
		told := ""
		for _, ev := range of[im.ListChanged](k.take()) {
			told += fmt.Sprintln(ev.List, ev.Who.ID, ev.Added)
		}
		if told != "FL also.bob@wire.test false\nAL also.bob@wire.test false\nFL bob@wire.test true\n" {
			t.Errorf("the client was told\n%s", told)
		}
	})
}

// An account of this box that is made meanwhile comes first, and what all links
// deny is refused at once.
func TestPendingContactIsOnThisBox(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		s, _ := b.signOn("alice@hotmail.com")
		if _, err := s.Add(t.Context(), FL, "bob@wire.test", 0); !errors.Is(err, ErrNoSuchUser) {
			t.Errorf("without a link: %v", err)
		}
		b.linked("alice@hotmail.com")
		if _, err := s.Add(t.Context(), FL, "nobody@nowhere.test", 0); !errors.Is(err, ErrNoSuchUser) {
			t.Errorf("with the link up: %v", err)
		}
		b.off()
		addLater(t, s, FL, "bob@wire.test", 0)
		b.user("bob@wire.test")
		b.up()
		bob, _ := b.signOn("bob@wire.test")
		if ls := s.Lists(); len(ls.Contacts) != 1 || ls.Contacts[0].Net != "" || ls.Contacts[0].Lists != FL {
			t.Errorf("alice's lists: %+v", ls)
		}
		if ls := bob.Lists(); len(ls.On(PL)) != 1 {
			t.Errorf("bob's lists: %+v", ls)
		}
		if err := b.AddContact(context.Background(), "alice@hotmail.com", "nobody@nowhere.test"); !errors.Is(err, ErrNoSuchUser) {
			t.Errorf("the owner, with the link up: %v", err)
		}
	})
}
