package bridge

import (
	"fmt"
	"testing"

	"nudge/bridge/im"
)

// withBob opens a conversation of alice with bob, who is on the network, or in a room.
func withBob(t *testing.T, b *box) (*Seat, *sink) {
	t.Helper()
	b.user("alice@hotmail.com")
	b.linked("alice@hotmail.com")
	b.in(im.Roster{Full: true, Items: []im.Contact{{Person: wirePerson("bob@wire.test"), Follows: true}}})
	s, _ := b.signOn("alice@hotmail.com")
	k := &sink{proves: true}
	seat := must(b.Open(must(s.Cookie()), "alice@hotmail.com", k, func(im.Person) {}))
	if err := seat.Call("bob@wire.test", func(uint32) {}); err != nil {
		t.Fatal(err)
	}
	k.take()
	return seat, k
}

// said is one message that goes out for what alice writes.
func (b *box) said(t *testing.T, seat *Seat, text string) im.Message {
	t.Helper()
	out := b.outFor(t, seat, text)
	if len(out) != 1 {
		t.Fatalf("for %q goes out %+v", text, out)
	}
	return out[0]
}

// outFor is all that goes out for what alice writes; it is acknowledged.
func (b *box) outFor(t *testing.T, seat *Seat, text string) []im.Message {
	t.Helper()
	acks := 0
	seat.Send(im.Message{Text: text, Raw: []byte(text)}, func(err error) {
		if acks++; err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
	out := of[im.Message](b.wire.sent())
	if acks != 1 {
		t.Errorf("%q is acknowledged %d times", text, acks)
	}
	return out
}

// is checks what a message says and what it relates to.
func is(t *testing.T, m im.Message, text string, rel im.Rel) {
	t.Helper()
	if m.Text != text || m.Rel != rel || m.ID == "" || m.Conv == "" {
		t.Errorf("%q with %+v goes out as %+v, want %q with %+v", m.Text, m.Rel, m, text, rel)
	}
}

// TestCorrected: corrections and retractions are of the account's own last words, by
// the name that the network gave them, wherever they were written.
func TestCorrected(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		seat, k := withBob(t, b)
		is(t, b.said(t, seat, "s/soup/soap/"), "s/soup/soap/", im.Rel{}) // nothing was said
		first := b.said(t, seat, "soup and soup")
		is(t, b.said(t, seat, "s/soup/soap/"), "soap and soup", im.Rel{Kind: im.Edit, To: first.ID})
		is(t, b.said(t, seat, "s/soup/soap/"), "soap and soap", im.Rel{Kind: im.Edit, To: first.ID})
		b.in(im.Receipt{ID: first.ID, Conv: first.Conv, As: "$late", State: im.Sent}) // settled long ago
		is(t, b.said(t, seat, "/del"), "", im.Rel{Kind: im.Retract, To: first.ID, Quote: "soap and soap"})
		if out := b.outFor(t, seat, "/del"); len(out) != 0 {
			t.Errorf("what is gone is deleted again: %+v", out)
		}
		if got := k.texts(); len(got) != 1 || got[0] != noneToDelete {
			t.Errorf("alice is told %q", got)
		}

		b.wire.set(func(w *wire) { w.mute = true })
		named := b.put(t, seat, "a wrong word")
		edit := b.put(t, seat, "s/wrong/right/")
		is(t, edit, "a right word", im.Rel{Kind: im.Edit, To: named.ID})
		b.wire.set(func(w *wire) { w.mute = false })
		b.in(im.Receipt{ID: named.ID, Conv: named.Conv, As: "$named", State: im.Sent})
		is(t, b.said(t, seat, "s/right/true/"), "a true word", im.Rel{Kind: im.Edit, To: "$named"})
		b.wire.link().Close()
		rest()
		must(0, b.RetryLink("alice@hotmail.com", "wire"))
		again := of[im.Message](b.wire.sent()) // what was not confirmed, by the name that is known now
		if len(again) != 1 || again[0].ID != edit.ID {
			t.Fatalf("again goes out %+v", again)
		}
		is(t, again[0], "a right word", im.Rel{Kind: im.Edit, To: "$named"})

		b.in(im.Message{ID: "$phone", Conv: "bob@wire.test", Own: true, Text: "from my fone"})
		is(t, b.said(t, seat, "s/fone/phone/"), "from my phone", im.Rel{Kind: im.Edit, To: "$phone"})
		b.in(im.Message{ID: "$x", Conv: "bob@wire.test", Own: true, Rel: im.Rel{Kind: im.Retract, To: "$phone"}})
		is(t, b.said(t, seat, "s/phone/fone/"), "s/phone/fone/", im.Rel{})
		is(t, b.said(t, seat, "//del"), "/del", im.Rel{})
		is(t, b.said(t, seat, "/unknown"), "/unknown", im.Rel{})
	})
}

// put is said without the acknowledgement that a mute network keeps back.
func (b *box) put(t *testing.T, seat *Seat, text string) im.Message {
	t.Helper()
	seat.Send(im.Message{Text: text}, func(error) {})
	out := of[im.Message](b.wire.sent())
	if len(out) != 1 {
		t.Fatalf("for %q goes out %+v", text, out)
	}
	return out[0]
}

// TestRelated: reactions, answers and votes are to what the others said last, as it
// reads now; who can't be understood is told.
func TestRelated(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		seat, k := withBob(t, b)
		for _, c := range [][2]string{
			{"+(Y)", noneToReact}, {"/react (Y)", noneToReact}, {"/reply yes", noneToAnswer}, {"/vote 1", noPoll}, {"/del", noneToDelete},
			{"/react it", howToReact}, {"/reply", howToAnswer},
		} {
			if out := b.outFor(t, seat, c[0]); len(out) != 0 {
				t.Errorf("%q goes out as %+v", c[0], out)
			}
			if got := k.texts(); len(got) != 1 || got[0] != c[1] {
				t.Errorf("%q: alice is told %q", c[0], got)
			}
		}
		b.in(says("$1", "bob@wire.test", "soup?"))
		is(t, b.said(t, seat, "+(Y)"), "👍", im.Rel{Kind: im.React, To: "$1", Quote: "soup?"})
		aside := says("$aside", "bob@wire.test", "between us")
		aside.Aside = true
		notice := says("$n", "bob@wire.test", "beep")
		notice.Kind = im.Notice
		edit := says("$2", "bob@wire.test", "soap?")
		edit.Rel = im.Rel{Kind: im.Edit, To: "$1"}
		other := says("$3", "bob@wire.test", "what else")
		other.Rel = im.Rel{Kind: im.React, To: "$1"}
		b.in(aside, notice, edit, other)
		is(t, b.said(t, seat, "/reply yes & thanks"), "yes & thanks", im.Rel{Kind: im.Reply, To: "$1", Quote: "soap?"})
		is(t, b.said(t, seat, "s/yes/no/"), "no & thanks", im.Rel{Kind: im.Edit, To: b.lastOwn(t)})

		poll := says("$poll", "bob@wire.test", "When?")
		poll.Kind, poll.Poll = im.Notice, []im.Choice{{ID: "a", Text: "Now"}, {ID: "b", Text: "Then"}}
		b.in(poll)
		k.take()
		m := b.said(t, seat, "/vote 2")
		is(t, m, "Then", im.Rel{Kind: im.Vote, To: "$poll"})
		if len(m.Poll) != 1 || m.Poll[0].ID != "b" {
			t.Errorf("the vote is %+v", m.Poll)
		}
		for _, text := range []string{"/vote 3", "/vote 0", "/vote"} {
			b.outFor(t, seat, text)
			if got := k.texts(); len(got) != 1 || got[0] != fmt.Sprintf(howToVote, 2) {
				t.Errorf("%q: alice is told %q", text, got)
			}
		}
		key := says("key:$4", "bob@wire.test", "it can be read now")
		key.Rel = im.Rel{Kind: im.Resolve, To: "$4"}
		b.in(key)
		is(t, b.said(t, seat, "/react 🎉"), "🎉", im.Rel{Kind: im.React, To: "$4", Quote: "it can be read now"})
		gone := says("$5", "bob@wire.test", "")
		gone.Rel = im.Rel{Kind: im.Retract, To: "$4"}
		b.in(gone)
		k.take()
		b.outFor(t, seat, "+(Y)")
		if got := k.texts(); len(got) != 1 || got[0] != noneToReact {
			t.Errorf("alice is told %q", got)
		}
	})
}

// lastOwn is the id of alice's last words.
func (b *box) lastOwn(t *testing.T) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accounts["alice@hotmail.com"].contacts.of(im.Addr{Net: "wire", ID: "bob@wire.test"}).last.mine.id
}

// TestQuoted: what others do to the last messages says what these were, where the
// network does not.
func TestQuoted(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		seat, k := withBob(t, b)
		mine := b.said(t, seat, "soup?")
		b.in(says("$1", "bob@wire.test", "rather cake"))
		k.take()
		for _, c := range []struct {
			rel  im.Rel
			want string
		}{
			{im.Rel{Kind: im.React, To: mine.ID}, "soup?"}, {im.Rel{Kind: im.Reply, To: mine.ID, Quote: "its own"}, "its own"},
			{im.Rel{Kind: im.React, To: "$unknown"}, ""}, {im.Rel{Kind: im.Retract, To: "$1"}, "rather cake"},
		} {
			m := says("", "bob@wire.test", "x")
			m.Rel = c.rel
			b.in(m)
			if got := of[im.Message](k.take()); len(got) != 1 || got[0].Rel.Quote != c.want {
				t.Errorf("%+v arrives as %+v, want the quote %q", c.rel, got, c.want)
			}
		}
	})
}

// TestRelatedInRoom: in a room the others are whoever spoke last.
func TestRelatedInRoom(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		_, seat, k := enter(t, b, inRoom("bob"), inRoom("carol"))
		b.in(saysInRoom("1", "bob", "soup?"), saysInRoom("2", "carol", "or bread"))
		k.take()
		is(t, b.said(t, seat, "+(Y)"), "👍", im.Rel{Kind: im.React, To: "2", Quote: "or bread"})
	})
}

// TestRelatedInWords: what a network does not know goes out as words, in its turn;
// what has no words comes back.
func TestRelatedInWords(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		seat, k := withBob(t, b)
		b.wire.set(func(w *wire) { w.plain = true })
		poll := says("$poll", "bob@wire.test", "When?")
		poll.Poll = []im.Choice{{ID: "a", Text: "Now"}}
		b.in(poll, says("$1", "bob@wire.test", "soup?"))
		k.take()
		b.said(t, seat, "yess")
		for _, c := range [][2]string{
			{"s/yess/yes/", "corrected: yes"}, {"+(Y)", `👍 (to "soup?")`}, {"/vote 1", "I vote for: Now"}, {"/reply with bread", "> soup?\nwith bread"},
		} {
			out := b.outFor(t, seat, c[0])
			if len(out) != 2 || out[1].Text != c[1] || out[1].Rel != (im.Rel{}) || out[1].Poll != nil || out[1].ID != out[0].ID {
				t.Errorf("%q goes out as %+v", c[0], out)
			}
		}
		seat.Send(im.Message{Text: "/del"}, func(err error) {
			if err == nil {
				t.Error("what can't be deleted is acknowledged")
			}
		})
		if got := k.texts(); len(got) != 1 || got[0] != `Not deleted (this network has no such thing): "with bread"` {
			t.Errorf("alice is told %q", got)
		}
	})
}

// TestRelatedWaits: what relates to a message waits with it for the link, over an
// end of the box, and goes out with the same ids and in the same order.
func TestRelatedWaits(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		seat, _ := withBob(t, b)
		b.in(says("$1", "bob@wire.test", "soup?"))
		b.wire.set(func(w *wire) { w.down = true })
		b.wire.link().Close()
		rest()
		b.wire.sent()
		for _, text := range []string{"yess", "s/yess/yes/", "+(Y)", "/del"} {
			if out := b.outFor(t, seat, text); len(out) != 0 {
				t.Errorf("over a link that is down goes %+v", out)
			}
		}
		b.restart()
		b.wire.set(func(w *wire) { w.down = false })
		must(0, b.RetryLink("alice@hotmail.com", "wire"))
		out := of[im.Message](b.wire.sent())
		if len(out) != 4 {
			t.Fatalf("went out: %+v", out)
		}
		is(t, out[0], "yess", im.Rel{})
		is(t, out[1], "yes", im.Rel{Kind: im.Edit, To: out[0].ID})
		is(t, out[2], "👍", im.Rel{Kind: im.React, To: "$1", Quote: "soup?"})
		is(t, out[3], "", im.Rel{Kind: im.Retract, To: out[0].ID, Quote: "yes"})
	})
}

// TestAmongClients: between clients of the box nothing is a command.
func TestAmongClients(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("carol@hotmail.com")
		alice, _ := b.signOn("alice@hotmail.com")
		_, ck := b.signOn("carol@hotmail.com")
		seat := must(b.Open(must(alice.Cookie()), "alice@hotmail.com", &sink{proves: true}, func(im.Person) {}))
		if err := seat.Call("carol@hotmail.com", func(uint32) {}); err != nil {
			t.Fatal(err)
		}
		call := of[im.Invitation](ck.take())[0]
		k := &sink{proves: true}
		must(b.Answer(call.Cookie, "carol@hotmail.com", call.Session, k, func(im.Person, []im.Membership) {}))
		for _, text := range []string{"hello", "s/hello/hullo/", "+(Y)", "/del", "//del", "/vote 1"} {
			seat.Send(im.Message{Text: text, Raw: []byte(text)}, func(error) {})
			got := of[im.Message](k.take())
			if len(got) != 1 || got[0].Text != text || string(got[0].Raw) != text || got[0].Rel != (im.Rel{}) {
				t.Errorf("%q arrives as %+v", text, got)
			}
		}
	})
}
