package bridge

import (
	"cmp"
	"context"
	"slices"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// thread is what one account has still to get from one contact, in order. Each
// parcel is in the journal on disk until a client proved it; this is the copy
// in memory, kept while a client is signed on. The hub's lock guards it.
type thread struct {
	acct    *account
	with    im.Addr
	parcels []*parcel
	seat    *Seat // the account's client in a session with the contact
	ring    *time.Timer
	room    *chat     // where the client is asked to come
	rang    time.Time // the last time
	again   *time.Timer
	thinned bool // more was said than what waits
}

// parcel is one message on its way to a client.
type parcel struct {
	seq uint64
	msg im.Message
	at  *Seat // the client that has it and did not prove it yet, nil when none has
}

// ringTime is how long a client may take to answer an invitation (MSNP.md
// K.11); after that the messages wait for the next occasion.
const ringTime = 30 * time.Second

// lateAfter is the age from which a message shows when it was sent; what was
// said before the client signed on always does.
const lateAfter = time.Minute

func (a *account) thread(with im.Addr) *thread {
	t := a.threads[with]
	if t == nil {
		t = &thread{acct: a, with: with}
		a.threads[with] = t
	}
	return t
}

// receive takes a message from a contact for the account: into the journal,
// and to a client when there is one. The lock is held.
func (a *account) receive(from im.Addr, name string, m im.Message) {
	e := a.parcel(from, name, m)
	key := a.key
	a.hub.db.Do(store.Soon, func(tx *store.Tx) error { return tx.AddMessage(key, e) }, a.hub.logged("message"))
}

// parcel enters m and returns its journal entry, which the caller writes.
func (a *account) parcel(from im.Addr, name string, m im.Message) store.Entry {
	a.talked(a.acquaint(from, name), time.Now())
	a.missedLate(from, m.At)
	a.seq++
	e := store.Entry{Seq: a.seq, Net: from.Net, Conv: from.ID, ID: m.ID, At: m.At, Data: encode(m)}
	if len(a.sessions) > 0 || a.threads[from] != nil && a.threads[from].seat != nil {
		t := a.thread(from)
		t.parcels = append(t.parcels, &parcel{seq: e.Seq, msg: m})
		t.thin()
		t.pump()
	}
	return e
}

// acquaint makes sure that somebody who writes has a handle, also when he is on
// no list.
func (a *account) acquaint(who im.Addr, name string) *contact {
	c := a.contacts.of(who)
	if c == nil {
		c = a.claim(who, name)
	}
	if c == nil {
		c = &contact{Contact: store.Contact{Net: who.Net, ID: who.ID, Name: name, GUID: newGUID()}}
		c.Handle = a.handleFor(who, name)
		a.keep(c)
		rec, key := c.Contact, a.key
		a.hub.db.Do(store.Soon, func(tx *store.Tx) error { return tx.PutContact(key, rec) }, a.hub.logged("contact"))
	}
	return c
}

// pump hands every waiting parcel to the client that is in a session with the
// contact, or asks a signed-on client to open one. While the client before it,
// which may be gone, has not proved an older one, what is newer waits: it must
// not overtake.
func (t *thread) pump() {
	c := t.acct.contacts.of(t.with)
	if c == nil || t.acct.waiting {
		return
	}
	if t.seat == nil {
		if slices.ContainsFunc(t.parcels, func(p *parcel) bool { return p.at == nil && !p.msg.Quiet }) {
			t.call(c)
		}
		return
	}
	who := t.acct.show(c)
	for _, p := range t.parcels {
		switch p.at {
		case nil:
		case t.seat:
			continue
		default:
			return
		}
		if t.thinned {
			t.thinned = false
			t.seat.sink.Deliver(im.Message{From: who.Addr, Conv: who.ID, Kind: im.Notice, Text: moreWasSaid, At: p.msg.At}, nil)
		}
		p.at = t.seat
		m := p.msg
		m.Conv = who.ID
		var shown bool
		if m.From, shown = t.speaker(c, m.From); shown {
			m.Name = ""
		}
		m.Late = m.At.Before(t.seat.session.since) || time.Since(m.At) > lateAfter
		from := im.Person{Addr: who.Addr, Name: cmp.Or(p.msg.Name, who.Name)}
		t.seat.sink.Deliver(t.seat.withLink(m, t.acct, from), func(ok bool) { t.settle(p, ok) })
		for _, s := range t.seat.chat.seats {
			if s != t.seat {
				s.sink.Deliver(s.withLink(m, t.acct, from), nil)
			}
		}
	}
}

// maxQuiet is how many messages wait for a window that they don't open themselves.
// Older ones go, and the client is told that there were more: nobody may open it for
// years.
const maxQuiet = 50

const moreWasSaid = "(more was said before this; the newest messages are shown)"

// thin drops the oldest of the quiet messages that are too many. The lock is held.
func (t *thread) thin() {
	quiet := 0
	for _, p := range slices.Backward(t.parcels) {
		if !p.msg.Quiet || p.at != nil {
			continue
		}
		if quiet++; quiet > maxQuiet {
			t.drop(p)
			t.thinned = true
		}
	}
}

// drop takes a parcel out of the thread and the journal. The lock is held.
func (t *thread) drop(p *parcel) {
	t.parcels = slices.DeleteFunc(t.parcels, func(o *parcel) bool { return o.seq == p.seq })
	key, seq := t.acct.key, p.seq
	t.acct.hub.db.Do(store.Soon, func(tx *store.Tx) error { return tx.DropMessage(key, seq) }, t.acct.hub.logged("delivered message"))
}

// callAgain is how soon a room may open another window (MAPPING.md §0).
const callAgain = time.Minute

// tooSoon tells whether a room has just opened a window, and sees to it that what
// waits opens another when it may. The lock is held.
func (t *thread) tooSoon(c *contact) bool {
	wait := callAgain - time.Since(t.rang)
	if !c.Room || wait <= 0 {
		return false
	}
	if h := t.acct.hub; t.again == nil {
		t.again = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			t.again = nil
			if t.acct.threads[t.with] == t && !h.closed {
				t.pump()
			}
		})
	}
	return true
}

// call rings the account's clients on behalf of the contact. One call at a
// time; its end lets the next message ring again.
func (t *thread) call(c *contact) {
	if t.ring != nil || t.tooSoon(c) {
		return
	}
	h := t.acct.hub
	var room *chat
	for _, s := range t.acct.sessions {
		if !s.listens() {
			continue
		}
		if room == nil {
			room = h.newChat()
			room.guests = []*guest{newGuest(t.acct, c)}
		}
		s.sink.Deliver(im.Invitation{From: t.acct.show(c), Cookie: h.admit(s, room.id), Session: room.id}, nil)
	}
	if room == nil {
		return
	}
	t.room, t.rang = room, time.Now()
	t.ring = time.AfterFunc(ringTime, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if t.room == room {
			t.stopRing()
		}
	})
}

// stopRing ends a call, answered or not. The lock is held.
func (t *thread) stopRing() {
	if t.ring == nil {
		return
	}
	t.ring.Stop()
	if len(t.room.seats) == 0 {
		delete(t.acct.hub.chats, t.room.id)
	}
	t.ring, t.room = nil, nil
}

// settle is told whether a client proved a parcel (im.Sink).
func (t *thread) settle(p *parcel, ok bool) {
	h := t.acct.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() {
		if t.acct.threads[t.with] == t {
			t.pump()
		}
	}()
	if !ok {
		p.at = nil
		return
	}
	t.drop(p)
	if po := t.acct.port(t.with.Net); po != nil && p.msg.ID != "" {
		po.sendRead(t.acct.key, im.Receipt{ID: p.msg.ID, Conv: t.with.ID, State: im.Read})
	}
}

// fetchWaiting reads the journal for a client that has just signed on. What
// comes in meanwhile is queued behind it. The lock is held.
func (a *account) fetchWaiting() {
	for _, t := range a.threads {
		t.rang = time.Time{} // the new client has not heard that
	}
	if a.waiting {
		a.stale = true
		return
	}
	a.waiting = true
	a.hub.wg.Go(func() {
		for again := true; again; {
			entries, err := a.hub.journal(a.key)
			if err != nil {
				a.hub.log.Error("offline messages can't be read", "account", a.key, "err", err)
			}
			again = a.fetched(entries)
		}
	})
}

// fetched puts what the journal had into the threads and starts to deliver. It
// reports whether the journal must be read again: a client that left and came
// back meanwhile may have missed what came in between.
func (a *account) fetched(entries []store.Entry) (again bool) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	if a.stale {
		a.stale = false
		return true
	}
	a.waiting = false
	if len(a.sessions) == 0 {
		return false
	}
	for _, e := range entries {
		a.restore(e)
	}
	a.missedAll(entries)
	for _, t := range a.threads {
		t.thin()
		t.pump()
	}
	return false
}

// restore puts a journal entry back into its thread, unless it is there. Whom it
// is from may have gone off every list since.
func (a *account) restore(e store.Entry) {
	from := im.Addr{Net: e.Net, ID: e.Conv}
	a.acquaint(from, "")
	t := a.thread(from)
	i, there := slices.BinarySearchFunc(t.parcels, e.Seq, func(p *parcel, seq uint64) int { return cmp.Compare(p.seq, seq) })
	if there {
		return
	}
	m, err := decodeMessage(e.Data)
	if err != nil {
		a.hub.log.Error("a message in the journal can't be read and stays there", "account", a.rec.Handle, "seq", e.Seq, "err", err)
		return
	}
	t.parcels = slices.Insert(t.parcels, i, &parcel{seq: e.Seq, msg: m})
}

// journal reads an account's undelivered messages, oldest first.
func (h *Hub) journal(key string) (es []store.Entry, err error) {
	if err := h.db.Sync(context.Background()); err != nil {
		return nil, err
	}
	err = h.db.View(func(tx *store.Tx) error {
		es = slices.Collect(tx.Messages(key))
		return nil
	})
	return es, err
}

// rest forgets the copies in memory when the last client is gone; the journal
// has them. The lock is held.
func (a *account) rest() {
	for with, t := range a.threads {
		if t.seat == nil {
			t.stopRing()
			if t.again != nil {
				t.again.Stop()
			}
			delete(a.threads, with)
		}
	}
}
