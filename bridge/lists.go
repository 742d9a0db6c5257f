package bridge

import (
	"context"
	"errors"
	"slices"
	"sort"

	"nudge/bridge/im"
	"nudge/store"
)

// List is one of the five lists of MSNP, with its bit (MSNP.md B.6).
type List uint8

// Forward, allow, block, reverse and pending list.
const (
	FL List = 1 << iota
	AL
	BL
	RL
	PL
)

var listNames = map[List]string{FL: "FL", AL: "AL", BL: "BL", RL: "RL", PL: "PL"}

func (l List) String() string { return listNames[l] }

// ListNamed finds a list by its name, 0 when there is none.
func ListNamed(name string) List {
	for l, n := range listNames {
		if n == name {
			return l
		}
	}
	return 0
}

// Group is a contact-list group. Group 0 holds whoever is in no group; it is
// not among Lists.Groups.
type Group struct {
	ID   uint32
	GUID string
	Name string
}

// Contact is one person on the lists, under his handle.
type Contact struct {
	im.Person
	Lists      List
	Groups     []uint32
	GUID       string
	Properties map[string]string // of somebody on this box who shows them
}

// Lists is a snapshot of an account's lists.
type Lists struct {
	Version     uint64            // never the same number for other content (MSNP.md K.3)
	Prompt      bool              // GTC A: ask when somebody adds me
	BlockOthers bool              // BLP BL: only the allow list sees me
	Properties  map[string]string // telephone numbers and the like, by key
	Groups      []Group
	Contacts    []Contact // by handle
}

// On lists who is on l.
func (ls Lists) On(l List) []Contact {
	return slices.DeleteFunc(slices.Clone(ls.Contacts), func(c Contact) bool { return c.Lists&l == 0 })
}

// Lists returns the account's lists.
func (s *Session) Lists() Lists {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	ls := s.acct.lists()
	ls.Contacts = slices.DeleteFunc(ls.Contacts, func(c Contact) bool { return s.acct.keeps(c.Net, c.Lists) })
	return s.fit(ls)
}

func (a *account) lists() Lists {
	ls := Lists{Version: a.rec.Version, Prompt: a.rec.Prompt, BlockOthers: a.rec.BlockOthers, Properties: a.rec.Properties}
	for _, g := range a.groups {
		ls.Groups = append(ls.Groups, Group(g))
	}
	ls.Contacts = make([]Contact, 0, len(a.contacts))
	for c := range a.sorted() {
		ls.Contacts = append(ls.Contacts, Contact{Person: a.show(c), Lists: List(c.Lists), Groups: slices.Clone(c.Groups), GUID: c.GUID, Properties: a.propertiesOf(c)})
	}
	sort.Slice(ls.Groups, func(i, j int) bool { return ls.Groups[i].ID < ls.Groups[j].ID })
	return ls
}

// Change is the outcome of a list edit: what the reply needs. It is on disk.
type Change struct {
	Version uint64
	Who     im.Person
	GUID    string // of his entry
	Group   Group
}

// Add puts who on l; on FL into group too (0: none). An address that the box
// does not know is asked for on the account's networks, up to 5 s: ErrNoAnswer
// when one of them can't be asked now, see AddPending.
func (s *Session) Add(ctx context.Context, l List, who string, group uint32) (Change, error) {
	addr, name, err := s.hub.resolve(ctx, s.acct, who)
	if err != nil {
		return Change{}, err
	}
	return s.addAddr(ctx, l, addr, name, group)
}

// AddPending is Add for an address that nobody could be asked about: the account
// has it on the list, and it is asked for again (DESIGN.md §4).
func (s *Session) AddPending(ctx context.Context, l List, who string, group uint32) (Change, error) {
	return s.addAddr(ctx, l, pendingAddr(who), "", group)
}

func (s *Session) addAddr(ctx context.Context, l List, addr im.Addr, name string, group uint32) (Change, error) {
	h, a := s.hub, s.acct
	h.mu.Lock()
	back, err := s.room(l, addr)
	back = s.entersZero(l, addr, group) || back
	var c *contact
	if err == nil {
		c, err = a.addTo(l, addr, name, group)
	}
	if back && errors.Is(err, ErrOnList) {
		c, err = a.contacts.of(addr), nil
	}
	if err != nil {
		h.mu.Unlock()
		return Change{}, err
	}
	ch := Change{Version: a.bump(), Who: a.show(c), GUID: c.GUID, Group: Group(a.groups[group])}
	h.mu.Unlock()
	return ch, h.db.Sync(ctx)
}

// Answered is a client's word that it has dealt with somebody who wanted to add
// the account (ADC RL and REM PL of MSNP11). What he may do is said by the allow
// and block lists; the reverse list is not the client's to edit, so he only has
// to be on it.
func (s *Session) Answered(who string) (Change, error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	a := s.acct
	c := a.find(who)
	if c == nil || !c.on(RL) {
		return Change{}, ErrNotOnList
	}
	return Change{Version: a.rec.Version, Who: a.show(c), GUID: c.GUID}, nil
}

// Remove takes who off l. With inGroup, only out of that group: a client to which
// everybody is in one takes him off the list with the last (MSNP.md B.9.1, B.9.3).
func (s *Session) Remove(ctx context.Context, l List, who string, group uint32, inGroup bool) (Change, error) {
	h, a := s.hub, s.acct
	h.mu.Lock()
	c := a.find(who)
	if c == nil || !c.on(l) || l == FL && s.hides(c) {
		h.mu.Unlock()
		return Change{}, ErrNotOnList
	}
	ch := Change{Who: a.show(c), GUID: c.GUID, Group: Group(a.groups[group])}
	var err error
	switch {
	case !inGroup || l != FL || s.lastGroup(c, group):
		a.removeFrom(l, c)
	case group == 0:
		delete(s.zero, c.addr())
	default:
		err = a.leaveGroup(c, group)
	}
	if !c.on(FL) {
		delete(s.zero, c.addr())
	}
	if err != nil {
		h.mu.Unlock()
		return Change{}, err
	}
	ch.Version = a.bump()
	h.put(store.Soon, a)
	h.mu.Unlock()
	return ch, h.db.Sync(ctx)
}

// addTo does what Add says. The lock is held.
func (a *account) addTo(l List, addr im.Addr, name string, group uint32) (*contact, error) {
	if _, ok := a.groups[group]; group != 0 && !ok {
		return nil, ErrNoGroup
	}
	c := a.contacts.of(addr)
	if c == nil {
		c = &contact{Contact: store.Contact{Net: addr.Net, ID: addr.ID, Name: name, GUID: newGUID()}}
		c.Handle = a.handleFor(addr, name)
	}
	switch {
	case l == FL && c.on(FL):
		if group == 0 || slices.Contains(c.Groups, group) {
			return nil, ErrOnList
		}
		c.Groups = append(c.Groups, group)
		a.edit(im.Regroup, c)
		a.write(c)
		return c, nil
	case c.on(l):
		return nil, ErrOnList
	case l == AL && c.on(BL), l == BL && c.on(AL):
		return nil, ErrOpposite
	case l == FL && a.count(FL) >= maxContacts:
		return nil, ErrListFull
	}
	was := a.visible(addr)
	c.Lists |= uint8(l)
	if l == FL && group != 0 {
		c.Groups = append(c.Groups, group)
	}
	a.keep(c)
	a.added(l, c, was)
	a.write(c)
	a.hub.put(store.Soon, a)
	return c, nil
}

// maxContacts is the largest list any client takes (MSNP.md K.21).
const maxContacts = 1000

func (a *account) count(l List) (n int) {
	for _, c := range a.contacts {
		if c.on(l) {
			n++
		}
	}
	return n
}

// added does what follows from c having come onto l: the other side of a
// contact on this box, the edit on his network otherwise.
func (a *account) added(l List, c *contact, was bool) {
	pending := c.on(PL)
	if l == AL || l == BL || l == FL {
		c.Lists &^= uint8(PL)
	}
	if c.Net == "" {
		if l == FL {
			a.hub.reverse(c.ID, a, true)
		}
		a.hub.visibilityMoved(a, c.addr(), was)
		return
	}
	switch l {
	case FL:
		a.edit(im.Add, c)
	case AL:
		if pending {
			a.edit(im.Accept, c)
		}
	case BL:
		if pending {
			a.edit(im.Decline, c)
		}
		a.edit(im.Block, c)
	}
}

// removeFrom takes c off l, with what follows from it. The lock is held.
func (a *account) removeFrom(l List, c *contact) {
	was := a.visible(c.addr())
	c.Lists &^= uint8(l)
	if l == FL {
		c.Groups = nil
	}
	switch {
	case c.Net == "" && l == FL:
		a.hub.reverse(c.ID, a, false)
	case c.Net == "":
		a.hub.visibilityMoved(a, c.addr(), was)
	case l == FL:
		a.edit(im.Remove, c)
	case l == BL:
		a.edit(im.Unblock, c)
	case l == PL:
		a.edit(im.Decline, c)
	}
	a.write(c)
}

// reverse keeps the reverse list of another account of this box: owner added
// or removed it. The lock is held.
func (h *Hub) reverse(other string, owner *account, added bool) {
	o := h.accounts[other]
	if o == nil {
		return
	}
	c := o.contacts.of(owner.addr())
	if c == nil {
		if !added {
			return
		}
		c = &contact{Contact: store.Contact{ID: owner.key, Handle: owner.rec.Handle, GUID: newGUID()}}
	}
	if c.on(RL) == added {
		return
	}
	if added {
		c.Lists |= uint8(RL)
		if !c.on(AL) && !c.on(BL) {
			c.Lists |= uint8(PL)
		}
	} else {
		c.Lists &^= uint8(RL | PL)
	}
	o.keep(c)
	o.write(c)
	o.listChanged(RL, c, added)
}

// listChanged moves the version and tells the clients that a list changed
// without their doing. The lock is held.
func (a *account) listChanged(l List, c *contact, added bool) {
	if l == RL && added && a.keeps(c.Net, List(c.Lists)) {
		a.tellParent(c)
		return
	}
	v := a.bump()
	a.hub.put(store.Soon, a)
	for _, s := range a.sessions {
		if !s.showsChange(l, c, added) {
			continue
		}
		s.sink.Deliver(im.ListChanged{List: l.String(), Who: a.show(c), GUID: c.GUID, Added: added, Version: v}, nil)
	}
}

// write puts c on disk, or takes it off when it is on no list any more. The
// lock is held; the write happens later.
func (a *account) write(c *contact) {
	rec, key := c.Contact, a.key
	rec.Groups = slices.Clone(rec.Groups)
	if rec.Lists == 0 && a.threads[c.addr()] == nil {
		a.forget(c)
		a.hub.db.Do(store.Soon, func(tx *store.Tx) error { return tx.DeleteContact(key, rec.Net, rec.ID) }, a.hub.logged("contact"))
		return
	}
	a.hub.db.Do(store.Soon, func(tx *store.Tx) error { return tx.PutContact(key, rec) }, a.hub.logged("contact"))
}
