package msnserver

import (
	"testing"
	"testing/synctest"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestText sends text to a network and back with every version: bytes of the
// account's code page arrive as words, and what the client can't show comes as
// what it can.
func TestText(t *testing.T) {
	for _, v := range msnclient.Versions {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &crowd{t: t, b: newBox(t), v: v}
				ctx := t.Context()
				c.check(c.b.hub.CreateAccount(ctx, crowded, "Алиса 🎉", "123456", true))
				c.check(c.b.hub.SetCodePage(ctx, crowded, "windows-1251"))
				if err := c.b.hub.SetCodePage(ctx, crowded, "latin-99"); err == nil {
					t.Error("a code page that there is not was taken")
				}
				up := make(chan struct{}, 9)
				c.b.hub.Watch(watcher(up))
				c.check(c.b.hub.AddLink(ctx, crowded, "echo", nil))
				<-up
				c.check(c.b.hub.AddContact(ctx, crowded, "bob@echo.test"))
				c.signIn()
				if c.client.Name != "Алиса :party_popper:" {
					t.Errorf("the own name is %q", c.client.Name)
				}
				ch, err := c.client.Invite(ctx, c.name("bob@echo.test"))
				c.check(err)
				for payload, want := range map[string]string{
					"Content-Type: text/plain\r\n\r\n\xef\xf0\xe8\xe2\xe5\xf2":                   "привет",
					"Content-Type: text/plain; charset=UTF-8\r\n\r\nпривет\x01 👍":                "привет (Y)",
					"Content-Type: text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9\r\nund \xfcber": "café\r\nund über",
				} {
					from := c.client.Log.Len()
					c.check(ch.SendRaw(ctx, payload))
					e, err := c.client.Log.Wait(ctx, from, func(e msnclient.Event) bool { return e.From() != "" && e.Chat == ch })
					c.check(err)
					if text, _ := e.Text(); text != want {
						t.Errorf("%q came back as %q", payload, text)
					}
				}
			})
		})
	}
}
