package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestOutage stops the server of a link and starts it again: the contact says that
// he can't be reached, a conversation with him that what is written there waits, and
// then it arrives, in order. What the box itself says, and what is given up, takes
// longer than a test may: TestLongOutage and TestGivenUp of the hub.
func TestOutage(t *testing.T) {
	end2end(t)
	s := ownServer(t, "prosody", false)
	sc := newScene(t, msnclient.MSNP8, s, "")
	sc.signIn(t, "NLN")
	sc.talk(t, "before")
	from := sc.client.Log.Len()
	check(t, s.Stop())
	_, err := sc.client.Log.Wait(waiting(t, 3*patience), from, func(e msnclient.Event) bool {
		who, state, _ := e.Presence()
		return state == "AWY" && is(who, sc.bob.Person()) && strings.Contains(e.Line, "(not%20connected%20to%20xmpp)")
	})
	check(t, err)
	ctx := waiting(t, patience)
	check(t, sc.chat(t).Send(ctx, "first of what waits"))
	_, err = sc.hears(ctx, from, sc.bob.Person(), "what you write here waits for up to 7 days")
	check(t, err)
	check(t, sc.chat(t).Send(ctx, "second of what waits"))

	check(t, s.Start())
	bob := joinXMPP(t, sc.bob.Person())
	bob.friend = sc.me
	check(t, eventually(patience, func() error {
		_, err := sc.box.try("link", "test", aliceHandle, "xmpp")
		return err
	}))
	check(t, eventually(patience, func() error {
		var said []string
		for _, text := range bob.Archive(t) {
			if strings.Contains(text, "of what waits") {
				said = append(said, text)
			}
		}
		if !slices.Equal(said, []string{"first of what waits", "second of what waits"}) {
			return fmt.Errorf("bob's archive has %q", said)
		}
		return nil
	}))
	check(t, sc.sees(ctx, from, sc.bob.Person(), "NLN"))
}
