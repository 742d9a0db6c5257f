package bridge

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge/im"
)

func TestDisplays(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("bob@hotmail.com")
		d := &sink{}
		b.Watch(d)
		want := func(what string, all ...im.Overview) {
			t.Helper()
			if got := of[im.Overview](d.take()); !slices.Equal(got, all) {
				t.Errorf("%s: %v, want %v", what, got, all)
			}
		}
		want("at once", im.Overview{})
		alice, _ := b.signOn("alice@hotmail.com")
		want("sign-on", im.Overview{Users: 1})
		alice.SetPresence(im.Presence{Status: im.Busy}, "")
		want("busy")
		alice.SetPresence(im.Presence{Status: im.Hidden}, "")
		want("hidden, but here")
		if _, err := alice.SetName("Alice"); err != nil {
			t.Fatal(err)
		}
		want("renamed")
		bob, _ := b.signOn("bob@hotmail.com")
		want("another", im.Overview{Users: 2})
		b.signOn("bob@hotmail.com") // ends the former session
		want("elsewhere", im.Overview{Users: 1}, im.Overview{Users: 2})
		bob.Close() // was ended already
		alice.Close()
		want("sign-off", im.Overview{Users: 1})

		b.linked("alice@hotmail.com")
		want("linked", im.Overview{Users: 1, Links: 1}, im.Overview{Users: 1, Links: 1, Up: 1})
		b.wire.set(func(w *wire) { w.down = true })
		b.wire.link().Close()
		want("lost", im.Overview{Users: 1, Links: 1})
		if err := b.RemoveLink(t.Context(), "alice@hotmail.com", "wire"); err != nil {
			t.Fatal(err)
		}
		want("removed", im.Overview{Users: 1})
		if err := b.RemoveAccount(t.Context(), "bob@hotmail.com"); err != nil {
			t.Fatal(err)
		}
		want("account removed", im.Overview{})
	})
}

func TestDisplaysSeeThatSomethingWasSaidAndNotWhat(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		d := &sink{}
		b.Watch(d)
		d.take()
		nudge := says("1", "bob@wire.test", "")
		nudge.Kind = im.Nudge
		b.in(says("2", "bob@wire.test", "a secret"), nudge, im.Typing{Conv: "bob@wire.test", On: true})
		said := d.take()
		if len(said) != 2 {
			t.Fatalf("the display got %v", said)
		}
		for i, kind := range []im.Kind{im.Text, im.Nudge} {
			if m, ok := said[i].(im.Message); !ok || m.Kind != kind || m.Text+m.ID+m.Conv+m.From.ID != "" {
				t.Errorf("the display got %+v", said[i])
			}
		}
	})
}

// TestLinksWaitForTheClock starts without one, as a board does that has no
// battery: clients are served, links wait.
func TestLinksWaitForTheClock(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.close()
		b.clock = make(chan struct{})
		b.open()
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		b.signOn("alice@hotmail.com")
		time.Sleep(time.Hour)
		synctest.Wait()
		if l := b.Links("")[0]; l.State != im.Down || !strings.Contains(l.Text, "clock") || b.wire.link() != nil {
			t.Fatalf("the link did not wait: %+v", l)
		}
		close(b.clock)
		synctest.Wait()
		if l := b.Links("")[0]; l.State != im.Up {
			t.Errorf("the link does not come up: %+v", l)
		}
		b.restart() // with a clock that is set
		synctest.Wait()
		if l := b.Links("")[0]; l.State != im.Up {
			t.Errorf("the link does not come up again: %+v", l)
		}
	})
}
