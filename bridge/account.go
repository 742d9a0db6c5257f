package bridge

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"nudge/bridge/im"
	"nudge/store"
)

// account is one account with its lists, in memory as long as the hub lives.
// The hub's lock guards it.
type account struct {
	hub      *Hub
	key      string // canonical handle
	rec      store.Account
	contacts book
	handles  map[string]*contact // by canonical handle, where that is not their ID on this box
	groups   map[uint32]store.Group
	sessions []*Session
	chats    int // switchboard sessions it opened
	threads  map[im.Addr]*thread
	ports    map[string]*port    // by network
	seq      uint64              // of the newest journal entry
	own      own                 // picture
	here     bool                // displays count it as signed on
	waiting  bool                // the journal is being read for a sign-on
	stale    bool                // and must be read again: there was another one meanwhile
	asking   bool                // its pending contacts are being asked for
	askAgain bool                // and must be once more: another link came up
	missed   map[im.Addr]*Missed // before the last sign-on; nil: never signed on
}

// contact is one entry of an account's lists. There are many, nearly all of
// accounts on this box, so what only others have is apart.
type contact struct {
	store.Contact
	*heard // nil for an account of this box: that is asked
}

// heard is what a network said about somebody's presence.
type heard struct {
	now     im.Presence
	known   bool        // it said something
	picture *im.Picture // what he shows, as far as the box has it
	members []im.Person // of a room, as the network knows them
	size    int         // of a room, 0 when that is len(members)
	last    *lately     // nil: nothing was said since the box was started
}

func newAccount(h *Hub, rec store.Account) *account {
	return &account{
		hub: h, key: canonical(rec.Handle), rec: rec,
		handles: map[string]*contact{},
		groups:  map[uint32]store.Group{}, threads: map[im.Addr]*thread{}, ports: map[string]*port{},
	}
}

func (a *account) person() im.Person {
	name := a.rec.Name
	if name == "" {
		name = a.rec.Handle
	}
	return im.Person{Addr: im.Addr{ID: a.rec.Handle}, Name: name}
}

// addr is the account's address, as networks and records name it.
func (a *account) addr() im.Addr { return im.Addr{ID: a.key} }

// keep enters c into both indexes.
func (a *account) keep(c *contact) {
	if c.Net != "" && c.heard == nil {
		c.heard = &heard{}
	}
	a.contacts.put(c)
	if key := canonical(c.Handle); a.contacts.of(im.Addr{ID: key}) != c {
		a.handles[key] = c
	}
}

func (a *account) forget(c *contact) {
	a.contacts.drop(c.addr())
	delete(a.handles, canonical(c.Handle))
}

func (c *contact) addr() im.Addr { return im.Addr{Net: c.Net, ID: c.ID} }

func (c *contact) on(l List) bool { return List(c.Lists)&l != 0 }

// person is how a client sees c: under its handle (im.Addr).
func (a *account) show(c *contact) im.Person {
	name := c.Name
	if c.Net == "" {
		if other := a.hub.accounts[c.ID]; other != nil {
			name = other.person().Name
		}
	}
	if name == "" {
		name = c.Handle
	}
	return im.Person{Addr: im.Addr{Net: c.Net, ID: c.Handle}, Name: name}
}

// byHandle finds the contact with that canonical handle.
func (a *account) byHandle(key string) *contact {
	if c := a.handles[key]; c != nil {
		return c
	}
	return a.contacts.of(im.Addr{ID: key})
}

// sorted yields the contacts by handle.
func (a *account) sorted() iter.Seq[*contact] {
	type entry struct {
		key string
		c   *contact
	}
	all := make([]entry, 0, len(a.contacts))
	for _, c := range a.contacts {
		all = append(all, entry{canonical(c.Handle), c})
	}
	slices.SortFunc(all, func(x, y entry) int { return cmp.Compare(x.key, y.key) })
	return func(yield func(*contact) bool) {
		for _, e := range all {
			if !yield(e.c) {
				return
			}
		}
	}
}

// find looks who up among the contacts: by handle, by GUID, or by the alias that
// the oldest clients know a foreign contact by (DESIGN.md §4).
func (a *account) find(who string) *contact {
	key := canonical(who)
	if c := a.byHandle(key); c != nil {
		return c
	}
	if !strings.Contains(key, "@") {
		for _, c := range a.contacts {
			if c.GUID == key {
				return c
			}
		}
		return nil
	}
	if local, ok := strings.CutSuffix(key, aliasDomain); ok {
		for h, c := range a.handles {
			if c.Net != "" && strings.Replace(h, "@", ".", 1) == local {
				return c
			}
		}
	}
	return nil
}

const aliasDomain = "@hotmail.com"

// port finds the link that speaks for the account on net.
func (a *account) port(net string) *port {
	if p := a.ports[net]; p != nil {
		return p
	}
	return a.hub.shared[net]
}

// shown is the presence the account shows: that of its newest session.
func (a *account) shown() im.Presence {
	for _, s := range slices.Backward(a.sessions) {
		if s.now.Status != im.Offline {
			return s.now
		}
	}
	return im.Presence{}
}

// visible says whether who may see the account's presence and write to it
// (MSNP.md B.10).
func (a *account) visible(who im.Addr) bool {
	c := a.contacts.of(who)
	if c != nil && c.on(BL) {
		return false
	}
	return !a.rec.BlockOthers || c != nil && c.on(AL)
}

// bump moves the list version after a change that a client can see.
func (a *account) bump() uint64 {
	a.rec.Version++
	return a.rec.Version
}

// put writes the account's record. The lock is held, the write happens later.
func (h *Hub) put(u store.Urgency, a *account) {
	rec := a.rec
	h.db.Do(u, func(tx *store.Tx) error { return tx.PutAccount(rec) }, h.logged("account"))
}

// logged reports what a write that nobody waits for failed with.
func (h *Hub) logged(what string) func(error) {
	return func(err error) {
		if err != nil {
			h.log.Error("not written to disk", "what", what, "err", err)
		}
	}
}
