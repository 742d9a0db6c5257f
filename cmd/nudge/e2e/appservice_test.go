package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestAppService walks one old client through a day on a homeserver whose
// application service the box is: nobody has linked an account, and people find the
// account as a user there. The steps share one scene and build on each other.
func TestAppService(t *testing.T) {
	for _, v := range []msnclient.Version{msnclient.MSNP8, msnclient.MSNP12} {
		t.Run(v.Name, func(t *testing.T) {
			end2end(t)
			sc := newServiceScene(t, v)
			walk(t, sc, []step[*scene]{
				{"asked and accepted", (*scene).stepInvited},
				{"chat both ways", (*scene).stepChat},
				{"read", (*scene).stepRead},
				{"typing", (*scene).stepGhostTypes},
				{"nudge", (*scene).stepGhostNudges},
				{"about words", (*scene).stepGhostAbout},
				{"status", (*scene).stepGhostStatus},
				{"picture", (*scene).stepPictureOut},
				{"called by a contact", (*scene).stepCalled},
				{"offline, and killed", (*scene).stepServiceKilled},
				{"homeserver restarts", (*scene).stepHomeserverRestarts},
				{"encrypted from now on", (*scene).stepGhostEncrypts},
			})
		})
	}
}

// newServiceScene makes a box that is the homeserver's application service, and bob,
// who knows the account's user name there. The homeserver learns of the box last.
func newServiceScene(t *testing.T, v msnclient.Version) *scene {
	s, listen := ownServer(t, "dendrite", true), loopback(freePort())
	sc := &scene{test: t, server: s, version: v, via: newProxy(t, s.Addr()), door: newProxy(t, listen)}
	sc.box = newBox(t)
	sc.box.AddUser(t, aliceHandle, v)
	file := filepath.Join(s.Dir, "nudge.yaml")
	s.settings.Registrations = []string{file}
	out, err := sc.box.try("gateway", "add", "matrix", "--homeserver", "http://"+sc.via.Addr, "--domain", s.Domain,
		"--listen", listen, "--url", "http://"+sc.door.Addr, "--registration", file, "--wait", "1s")
	if err == nil {
		t.Fatalf("a homeserver that does not know the box took it: %s", out)
	}
	_, err = s.configure("dendrite.yaml")
	check(t, err)
	check(t, s.Stop())
	check(t, s.Start())
	sc.me = person{server: s, ID: "@msn_" + strings.ReplaceAll(aliceHandle, "@", "=40") + ":" + s.Domain, Handle: aliceHandle}
	bob := joinMatrix(t, newPerson(t, s, "bob"))
	bob.friend = sc.me
	sc.bob = bob
	check(t, eventually(2*patience, sc.box.upAgain))
	return sc
}

// stepInvited lets bob ask, and say something before he is accepted.
func (sc *scene) stepInvited(t *testing.T) {
	ctx, bob := waiting(t, 2*patience), sc.bob.(*matrixPeer)
	sc.again(t, "NLN")
	mark, from := bob.Mark(), sc.client.Log.Len()
	asked := bob.Ask(t)
	check(t, bob.Say(ctx, "are you there"))
	e, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		_, list, who, ok := e.Listed()
		return ok && list == msnclient.RL && is(who.Handle, bob.me)
	})
	check(t, err)
	_, _, asker, _ := e.Listed()
	check(t, sc.client.Add(ctx, msnclient.AL, asker.Handle))
	check(t, asked(ctx))
	if err := sc.client.Add(ctx, msnclient.FL, asker.Handle); err != nil && !strings.Contains(err.Error(), "error 215") {
		t.Fatal(err) // but he is on it already when the room came first
	}
	_, err = sc.hears(ctx, from, bob.me, "are you there")
	check(t, err)
	check(t, bob.Sees(ctx, mark, "online"))
	sc.again(t, "NLN")
	check(t, sc.sees(ctx, 0, bob.me, "NLN"))
}

// stepRead lets bob see that his message reached the client.
func (sc *scene) stepRead(t *testing.T) {
	ctx, bob := waiting(t, patience), sc.bob.(*matrixPeer)
	mark := bob.Mark()
	check(t, bob.Say(ctx, "did you get this"))
	_, err := bob.find(ctx, mark, func(e peerEvent) bool {
		return e.Ev == "receipt" && slices.ContainsFunc(e.Receipts, func(r peerReceipt) bool { return r.User == sc.me.ID })
	})
	check(t, err)
}

// stepGhostTypes: Dendrite tells services nothing of typing, so one way has to do.
func (sc *scene) stepGhostTypes(t *testing.T) {
	mark := sc.bob.Mark()
	check(t, sc.chat(t).Typing())
	check(t, sc.bob.SeesTyping(waiting(t, patience), mark))
}

// stepGhostNudges: a client that knows nudges sends one, another reads bob's.
func (sc *scene) stepGhostNudges(t *testing.T) {
	if !sc.version.Nudges() {
		sc.stepNudge(t)
		return
	}
	mark := sc.bob.Mark()
	check(t, sc.chat(t).Nudge(t.Context()))
	check(t, sc.bob.Heard(waiting(t, patience), mark, "sent you a nudge"))
}

// stepGhostStatus: bob's is asked for now and then.
func (sc *scene) stepGhostStatus(t *testing.T) {
	ctx, mark, from := waiting(t, 2*patience), sc.bob.Mark(), sc.client.Log.Len()
	sc.bob.Show(t, "away")
	check(t, sc.client.SetStatus(ctx, "AWY"))
	check(t, sc.bob.Sees(ctx, mark, "away"))
	mark = sc.bob.Mark()
	check(t, sc.client.SetStatus(ctx, "NLN"))
	check(t, sc.bob.Sees(ctx, mark, "online"))
	check(t, sc.sees(ctx, from, sc.bob.Person(), "AWY", "IDL"))
	sc.bob.Show(t, "online")
}

// stepServiceKilled lets bob write to who is off-line, and kills the box meanwhile.
// All of it is there at the next sign-in, once and in order.
func (sc *scene) stepServiceKilled(t *testing.T) {
	const burst = 30
	ctx, mark := waiting(t, 4*patience), sc.bob.Mark()
	sc.client.Close()
	check(t, sc.bob.Sees(ctx, mark, "offline"))
	for i := range burst {
		check(t, sc.bob.Say(ctx, fmt.Sprintf("in %d", i)))
		if i == burst/2 {
			check(t, sc.box.Kill())
			check(t, sc.box.Start())
		}
	}
	sc.again(t, "NLN")
	_, err := sc.hears(ctx, 0, sc.bob.Person(), fmt.Sprintf("in %d", burst-1))
	check(t, err)
	sc.talk(t, "morning")
	var got []int
	for _, e := range sc.client.Log.Since(0) {
		if text, ok := e.Text(); ok {
			if n, ok := number(text, "in"); ok {
				got = append(got, n)
			}
		}
	}
	if len(got) != burst || !slices.IsSorted(got) {
		t.Errorf("of %d messages came %v", burst, got)
	}
}

// stepHomeserverRestarts ends the homeserver while the client writes. Bob has all of
// it, once and in order.
func (sc *scene) stepHomeserverRestarts(t *testing.T) {
	const burst = 12
	ctx := waiting(t, 4*patience)
	ch := sc.chat(t)
	for i := range burst {
		switch i {
		case burst / 3:
			check(t, sc.server.Stop())
		case 2 * burst / 3:
			check(t, sc.server.Start())
		}
		check(t, ch.Send(ctx, fmt.Sprintf("out %d", i)))
	}
	last := fmt.Sprintf("out %d", burst-1)
	check(t, eventually(4*patience, func() error {
		if !slices.Contains(sc.bob.Archive(t), last) {
			return fmt.Errorf("%q did not arrive", last)
		}
		return nil
	}))
	var got []string
	for _, text := range sc.bob.Archive(t) {
		if strings.HasPrefix(text, "out ") {
			got = append(got, text)
		}
	}
	var want []string
	for i := range burst {
		want = append(want, fmt.Sprintf("out %d", i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("bob has %q", got)
	}
	sc.hearsAgain(ctx, t)
}

// hearsAgain waits until the homeserver, which pauses longer and longer after each
// failure, brings what bob says.
func (sc *scene) hearsAgain(ctx context.Context, t *testing.T) {
	t.Helper()
	from := sc.client.Log.Len()
	check(t, sc.bob.Say(ctx, "back again"))
	_, err := sc.hears(ctx, from, sc.bob.Person(), "back again")
	check(t, err)
}
