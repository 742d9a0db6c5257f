package bridge

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"nudge/bridge/im"
)

// limit makes the box one with these limits.
func (b *box) limit(l Limits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limits = l
}

func TestChatsOfAnAccountAreLimited(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.limit(Limits{Sessions: 1, Chats: 3, Members: 9})
		b.user("alice@example.com")
		s, _ := b.signOn("alice@example.com")
		open := func() *Seat {
			t.Helper()
			return must(b.Open(must(s.Cookie()), "alice@example.com", &sink{}, func(im.Person) {}))
		}
		refused := func(when string) {
			t.Helper()
			if _, err := s.Cookie(); !errors.Is(err, ErrManyChats) {
				t.Errorf("%s: %v", when, err)
			}
		}
		first := open()
		open()
		must(s.Cookie())
		refused("two conversations and a cookie")
		time.Sleep(cookieLife + time.Second)
		third := open() // the cookie is nobody's now
		refused("three conversations")
		first.Leave(false)
		first.Leave(false)
		open()
		refused("one left and one came")
		third.Leave(true)
		must(s.Cookie())
		s, _ = b.signOn("alice@example.com") // ends the conversations, and the cookie
		for range 3 {
			open()
		}
		refused("three of a new session")
	})
}

func TestMembersOfAChatAreLimited(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.limit(Limits{Sessions: 1, Chats: 9, Members: 3})
		sessions := map[string]*Session{}
		sinks := map[string]*sink{}
		for i := range 4 {
			h := fmt.Sprintf("user%d@example.com", i)
			b.user(h)
			sessions[h], sinks[h] = b.signOn(h)
		}
		host := must(b.Open(must(sessions["user0@example.com"].Cookie()), "user0@example.com", &sink{}, func(im.Person) {}))
		answer := func(h string) error {
			in := of[im.Invitation](sinks[h].take())
			if len(in) != 1 {
				t.Fatalf("%s got %d invitations", h, len(in))
			}
			_, err := b.Answer(in[0].Cookie, h, in[0].Session, &sink{}, func(im.Person, []im.Membership) {})
			return err
		}
		for i := range 3 { // all are called while there is room
			if err := host.Call(fmt.Sprintf("user%d@example.com", i+1), func(uint32) {}); err != nil {
				t.Fatal(err)
			}
		}
		for i, want := range []error{nil, nil, ErrFull} {
			if err := answer(fmt.Sprintf("user%d@example.com", i+1)); err != want {
				t.Errorf("number %d: %v", i+2, err)
			}
		}
		if err := host.Call("user3@example.com", func(uint32) { t.Error("it rings") }); err != ErrFull {
			t.Errorf("calling a fourth: %v", err)
		}
	})
}

// TestRingingAgainKeepsTheCookie: calling somebody many times before he answers
// makes one invitation, which stays good.
func TestRingingAgainKeepsTheCookie(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@example.com")
		b.user("carol@example.com")
		a, _ := b.signOn("alice@example.com")
		_, carol := b.signOn("carol@example.com")
		seat := must(b.Open(must(a.Cookie()), "alice@example.com", &sink{}, func(im.Person) {}))
		for range 1000 {
			if err := seat.Call("carol@example.com", func(uint32) {}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(b.cookies); n != 1 {
			t.Errorf("%d cookies", n)
		}
		in := of[im.Invitation](carol.take())
		if len(in) != 1000 || in[0].Cookie != in[999].Cookie {
			t.Fatalf("%d invitations", len(in))
		}
		if _, err := b.Answer(in[0].Cookie, "carol@example.com", in[0].Session, &sink{}, func(im.Person, []im.Membership) {}); err != nil {
			t.Error(err)
		}
	})
}

func TestSessionsOfAnAccountAreLimited(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.limit(Limits{Sessions: 2, Chats: 9, Members: 9})
		b.user("alice@example.com")
		_, one := b.signOn("alice@example.com")
		_, two := b.signOn("alice@example.com")
		if off := of[im.SignedOff](append(one.take(), two.take()...)); len(off) != 0 {
			t.Errorf("two are too many: %v", off)
		}
		b.signOn("alice@example.com")
		if off := of[im.SignedOff](one.take()); len(off) != 1 || off[0].Why != im.Elsewhere {
			t.Errorf("the oldest is told %v", off)
		}
		if off := of[im.SignedOff](two.take()); len(off) != 0 {
			t.Errorf("the newer one is told %v", off)
		}
	})
}

// TestNothingPassesARefusedMessage: of what a link reports when it has ended nothing is
// taken, or what comes after the first that is not would overtake it.
func TestNothingPassesARefusedMessage(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@example.com")
		b.linked("alice@example.com")
		_, k := b.signOn("alice@example.com")
		k.take()
		ctx, end := context.WithCancel(t.Context())
		end()
		for i := range 64 {
			if err := b.wire.link().in(ctx, says(fmt.Sprint("m", i), "bob@wire.test", "late")); err == nil {
				t.Errorf("message %d is taken", i)
			}
		}
		rest()
		if got := k.take(); len(got) > 0 {
			t.Errorf("the client is told %+v", got)
		}
	})
}
