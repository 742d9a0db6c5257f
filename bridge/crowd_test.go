package bridge

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"nudge/bridge/im"
)

const kitchen = "kitchen@muc.test"

// inRoom is somebody in the kitchen.
func inRoom(nick string) im.Person {
	return im.Person{Addr: im.Addr{Net: "wire", ID: kitchen + "/" + nick}, Name: nick}
}

func saysInRoom(id, nick, text string) im.Message {
	return im.Message{ID: id, Conv: kitchen, From: inRoom(nick).Addr, Name: nick, At: time.Now(), Text: text}
}

// moves lists who came (+) and went (-), by handle.
func moves(evs []im.Event) (out []string) {
	for _, m := range of[im.Membership](evs) {
		sign := "-"
		if m.Joined {
			sign = "+"
		}
		out = append(out, sign+m.Who.ID)
	}
	return out
}

// enter links alice to a network with a room and calls it.
func enter(t *testing.T, b *box, members ...im.Person) (*Session, *Seat, *sink) {
	t.Helper()
	b.user("alice@hotmail.com")
	b.linked("alice@hotmail.com")
	b.in(im.Roster{Full: true, Items: []im.Contact{
		{Person: im.Person{Addr: im.Addr{Net: "wire", ID: kitchen}, Name: "Kitchen"}, Follows: true, Room: true}}})
	b.in(im.Room{Conv: kitchen, Name: "Kitchen", Topic: "soup", Full: true, Members: members})
	s, _ := b.signOn("alice@hotmail.com")
	k := &sink{proves: true}
	seat := must(b.Open(must(s.Cookie()), "alice@hotmail.com", k, func(im.Person) {}))
	if err := seat.Call(kitchen, func(uint32) {}); err != nil {
		t.Fatal(err)
	}
	return s, seat, k
}

// TestSmallRoom: members are shown as if they had joined the conversation, come
// and go, and speak for themselves; for who was not shown the contact speaks.
func TestSmallRoom(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		_, seat, k := enter(t, b, inRoom("bob"), inRoom("b?b"))
		if got := moves(k.take()); !slices.Equal(got, []string{"+" + kitchen, "+bob.kitchen@muc.test", "+b-b.kitchen@muc.test"}) {
			t.Errorf("who is there: %q", got)
		}
		b.in(im.Room{Conv: kitchen, Name: "Kitchen", Topic: "soup", Left: []im.Person{inRoom("b?b")}, Joined: []im.Person{inRoom("carol")}})
		if got := moves(k.take()); !slices.Equal(got, []string{"-b-b.kitchen@muc.test", "+carol.kitchen@muc.test"}) {
			t.Errorf("who moved: %q", got)
		}
		b.in(saysInRoom("1", "carol", "hello"), saysInRoom("2", "b?b", "I am gone"), im.Typing{Conv: kitchen, Who: inRoom("bob").Addr, On: true})
		evs := k.take()
		var got []string
		for _, m := range of[im.Message](evs) {
			got = append(got, fmt.Sprint(m.From.ID, " ", m.Name, ": ", m.Text))
		}
		if !slices.Equal(got, []string{"carol.kitchen@muc.test : hello", kitchen + " b?b: I am gone"}) {
			t.Errorf("what was said: %q", got)
		}
		if ty := of[im.Typing](evs); len(ty) != 1 || ty[0].Who.ID != "bob.kitchen@muc.test" {
			t.Errorf("who types: %+v", ty)
		}
		seat.Send(im.Message{Text: "hi all"}, func(error) {})
		rest()
		var out []string
		for _, m := range of[im.Message](b.wire.sent()) {
			out = append(out, m.Conv+" "+m.Text)
		}
		if !slices.Equal(out, []string{kitchen + " hi all"}) {
			t.Errorf("what went out: %q", out)
		}
	})
}

// TestRoomRings: who is called from a room finds its members there.
func TestRoomRings(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		b.in(im.Roster{Items: []im.Contact{{Person: im.Person{Addr: im.Addr{Net: "wire", ID: kitchen}, Name: "Kitchen"}, Follows: true, Room: true}}})
		b.in(im.Room{Conv: kitchen, Full: true, Members: []im.Person{inRoom("bob")}})
		_, k := b.signOn("alice@hotmail.com")
		k.take()
		b.in(saysInRoom("1", "bob", "dinner"))
		calls := of[im.Invitation](k.take())
		if len(calls) != 1 || calls[0].From.ID != kitchen {
			t.Fatalf("calls: %+v", calls)
		}
		sb, there := &sink{proves: true}, []string{}
		must(b.Answer(calls[0].Cookie, "alice@hotmail.com", calls[0].Session, sb, func(_ im.Person, present []im.Membership) {
			for _, m := range present {
				there = append(there, m.Who.ID)
			}
		}))
		if !slices.Equal(there, []string{kitchen, "bob.kitchen@muc.test"}) {
			t.Errorf("there are %q", there)
		}
		if got := of[im.Message](sb.take()); len(got) != 1 || got[0].From.ID != "bob.kitchen@muc.test" {
			t.Errorf("messages: %+v", got)
		}
	})
}

// TestLargeRoom: nobody is shown, and the speaker's name goes with what he says. A
// contact in a room has one address.
func TestLargeRoom(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		var many []im.Person
		for i := range im.Crowd + 1 {
			many = append(many, inRoom(fmt.Sprintf("n%02d", i)))
		}
		_, _, k := enter(t, b, many...)
		if got := moves(k.take()); len(got) != 1 {
			t.Errorf("who is shown: %q", got)
		}
		b.in(saysInRoom("1", "n07", "hello"))
		if got := of[im.Message](k.take()); len(got) != 1 || got[0].Name != "n07" || got[0].From.ID != kitchen {
			t.Errorf("messages: %+v", got)
		}
		bob := wirePerson("bob@wire.test")
		b.in(im.Roster{Items: []im.Contact{{Person: bob, Follows: true}}}, im.Room{Conv: kitchen, Full: true, Members: []im.Person{bob, inRoom("x")}})
		if got := moves(k.take()); !slices.Equal(got, []string{"+bob@wire.test", "+x.kitchen@muc.test"}) {
			t.Errorf("who is shown in the small room: %q", got)
		}
	})
}

// TestQuietRoom: what is quiet waits for a window and opens none; of what waits long
// only the newest is kept.
func TestQuietRoom(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		_, seat, k := enter(t, b, inRoom("bob"))
		quiet := func(id string) im.Message {
			m := saysInRoom(id, "bob", "quiet "+id)
			m.Quiet = true
			return m
		}
		s := b.accounts["alice@hotmail.com"].sessions[0]
		ns := s.sink.(*sink)
		b.in(quiet("open"))
		if got := of[im.Message](k.take()); len(got) != 1 {
			t.Errorf("in the open window: %+v", got)
		}
		seat.Leave(false)
		ns.take()
		for i := range maxQuiet + 10 {
			b.in(quiet(fmt.Sprint(i)))
		}
		if calls := of[im.Invitation](ns.take()); len(calls) != 0 {
			t.Errorf("called: %+v", calls)
		}
		b.in(saysInRoom("loud", "bob", "alice!"))
		if calls := of[im.Invitation](ns.take()); len(calls) != 1 {
			t.Fatalf("calls: %+v", calls)
		}
		seat = must(b.Open(must(s.Cookie()), "alice@hotmail.com", k, func(im.Person) {}))
		if err := seat.Call(kitchen, func(uint32) {}); err != nil {
			t.Fatal(err)
		}
		got := of[im.Message](k.take())
		if len(got) == 0 || got[0].Text != moreWasSaid {
			t.Fatalf("what went is not told: %+v", got)
		}
		got = got[1:]
		if len(got) != maxQuiet+1 || got[0].Text != "quiet 10" || got[maxQuiet].Text != "alice!" {
			t.Errorf("%d messages: %+v", len(got), got)
		}
	})
}

// TestRoomCallsSeldom: a room opens one window a minute, and what came meanwhile the
// next. A client that has just signed on is called at once.
func TestRoomCallsSeldom(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		s, seat, _ := enter(t, b, inRoom("bob"))
		ns := s.sink.(*sink)
		seat.Leave(false)
		ns.take()
		calls := func() (n int) { return len(of[im.Invitation](ns.take())) }
		b.in(saysInRoom("1", "bob", "one"))
		if n := calls(); n != 1 {
			t.Errorf("%d calls", n)
		}
		time.Sleep(ringTime + time.Second)
		b.in(saysInRoom("2", "bob", "two"))
		if n := calls(); n != 0 {
			t.Errorf("%d calls within a minute", n)
		}
		time.Sleep(callAgain)
		rest()
		if n := calls(); n != 1 {
			t.Errorf("%d calls after a minute", n)
		}
		b.in(saysInRoom("3", "bob", "three"))
		if n := calls(); n != 0 {
			t.Errorf("%d calls within the next minute", n)
		}
		_, ns = b.signOn("alice@hotmail.com")
		rest()
		if n := calls(); n != 1 {
			t.Errorf("%d calls for a client that has just come", n)
		}
	})
}

// TestUnblockedElsewhere: a block that is taken back on another device is gone here.
func TestUnblockedElsewhere(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		bob := wirePerson("bob@wire.test")
		b.in(im.Roster{Full: true, Items: []im.Contact{{Person: bob, Follows: true, Followed: true, Blocked: true}}})
		lists := func() List { return List(b.accounts["alice@hotmail.com"].contacts.of(bob.Addr).Lists) }
		if l := lists(); l != FL|RL|BL {
			t.Errorf("lists %b after a block", l)
		}
		b.in(im.Roster{Items: []im.Contact{{Person: bob, Follows: true, Followed: true}}})
		if l := lists(); l != FL|RL|BL {
			t.Errorf("lists %b: a roster alone took the block back", l)
		}
		b.in(im.ContactEdit{ID: "e", Op: im.Unblock, Who: im.Contact{Person: bob}})
		if l := lists(); l != FL|RL|AL {
			t.Errorf("lists %b after it was taken back", l)
		}
	})
}

// TestRoomSettings: who does not want to see who is in a room is told with each message,
// and hears of no reactions when those are off too; both until they are on again.
func TestRoomSettings(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		set := func(value string) {
			for _, key := range []string{im.Joins, im.Reactions} {
				if err := b.SetLink(t.Context(), "alice@hotmail.com", "wire", key, value); err != nil {
					t.Fatal(err)
				}
			}
		}
		liked := func(id string) im.Message {
			m := saysInRoom(id, "bob", "👍")
			m.Rel = im.Rel{Kind: im.React, To: "1"}
			return m
		}
		_, _, k := enter(t, b)
		k.take()
		set("no")
		b.in(im.Room{Conv: kitchen, Name: "Kitchen", Joined: []im.Person{inRoom("bob")}}, saysInRoom("1", "bob", "hello"), liked("2"))
		evs := k.take()
		if got := of[im.Message](evs); len(got) != 1 || got[0].Name != "bob" || got[0].From.ID != kitchen || got[0].Text != "hello" || len(moves(evs)) > 0 {
			t.Errorf("quiet: %+v", evs)
		}
		set("yes")
		b.in(im.Room{Conv: kitchen, Name: "Kitchen", Joined: []im.Person{inRoom("carol")}}, liked("3"))
		evs = k.take()
		if got := of[im.Message](evs); len(got) != 1 || got[0].Rel.Kind != im.React || !slices.Equal(moves(evs), []string{"+bob.kitchen@muc.test", "+carol.kitchen@muc.test"}) {
			t.Errorf("not quiet any more: %+v, %q", evs, moves(evs))
		}
	})
}
