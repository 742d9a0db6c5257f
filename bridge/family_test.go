package bridge

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge/im"
)

// Who wants to add a child from a network is hidden from the child's clients until
// somebody puts him on the list; a child's contacts are shown as always.
func TestChildIsNotAsked(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		const child, parent = "carol@hotmail.com", "alice@hotmail.com"
		b.user(parent)
		b.user(child)
		b.linked(child)
		b.voice = im.Addr{Net: "wire", ID: "box"}
		if err := b.SetParent(t.Context(), child, parent); err != nil {
			t.Fatal(err)
		}
		s, k := b.signOn(child)
		k.take()
		stranger := im.Addr{Net: "wire", ID: "eve@wire.test"}
		b.in(im.ContactEdit{Op: im.Add, Who: im.Contact{Person: im.Person{Addr: stranger, Name: "Eve"}}})
		if got := of[im.ListChanged](k.take()); len(got) != 0 {
			t.Errorf("the child is told %+v", got)
		}
		if ls := s.Lists(); len(ls.On(PL|RL)) != 0 {
			t.Errorf("the child sees %+v", ls.On(PL|RL))
		}
		owner := must(b.AccountContacts(child))
		if len(owner) != 1 || owner[0].Lists != RL|PL {
			t.Errorf("the parent sees %+v", owner)
		}
		_, pk := b.signOn(parent)
		synctest.Wait()
		if got := of[im.Invitation](pk.take()); len(got) != 1 {
			t.Errorf("the parent is told %+v", got)
		}
		if err := b.AddContact(t.Context(), child, "eve@wire.test"); err != nil {
			t.Fatal(err)
		}
		if ls := s.Lists(); len(ls.On(FL)) != 1 || len(ls.On(PL)) != 0 {
			t.Errorf("once allowed: %+v", ls)
		}
	})
}

func TestFamily(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		ctx := t.Context()
		for _, h := range []string{"a@h.test", "b@h.test", "c@h.test"} {
			b.user(h)
		}
		for _, c := range []struct {
			name string
			do   func() error
			want string
		}{
			{"nobody owns it", func() error {
				if b.HasOwner() {
					return fmt.Errorf("it is owned")
				}
				return nil
			}, ""},
			{"own", func() error { return b.SetOwner(ctx, "A@h.test", true) }, ""},
			{"the last owner", func() error { return b.SetOwner(ctx, "a@h.test", false) }, "only owner"},
			{"own child", func() error { return b.SetParent(ctx, "b@h.test", "b@h.test") }, "of their own"},
			{"no parent", func() error { return b.SetParent(ctx, "b@h.test", "x@h.test") }, "can't be a parent"},
			{"an owner as child", func() error { return b.SetParent(ctx, "a@h.test", "b@h.test") }, "owns the box"},
			{"child", func() error { return b.SetParent(ctx, "b@h.test", "A@h.test") }, ""},
			{"grandchild", func() error { return b.SetParent(ctx, "c@h.test", "b@h.test") }, "no child itself"},
			{"a parent as child", func() error { return b.SetParent(ctx, "a@h.test", "c@h.test") }, "is a parent"},
			{"a child owns", func() error { return b.SetOwner(ctx, "b@h.test", true) }, "is a child"},
			{"nobody", func() error { return b.SetOwner(ctx, "x@h.test", true) }, "no such account"},
			{"two owners", func() error { return b.SetOwner(ctx, "c@h.test", true) }, ""},
			{"one again", func() error { return b.SetOwner(ctx, "a@h.test", false) }, ""},
		} {
			err := c.do()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		b.restart()
		seen := ""
		for _, a := range b.AccountList() {
			seen += fmt.Sprintf("%s %v %s;", a.Handle, a.Owner, a.Parent)
		}
		if seen != "a@h.test false ;b@h.test false a@h.test;c@h.test true ;" {
			t.Error(seen)
		}
		if err := b.RemoveAccount(ctx, "a@h.test"); err != nil {
			t.Fatal(err)
		}
		if l := b.AccountList(); l[0].Parent != "" {
			t.Errorf("a removed parent has a child: %+v", l[0])
		}
	})
}

// Missed are those who wrote before the sign-on, the last first.
func TestMissed(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		const alice = "alice@hotmail.com"
		b.user(alice)
		b.linked(alice)
		say := func(who string, n int) {
			from := im.Addr{Net: "wire", ID: who}
			b.in(im.Message{ID: fmt.Sprint(who, n), From: from, Conv: who, At: time.Now(), Text: "hello"})
		}
		say("bob@wire.test", 1)
		time.Sleep(time.Minute)
		say("bob@wire.test", 2)
		say("eve@wire.test", 1)
		last := time.Now()
		time.Sleep(time.Minute)
		if got := b.Missed(alice); got != nil {
			t.Errorf("signed off: %+v", got)
		}
		s, _ := b.signOn(alice)
		synctest.Wait()
		say("dave@wire.test", 1)
		late := im.Addr{Net: "wire", ID: "late@wire.test"}
		b.in(im.Message{ID: "late", From: late, Conv: late.ID, At: last.Add(-time.Second), Text: "kept by the server"})
		got := b.Missed(alice)
		if len(got) != 3 || got[2].Who.ID != "late@wire.test" || got[0].Who.ID != "bob@wire.test" || got[0].Messages != 2 || !got[0].Last.Equal(last) || got[1].Messages != 1 {
			t.Errorf("%+v", got)
		}
		s.Close()
		if got := b.Missed("nobody"); got != nil {
			t.Errorf("%+v", got)
		}
	})
}

func TestTimeZone(t *testing.T) {
	b := newBox(t)
	at := time.Date(2005, 3, 1, 12, 0, 0, 0, time.UTC)
	b.SetZone("Asia/Tokyo")
	if got := b.In(at).Format("15:04"); got != "21:00" {
		t.Error(got)
	}
	b.SetZone("Nowhere/Land")
	if got := b.In(at); got.Location() != time.Local {
		t.Error(got)
	}
}
