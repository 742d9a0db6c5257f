package matrix

import (
	"maps"
	"slices"
	"sync"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// remembered is how many recent events a tracker knows each way.
const remembered = 512

// tracker remembers recent events of both directions: what was handed to the
// server and has no receipt, which event ids our messages got, and which room
// an event was in. It is a convenience of one connection, except for pending:
// who takes an id out of it makes the one receipt.
type tracker struct {
	mu      sync.Mutex
	pending map[string]string     // ids of im messages, with their conversations
	sent    map[string]id.EventID // im id to event id
	where   map[id.EventID]place
	order   []id.EventID // of where, oldest first
	outs    []string     // of sent, oldest first
}

// place is where an event was, whether it was a reaction, what it said in short, and
// which message of ours takes it back.
type place struct {
	room     id.RoomID
	reaction bool
	said     string
	eraser   string
}

// maxQuote is how many characters of a message are remembered.
const maxQuote = 60

// said remembers what an event said, for those that refer to it.
func (t *tracker) said(e id.EventID, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.where[e]; ok {
		p.said = im.Short(text, maxQuote)
		t.where[e] = p
	}
}

// quote is what an event said, "" when it is not remembered.
func (t *tracker) quote(e id.EventID) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.where[e].said
}

func newTracker() *tracker {
	return &tracker{pending: map[string]string{}, sent: map[string]id.EventID{}, where: map[id.EventID]place{}}
}

// pend notes that a message is being sent. It is false when that came back as an
// event already: then the receipt is on its way.
func (t *tracker) pend(m im.Message) bool {
	to := t.event(m.Rel.To)
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, back := t.sent[m.ID]; back {
		return false
	}
	t.pending[m.ID] = m.Conv
	if m.Rel.Kind == im.Retract && to != "" {
		p := t.where[to]
		p.eraser = m.ID
		t.put(to, p)
	}
	return true
}

// eraser is the message of ours that takes an event back, "" when none does.
func (t *tracker) eraser(e id.EventID) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.where[e].eraser
}

// put keeps what is known of an event. The lock is held.
func (t *tracker) put(e id.EventID, p place) {
	if _, known := t.where[e]; !known {
		t.order = append(t.order, e)
	}
	t.where[e] = p
	if len(t.order) > remembered {
		delete(t.where, t.order[0])
		t.order = t.order[1:]
	}
}

// settle takes a message out of pending, for the one who gets ok.
func (t *tracker) settle(msg string) (sent im.Receipt, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	conv, ok := t.pending[msg]
	delete(t.pending, msg)
	return im.Receipt{ID: msg, As: string(t.sent[msg]), Conv: conv, State: im.Sent}, ok
}

// open lists the messages that are without a receipt.
func (t *tracker) open() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.pending))
}

// saw notes where an event was.
func (t *tracker) saw(e id.EventID, r id.RoomID, reaction bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.where[e]
	p.room, p.reaction = r, reaction
	t.put(e, p)
}

// named notes which event a message of ours became.
func (t *tracker) named(msg string, e id.EventID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.sent[msg]; !known {
		t.outs = append(t.outs, msg)
	}
	t.sent[msg] = e
	if len(t.outs) > remembered {
		delete(t.sent, t.outs[0])
		t.outs = t.outs[1:]
	}
}

// event is the event id for what the hub calls a message: a network id, or the
// id of a message of ours. "" when it is not known any more.
func (t *tracker) event(msg string) id.EventID {
	if len(msg) > 0 && msg[0] == '$' {
		return id.EventID(msg)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent[msg]
}

// roomOf is the room an event was in, "" when it is not known any more.
func (t *tracker) roomOf(e id.EventID) id.RoomID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.where[e].room
}

// reaction tells whether an event is known to be a reaction.
func (t *tracker) reaction(e id.EventID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.where[e].reaction
}
