package bridge

import (
	"fmt"
	"slices"

	"nudge/bridge/im"
	"nudge/store"
)

// takeRoster merges a network's contact list into the account's. An edit of the
// user that the network has not confirmed yet beats the snapshot; otherwise
// the network wins (DESIGN.md §2). The lock is held.
func (p *port) takeRoster(a *account, r im.Roster) {
	gone := r.Gone
	if r.Full {
		missing := p.missing(a, r)
		if all := p.listed(a); len(missing) > 3 && len(missing)*2 > all {
			p.hub.log.Warn("the server's contact list lost more than half; kept", "account", a.rec.Handle, "net", p.net, "missing", len(missing), "of", all)
			p.note(fmt.Sprintf("The contact list on the server lost %d of %d contacts. They are kept here; remove them yourself if that was meant.", len(missing), all))
		} else {
			gone = append(slices.Clone(gone), missing...)
		}
	}
	for _, item := range r.Items {
		item.Net = p.net
		if !p.editing(a.key, item.Addr) {
			a.merge(item)
		}
	}
	for _, addr := range gone {
		addr.Net = p.net
		if c := a.contacts.of(addr); c != nil && !p.editing(a.key, addr) {
			a.gone(c)
		}
	}
}

// missing lists the contacts that a full roster no longer has.
func (p *port) missing(a *account, r im.Roster) []im.Addr {
	there := map[string]bool{}
	for _, item := range r.Items {
		there[item.ID] = true
	}
	var out []im.Addr
	for _, c := range a.contacts {
		if c.Net == p.net && !there[c.ID] && c.on(FL|RL) {
			out = append(out, c.addr())
		}
	}
	return out
}

func (p *port) listed(a *account) (n int) {
	for _, c := range a.contacts {
		if c.Net == p.net && c.on(FL|RL) {
			n++
		}
	}
	return n
}

// listsOf says on which lists a network's contact belongs (MAPPING.md §2). The
// allow list is the user's, who may take people off it; only who comes onto
// another list comes onto it too. A block made here stays: not every network
// knows blocks.
func listsOf(item im.Contact, had List) List {
	l := had & (AL | BL)
	if item.Follows {
		l |= FL
	}
	if item.Followed {
		l |= RL
	}
	if l&^had != 0 {
		l |= AL
	}
	if item.Asked {
		l |= RL | PL
	}
	if item.Blocked {
		l |= BL
	}
	if l&BL != 0 {
		l &^= AL | PL
	}
	return l
}

// merge makes one contact what the network says he is.
func (a *account) merge(item im.Contact) {
	c := a.contacts.of(item.Addr)
	if c == nil {
		c = a.claim(item.Addr, item.Name)
	}
	if c == nil {
		c = &contact{Contact: store.Contact{Net: item.Net, ID: item.ID, Name: item.Name, GUID: newGUID()}}
		c.Handle = a.handleFor(item.Addr, item.Name)
	}
	had := List(c.Lists)
	lists := listsOf(item, had)
	groups := c.Groups
	if lists&FL != 0 && !slices.Equal(a.groupNames(c.Groups), item.Groups) {
		groups = a.groupsNamed(item.Groups)
	}
	renamed := item.Name != "" && item.Name != c.Name
	if lists == had && !renamed && slices.Equal(groups, c.Groups) && c.Room == item.Room {
		return
	}
	c.Lists, c.Groups, c.Room = uint8(lists), groups, item.Room
	if renamed {
		c.Name = item.Name
	}
	if item.Note != "" {
		c.Note = item.Note
	}
	a.keep(c)
	a.write(c)
	a.listsMoved(c, had)
	if renamed && had&FL != 0 {
		a.deliverPresence(c, a.sees(c))
	}
}

// gone takes a contact off the lists because the network did. A block stays.
func (a *account) gone(c *contact) {
	had := List(c.Lists)
	c.Lists &= uint8(BL)
	c.Groups, c.known = nil, false
	if had == List(c.Lists) {
		return
	}
	a.write(c)
	a.listsMoved(c, had)
}

// listsMoved tells the clients about every list that c came on or went off.
func (a *account) listsMoved(c *contact, had List) {
	now := List(c.Lists)
	if now == had {
		a.bump()
		a.hub.put(store.Soon, a)
		return
	}
	for _, l := range []List{FL, AL, BL, RL} {
		if (now^had)&l != 0 {
			a.listChanged(l, c, now&l != 0)
		}
	}
	if now&FL != 0 && had&FL == 0 {
		a.deliverPresence(c, a.sees(c))
	}
}

// takeRequest is somebody on a network who wants to add the account, or no
// longer does, or whose block the user took back on another device: only an edit
// says so, because a roster without it may be that of a network without blocks.
func (p *port) takeRequest(a *account, e im.ContactEdit) {
	addr := im.Addr{Net: p.net, ID: e.Who.ID}
	c := a.contacts.of(addr)
	switch e.Op {
	case im.Add:
		if c == nil {
			c = a.acquaint(addr, e.Who.Name)
		}
		if c.on(BL) || c.on(PL) {
			return
		}
		had := List(c.Lists)
		c.Lists |= uint8(RL | PL)
		c.Note = e.Note
		a.write(c)
		a.listsMoved(c, had)
	case im.Remove:
		if c == nil || !c.on(RL|PL) {
			return
		}
		had := List(c.Lists)
		c.Lists &^= uint8(RL | PL)
		a.write(c)
		a.listsMoved(c, had)
	case im.Unblock:
		if c == nil || !c.on(BL) || p.editing(a.key, addr) {
			return
		}
		had := List(c.Lists)
		c.Lists &^= uint8(BL)
		if c.on(FL | RL) {
			c.Lists |= uint8(AL)
		}
		a.write(c)
		a.listsMoved(c, had)
	}
}

// edit sends a change of the lists that the user made to the contact's
// network. It is journalled until the network confirms it. The lock is held.
func (a *account) edit(op im.EditOp, c *contact) {
	p := a.port(c.Net)
	if p == nil {
		return
	}
	p.submit(a.key, im.ContactEdit{ID: newID(), Op: op, Who: im.Contact{
		Person:  im.Person{Addr: c.addr(), Name: c.Name},
		Follows: c.on(FL), Followed: c.on(RL) && !c.on(PL), Blocked: c.on(BL),
		Groups: a.groupNames(c.Groups), Room: c.Room,
	}}, nil)
}
