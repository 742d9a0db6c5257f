package web

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"nudge/cmd/nudge/control"
)

// overData is the first page behind the door.
type overData struct {
	Status   control.Status
	Links    []control.Link // of the person and his children, or all
	Asking   []control.Link // those with a question that the person may answer
	Family   []control.User // whose pages the person may see
	Backup   string         // a reminder, "" when there is no need for one
	Requests []request
}

// request is somebody who wants to add a child.
type request struct{ Child, Who, Name string }

// backupAge is how old a backup may get before the first page reminds of it.
const backupAge = 7 * 24 * time.Hour

func (v *visit) overview() error {
	if v.me == nil {
		return v.goTo(v.base + "wizard")
	}
	if v.session.linkOnly {
		return v.choose()
	}
	ctx := v.r.Context()
	var d overData
	var err error
	if d.Status, err = v.control().Status(ctx); err != nil {
		return err
	}
	for _, u := range v.users {
		if v.me.Owner || same(u.Handle, v.me.Handle) || same(u.Parent, v.me.Handle) {
			d.Family = append(d.Family, u)
		}
	}
	for _, l := range d.Status.Links {
		if slices.ContainsFunc(d.Family, func(u control.User) bool { return same(u.Handle, l.Account) }) {
			d.Links = append(d.Links, l)
		}
	}
	d.Asking = v.asking(d.Links)
	if d.Requests, err = v.requests(ctx); err != nil {
		return err
	}
	if b := d.Status.Backup; v.me.Owner && (b == nil || time.Since(*b) > backupAge) {
		d.Backup = "There is no backup of this box yet."
		if b != nil {
			d.Backup = "The last backup is of " + b.Format("2 January 2006") + "."
		}
	}
	return v.render(200, "overview", "At a glance", d)
}

// requests lists who wants to add the person's children.
func (v *visit) requests(ctx context.Context) (all []request, err error) {
	for _, u := range v.users {
		if u.Parent == "" || !same(u.Parent, v.me.Handle) {
			continue
		}
		contacts, err := v.control().Contacts(ctx, u.Handle)
		if err != nil {
			return nil, err
		}
		for _, c := range contacts {
			if asks(c) {
				all = append(all, request{u.Handle, c.Handle, c.Name})
			}
		}
	}
	return all, nil
}

// asks tells whether somebody wants to add an account and has no answer yet.
func asks(c control.Contact) bool {
	return c.Network != "" &&
		slices.Contains(c.Lists, "PL") && !slices.ContainsFunc(c.Lists, func(l string) bool { return l == "FL" || l == "AL" || l == "BL" })
}

// accounts lists everybody.
func (v *visit) accounts() error { return v.render(200, "accounts", "Accounts", v.users) }

func (v *visit) addAccount() error {
	made, err := v.control().AddUser(v.r.Context(), control.NewUser{
		Handle: v.field("handle"), Name: v.field("name"), Password: v.r.PostFormValue("password"), MD5: v.field("md5") != "", Parent: v.field("parent"),
	})
	if err != nil {
		return v.done("accounts", "", err)
	}
	return v.done("account?h="+url.QueryEscape(made.Handle), newPassword(made, "was added"), nil)
}

// newPassword says what happened to an account, with the password that the box
// made.
func newPassword(p control.NewPassword, what string) string {
	text := p.Handle + " " + what + "."
	if p.Password != "" {
		text += " The password is " + p.Password + ": write it down."
	}
	return strings.Join(append([]string{text}, p.Warnings...), " ")
}

// accountData is one account with all it has.
type accountData struct {
	Contacts []control.Contact
	Requests []control.Contact // of a child
	Links    []control.Link
	Networks []control.Network
	Parents  []control.User
	CanLink  bool
}

func (v *visit) account() error {
	ctx := v.r.Context()
	d := accountData{CanLink: v.may(linkers) == ""}
	all, err := v.control().Contacts(ctx, v.about.Handle)
	if err != nil {
		return err
	}
	for _, c := range all {
		switch {
		case v.about.Parent != "" && asks(c):
			d.Requests = append(d.Requests, c)
		case slices.Contains(c.Lists, "FL"), slices.Contains(c.Lists, "BL"):
			d.Contacts = append(d.Contacts, c)
		}
	}
	if d.Links, err = v.control().Links(ctx, v.about.Handle, ""); err != nil {
		return err
	}
	if d.Networks, err = v.control().Networks(ctx); err != nil {
		return err
	}
	for _, u := range v.users {
		if u.Parent == "" && !same(u.Handle, v.about.Handle) {
			d.Parents = append(d.Parents, u)
		}
	}
	return v.render(200, "account", v.about.Handle, d)
}

func (v *visit) here() string { return "account?h=" + url.QueryEscape(v.about.Handle) }

// changeAccount does what one of the account's small forms asks for.
func (v *visit) changeAccount() error {
	ctx, handle := v.r.Context(), v.about.Handle
	change := control.UserChange{Handle: handle, Password: v.r.PostFormValue("password")}
	switch do := v.field("do"); do {
	case "name":
		name := v.field("name")
		change.Name = &name
	case "md5":
		on := v.field("on") != ""
		change.MD5 = &on
	case "codepage":
		page := v.field("page")
		change.CodePage = &page
	case "family":
		if !v.me.Owner {
			v.refuse(403, "Only the owner of the box can say who is whose child.")
			return nil
		}
		owner, parent := v.field("owner") != "", v.field("parent")
		change.Owner, change.Parent = &owner, &parent
	case "password":
		return v.newPassword()
	default:
		v.refuse(400, "The form asks for nothing that is known here.")
		return nil
	}
	return v.done(v.here(), "It is changed.", v.control().SetUser(ctx, change))
}

// newPassword changes the password. Who is not above the account must know the
// old one.
func (v *visit) newPassword() error {
	ctx, handle := v.r.Context(), v.about.Handle
	self := same(handle, v.me.Handle)
	if self {
		if _, err := v.control().CheckUser(ctx, control.SignIn{Handle: handle, Password: v.r.PostFormValue("old"), Source: v.from}); err != nil {
			return v.done(v.here(), "", err)
		}
	}
	set, err := v.control().SetPassword(ctx, control.UserPassword{Handle: handle, Password: v.r.PostFormValue("password")})
	if err != nil {
		return v.done(v.here(), "", err)
	}
	text := newPassword(set, "has a new password")
	if !self {
		return v.done(v.here(), text, nil)
	}
	return v.render(200, "changed", "Your password is changed", text) // it ended the session
}

func (v *visit) removeAccount() error {
	handle := v.field("h")
	switch {
	case same(handle, v.me.Handle):
		v.refuse(403, "You can't remove your own account.")
		return nil
	case v.field("sure") == "":
		return v.done("account?h="+url.QueryEscape(handle), "", errNotSure)
	}
	return v.done("accounts", handle+" was removed.", v.control().RemoveUser(v.r.Context(), handle))
}

// changeContact adds or removes a contact.
func (v *visit) changeContact() error {
	ctx, handle, who := v.r.Context(), v.about.Handle, v.field("who")
	if v.about.Parent != "" && same(handle, v.me.Handle) {
		v.refuse(403, "Your contacts are changed here by "+v.about.Parent+".")
		return nil
	}
	if v.field("do") == "remove" {
		return v.done(v.here(), who+" is off the list.", v.control().RemoveContact(ctx, handle, who))
	}
	return v.done(v.here(), who+" is on the list.", v.control().AddContact(ctx, handle, who))
}
