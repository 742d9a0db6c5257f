package imtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nudge/bridge/im"
)

// id makes an ID for a message or edit.
func (s *session) id() string {
	s.ids++
	return fmt.Sprintf("%s-%d", s.prefix, s.ids)
}

// text makes a message of the account to the contact.
func (s *session) text(text string) im.Message {
	return im.Message{ID: s.id(), Conv: s.rig.Contact.ID, At: time.Now(), Text: text}
}

// send journals ev and hands it over, after everything before it.
func (s *session) send(ev im.Event) {
	s.Helper()
	s.journal(ev)
	s.pump()
}

// journal puts ev on disk, with the position that the link has now.
func (s *session) journal(ev im.Event) {
	o := &outgoing{Unsettled: im.Unsettled{Event: ev}}
	switch ev := ev.(type) {
	case im.Message:
		o.id = ev.ID
	case im.ContactEdit:
		o.id = ev.ID
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	o.Mark = slices.Clone(s.box.marks[s.user()])
	s.box.outbox = append(s.box.outbox, o)
}

// pump hands over, in order, what is unsettled and was not handed to this link
// yet. An error that is not final makes it connect anew when the check is lossy.
func (s *session) pump() {
	s.Helper()
	for {
		o := s.next()
		if o == nil {
			return
		}
		err := s.handle(o.Event)
		var no *im.Refused
		switch {
		case err == nil:
		case errors.Is(err, im.ErrUnsupported), errors.As(err, &no) && no.Text != "":
			s.drop(o, err)
		case s.lossy:
			s.redial(err)
			return
		default:
			s.Fatalf("Handle(%+v): %v", o.Event, err)
		}
	}
}

// next takes the oldest event that this link has neither been given nor
// reported on.
func (s *session) next() *outgoing {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	for _, o := range s.box.outbox {
		if !s.host.handed[o.id] && len(s.host.receipts[o.id]) == 0 {
			s.host.handed[o.id] = true
			return o
		}
	}
	return nil
}

// handle calls Handle and bounds it.
func (s *session) handle(ev im.Event) (err error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.rig.Timeout)
	defer cancel()
	link := s.link
	s.within(fmt.Sprintf("Handle(%T)", ev), func() { err = link.Handle(ctx, s.rig.Account, ev) })
	return err
}

// drop removes an event that got its final no.
func (s *session) drop(o *outgoing, why error) {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.outbox = slices.DeleteFunc(s.box.outbox, func(x *outgoing) bool { return x == o })
	s.box.refused = append(s.box.refused, fmt.Sprintf("%s: %v", o.id, why))
	s.box.ring()
}

// settled waits until everything sent has its receipt, on disk, and no message
// was refused.
func (s *session) settled() {
	s.Helper()
	s.until("receipt for everything sent", func() bool { return len(s.box.outbox) == 0 })
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	for id, states := range s.host.receipts {
		if slices.Contains(states, im.Failed) {
			s.Errorf("%s failed", id)
		}
	}
}

// hear demands that exactly these texts reach the peer, in this order.
func (s *session) hear(want []string) {
	s.Helper()
	for i, w := range want {
		if got := s.hearOne(); got != w {
			s.Fatalf("the peer's text %d is %q, want %q", i+1, got, w)
		}
	}
}

func (s *session) hearOne() (text string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.rig.Timeout)
	defer cancel()
	text, err := s.rig.Hear(ctx)
	if err != nil {
		s.Fatalf("nothing more reached the peer: %v\n%s", err, s.state())
	}
	return text
}

// received waits until the journal has as many messages as want and demands
// that they are these texts from the contact, in this order.
func (s *session) received(want []string) {
	s.Helper()
	s.until(fmt.Sprintf("%d messages in the journal", len(want)), func() bool { return len(s.box.journal) >= len(want) })
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	for i, m := range s.box.journal {
		if i >= len(want) || m.Text != want[i] {
			s.Fatalf("journal %q\nwant %q", texts(s.box.journal), want)
		}
		if m.From != s.rig.Contact || m.Conv != s.rig.Contact.ID || m.Own {
			s.Errorf("message %q: From %v, Conv %q, Own %v; want it from %v", m.Text, m.From, m.Conv, m.Own, s.rig.Contact)
		}
	}
}
