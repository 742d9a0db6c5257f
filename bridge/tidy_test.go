package bridge

import (
	"testing"

	"nudge/bridge/im"
	"nudge/store"
)

// TestWordsOfANetworkAreTidied: what a network says comes to clients, lists and
// journal without what breaks lines and streams.
func TestWordsOfANetworkAreTidied(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		const nasty, name, text = "Ev\x00e\r\nFLN x\u202e\xff", "Eve FLN x\ufffd", "Eve\nFLN x\u202e\ufffd"
		b.user("alice@example.com")
		b.linked("alice@example.com")
		s, k := b.signOn("alice@example.com")
		who := im.Person{Addr: im.Addr{Net: "wire", ID: "eve@wire.test"}, Name: nasty}
		b.in(im.Roster{Items: []im.Contact{{Person: who, Follows: true, Groups: []string{nasty, "\x00"}}}})
		b.in(im.PresenceChanged{Who: who, Now: im.Presence{Status: im.Online, Note: nasty, Media: nasty}})
		evs := k.take()
		ps := of[im.PresenceChanged](evs)
		if len(ps) == 0 || ps[len(ps)-1].Who.Name != name || ps[len(ps)-1].Now.Note != name || ps[len(ps)-1].Now.Media != name {
			t.Errorf("presence: %+v", ps)
		}
		l := s.Lists()
		if len(l.Groups) != 1 || l.Groups[0].Name != name {
			t.Errorf("groups: %+v", l.Groups)
		}
		m := says("1", "eve@wire.test", nasty)
		m.Font, m.File = nasty, &im.File{Name: nasty}
		b.in(m)
		in := of[im.Invitation](k.take())
		if len(in) != 1 || in[0].From.Name != name {
			t.Fatalf("invitations: %+v", in)
		}
		sb := &sink{proves: true}
		must(b.Answer(in[0].Cookie, "alice@example.com", in[0].Session, sb, func(im.Person, []im.Membership) {}))
		got := of[im.Message](sb.take())
		if len(got) != 1 || got[0].Text != text || got[0].Font != name || got[0].File.Name != name {
			t.Errorf("messages: %+v", got)
		}
		if m.File.Name != nasty {
			t.Error("what belongs to the network was changed")
		}
		must(s.SetName(nasty))
		if got := s.Person().Name; got != name {
			t.Errorf("the own name: %q", got)
		}
	})
}

// FuzzHandle: whatever a network calls somebody, his handle is an address that
// every client takes, and names nobody else.
func FuzzHandle(f *testing.F) {
	for _, s := range []string{"bob@wire.test", "@bob:example.org", "!room:a b", "@:", "@@:@", "\xff\x00", "a@b@c", "@bob:[::1]:8448", "", "alice@example.com", "x@\r\nOUT"} {
		f.Add("matrix", s, "name")
	}
	f.Fuzz(func(t *testing.T, net, id, name string) {
		if net = plainLocal(net); len(net) > 20 {
			return // networks are ours
		}
		h := &Hub{accounts: map[string]*account{}}
		a := newAccount(h, store.Account{Handle: "alice@example.com"})
		h.accounts[a.key] = a
		got := a.handleFor(im.Addr{Net: net, ID: id}, name)
		if !validHandle(got) || canonical(got) == a.key {
			t.Fatalf("%q on %q is called %q", id, net, got)
		}
		a.keep(&contact{Contact: store.Contact{Net: net, ID: id, Handle: got}})
		if again := a.handleFor(im.Addr{Net: net, ID: id + "x"}, name); canonical(again) == canonical(got) {
			t.Fatalf("two people are called %q", got)
		}
	})
}
