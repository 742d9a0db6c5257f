package bridge

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"nudge/bridge/im"
	"nudge/store"
)

// Limits of MSNP.md A.5, which hold for what users make. Networks know neither:
// their groups are kept as they are, up to a number that nobody needs, clients
// are shown the first ones, and the dialects cut names.
const (
	maxGroups    = 30
	maxGroupName = 61
	keptGroups   = 1000
)

// AddGroup makes a group.
func (s *Session) AddGroup(ctx context.Context, name string) (Change, error) {
	name = im.OneLine(name)
	return s.regroup(ctx, func(a *account) (store.Group, error) {
		switch {
		case len(name) > maxGroupName:
			return store.Group{}, ErrGroupName
		case len(a.groups) >= maxGroups:
			return store.Group{}, ErrTooMany
		}
		return a.makeGroup(name)
	})
}

// FindGroup looks a group up by its GUID or, failing that, by its name: MSN 7.0
// sometimes sends that instead (MSNP.md B.9.2).
func (s *Session) FindGroup(named string) (Group, bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	var found Group
	for _, g := range s.acct.groups {
		switch {
		case strings.EqualFold(g.GUID, named):
			return Group(g), true
		case g.Name == named:
			found = Group(g)
		}
	}
	return found, found.ID != 0
}

// RenameGroup gives group id another name.
func (s *Session) RenameGroup(ctx context.Context, id uint32, name string) (Change, error) {
	name = im.OneLine(name)
	return s.regroup(ctx, func(a *account) (store.Group, error) {
		g, ok := a.groups[id]
		if !ok {
			return g, ErrNoGroup
		}
		if len(name) > maxGroupName {
			return g, ErrGroupName
		}
		if err := a.groupName(name); err != nil {
			return g, err
		}
		g.Name = name
		a.groups[id] = g
		for _, c := range a.contacts {
			if slices.Contains(c.Groups, id) {
				a.edit(im.Regroup, c)
			}
		}
		return g, nil
	})
}

// RemoveGroup removes group id; its contacts stay on the list without it. Up to
// MSNP9 the real server took them off with their only group, but official clients
// empty a group before (MSNP.md B.9.3): nobody loses many contacts at one stroke.
func (s *Session) RemoveGroup(ctx context.Context, id uint32) (Change, error) {
	return s.regroup(ctx, func(a *account) (store.Group, error) {
		g, ok := a.groups[id]
		switch {
		case id == 0:
			return g, ErrGroupZero
		case !ok:
			return g, ErrNoGroup
		}
		delete(a.groups, id)
		for _, c := range a.contacts {
			if i := slices.Index(c.Groups, id); i >= 0 {
				c.Groups = slices.Delete(slices.Clone(c.Groups), i, i+1)
				a.edit(im.Regroup, c)
				a.write(c)
			}
		}
		key := a.key
		a.hub.db.Do(store.Soon, func(tx *store.Tx) error { return tx.DeleteGroup(key, id) }, a.hub.logged("group"))
		return g, nil
	})
}

// regroup runs one change of the groups and puts it on disk.
func (s *Session) regroup(ctx context.Context, change func(*account) (store.Group, error)) (Change, error) {
	h, a := s.hub, s.acct
	h.mu.Lock()
	g, err := change(a)
	if err != nil {
		h.mu.Unlock()
		return Change{}, err
	}
	ch := Change{Version: a.bump(), Group: Group(g)}
	if _, ok := a.groups[g.ID]; ok {
		a.writeGroup(g)
	}
	h.put(store.Soon, a)
	h.mu.Unlock()
	return ch, h.db.Sync(ctx)
}

func (a *account) groupName(name string) error {
	if name == "" {
		return ErrGroupName
	}
	for _, g := range a.groups {
		if g.Name == name {
			return ErrGroupExists
		}
	}
	return nil
}

func (a *account) makeGroup(name string) (store.Group, error) {
	if err := a.groupName(name); err != nil {
		return store.Group{}, err
	}
	if len(a.groups) >= keptGroups {
		return store.Group{}, ErrTooMany
	}
	g := store.Group{ID: 1, GUID: newGUID(), Name: name}
	for {
		if _, taken := a.groups[g.ID]; !taken {
			break
		}
		g.ID++
	}
	a.groups[g.ID] = g
	return g, nil
}

func (a *account) writeGroup(g store.Group) {
	key := a.key
	a.hub.db.Do(store.Soon, func(tx *store.Tx) error { return tx.PutGroup(key, g) }, a.hub.logged("group"))
}

// entersZero notes that the client has addr in group 0 beside another group, which
// is nothing to the box: it moves him by adding him to the one and then taking him
// out of the other (MSNP.md B.9.1). It tells whether group, which he is added to,
// makes it so. The lock is held.
func (s *Session) entersZero(l List, addr im.Addr, group uint32) bool {
	c := s.acct.contacts.of(addr)
	if !s.client.GroupZero || l != FL || c == nil || !c.on(FL) || s.zero[addr] || (group == 0) == (len(c.Groups) == 0) {
		return false
	}
	if s.zero == nil {
		s.zero = map[im.Addr]bool{}
	}
	s.zero[addr] = true
	return group == 0
}

// lastGroup tells whether the client has c in no group but id. The lock is held.
func (s *Session) lastGroup(c *contact, id uint32) bool {
	switch {
	case !s.client.GroupZero:
		return false
	case len(c.Groups) == 0:
		return id == 0
	}
	return len(c.Groups) == 1 && c.Groups[0] == id && !s.zero[c.addr()]
}

// leaveGroup takes c out of one group of the forward list.
func (a *account) leaveGroup(c *contact, id uint32) error {
	if _, ok := a.groups[id]; !ok {
		return ErrNoGroup
	}
	i := slices.Index(c.Groups, id)
	if i < 0 {
		return ErrNotInGroup
	}
	c.Groups = slices.Delete(slices.Clone(c.Groups), i, i+1)
	a.edit(im.Regroup, c)
	a.write(c)
	return nil
}

// groupsNamed finds the groups of a network's contact, making those that are
// new as long as there is room.
func (a *account) groupsNamed(names []string) []uint32 {
	var ids []uint32
	for _, name := range names {
		id := uint32(0)
		for _, g := range a.groups {
			if g.Name == name {
				id = g.ID
			}
		}
		if id == 0 {
			g, err := a.makeGroup(name)
			if err != nil {
				continue // no room, or no name MSN could show: the contact shows ungrouped
			}
			a.writeGroup(g)
			id = g.ID
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (a *account) groupNames(ids []uint32) []string {
	var names []string
	for _, id := range ids {
		if g, ok := a.groups[id]; ok {
			names = append(names, g.Name)
		}
	}
	return names
}

// newGUID makes a random (version 4) GUID in the spelling MSNP uses.
func newGUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
