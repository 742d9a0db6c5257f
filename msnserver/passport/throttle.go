package passport

import (
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Limits is how many wrong passwords are put up with, and what follows.
type Limits struct {
	PerAccount int           // for one account from one address, before a pause
	PerSource  int           // from one address for all accounts, before a pause
	Longest    time.Duration // what a pause may grow to
}

// Throttle slows down who guesses passwords. After some wrong ones from an
// address each further one doubles the pause in which no other from there is
// looked at; a pause never grows while it lasts, so the right password works
// after it. Pauses are those of an address: somebody else who signs in to the
// same account from another PC is not held up. An account that many addresses
// guess at grants each of them a single try.
//
// Every log-in that takes a password shares one Throttle. It lives in memory and
// may be used by many goroutines.
type Throttle struct {
	limits Limits

	mu    sync.Mutex
	tries map[attempt]*tries
}

// attempt is what tries are counted for: one account from one address, one
// address (no handle), or one account (no source).
type attempt struct {
	source netip.Addr
	handle string
}

type tries struct {
	wrong int
	last  time.Time
	until time.Time // the end of the pause
}

const (
	firstPause = time.Second
	forgetTime = time.Hour // after the last wrong one
	mostTries  = 4096      // entries
	siege      = 20        // wrong ones for an account, from anywhere, that make each address have one try
)

// NewThrottle makes a Throttle that has seen nothing.
func NewThrottle(l Limits) *Throttle { return &Throttle{limits: l, tries: map[attempt]*tries{}} }

// Try asks before a password for handle from a client at source is looked at.
// With a pause it must not be, for that long. Else done must be told whether it
// was right. Until then it counts as wrong for that account, so that many at once
// are no way around.
func (t *Throttle) Try(source net.Addr, handle string) (done func(right bool), pause time.Duration) {
	one, all, account := attempts(source, handle)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, a := range []attempt{one, all} {
		if e := t.tries[a]; e != nil {
			pause = max(pause, e.until.Sub(now))
		}
	}
	if pause > 0 {
		return nil, pause
	}
	free := t.limits.PerAccount
	if e := t.tries[account]; e != nil && e.wrong >= siege && now.Sub(e.last) < forgetTime {
		free = 1
	}
	t.count(one, now).rest(free, t.limits.Longest)
	return func(right bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if right {
			delete(t.tries, one)
			return
		}
		now := time.Now()
		t.count(all, now).rest(t.limits.PerSource, t.limits.Longest)
		t.count(account, now)
	}, 0
}

func attempts(source net.Addr, handle string) (one, all, account attempt) {
	from, name := Source(source), strings.ToLower(strings.TrimSpace(handle))
	name = name[:min(len(name), maxSecret)]
	return attempt{from, name}, attempt{source: from}, attempt{handle: name}
}

// Source is what counts as one PC: an IPv4 address, or an IPv6 network, because
// there a PC takes as many addresses as it likes. It is invalid for what has none.
func Source(remote net.Addr) netip.Addr {
	a := Peer(remote)
	if a.Is6() {
		const network = 64 // bits
		p, _ := a.Prefix(network)
		return p.Addr()
	}
	return a
}

// count notes one more wrong try. The lock is held.
func (t *Throttle) count(a attempt, now time.Time) *tries {
	e := t.tries[a]
	if e == nil || now.Sub(e.last) > forgetTime {
		if e == nil && len(t.tries) >= mostTries {
			t.drop(now)
		}
		e = &tries{}
		t.tries[a] = e
	}
	e.wrong++
	e.last = now
	return e
}

// rest starts a pause when this was not one of the free tries: a second, then
// twice as long each time.
func (e *tries) rest(free int, longest time.Duration) {
	if over := e.wrong - free; over >= 0 {
		pause := longest
		if over < 20 { // else it would overflow
			pause = min(firstPause<<over, longest)
		}
		e.until = e.last.Add(pause)
	}
}

// drop makes room: what is forgotten anyway goes, and when that is not enough,
// any quarter: an attacker who has so many addresses gains little by it. The lock
// is held.
func (t *Throttle) drop(now time.Time) {
	maps.DeleteFunc(t.tries, func(_ attempt, e *tries) bool { return now.Sub(e.last) > forgetTime })
	maps.DeleteFunc(t.tries, func(attempt, *tries) bool { return len(t.tries) > mostTries*3/4 })
}
