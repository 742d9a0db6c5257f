package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"nudge/cmd/nudge/control"
)

// userCmd are the commands about accounts.
type userCmd struct {
	Add    userAdd    `cmd:"" help:"Make an account."`
	List   userList   `cmd:"" help:"List the accounts."`
	Passwd userPasswd `cmd:"" help:"Change a password."`
	Set    userSet    `cmd:"" help:"Change an account: its name, or whether the oldest clients may sign in."`
	Remove userRemove `cmd:"" help:"Remove an account with its links, lists and messages."`
	Import userImport `cmd:"" help:"Make accounts and contacts out of JSON lines."`
}

// passwordFlags are the ways to give a password.
type passwordFlags struct {
	Password      string `placeholder:"PW" xor:"pw" help:"The password, up to 16 characters. Other users of this machine can see it while the command runs."`
	PasswordStdin bool   `xor:"pw" help:"Read the password from standard input."`
}

// read gives the password, "" when none was given.
func (p passwordFlags) read(e *env) (string, error) {
	if p.PasswordStdin {
		return e.stdin.secret("the password")
	}
	return p.Password, nil
}

type userAdd struct {
	Handle string `arg:"" help:"E-mail-like name to sign in with, such as alice@hotmail.com."`
	Name   string `placeholder:"NAME" help:"The name others see."`
	MD5    bool   `name:"md5" help:"Let MSN Messenger 1.0 to 4.6 sign in: keeps the password, sealed, instead of only its hash."`
	passwordFlags
}

func (userAdd) Help() string {
	return "Without a password one is made and shown. Example:\n\n\tnudge user add alice@hotmail.com --name Alice --md5"
}

func (c userAdd) Run(e *env) error {
	pw, err := c.read(e)
	if err != nil {
		return err
	}
	return e.with(mayMake, func(cl *control.Client) error {
		made, err := cl.AddUser(e.ctx, control.NewUser{Handle: c.Handle, Name: c.Name, Password: pw, MD5: c.MD5})
		if err != nil {
			return err
		}
		return e.showPassword(made, "was added")
	})
}

// showPassword tells what happened to an account, and its password when the box
// made it.
func (e *env) showPassword(p control.NewPassword, what string) error {
	return e.show(p, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s.\n", p.Handle, what)
		if p.Password != "" {
			fmt.Fprintf(w, "Password: %s\n", p.Password)
		}
		for _, s := range p.Warnings {
			fmt.Fprintln(w, s)
		}
	})
}

type userList struct{}

func (userList) Help() string { return "Example:\n\n\tnudge user list" }

func (userList) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		users, err := cl.Users(e.ctx)
		if err != nil {
			return err
		}
		return e.show(users, func(w io.Writer) {
			if len(users) == 0 {
				fmt.Fprintln(w, "There are no accounts yet. Make the first with: nudge user add alice@hotmail.com")
				return
			}
			fmt.Fprintln(w, "HANDLE\tNAME\tSTATUS\tCLIENT\tCONTACTS\tWAITING\tMD5")
			for _, u := range users {
				md5 := off
				if u.MD5 {
					md5 = "on"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", u.Handle, dash(u.Name), u.Status,
					dash(strings.TrimSpace(u.Protocol+" "+u.Client)), u.Contacts, u.Waiting, md5)
			}
		})
	})
}

type userPasswd struct {
	Handle string `arg:""`
	passwordFlags
}

func (userPasswd) Help() string {
	return "Signs the account off everywhere. Without a password one is made and shown. Example:\n\n\techo opensesame | nudge user passwd alice@hotmail.com --password-stdin"
}

func (c userPasswd) Run(e *env) error {
	pw, err := c.read(e)
	if err != nil {
		return err
	}
	return e.with(mustBe, func(cl *control.Client) error {
		set, err := cl.SetPassword(e.ctx, control.UserPassword{Handle: c.Handle, Password: pw})
		if err != nil {
			return err
		}
		return e.showPassword(set, "has a new password")
	})
}

type userSet struct {
	Handle string `arg:""`
	Key    string `arg:"" enum:"name,md5,code-page,owner,parent" help:"name, md5, code-page, owner or parent."`
	Value  string `arg:"" help:"The new name; on or off; the code page of a PC whose Messenger is too old to name it; the account whose child it is."`
	passwordFlags
}

func (userSet) Help() string {
	return "md5 on lets MSN Messenger 1.0 to 4.6 sign in and needs the account's password. " +
		"code-page is for MSN Messenger 1.0 to 2.2 on a Windows that is not Western European. " +
		"owner on lets the account do everything on the box's pages. parent makes it the child of another account: " +
		"who wants to add it from another network is shown to that one. Examples:\n\n" +
		"\tnudge user set alice@hotmail.com code-page windows-1251\n\tnudge user set carol@hotmail.com parent alice@hotmail.com\n" +
		"\tnudge user set alice@hotmail.com name \"Alice B.\"\n\tnudge user set alice@hotmail.com md5 on --password opensesame"
}

func (c userSet) Run(e *env) error {
	change := control.UserChange{Handle: c.Handle}
	switch {
	case c.Key == "name":
		change.Name = &c.Value
	case c.Key == "code-page":
		change.CodePage = &c.Value
	case c.Key == "parent":
		change.Parent = &c.Value
	case c.Value != "on" && c.Value != off:
		return usage("%s can't be %q; choose on or off", c.Key, c.Value)
	default:
		on := c.Value == "on"
		change.MD5 = &on
		if c.Key == "owner" {
			change.Owner, change.MD5 = &on, nil
		}
	}
	var err error
	if change.Password, err = c.read(e); err != nil {
		return err
	}
	if change.MD5 != nil && *change.MD5 && change.Password == "" {
		return usage("md5 on needs the account's password, because the box keeps only a hash: add --password-stdin")
	}
	return e.with(mustBe, func(cl *control.Client) error {
		if err := cl.SetUser(e.ctx, change); err != nil {
			return err
		}
		return e.say(control.Done{}, "%s: %s is now %s.", c.Handle, c.Key, c.Value)
	})
}

type userRemove struct {
	Handle string `arg:""`
}

func (userRemove) Help() string { return "Example:\n\n\tnudge user remove alice@hotmail.com" }

func (c userRemove) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		if err := cl.RemoveUser(e.ctx, c.Handle); err != nil {
			return err
		}
		return e.say(control.Done{}, "%s was removed.", c.Handle)
	})
}

type userImport struct {
	File string `arg:"" help:"File with one JSON object per line; - is standard input."`
}

func (userImport) Help() string {
	return "Contacts are entered on both sides; an account that exists is kept and gets the contacts. Example of a line, and of the command:\n\n" +
		"\t{\"handle\":\"alice@hotmail.com\",\"password\":\"opensesame\",\"name\":\"Alice\",\"contacts\":[\"bob@hotmail.com\"]}\n\n" +
		"\tnudge user import family.jsonl"
}

func (c userImport) Run(e *env) error {
	users, err := c.read(e)
	if err != nil {
		return err
	}
	return e.with(mayMake, func(cl *control.Client) error {
		done, err := cl.ImportUsers(e.ctx, users)
		if err != nil {
			return err
		}
		err = e.show(done, func(w io.Writer) {
			fmt.Fprintf(w, "%d accounts and %d contacts were made.\n", done.Users, done.Contacts)
			for _, p := range done.Passwords {
				fmt.Fprintf(w, "%s\tpassword %s\n", p.Handle, p.Password)
			}
		})
		if err == nil && len(done.Failed) > 0 {
			err = fmt.Errorf("%d entries failed:\n  %s", len(done.Failed), strings.Join(done.Failed, "\n  "))
		}
		return err
	})
}

// read reads the lines; a bad one is named and nothing is imported.
func (c userImport) read(e *env) ([]control.ImportUser, error) {
	var in io.Reader = e.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	users := []control.ImportUser{}
	for {
		var u control.ImportUser
		err := d.Decode(&u)
		switch {
		case errors.Is(err, io.EOF):
			return users, nil
		case err != nil:
			return nil, fmt.Errorf("%s: entry %d: %w", c.File, len(users)+1, err)
		case u.Handle == "":
			return nil, fmt.Errorf("%s: entry %d has no handle", c.File, len(users)+1)
		}
		users = append(users, u)
	}
}
