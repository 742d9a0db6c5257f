package e2e

import (
	"context"
	"fmt"
	"testing"
)

// visitor is a person whose friend is an account on a component. No server keeps
// anything for that: what the person says has arrived when the receipt comes, and
// what has none may be lost (DESIGN.md §3).
type visitor struct{ *xmppPeer }

// Say returns when the box has the text.
func (v visitor) Say(ctx context.Context, text string) error {
	from := v.len()
	said, err := v.try(ctx, op{"op": "msg", "to": v.friend.ID, "body": text})
	if err != nil {
		return err
	}
	e, err := v.find(ctx, from, func(e peerEvent) bool { return (e.Ev == "receipt" || e.Ev == "error") && e.ID == said.ID })
	if err == nil && e.Ev == "error" {
		err = fmt.Errorf("%q came back: %s", text, e.Condition)
	}
	return err
}

// Sent lists what the box has given a receipt for, in the order in which it was said.
func (v visitor) Sent() (texts []string) {
	events, _ := v.since(0)
	arrived := map[string]bool{}
	for _, e := range events {
		if e.Ev == "receipt" {
			arrived[e.ID] = true
		}
	}
	for _, e := range events {
		if e.Ev == "ok" && arrived[e.ID] {
			texts = append(texts, e.Body)
		}
	}
	return texts
}

// Kept blames nothing on the server: it keeps nothing for a component.
func (v visitor) Kept(testing.TB) (said, friend []string) { return v.Sent(), nil }

// sameNames looks whether what came twice came under one name, by which a client can
// tell (XEP-0359).
func (v visitor) sameNames(t testing.TB) {
	t.Helper()
	names := map[string]string{}
	for _, m := range v.doWithin(t, 8*patience, op{"op": "archive", "with": v.friend.ID}).Messages {
		if _, ok := number(m.Body, "out"); !ok || m.Frm != v.friend.ID {
			continue
		}
		if was, again := names[m.Body]; again && was != m.ID {
			t.Errorf("%q came as %s and as %s", m.Body, was, m.ID)
		}
		names[m.Body] = m.ID
	}
}

// unanswered tells whether the line to the server broke while the box waited for it
// to say that it had the message. It has no archive to look into, so the message
// goes out again.
func (c *chaos) unanswered(n int) bool {
	for _, b := range c.blows {
		if at := c.acked[n]; c.posted[n].Before(b.over) && (at.IsZero() || at.After(b.at)) {
			return true
		}
	}
	return false
}
