package xmpp

import (
	"context"
	"errors"
	"slices"
	"sort"
	"strings"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

const nsBlocking = "urn:xmpp:blocking"

// readItem reads one roster item (RFC 6121 §2.1.2); false when its address is
// none of a person.
func readItem(n *stanza.Node) (bare string, c contact, removed, ok bool) {
	j, err := stream.ParseJID(stream.Attr(n, "jid"))
	if err != nil || j.Local == "" || j.Resource != "" {
		return "", c, false, false
	}
	c = contact{listed: true, name: im.Plain(stream.Attr(n, "name")), sub: stream.Attr(n, "subscription"), ask: stream.Attr(n, "ask") == "subscribe"}
	for i := range n.Nodes {
		if g := &n.Nodes[i]; g.XMLName.Local == "group" {
			if name := im.Plain(strings.TrimSpace(g.Content)); name != "" && !slices.Contains(c.groups, name) {
				c.groups = append(c.groups, name)
			}
		}
	}
	switch c.sub {
	case "to", "from", "both":
	case "remove":
		return addr(j).ID, c, true, true
	default:
		c.sub = "none"
	}
	return addr(j).ID, c, false, true
}

// entry is the contact as the hub is to know him (MAPPING.md §2).
func (c *contact) entry(bare string) im.Contact {
	return im.Contact{
		Person:   im.Person{Addr: im.Addr{Net: Name, ID: bare}, Name: c.name},
		Follows:  c.listed && (c.sub != "from" || c.ask),
		Followed: c.seenBy(),
		Asked:    c.asked, Blocked: c.blocked, Groups: slices.Clone(c.groups), Note: c.note,
	}
}

// fetchRoster reads the contact list, the block list and who waits for an
// answer, and gives the hub the whole.
func (l *link) fetchRoster() error {
	iq := &stanza.IQ{Attrs: stanza.Attrs{Type: stanza.IQTypeGet}}
	iq.RosterIQ()
	n, err := l.ask(iq)
	if err != nil {
		return err
	}
	blocked, err := l.fetchBlocked()
	if err != nil {
		return err
	}
	asked, err := l.loadAsked()
	if err != nil {
		return err
	}
	if err := l.lobby.load(l.ctx); err != nil {
		return err
	}
	l.mu.Lock()
	if q := stream.Child(n, stanza.NSRoster, "query"); q != nil {
		for i := range q.Nodes {
			if bare, item, removed, ok := readItem(&q.Nodes[i]); ok && !removed {
				l.contact(bare).take(item)
			}
		}
	}
	for _, bare := range blocked {
		l.contact(bare).blocked = true
	}
	for bare, note := range asked {
		c := l.contact(bare)
		if c.seenBy() { // answered on another device
			defer l.forgetAsked(bare)
			continue
		}
		c.asked, c.note = true, note
	}
	r := im.Roster{Full: true, Items: l.lobby.entries()}
	for bare, c := range l.contacts {
		if c.listed || c.blocked || c.asked {
			r.Items = append(r.Items, c.entry(bare))
		}
	}
	l.mu.Unlock()
	sort.Slice(r.Items, func(i, j int) bool { return r.Items[i].ID < r.Items[j].ID })
	return l.accept(nil, r)
}

// take puts what the roster says over what was known.
func (c *contact) take(item contact) {
	c.listed, c.name, c.sub, c.ask, c.groups = item.listed, item.name, item.sub, item.ask, item.groups
}

func (l *link) fetchBlocked() (bare []string, err error) {
	if !l.has.blocking {
		return nil, nil
	}
	n, err := l.ask(query(stanza.IQTypeGet, "", element(nsBlocking, "blocklist")))
	if err != nil {
		if fatal(err) {
			return nil, err
		}
		l.has.blocking = false
		return nil, nil
	}
	return blockedIn(stream.Child(n, nsBlocking, "blocklist")), nil
}

// blockedIn lists the persons in a block list or a change of it.
func blockedIn(list *stanza.Node) (bare []string) {
	if list == nil {
		return nil
	}
	for i := range list.Nodes {
		if j, err := stream.ParseJID(stream.Attr(&list.Nodes[i], "jid")); err == nil && j.Local != "" && j.Resource == "" {
			bare = append(bare, addr(j).ID)
		}
	}
	return bare
}

// rosterPush takes a change of the contact list that the server announces.
func (l *link) rosterPush(q *stanza.Node) {
	var r im.Roster
	l.mu.Lock()
	for i := range q.Nodes {
		bare, item, removed, ok := readItem(&q.Nodes[i])
		if !ok {
			continue
		}
		c := l.contact(bare)
		if removed {
			item = contact{sub: "none"}
			c.resources = nil
		}
		c.take(item)
		if c.seenBy() && c.asked {
			c.asked = false
			defer l.forgetAsked(bare)
		}
		if c.listed || c.asked || c.blocked {
			r.Items = append(r.Items, c.entry(bare))
		} else {
			r.Gone = append(r.Gone, im.Addr{Net: Name, ID: bare})
		}
	}
	l.mu.Unlock()
	if len(r.Items)+len(r.Gone) > 0 {
		l.accept(nil, r)
	}
}

// blockPush takes a change of the block list that another client made. That a block is
// gone the hub believes only from the user: what the roster says may be older than his
// own block.
func (l *link) blockPush(q *stanza.Node) {
	on := q.XMLName.Local == "block"
	changed := blockedIn(q)
	var r im.Roster
	var events []im.Event
	l.mu.Lock()
	if !on && len(changed) == 0 { // everybody
		for bare, c := range l.contacts {
			if c.blocked {
				changed = append(changed, bare)
			}
		}
	}
	for _, bare := range changed {
		c := l.contact(bare)
		if c.blocked && !on {
			events = append(events, im.ContactEdit{ID: "heard:" + bare, Op: im.Unblock, Who: im.Contact{Person: c.entry(bare).Person}})
		}
		c.blocked = on
		r.Items = append(r.Items, c.entry(bare))
	}
	l.mu.Unlock()
	if len(r.Items) > 0 {
		l.accept(nil, append(events, r)...)
	}
	if !on {
		l.lookAgain(changed...)
	}
}

// edit makes a change that the user made on the server. Everything in it can
// be done twice.
func (l *link) edit(ctx context.Context, e im.ContactEdit) error {
	j, err := stream.ParseJID(e.Who.ID)
	if err != nil || j.Local == "" {
		return &im.Refused{Text: "This is not the XMPP address of a person."}
	}
	if e.Who.Room || l.addsRoom(ctx, j, e) {
		return l.lobby.edit(ctx, j.Bare(), e)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	bare := addr(j).ID
	err = l.apply(ctx, bare, e)
	r := im.Receipt{ID: e.ID, Conv: bare, State: im.Sent}
	var no *stream.StanzaError
	if errors.As(err, &no) {
		r.State, r.Err = im.Failed, failure(no)
	} else if err != nil {
		return err
	}
	return l.accept(nil, r)
}

// addsRoom tells whether somebody is added who is a room.
func (l *link) addsRoom(ctx context.Context, j stream.JID, e im.ContactEdit) bool {
	l.mu.Lock()
	c := l.contacts[addr(j).ID]
	person := c != nil && (c.listed || c.asked)
	l.mu.Unlock()
	return !person && l.lobby.isRoom(ctx, j.Bare())
}

func (l *link) apply(ctx context.Context, bare string, e im.ContactEdit) error {
	l.mu.Lock()
	c := *l.contact(bare)
	l.mu.Unlock()
	switch e.Op {
	case im.Add:
		if err := l.setItem(ctx, bare, c, e.Who); err != nil {
			return err
		}
		if !e.Who.Blocked && !c.seenBy() && (c.asked || l.has.preapproval) {
			l.subscription(bare, "subscribed")
		}
		if !c.sees() {
			l.subscription(bare, "subscribe")
		}
	case im.Remove:
		return l.remove(ctx, bare)
	case im.Rename, im.Regroup:
		if !c.listed {
			return nil
		}
		return l.setItem(ctx, bare, c, e.Who)
	case im.Block, im.Unblock:
		return l.block(ctx, bare, e.Op == im.Block)
	case im.Accept:
		l.subscription(bare, "subscribed")
		if e.Who.Follows && !c.sees() {
			l.subscription(bare, "subscribe")
		}
		l.answeredAsk(bare)
	case im.Decline:
		l.subscription(bare, "unsubscribed")
		l.answeredAsk(bare)
	default:
		return im.ErrUnsupported
	}
	// Servers handle a client's stanzas in order: the answer to this shows that
	// they have what was sent before.
	return l.s.Ping(ctx)
}

// remove takes a contact off the list, and takes back a yes that may have gone
// out meanwhile to a request of his.
func (l *link) remove(ctx context.Context, bare string) error {
	iq := &stanza.IQ{Attrs: stanza.Attrs{Type: stanza.IQTypeSet}}
	iq.RosterItems().AddItem(bare, "remove", "", "", nil)
	_, err := l.s.Do(ctx, iq)
	var no *stream.StanzaError
	if err != nil && (!errors.As(err, &no) || no.Condition != "item-not-found") {
		return err
	}
	l.mu.Lock()
	l.contact(bare).take(contact{sub: "none"})
	l.mu.Unlock()
	l.subscription(bare, "unsubscribed")
	return l.s.Ping(ctx)
}

// setItem makes the roster item what the user wants, unless it is.
func (l *link) setItem(ctx context.Context, bare string, c contact, want im.Contact) error {
	if c.listed && c.name == want.Name && slices.Equal(c.groups, want.Groups) {
		return nil
	}
	var groups []string
	for _, g := range want.Groups {
		groups = append(groups, im.Plain(g))
	}
	iq := &stanza.IQ{Attrs: stanza.Attrs{Type: stanza.IQTypeSet}}
	iq.RosterItems().AddItem(bare, "", "", im.Plain(want.Name), groups)
	_, err := l.s.Do(ctx, iq)
	return err
}

func (l *link) subscription(bare string, typ stanza.StanzaType) {
	l.s.Send(stanza.NewPresence(stanza.Attrs{Type: typ, To: bare}), nil) // the ping behind it fails when this does
}

func (l *link) block(ctx context.Context, bare string, on bool) error {
	if !l.has.blocking {
		return im.ErrUnsupported
	}
	local := "unblock"
	if on {
		local = "block"
		l.showTo(bare, false) // afterwards it would not get through
	}
	p := element(nsBlocking, local)
	p.Nodes = []stanza.Node{element(nsBlocking, "item", "jid", bare)}
	if _, err := l.s.Do(ctx, query(stanza.IQTypeSet, "", p)); err != nil {
		return err
	}
	l.mu.Lock()
	l.contact(bare).blocked = on
	l.mu.Unlock()
	if !on {
		l.showTo(bare, true)
		l.lookAgain(bare)
	}
	return nil
}

// Requests wait for an answer longer than a link lives, and servers repeat them
// only to somebody who is available: they are kept under these keys.
const askedKey = "asked/"

func (l *link) loadAsked() (notes map[string]string, err error) {
	err = l.host.KV(l.user).View(func(tx im.Tx) error {
		notes = map[string]string{}
		for k, v := range tx.Scan([]byte(askedKey)) {
			notes[strings.TrimPrefix(string(k), askedKey)] = string(v)
		}
		return nil
	})
	return notes, err
}

func (l *link) rememberAsked(bare, note string) error {
	return l.host.KV(l.user).Update(func(tx im.Tx) error { return tx.Put([]byte(askedKey+bare), []byte(note)) })
}

func (l *link) forgetAsked(bare string) {
	if err := l.host.KV(l.user).Update(func(tx im.Tx) error { return tx.Delete([]byte(askedKey + bare)) }); err != nil {
		l.log.Warn("an answered contact request could not be forgotten", "err", err)
	}
}

// answeredAsk notes that the user answered a request.
func (l *link) answeredAsk(bare string) {
	l.mu.Lock()
	c := l.contact(bare)
	was := c.asked
	c.asked, c.note = false, ""
	l.mu.Unlock()
	if was {
		l.forgetAsked(bare)
	}
}
