package bridge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge/im"
)

// byHand is a network whose users sign in elsewhere, unless they have a password,
// and which may end their sessions.
type byHand struct {
	*wire
	ended chan struct{}
}

func (n *byHand) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	if l.Fields["password"] == "" {
		_, err := l.Host.Ask(ctx, l.User, im.Prompt{Text: "enter ABC there", Field: im.Field{Choices: []string{"stop"}}, Until: time.Now().Add(time.Hour)})
		return nil, &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("not signed in (%v)", err)}
	}
	k, err := n.wire.Connect(ctx, l)
	if err != nil {
		return nil, err
	}
	return &revocable{k.(*wireLink), n.ended}, nil
}

type revocable struct {
	*wireLink
	ended chan struct{}
}

func (r *revocable) Wait() error {
	select {
	case <-r.end:
		return nil
	case <-r.ended:
		return &im.Lost{Class: im.Credentials, Text: "the session was ended; link again"}
	}
}

// TestSignInByHand: links that wait for their users say so at once, do not hold up
// others, and let new log-in data end the waiting.
func TestSignInByHand(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.nets["wire"] = &byHand{b.wire, make(chan struct{})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		link := func(who int, password string) error {
			handle := fmt.Sprintf("u%d@hotmail.com", who)
			if err := b.AddLink(ctx, handle, "wire", map[string]string{"name": "x", "password": password}); err != nil {
				t.Fatal(err)
			}
			return b.TestLink(ctx, handle, "wire")
		}
		for i := range cap(b.dial) + 2 {
			b.user(fmt.Sprintf("u%d@hotmail.com", i))
		}
		for i := range cap(b.dial) + 1 {
			if err := link(i, ""); err == nil || !strings.Contains(err.Error(), "enter ABC there") {
				t.Fatalf("link %d: %v", i, err)
			}
		}
		if err := link(cap(b.dial)+1, "right"); err != nil {
			t.Errorf("while others wait: %v", err)
		}
		if err := b.RetryLink("u0@hotmail.com", "wire"); err != nil || b.Links("u0@hotmail.com")[0].Question.Text == "" {
			t.Errorf("a retry ends the waiting: %v", err)
		}
		rest()
		if err := link(0, "right"); err != nil {
			t.Errorf("with a password after all: %v", err)
		}
		if d := time.Since(began); d > time.Minute {
			t.Errorf("it took %v", d)
		}
		time.Sleep(2 * time.Hour)
		if l := b.Links("u1@hotmail.com")[0]; !l.Stuck || !strings.Contains(l.Text, "not signed in") {
			t.Errorf("nobody answered: %+v", l)
		}
	})
}

// TestEndedSessionIsToldOnce: the user of a link that worked hears once that it needs
// him.
func TestEndedSessionIsToldOnce(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		const me = "alice@hotmail.com"
		net := &byHand{b.wire, make(chan struct{})}
		b.nets["wire"] = net
		b.voice = im.Addr{Net: "wire", ID: "box"}
		b.user(me)
		told := func() (n int) {
			synctest.Wait()
			rest()
			return b.AccountList()[0].Waiting
		}
		if err := b.AddLink(t.Context(), me, "wire", map[string]string{"name": "x", "password": "right"}); err != nil {
			t.Fatal(err)
		}
		if n := told(); n != 0 {
			t.Errorf("%d messages before anything happened", n)
		}
		close(net.ended)
		time.Sleep(time.Hour)
		if n := told(); n != 1 || !b.Links(me)[0].Stuck {
			t.Errorf("told %d times: %+v", n, b.Links(me)[0])
		}
	})
}
