package e2e

import (
	"fmt"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestHidden signs in without being seen: a message must come within 25 s, and
// a contact's coming within two minutes, at once where the server has privacy
// lists; and the contact must never see the account.
func TestHidden(t *testing.T) {
	limits := map[string]time.Duration{
		"prosody": 2 * time.Minute, "ejabberd": 5 * time.Second, "dendrite": 2 * time.Minute,
	}
	for _, kind := range allKinds {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			sc := newScene(t, msnclient.MSNP8, sharedServer(t, kind), "")
			mark := sc.bob.Mark()
			sc.bob.Show(t, "offline")
			sc.signIn(t, "HDN")
			from := sc.client.Log.Len()
			check(t, sc.bob.Say(t.Context(), "I know that you are there"))
			_, err := sc.hears(waiting(t, 25*time.Second), from, sc.bob.Person(), "I know that you are there")
			check(t, err)
			from = sc.client.Log.Len()
			sc.bob.Show(t, "online")
			check(t, sc.sees(waiting(t, limits[kind]), from, sc.bob.Person(), "NLN"))
			if e, ok := seen(sc.bob, mark); ok {
				t.Errorf("the hidden account was seen: %+v", e)
			}
			check(t, sc.client.SetStatus(t.Context(), "NLN"))
			check(t, sc.bob.Sees(waiting(t, patience), mark, "online"))
		})
	}
}

// seen finds the first presence in which bob saw his friend as anything but
// offline.
func seen(p peer, from int) (peerEvent, bool) {
	var friend string
	var events []peerEvent
	switch p := p.(type) {
	case *xmppPeer:
		friend = p.friend.ID
		events, _ = p.since(from)
	case *matrixPeer:
		friend = p.friend.ID
		events, _ = p.since(from)
	}
	for _, e := range events {
		if e.Ev == "presence" && e.Frm == friend && e.Type != "unavailable" && e.Presence != "offline" {
			return e, true
		}
	}
	return peerEvent{}, false
}

// TestServerRestart restarts the server in the middle of a chat, which goes on.
func TestServerRestart(t *testing.T) {
	for _, kind := range allKinds {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			sc := newScene(t, msnclient.MSNP8, ownServer(t, kind, true), "")
			sc.signIn(t, "NLN")
			sc.talk(t, "before")
			check(t, sc.server.Stop())
			mark := sc.bob.Mark()
			check(t, sc.chat(t).Send(waiting(t, patience), "while the server is down"))
			check(t, sc.server.Start())
			check(t, sc.bob.Heard(waiting(t, 2*patience), mark, "while the server is down"))
			sc.talk(t, "after")
		})
	}
}

// TestNoPresence has a homeserver that keeps presence to itself, as large ones
// do: the contact must not be shown offline, else the client could not write.
func TestNoPresence(t *testing.T) {
	each(t, []string{"dendrite"}, func(t *testing.T, v msnclient.Version, kind string) {
		s := ownServer(t, kind, false)
		sc := newScene(t, v, s, "")
		sc.signIn(t, "NLN")
		check(t, sc.sees(waiting(t, patience), 0, sc.bob.Person(), "NLN", "AWY"))
		sc.talk(t, "nobody is away")
		check(t, sc.client.Ping(t.Context()))
		if s := sc.client.Status(sc.bobHandle()); s == "FLN" {
			t.Error("bob is shown offline")
		}
	})
}

// TestIdleMemory wants a box without links to be small.
func TestIdleMemory(t *testing.T) {
	end2end(t)
	b := newBox(t)
	b.AddUser(t, aliceHandle, msnclient.MSNP8)
	c, _ := b.SignIn(t, msnclient.MSNP8, aliceHandle, "NLN")
	check(t, c.Ping(t.Context()))
	var kb int64
	err := eventually(patience, func() (err error) { // it has still to make its certificate
		if kb, err = b.number("status", "VmRSS"); err == nil && kb > 15<<10 {
			err = fmt.Errorf("%d kB are resident, more than 15 MB", kb)
		}
		return err
	})
	t.Logf("resident: %.1f MB", float64(kb)/1024)
	check(t, err)
	check(t, c.Ping(t.Context()))
}

// TestIdleDisk wants a box with two XMPP and two Matrix links to write nothing
// in a minute in which nothing happens.
func TestIdleDisk(t *testing.T) {
	end2end(t)
	b := newBox(t)
	for i, kind := range []string{"prosody", "ejabberd", "dendrite", "dendrite"} {
		s := sharedServer(t, kind)
		me, bob := friends(t, s, false)
		handle := fmt.Sprintf("user%d@nudge.test", i)
		b.AddUser(t, handle, msnclient.MSNP8)
		b.Link(t, handle, me, s.Addr())
		b.Knows(t, handle, bob.Person().Handle)
		sc := &scene{test: t, box: b, bob: bob}
		sc.client, sc.lists = b.SignIn(t, msnclient.MSNP8, handle, "NLN")
		sc.talk(t, "hello")
		sc.client.Close()
	}
	const still, minute = 10 * time.Second, time.Minute
	var last, at = int64(-1), time.Now()
	check(t, eventually(3*minute, func() error {
		n, err := b.number("io", "write_bytes")
		if err != nil || n != last {
			last, at = n, time.Now()
		}
		if time.Since(at) < still {
			return fmt.Errorf("the box does not stop writing: %d bytes", n)
		}
		return err
	}))
	select {
	case <-time.After(minute):
	case <-b.proc.done:
		t.Fatal("the box has ended")
	}
	n, err := b.number("io", "write_bytes")
	check(t, err)
	if n != last {
		t.Errorf("%d bytes were written in an idle minute", n-last)
	}
}
