package bridge

import (
	"context"
	"errors"
	"slices"

	"nudge/bridge/im"
	"nudge/store"
)

// maxUnsettled is how many batches of one link may wait for the disk before
// Accept blocks the link.
const maxUnsettled = 256

// Accept takes a batch from the link (im.Inbox). Messages go to their clients
// at once and into the journal in the transaction that also moves the mark and
// remembers their ids.
func (p *port) Accept(ctx context.Context, b im.Batch, settled func(error)) error {
	if ctx.Err() != nil { // before it asks for room: what follows a message that is refused is refused too
		return ctx.Err()
	}
	select {
	case p.unsettled <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.order.Lock()
	defer p.order.Unlock()
	fresh, err := p.fresh(b)
	if err != nil {
		<-p.unsettled
		return err
	}
	h := p.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.accounts[canonical(b.User.ID)]
	// Of an account that has a link of its own by now a gateway still brings what
	// people wrote to it there; who is there and how far it read that link tells.
	beside := p.user == "" && a != nil && a.port(p.net) != p
	if beside {
		b.Mark = nil
	}
	var entries []store.Entry
	for i, ev := range b.Events {
		_, message := ev.(im.Message)
		if message && !fresh[i] || !message && beside || a == nil && !p.forAll(ev) {
			continue
		}
		if e, ok := p.take(a, tidy(ev)); ok {
			entries = append(entries, e)
		}
	}
	p.commit(a, b, entries, settled)
	return nil
}

// forAll says whether ev concerns a shared link as a whole and no account.
func (p *port) forAll(ev im.Event) bool {
	_, ok := ev.(im.LinkState)
	return ok
}

// fresh tells which messages of b were not seen before. Ids whose transaction
// is still on its way to the disk are in p.recent.
func (p *port) fresh(b im.Batch) ([]bool, error) {
	fresh := make([]bool, len(b.Events))
	user := canonical(b.User.ID)
	here := map[string]bool{}
	err := p.hub.db.View(func(tx *store.Tx) error {
		for i, ev := range b.Events {
			m, ok := ev.(im.Message)
			if !ok {
				continue
			}
			fresh[i] = m.ID == "" || !here[m.ID] && !p.recent.has(seenID{user, m.ID}) && !tx.Seen(user, p.net, m.ID)
			here[m.ID] = true
		}
		return nil
	})
	if err != nil {
		return nil, err // nothing of the batch is remembered: it will come again
	}
	delete(here, "")
	for id := range here {
		p.recent.add(seenID{user, id})
	}
	return fresh, nil
}

// commit writes what a batch leaves behind in one transaction. A batch without
// messages waits for the next write (DESIGN.md §3). The lock is held.
func (p *port) commit(a *account, b im.Batch, entries []store.Entry, settled func(error)) {
	user, net, mark := canonical(b.User.ID), p.net, slices.Clone(b.Mark)
	var ids []string
	for _, ev := range b.Events {
		if m, ok := ev.(im.Message); ok && m.ID != "" {
			ids = append(ids, m.ID)
		}
	}
	urgency := store.Lazy
	switch {
	case mark != nil && p.mark == nil:
		urgency = store.Now // without a mark the next start would take what comes now for history
	case len(ids) > 0 || len(entries) > 0 || len(p.unsettled) > maxUnsettled/2:
		urgency = store.Soon
	case mark == nil && p.writing == 0:
		p.settle(settled, nil)
		return
	}
	p.writing++
	broken := p.broken
	p.hub.db.Do(urgency, func(tx *store.Tx) (err error) {
		defer func() {
			if err != nil {
				broken.Store(true)
			}
		}()
		if broken.Load() {
			return errEarlier
		}
		for _, id := range ids {
			err = errors.Join(err, tx.See(user, net, id))
		}
		for _, e := range entries {
			err = errors.Join(err, tx.AddMessage(user, e))
		}
		if mark != nil {
			err = errors.Join(err, tx.SetMark(user, net, mark))
		}
		return err
	}, func(err error) {
		if err != nil {
			broken.Store(true)
		}
		p.recent.drop(user, ids) // they are found on disk from now on
		p.hub.mu.Lock()
		defer p.hub.mu.Unlock()
		p.writing--
		if err == nil && mark != nil {
			p.mark = mark
		}
		p.settle(settled, err)
	})
}

// settle leaves it to the link's own goroutine to say what became of a batch:
// the network may answer its server then, and nobody here waits for that. A
// batch keeps its slot until then, so the channel always has room.
func (p *port) settle(settled func(error), err error) {
	p.settles <- func() {
		<-p.unsettled
		if settled != nil {
			settled(err)
		}
	}
}

// errEarlier keeps a mark from passing messages that could not be written: what
// follows a failure on the same connection fails too.
var errEarlier = errors.New("an earlier message of this link could not be written to disk")

// take acts on one event from the network. A message that has to be kept for a
// client comes back as its journal entry. The lock is held.
func (p *port) take(a *account, ev im.Event) (store.Entry, bool) {
	switch ev := ev.(type) {
	case im.Message:
		return p.takeMessage(a, ev)
	case im.PresenceChanged:
		p.takePresence(a, ev)
	case im.Typing:
		p.takeTyping(a, ev)
	case im.Receipt:
		p.receipt(a.key, ev)
	case im.Roster:
		p.takeRoster(a, ev)
	case im.ContactEdit:
		p.takeRequest(a, ev)
	case im.Room:
		p.takeRoom(a, ev)
	case im.LinkState:
		p.takeState(ev)
	}
	return store.Entry{}, false
}

func (p *port) takeMessage(a *account, m im.Message) (store.Entry, bool) {
	with := im.Addr{Net: p.net, ID: m.Conv}
	c := a.contacts.of(with)
	switch {
	case c != nil && c.on(BL), m.Rel.Kind == im.React && p.rec.Settings[im.Reactions] == "no":
		return store.Entry{}, false
	case m.Own:
		if c != nil {
			c.spoke(m)
		}
		if t := a.threads[with]; t != nil && t.seat != nil {
			m.From = a.person().Addr
			m = t.seat.withLink(m, a, im.Person{Addr: with, Name: a.person().Name})
			t.seat.sink.Deliver(m, nil)
		}
		return store.Entry{}, false
	}
	p.hub.said(m)
	if c != nil {
		m.Rel.Quote = c.quote(m.Rel)
	}
	name := m.Name
	if c != nil && !c.Room && m.From.ID == m.Conv {
		m.Name = "" // he is the contact himself
	}
	e := a.parcel(with, name, m)
	a.contacts.of(with).listen(m)
	a.passOn(a.contacts.of(with), m)
	return e, true
}

func (p *port) takePresence(a *account, ev im.PresenceChanged) {
	c := a.contacts.of(im.Addr{Net: p.net, ID: ev.Who.ID})
	if c == nil {
		return
	}
	if ev.Now.Status == im.Offline && ev.Now.Avatar == "" {
		ev.Now.Avatar = c.now.Avatar // where he says nothing he does not say that it is gone
	}
	same := c.known && c.now == ev.Now && (ev.Who.Name == "" || ev.Who.Name == c.Name)
	c.now, c.known = ev.Now, true
	a.hub.showsAvatar(c)
	if ev.Who.Name != "" && c.Name != ev.Who.Name {
		c.Name = ev.Who.Name
		a.bump()
		a.write(c)
		a.hub.put(store.Lazy, a)
	}
	if c.on(FL) && !same {
		a.deliverPresence(c, a.sees(c))
	}
}

func (p *port) takeTyping(a *account, ev im.Typing) {
	t := a.threads[im.Addr{Net: p.net, ID: ev.Conv}]
	if t == nil || t.seat == nil {
		return
	}
	c := a.contacts.of(t.with)
	ev.Who, _ = t.speaker(c, ev.Who)
	ev.Conv = a.show(c).ID
	t.seat.sink.Deliver(ev, nil)
}
