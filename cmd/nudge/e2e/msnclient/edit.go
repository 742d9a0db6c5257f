package msnclient

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// id is the GUID of a contact, as SYN or ADC told it.
func (c *Client) id(handle string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id := c.ids[strings.ToLower(handle)]; id != "" {
		return id, nil
	}
	return "", fmt.Errorf("%s has no id: not on the forward list", handle)
}

// Add puts a handle on a list.
func (c *Client) Add(ctx context.Context, list List, handle string) error {
	v := c.cfg.Version
	if v.ids() {
		args := []string{list.String(), "N=" + handle}
		if list == FL {
			args = append(args, "F="+handle)
		}
		e, err := c.do(ctx, c.ns, "ADC", args...)
		if err != nil {
			return err
		}
		return c.added(e, list, handle)
	}
	args := []string{list.String(), handle, handle}
	if list == FL && v.Groups() {
		args = append(args, "0")
	}
	_, err := c.do(ctx, c.ns, "ADD", args...)
	return err
}

// added keeps the id that came with the answer: `trid list N= F= C=`.
func (c *Client) added(e Event, list List, handle string) error {
	contact, rest := named(e.Args[2:])
	if e.Args[1] != list.String() || contact.Handle == "" || len(rest) > 0 || (contact.ID != "") != (list == FL) {
		return fmt.Errorf("ADC has no form %q", e.Line)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil {
		c.ids = map[string]string{}
	}
	if list == FL {
		c.ids[strings.ToLower(handle)] = contact.ID
		c.ids[strings.ToLower(contact.Handle)] = contact.ID
	}
	return nil
}

// AddToGroup puts somebody who is on the forward list into a group too.
func (c *Client) AddToGroup(ctx context.Context, handle, group string) error {
	if !c.cfg.Version.ids() {
		_, err := c.do(ctx, c.ns, "ADD", "FL", handle, handle, group)
		return err
	}
	id, err := c.id(handle)
	if err == nil {
		_, err = c.do(ctx, c.ns, "ADC", "FL", "C="+id, group)
	}
	return err
}

// Remove takes a handle off a list.
func (c *Client) Remove(ctx context.Context, list List, handle string) error {
	return c.remove(ctx, list, handle)
}

// RemoveFromGroup takes somebody out of one group only.
func (c *Client) RemoveFromGroup(ctx context.Context, handle, group string) error {
	return c.remove(ctx, FL, handle, group)
}

func (c *Client) remove(ctx context.Context, list List, who string, group ...string) (err error) {
	if c.cfg.Version.ids() && list == FL {
		if who, err = c.id(who); err != nil {
			return err
		}
	}
	_, err = c.do(ctx, c.ns, "REM", append([]string{list.String(), who}, group...)...)
	return err
}

// AddGroup makes a group and returns its id.
func (c *Client) AddGroup(ctx context.Context, name string) (string, error) {
	args := []string{url.PathEscape(name)}
	if !c.cfg.Version.ids() {
		args = append(args, "0")
	}
	e, err := c.do(ctx, c.ns, "ADG", args...)
	if err != nil {
		return "", err
	}
	if c.cfg.Version.ids() {
		return e.Args[2], nil
	}
	return e.Args[3], nil
}

// RemoveGroup removes a group.
func (c *Client) RemoveGroup(ctx context.Context, group string) error {
	_, err := c.do(ctx, c.ns, "RMG", group)
	return err
}

// RenameGroup gives a group another name.
func (c *Client) RenameGroup(ctx context.Context, group, name string) error {
	args := []string{group, url.PathEscape(name)}
	if !c.cfg.Version.ids() {
		args = append(args, "0")
	}
	_, err := c.do(ctx, c.ns, "REG", args...)
	return err
}

// Rename sets the own friendly name.
func (c *Client) Rename(ctx context.Context, name string) error {
	var err error
	if c.cfg.Version.ids() {
		_, err = c.do(ctx, c.ns, "PRP", "MFN", url.PathEscape(name))
	} else {
		_, err = c.do(ctx, c.ns, "REA", c.cfg.Handle, url.PathEscape(name))
	}
	return err
}

// RenameContact sets the name under which the client shows a contact.
func (c *Client) RenameContact(ctx context.Context, handle, name string) error {
	if !c.cfg.Version.ids() {
		_, err := c.do(ctx, c.ns, "REA", handle, url.PathEscape(name))
		return err
	}
	id, err := c.id(handle)
	if err == nil {
		_, err = c.do(ctx, c.ns, "SBP", id, "MFN", url.PathEscape(name))
	}
	return err
}

// Set sends one of the settings with a single value: GTC, BLP or IMS.
func (c *Client) Set(ctx context.Context, setting, value string) error {
	_, err := c.do(ctx, c.ns, setting, value)
	return err
}

// Listed returns what an ADD or ADC tells: the transaction id ("0": somebody
// else did it), the list and who. ok is false for every other event.
func (e Event) Listed() (trid string, list List, who Contact, ok bool) {
	a := e.Args
	switch {
	case e.Cmd == "ADD" && len(a) >= 5:
		return a[0], parseList(a[1]), Contact{Handle: a[3], Name: decode(a[4])}, true
	case e.Cmd == "ADC" && len(a) >= 3:
		who, _ = named(a[2:])
		return a[0], parseList(a[1]), who, who.Handle != ""
	}
	return "", 0, Contact{}, false
}
