package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"nudge/bridge/im"
)

// User is an account of the box.
type User struct {
	Handle   string    `json:"handle"`
	Name     string    `json:"name,omitempty"`
	MD5      bool      `json:"md5"`                 // may sign in with MSN 1.0 to 4
	CodePage string    `json:"code_page,omitempty"` // in which its oldest clients write
	Created  time.Time `json:"created"`
	Status   string    `json:"status"`
	Client   string    `json:"client,omitempty"`   // what it is signed in with
	Protocol string    `json:"protocol,omitempty"` // and which version it speaks
	Address  string    `json:"address,omitempty"`
	Contacts int       `json:"contacts"`
	Waiting  int       `json:"waiting"`          // messages for the next sign-in
	Owner    bool      `json:"owner"`            // may do everything on the box's pages
	Parent   string    `json:"parent,omitempty"` // the account whose child it is
}

// NewUser asks for an account. Without a password the box makes one.
type NewUser struct {
	Handle   string `json:"handle"`
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
	MD5      bool   `json:"md5,omitempty"`
	Owner    bool   `json:"owner,omitempty"`
	Parent   string `json:"parent,omitempty"`
}

// NewPassword is an account with the password the box made for it.
type NewPassword struct {
	Handle   string   `json:"handle"`
	Password string   `json:"password,omitempty"` // only when the box made it
	Warnings []string `json:"warnings,omitempty"`
}

// UserChange changes an account: what is nil stays. Switching MD5 on needs the
// password.
type UserChange struct {
	Handle   string  `json:"handle"`
	Name     *string `json:"name,omitempty"`
	MD5      *bool   `json:"md5,omitempty"`
	CodePage *string `json:"code_page,omitempty"` // "" for Western European
	Owner    *bool   `json:"owner,omitempty"`
	Parent   *string `json:"parent,omitempty"` // "" for nobody's child
	Password string  `json:"password,omitempty"`
}

// UserPassword sets a password; without one the box makes it.
type UserPassword struct {
	Handle   string `json:"handle"`
	Password string `json:"password,omitempty"`
}

// UserHandle names an account.
type UserHandle struct {
	Handle string `json:"handle"`
}

var (
	userAdd      = call[NewUser, NewPassword]{"/user/add", (*Box).userAdd}
	userList     = call[Done, []User]{"/user/list", (*Box).userList}
	userSet      = call[UserChange, Done]{"/user/set", (*Box).userSet}
	userPassword = call[UserPassword, NewPassword]{"/user/passwd", (*Box).userPassword}
	userRemove   = call[UserHandle, Done]{"/user/remove", (*Box).userRemove}
)

// AddUser makes an account.
func (cl *Client) AddUser(ctx context.Context, u NewUser) (NewPassword, error) {
	return ask(ctx, cl, userAdd, u)
}

// Users lists the accounts by handle.
func (cl *Client) Users(ctx context.Context) ([]User, error) { return ask(ctx, cl, userList, Done{}) }

// SetUser changes an account.
func (cl *Client) SetUser(ctx context.Context, c UserChange) error {
	_, err := ask(ctx, cl, userSet, c)
	return err
}

// SetPassword changes a password.
func (cl *Client) SetPassword(ctx context.Context, p UserPassword) (NewPassword, error) {
	return ask(ctx, cl, userPassword, p)
}

// RemoveUser removes an account with all it has.
func (cl *Client) RemoveUser(ctx context.Context, handle string) error {
	_, err := ask(ctx, cl, userRemove, UserHandle{handle})
	return err
}

func (b *Box) userAdd(ctx context.Context, u NewUser) (NewPassword, error) {
	added := NewPassword{Handle: u.Handle}
	if u.Password == "" {
		added.Password = readablePassword()
	}
	if err := b.Hub.CreateAccount(ctx, u.Handle, u.Name, cmp.Or(u.Password, added.Password), u.MD5); err != nil {
		return NewPassword{}, err
	}
	if u.Owner || u.Parent != "" {
		if _, err := b.userSet(ctx, UserChange{Handle: u.Handle, Owner: &u.Owner, Parent: &u.Parent}); err != nil {
			return NewPassword{}, fmt.Errorf("%s was added, but: %w", u.Handle, err)
		}
	}
	if !strings.HasSuffix(strings.ToLower(u.Handle), "@hotmail.com") {
		added.Warnings = append(added.Warnings, "MSN 1.0 wants @hotmail.com: it can't sign in as "+u.Handle+". Later clients can.")
	}
	return added, nil
}

func (b *Box) userList(context.Context, Done) ([]User, error) {
	users := []User{}
	for _, a := range b.Hub.AccountList() {
		users = append(users, User{
			Handle: a.Handle, Name: a.Name, MD5: a.MD5, CodePage: a.CodePage, Created: b.Hub.In(a.Created), Status: statusWord(a.Status),
			Client: a.Client.Program, Protocol: a.Client.Proto, Address: a.Client.Remote,
			Contacts: a.Contacts, Waiting: a.Waiting, Owner: a.Owner, Parent: a.Parent,
		})
	}
	return users, nil
}

func (b *Box) userSet(ctx context.Context, c UserChange) (Done, error) {
	if c.Name != nil {
		if err := b.Hub.SetName(ctx, c.Handle, *c.Name); err != nil {
			return Done{}, err
		}
	}
	if c.MD5 != nil {
		if err := b.Hub.SetMD5(ctx, c.Handle, *c.MD5, c.Password); err != nil {
			return Done{}, err
		}
	}
	if c.CodePage != nil {
		if err := b.Hub.SetCodePage(ctx, c.Handle, *c.CodePage); err != nil {
			return Done{}, err
		}
	}
	if c.Parent != nil {
		if err := b.Hub.SetParent(ctx, c.Handle, *c.Parent); err != nil {
			return Done{}, err
		}
	}
	if c.Owner != nil {
		if err := b.Hub.SetOwner(ctx, c.Handle, *c.Owner); err != nil {
			return Done{}, err
		}
	}
	return Done{}, nil
}

func (b *Box) userPassword(ctx context.Context, p UserPassword) (NewPassword, error) {
	set := NewPassword{Handle: p.Handle}
	if p.Password == "" {
		set.Password = readablePassword()
	}
	if err := b.Hub.SetPassword(ctx, p.Handle, cmp.Or(p.Password, set.Password)); err != nil {
		return NewPassword{}, err
	}
	b.SignInChanged(p.Handle)
	return set, nil
}

func (b *Box) userRemove(ctx context.Context, u UserHandle) (Done, error) {
	if err := b.Hub.RemoveAccount(ctx, u.Handle); err != nil {
		return Done{}, err
	}
	b.SignInChanged(u.Handle)
	return Done{}, nil
}

// readable are the characters that nobody mistakes for one another.
const readable = "abcdefghjkmnpqrstuvwxyz23456789"

// readablePassword makes a password of 14 characters with 59 random bits, such
// as h4kw-p2zt-9mxc.
func readablePassword() string { return readableText(3, 4) }

// readableText makes groups of random readable characters.
func readableText(groups, size int) string {
	const fair = 256 - 256%len(readable) // bytes above would favour the first characters
	var out []string
	for range groups {
		var g []byte
		for len(g) < size {
			var r [1]byte
			rand.Read(r[:]) // never fails
			if int(r[0]) < fair {
				g = append(g, readable[int(r[0])%len(readable)])
			}
		}
		out = append(out, string(g))
	}
	return strings.Join(out, "-")
}

// statusWord names a state for people.
func statusWord(s im.Status) string {
	words := [...]string{
		im.Offline: "offline", im.Online: "online", im.Busy: "busy", im.Idle: "idle", im.BeRightBack: "be right back",
		im.Away: "away", im.Phone: "on the phone", im.Lunch: "out to lunch", im.Hidden: "hidden",
	}
	if int(s) < len(words) {
		return words[s]
	}
	return fmt.Sprintf("state %d", s)
}
