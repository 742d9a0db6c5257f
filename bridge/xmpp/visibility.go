package xmpp

import (
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
)

const (
	nsPrivacy = "jabber:iq:privacy"
	// listName is our privacy list (XEP-0016): it hides presence, nothing else.
	listName = "nudge-hidden"
)

// mode is how the account is present at its server.
type mode uint8

const (
	away   mode = iota // no presence: contacts see nothing, and nothing comes live
	veiled             // present behind a privacy list: contacts see nothing, everything comes
	open               // present
)

// visibility is what the account shows. The conductor changes it, under
// link.mu.
type visibility struct {
	mode   mode
	wanted im.Presence
	idle   time.Time // since when, when that is wanted
	listed bool      // the privacy list is on the server
	sweep  time.Time // when silent contacts are taken for off-line; zero: done
	poll   time.Time // when the archive is read next, while away
}

// silence is how long contacts have to answer before they are off-line.
const silence = 3 * time.Second

// show makes the account show p. After it came from away, the archive must be
// read: nothing came live before.
func (l *link) show(p im.Presence) error {
	l.mu.Lock()
	was := l.shown.mode
	if p.Status != im.Idle {
		l.shown.idle = time.Time{}
	} else if l.shown.idle.IsZero() {
		l.shown.idle = time.Now()
	}
	l.shown.wanted = p
	idle := l.shown.idle
	l.mu.Unlock()
	if !available(p.Status) {
		l.plays("") // while contacts still see the account
	}
	switch {
	case available(p.Status):
		if was == veiled {
			if err := l.privacy(element(nsPrivacy, "active")); err != nil {
				return err
			}
		}
		if err := l.publishPicture(p.Picture); err != nil {
			return err
		}
		l.enter(open)
		err := l.s.Send(l.dressed(p, idle), nil)
		l.lobby.show(p, idle)
		l.play(p.Media)
		if err == nil {
			err = l.publishNick()
		}
		return err
	case was != veiled && l.has.privacy:
		return l.veil(was)
	case was == open:
		return l.leave()
	case was == away:
		l.mu.Lock()
		l.shown.poll = time.Now() // who hides waits less long than nobody
		l.mu.Unlock()
		l.restartProbes()
	}
	return nil
}

// enter notes that presence is about to be sent. Before the first, live
// messages are held back, and what contacts showed is no longer sure.
func (l *link) enter(m mode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown.mode == away {
		l.catching = true
		l.shown.sweep = time.Now().Add(silence)
		for _, c := range l.contacts {
			c.resources, c.probe = nil, probe{}
		}
	}
	l.shown.mode = m
}

// leave goes away: from now on the archive is polled.
func (l *link) leave() error {
	l.mu.Lock()
	l.moves = false
	l.shown.mode, l.shown.sweep, l.shown.poll = away, time.Time{}, time.Now()
	for _, c := range l.contacts {
		c.says.tune = "" // nothing is published to us now
	}
	l.mu.Unlock()
	l.restartProbes()
	err := l.s.Send(stanza.NewPresence(stanza.Attrs{Type: stanza.PresenceTypeUnavailable}), nil)
	l.lobby.show(im.Presence{}, time.Time{})
	return err
}

// veil hides behind the privacy list. It must be active before presence is
// sent; where that does not work, the account goes away instead.
func (l *link) veil(was mode) error {
	if was == open {
		if err := l.leave(); err != nil {
			return err
		}
	}
	item := element(nsPrivacy, "item", "action", "deny", "order", "1")
	item.Nodes = []stanza.Node{element(nsPrivacy, "presence-out")}
	list := element(nsPrivacy, "list", "name", listName)
	list.Nodes = []stanza.Node{item}
	var err error
	if !l.shown.listed {
		err = l.privacy(list)
	}
	if err == nil {
		err = l.privacy(element(nsPrivacy, "active", "name", listName))
	}
	if err != nil {
		l.has.privacy = false
		if fatal(err) {
			return err
		}
		return nil
	}
	l.mu.Lock()
	l.shown.listed = true
	l.mu.Unlock()
	l.enter(veiled)
	return l.s.Send(stanza.NewPresence(stanza.Attrs{}), nil)
}

func (l *link) privacy(payload stanza.Node) error {
	q := element(nsPrivacy, "query")
	q.Nodes = []stanza.Node{payload}
	_, err := l.ask(query(stanza.IQTypeSet, "", q))
	return err
}

// sweep takes contacts that said nothing since the account came for off-line.
func (l *link) sweep() {
	var events []im.Event
	l.mu.Lock()
	l.shown.sweep = time.Time{}
	for bare, c := range l.contacts {
		if !c.sees() {
			continue
		}
		if ev, news := c.news(bare); news {
			events = append(events, ev)
		}
	}
	l.mu.Unlock()
	if len(events) > 0 {
		l.accept(nil, events...)
	}
}

// showTo makes the account show itself to one contact, or not. Servers are to do
// that when a contact is blocked (XEP-0191 §3.2, §3.4); some don't.
func (l *link) showTo(bare string, on bool) {
	l.mu.Lock()
	p, idle, visible := l.shown.wanted, l.shown.idle, l.shown.mode == open && l.contact(bare).seenBy()
	l.mu.Unlock()
	if !visible {
		return
	}
	out := stanza.NewPresence(stanza.Attrs{Type: stanza.PresenceTypeUnavailable})
	if on {
		out = composePresence(p, idle)
	}
	out.To = bare
	l.s.Send(out, nil)
}

// lookAgain asks contacts what they show: while they were blocked nothing came
// from them, and servers say nothing when that ends (XEP-0191 §3.4). Who does
// not answer is off-line.
func (l *link) lookAgain(who ...string) {
	var ask []string
	l.mu.Lock()
	for _, bare := range who {
		switch c := l.contact(bare); {
		case !c.sees():
		case l.shown.mode == away:
			c.probe = probe{}
		default:
			c.resources = nil
			ask = append(ask, bare)
		}
	}
	if len(ask) > 0 {
		l.shown.sweep = time.Now().Add(silence)
	}
	l.mu.Unlock()
	for _, bare := range ask {
		l.s.Send(stanza.NewPresence(stanza.Attrs{Type: stanza.PresenceTypeProbe, To: bare}), nil)
	}
	l.wake()
}

// A hidden account is told nothing, so it asks (RFC 6121 §4.3): everybody every
// probeEvery, and who said something at once. Who has not answered within
// probeSilence is off-line; answers are collected for probeCollect, because
// each resource sends its own.
const (
	probeEvery   = 90 * time.Second
	probeSilence = 10 * time.Second
	probeCollect = time.Second
	probeBurst   = 20 // per round of chores
)

// probe is a question to a contact what he shows.
type probe struct {
	due      time.Time
	waiting  bool
	sent     time.Time
	answered time.Time // first
	found    map[string]seen
}

// restartProbes makes everybody due.
func (l *link) restartProbes() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.contacts {
		c.probe = probe{}
	}
}

// look makes a contact due, because he is there. Caller holds l.mu.
func (l *link) look(c *contact) {
	if l.shown.mode == away && l.shown.wanted.Status == im.Hidden && !c.probe.waiting {
		c.probe.due = time.Time{}
		l.wake()
	}
}

// probes asks who is due and draws conclusions. It returns when to come again,
// 0 when there is nobody to ask.
func (l *link) probes(now time.Time) (next time.Duration) {
	var ask []string
	var events []im.Event
	l.mu.Lock()
	for bare, c := range l.contacts {
		if !c.sees() {
			continue
		}
		p := &c.probe
		switch {
		case p.waiting && (p.found != nil && now.Sub(p.answered) >= probeCollect || now.Sub(p.sent) >= probeSilence):
			c.resources, p.waiting, p.found = p.found, false, nil
			if ev, news := c.news(bare); news {
				events = append(events, ev)
			}
		case !p.waiting && !p.due.After(now) && len(ask) < probeBurst:
			*p = probe{waiting: true, sent: now, due: now.Add(probeEvery)}
			ask = append(ask, bare)
		}
		wait := time.Second
		if !p.waiting {
			wait = max(p.due.Sub(now), wait)
		}
		if next == 0 || wait < next {
			next = wait
		}
	}
	l.mu.Unlock()
	for _, bare := range ask {
		l.s.Send(stanza.NewPresence(stanza.Attrs{Type: stanza.PresenceTypeProbe, To: bare}), nil)
	}
	if len(events) > 0 {
		l.accept(nil, events...)
	}
	return next
}
