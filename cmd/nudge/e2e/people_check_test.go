package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestPeers lets two peers talk to each other on every server, so that a
// failure of the box is not mistaken for one of theirs.
func TestPeers(t *testing.T) {
	for _, kind := range []string{"prosody", "ejabberd", "dendrite"} {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			s := ownServer(t, kind, true)
			me, bob := friends(t, s, false)
			alice := otherSide(t, me, bob)
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
			check(t, eventually(patience, func() error { // she knows it by what comes back to her
				if got := alice.Sent(); !inOrder(got, "one", "two", "hello again", "three") {
					return fmt.Errorf("sent was %q", got)
				}
				return nil
			}))
		})
	}
}

// otherSide plays the friend's side with a second peer.
func otherSide(t *testing.T, me person, bob peer) peer {
	t.Helper()
	if bob, ok := bob.(*matrixPeer); ok {
		a := joinMatrix(t, me)
		a.friend, a.Room = bob.me, bob.Room
		return a
	}
	a := joinXMPP(t, me)
	a.friend = bob.Person()
	return a
}

// TestPeersOverRestarts shows that what a server acknowledged to a peer is in
// the other's archive, in order, over restarts in the middle of bursts: else
// TestChaos would blame the box for what others lose.
func TestPeersOverRestarts(t *testing.T) {
	for _, kind := range []string{"prosody", "dendrite"} {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			burst, pace := theatres[kind].burst, theatres[kind].pace
			s := ownServer(t, kind, true)
			me, bob := friends(t, s, false)
			alice := otherSide(t, me, bob)
			for n := range 3 {
				check(t, alice.Say(waiting(t, patience), "ready"))
				for i := range burst {
					check(t, bob.Post(fmt.Sprintf("in %d", n*burst+i)))
					time.Sleep(pace)
					if i == burst/2 {
						check(t, s.Stop())
						check(t, s.Start())
					}
				}
				check(t, eventually(patience, func() error {
					return bob.Say(waiting(t, patience), fmt.Sprintf("round %d ends", n))
				}))
			}
			var sent []int
			for _, text := range bob.Sent() {
				if n, ok := number(text, "in"); ok {
					sent = append(sent, n)
				}
			}
			var archive []heard
			for _, text := range alice.Archive(t) {
				if n, ok := number(text, "in"); ok {
					archive = append(archive, heard{n: n})
				}
			}
			got := count(sent, archive, func(_, _ heard) bool { return false })
			t.Log(got)
			if len(got.lost)+len(got.doubled)+len(got.swapped) > 0 || len(sent) < burst {
				t.Errorf("the servers and peers alone: %v", got)
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
