package bridge

import (
	"cmp"
	"slices"
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

// senders counts who wrote the journal's entries, the newest first. The box's own
// words do not count. The lock is held.
func (a *account) senders(entries []store.Entry) []Missed {
	by := map[im.Addr]*Missed{}
	for _, e := range entries {
		from := im.Addr{Net: e.Net, ID: e.Conv}
		c := a.contacts[from]
		if c == nil || from == a.hub.voice {
			continue
		}
		m := by[from]
		if m == nil {
			m = &Missed{Who: a.show(c)}
			by[from] = m
		}
		m.Messages++
		if e.At.After(m.Last) {
			m.Last = e.At
		}
	}
	all := []Missed{}
	for _, m := range by {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(x, y Missed) int { return cmp.Or(y.Last.Compare(x.Last), cmp.Compare(x.Who.ID, y.Who.ID)) })
	return all
}

// Missed tells who wrote before the account's last sign-on, while it was signed
// off; nothing while it is.
func (h *Hub) Missed(handle string) []Missed {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.accounts[canonical(handle)]
	if a == nil || len(a.sessions) == 0 {
		return nil
	}
	return slices.Clone(a.missed)
}
