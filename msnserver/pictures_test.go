package msnserver

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestPictures: in every version that has pictures a client gets the one that a
// contact on a network shows, of any size, and no other.
func TestPictures(t *testing.T) {
	for _, v := range msnclient.Versions {
		if v.Picture() {
			t.Run(v.Name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { pictures(t, v) }) })
		}
	}
}

func pictures(t *testing.T, v msnclient.Version) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, b := t.Context(), newBox(t)
	b.hub.ShowPictures(func(_ context.Context, source []byte) ([]byte, error) { return source, nil })
	must(b.hub.CreateAccount(ctx, "alice@example.com", "Alice", "123456", true))
	up := make(chan struct{}, 9)
	b.hub.Watch(watcher(up))
	must(b.hub.AddLink(ctx, "alice@example.com", "echo", nil))
	<-up
	const bob, carol = "bob@echo.test", "carol@echo.test"
	must(errors.Join(b.hub.AddContact(ctx, "alice@example.com", bob), b.hub.AddContact(ctx, "alice@example.com", carol)))
	c, err := msnclient.SignIn(ctx, clientConfig(b, t, v, "alice@example.com"))
	must(err)
	t.Cleanup(c.Kill)
	_, err = c.Sync(ctx)
	must(err)
	must(c.SetStatus(ctx, "NLN"))
	ch, err := c.Invite(ctx, bob)
	must(err)
	must(ch.Call(ctx, carol))
	before := ""
	for _, size := range []int{1, 1202, 1203, 30000, 64 << 10} {
		from := c.Log.Len()
		must(ch.Send(ctx, "wear "+strconv.Itoa(size)))
		objects := map[string]string{}
		for len(objects) < 2 {
			e, err := c.Log.Wait(ctx, from, func(e msnclient.Event) bool {
				_, object := e.Object()
				return strings.Contains(object, ` Size="`+strconv.Itoa(size)+`" `)
			})
			must(err)
			from = e.N + 1
			who, object := e.Object()
			objects[who] = object
		}
		for who, object := range objects {
			data, err := ch.Picture(ctx, who, object)
			must(err)
			if string(data) != strings.Repeat("x", size) {
				t.Errorf("%s shows %d bytes instead of %d", who, len(data), size)
			}
		}
		if before != "" {
			if _, err := ch.Picture(ctx, bob, before); !errors.Is(err, msnclient.ErrDeclined) {
				t.Errorf("bob shows what he showed before: %v", err)
			}
		}
		before = objects[bob]
	}
}
