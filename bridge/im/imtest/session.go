package imtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nudge/bridge/im"
)

// session plays the hub for one check: it connects, sends in order, connects
// anew when a link is lost and hands over again what is not settled.
type session struct {
	testing.TB
	rig   Rig
	box   *box
	host  *host
	hosts []*host
	link  im.Link // nil when there is none

	ended   chan struct{} // closed when Wait has returned
	why     error         // what Wait returned
	lossy   bool          // the check provokes the loss of the link
	redials int
	began   map[string]string // goroutines before the first Connect
	prefix  string            // of message IDs
	ids     int
}

func newSession(t testing.TB, r Rig) *session {
	return &session{TB: t, rig: r, box: newBox(r), began: goroutines(), prefix: "imtest-" + rand.Text()[:8]}
}

// user is whom the link is for.
func (s *session) user() im.Addr {
	if s.rig.Shared {
		return im.Addr{}
	}
	return s.rig.Account
}

// connect makes a link, waits until it is up and what it found is on disk, and
// hands over what is unsettled.
func (s *session) connect() {
	s.Helper()
	s.dial()
	host := s.host
	s.until("LinkState Up after Connect", func() bool {
		return s.host != host || host.ups > 0 && (len(host.queue) == 0 || s.box.hold)
	})
	s.pump()
}

// dial makes a link. The context of Connect is cancelled as soon as it has
// returned: it must not be the link's.
func (s *session) dial() {
	s.Helper()
	s.host = newHost(s.box)
	s.hosts = append(s.hosts, s.host)
	ctx, cancel := context.WithTimeout(context.Background(), s.rig.Timeout)
	defer cancel()
	var link im.Link
	var err error
	s.within("Connect", func() {
		link, err = s.rig.Network.Connect(ctx, im.Login{User: s.user(), Fields: s.rig.Fields, Host: s.host})
	})
	if err != nil {
		s.Fatalf("Connect: %v", err)
	}
	ended := make(chan struct{})
	s.link, s.ended = link, ended
	go func() {
		defer close(ended)
		s.why = link.Wait()
	}()
}

// until waits for ok, which is called with the box's lock held. A link that
// ends meanwhile is replaced when the check is lossy.
func (s *session) until(what string, ok func() bool) {
	s.Helper()
	limit := time.NewTimer(s.rig.Timeout)
	defer limit.Stop()
	for {
		s.box.mu.Lock()
		done, bell := ok(), s.box.bell
		s.box.mu.Unlock()
		if done {
			return
		}
		select {
		case <-bell:
		case <-s.ended:
			if !s.lossy {
				s.Fatalf("waiting for %s: the link ended: %v", what, s.why)
			}
			s.mustBeLost()
			s.redial(s.why)
		case <-limit.C:
			s.Fatalf("no %s within %v\n%s", what, s.rig.Timeout, s.state())
		}
	}
}

// redial does what the hub does about a link that is no good any more: close
// it and connect anew.
func (s *session) redial(why error) {
	s.Helper()
	s.Logf("connecting anew: %v", why)
	if s.redials++; s.redials > 20 {
		s.Fatal("connected anew 20 times")
	}
	s.hangUp()
	s.connect()
}

// mustBeLost demands of a link that ended by itself words for a person, and a
// class that is tried again.
func (s *session) mustBeLost() {
	s.Helper()
	var lost *im.Lost
	switch {
	case !errors.As(s.why, &lost):
		s.Errorf("a link that was not closed ended with %T %v; want *im.Lost", s.why, s.why)
	case lost.Text == "":
		s.Error("*im.Lost has no text for a person")
	case lost.Class != im.Retry && lost.Class != im.After:
		s.Errorf("*im.Lost has class %d (%s); want one that is tried again", lost.Class, lost.Text)
	}
}

// hangUp closes the link twice and waits for its end, and for what the host
// has still to commit.
func (s *session) hangUp() {
	s.Helper()
	if s.link == nil {
		return
	}
	link := s.link
	s.link = nil
	alive := true
	select {
	case <-s.ended:
		alive = false
	default:
	}
	s.within("Close", func() { link.Close() })
	s.within("the second Close", func() { link.Close() })
	s.within("Wait after Close", func() { <-s.ended })
	s.within("another Wait after Close", func() { link.Wait() })
	if alive && !s.lossy && s.why != nil {
		s.Errorf("Wait after Close: %v, want nil", s.why)
	}
	var err error
	s.within("Handle after Close", func() { err = link.Handle(context.Background(), s.rig.Account, s.text("after Close")) })
	if err == nil {
		s.Error("Handle took a message after Close")
	}
	s.box.mu.Lock()
	s.host.closed = true
	drain := !s.box.hold
	s.box.ring()
	s.box.mu.Unlock()
	if drain {
		s.within("the last settled function", s.host.committer.Wait)
	}
}

// crash kills the host as a power cut would: nothing uncommitted survives. The
// goroutines of the link can't be killed, so its connection is cut (where the
// rig can) before it is closed.
func (s *session) crash() {
	s.Helper()
	s.host.crash()
	s.lossy = true // Wait may tell of either
	if s.rig.Cut != nil {
		s.ok("Cut", s.rig.Cut())
	}
	s.hangUp()
	s.lossy = false
}

// finish closes everything and reports leaks and violations.
func (s *session) finish() {
	s.hold(false)
	s.hangUp()
	for _, h := range s.hosts {
		s.within("the end of settled functions", func() { h.committer.Wait(); h.settles.Wait() })
	}
	s.leaks()
	s.box.mu.Lock()
	broken := slices.Clone(s.box.broken)
	s.box.mu.Unlock()
	for _, v := range broken {
		s.Error(v)
	}
}

// hold stops or resumes commits.
func (s *session) hold(on bool) {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.hold, s.box.commits = on, -1
	s.box.ring()
}

// within fails the check when fn does not return in time.
func (s *session) within(what string, fn func()) {
	s.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	limit := time.NewTimer(s.rig.Timeout)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		var stacks []string
		for _, g := range goroutines() {
			stacks = append(stacks, g)
		}
		s.Fatalf("%s did not return within %v\n%s", what, s.rig.Timeout, strings.Join(stacks, "\n\n"))
	}
}

// ok fails the check when the rig could not do its part.
func (s *session) ok(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("the rig's %s: %v", what, err)
	}
}

// state describes what the box has, for a failure.
func (s *session) state() string {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	var open []string
	for _, o := range s.box.outbox {
		open = append(open, o.id)
	}
	return fmt.Sprintf("journal %q, unsettled %q, last events %+v",
		texts(s.box.journal), open, s.host.events[max(0, len(s.host.events)-5):])
}

func texts(ms []im.Message) []string {
	var all []string
	for _, m := range ms {
		all = append(all, m.Text)
	}
	return all
}
