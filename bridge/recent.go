package bridge

import "sync"

// seenID names one message of one account on a link.
type seenID struct{ user, id string }

// recent remembers the messages whose ids are not on disk yet. It has a lock
// of its own because the store is asked without the hub's.
type recent struct {
	mu  sync.Mutex
	ids map[seenID]struct{}
}

func (r *recent) has(id seenID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.ids[id]
	return ok
}

func (r *recent) add(id seenID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[seenID]struct{}{}
	}
	r.ids[id] = struct{}{}
}

func (r *recent) drop(user string, ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		delete(r.ids, seenID{user, id})
	}
}
