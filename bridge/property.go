package bridge

import (
	"context"
	"maps"

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
			ev := im.PropertyChanged{Who: o.show(c), Key: key, Value: value, Version: o.bump()}
			h.put(store.Soon, o)
			for _, s := range o.sessions {
				s.sink.Deliver(ev, nil)
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
