package bridge

import (
	"context"

	"nudge/bridge/im"
	"nudge/store"
)

// SetPrompt says whether the user is asked when somebody adds him (GTC,
// MSNP.md B.8). ErrUnchanged when it is so already.
func (s *Session) SetPrompt(ctx context.Context, ask bool) (uint64, error) {
	return s.privacy(ctx, func(a *account) bool {
		moved := a.rec.Prompt != ask
		a.rec.Prompt = ask
		return moved
	})
}

// SetBlockOthers says whether only people on the allow list may see the
// account and write to it (BLP BL). ErrUnchanged when it is so already.
func (s *Session) SetBlockOthers(ctx context.Context, block bool) (uint64, error) {
	return s.privacy(ctx, func(a *account) bool {
		if a.rec.BlockOthers == block {
			return false
		}
		saw := map[string]bool{}
		for key, o := range a.hub.accounts {
			saw[key] = a.visible(o.addr())
		}
		a.rec.BlockOthers = block
		for key, o := range a.hub.accounts {
			a.hub.visibilityMoved(a, o.addr(), saw[key])
		}
		return true
	})
}

func (s *Session) privacy(ctx context.Context, change func(*account) bool) (uint64, error) {
	h, a := s.hub, s.acct
	h.mu.Lock()
	if !change(a) {
		v := a.rec.Version
		h.mu.Unlock()
		return v, ErrUnchanged
	}
	v := a.bump()
	h.put(store.Soon, a)
	h.mu.Unlock()
	return v, h.db.Sync(ctx)
}

// Rename gives a contact the name that the user wants to see (REA, MSNP.md
// B.9.4). A contact on this box keeps showing his own.
func (s *Session) Rename(ctx context.Context, who, name string) (Change, error) {
	h, a := s.hub, s.acct
	name = im.OneLine(name)
	h.mu.Lock()
	c := a.find(who)
	switch {
	case c == nil || !c.on(FL):
		h.mu.Unlock()
		return Change{}, ErrNotOnList
	case name == "" || len(name) > maxName:
		h.mu.Unlock()
		return Change{}, ErrName
	}
	if c.Name != name {
		c.Name = name
		a.edit(im.Rename, c)
		a.write(c)
	}
	ch := Change{Version: a.bump(), Who: im.Person{Addr: a.show(c).Addr, Name: name}}
	h.put(store.Soon, a)
	h.mu.Unlock()
	return ch, h.db.Sync(ctx)
}
