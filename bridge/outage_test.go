package bridge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge/im"
)

// voiced runs a test with alice in a conversation with bob, on a box that can speak
// to her.
func voiced(t *testing.T, test func(t *testing.T, b *box, seat *Seat, k *sink)) {
	on(t, func(t *testing.T, b *box) {
		b.voice = im.Addr{Net: "wire", ID: "box"}
		seat, k := guestSeat(t, b)
		test(t, b, seat, k)
	})
}

// told is what the box said to its only account and nobody has read.
func (b *box) told() (texts []string) {
	b.t.Helper()
	rest()
	for _, e := range must(b.journal("alice@hotmail.com")) {
		if m := must(decodeMessage(e.Data)); m.From == b.voice {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// says is what the client's user writes. What becomes of it is not waited for.
func (s *Seat) says(texts ...string) {
	for _, text := range texts {
		s.Send(im.Message{Text: text}, func(error) {})
	}
}

// TestShortOutage: nobody hears of a link that is away for less than it takes to
// start a router, but its contacts show it after a while.
func TestShortOutage(t *testing.T) {
	voiced(t, func(t *testing.T, b *box, seat *Seat, k *sink) {
		_, signedOn := b.signOn("alice@hotmail.com")
		signedOn.take()
		b.off()
		time.Sleep(flicker - time.Second)
		if got := signedOn.take(); len(got) != 0 {
			t.Errorf("at first the client is told %+v", got)
		}
		time.Sleep(2 * time.Second)
		got := of[im.PresenceChanged](signedOn.take())
		if len(got) != 1 || got[0].Now != (im.Presence{Later: true, Cut: "wire"}) {
			t.Errorf("then it sees %+v", got)
		}
		time.Sleep(alarm - flicker - 10*time.Second)
		b.wire.set(func(w *wire) { w.down = false })
		if err := b.RetryLink("alice@hotmail.com", "wire"); err != nil {
			t.Fatal(err)
		}
		got = of[im.PresenceChanged](signedOn.take())
		if len(got) != 1 || got[0].Now.Cut != "" || got[0].Now.Status != im.Online {
			t.Errorf("at last it sees %+v", got)
		}
		time.Sleep(time.Hour)
		if said := b.told(); len(said) != 0 {
			t.Errorf("the box says %q", said)
		}
	})
}

// TestLongOutage: who is here hears once why the link is down, and that it is back;
// who comes later hears it then. Each conversation says once that what is written there
// waits, and all of it goes out in order.
func TestLongOutage(t *testing.T) {
	voiced(t, func(t *testing.T, b *box, seat *Seat, k *sink) {
		b.off()
		seat.says("one")
		if got := k.texts(); len(got) != 0 {
			t.Errorf("in the first moments the client reads %q", got)
		}
		time.Sleep(flicker)
		waits := "Not connected to wire: what you write here waits for up to 7 days, and goes out when the connection is back."
		if got := k.texts(); !slices.Equal(got, []string{waits}) {
			t.Errorf("then it reads %q", got)
		}
		seat.says("two", "three")
		time.Sleep(3 * time.Hour)
		if got := k.texts(); len(got) != 0 {
			t.Errorf("and after it %q", got)
		}
		said := b.told()
		if len(said) != 1 || !strings.HasPrefix(said[0], "wire is not connected since ") || !strings.Contains(said[0], "the server is away") {
			t.Errorf("the box says %q", said)
		}
		b.signOn("alice@hotmail.com")
		if again := b.told(); len(again) != 1 {
			t.Errorf("who signs on again hears %q", again)
		}
		b.up()
		var out []string
		for _, m := range of[im.Message](b.wire.sent()) {
			out = append(out, m.Text)
		}
		if !slices.Equal(out, []string{"one", "two", "three"}) {
			t.Errorf("the network gets %q", out)
		}
		if said := b.told(); len(said) != 2 || !strings.Contains(said[1], "connected again") {
			t.Errorf("the box says %q", said)
		}
	})
}

// TestOutageWhileAway: nobody is told of what is over when he signs on.
func TestOutageWhileAway(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.voice = im.Addr{Net: "wire", ID: "box"}
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		b.off()
		time.Sleep(time.Hour)
		b.up()
		if said := b.told(); len(said) != 0 {
			t.Errorf("the box says %q", said)
		}
		b.off()
		time.Sleep(time.Hour)
		b.signOn("alice@hotmail.com")
		if said := b.told(); len(said) != 1 {
			t.Errorf("who signs on in an outage hears %q", said)
		}
	})
}

// TestGatewayOutage: of a gateway the owners hear.
func TestGatewayOutage(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.voice = im.Addr{Net: "box", ID: "box"}
		for _, who := range []string{"alice@hotmail.com", "bob@hotmail.com"} {
			b.user(who)
			b.signOn(who)
		}
		if err := b.SetOwner(t.Context(), "alice@hotmail.com", true); err != nil {
			t.Fatal(err)
		}
		if err := b.AddGateway(t.Context(), "wire", map[string]string{"name": "x", "password": "y"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.gate.set(func(w *wire) { w.down = true })
		b.gate.link().Close()
		time.Sleep(time.Hour)
		rest()
		if said := b.told(); len(said) != 1 {
			t.Errorf("the owner hears %q", said)
		}
		if in := b.AccountList()[1]; in.Handle != "bob@hotmail.com" || in.Waiting != 0 {
			t.Errorf("%+v hears of it", in)
		}
	})
}

// TestGivenUp: what waits longer than the setting says comes back to who wrote it, also
// when the box was off meanwhile, and never goes out.
func TestGivenUp(t *testing.T) {
	for _, off := range []bool{false, true} {
		t.Run(fmt.Sprintf("off=%v", off), func(t *testing.T) {
			voiced(t, func(t *testing.T, b *box, seat *Seat, k *sink) {
				if err := b.SetLink(t.Context(), "alice@hotmail.com", "wire", im.Wait, "3"); err != nil {
					t.Fatal(err)
				}
				b.off()
				time.Sleep(time.Minute)
				seat.says("one")
				time.Sleep(2 * day)
				seat.says("two")
				k.take()
				gone := `Not delivered (it waited for 3 days, and wire was not connected): "one"`
				if off {
					b.close()
					time.Sleep(day + time.Minute)
					b.open()
				} else {
					time.Sleep(day - 2*time.Minute)
					if got := k.texts(); len(got) != 0 {
						t.Errorf("too early the client reads %q", got)
					}
					time.Sleep(2 * time.Minute)
					if got := k.texts(); !slices.Equal(got, []string{gone}) {
						t.Errorf("the client reads %q", got)
					}
				}
				b.up()
				if got := of[im.Message](b.wire.sent()); len(got) != 1 || got[0].Text != "two" {
					t.Errorf("the network gets %+v", got)
				}
				if !off {
					return
				}
				es := must(b.journal("alice@hotmail.com"))
				if len(es) == 0 || must(decodeMessage(es[len(es)-1].Data)).Text != gone {
					t.Errorf("%d messages wait for the client, without %q", len(es), gone)
				}
			})
		})
	}
}
