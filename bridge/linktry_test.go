package bridge

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// picky is a network that refuses every log-in but the right one.
type picky struct {
	*wire
	tries    int
	restored []bool
}

func (p *picky) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	p.tries++
	p.restored = append(p.restored, l.Restored)
	if l.Fields["password"] != "right" {
		return nil, &im.Lost{Class: im.Credentials, Text: "the password is wrong"}
	}
	return p.wire.Connect(ctx, l)
}

func TestLinkThatGaveUpSaysSoAtOnce(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		net := &picky{wire: b.wire}
		b.nets["wire"] = net
		b.user("alice@hotmail.com")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		add := func(password string) error {
			values := map[string]string{"name": "x", "password": password}
			if err := b.AddLink(ctx, "alice@hotmail.com", "wire", values); err != nil {
				t.Fatal(err)
			}
			return b.TestLink(ctx, "alice@hotmail.com", "wire")
		}
		if err := add("wrong"); err == nil || !strings.Contains(err.Error(), "the password is wrong") {
			t.Fatalf("the test says %v", err)
		}
		if err := b.RetryLink("alice@hotmail.com", "wire"); err != nil {
			t.Fatal(err)
		}
		if err := b.TestLink(ctx, "alice@hotmail.com", "wire"); err == nil || net.tries != 2 {
			t.Fatalf("after a retry (%d tries) the test says %v", net.tries, err)
		}
		if err := add("right"); err != nil {
			t.Fatalf("with the right password the test says %v", err)
		}
		if d := time.Since(began); d > time.Minute {
			t.Fatalf("it took %v", d)
		}
	})
}

func TestSettingsAreCheckedAgainstTheForm(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		if err := b.SetLink(t.Context(), "alice@hotmail.com", "wire", "colour", "red"); err == nil {
			t.Fatal("a setting that is not in the form was taken")
		}
		delete(b.nets, "wire")
		if err := b.SetLink(t.Context(), "alice@hotmail.com", "wire", "colour", "red"); err == nil {
			t.Fatal("a setting of a network that is not there was taken")
		}
	})
}

// TestRestoredIsSaidUntilItIsHeard: a link learns that it came out of a backup
// until it could connect, new log-in data or not, and never after.
func TestRestoredIsSaidUntilItIsHeard(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		net := &picky{wire: b.wire}
		b.nets["wire"] = net
		b.user("alice@hotmail.com")
		add := func(password string) {
			if err := b.AddLink(t.Context(), "alice@hotmail.com", "wire", map[string]string{"name": "x", "password": password}); err != nil {
				t.Fatal(err)
			}
			rest()
		}
		add("wrong")
		b.Hub.mu.Lock()
		b.accounts["alice@hotmail.com"].ports["wire"].rec.Restored = true
		b.Hub.mu.Unlock()
		add("still wrong")
		add("right")
		add("right")
		if err := b.db.View(func(tx *store.Tx) error {
			if l, ok := tx.Link("alice@hotmail.com", "wire"); !ok || l.Restored {
				t.Errorf("on disk: %v, restored %v", ok, l.Restored)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if want := []bool{false, true, true, false}; !slices.Equal(net.restored, want) {
			t.Errorf("%v, want %v", net.restored, want)
		}
	})
}
