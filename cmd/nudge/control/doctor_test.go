package control

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestOutside(t *testing.T) {
	stranger := netip.MustParseAddr("203.0.113.9")
	for _, c := range []struct {
		name string
		seen Outsider
		want Verdict
		text string
	}{
		{"nobody", Outsider{}, Good, "nobody from the Internet"},
		{"today", Outsider{stranger, 3, time.Now().Add(-time.Hour)}, Bad, "203.0.113.9"},
		{"two days ago", Outsider{stranger, 3, time.Now().Add(-48 * time.Hour)}, Good, "nobody from the Internet"},
	} {
		b := New(Config{Running: true, Outside: func() Outsider { return c.seen }})
		if got := b.checkOutside(); got.Verdict != c.want || !strings.Contains(got.Text, c.text) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	for addr, want := range map[string]bool{"203.0.113.9": true, "192.168.1.2": false, "127.0.0.1": false, "169.254.1.1": false, "100.64.1.1": false, "2001:db8::1": false} {
		if outside(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: outside is not %v", addr, want)
		}
	}
	b := New(Config{Listeners: []Listener{{Name: "msn", Addr: "192.168.1.2:1863"}, {Name: "names", Note: "taken"}, {Name: "http", Addr: "[::]:80"}}})
	if !b.listensOn(stranger) {
		t.Error("a port that is open everywhere is not open there")
	}
	if b.Listeners = b.Listeners[:2]; b.listensOn(stranger) || !b.listensOn(netip.MustParseAddr("192.168.1.2")) {
		t.Error("a port is open where it is not, or not where it is")
	}
}

func TestOldNames(t *testing.T) {
	for _, c := range []struct {
		name    string
		addrs   string
		err     error
		answers bool
		want    Verdict
		text    string
	}{
		{"they lead here", "127.0.0.1", nil, true, Good, "leads messenger.hotmail.com to this box"},
		{"to another machine", "192.0.2.7 10.255.255.254", nil, true, Warn, "10.255.255.254"},
		{"to the Internet", "192.0.2.7", nil, true, Good, "as its only DNS server"},
		{"nowhere", "", errors.New("no such host"), true, Good, "as its only DNS server"},
		{"nowhere, nor does the box", "", errors.New("no such host"), false, Warn, "hosts file"},
	} {
		b := New(Config{Lookup: func(context.Context, string) (all []netip.Addr, err error) {
			for _, a := range strings.Fields(c.addrs) {
				all = append(all, netip.MustParseAddr(a))
			}
			return all, c.err
		}})
		if got := b.checkLead(t.Context(), c.answers)[0]; got.Verdict != c.want || !strings.Contains(got.Text, c.text) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if got := New(Config{}).checkLead(t.Context(), true); got != nil {
		t.Errorf("a box that nobody finds: %+v", got)
	}
}

// TestAttention: what waits for a person is said in the status, and what does not
// is not.
func TestAttention(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		ctx := t.Context()
		waits := func(want ...string) {
			t.Helper()
			got := must[Status](t)(cl.Status(ctx)).Attention
			for i, w := range want {
				if len(got) != len(want) || !strings.Contains(got[i], w) {
					t.Errorf("waits: %q, want %q", got, want)
					return
				}
			}
			if len(want) == 0 && (got == nil || len(got) > 0) {
				t.Errorf("waits: %q", got)
			}
		}
		for _, who := range []string{"alice", "bob"} {
			must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: who + "@hotmail.com"}))
		}
		waits()
		_, err := cl.AddLink(ctx, NewLink{Account: "alice@hotmail.com", Network: "door", Values: map[string]string{"user": "a", "password": "wrong"}, Wait: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		waits("link alice@hotmail.com door: the password is wrong")
		h.box.Outside = func() Outsider { return Outsider{netip.MustParseAddr("203.0.113.9"), 1, time.Now()} }
		h.box.Troubled = func(string) []PC { return []PC{{Address: "10.0.0.8", What: "it fails", Cure: "wait"}} }
		waits("203.0.113.9", "link alice@hotmail.com door", "PC 10.0.0.8")
	})
}
