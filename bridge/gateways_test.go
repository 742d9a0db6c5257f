package bridge

import (
	"slices"
	"testing"
	"testing/synctest"

	"nudge/bridge/im"
)

// speaksFor lists the accounts that the newest link knows of.
func (w *wire) speaksFor() (handles []string) {
	for a := range w.link().host.Accounts() {
		handles = append(handles, a.ID)
	}
	slices.Sort(handles)
	return handles
}

func TestGatewaySpeaksForWhoHasNoLink(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("Bob@hotmail.com")
		alice, aliceSink := b.signOn("alice@hotmail.com")
		if _, err := b.Find(t.Context(), "alice@hotmail.com", "zoe@wire.test"); err == nil {
			t.Error("somebody was found without any link")
		}
		if err := b.AddGateway(t.Context(), "wire", map[string]string{"name": "x"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := b.gate.speaksFor(); !slices.Equal(got, []string{"alice@hotmail.com", "bob@hotmail.com"}) || b.gate.link().user != (im.Addr{}) {
			t.Fatalf("it speaks for %q", got)
		}
		if p := of[im.PresenceChanged](b.gate.sent()); len(p) != 1 || p[0].Who.ID != "alice@hotmail.com" {
			t.Errorf("presence of who is signed on: %+v", p)
		}
		must(alice.Add(t.Context(), FL, "zoe@wire.test", 0))
		if e := of[im.ContactEdit](b.gate.sent()); len(e) != 1 || e[0].Op != im.Add {
			t.Fatalf("%+v", e)
		}
		batch := im.Batch{User: im.Addr{ID: "alice@hotmail.com"}, Events: []im.Event{says("m1", "zoe@wire.test", "hello")}}
		if err := b.gate.link().host.Accept(t.Context(), batch, nil); err != nil {
			t.Fatal(err)
		}
		rest()
		if i := of[im.Invitation](aliceSink.take()); len(i) != 1 {
			t.Errorf("no call for a message over the gateway")
		}

		b.linked("Bob@hotmail.com")
		if got := b.gate.speaksFor(); !slices.Equal(got, []string{"alice@hotmail.com"}) {
			t.Errorf("with bob's own link it speaks for %q", got)
		}
		if p := of[im.PresenceChanged](b.gate.sent()); len(p) != 1 || p[0].Who.ID != "Bob@hotmail.com" {
			t.Errorf("it was not told that bob left: %+v", p)
		}
		host, bob := b.gate.link().host, im.Addr{ID: "bob@hotmail.com"}
		_, bobSink := b.signOn("Bob@hotmail.com")
		bobSink.take()
		late := im.Batch{
			User:   bob,
			Events: []im.Event{im.Roster{Full: true, Items: []im.Contact{{Person: wirePerson("yan@wire.test"), Follows: true}}}, says("m2", "zoe@wire.test", "late")},
			Mark:   []byte("of the gateway"),
		}
		if err := host.Accept(t.Context(), late, nil); err != nil {
			t.Fatal(err)
		}
		rest()
		if mark, err := host.Mark(bob); err != nil || string(mark) == "of the gateway" {
			t.Errorf("the gateway moved the mark of bob's own link to %q, %v", mark, err)
		}
		if got := bobSink.take(); len(of[im.Invitation](got)) != 1 || len(got) != 1 {
			t.Errorf("of what the gateway still brings only what was said counts: %+v", got)
		}
		if err := b.RemoveAccount(t.Context(), "alice@hotmail.com"); err != nil {
			t.Fatal(err)
		}
		p := of[im.PresenceChanged](b.gate.sent())
		if len(p) == 0 || p[len(p)-1].Now.Status != im.Offline || len(b.gate.speaksFor()) > 0 {
			t.Errorf("it was not told that alice left: %+v", p)
		}
	})
}

func TestGatewayOutlivesARestartAndIsRemoved(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		if err := b.AddGateway(t.Context(), "wire", map[string]string{"name": "x", "password": "s"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := b.AddContact(t.Context(), "alice@hotmail.com", "zoe@wire.test"); err != nil {
			t.Fatal(err)
		}
		b.gate.set(func(w *wire) { w.mute = true })
		alice, _ := b.signOn("alice@hotmail.com")
		must(alice.Add(t.Context(), FL, "yan@wire.test", 0)) // which nobody confirms
		b.gate.sent()
		b.gate.set(func(w *wire) { w.mute = false })
		b.restart()
		if e := of[im.ContactEdit](b.gate.sent()); len(e) != 1 || e[0].Who.ID != "yan@wire.test" {
			t.Errorf("what waited for the gateway: %+v", e)
		}
		g := b.Gateways()
		if len(g) != 1 || g[0].State != im.Up || g[0].Account != "" || g[0].Fields["password"] != "" || g[0].Waiting != 0 {
			t.Fatalf("%+v", g)
		}
		if err := b.RemoveLink(t.Context(), "", "wire"); err == nil {
			t.Error("it was removed as a link")
		}
		if err := b.RemoveGateway(t.Context(), "wire"); err != nil {
			t.Fatal(err)
		}
		for _, c := range must(b.AccountContacts("alice@hotmail.com")) {
			if c.Lists&FL != 0 {
				t.Errorf("a contact without a gateway: %+v", c)
			}
		}
		b.restart()
		if g := b.Gateways(); len(g) != 0 {
			t.Errorf("%+v", g)
		}
	})
}
