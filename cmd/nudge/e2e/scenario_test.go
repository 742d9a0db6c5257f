package e2e

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

var versions = []msnclient.Version{msnclient.MSNP2, msnclient.MSNP8}

// more are the versions that differ most from these. One kind of server is
// enough for them: networks know no versions.
var more = []msnclient.Version{msnclient.MSNP9, msnclient.MSNP12}

// each runs a test for every version with every kind of server.
func each(t *testing.T, kinds []string, test func(t *testing.T, v msnclient.Version, kind string)) {
	for _, v := range slices.Concat(versions, more) {
		for _, kind := range kinds {
			if kind != "prosody" && slices.Contains(more, v) {
				continue
			}
			t.Run(v.Name+"/"+kind, func(t *testing.T) {
				end2end(t)
				test(t, v, kind)
			})
		}
	}
}

// step is a part of a day with a scene.
type step[S any] struct {
	name string
	run  func(S, *testing.T)
}

// walk takes a scene through steps that build on each other: the first that fails is
// the last.
func walk[S any](t *testing.T, sc S, steps []step[S]) {
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { step.run(sc, t) }) {
			t.FailNow()
		}
	}
}

var allKinds = []string{"prosody", "ejabberd", "dendrite"}

// TestOldClient walks one old client through a day on every network. The steps
// share one scene and build on each other.
func TestOldClient(t *testing.T) {
	each(t, allKinds, func(t *testing.T, v msnclient.Version, kind string) {
		sc := newScene(t, v, sharedServer(t, kind), "")
		for _, step := range []struct {
			name string
			run  func(*scene, *testing.T)
		}{
			{"sign in, list and presence", (*scene).stepSignIn},
			{"chat both ways", (*scene).stepChat},
			{"typing", (*scene).stepTyping},
			{"nudge", (*scene).stepNudge},
			{"status", (*scene).stepStatus},
			{"called by a contact", (*scene).stepCalled},
			{"accept", (*scene).stepAccept},
			{"block", (*scene).stepBlock},
			{"offline message", (*scene).stepOffline},
			{"add and remove", (*scene).stepAdd},
		} {
			ok := t.Run(step.name, func(t *testing.T) { step.run(sc, t) })
			if !ok && (step.name == "sign in, list and presence" || step.name == "accept") {
				t.FailNow()
			}
		}
	})
}

// again leaves with the client and signs in anew outside of a step's clean-up.
func (sc *scene) again(t *testing.T, state string) {
	t.Helper()
	if sc.client != nil {
		sc.client.Close()
	}
	c, err := msnclient.SignIn(t.Context(), sc.box.config(sc.version, aliceHandle))
	check(t, err)
	sc.client = c
	sc.lists, err = c.Sync(t.Context())
	check(t, err)
	check(t, c.SetStatus(t.Context(), state))
}

func (sc *scene) stepSignIn(t *testing.T) {
	ctx, mark := waiting(t, patience), sc.bob.Mark()
	sc.again(t, "NLN")
	bob, ok := sc.lists.Contacts[sc.bobHandle()]
	if !ok || bob.On&(msnclient.FL|msnclient.AL) != msnclient.FL|msnclient.AL {
		t.Fatalf("bob is not on the lists as a friend: %+v", sc.lists)
	}
	check(t, sc.sees(ctx, 0, sc.bob.Person(), "NLN"))
	check(t, sc.bob.Sees(ctx, mark, "online"))
	check(t, sc.client.Ping(ctx))
}

func (sc *scene) stepChat(t *testing.T) {
	sc.talk(t, "hello")
	ctx, mark := waiting(t, patience), sc.bob.Mark()
	const odd = "<b>&amp; \"quotes\" — ünï © 50% +1"
	check(t, sc.chat(t).Send(ctx, odd))
	check(t, sc.bob.Heard(ctx, mark, odd))
	from := sc.client.Log.Len()
	check(t, sc.bob.Say(ctx, odd))
	_, err := sc.hears(ctx, from, sc.bob.Person(), "<b>&amp; \"quotes\"")
	check(t, err)
}

func (sc *scene) stepTyping(t *testing.T) {
	ctx, mark := waiting(t, patience), sc.bob.Mark()
	check(t, sc.chat(t).Typing())
	check(t, sc.bob.SeesTyping(ctx, mark))
	from := sc.client.Log.Len()
	sc.bob.Type(t)
	_, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool { return is(e.Typing(), sc.bob.Person()) })
	check(t, err)
	check(t, sc.bob.Say(ctx, "that was it"))
}

func (sc *scene) stepNudge(t *testing.T) {
	from := sc.client.Log.Len()
	sc.bob.Nudge(t)
	if !sc.version.Nudges() {
		_, err := sc.hears(waiting(t, patience), from, sc.bob.Person(), "nudge")
		check(t, err)
		return
	}
	_, err := sc.client.Log.Wait(waiting(t, patience), from, func(e msnclient.Event) bool { return e.Nudged() && is(e.From(), sc.bob.Person()) })
	check(t, err)
	if x, ok := sc.bob.(*xmppPeer); ok {
		mark := x.Mark()
		check(t, sc.chat(t).Nudge(t.Context()))
		_, err := x.find(waiting(t, patience), mark, func(e peerEvent) bool { return e.Ev == "attention" && e.Frm == x.friend.ID })
		check(t, err)
	}
}

func (sc *scene) stepStatus(t *testing.T) {
	ctx, mark := waiting(t, patience), sc.bob.Mark()
	check(t, sc.client.SetStatus(ctx, "AWY"))
	check(t, sc.bob.Sees(ctx, mark, "away"))
	mark = sc.bob.Mark()
	check(t, sc.client.SetStatus(ctx, "NLN"))
	check(t, sc.bob.Sees(ctx, mark, "online"))
	from := sc.client.Log.Len()
	sc.bob.Show(t, "away")
	check(t, sc.sees(ctx, from, sc.bob.Person(), "AWY", "IDL"))
	from = sc.client.Log.Len()
	sc.bob.Show(t, "online")
	check(t, sc.sees(ctx, from, sc.bob.Person(), "NLN"))
}

func (sc *scene) stepCalled(t *testing.T) {
	ctx := waiting(t, patience)
	sc.chat(t).Leave()
	from := sc.client.Log.Len()
	check(t, sc.bob.Say(ctx, "are you still there"))
	_, err := sc.hears(ctx, from, sc.bob.Person(), "are you still there")
	check(t, err)
	for _, e := range sc.client.Log.Since(from) {
		if e.Cmd == "RNG" {
			sc.talk(t, "yes")
			return
		}
	}
	t.Error("the message came without a call")
}

// stepBlock blocks and unblocks as old clients do (MSNP.md B.9.1). What bob
// says meanwhile must not come, also not later; dave, who speaks after him, shows
// when it would have. What bob shows must be true again afterwards.
func (sc *scene) stepBlock(t *testing.T) {
	ctx, bob := waiting(t, 2*patience), sc.bobHandle()
	mark := sc.bob.Mark()
	check(t, sc.client.Remove(ctx, msnclient.AL, bob))
	check(t, sc.client.Add(ctx, msnclient.BL, bob))
	if sc.server.Kind != "dendrite" {
		check(t, sc.bob.Sees(ctx, mark, "offline"))
	}
	from := sc.client.Log.Len()
	check(t, sc.bob.Say(ctx, "can you read this"))
	sc.bob.Show(t, "away")
	check(t, sc.dave.Say(ctx, "bob has said something"))
	_, err := sc.hears(ctx, from, sc.dave.Person(), "bob has said something")
	check(t, err)
	check(t, sc.client.Remove(ctx, msnclient.BL, bob))
	check(t, sc.client.Add(ctx, msnclient.AL, bob))
	check(t, eventually(patience, func() error {
		check(t, sc.bob.Say(ctx, "and now"))
		_, err := sc.hears(waiting(t, patience/10), from, sc.bob.Person(), "and now")
		return err
	}))
	for _, e := range sc.client.Log.Since(from) {
		if text, ok := e.Text(); ok && text == "can you read this" {
			t.Errorf("a blocked contact's message came: %v", e)
		}
	}
	check(t, sc.sees(ctx, from, sc.bob.Person(), "AWY", "IDL"))
	from = sc.client.Log.Len()
	sc.bob.Show(t, "online")
	check(t, sc.sees(ctx, from, sc.bob.Person(), "NLN"))
	mark = sc.bob.Mark()
	check(t, sc.client.SetStatus(ctx, "AWY"))
	check(t, sc.bob.Sees(ctx, mark, "away"))
	check(t, sc.client.SetStatus(ctx, "NLN"))
}

// clock is a time of day as people read it.
var clock = regexp.MustCompile(`\b\d{1,2}[:.]\d\d\b`)

func (sc *scene) stepOffline(t *testing.T) {
	ctx := waiting(t, patience)
	mark := sc.bob.Mark()
	sc.client.Close()
	check(t, sc.bob.Sees(ctx, mark, "offline"))
	check(t, sc.bob.Say(ctx, "read this tomorrow"))
	if x, ok := sc.bob.(*xmppPeer); ok {
		x.arrived(t, "read this tomorrow")
	}
	sc.again(t, "NLN")
	text, err := sc.hears(ctx, 0, sc.bob.Person(), "read this tomorrow")
	check(t, err)
	if !clock.MatchString(text) {
		t.Errorf("no time is shown with %q", text)
	}
	sc.talk(t, "morning")
	n := 0
	for _, e := range sc.client.Log.Since(0) {
		if text, ok := e.Text(); ok && regexp.MustCompile("read this tomorrow").MatchString(text) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the offline message came %d times", n)
	}
}

// stepAccept lets a stranger ask and accepts him.
func (sc *scene) stepAccept(t *testing.T) {
	ctx, from := waiting(t, 2*patience), sc.client.Log.Len()
	dave := newStranger(sc.test, sc.server, "dave", sc.me)
	sc.dave = dave
	asked := dave.Ask(t)
	e, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		trid, list, who, ok := e.Listed()
		return ok && trid == "0" && list == msnclient.RL && is(who.Handle, dave.Person())
	})
	check(t, err)
	_, _, asker, _ := e.Listed()
	handle := asker.Handle
	check(t, sc.client.Add(ctx, msnclient.AL, handle))
	check(t, sc.client.Add(ctx, msnclient.FL, handle))
	check(t, asked(ctx))
	from = sc.client.Log.Len()
	check(t, dave.Say(ctx, "thank you"))
	_, err = sc.hears(ctx, from, dave.Person(), "thank you")
	check(t, err)
}

// added waits until the client has a person on its forward list, and returns
// his handle there.
func (sc *scene) added(ctx context.Context, from int, p person) (handle string, err error) {
	e, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		_, list, who, ok := e.Listed()
		return ok && list == msnclient.FL && is(who.Handle, p)
	})
	if err != nil {
		return "", fmt.Errorf("%s did not come onto the list: %w", p.Handle, err)
	}
	_, _, who, _ := e.Listed()
	return who.Handle, nil
}

// stepAdd adds somebody who does not know the account yet, writes to him, and
// removes him again.
func (sc *scene) stepAdd(t *testing.T) {
	ctx, from := waiting(t, 2*patience), sc.client.Log.Len()
	carol := newStranger(t, sc.server, "carol", sc.me)
	check(t, sc.client.Add(ctx, msnclient.FL, carol.Person().Handle))
	handle, err := sc.added(ctx, from, carol.Person())
	check(t, err)
	if err := sc.client.Add(ctx, msnclient.AL, handle); err != nil && msnclient.Code(err) != "215" {
		t.Error(err)
	}
	if sc.server.Kind != "dendrite" { // there a room is made with the first message only
		check(t, sc.sees(ctx, from, carol.Person(), "NLN"))
	}
	mark := carol.Mark()
	ch, err := sc.client.Invite(ctx, handle)
	check(t, err)
	check(t, ch.Send(ctx, "hello stranger"))
	check(t, carol.Heard(ctx, mark, "hello stranger"))
	if err := sc.client.Add(ctx, msnclient.FL, "nobody-of-that-name@"+sc.server.Domain); sc.server.Kind == "dendrite" && msnclient.Code(err) != "205" {
		t.Errorf("adding nobody: %v", err)
	}

	check(t, sc.client.Remove(ctx, msnclient.FL, handle))
	sc.again(t, "NLN")
	listed := sc.lists.Contacts[sc.handle(carol.Person())]
	if listed.On&msnclient.FL != 0 {
		t.Errorf("carol was removed and is listed: %+v", listed)
	}
	if bob := sc.lists.Contacts[sc.bobHandle()]; bob.On&msnclient.FL == 0 {
		t.Errorf("bob is gone too: %+v", sc.lists)
	}
	if x, ok := carol.(*xmppPeer); ok {
		check(t, eventually(patience, func() error { return x.not(sc.me, "both", "to", "from") }))
	}
	sc.client.Close()
}

// TestSecondSignIn shows that the older of two sessions is told and ended.
func TestSecondSignIn(t *testing.T) {
	end2end(t)
	b := newBox(t)
	b.AddUser(t, aliceHandle, msnclient.MSNP8)
	first, _ := b.SignIn(t, msnclient.MSNP8, aliceHandle, "NLN")
	b.SignIn(t, msnclient.MSNP8, aliceHandle, "NLN")
	_, err := first.Log.Wait(waiting(t, patience), 0, func(e msnclient.Event) bool {
		return e.Cmd == "OUT" && slices.Equal(e.Args, []string{"OTH"})
	})
	check(t, err)
}

// TestWrongPassword shows that every way to sign in refuses one, for an account
// that exists and one that does not.
func TestWrongPassword(t *testing.T) {
	end2end(t)
	b := newBox(t)
	b.AddUser(t, aliceHandle, msnclient.MSNP2)
	for _, v := range slices.Concat(versions, more) {
		for _, handle := range []string{aliceHandle, "nobody@nudge.test"} {
			cfg := b.config(v, handle)
			cfg.Password = "wrong"
			c, err := msnclient.SignIn(t.Context(), cfg)
			if err == nil {
				c.Kill()
				t.Errorf("%s: %s signed in with a wrong password", v.Name, handle)
			} else if v == msnclient.MSNP2 && msnclient.Code(err) != "911" {
				t.Errorf("%s: %s: %v", v.Name, handle, err)
			}
		}
	}
}
