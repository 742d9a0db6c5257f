package main

import (
	"fmt"
	"io"
	"strings"

	"nudge/cmd/nudge/control"
)

// contactCmd are the commands about an account's contacts.
type contactCmd struct {
	Add    contactAdd    `cmd:"" help:"Put somebody on an account's list."`
	List   contactList   `cmd:"" help:"List who is on an account's lists."`
	Remove contactRemove `cmd:"" help:"Take somebody off an account's list."`
}

// contactName are the arguments that name a contact.
type contactName struct {
	Handle  string `arg:"" help:"The account."`
	Contact string `arg:"" help:"An account of this box, or an address on a network the account is linked to."`
}

type contactAdd struct{ contactName }

func (contactAdd) Help() string {
	return "Example:\n\n\tnudge contact add alice@hotmail.com bob@example.org"
}

func (c contactAdd) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		if err := cl.AddContact(e.ctx, c.Handle, c.Contact); err != nil {
			return err
		}
		return e.say(control.Done{}, "%s is on the list of %s.", c.Contact, c.Handle)
	})
}

type contactList struct {
	Handle string `arg:"" help:"The account."`
}

func (contactList) Help() string {
	return "Lists: FL has added, AL may see, BL blocked, RL is added by, PL waits for an answer. Example:\n\n\tnudge contact list alice@hotmail.com"
}

func (c contactList) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		contacts, err := cl.Contacts(e.ctx, c.Handle)
		if err != nil {
			return err
		}
		return e.show(contacts, func(w io.Writer) {
			if len(contacts) == 0 {
				fmt.Fprintf(w, "%s has no contacts yet.\n", c.Handle)
				return
			}
			fmt.Fprintln(w, "HANDLE\tNAME\tNETWORK\tLISTS")
			for _, p := range contacts {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Handle, dash(p.Name), dash(p.Network), strings.Join(p.Lists, " "))
			}
		})
	})
}

type contactRemove struct{ contactName }

func (contactRemove) Help() string {
	return "Example:\n\n\tnudge contact remove alice@hotmail.com bob@example.org"
}

func (c contactRemove) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		if err := cl.RemoveContact(e.ctx, c.Handle, c.Contact); err != nil {
			return err
		}
		return e.say(control.Done{}, "%s is off the list of %s.", c.Contact, c.Handle)
	})
}
