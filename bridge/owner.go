package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// What the owner does with accounts. These methods wait until it is on disk.

// maxPassword is the longest password every client sends whole (CLIENTS.md).
const maxPassword = 16

// AccountInfo is an account as the owner sees it.
type AccountInfo struct {
	Handle, Name string
	MD5          bool   // may sign in with MSNP2–7
	CodePage     string // of the clients that name none, "" for Western European
	Created      time.Time
	Status       im.Status
	Client       Client // the newest session, zero when signed off
	Contacts     int
	Waiting      int    // messages in the journal
	Owner        bool   // may do everything on the box's pages
	Parent       string // the account whose child it is, "" for nobody's
}

// CreateAccount makes an account. With md5 it keeps the password so that the
// oldest clients can sign in (DESIGN.md §6).
func (h *Hub) CreateAccount(ctx context.Context, handle, name, password string, md5 bool) error {
	if !validHandle(handle) {
		return fmt.Errorf("%q is no handle; it must look like an e-mail address, such as alice@hotmail.com", handle)
	}
	rec := store.Account{Handle: handle, Name: im.OneLine(name), Prompt: true, Created: time.Now().UTC()}
	if err := h.setPassword(&rec, password, md5); err != nil {
		return err
	}
	h.mu.Lock()
	if h.accounts[canonical(handle)] != nil {
		h.mu.Unlock()
		return fmt.Errorf("the account %s exists already; nudge user list shows all", handle)
	}
	var epoch uint64
	err := h.db.View(func(tx *store.Tx) error { epoch = tx.Epoch(); return nil })
	rec.Version = epoch
	a := newAccount(h, rec)
	h.accounts[a.key] = a
	h.put(store.Now, a)
	h.mu.Unlock()
	return cmp.Or(err, h.db.Sync(ctx))
}

// setPassword fills in what a password leaves in the record. It costs the
// hash's time and is called without the lock.
func (h *Hub) setPassword(rec *store.Account, password string, md5 bool) error {
	switch {
	case len(password) < 4:
		return errors.New("the password is too short; use at least 4 characters")
	case len(password) > maxPassword:
		return fmt.Errorf("the password is longer than %d characters; old clients cut it there, so choose a shorter one", maxPassword)
	}
	rec.Password = store.HashPassword(password)
	rec.MD5, rec.MD5Secret = md5, nil
	if md5 {
		rec.MD5Secret = h.db.Seal(md5Context(rec.Handle), []byte(password))
	}
	return nil
}

// noAccount says what to do about a handle that is not there.
func noAccount(handle string) error {
	return fmt.Errorf("%w: %s; nudge user list shows all", ErrNoAccount, handle)
}

// SetPassword changes an account's password and signs its clients off.
func (h *Hub) SetPassword(ctx context.Context, handle, password string) error {
	return h.changeAccount(ctx, handle, func(rec store.Account) (func(*account), error) {
		err := h.setPassword(&rec, password, rec.MD5)
		return func(a *account) {
			a.takePassword(rec)
			for _, s := range slices.Clone(a.sessions) {
				s.end(im.Removed)
			}
		}, err
	})
}

// SetName changes the name that others see.
func (h *Hub) SetName(ctx context.Context, handle, name string) error {
	return h.changeAccount(ctx, handle, func(store.Account) (func(*account), error) {
		return func(a *account) {
			a.rec.Name = im.OneLine(name)
			a.bump()
			h.nameMoved(a)
		}, nil
	})
}

// SetMD5 allows or forbids the sign-in of MSNP2–7. Allowing it needs the
// password, because only its hash was kept.
func (h *Hub) SetMD5(ctx context.Context, handle string, on bool, password string) error {
	return h.changeAccount(ctx, handle, func(rec store.Account) (func(*account), error) {
		switch {
		case !on:
			rec.MD5, rec.MD5Secret = false, nil
		case !rec.Password.Matches(password):
			return nil, errors.New("that is not the account's password; MD5 needs it because the box keeps only a hash")
		default:
			if err := h.setPassword(&rec, password, true); err != nil {
				return nil, err
			}
		}
		return func(a *account) { a.takePassword(rec) }, nil
	})
}

// takePassword takes over what setPassword fills in. The lock is held.
func (a *account) takePassword(rec store.Account) {
	a.rec.Password, a.rec.MD5, a.rec.MD5Secret = rec.Password, rec.MD5, rec.MD5Secret
}

// changeAccount lets prepare work on a copy of the record, which may take its
// time, and then makes the change that it returned, under the lock.
func (h *Hub) changeAccount(ctx context.Context, handle string, prepare func(store.Account) (func(*account), error)) error {
	h.mu.Lock()
	a := h.accounts[canonical(handle)]
	if a == nil {
		h.mu.Unlock()
		return noAccount(handle)
	}
	rec := a.rec
	h.mu.Unlock()
	change, err := prepare(rec)
	if err != nil {
		return err
	}
	h.mu.Lock()
	if h.accounts[a.key] != a { // removed meanwhile
		h.mu.Unlock()
		return noAccount(handle)
	}
	change(a)
	h.put(store.Now, a)
	h.mu.Unlock()
	return h.db.Sync(ctx)
}

// RemoveAccount ends the account's sessions and links and forgets everything it
// owned, here and on the lists of the others.
func (h *Hub) RemoveAccount(ctx context.Context, handle string) error {
	h.mu.Lock()
	a := h.accounts[canonical(handle)]
	if a == nil {
		h.mu.Unlock()
		return noAccount(handle)
	}
	for _, s := range slices.Clone(a.sessions) {
		s.end(im.Removed)
	}
	ports := slices.Collect(maps.Values(a.ports))
	h.mu.Unlock()
	for _, p := range ports {
		p.stop()
	}
	h.mu.Lock()
	delete(h.accounts, a.key)
	h.dropFiles(func(l *fileLink) bool { return l.Account == a.key || l.Owner == a.key })
	h.counted()
	h.orphan(a.key)
	for _, o := range h.accounts {
		if c := o.contacts.of(a.addr()); c != nil {
			o.gone(c)
		}
	}
	h.tidyPictures()
	for net := range h.shared {
		a.leaves(net)
	}
	key := a.key
	h.db.Do(store.Now, func(tx *store.Tx) error { return tx.DeleteAccount(key) }, nil)
	h.mu.Unlock()
	return h.db.Sync(ctx)
}

// AccountList lists every account by handle.
func (h *Hub) AccountList() []AccountInfo {
	h.mu.Lock()
	var all []AccountInfo
	for _, a := range h.accounts {
		in := AccountInfo{Handle: a.rec.Handle, Name: a.rec.Name, MD5: a.rec.MD5, CodePage: a.rec.Settings[codePage],
			Created: a.rec.Created, Status: a.shown().Status, Contacts: a.count(FL), Owner: a.owner()}
		if p := h.accounts[a.rec.Parent]; a.rec.Child && p != nil {
			in.Parent = p.rec.Handle
		}
		if n := len(a.sessions); n > 0 {
			in.Client = a.sessions[n-1].client
		}
		all = append(all, in)
	}
	h.mu.Unlock()
	err := h.db.View(func(tx *store.Tx) error {
		for i := range all {
			all[i].Waiting = tx.MessageCount(all[i].Handle)
		}
		return nil
	})
	if err != nil {
		h.log.Error("the journal can't be read", "err", err)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Handle < all[j].Handle })
	return all
}

// Asked is an account that nobody is signed on to while people on its networks wait
// for an answer, who want to add it. Those on this box don't count: they are the
// owner's own people.
type Asked struct {
	Handle string
	By     int
}

// Asked lists them by handle.
func (h *Hub) Asked() (all []Asked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.accounts {
		if len(a.sessions) > 0 {
			continue
		}
		n := 0
		for _, c := range a.contacts {
			if c.Net != "" && c.on(PL) {
				n++
			}
		}
		if n > 0 {
			all = append(all, Asked{a.rec.Handle, n})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Handle < all[j].Handle })
	return all
}

// AccountContacts lists the contacts of an account by handle.
func (h *Hub) AccountContacts(handle string) ([]Contact, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.accounts[canonical(handle)]
	if a == nil {
		return nil, noAccount(handle)
	}
	return a.lists().Contacts, nil
}

// AddContact puts contact on the account's forward and allow list, as its user
// would.
func (h *Hub) AddContact(ctx context.Context, handle, contact string) error {
	return h.ownerEdit(ctx, handle, contact, func(a *account, addr im.Addr, name string) error {
		_, err := a.addTo(FL, addr, name, 0)
		if err == nil && !a.contacts.of(addr).on(AL|BL) {
			_, err = a.addTo(AL, addr, name, 0)
		}
		return err
	})
}

// RemoveContact takes contact off the account's forward list.
func (h *Hub) RemoveContact(ctx context.Context, handle, contact string) error {
	return h.ownerEdit(ctx, handle, contact, func(a *account, addr im.Addr, _ string) error {
		c := a.contacts.of(addr)
		if c == nil || !c.on(FL) {
			return ErrNotOnList
		}
		a.removeFrom(FL, c)
		return nil
	})
}

// BlockContact puts contact on the account's block list instead of its allow
// list, as its user would. Blocking twice is no error.
func (h *Hub) BlockContact(ctx context.Context, handle, contact string) error {
	return h.ownerEdit(ctx, handle, contact, func(a *account, addr im.Addr, name string) error {
		return a.swap(AL, BL, addr, name)
	})
}

// UnblockContact puts contact back from the account's block list to its allow
// list. ErrNotOnList when he is not blocked.
func (h *Hub) UnblockContact(ctx context.Context, handle, contact string) error {
	return h.ownerEdit(ctx, handle, contact, func(a *account, addr im.Addr, name string) error {
		if c := a.contacts.of(addr); c == nil || !c.on(BL) {
			return ErrNotOnList
		}
		return a.swap(BL, AL, addr, name)
	})
}

// swap moves addr from one list to its opposite. The lock is held.
func (a *account) swap(from, to List, addr im.Addr, name string) error {
	c := a.contacts.of(addr)
	if c != nil && c.on(to) {
		return nil
	}
	if c != nil && c.on(from) {
		a.removeFrom(from, c)
	}
	_, err := a.addTo(to, addr, name, 0)
	return err
}

// Find tells who is meant by an address: somebody on the account's lists, an
// account of this box, or somebody that one of the account's links knows.
// ErrNoSuchUser when it is nobody, ErrNoAnswer when a link that might know is
// down.
func (h *Hub) Find(ctx context.Context, handle, who string) (im.Person, error) {
	h.mu.Lock()
	a := h.accounts[canonical(handle)]
	h.mu.Unlock()
	if a == nil {
		return im.Person{}, noAccount(handle)
	}
	addr, name, err := h.resolve(ctx, a, who)
	return im.Person{Addr: addr, Name: name}, err
}

// ownerEdit runs edit on a list entry and tells the account's clients which
// lists it came on or went off.
func (h *Hub) ownerEdit(ctx context.Context, handle, contact string, edit func(*account, im.Addr, string) error) error {
	h.mu.Lock()
	a := h.accounts[canonical(handle)]
	h.mu.Unlock()
	if a == nil {
		return noAccount(handle)
	}
	addr, name, err := h.resolve(ctx, a, contact)
	if errors.Is(err, ErrNoAnswer) {
		addr, err = pendingAddr(contact), nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", contact, err)
	}
	h.mu.Lock()
	c, had := a.contacts.of(addr), List(0)
	if c != nil {
		had = List(c.Lists)
	}
	err = edit(a, addr, name)
	if now := a.contacts.of(addr); now != nil { // new, or made anew
		c = now
	}
	if err == nil && c != nil {
		a.listsMoved(c, had)
	}
	h.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", contact, err)
	}
	return h.db.Sync(ctx)
}
