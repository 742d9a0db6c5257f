package bridge

import (
	"testing"
	"time"

	"nudge/bridge/im"
)

// opened is how often the link was made, and whether it is now.
func (b *box) opened() (times int, now bool) {
	b.t.Helper()
	rest()
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	return len(b.wire.links), b.Links("")[0].State != im.Down
}

// TestClosedWhileAway: a link is closed a minute after the last client has gone and
// opens for the next, and nobody is told of an outage.
func TestClosedWhileAway(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.voice = im.Addr{Net: "box", ID: "box"}
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		set := func(value string) {
			t.Helper()
			if err := b.SetLink(t.Context(), "alice@hotmail.com", "wire", im.Absence, value); err != nil {
				t.Fatal(err)
			}
		}
		want := func(when string, times int, open bool) {
			t.Helper()
			if n, now := b.opened(); n != times || now != open {
				t.Errorf("%s: opened %d times, open %v; want %d, %v", when, n, now, times, open)
			}
		}
		time.Sleep(time.Hour)
		want("by default", 1, true)
		set(im.Closed)
		want("at first", 1, true)
		time.Sleep(closeAfter)
		want("with nobody there", 1, false)
		if l := b.Links("")[0]; !l.Resting || l.Text != restingText {
			t.Errorf("it says %+v", l)
		}
		time.Sleep(time.Hour)
		want("for a long time", 1, false)

		s, _ := b.signOn("alice@hotmail.com")
		want("signed on", 2, true)
		s.Close()
		time.Sleep(closeAfter / 2)
		s, _ = b.signOn("alice@hotmail.com")
		time.Sleep(time.Hour)
		want("signed on again soon", 2, true)
		s.Close()
		time.Sleep(2 * closeAfter)
		want("signed off", 2, false)

		if err := b.RetryLink("alice@hotmail.com", "wire"); err != nil {
			t.Fatal(err)
		}
		if err := b.TestLink(t.Context(), "alice@hotmail.com", "wire"); err != nil {
			t.Error(err)
		}
		want("tested", 3, true)
		time.Sleep(2 * closeAfter)
		want("after the test", 3, false)

		b.restart()
		time.Sleep(time.Hour)
		want("after a restart", 3, false)
		set("offline")
		want("set back", 4, true)
		if said := b.told(); len(said) != 0 {
			t.Errorf("the box says %q", said)
		}
	})
}

// TestClosedAfterAllIsSent: what was written before the client went is sent and
// confirmed before the link is closed.
func TestClosedAfterAllIsSent(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		seat, _ := guestSeat(t, b)
		if err := b.SetLink(t.Context(), "alice@hotmail.com", "wire", im.Absence, im.Closed); err != nil {
			t.Fatal(err)
		}
		b.wire.set(func(w *wire) { w.mute = true })
		seat.says("farewell")
		said := of[im.Message](b.wire.sent())
		seat.session.Close()
		time.Sleep(3 * closeAfter)
		if _, open := b.opened(); !open || len(said) != 1 {
			t.Fatalf("sent %+v, and the link is open: %v", said, open)
		}
		b.in(im.Receipt{ID: said[0].ID, State: im.Sent})
		time.Sleep(closeAfter)
		if _, open := b.opened(); open {
			t.Error("the link stays open")
		}
		d := &sink{}
		b.Watch(d)
		if got := of[im.Overview](d.take()); len(got) != 1 || got[0].Links != 0 {
			t.Errorf("displays see %+v", got)
		}
	})
}
