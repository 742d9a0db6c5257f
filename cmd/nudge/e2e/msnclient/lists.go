package msnclient

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// List names one of the lists, and is its bit from MSNP8 on.
type List int

// The lists: forward, allow, block, reverse and pending (MSNP.md B.6).
const (
	FL List = 1 << iota
	AL
	BL
	RL
	PL
)

var listNames = map[List]string{FL: "FL", AL: "AL", BL: "BL", RL: "RL", PL: "PL"}

func (l List) String() string { return listNames[l] }

func parseList(s string) List {
	for l, name := range listNames {
		if name == s {
			return l
		}
	}
	return 0
}

// Contact is one entry of the lists.
type Contact struct {
	Handle, Name string
	ID           string // GUID, from MSNP10 on
	On           List   // every list it is on
	Groups       []string
}

// Lists is what SYN brought.
type Lists struct {
	Version     []string           // as the client keeps it for its next SYN
	Prompt      bool               // GTC A
	BlockOthers bool               // BLP BL
	Name        string             // the own name, where SYN brings it
	Contacts    map[string]Contact // by handle in lower case
	Groups      map[string]string  // names by id; without group 0
}

// Sync fetches the lists, all of them.
func (c *Client) Sync(ctx context.Context) (Lists, error) {
	l, _, err := c.sync(ctx, Lists{})
	return l, err
}

// Resync shows the server the lists that the client has. They come back
// unchanged when they are still good.
func (c *Client) Resync(ctx context.Context, have Lists) (l Lists, unchanged bool, err error) {
	return c.sync(ctx, have)
}

func (c *Client) sync(ctx context.Context, have Lists) (Lists, bool, error) {
	v, from, known := c.cfg.Version, c.Log.Len(), have.Version
	if known == nil {
		known = []string{"0"}
		if v.ids() {
			known = []string{"0", "0"}
		}
	}
	e, err := c.do(ctx, c.ns, "SYN", known...)
	if err != nil {
		return Lists{}, false, err
	}
	n := len(known)
	r := &listReader{version: v, trid: e.Args[0], lists: Lists{
		Version: e.Args[1 : 1+n], Contacts: map[string]Contact{}, Groups: map[string]string{},
	}}
	if slices.Equal(r.lists.Version, have.Version) {
		return have, true, nil
	}
	if v.counted() {
		if err := r.promised(e.Args[1:]); err != nil {
			return r.lists, false, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	last := e
	if !v.counted() || r.contacts+r.groups > 0 {
		last, err = c.Log.Wait(ctx, from, func(e Event) bool { return e.Chat == nil && r.take(e) })
	} else if err = c.Ping(ctx); err == nil { // nothing says where it ends
		for _, e := range c.Log.Since(from) {
			r.take(e)
		}
	}
	if err == nil && last.Cmd == Closed {
		err = fmt.Errorf("the connection ended: %s", last.Args[0])
	}
	if err == nil {
		err = r.err
	}
	if err != nil {
		return r.lists, false, fmt.Errorf("the lists did not come whole: %w", err)
	}
	c.learn(r.lists)
	return r.lists, false, nil
}

// learn keeps the ids that later commands need.
func (c *Client) learn(l Lists) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids = map[string]string{}
	for k, contact := range l.Contacts {
		c.ids[k] = contact.ID
	}
	if l.Name != "" {
		c.Name = l.Name
	}
}

// listReader puts the lines that follow SYN together and finds what is wrong
// with them.
type listReader struct {
	version          Version
	trid             string
	lists            Lists
	contacts, groups int    // still to come, where SYN counts
	block            string // the list or group block that is coming, and how far it is
	place, total     int
	err              error
}

// stamp is the form of a list version from MSNP10 on (MSNP.md B.6.5); aMSN
// keeps no other.
var stamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+-\d\d:\d\d$`)

// promised reads version and numbers of a SYN.
func (r *listReader) promised(args []string) (err error) {
	if len(args) != len(r.lists.Version)+2 {
		return fmt.Errorf("SYN without numbers: %q", args)
	}
	for _, v := range r.lists.Version {
		if r.version.ids() && !stamp.MatchString(v) {
			return fmt.Errorf("no time of change: %q", v)
		}
	}
	if r.contacts, err = strconv.Atoi(args[len(args)-2]); err == nil {
		r.groups, err = strconv.Atoi(args[len(args)-1])
	}
	return err
}

// take takes one line and tells whether it was the last, or a wrong one.
func (r *listReader) take(e Event) bool {
	args := e.Args
	if !r.version.counted() && e.Cmd != Closed {
		if len(args) < 3 || args[0] != r.trid {
			return false // not of this answer
		}
		args = args[1:]
	}
	switch e.Cmd {
	case Closed:
		return true
	case "GTC":
		r.lists.Prompt = args[len(args)-1] == "A"
	case "BLP":
		r.lists.BlockOthers = args[len(args)-1] == "BL"
	case "PRP":
		if args[0] == "MFN" && len(args) > 1 {
			r.lists.Name = decode(args[1])
		}
	case "LSG":
		r.groups--
		r.err = r.group(args)
	case "LST":
		r.contacts--
		r.err = r.contact(args)
	}
	if r.version.counted() {
		return r.err != nil || r.contacts <= 0 && r.groups <= 0
	}
	return r.err != nil || r.block == "RL" && r.place == r.total // the reverse list ends it (MSNP.md B.6.1)
}

func (r *listReader) contact(args []string) error {
	switch {
	case r.version.ids():
		return r.tokens(args)
	case r.version.counted():
		return r.counted(args)
	}
	return r.placed(args)
}

// next checks that the blocks come in order and count from 1 to their total.
func (r *listReader) next(block, place, total string) error {
	p, err := strconv.Atoi(place)
	t, err2 := strconv.Atoi(total)
	order := []string{"", "LSG", "FL", "AL", "BL", "RL"}
	was, is := slices.Index(order, r.block), slices.Index(order, block)
	switch {
	case err != nil || err2 != nil || p > t:
	case block == r.block && p == r.place+1 && t == r.total:
		r.place = p
		return nil
	case is > was && r.place == r.total && (is == was+1 || was < 2 && is == 2) && p == min(1, t):
		r.block, r.place, r.total = block, p, t
		return nil
	}
	return fmt.Errorf("%s %s of %s follows %s %d of %d", block, place, total, r.block, r.place, r.total)
}

// placed takes `list version place total [handle name [groups]]`.
func (r *listReader) placed(args []string) error {
	if args[1] != r.lists.Version[0] {
		return fmt.Errorf("a line of version %s, not %s", args[1], r.lists.Version[0])
	}
	if err := r.next(args[0], args[2], args[3]); err != nil || r.total == 0 && len(args) == 4 {
		return err
	}
	list := parseList(args[0])
	want := 6
	if list == FL && r.version.Groups() {
		want = 7
	}
	if len(args) != want {
		return fmt.Errorf("LST has no form %q", args)
	}
	k := strings.ToLower(args[4])
	c := r.lists.Contacts[k]
	c.Handle, c.Name, c.On = args[4], decode(args[5]), c.On|list
	r.lists.Contacts[k] = c
	if want == 7 {
		return r.put(c, args[6])
	}
	return nil
}

// counted takes `handle name lists [groups]`: groups if and only if he is on the
// forward list (MSNP.md B.6.4).
func (r *listReader) counted(args []string) error {
	bits, err := strconv.Atoi(args[2])
	if err != nil || bits < 1 || bits > 15 || (len(args) == 4) != (bits&1 == 1) {
		return fmt.Errorf("LST has no form %q", args)
	}
	c := Contact{Handle: args[0], Name: decode(args[1]), On: List(bits)}
	if len(args) == 4 {
		return r.put(c, args[3])
	}
	return r.put(c, "")
}

// tokens takes `N=handle F=name [C=id] lists [network] [groups]`: the id if and
// only if he is on the forward list (MSNP.md B.6.5).
func (r *listReader) tokens(args []string) error {
	c, rest := named(args)
	wrong := fmt.Errorf("LST has no form %q", args)
	if c.Handle == "" || len(rest) == 0 {
		return wrong
	}
	bits, err := strconv.Atoi(rest[0])
	if rest = rest[1:]; err != nil || bits < 1 || bits > 31 || (c.ID != "") != (bits&1 == 1) {
		return wrong
	}
	if c.On = List(bits); r.version.networks() {
		if len(rest) == 0 || strings.Trim(rest[0], "0123456789") != "" {
			return wrong
		}
		rest = rest[1:]
	}
	switch {
	case len(rest) == 0:
		return r.put(c, "")
	case len(rest) == 1 && c.On&FL != 0:
		return r.put(c, rest[0])
	}
	return wrong
}

// named reads the N=, F= and C= in front of other arguments.
func named(args []string) (c Contact, rest []string) {
	for i, a := range args {
		key, value, ok := strings.Cut(a, "=")
		switch {
		case ok && key == "N":
			c.Handle = value
		case ok && key == "F":
			c.Name = decode(value)
		case ok && key == "C":
			c.ID = value
		default:
			return c, args[i:]
		}
	}
	return c, nil
}

// put enters a contact, whose groups must have come before him.
func (r *listReader) put(c Contact, groups string) error {
	if groups != "" && groups != "0" {
		for g := range strings.SplitSeq(groups, ",") {
			if _, ok := r.lists.Groups[g]; !ok {
				return fmt.Errorf("%s is in group %s, which there is not", c.Handle, g)
			}
			c.Groups = append(c.Groups, g)
		}
	}
	k := strings.ToLower(c.Handle)
	if _, twice := r.lists.Contacts[k]; twice && r.version.counted() {
		return fmt.Errorf("%s comes twice", c.Handle)
	}
	r.lists.Contacts[k] = c
	return nil
}

// group takes `version place total id name 0`, `id name 0` or `name id`.
func (r *listReader) group(args []string) error {
	switch {
	case r.version.ids():
		r.lists.Groups[args[1]] = decode(args[0])
		return nil
	case !r.version.counted():
		if err := r.next("LSG", args[1], args[2]); err != nil {
			return err
		}
		args = args[3:]
	}
	if args[0] != "0" {
		r.lists.Groups[args[0]] = decode(args[1])
	}
	return nil
}
