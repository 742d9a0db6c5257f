package e2e

import (
	"slices"
	"testing"
)

// TestPeers lets two peers talk to each other on every server, so that a
// failure of the box is not mistaken for one of theirs.
func TestPeers(t *testing.T) {
	for _, kind := range []string{"prosody", "ejabberd", "dendrite"} {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			s := ownServer(t, kind, true)
			me, bob := friends(t, s)
			var alice peer
			if kind == "dendrite" {
				a := joinMatrix(t, me)
				a.friend, a.Room = bob.Person(), bob.(*matrixPeer).Room
				alice = a
			} else {
				a := joinXMPP(t, me)
				a.friend = bob.Person()
				alice = a
			}
			ctx := waiting(t, 2*patience)
			talk := func(texts ...string) {
				t.Helper()
				from := bob.Mark()
				for _, text := range texts {
					check(t, alice.Say(ctx, text))
					check(t, bob.Heard(ctx, from, text))
				}
			}
			talk("one", "two")
			from := bob.Mark()
			alice.Type(t)
			check(t, bob.SeesTyping(ctx, from))
			from = bob.Mark()
			alice.Show(t, "away")
			check(t, bob.Sees(ctx, from, "away"))
			check(t, s.Stop())
			check(t, s.Start())
			check(t, alice.Say(ctx, "hello again"))
			talk("three")
			if got := bob.Archive(t); !inOrder(got, "one", "two", "hello again", "three") {
				t.Errorf("the archive has %q", got)
			}
			if got := alice.Sent(); !inOrder(got, "one", "two", "hello again", "three") {
				t.Errorf("sent was %q", got)
			}
		})
	}
}

// inOrder tells whether all of want are in got, in that order.
func inOrder(got []string, want ...string) bool {
	for _, w := range want {
		i := slices.Index(got, w)
		if i < 0 {
			return false
		}
		got = got[i+1:]
	}
	return true
}
