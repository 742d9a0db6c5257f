package names

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// What one peer and all together may cost. A browser that opens a page full of
// advertisements comes to a tenth of it; a router that asks for the whole house
// stays below too.
const (
	perSecond   = 200  // questions of one peer
	burst       = 1000 // at any speed
	mostBusy    = 64   // questions to the upstream and TCP connections
	mostBusyOne = 16   // of one peer
	mostSources = 1024 // peers remembered
)

// sources counts what each peer does.
type sources struct {
	mu   sync.Mutex
	all  map[netip.Addr]*source
	busy int
}

type source struct {
	left float64 // questions it may ask at once
	last time.Time
	busy int
}

func (s *source) fill(now time.Time) {
	s.left = min(burst, s.left+perSecond*max(0, now.Sub(s.last).Seconds()))
	s.last = now
}

// get finds a peer's counts, nil when too many peers are busy. The lock is held.
func (s *sources) get(peer netip.Addr, now time.Time) *source {
	if e := s.all[peer]; e != nil {
		return e
	}
	if s.all == nil {
		s.all = map[netip.Addr]*source{}
	}
	if len(s.all) >= mostSources {
		maps.DeleteFunc(s.all, func(_ netip.Addr, e *source) bool {
			e.fill(now)
			return e.busy == 0 && e.left == burst
		})
		if len(s.all) >= mostSources {
			return nil
		}
	}
	e := &source{left: burst, last: now}
	s.all[peer] = e
	return e
}

// may counts a question; false when it is one too many.
func (s *sources) may(peer netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get(peer, now)
	if e == nil {
		return false
	}
	if e.fill(now); e.left < 1 {
		return false
	}
	e.left--
	return true
}

// begin counts something that takes a while; false when it is one too many. end
// must follow.
func (s *sources) begin(peer netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get(peer, now)
	if e == nil || s.busy >= mostBusy || e.busy >= mostBusyOne {
		return false
	}
	s.busy++
	e.busy++
	return true
}

func (s *sources) end(peer netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.all[peer].busy--
}
