package msnserver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge/im"
	"nudge/cmd/nudge/e2e/msnclient"
	"nudge/msnserver/dialect"
)

// TestManyContacts gives every version the 300 contacts of a real account, and
// more than any of its clients takes.
func TestManyContacts(t *testing.T) {
	for _, v := range msnclient.Versions {
		for _, n := range []int{300, 700} {
			if n > 300 && v.Cap() < 300 {
				continue // 300 are too many already
			}
			t.Run(fmt.Sprintf("%s/%d", v.Name, n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { manyContacts(t, v, n) })
			})
		}
	}
}

// crowd is an account with n contacts and the box's voice among them.
type crowd struct {
	t      *testing.T
	b      *box
	v      msnclient.Version
	n      int
	client *msnclient.Client
	lists  msnclient.Lists
}

const crowded = "alice@example.com"

func manyContacts(t *testing.T, v msnclient.Version, n int) {
	ctx := t.Context()
	c := &crowd{t: t, b: newBox(t), v: v, n: n}
	c.check(c.b.hub.CreateAccount(ctx, crowded, "Alice", "123456", true))
	up := make(chan struct{}, 9)
	c.b.hub.Watch(watcher(up))
	c.check(c.b.hub.AddLink(ctx, crowded, "echo", nil))
	<-up
	for i := range n - 1 {
		c.check(c.b.hub.AddContact(ctx, crowded, fmt.Sprintf("c%03d@echo.test", i)))
	}
	c.check(c.b.hub.AddContact(ctx, crowded, voice.ID))

	c.signIn()
	c.shows(min(n, v.Cap()))
	if n <= v.Cap() {
		c.told(0)
		return
	}
	c.told(1)
	c.full()
	c.makeRoom()
	c.talk()
	before := c.lists
	c.signIn()
	c.shows(v.Cap())
	c.told(0)
	if strings.Join(before.Version, " ") == strings.Join(c.lists.Version, " ") {
		t.Errorf("other contacts under the same number %s", before.Version)
	}
	if !c.has(c.last()) {
		t.Errorf("%s was talked to and is not on the list", c.last())
	}
	if all, err := c.b.hub.AccountContacts(crowded); err != nil || len(all) != n {
		t.Errorf("the account has %d contacts, %v", len(all), err)
	}
}

func (c *crowd) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *crowd) signIn() {
	c.t.Helper()
	if c.client != nil {
		c.client.Close()
	}
	var err error
	c.client, err = msnclient.SignIn(c.t.Context(), clientConfig(c.b, c.t, c.v, crowded))
	c.check(err)
	c.t.Cleanup(c.client.Kill)
	c.lists, err = c.client.Sync(c.t.Context())
	c.check(err)
	c.check(c.client.SetStatus(c.t.Context(), "NLN"))
	c.check(c.client.Ping(c.t.Context()))
}

// name is how the client has a contact: MSN 1.0 and 2.0 under another address.
func (c *crowd) name(handle string) string {
	if d := dialect.Named(c.v.Name); d.Aliases {
		return d.Handle(im.Addr{Net: "echo", ID: handle})
	}
	return handle
}

func (c *crowd) has(handle string) bool {
	return c.lists.Contacts[c.name(handle)].On&msnclient.FL != 0
}

// last is the contact that is left out first, other one that is too.
func (c *crowd) last() string  { return fmt.Sprintf("c%03d@echo.test", c.n-2) }
func (c *crowd) other() string { return fmt.Sprintf("c%03d@echo.test", c.n-3) }

// shows checks that the forward list has so many, the box's voice among them,
// and that presence is told of them and of nobody else.
func (c *crowd) shows(want int) {
	c.t.Helper()
	friends := 0
	for _, contact := range c.lists.Contacts {
		if contact.On&msnclient.FL != 0 {
			friends++
		}
	}
	if friends != want || !c.has(voice.ID) {
		c.t.Errorf("%d contacts, want %d; the box's voice among them: %v", friends, want, c.has(voice.ID))
	}
	told := map[string]bool{}
	for _, e := range c.client.Log.Since(0) {
		if who, _, _ := e.Presence(); who != "" {
			told[who] = true
			if c.lists.Contacts[who].On&msnclient.FL == 0 {
				c.t.Errorf("presence of %s, who is not on the list", who)
			}
		}
	}
	if len(told) != want {
		c.t.Errorf("presence of %d contacts, want %d", len(told), want)
	}
}

// told counts how often the box has said that not everybody is shown.
func (c *crowd) told(want int) {
	c.t.Helper()
	time.Sleep(10 * time.Second) // the clock stands still while there is something to do
	got := 0
	for _, e := range c.client.Log.Since(0) {
		if text, ok := e.Text(); ok && e.From() == strings.ToLower(c.name(voice.ID)) && strings.Contains(text, fmt.Sprintf("You have %d contacts", c.n)) {
			got++
		}
	}
	if got != want {
		c.t.Errorf("told %d times, want %d", got, want)
	}
}

// full checks that nobody can be added, and that who is left out is not there.
func (c *crowd) full() {
	c.t.Helper()
	ctx := c.t.Context()
	for _, who := range []string{c.last(), "new@echo.test"} {
		if err := c.client.Add(ctx, msnclient.FL, c.name(who)); msnclient.Code(err) != "210" {
			c.t.Errorf("adding %s to a full list: %v", who, err)
		}
	}
	if err := c.client.Remove(ctx, msnclient.FL, c.name(c.last())); err == nil || c.v.MD5() && msnclient.Code(err) != "216" {
		c.t.Errorf("removing somebody who is not shown: %v", err)
	}
}

// makeRoom takes somebody off; then one more can be added, and is there.
func (c *crowd) makeRoom() {
	c.t.Helper()
	ctx, from := c.t.Context(), c.client.Log.Len()
	c.check(c.client.Remove(ctx, msnclient.FL, c.name("c000@echo.test")))
	c.check(c.client.Add(ctx, msnclient.FL, c.name(c.other())))
	c.check(c.client.Ping(ctx))
	seen := false
	for _, e := range c.client.Log.Since(from) {
		who, _, _ := e.Presence()
		seen = seen || strings.EqualFold(who, c.name(c.other()))
	}
	if !seen {
		c.t.Errorf("no presence of %s after there was room", c.other())
	}
	if err := c.client.Add(ctx, msnclient.FL, c.name("c000@echo.test")); msnclient.Code(err) != "210" {
		c.t.Errorf("one more: %v", err)
	}
	c.check(c.b.hub.AddContact(ctx, crowded, "c000@echo.test"))
}

// talk writes to somebody who is not shown, by his address.
func (c *crowd) talk() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	ch, err := c.client.Invite(ctx, c.name(c.last()))
	c.check(err)
	c.check(ch.Send(ctx, "there you are"))
	_, err = c.client.Log.Wait(ctx, 0, func(e msnclient.Event) bool {
		text, _ := e.Text()
		return text == "there you are"
	})
	c.check(err)
}

// TestGroupLimits makes as many groups as there may be, with names as long as
// they may be, which is measured as it goes over the wire.
func TestGroupLimits(t *testing.T) {
	for _, v := range msnclient.Versions {
		if !v.Groups() {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &crowd{t: t, b: newBox(t), v: v}
				ctx := t.Context()
				c.check(c.b.hub.CreateAccount(ctx, crowded, "Alice", "123456", true))
				c.signIn()
				fits, long := strings.Repeat("a b", 12)+"x", strings.Repeat("a b", 12)+"xy" // 61 and 62 bytes, a blank being three
				if _, err := c.client.AddGroup(ctx, long); msnclient.Code(err) != "229" {
					t.Errorf("a name that is too long: %v", err)
				}
				id, err := c.client.AddGroup(ctx, fits)
				c.check(err)
				if err := c.client.RenameGroup(ctx, id, long); msnclient.Code(err) != "229" {
					t.Errorf("renamed to a name that is too long: %v", err)
				}
				for i := range 29 {
					_, err := c.client.AddGroup(ctx, fmt.Sprint("Group ", i))
					c.check(err)
				}
				if _, err := c.client.AddGroup(ctx, "one more"); msnclient.Code(err) != "223" {
					t.Errorf("the 31st group: %v", err)
				}
				c.signIn()
				if len(c.lists.Groups) != 30 || c.lists.Groups[id] != fits {
					t.Errorf("%d groups, %s is %q", len(c.lists.Groups), id, c.lists.Groups[id])
				}
			})
		})
	}
}
