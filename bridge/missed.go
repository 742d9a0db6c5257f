package bridge

import (
	"cmp"
	"sort"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// Missed is somebody who wrote while an account was signed off.
type Missed struct {
	Who      im.Person
	Messages int
	Last     time.Time // of the newest
}

// missedAll starts anew with what waited in the journal. The lock is held.
func (a *account) missedAll(entries []store.Entry) {
	a.missed = map[im.Addr]*Missed{}
	for _, e := range entries {
		a.miss(im.Addr{Net: e.Net, ID: e.Conv}, e.At)
	}
}

// missedLate notes what a server kept until the account was there again, and hands
// out only now. The lock is held.
func (a *account) missedLate(from im.Addr, at time.Time) {
	if len(a.sessions) > 0 && at.Before(a.sessions[0].since) {
		a.miss(from, at)
	}
}

// miss counts a message. The box's own words do not count. The lock is held.
func (a *account) miss(from im.Addr, at time.Time) {
	c := a.contacts.of(from)
	if c == nil || from == a.hub.voice || a.missed == nil {
		return
	}
	m := a.missed[from]
	if m == nil {
		m = &Missed{Who: a.show(c)}
		a.missed[from] = m
	}
	m.Messages++
	if at.After(m.Last) {
		m.Last = at
	}
}

// Missed tells who wrote before the account's last sign-on, while it was signed
// off, the last first; nothing while it is.
func (h *Hub) Missed(handle string) []Missed {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.accounts[canonical(handle)]
	if a == nil || len(a.sessions) == 0 {
		return nil
	}
	all := []Missed{}
	for _, m := range a.missed {
		all = append(all, *m)
	}
	sort.Slice(all, func(i, j int) bool {
		return cmp.Or(all[j].Last.Compare(all[i].Last), cmp.Compare(all[i].Who.ID, all[j].Who.ID)) < 0
	})
	return all
}
