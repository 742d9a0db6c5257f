package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// xmppPeer is a person at slixmpp.
type xmppPeer struct {
	*lines
	me, friend person
}

func joinXMPP(t testing.TB, p person, flags ...string) *xmppPeer {
	t.Helper()
	s := p.server
	args := append(flags, p.ID, p.Password, "127.0.0.1", fmt.Sprint(s.Port), s.settings.PKI.CA)
	return &xmppPeer{lines: startPeer(t, p.User, "xmpp_peer.py", args...), me: p}
}

// arrived waits until the friend's server has stored what the person said to
// him: some answer the person before.
func (x *xmppPeer) arrived(t testing.TB, text string) {
	t.Helper()
	quiet := joinXMPP(t, x.friend, "--quiet")
	quiet.friend = x.me
	check(t, eventually(patience, func() error {
		if texts := quiet.Archive(t); !slices.Contains(texts, text) {
			return fmt.Errorf("%q is not in the archive of %s: %q", text, x.friend.ID, texts)
		}
		return nil
	}))
}

// meet makes friend and the person see each other; friend's side is played by
// a client that leaves again.
func (x *xmppPeer) meet(t testing.TB, friend person) {
	t.Helper()
	x.friend = friend
	other := joinXMPP(t, friend)
	other.do(t, op{"op": "subscribe", "to": x.me.ID})
	check(t, eventually(patience, func() error {
		for _, side := range []*xmppPeer{x, other} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			e, err := side.try(ctx, op{"op": "roster"})
			cancel()
			if err != nil {
				return err
			}
			if e.Roster[x.me.ID]+e.Roster[friend.ID] != "both" {
				return fmt.Errorf("%s has the list %v", side.me.ID, e.Roster)
			}
		}
		return nil
	}))
	from := x.len()
	other.in.Close()
	<-other.proc.done
	x.wait(t, from, "the friend leaving", func(e peerEvent) bool {
		return e.Ev == "presence" && e.Frm == friend.ID && e.Type == "unavailable"
	})
}

func (x *xmppPeer) Person() person { return x.me }
func (x *xmppPeer) Mark() int      { return x.len() }

func (x *xmppPeer) Say(ctx context.Context, text string) error {
	from := x.len()
	if _, err := x.try(ctx, op{"op": "msg", "to": x.friend.ID, "body": text}); err != nil {
		return err
	}
	_, err := x.find(ctx, from, func(e peerEvent) bool { return e.Ev == "acked" && e.Body == text })
	return err
}

func (x *xmppPeer) Post(text string) error {
	return x.write(0, op{"op": "msg", "to": x.friend.ID, "body": text})
}

func (x *xmppPeer) Sent() (texts []string) {
	events, _ := x.since(0)
	for _, e := range events {
		if e.Ev == "acked" {
			texts = append(texts, e.Body)
		}
	}
	return texts
}

func (x *xmppPeer) Heard(ctx context.Context, from int, part string) error {
	_, err := x.find(ctx, from, func(e peerEvent) bool {
		return e.Ev == "msg" && e.Frm == x.friend.ID && strings.Contains(e.Body, part)
	})
	return err
}

func (x *xmppPeer) Type(t testing.TB) {
	t.Helper()
	x.do(t, op{"op": "state", "to": x.friend.ID, "state": "composing"})
}

func (x *xmppPeer) SeesTyping(ctx context.Context, from int) error {
	_, err := x.find(ctx, from, func(e peerEvent) bool {
		return e.Ev == "chatstate" && e.Frm == x.friend.ID && e.State == "composing"
	})
	return err
}

func (x *xmppPeer) Show(t testing.TB, state string) {
	t.Helper()
	c := op{"op": "presence"}
	switch state {
	case "online":
	case "offline":
		c["type"] = "unavailable"
	default:
		c["show"] = state
	}
	x.do(t, c)
}

func (x *xmppPeer) Sees(ctx context.Context, from int, state string) error {
	_, err := x.find(ctx, from, func(e peerEvent) bool {
		if e.Ev != "presence" || e.Frm != x.friend.ID {
			return false
		}
		switch state {
		case "offline":
			return e.Type == "unavailable"
		case "online":
			return e.Type != "unavailable" && e.Show == ""
		}
		return e.Show == state
	})
	return err
}

func (x *xmppPeer) Nudge(t testing.TB) {
	t.Helper()
	x.do(t, op{"op": "attention", "to": x.friend.ID})
}

func (x *xmppPeer) Archive(t testing.TB) (texts []string) {
	t.Helper()
	for _, m := range x.doWithin(t, 8*patience, op{"op": "archive", "with": x.friend.ID}).Messages {
		if m.Frm == x.friend.ID {
			texts = append(texts, m.Body)
		}
	}
	return texts
}

func (x *xmppPeer) Kept(t testing.TB) (said, friend []string) {
	t.Helper()
	other := joinXMPP(t, x.friend)
	for _, m := range other.doWithin(t, 8*patience, op{"op": "archive", "with": x.me.ID}).Messages {
		if m.Frm == x.me.ID {
			said = append(said, m.Body)
		} else {
			friend = append(friend, m.Body)
		}
	}
	other.in.Close()
	<-other.proc.done
	return said, friend
}

func (x *xmppPeer) Ask(t testing.TB) func(context.Context) error {
	t.Helper()
	from := x.len()
	x.do(t, op{"op": "subscribe", "to": x.friend.ID})
	return func(ctx context.Context) error {
		_, err := x.find(ctx, from, func(e peerEvent) bool {
			return e.Ev == "subscription" && e.Frm == x.friend.ID && e.Type == "subscribed"
		})
		return err
	}
}

// not is an error while the person's list has friend in one of the states.
func (x *xmppPeer) not(friend person, states ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e, err := x.try(ctx, op{"op": "roster"})
	if err == nil && slices.Contains(states, e.Roster[friend.ID]) {
		err = fmt.Errorf("%s still has %s on the list: %v", x.me.ID, friend.ID, e.Roster)
	}
	return err
}
