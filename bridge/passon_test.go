package bridge

import (
	"slices"
	"testing"

	"nudge/bridge/im"
)

// TestPassOn: who is on a network hears what the others on networks say in a
// conversation of three, with their names, once and in order, and nothing that was not
// said to all of them.
func TestPassOn(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		bob, carl := wirePerson("bob@wire.test"), wirePerson("carl@wire.test")
		bob.Name = "Bob"
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		b.in(im.Roster{Full: true, Items: []im.Contact{
			{Person: bob, Follows: true}, {Person: carl, Follows: true},
			{Person: im.Person{Addr: im.Addr{Net: "wire", ID: kitchen}, Name: "Kitchen"}, Follows: true, Room: true},
		}})
		b.in(im.Room{Conv: kitchen, Name: "Kitchen", Full: true})
		s, _ := b.signOn("alice@hotmail.com")
		seat := must(b.Open(must(s.Cookie()), "alice@hotmail.com", &sink{proves: true}, func(im.Person) {}))
		call := func(who string) {
			t.Helper()
			if err := seat.Call(who, func(uint32) {}); err != nil {
				t.Fatal(err)
			}
		}
		out := func() (said []string) {
			rest()
			for _, m := range of[im.Message](b.wire.sent()) {
				said = append(said, m.Conv+" "+m.Text)
				if !m.Passed || m.Raw != nil {
					t.Errorf("not marked as passed on: %+v", m)
				}
			}
			return said
		}
		call(carl.ID)
		b.in(says("1", bob.ID, "for alice only"))
		call(bob.ID)
		call(kitchen)
		if got := out(); got != nil {
			t.Errorf("passed on what was said before: %q", got)
		}
		emote, nudge, again, machine := says("3", bob.ID, "waves"), says("4", bob.ID, ""), says("5", bob.ID, "Dave: hi"), says("6", bob.ID, "away")
		emote.Kind, nudge.Kind, again.Passed, machine.Kind = im.Emote, im.Nudge, true, im.Notice
		b.in(says("2", bob.ID, "hello"), emote, nudge, again, machine, saysInRoom("7", "dave", "soup"))
		b.in(says("2", bob.ID, "hello"))
		want := []string{"carl@wire.test Bob: hello", "carl@wire.test Bob: * waves", "carl@wire.test Bob: (a nudge)"}
		if got := out(); !slices.Equal(got, want) {
			t.Errorf("passed on: %q", got)
		}
		seat.Leave(false)
		b.in(says("8", bob.ID, "later"))
		if got := out(); got != nil {
			t.Errorf("passed on what was said after it: %q", got)
		}
	})
}
