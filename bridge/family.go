package bridge

import (
	"context"
	"fmt"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// A child is an account with a parent on this box (DESIGN.md §6): who wants to
// add it from a network is shown to the parent and not to the child's clients,
// until the parent puts him on the child's list. Owners may do everything on the
// box's pages.

// ownerMark is the key of the setting that marks an owner's account.
const ownerMark = "owner"

// SetOwner makes an account an owner of the box, or no longer one. A child is
// never one, and the last owner remains.
func (h *Hub) SetOwner(ctx context.Context, handle string, on bool) error {
	if !on && h.onlyOwner(handle) {
		return fmt.Errorf("%s is the only owner of this box; make somebody else one first", handle)
	}
	return h.changeAccount(ctx, handle, func(rec store.Account) (func(*account), error) {
		if on && rec.Child {
			return nil, fmt.Errorf("%s is a child and can't own the box", handle)
		}
		value := ""
		if on {
			value = "on"
		}
		return func(a *account) { a.setting(ownerMark, value) }, nil
	})
}

// HasOwner tells whether some account is an owner.
func (h *Hub) HasOwner() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.accounts {
		if a.owner() {
			return true
		}
	}
	return false
}

func (h *Hub) onlyOwner(handle string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	is, others := false, false
	for key, a := range h.accounts {
		if key == canonical(handle) {
			is = a.owner()
		} else {
			others = others || a.owner()
		}
	}
	return is && !others
}

func (a *account) owner() bool { return a.rec.Settings[ownerMark] != "" }

// SetParent makes an account the child of another, or, with "", of nobody.
func (h *Hub) SetParent(ctx context.Context, handle, parent string) error {
	key := canonical(parent)
	if parent != "" {
		h.mu.Lock()
		p := h.accounts[key]
		bad := p == nil || p.rec.Child
		h.mu.Unlock()
		switch {
		case bad:
			return fmt.Errorf("%s can't be a parent: it must be an account of this box and no child itself", parent)
		case key == canonical(handle):
			return fmt.Errorf("nobody is a child of their own")
		case h.parentOf(handle):
			return fmt.Errorf("%s is a parent and can't be a child too", handle)
		}
	}
	return h.changeAccount(ctx, handle, func(rec store.Account) (func(*account), error) {
		if parent != "" && rec.Settings[ownerMark] != "" {
			return nil, fmt.Errorf("%s owns the box and can't be a child", handle)
		}
		return func(a *account) {
			a.rec.Child, a.rec.Parent = parent != "", key
			a.bump()
		}, nil
	})
}

// parentOf tells whether somebody is a child of handle.
func (h *Hub) parentOf(handle string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.accounts {
		if a.rec.Child && a.rec.Parent == canonical(handle) {
			return true
		}
	}
	return false
}

// keeps tells whether somebody on a network and on these lists is a request that
// the child's clients are not shown. The lock is held.
func (a *account) keeps(net string, on List) bool {
	return a.rec.Child && net != "" && on&PL != 0 && on&(FL|AL|BL) == 0
}

// tellParent says in the name of the box that somebody wants to add the child.
// The lock is held.
func (a *account) tellParent(c *contact) {
	p := a.hub.accounts[a.rec.Parent]
	if p == nil {
		return
	}
	p.notice(fmt.Sprintf("%s wants to add %s, who is not told. It is for you to allow it, on the box's pages.", c.Handle, a.rec.Handle))
}

// Notice writes to an account in the name of the box.
func (h *Hub) Notice(handle, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.accounts[canonical(handle)]; a != nil {
		a.notice(text)
	}
}

// notice is Notice with the lock held. A box without a contact of its own says
// nothing.
func (a *account) notice(text string) {
	voice := a.hub.voice
	if voice == (im.Addr{}) {
		return
	}
	a.receive(voice, "", im.Message{Conv: voice.ID, From: voice, At: time.Now(), Kind: im.Notice, Text: text})
}

// orphan makes the children of a removed account nobody's. The lock is held.
func (h *Hub) orphan(parent string) {
	for _, a := range h.accounts {
		if a.rec.Child && a.rec.Parent == parent {
			a.rec.Child, a.rec.Parent = false, ""
			h.put(store.Soon, a)
		}
	}
}
