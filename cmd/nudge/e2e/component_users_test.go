package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestComponentUsers signs many accounts of one component on, each with bob on its list
// and on his: all see him and he sees all, and what he writes to each comes. It prints
// what that took. NUDGE_COMPONENT_USERS says how many.
func TestComponentUsers(t *testing.T) {
	end2end(t)
	n := 20
	if s := os.Getenv("NUDGE_COMPONENT_USERS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		check(t, err)
	}
	s := ownServer(t, "prosody", true)
	b := newBox(t)
	b.cli(t, "gateway", "add", "xmpp", "--jid", "msn."+s.Domain, "--server", loopback(s.settings.Component), "--secret", s.settings.Secret)
	var family strings.Builder
	for i := range n {
		fmt.Fprintf(&family, `{"handle": %q, "password": %q}`+"\n", tenant(i), boxPassword)
	}
	_, err := feed(b.Dir, nil, family.String(), b.binary, "user", "import", "-", "--data", b.Dir)
	check(t, err)
	check(t, eventually(patience, b.upAgain))
	bob := joinXMPP(t, newPerson(t, s, "bob"))
	empty, err := b.number("status", "VmRSS")
	check(t, err)

	began := time.Now()
	clients := make([]*msnclient.Client, n)
	atOnce(n, func(i int) {
		c, err := msnclient.SignIn(t.Context(), b.config(msnclient.MSNP8, tenant(i)))
		if err == nil {
			_, err = c.Sync(t.Context())
			clients[i] = c
		}
		if err == nil {
			err = c.SetStatus(t.Context(), "NLN")
		}
		if err != nil {
			t.Errorf("%s: %v", tenant(i), err)
		}
	})
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.Kill()
			}
		}
	}()
	if t.Failed() {
		return
	}
	signedOn := time.Since(began)

	began = time.Now()
	ctx := waiting(t, 20*patience)
	atOnce(n, func(i int) {
		err := clients[i].Add(ctx, msnclient.FL, bob.me.Handle)
		if err == nil {
			_, err = clients[i].Log.Wait(ctx, 0, func(e msnclient.Event) bool {
				who, state, _ := e.Presence()
				return state == "NLN" && is(who, bob.me)
			})
		}
		if err != nil {
			t.Errorf("%s does not see bob: %v", tenant(i), err)
		}
	})
	there := map[string]bool{}
	for i := range n {
		there[atComponent(tenant(i), s)] = true
	}
	_, err = bob.find(ctx, 0, func(e peerEvent) bool {
		if e.Ev == "presence" && e.Type != "unavailable" {
			delete(there, e.Frm)
		}
		return len(there) == 0
	})
	check(t, err)
	acquainted := time.Since(began)
	full, err := b.number("status", "VmRSS")
	check(t, err)

	began = time.Now()
	for i := range n {
		bob.do(t, op{"op": "msg", "to": atComponent(tenant(i), s), "body": "hello " + tenant(i)})
	}
	for i, c := range clients {
		_, err := c.Log.Wait(ctx, 0, func(e msnclient.Event) bool {
			text, ok := e.Text()
			return ok && text == "hello "+tenant(i)
		})
		if err != nil {
			t.Errorf("%s hears nothing: %v", tenant(i), err)
		}
	}
	talked := time.Since(began)
	open, err := b.number("status", "VmRSS")
	check(t, err)
	t.Logf("%d accounts of a component: signed on in %v, all with bob in %v, a message to each in %v; RSS %d kB before, %d kB signed on, %d kB with a conversation each",
		n, signedOn.Round(time.Millisecond), acquainted.Round(time.Millisecond), talked.Round(time.Millisecond), empty, full, open)
}

func tenant(i int) string { return fmt.Sprintf("tenant%d@nudge.test", i) }

// atComponent is the address of an account at the server's component.
func atComponent(handle string, s *server) string {
	return strings.ReplaceAll(handle, "@", `\40`) + "@msn." + s.Domain
}

// atOnce does something n times, a few at a time.
func atOnce(n int, do func(i int)) {
	var wg sync.WaitGroup
	turns := make(chan struct{}, 8)
	for i := range n {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			do(i)
		})
	}
	wg.Wait()
}
