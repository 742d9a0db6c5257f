package msnserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nudge/msnserver/passport"
)

// TestTroubleTable tells the table what shows of one PC, with a second between,
// and reads what it makes of it. +N lets N seconds pass.
func TestTroubleTable(t *testing.T) {
	steps := map[string]func(*troubles, netip.Addr){
		"1863": func(k *troubles, a netip.Addr) { k.cameTo(passport.AskedServer, a) },
		"443":  func(k *troubles, a netip.Addr) { k.cameTo(passport.AskedLogin, a) },
		"80":   func(k *troubles, a netip.Addr) { k.cameTo(passport.SignedIn, a) },
		"+60":  func(*troubles, netip.Addr) { time.Sleep(time.Minute) },
		"+21":  func(*troubles, netip.Addr) { time.Sleep(21 * time.Second) },
		"list": func(k *troubles, _ netip.Addr) { k.list(time.Now()) },
	}
	for i := passport.SignedIn; i <= passport.WrongPassword; i++ {
		steps[i.String()] = func(k *troubles, a netip.Addr) { k.Saw(a, "alice@example.com", i) }
	}
	for script, want := range map[string]string{
		"1863 443 80":                                   "",
		"asked-server":                                  "",
		"asked-server 1863 +21":                         "",
		"asked-server +21":                              "never-came 1",
		"asked-server +21 80":                           "no-1863 1",
		"asked-server +21 list 80":                      "no-1863 1",
		"asked-server +21 1863":                         "",
		"asked-server 80 443 +21":                       "no-1863 1",
		"asked-server 80 +21 list 443":                  "no-1863 1",
		"asked-server 80 +21 list 1863":                 "",
		"asked-server +21 asked-server +21":             "never-came 2",
		"asked-server asked-server +21":                 "never-came 1",
		"1863 asked-login 443 +21":                      "",
		"1863 asked-login +21":                          "no-443 1",
		"1863 asked-login +21 list 443":                 "",
		"asked-login +21 asked-login +21 asked-login":   "no-443 2",
		"asked-login +21 asked-login signed-in":         "",
		"asked-login 443 old-hello +21":                 "old-hello 1",
		"old-hello asked-login +21":                     "no-443 1",
		"old-hello asked-login":                         "old-hello 1",
		"old-hello old-hello":                           "old-hello 2",
		"untrusted old-hello":                           "untrusted 1",
		"untrusted +60 old-hello":                       "old-hello 1",
		"old-hello untrusted":                           "untrusted 1",
		"wrong-password wrong-password signed-in":       "",
		"wrong-password 443 1863 asked-login 443":       "wrong-password 1",
		"wrong-password unknown-account wrong-password": "wrong-password 1",
		"asked-login stale-server +21":                  "stale-server 1",
	} {
		t.Run(script, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &troubles{}
				pc := netip.MustParseAddr("192.0.2.7")
				for step := range strings.FieldsSeq(script) {
					time.Sleep(time.Second)
					steps[step](k, pc)
				}
				got := ""
				for _, x := range k.list(time.Now()) {
					got += fmt.Sprint(x.Why, " ", x.Times)
				}
				if got != want {
					t.Errorf("it makes %q of that, not %q", got, want)
				}
			})
		})
	}
}

// TestTroubleBounds checks that the newest PCs are kept, and that what a PC says
// is fit to be shown.
func TestTroubleBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &troubles{}
		first := netip.MustParseAddr("10.0.0.0")
		for i, a := 0, first; i < 3*troublesMost; i, a = i+1, a.Next() {
			k.Saw(a, "", passport.AskedServer)
			k.Saw(a, "", passport.OldHello)
			k.Saw(first, "bob@example.com", passport.WrongPassword)
			time.Sleep(time.Second)
		}
		list := k.list(time.Now())
		if len(list) != troublesMost || len(k.all) != troublesMost {
			t.Fatalf("%d of %d are listed", len(list), len(k.all))
		}
		if !slices.ContainsFunc(list, func(x Trouble) bool { return x.Peer == first && x.Times > troublesMost }) {
			t.Error("one that tries all the time was forgotten")
		}
		for handle, want := range map[string]string{
			"alice@example.com": "alice@example.com", "a_b+c=d.e-f@x.y": "a_b+c=d.e-f@x.y",
			"a;reboot@x": "", "$(x)@y": "", "\x1b[2J@x": "", "--help": "", strings.Repeat("a", 130): "", "ä@x": "",
		} {
			k.Saw(first, handle, passport.UnknownAccount)
			time.Sleep(time.Second)
			if got := k.list(time.Now())[0].Handle; got != want {
				t.Errorf("%q is shown as %q", handle, got)
			}
		}
	})
}
