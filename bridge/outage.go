package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"nudge/bridge/im"
)

// A link that is lost is back in a moment most of the time, and nobody needs to
// know. One that stays away is told of in steps: after flicker its contacts show it,
// and who writes to one of them hears that it waits; after alarm the box's own
// contact says why and what helps, once to each user. What waits too long is given
// up, and its writer told.

const (
	flicker = 30 * time.Second
	alarm   = 5 * time.Minute // a router that starts anew takes less
)

// outage is the time in which a link is not up. The hub's lock guards it.
type outage struct {
	brief *time.Timer     // until contacts show it, nil afterwards
	short *time.Timer     // until its users are told, nil afterwards
	limit *time.Timer     // until the next of what waits is given up, nil when nothing waits
	told  map[string]bool // who knows of it: accounts, and an account's conversations
}

// away begins an outage, unless there is one. The lock is held.
func (p *port) away() {
	if p.out != nil {
		return
	}
	o := &outage{told: map[string]bool{}}
	p.out = o
	o.brief = p.during(o, flicker, func() { o.brief = nil; p.vanish() })
	o.short = p.during(o, alarm, func() { o.short = nil; p.speak() })
}

// during runs f, with the lock held, after d when the outage is not over by then.
func (p *port) during(o *outage, d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() {
		p.hub.mu.Lock()
		defer p.hub.mu.Unlock()
		if p.out == o && !p.hub.closed {
			f()
		}
	})
}

// back ends the outage and says so to who was told of it. The lock is held.
func (p *port) back() {
	o := p.out
	if o == nil {
		return
	}
	p.expire()
	p.out = nil
	o.end()
	for a := range p.users() {
		if o.told[a.key] {
			a.notice(p.net + " is connected again. What waited goes out now.")
		}
	}
}

// end stops what was to happen in an outage, if there is one.
func (o *outage) end() {
	if o == nil {
		return
	}
	for _, t := range []*time.Timer{o.brief, o.short, o.limit} {
		if t != nil {
			t.Stop()
		}
	}
}

// reachable says whether contacts of this link are shown as they are: it is up, or
// was a moment ago.
func (p *port) reachable() bool {
	return p.up || !p.since.IsZero() && (p.out == nil || p.out.brief != nil)
}

// unseen is what contacts show who are not reachable: in the first moments of the
// box nothing yet.
func (p *port) unseen() im.Presence {
	if p.builtin() || p.out == nil || p.out.brief != nil {
		return im.Presence{}
	}
	return im.Presence{Later: true, Cut: p.net}
}

// vanish shows that nothing is known any more of the link's contacts. The lock is
// held.
func (p *port) vanish() {
	p.forgetSeen()
	p.hub.linkMoved(p)
	for _, s := range slices.Clone(p.sends) {
		p.tellWaiting(s)
	}
	p.expire()
}

// forgetSeen takes what contacts showed for unknown. The lock is held.
func (p *port) forgetSeen() {
	for _, a := range p.hub.accounts {
		for _, c := range a.contacts {
			if c.Net == p.net && a.port(p.net) == p {
				c.known = false
			}
		}
	}
}

// users are those who are told how the link is: the account it is made for, or the
// owners who made it for all. The lock is held.
func (p *port) users() iter.Seq[*account] {
	return func(yield func(*account) bool) {
		for _, a := range p.hub.accounts {
			if a.port(p.net) == p && (p.user != "" || a.owner()) && !yield(a) {
				return
			}
		}
	}
}

// speak says why the link is down and what helps: to users who are here, and to all
// when one of them has to do something. What a link asks says that by itself. The
// lock is held.
func (p *port) speak() {
	if p.builtin() || p.question != nil {
		return
	}
	for a := range p.users() {
		if p.out.told[a.key] || len(a.sessions) == 0 && !p.stuck {
			continue
		}
		p.out.told[a.key] = true
		since := ""
		if !p.since.IsZero() {
			since = " since " + p.hub.In(p.since).Format("15:04")
		}
		a.notice(fmt.Sprintf("%s is not connected%s: %s\nWhat you write to people there waits here for up to %s.", p.net, since, p.state.Text, p.keeps()))
	}
}

// hearOutages tells an account that has signed on of links that were down before.
// The lock is held.
func (a *account) hearOutages() {
	for _, p := range a.hub.portsOf(a) {
		if p.out != nil && p.out.short == nil {
			p.speak()
		}
	}
}

// tellWaiting says in the conversation of s, once and to who is here, that what is
// written there waits. The lock is held.
func (p *port) tellWaiting(s *send) {
	m, ok := s.ev.(im.Message)
	a, key := p.hub.accounts[s.user], s.user+" "+m.Conv
	if !ok || p.up || p.builtin() || p.out == nil || p.out.brief != nil || p.out.told[key] || a == nil || len(a.sessions) == 0 {
		return
	}
	p.out.told[key] = true
	text := fmt.Sprintf("Not connected to %s: what you write here waits for up to %s, and goes out when the connection is back.", p.net, p.keeps())
	a.receive(im.Addr{Net: p.net, ID: m.Conv}, "", im.Message{Kind: im.Notice, Text: text, At: time.Now()})
}

const day = 24 * time.Hour

// patience is how long a message waits for the link.
func (p *port) patience() time.Duration {
	form := im.WaitDays()
	days, err := strconv.Atoi(cmp.Or(p.rec.Settings[form.Key], form.Default))
	if err != nil {
		days, _ = strconv.Atoi(form.Default)
	}
	return time.Duration(days) * day
}

// keeps is patience in words.
func (p *port) keeps() string {
	if n := p.patience() / day; n > 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "a day"
}

// expire gives up what has waited too long, and plans the next time. In the first
// moments of an outage the link may be back yet. The lock is held.
func (p *port) expire() {
	if p.out == nil || p.out.brief != nil && !p.up {
		return
	}
	var next time.Duration
	for _, s := range slices.Clone(p.sends) {
		m, ok := s.ev.(im.Message)
		if !ok {
			continue
		}
		left := p.patience() - time.Since(m.At)
		if left <= 0 {
			p.fail(s, errors.New("it waited for "+p.keeps()+", and "+p.net+" was not connected"))
		} else if next == 0 || left < next {
			next = left
		}
	}
	if p.out.limit != nil {
		p.out.limit.Stop()
		p.out.limit = nil
	}
	if next > 0 {
		p.out.limit = p.during(p.out, next, p.expire)
	}
}
