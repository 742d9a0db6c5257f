package imtest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"nudge/bridge/im"
)

func checkForms(s *session) {
	for name, form := range map[string][]im.Field{"Fields": s.rig.Network.Fields(), "Settings": s.rig.Network.Settings()} {
		keys := map[string]bool{}
		for _, f := range form {
			if f.Key == "" || f.Label == "" || keys[f.Key] {
				s.Errorf("%s: %+v has no key or label, or its key is there twice", name, f)
			}
			keys[f.Key] = true
			if f.Default != "" && f.Choices != nil && !slices.Contains(f.Choices, f.Default) {
				s.Errorf("%s: the default of %q is not one of its choices", name, f.Key)
			}
			if name == "Fields" && f.Required && f.Default == "" && s.rig.Fields[f.Key] == "" {
				s.Errorf("the rig lacks the required field %q", f.Key)
			}
		}
		given := s.rig.Fields
		if name == "Settings" {
			given = s.rig.Settings
		}
		for k := range given {
			if !keys[k] {
				s.Errorf("the rig gives %q, which %s does not name", k, name)
			}
		}
	}
}

func checkConnect(s *session) {
	s.connect()
	s.findNobody() // a round trip after Connect's context has ended
	s.hangUp()

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.host = newHost(s.box)
	s.hosts = append(s.hosts, s.host)
	s.within("Connect with a cancelled context", func() {
		l, err := s.rig.Network.Connect(ctx, im.Login{User: s.user(), Fields: s.rig.Fields, Host: s.host})
		if err == nil {
			l.Close()
		}
	})
	s.host.crash()
}

func checkDenied(s *session) {
	s.host = newHost(s.box)
	s.hosts = append(s.hosts, s.host)
	var l im.Link
	var err error
	s.within("Connect", func() {
		l, err = s.rig.Network.Connect(context.Background(), im.Login{User: s.user(), Fields: s.rig.Denied, Host: s.host})
	})
	s.host.crash()
	if err == nil {
		l.Close()
		s.Fatal("Connect took log-in data that the server refuses")
	}
	var lost *im.Lost
	if !errors.As(err, &lost) || lost.Class != im.Credentials || lost.Text == "" {
		s.Errorf("Connect: %T %v; want *im.Lost of class Credentials with a text", err, err)
	}
}

func checkClose(s *session) {
	s.dial()
	s.hangUp() // perhaps before it is up

	s.connect()
	link := s.link
	var busy sync.WaitGroup
	m, next := s.text("while it closes"), s.text("perhaps closed")
	busy.Go(func() {
		link.Handle(context.Background(), s.rig.Account, m)
		link.Handle(context.Background(), s.rig.Account, next)
	})
	for range 4 {
		busy.Go(func() { link.Close() })
	}
	s.within("Handle while it closes", busy.Wait)
	s.hangUp()
}

func checkUnsupported(s *session) {
	s.connect()
	for _, ev := range []im.Event{
		im.Invitation{}, im.Membership{}, im.ListChanged{}, im.SignedOff{},
		im.Roster{Full: true}, im.LinkState{Net: s.rig.Name, State: im.Up},
	} {
		if err := s.handle(ev); !errors.Is(err, im.ErrUnsupported) {
			s.Errorf("Handle(%T): %v, want ErrUnsupported", ev, err)
		}
	}
	s.alive()
}

// alive fails the check when the link has ended.
func (s *session) alive() {
	s.Helper()
	select {
	case <-s.ended:
		s.Errorf("the link ended: %v", s.why)
	default:
	}
}

func checkCancelled(s *session) {
	s.connect()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.lossy = true
	link := s.link
	s.within("Handle with a cancelled context", func() { link.Handle(ctx, s.rig.Account, s.text("cancelled")) })
	s.within("Find with a cancelled context", func() { link.Find(ctx, s.rig.Account, "nobody@nowhere.invalid") })
	s.within("Open with a cancelled context", func() {
		if r, _, err := link.Open(ctx, s.rig.Account, "no-such-reference"); err == nil {
			r.Close()
			s.Error("Open of an unknown reference with a cancelled context gave no error")
		}
	})
}

func (s *session) findNobody() {
	s.Helper()
	link := s.link
	s.within("Find", func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.rig.Timeout)
		defer cancel()
		p, err := link.Find(ctx, s.rig.Account, s.rig.Nobody)
		if !errors.Is(err, im.ErrNotFound) {
			s.Errorf("Find of nobody: %+v, %v; want ErrNotFound", p, err)
		}
	})
}

func checkFindNobody(s *session) {
	s.connect()
	s.findNobody()
	s.alive()
}

func checkFind(s *session) {
	s.connect()
	link := s.link
	s.within("Find", func() {
		p, err := link.Find(context.Background(), s.rig.Account, s.rig.Known)
		if err != nil || p.Net != s.rig.Name || p.ID == "" {
			s.Errorf("Find(%q): %+v, %v; want somebody of %q", s.rig.Known, p, err, s.rig.Name)
		}
	})
}

// presences are all states, with and without words; typing goes with them.
func presences(r Rig) []im.Event {
	var all []im.Event
	for st := im.Offline; st <= im.Hidden; st++ {
		for _, note := range []string{"", `back <soon> & "well" 😀`} {
			now := im.Presence{Status: st, Note: note, Media: note}
			all = append(all, im.PresenceChanged{Who: im.Person{Addr: r.Account, Name: "Tess"}, Now: now},
				im.Typing{Conv: r.Contact.ID, Who: r.Account, On: note == ""})
		}
	}
	return append(all, im.PresenceChanged{Who: im.Person{Addr: r.Account}, Now: im.Presence{Status: im.Online}})
}

func checkPresence(s *session) {
	s.connect()
	for _, ev := range presences(s.rig) {
		if err := s.handle(ev); err != nil && !errors.Is(err, im.ErrUnsupported) {
			s.Errorf("Handle(%+v): %v", ev, err)
		}
	}
	s.alive()
}

func checkStall(s *session) {
	s.connect()
	s.lossy = true
	link := s.link
	s.ok("Stall", s.rig.Stall(true))
	defer func() { s.ok("Stall", s.rig.Stall(false)) }()
	s.within("presence and typing to a mute server", func() {
		for range 10 {
			for _, ev := range presences(s.rig) {
				link.Handle(context.Background(), s.rig.Account, ev)
			}
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	m := s.text("to a mute server")
	handled := make(chan error, 1)
	go func() { handled <- link.Handle(ctx, s.rig.Account, m) }()
	cancel()
	s.within("a cancelled Handle to a mute server", func() { <-handled })
	s.hangUp()
}

func checkEdits(s *session) {
	s.connect()
	who := im.Contact{Person: im.Person{Addr: s.rig.Contact, Name: "Peer"}, Follows: true, Followed: true}
	for _, op := range []im.EditOp{im.Rename, im.Regroup, im.Block, im.Unblock, im.Accept, im.Remove, im.Add} {
		c := who
		switch op {
		case im.Rename:
			c.Name = "Peer <the> second"
		case im.Regroup:
			c.Groups = []string{"Friends & family"}
		case im.Block:
			c.Blocked = true
		case im.Remove:
			c.Follows, c.Followed = false, false
		}
		for range 2 {
			s.send(im.ContactEdit{ID: s.id(), Op: op, Who: c})
			s.settled()
		}
	}
	s.alive()
}

func checkAsked(s *session) {
	s.connect()
	who, err := s.rig.Ask("it is me <3")
	s.ok("Ask", err)
	s.until("ContactEdit{Add} of "+who.ID, func() bool {
		return slices.ContainsFunc(s.host.events, func(ev im.Event) bool {
			e, is := ev.(im.ContactEdit)
			return is && e.Op == im.Add && e.Who.Addr == who
		})
	})
	s.send(im.ContactEdit{ID: s.id(), Op: im.Accept, Who: im.Contact{Person: im.Person{Addr: who}, Followed: true}})
	s.settled()
}
