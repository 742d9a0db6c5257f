package xmpp

import (
	"errors"
	"slices"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// A server puts somebody out of a room whom it could not reach for a moment, some also
// when he is there again already: what he said meanwhile it does not take. He comes back,
// and what the room has not said to him, and does not have in its archive, is said again.

// maxUnheard is how many messages of one room are said again at most.
const maxUnheard = 100

// maxHasty is how often the account comes back at once to a room in which it does not
// stay for comeBack.
const maxHasty = 3

// comesBack makes the account come back to a room that it was put out of by nobody, and
// returns what there is to report. The lock is held.
func (y *lobby) comesBack(r *room) []im.Event {
	if time.Since(r.came) > comeBack {
		r.hasty = 0
	}
	if r.hasty++; r.hasty <= maxHasty {
		y.goIn(r)
		return nil
	}
	r.leave()
	r.again = time.Now().Add(comeBack)
	y.wake()
	return r.state()
}

// refused takes an error that a room answers a message with; false when the message has
// failed.
func (y *lobby) refused(r *room, n *stanza.Node, done func()) bool {
	name := stream.Attr(n, "id")
	y.mu.Lock()
	known := slices.ContainsFunc(r.unheard, func(p stanza.Message) bool { return p.Id == name })
	if !known || stream.ErrorOf(n).Condition != "not-acceptable" || r.stage == outside && r.again.IsZero() { // XEP-0045 §7.4
		r.heard(name)
		y.mu.Unlock()
		return false
	}
	var events []im.Event
	if r.stage == within {
		events = y.comesBack(r)
	}
	y.mu.Unlock()
	if len(events) > 0 {
		y.report(nil, events...)
	}
	done()
	return true
}

// owed names what the room has not said to the account. The lock is held.
func (r *room) owed() (names []string) {
	for _, p := range r.unheard {
		names = append(names, p.Id)
	}
	return names
}

// heard notes that nothing more is to be done about a message. The lock is held.
func (r *room) heard(name string) {
	r.unheard = slices.DeleteFunc(r.unheard, func(p stanza.Message) bool { return p.Id == name })
}

// unsaid are the failures of what the room has not taken, when the account does not come
// back for now. The lock is held.
func (y *lobby) unsaid(r *room) (events []im.Event) {
	for _, p := range r.unheard {
		failed := im.Receipt{ID: p.Id, Conv: addr(r.jid).ID, State: im.Failed, Err: errors.New("you are not in this room any more")}
		if y.mem.sends.furthers(failed) {
			events = append(events, failed)
		}
	}
	r.unheard = nil
	return events
}
