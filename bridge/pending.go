package bridge

import (
	"cmp"
	"errors"
	"slices"

	"nudge/bridge/im"
	"nudge/store"
)

// A pending contact is one that was added while a link that might know him was
// down: nobody has said yet which network he is on (DESIGN.md §4). Until then
// he is shown as offline. He is asked for when a link comes up and when the user
// signs on.

// pendingNet stands for the network of a pending contact. His ID is the address
// as it was typed, in lower case.
const pendingNet = "pending"

func pendingAddr(who string) im.Addr { return im.Addr{Net: pendingNet, ID: canonical(who)} }

// identify asks for the account's pending contacts, one after the other. The
// lock is held.
func (a *account) identify() {
	if a.asking || len(a.pending()) == 0 || a.hub.closed {
		a.askAgain = a.asking
		return
	}
	a.asking = true
	h := a.hub
	h.wg.Go(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for again := true; again; again = a.askAgain {
			a.askAgain = false
			for _, c := range a.pending() {
				h.mu.Unlock()
				addr, name, err := h.ask(h.ctx, a, c.ID)
				h.mu.Lock()
				a.answered(c, addr, name, err)
			}
		}
		a.asking = false
	})
}

// pending lists them by address.
func (a *account) pending() (cs []*contact) {
	for _, c := range a.contacts {
		if c.Net == pendingNet {
			cs = append(cs, c)
		}
	}
	slices.SortFunc(cs, func(x, y *contact) int { return cmp.Compare(x.ID, y.ID) })
	return cs
}

// answered takes what the links said about a pending contact. An account that
// was made meanwhile comes first. The lock is held.
func (a *account) answered(c *contact, addr im.Addr, name string, err error) {
	if o := a.hub.accounts[c.ID]; o != nil {
		addr, name, err = o.addr(), o.rec.Name, nil
	}
	switch {
	case a.contacts.of(c.addr()) != c: // taken off the list meanwhile
	case err == nil:
		a.identified(c, addr, name)
	case errors.Is(err, ErrNoSuchUser):
		a.hub.log.Info("nobody has the address of a pending contact: taken off the list", "account", a.rec.Handle, "contact", c.Handle)
		a.gone(c)
	}
}

// claim makes the pending contact whose address addr reads as into addr, as when
// a network speaks of somebody before he was asked for. It is nil when there is
// none. The lock is held.
func (a *account) claim(addr im.Addr, name string) *contact {
	c := a.handles[canonical(a.hub.mailShape(addr, name))]
	if c == nil || c.Net != pendingNet || addr.Net == "" {
		return nil
	}
	a.identified(c, addr, name)
	return a.contacts.of(addr)
}

// identified makes a pending contact the person he is. When the account knows
// that one already, it is his entry that comes onto the lists. The lock is held.
func (a *account) identified(c *contact, addr im.Addr, name string) {
	h, key, id := a.hub, a.key, c.ID
	a.forget(c)
	h.db.Do(store.Soon, func(tx *store.Tx) error { return tx.DeleteContact(key, pendingNet, id) }, h.logged("contact"))
	lists := List(c.Lists)
	person := a.contacts.of(addr)
	if person != nil {
		c.Lists = 0
		a.listsMoved(c, lists)
	} else {
		person = &contact{Contact: c.Contact}
		person.Net, person.ID, person.Name, person.Lists = addr.Net, addr.ID, name, 0
		a.keep(person)
	}
	for _, g := range c.Groups {
		if !slices.Contains(person.Groups, g) {
			person.Groups = append(slices.Clone(person.Groups), g)
		}
	}
	had := List(person.Lists)
	for _, l := range []List{FL, AL, BL} {
		opposite := l == AL && person.on(BL) || l == BL && person.on(AL)
		if lists&l == 0 || person.on(l) || opposite {
			continue
		}
		was := a.visible(addr)
		person.Lists |= uint8(l)
		a.added(l, person, was)
	}
	a.write(person)
	if person.Contact.Handle != c.Handle {
		a.listsMoved(person, had)
		return
	}
	a.bump()
	h.put(store.Soon, a)
	if person.on(FL) {
		a.deliverPresence(person, a.sees(person))
	}
}
