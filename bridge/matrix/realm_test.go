package matrix

import (
	"errors"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// TestNeighbours: who is on another box of the homeserver is found by his address
// there, before anybody of that name elsewhere, and asked at once when he is added.
func TestNeighbours(t *testing.T) {
	w := newHall(t)
	other := realm{"msn2_", testDomain}
	carl := w.h.user(other.userOf("carl@other.test").Localpart(), "-", "Carl")
	w.host.settings[im.Boxes] = "msn3_:" + testDomain + ", MSN2_:" + testDomain
	l := w.connect()
	p, err := l.Find(t.Context(), im.Addr{ID: aliceHandle}, "Carl@Other.test")
	if err != nil || p.ID != string(carl) || p.Name != "Carl" {
		t.Fatalf("found %+v, %v", p, err)
	}
	if _, err := l.Find(t.Context(), im.Addr{ID: aliceHandle}, "dora@"+testDomain); !errors.Is(err, im.ErrNotFound) {
		t.Errorf("who is nowhere: %v", err)
	}
	w.h.fail(fault{method: "GET", path: "profile/@msn2_", times: 1, status: 500, body: `{"errcode":"M_UNKNOWN"}`}) // Dendrite
	if _, err := l.Find(t.Context(), im.Addr{ID: aliceHandle}, "carl@other.test"); err == nil || errors.Is(err, im.ErrNotFound) {
		t.Errorf("while the other box can't be asked: %v", err)
	}
	add := im.ContactEdit{ID: "add", Op: im.Add, Who: im.Contact{Person: p, Follows: true}}
	for range 2 {
		w.handle(l, add)
		await(w.host.testHost, "receipt", func(r im.Receipt) bool { return r.ID == "add" })
	}
	rooms := 0
	w.h.mu.Lock()
	for _, r := range w.h.rooms {
		if m, _ := r.membership(carl); m == "invite" {
			rooms++
		}
	}
	w.h.mu.Unlock()
	if rooms != 1 {
		t.Errorf("he was asked into %d rooms", rooms)
	}
}

// TestRealms: boxes of one homeserver don't get into each other's way.
func TestRealms(t *testing.T) {
	one, err := Register(map[string]string{"domain": "hs.test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Register(map[string]string{"domain": "hs.test", "prefix": "msn2_"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want string }{
		{string(one), `id: "nudge"`}, {string(one), `"msn_nudge"`}, {string(one), `"^@msn_.*:hs\\.test$"`},
		{string(two), `id: "nudge-msn2"`}, {string(two), `"msn2_nudge"`}, {string(two), `"^@msn2_.*:hs\\.test$"`},
	} {
		if !strings.Contains(c.in, c.want) {
			t.Errorf("%s is not in\n%s", c.want, c.in)
		}
	}
	for _, bad := range []string{"msn", "msn_2_", "_", "MSN_", "m n_", "é_"} {
		if _, err := Register(map[string]string{"domain": "hs.test", "prefix": bad}, nil); err == nil {
			t.Errorf("user names may begin with %q", bad)
		}
	}
	a := realm{"msn_", "hs.test"}
	for _, u := range []string{"@msn2_alice=40x.test:hs.test", "@msn_alice=40x.test:other.test", "@msn_nudge:hs.test", "@bob:hs.test"} {
		if h, ok := a.handleOf(id.UserID(u)); ok {
			t.Errorf("%s is %s here", u, h)
		}
	}
	if h, ok := a.handleOf(a.userOf("big_al+x@x.test")); !ok || h != "big_al+x@x.test" {
		t.Errorf("there and back: %q", h)
	}
}
