package bridge

import (
	"context"
	"maps"
	"slices"

	"nudge/bridge/im"
	"nudge/store"
)

// SetProperty sets one of the account's properties (PRP, MSNP.md B.9.4), with
// an empty value it has it no more, and tells the contacts on this box who may
// see it. It returns the new list version.
func (s *Session) SetProperty(ctx context.Context, key, value string) (uint64, error) {
	h, a := s.hub, s.acct
	h.mu.Lock()
	if a.rec.Properties[key] == value {
		v := a.rec.Version
		h.mu.Unlock()
		return v, nil
	}
	props := maps.Clone(a.rec.Properties) // snapshots keep the old one
	if props == nil {
		props = map[string]string{}
	}
	props[key] = value
	if value == "" {
		delete(props, key)
	}
	a.rec.Properties = props
	v := a.bump()
	h.put(store.Soon, a)
	for o, c := range a.listedBy() {
		if c.on(FL) && a.visible(o.addr()) {
			o.bump()
			h.put(store.Soon, o)
			for _, s := range o.sessions {
				s.tellProperty(c, key, value)
			}
		}
	}
	h.mu.Unlock()
	return v, h.db.Sync(ctx)
}

// propertiesOf are those of c that the account may see. They are not to be
// changed.
func (a *account) propertiesOf(c *contact) map[string]string {
	o := a.hub.accounts[c.ID]
	if c.Net != "" || o == nil || !c.on(FL) || !o.visible(a.addr()) {
		return nil
	}
	return o.rec.Properties
}

// tellProperties tells the client what c shows of himself, as when he comes onto
// the list. The lock is held.
func (s *Session) tellProperties(c *contact) {
	props := s.acct.propertiesOf(c)
	for _, key := range slices.Sorted(maps.Keys(props)) {
		s.tellProperty(c, key, props[key])
	}
}

func (s *Session) tellProperty(c *contact, key, value string) {
	s.sink.Deliver(im.PropertyChanged{Who: s.acct.show(c), Key: key, Value: value, Version: s.acct.rec.Version}, nil)
}

// propertiesMoved follows when o may or may not see a's properties any longer:
// they stand in his lists, which are others now. The lock is held.
func (a *account) propertiesMoved(o *account, c *contact, visible bool) {
	if len(a.rec.Properties) == 0 {
		return
	}
	o.bump()
	a.hub.put(store.Soon, o)
	if visible {
		for _, s := range o.sessions {
			s.tellProperties(c)
		}
	}
}
