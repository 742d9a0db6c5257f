package xmpp

import (
	"time"

	"nudge/bridge/im"
)

// While the account is away the archive is read this often: hidden, somebody
// waits for the messages; with nobody there they are only brought to safety.
const (
	pollHidden = 20 * time.Second
	pollNobody = time.Minute
)

// wake makes the conductor look at its chores.
func (l *link) wake() {
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

// conduct does the chores until the link ends.
func (l *link) conduct() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		var err error
		select {
		case <-l.ctx.Done():
			return
		case p := <-l.want:
			if err = l.show(p); err == nil && l.back() {
				err = l.catchUp(false)
			}
		case <-l.hurry:
		case <-t.C:
		}
		if err == nil {
			var next time.Duration
			next, err = l.chores(time.Now())
			if next > 0 {
				t.Reset(next)
			}
		}
		if err != nil {
			l.end(err)
			return
		}
	}
}

// back tells whether the account came from away and the archive was not read
// since.
func (l *link) back() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shown.mode != away && l.catching
}

// chores does what is due and returns when the next is, 0 when nothing is
// planned.
func (l *link) chores(now time.Time) (next time.Duration, err error) {
	plan := func(d time.Duration) {
		if d > 0 && (next == 0 || d < next) {
			next = d
		}
	}
	plan(l.stopTyping(now))
	plan(l.lobby.chores(now))
	l.mu.Lock()
	sweep, poll := l.shown.sweep, l.shown.poll
	isAway, hidden := l.shown.mode == away, l.shown.wanted.Status == im.Hidden
	l.mu.Unlock()
	if !sweep.IsZero() {
		if left := sweep.Sub(now); left > 0 {
			plan(left)
		} else {
			l.sweep()
		}
	}
	if !isAway {
		return next, nil
	}
	if hidden {
		plan(l.probes(now))
	}
	if !l.has.archive {
		return next, nil
	}
	every := pollNobody
	if hidden {
		every = pollHidden
	}
	if poll.Sub(now) <= 0 {
		err = l.catchUp(false)
		l.mu.Lock()
		l.shown.poll = now.Add(every)
		l.mu.Unlock()
		plan(every)
	} else {
		plan(min(poll.Sub(now), every))
	}
	return next, err
}
