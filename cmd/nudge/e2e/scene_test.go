package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

const aliceHandle = "alice@nudge.test"

// scene is a box with one account that is linked to a person's, the person's
// friend at his own client, and an old client signed in to the box.
type scene struct {
	test    testing.TB // the whole test, for what outlives one step
	box     *box
	version msnclient.Version
	server  *server
	me      person
	bob     peer
	dave    peer   // who asked to be added, later
	via     *proxy // between box and server, when somebody reads along
	door    *proxy // between a homeserver and the box that is its application service
	client  *msnclient.Client
	lists   msnclient.Lists
}

// newScene makes box, account, people and link; nobody is signed in. via is
// where the box finds the server, "" for the server itself.
func newScene(t testing.TB, v msnclient.Version, s *server, via string) *scene {
	t.Helper()
	sc := &scene{test: t, version: v, server: s}
	sc.me, sc.bob = friends(t, s, false)
	sc.house(t, via)
	return sc
}

// house makes the box and links it.
func (sc *scene) house(t testing.TB, via string) {
	t.Helper()
	if via == "" {
		via = sc.server.Addr()
	}
	sc.box = newBox(t)
	sc.box.AddUser(t, aliceHandle, sc.version)
	sc.box.Link(t, aliceHandle, sc.me, via)
	sc.box.Knows(t, aliceHandle, sc.bob.Person().Handle)
}

// signIn signs the client in with a state.
func (sc *scene) signIn(t testing.TB, state string) {
	t.Helper()
	sc.client, sc.lists = sc.box.SignIn(t, sc.version, aliceHandle, state)
}

// handle is how the client has a person in its lists.
func (sc *scene) handle(p person) string {
	if _, ok := sc.lists.Contacts[p.Handle]; !ok {
		if _, ok := sc.lists.Contacts[p.alias()]; ok {
			return p.alias()
		}
	}
	return p.Handle
}

func (sc *scene) bobHandle() string { return sc.handle(sc.bob.Person()) }

// is tells whether a handle that the server sent means the person.
func is(handle string, p person) bool {
	return strings.EqualFold(handle, p.Handle) || strings.EqualFold(handle, p.alias())
}

// chat returns a conversation with bob, opened if there is none.
func (sc *scene) chat(t testing.TB) *msnclient.Chat {
	t.Helper()
	if ch := sc.client.Chat(sc.bobHandle()); ch != nil {
		return ch
	}
	ch, err := sc.client.Invite(t.Context(), sc.bobHandle())
	check(t, err)
	return ch
}

// hears waits until the client shows a text from p that contains part, and
// returns the whole text.
func (sc *scene) hears(ctx context.Context, from int, p person, part string) (string, error) {
	e, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		text, ok := e.Text()
		return ok && is(e.From(), p) && strings.Contains(strings.ToLower(text), strings.ToLower(part))
	})
	text, _ := e.Text()
	if err != nil {
		err = fmt.Errorf("the client did not show %q from %s: %w", part, p.Handle, err)
	}
	return text, err
}

// sees waits until the client is told one of the states for p.
func (sc *scene) sees(ctx context.Context, from int, p person, states ...string) error {
	_, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		who, state, _ := e.Presence()
		for _, s := range states {
			if state == s && is(who, p) {
				return true
			}
		}
		return false
	})
	if err != nil {
		err = fmt.Errorf("the client did not see %s as %v: %w", p.Handle, states, err)
	}
	return err
}

// tells says something both ways and waits for it at the other end.
func (sc *scene) talk(t testing.TB, word string) {
	t.Helper()
	ctx := waiting(t, patience)
	mark := sc.bob.Mark()
	check(t, sc.chat(t).Send(ctx, word+" from the old client"))
	check(t, sc.bob.Heard(ctx, mark, word+" from the old client"))
	from := sc.client.Log.Len()
	check(t, sc.bob.Say(ctx, word+" from the new client"))
	_, err := sc.hears(ctx, from, sc.bob.Person(), word+" from the new client")
	check(t, err)
}
