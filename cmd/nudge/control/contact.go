package control

import (
	"context"
	"errors"
	"fmt"

	"nudge/bridge"
)

// Contact is one entry of an account's lists.
type Contact struct {
	Handle  string   `json:"handle"`
	Name    string   `json:"name,omitempty"`
	Network string   `json:"network,omitempty"` // "": an account of this box
	Lists   []string `json:"lists"`             // FL AL BL RL PL
}

// ContactName names a contact of an account.
type ContactName struct {
	Account string `json:"account"`
	Contact string `json:"contact"`
}

var (
	contactAdd    = call[ContactName, Done]{"/contact/add", (*Box).contactAdd}
	contactList   = call[UserHandle, []Contact]{"/contact/list", (*Box).contactList}
	contactRemove = call[ContactName, Done]{"/contact/remove", (*Box).contactRemove}
)

// AddContact puts a contact on the account's list and lets him see it.
func (cl *Client) AddContact(ctx context.Context, account, contact string) error {
	_, err := ask(ctx, cl, contactAdd, ContactName{account, contact})
	return err
}

// Contacts lists who is on the account's lists.
func (cl *Client) Contacts(ctx context.Context, account string) ([]Contact, error) {
	return ask(ctx, cl, contactList, UserHandle{account})
}

// RemoveContact takes a contact off the account's list.
func (cl *Client) RemoveContact(ctx context.Context, account, contact string) error {
	_, err := ask(ctx, cl, contactRemove, ContactName{account, contact})
	return err
}

func (b *Box) contactAdd(ctx context.Context, n ContactName) (Done, error) {
	err := b.Hub.AddContact(ctx, n.Account, n.Contact)
	if errors.Is(err, bridge.ErrNoSuchUser) && !b.Running {
		err = fmt.Errorf("%w on this box; people on other networks can be added while nudge runs", err)
	}
	return Done{}, err
}

func (b *Box) contactList(_ context.Context, u UserHandle) ([]Contact, error) {
	on, err := b.Hub.AccountContacts(u.Handle)
	if err != nil {
		return nil, err
	}
	contacts := []Contact{}
	for _, c := range on {
		lists := []string{}
		for _, l := range []bridge.List{bridge.FL, bridge.AL, bridge.BL, bridge.RL, bridge.PL} {
			if c.Lists&l != 0 {
				lists = append(lists, l.String())
			}
		}
		contacts = append(contacts, Contact{Handle: c.ID, Name: c.Name, Network: c.Net, Lists: lists})
	}
	return contacts, nil
}

func (b *Box) contactRemove(ctx context.Context, n ContactName) (Done, error) {
	return Done{}, b.Hub.RemoveContact(ctx, n.Account, n.Contact)
}
