package bridge

import (
	"context"
	"iter"
	"slices"

	"nudge/bridge/im"
	"nudge/store"
)

// host is what a link sees of the hub (im.Host), bound to its network.
type host struct{ *port }

// Mark is the position last put on disk.
func (h *host) Mark(user im.Addr) (mark []byte, err error) {
	err = h.hub.db.View(func(tx *store.Tx) error {
		mark = slices.Clone(tx.Mark(canonical(user.ID), h.net))
		return nil
	})
	return mark, err
}

func (h *host) Account(handle string) (im.Account, bool) {
	h.hub.mu.Lock()
	defer h.hub.mu.Unlock()
	a := h.hub.accounts[canonical(handle)]
	if a == nil || a.port(h.net) != h.port {
		return im.Account{}, false
	}
	return h.snapshot(a), true
}

// Accounts lists every account that the link speaks for, as it was when the loop
// began.
func (h *host) Accounts() iter.Seq[im.Account] {
	h.hub.mu.Lock()
	var all []im.Account
	for _, a := range h.hub.accounts {
		if a.port(h.net) == h.port {
			all = append(all, h.snapshot(a))
		}
	}
	h.hub.mu.Unlock()
	return slices.Values(all)
}

func (h *host) snapshot(a *account) im.Account {
	return im.Account{
		Person: im.Person{Addr: a.addr(), Name: a.person().Name},
		Now:    a.shown(),
		OnList: func(addr im.Addr) (allow, block bool) {
			h.hub.mu.Lock()
			defer h.hub.mu.Unlock()
			c := a.contacts.of(addr)
			return a.visible(addr), c != nil && c.on(BL)
		},
	}
}

func (h *host) Unsettled(user im.Addr) []im.Unsettled {
	h.hub.mu.Lock()
	defer h.hub.mu.Unlock()
	var all []im.Unsettled
	for _, s := range h.sends {
		if s.user == canonical(user.ID) {
			all = append(all, im.Unsettled{Event: s.ev, Mark: s.mark})
		}
	}
	return all
}

func (h *host) KV(user im.Addr) im.KV { return kv{h.hub.db, canonical(user.ID), h.net} }

// Seal encrypts a secret of the link.
func (h *host) Seal(user im.Addr, plain []byte) []byte {
	return h.hub.db.Seal(h.sealing(user), plain)
}

// Unseal opens what Seal made.
func (h *host) Unseal(user im.Addr, sealed []byte) ([]byte, error) {
	return h.hub.db.Unseal(h.sealing(user), sealed)
}

func (h *host) sealing(user im.Addr) string { return "kv " + canonical(user.ID) + " " + h.net }

func (h *host) Setting(user im.Addr, key string) string {
	h.hub.mu.Lock()
	defer h.hub.mu.Unlock()
	return h.rec.Settings[key]
}

// kv is one link's name space in the store (im.KV).
type kv struct {
	db        *store.DB
	user, net string
}

func (k kv) View(fn func(im.Tx) error) error {
	return k.db.View(func(tx *store.Tx) error { return fn(tx.KV(k.user, k.net)) })
}

func (k kv) Update(fn func(im.Tx) error) error {
	done := make(chan error, 1)
	k.db.Do(store.Now, func(tx *store.Tx) error { return fn(tx.KV(k.user, k.net)) }, func(err error) { done <- err })
	return <-done
}

func (k kv) Sync(ctx context.Context) error { return k.db.Sync(ctx) }
