package msnclient

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Build numbers and names that CVR tells (MSNP.md B.4).
const (
	clientName    = "MSNMSGR"
	clientVersion = "5.0.0544"
)

// List names one of the four lists, and is its bit in MSNP8.
type List int

// The lists: forward, allow, block and reverse.
const (
	FL List = 1 << iota
	AL
	BL
	RL
)

func (l List) String() string {
	return map[List]string{FL: "FL", AL: "AL", BL: "BL", RL: "RL"}[l]
}

func parseList(s string) List {
	return map[string]List{"FL": FL, "AL": AL, "BL": BL, "RL": RL}[s]
}

// Contact is one entry of the lists.
type Contact struct {
	Handle, Name string
	On           List // every list it is on
}

// Lists is what SYN brought.
type Lists struct {
	Version  string
	Contacts map[string]Contact // by handle in lower case
}

// SignIn connects and signs in as far as the server's OK. The client has no
// lists yet (Sync) and is not yet visible (SetStatus).
func SignIn(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	c := &Client{Log: newLog(), cfg: cfg}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.signIn(ctx); err != nil {
		c.Kill()
		return nil, fmt.Errorf("sign-in of %s at %s with %s: %w", cfg.Handle, cfg.Addr, cfg.Version.Name, err)
	}
	return c, nil
}

func (c *Client) signIn(ctx context.Context) (err error) {
	if c.ns, err = c.dial(ctx, c.cfg.Addr, nil); err != nil {
		return err
	}
	e, err := c.do(ctx, c.ns, "VER", c.cfg.Version.Name, "CVR0")
	if err != nil {
		return err
	}
	if len(e.Args) < 2 || e.Args[1] != c.cfg.Version.Name {
		return fmt.Errorf("the server chose %q", e.Args[1:])
	}
	if c.cfg.Version.passport {
		e, err = c.passport(ctx)
	} else {
		e, err = c.md5(ctx)
	}
	if err != nil {
		return err
	}
	if len(e.Args) < 4 || e.Args[1] != "OK" {
		return fmt.Errorf("not an OK: %v", e)
	}
	c.Name = decode(e.Args[3])
	return nil
}

// md5 answers the challenge of MSNP2–7 (MSNP.md B.5.1).
func (c *Client) md5(ctx context.Context) (Event, error) {
	if _, err := c.do(ctx, c.ns, "INF"); err != nil {
		return Event{}, err
	}
	e, err := c.do(ctx, c.ns, "USR", "MD5", "I", c.cfg.Handle)
	if err != nil {
		return Event{}, err
	}
	if len(e.Args) != 4 || e.Args[2] != "S" {
		return Event{}, fmt.Errorf("not a challenge: %v", e)
	}
	sum := md5.Sum([]byte(e.Args[3] + c.cfg.Password))
	return c.do(ctx, c.ns, "USR", "MD5", "S", hex.EncodeToString(sum[:]))
}

// passport fetches a ticket and shows it (MSNP.md B.5.2, F.1).
func (c *Client) passport(ctx context.Context) (Event, error) {
	_, err := c.do(ctx, c.ns, "CVR", "0x0409", "win", "4.10", "i386", clientName, clientVersion, "MSMSGS", c.cfg.Handle)
	if err != nil {
		return Event{}, err
	}
	e, err := c.do(ctx, c.ns, "USR", "TWN", "I", c.cfg.Handle)
	if err != nil {
		return Event{}, err
	}
	if len(e.Args) != 4 || e.Args[2] != "S" {
		return Event{}, fmt.Errorf("not a challenge: %v", e)
	}
	ticket, err := c.ticket(ctx, e.Args[3])
	if err != nil {
		return Event{}, err
	}
	return c.do(ctx, c.ns, "USR", "TWN", "S", ticket)
}

// Sync fetches the lists.
func (c *Client) Sync(ctx context.Context) (Lists, error) {
	from := c.Log.Len()
	e, err := c.do(ctx, c.ns, "SYN", "0")
	if err != nil {
		return Lists{}, err
	}
	l := Lists{Contacts: map[string]Contact{}}
	if len(e.Args) > 1 {
		l.Version = e.Args[1]
	}
	entries, groups := 0, 0
	if c.cfg.Version.counted {
		if len(e.Args) != 4 {
			return l, fmt.Errorf("SYN without counts: %v", e)
		}
		entries, _ = strconv.Atoi(e.Args[2])
		groups, _ = strconv.Atoi(e.Args[3])
		if entries+groups == 0 {
			return l, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	last, err := c.Log.Wait(ctx, from, func(e Event) bool {
		if e.Chat != nil {
			return false
		}
		if !c.cfg.Version.counted {
			return e.Cmd == Closed || l.listed(e)
		}
		switch e.Cmd {
		case "LST":
			entries--
			l.counted(e)
		case "LSG":
			groups--
		}
		return e.Cmd == Closed || entries <= 0 && groups <= 0
	})
	if err == nil && last.Cmd == Closed {
		err = fmt.Errorf("the server closed the connection")
	}
	if err != nil {
		err = fmt.Errorf("the lists did not come whole: %w", err)
	}
	return l, err
}

// listed takes `LST trid list version place total handle name` and tells
// whether it was the last line (MSNP.md B.6.1: the reverse list ends it).
func (l *Lists) listed(e Event) bool {
	if e.Cmd != "LST" || len(e.Args) < 5 {
		return false
	}
	list, place, total := parseList(e.Args[1]), e.Args[3], e.Args[4]
	if len(e.Args) >= 7 {
		k := strings.ToLower(e.Args[5])
		on := l.Contacts[k].On | list
		l.Contacts[k] = Contact{Handle: e.Args[5], Name: decode(e.Args[6]), On: on}
	}
	return list == RL && place == total
}

// counted takes `LST handle name lists [groups]` (MSNP.md B.6.4).
func (l *Lists) counted(e Event) {
	if len(e.Args) < 3 {
		return
	}
	bits, _ := strconv.Atoi(e.Args[2])
	l.Contacts[strings.ToLower(e.Args[0])] = Contact{Handle: e.Args[0], Name: decode(e.Args[1]), On: List(bits)}
}

// SetStatus shows a state of MSNP.md B.10 (NLN, AWY, HDN …).
func (c *Client) SetStatus(ctx context.Context, state string) error {
	args := []string{state}
	if c.cfg.Version.flags {
		args = append(args, "0")
	}
	_, err := c.do(ctx, c.ns, "CHG", args...)
	return err
}

// Add puts a handle on a list.
func (c *Client) Add(ctx context.Context, list List, handle string) error {
	args := []string{list.String(), handle, handle}
	if list == FL && c.cfg.Version.flags {
		args = append(args, "0")
	}
	_, err := c.do(ctx, c.ns, "ADD", args...)
	return err
}

// Remove takes a handle off a list.
func (c *Client) Remove(ctx context.Context, list List, handle string) error {
	_, err := c.do(ctx, c.ns, "REM", list.String(), handle)
	return err
}

// Rename sets the own friendly name.
func (c *Client) Rename(ctx context.Context, name string) error {
	_, err := c.do(ctx, c.ns, "REA", c.cfg.Handle, url.PathEscape(name))
	return err
}

// Ping returns when the server has answered everything sent before.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	from := c.Log.Len()
	if err := c.ns.send("PNG"); err != nil {
		return err
	}
	e, err := c.Log.Wait(ctx, from, func(e Event) bool {
		return e.Chat == nil && (e.Cmd == "QNG" || e.Cmd == Closed)
	})
	if err == nil && e.Cmd == Closed {
		err = fmt.Errorf("the server closed the connection instead of answering PNG")
	}
	return err
}

// Status is the state last announced for a contact, "" when there was none.
func (c *Client) Status(handle string) string {
	state := ""
	for _, e := range c.Log.Since(0) {
		if h, s, _ := e.Presence(); s != "" && strings.EqualFold(h, handle) {
			state = s
		}
	}
	return state
}
