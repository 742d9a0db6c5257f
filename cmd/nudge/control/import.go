package control

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"nudge/bridge"
)

// ImportUser is one account to import with its contacts.
type ImportUser struct {
	Handle   string   `json:"handle"`
	Password string   `json:"password,omitempty"` // the box makes one when there is none
	Name     string   `json:"name,omitempty"`
	MD5      bool     `json:"md5,omitempty"`
	Contacts []string `json:"contacts,omitempty"`
}

// Imported tells what became of an import.
type Imported struct {
	Users     int           `json:"users"`    // made
	Contacts  int           `json:"contacts"` // entries made on either side
	Passwords []NewPassword `json:"passwords,omitempty"`
	Failed    []string      `json:"failed,omitempty"` // a sentence each
}

var userImport = call[[]ImportUser, Imported]{"/user/import", (*Box).userImport}

// ImportUsers makes accounts and enters their contacts on both sides. An
// account that exists is left as it is and gets the contacts.
func (cl *Client) ImportUsers(ctx context.Context, users []ImportUser) (Imported, error) {
	return ask(ctx, cl, userImport, users)
}

// atOnce is how many edits wait for the disk together: one commit takes them
// all.
const atOnce = 64

func (b *Box) userImport(ctx context.Context, users []ImportUser) (Imported, error) {
	exists := map[string]bool{}
	for _, a := range b.Hub.AccountList() {
		exists[fold(a.Handle)] = true
	}
	var im importing
	im.each(ctx, users, func(u ImportUser) {
		if exists[fold(u.Handle)] {
			return
		}
		made, err := b.userAdd(ctx, NewUser{Handle: u.Handle, Name: u.Name, Password: u.Password, MD5: u.MD5})
		im.note(func(r *Imported) {
			switch {
			case err != nil:
				r.Failed = append(r.Failed, err.Error())
				return
			case made.Password != "":
				r.Passwords = append(r.Passwords, made)
			}
			r.Users++
		})
	})
	im.each(ctx, users, func(u ImportUser) {
		for _, c := range u.Contacts {
			im.contact(b.Hub.AddContact(ctx, u.Handle, c))
			// Only accounts of this box have a list that can take it.
			if err := b.Hub.AddContact(ctx, c, u.Handle); !errors.Is(err, bridge.ErrNoAccount) {
				im.contact(err)
			}
		}
	})
	return im.Imported, ctx.Err()
}

// importing collects the outcome of edits that run side by side.
type importing struct {
	mu sync.Mutex
	Imported
}

func (i *importing) each(ctx context.Context, users []ImportUser, do func(ImportUser)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, u := range users {
		if ctx.Err() != nil {
			break
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(u)
		})
	}
	wg.Wait()
}

func (i *importing) note(f func(*Imported)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(&i.Imported)
}

// contact counts one entry. One that was there already is as wished.
func (i *importing) contact(err error) {
	i.note(func(r *Imported) {
		switch {
		case err == nil:
			r.Contacts++
		case !errors.Is(err, bridge.ErrOnList):
			r.Failed = append(r.Failed, fmt.Sprintf("contact %v", err))
		}
	})
}
