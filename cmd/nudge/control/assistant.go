package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"nudge/bridge"
)

// Actions is what the built-in contact may do with the box, always for the
// account that asks it.
type Actions struct{ b *Box }

// Actions are for the assistant of this box.
func (b *Box) Actions() Actions { return Actions{b} }

// Status says how the box is, in a few short sentences.
func (a Actions) Status(_ context.Context, account string) (string, error) {
	here := 0
	for _, u := range a.b.Hub.AccountList() {
		if u.Client != (bridge.Client{}) {
			here++
		}
	}
	text := fmt.Sprintf("All is well here since %s. %s signed in.", a.b.Hub.In(a.b.started).Format("2 Jan 15:04"), count(here, "person is", "people are"))
	for _, l := range a.b.Hub.Links(account) {
		text += fmt.Sprintf("\n%s: %s", l.Net, linkLine(a.b.link(l)))
	}
	return text, nil
}

// Links describes the account's links, a line each.
func (a Actions) Links(_ context.Context, account string) ([]string, error) {
	var lines []string
	for _, l := range a.b.Hub.Links(account) {
		lines = append(lines, l.Net+": "+linkLine(a.b.link(l)))
	}
	return lines, nil
}

func linkLine(l Link) string {
	line := l.State
	if l.Text != "" {
		line += ", " + l.Text
	}
	if l.Waiting > 0 {
		line += fmt.Sprintf(" (%s to be sent)", count(l.Waiting, "message waits", "messages wait"))
	}
	return line
}

// Find looks through the account's contacts and the accounts of this box, by
// part of the name or address; an address is also asked for on the account's
// networks. A line each.
func (a Actions) Find(ctx context.Context, account, who string) ([]string, error) {
	contacts, err := a.b.Hub.AccountContacts(account)
	if err != nil {
		return nil, err
	}
	var lines []string
	seen := map[string]bool{fold(account): true}
	found := func(handle, name, where string) {
		if !seen[fold(handle)] && (strings.Contains(fold(handle), fold(who)) || strings.Contains(fold(name), fold(who))) {
			seen[fold(handle)] = true
			lines = append(lines, strings.TrimSpace(handle+" "+name)+where)
		}
	}
	for _, c := range contacts {
		found(c.ID, c.Name, ", on your list")
	}
	for _, u := range a.b.Hub.AccountList() {
		found(u.Handle, u.Name, ", on this box")
	}
	if len(lines) > 0 || !strings.Contains(who, "@") {
		return lines, nil
	}
	p, err := a.b.Hub.Find(ctx, account, who)
	switch {
	case errors.Is(err, bridge.ErrNoSuchUser):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []string{strings.TrimSpace(p.ID+" "+p.Name) + ", on " + p.Net}, nil
}

// Add puts somebody on the account's list.
func (a Actions) Add(ctx context.Context, account, contact string) error {
	return except(bridge.ErrOnList, a.b.Hub.AddContact(ctx, account, contact))
}

// Remove takes somebody off the account's list.
func (a Actions) Remove(ctx context.Context, account, contact string) error {
	return except(bridge.ErrNotOnList, a.b.Hub.RemoveContact(ctx, account, contact))
}

// Block keeps somebody from seeing the account and from writing to it.
func (a Actions) Block(ctx context.Context, account, contact string) error {
	return a.b.Hub.BlockContact(ctx, account, contact)
}

// Unblock undoes Block.
func (a Actions) Unblock(ctx context.Context, account, contact string) error {
	return except(bridge.ErrNotOnList, a.b.Hub.UnblockContact(ctx, account, contact))
}

// Settings describes what may be set on the account's links, a line each.
func (a Actions) Settings(_ context.Context, account string) ([]string, error) {
	var lines []string
	for _, l := range a.b.Hub.Links(account) {
		form, err := a.b.Hub.SettingsForm(l.Net)
		if err != nil {
			return nil, err
		}
		var all []string
		for _, f := range form {
			all = append(all, f.Key+" "+cmp.Or(l.Settings[f.Key], f.Default, "–"))
		}
		lines = append(lines, l.Net+": "+strings.Join(all, ", "))
	}
	return lines, nil
}

// Set changes a setting of one of the account's links. A child's are its parent's matter.
func (a Actions) Set(ctx context.Context, account, network, key, value string) error {
	for _, u := range a.b.Hub.AccountList() {
		if fold(u.Handle) == fold(account) && u.Parent != "" {
			return fmt.Errorf("ask %s to change that, on the box's pages", u.Parent)
		}
	}
	return a.b.Hub.SetLink(ctx, account, network, key, value)
}

// Answer answers the question that one of the account's links asks.
func (a Actions) Answer(_ context.Context, account, answer string) error {
	return a.b.Hub.AnswerHere(account, answer)
}

// LinkPage is a page on which account can be linked, once and for a few minutes.
func (a Actions) LinkPage(_ context.Context, account string) (string, error) {
	if a.b.LinkPage == nil {
		return "", nil
	}
	return a.b.LinkPage(account), nil
}

// except takes one error for success: what is asked for is so already.
func except(already, err error) error {
	if errors.Is(err, already) {
		return nil
	}
	return err
}

// count puts a number before the right word.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
