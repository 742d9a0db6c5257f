package bridge

import (
	"context"
	"fmt"

	"nudge/bridge/im/codepage"
	"nudge/store"
)

// codePage is the key of an account's setting that names the encoding of what its
// oldest clients write: they say nothing about it and mean that of their Windows.
const codePage = "code-page"

// SetCodePage names the encoding of an account's clients that name none, such as
// windows-1251; "" is Western European.
func (h *Hub) SetCodePage(ctx context.Context, handle, page string) error {
	if page != "" && !codepage.Known(page) {
		return fmt.Errorf("%q is no code page; examples are windows-1250 (Central European), windows-1251 or koi8-r (Russian), shift_jis, gbk, big5", page)
	}
	return h.changeAccount(ctx, handle, func(store.Account) (func(*account), error) {
		return func(a *account) { a.setting(codePage, page) }, nil
	})
}

// setting sets one of the account's settings, or removes it when it is empty. The
// lock is held; the caller writes the record.
func (a *account) setting(key, value string) {
	all := map[string]string{key: value}
	for k, v := range a.rec.Settings { // writes that wait have the old map
		if k != key {
			all[k] = v
		}
	}
	if value == "" {
		delete(all, key)
	}
	a.rec.Settings = all
}

// CodePage is the encoding of what the client writes without naming one, "" for
// Western European.
func (s *Session) CodePage() string {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.acct.rec.Settings[codePage]
}

// CodePage is that of the client's session.
func (s *Seat) CodePage() string { return s.session.CodePage() }
