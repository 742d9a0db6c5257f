package bridge

import (
	"context"
	"strings"
	"testing"
	"time"

	"nudge/bridge/im"
)

// picky is a network that refuses every log-in but the right one.
type picky struct {
	*wire
	tries int
}

func (p *picky) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	p.tries++
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
