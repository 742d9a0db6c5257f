package bridge

import (
	"iter"

	"nudge/bridge/im"
	"nudge/store"
)

// sees is what the account sees of c now. A contact on this box may refuse to
// be seen; of a contact on a network nothing is known while the link is down,
// but that what is written to him waits.
// A contact that a network never spoke about counts as there (DESIGN.md §3).
func (a *account) sees(c *contact) im.Presence {
	if c.Net == "" {
		other := a.hub.accounts[c.ID]
		if other == nil || !other.visible(a.addr()) {
			return im.Presence{}
		}
		return seenByOthers(other.shown())
	}
	p := a.port(c.Net)
	switch {
	case p == nil:
		return im.Presence{}
	case !p.reachable():
		return p.unseen()
	case !c.known:
		return im.Presence{Status: im.Online, Later: true}
	}
	now := c.now
	now.Picture = c.picture
	return now
}

// seenByOthers is p as anybody else may see it.
func seenByOthers(p im.Presence) im.Presence {
	if p.Status == im.Hidden || p.Status == im.Offline {
		return im.Presence{}
	}
	return p
}

// presenceMoved tells everybody who may see a, and every network, that its
// presence is no longer what it was before. The lock is held.
func (h *Hub) presenceMoved(a *account, before im.Presence) {
	now := a.shown()
	if now == before {
		return // clients say the same thing twice
	}
	if here := now.Status != im.Offline; here != a.here {
		a.here = here
		h.came(here)
	}
	old, seen := seenByOthers(before), seenByOthers(now)
	for _, watcher := range a.contacts {
		other := h.accounts[watcher.ID]
		switch {
		case watcher.Net != "" || other == nil || !watcher.on(RL) || !a.visible(other.addr()):
		case old.Status == im.Offline && seen.Status == im.Offline:
		default:
			if c := other.contacts.of(a.addr()); c != nil && c.on(FL) {
				other.deliverPresence(c, seen)
			}
		}
	}
	ev := im.PresenceChanged{Who: a.person(), Now: now}
	for _, p := range h.portsOf(a) {
		p.sendPresence(a.key, ev)
	}
}

// nameMoved tells everybody who may see a that it has another name. It stands
// in their lists too, so these have a new version (MSNP.md K.3).
func (h *Hub) nameMoved(a *account) {
	for o := range a.listedBy() {
		o.bump()
		h.put(store.Soon, o)
	}
	h.presenceMoved(a, im.Presence{})
}

// listedBy yields the accounts of this box that have a on a list, with their
// entry.
func (a *account) listedBy() iter.Seq2[*account, *contact] {
	return func(yield func(*account, *contact) bool) {
		for _, o := range a.hub.accounts {
			if c := o.contacts.of(a.addr()); c != nil && !yield(o, c) {
				return
			}
		}
	}
}

// visibilityMoved tells other that it may or may not see a any longer.
func (h *Hub) visibilityMoved(a *account, other im.Addr, was bool) {
	o := h.accounts[other.ID]
	if other.Net != "" || o == nil || was == a.visible(other) {
		return
	}
	if c := o.contacts.of(a.addr()); c != nil && c.on(FL) {
		if was {
			o.deliverPresence(c, im.Presence{})
		} else if now := seenByOthers(a.shown()); now.Status != im.Offline {
			o.deliverPresence(c, now)
		}
		a.propertiesMoved(o, c, !was)
	}
}

// isThere says whether who shows p is worth a word to a client that takes everybody
// for off-line until it hears otherwise.
func isThere(p im.Presence) bool { return p.Status != im.Offline || p.Later }

// deliverPresence hands what c shows now to the account's clients.
func (a *account) deliverPresence(c *contact, now im.Presence) {
	for _, s := range a.sessions {
		if s.ready && !s.hides(c) {
			if s.client.Pictures {
				a.wishFor(c)
			}
			s.sink.Deliver(im.PresenceChanged{Who: a.show(c), Now: now}, nil)
		}
	}
}

// portsOf lists the links that speak for a: its own and the shared ones.
func (h *Hub) portsOf(a *account) []*port {
	var ps []*port
	for _, p := range a.ports {
		ps = append(ps, p)
	}
	for net, p := range h.shared {
		if a.ports[net] == nil {
			ps = append(ps, p)
		}
	}
	return ps
}

// linkMoved shows the clients that the contacts of a link came or went with
// it. users are the accounts the link speaks for. The lock is held.
func (h *Hub) linkMoved(p *port) {
	for _, a := range h.accounts {
		if a.port(p.net) != p {
			continue
		}
		for _, c := range a.contacts {
			if c.Net == p.net && c.on(FL) {
				a.deliverPresence(c, a.sees(c))
			}
		}
	}
}
