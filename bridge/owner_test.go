package bridge

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"nudge/bridge/im"
)

// The owner's edits reach the account's clients, one line for each list.
func TestOwnerEditsLists(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("bob@hotmail.com")
		_, ak := b.signOn("alice@hotmail.com")
		b.signOn("bob@hotmail.com")
		ak.take()
		ctx := t.Context()
		const alice, bob = "alice@hotmail.com", "bob@hotmail.com"
		for _, c := range []struct {
			name string
			edit func() error
			err  error
			want string
		}{
			{"unblock before", func() error { return b.UnblockContact(ctx, alice, bob) }, ErrNotOnList, ""},
			{"add", func() error { return b.AddContact(ctx, alice, bob) }, nil, "+FL +AL"},
			{"add twice", func() error { return b.AddContact(ctx, alice, bob) }, ErrOnList, ""},
			{"block", func() error { return b.BlockContact(ctx, alice, bob) }, nil, "-AL +BL"},
			{"block twice", func() error { return b.BlockContact(ctx, alice, bob) }, nil, ""},
			{"unblock", func() error { return b.UnblockContact(ctx, alice, bob) }, nil, "+AL -BL"},
			{"remove", func() error { return b.RemoveContact(ctx, alice, bob) }, nil, "-FL"},
			{"remove twice", func() error { return b.RemoveContact(ctx, alice, bob) }, ErrNotOnList, ""},
			{"block again", func() error { return b.BlockContact(ctx, alice, bob) }, nil, "-AL +BL"},
		} {
			if err := c.edit(); !errors.Is(err, c.err) {
				t.Fatalf("%s: %v", c.name, err)
			}
			var got []string
			for _, l := range of[im.ListChanged](ak.take()) {
				sign := "-"
				if l.Added {
					sign = "+"
				}
				got = append(got, fmt.Sprint(sign, l.List))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s: the client is told %q, want %q", c.name, s, c.want)
			}
		}
		b.restart()
		cs := must(b.AccountContacts(alice))
		if len(cs) != 1 || cs[0].Lists != BL {
			t.Errorf("after a restart the lists hold %+v", cs)
		}
	})
}

// A new password ends the sessions that the old one opened, and leaves alone
// what else was changed meanwhile.
func TestPasswordChangeSignsOff(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		s, k := b.signOn("alice@hotmail.com")
		must(s.SetName("Alice"))
		k.take()
		if err := b.SetMD5(t.Context(), "alice@hotmail.com", true, "secret"); err != nil {
			t.Fatal(err)
		}
		if err := b.SetPassword(t.Context(), "alice@hotmail.com", "better"); err != nil {
			t.Fatal(err)
		}
		if got := of[im.SignedOff](k.take()); len(got) != 1 || got[0].Why != im.Removed {
			t.Errorf("the client is told %+v", got)
		}
		if clear, ok := b.MD5Secret("alice@hotmail.com"); !ok || clear != "better" {
			t.Errorf("for MD5 the password is %q, %v", clear, ok)
		}
		if all := b.AccountList(); all[0].Name != "Alice" || !all[0].MD5 {
			t.Errorf("the account is %+v", all[0])
		}
	})
}
