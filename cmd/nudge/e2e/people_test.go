package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// person is an account on one of the servers.
type person struct {
	server         *server
	User, Password string
	ID             string // JID or Matrix id
	Handle         string // how MSN clients know him
}

var people atomic.Int32

// newPerson makes a fresh account whose name begins with who.
func newPerson(t testing.TB, s *server, who string) person {
	t.Helper()
	p := person{server: s, User: fmt.Sprintf("%s%d", who, people.Add(1))}
	p.Handle = p.User + "@" + s.Domain
	p.ID = p.Handle
	if s.Kind == "dendrite" {
		p.ID = "@" + p.User + ":" + s.Domain
	}
	var err error
	p.Password, err = s.AddUser(p.User)
	check(t, err)
	return p
}

// alias is the handle that clients of MSNP2 and 3 may see instead
// (DESIGN.md §4).
func (p person) alias() string { return strings.ReplaceAll(p.Handle, "@", ".") + "@hotmail.com" }

// peer is a person at another client: he talks to one friend, whose side is
// played by the box, or by a second peer. Positions are from Mark.
type peer interface {
	Person() person
	Mark() int
	// Say returns when the server has taken the text.
	Say(ctx context.Context, text string) error
	// Post sends without waiting; Sent lists what the server has taken.
	Post(text string) error
	Sent() []string
	// Heard waits for a text of the friend that contains part.
	Heard(ctx context.Context, from int, part string) error
	// Type shows that the person is writing, SeesTyping that the friend is.
	Type(t testing.TB)
	SeesTyping(ctx context.Context, from int) error
	// Show sets a presence ("online", "away", "offline"), Sees waits for the friend's
	// ("online", "away", "offline").
	Show(t testing.TB, state string)
	Sees(ctx context.Context, from int, state string) error
	Nudge(t testing.TB)
	// Archive returns what the friend said, as the person's server keeps it.
	Archive(t testing.TB) []string
	// Kept returns what the person said and what the friend said, as the server
	// keeps it for the friend: what it took from one and does not keep for the
	// other, it has lost itself.
	Kept(t testing.TB) (said, friend []string)
}

// friends makes two people on a server who have each other on their lists. The
// second is at his client; the first is for the box to sign in. Only Matrix
// knows rooms that are encrypted.
func friends(t testing.TB, s *server, encrypted bool) (person, peer) {
	t.Helper()
	me := newPerson(t, s, "alice")
	if s.Kind == "dendrite" {
		bob := joinMatrix(t, newPerson(t, s, "bob"))
		bob.meet(t, me, encrypted)
		return me, bob
	}
	bob := joinXMPP(t, newPerson(t, s, "bob"))
	bob.meet(t, me)
	return me, bob
}

// stranger is a peer who can ask for the friend's acquaintance.
type stranger interface {
	peer
	// Ask asks, and returns how to wait for the friend's yes.
	Ask(t testing.TB) (accepted func(context.Context) error)
}

// newStranger makes one more person who knows of the friend's address only.
func newStranger(t testing.TB, s *server, who string, friend person) stranger {
	t.Helper()
	p := newPerson(t, s, who)
	if s.Kind == "dendrite" {
		m := joinMatrix(t, p)
		m.friend = friend
		return m
	}
	x := joinXMPP(t, p)
	x.friend = friend
	return x
}
