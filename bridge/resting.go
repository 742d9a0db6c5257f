package bridge

import (
	"context"
	"time"

	"nudge/bridge/im"
)

// A link may be closed while nobody is signed on to its account (im.WhenAway): nothing
// is fetched then, and the network keeps what comes. It is closed a while after the
// last client has gone, because clients come back, and not before all that its user
// wrote is confirmed. It opens when one signs on, and for a while when somebody tests it.

// closeAfter is how long a link stays open that nobody needs.
const closeAfter = time.Minute

const restingText = "closed while nobody is signed in"

// unneeded says whether the link is to be closed now. The lock is held.
func (p *port) unneeded() bool { return p.mayRest() && len(p.sends) == 0 }

// mayRest says whether it is to be closed as soon as all is confirmed.
func (p *port) mayRest() bool {
	a := p.hub.accounts[p.user]
	return a != nil && len(a.sessions) == 0 && p.rec.Settings[im.Absence] == im.Closed
}

// drowse closes the link in a while when nobody needs it then. The lock is held.
func (p *port) drowse() {
	if p.sleepy != nil {
		p.sleepy.Stop()
		p.sleepy = nil
	}
	if !p.mayRest() {
		return
	}
	p.sleepy = time.AfterFunc(closeAfter, func() {
		p.hub.mu.Lock()
		defer p.hub.mu.Unlock()
		switch l := p.link; {
		case p.hub.closed || l == nil: // without a link, run sees to it
		case !p.unneeded():
			p.drowse()
		default:
			p.resting = true
			p.hub.wg.Go(func() { l.Close() })
		}
	})
}

// wake opens a link that rests. The lock is held.
func (p *port) wake() {
	if p.resting {
		select {
		case p.kick <- struct{}{}:
		default:
		}
	}
}

// rest waits, before the link is connected, until somebody needs it or wants to see it.
func (p *port) rest(ctx context.Context) {
	p.hub.mu.Lock()
	p.resting = p.unneeded()
	if p.resting {
		p.rested()
		p.hub.mu.Unlock()
		p.wait(ctx, -1)
		p.hub.mu.Lock()
		p.resting = false
	}
	p.away()
	p.hub.mu.Unlock()
}

// rested notes that the link is closed because nobody needs it, which is no outage. The
// lock is held.
func (p *port) rested() {
	p.since = time.Time{}
	p.out.end()
	p.out = nil
	p.forgetSeen()
	p.state = im.LinkState{Net: p.net, State: im.Down, Text: restingText}
	p.publish()
}
