package xmpp

import (
	"context"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// What accounts on a component and their contacts say to each other, and the
// edits of the accounts' lists.

// message takes a message stanza from the reader. It is accepted when its receipt
// goes out: after the hub has it on disk.
func (k *component) message(n *stanza.Node, from, to stream.JID) {
	if to.Local == "" {
		k.granted(n, from)
	}
	r, acct, ok := k.resident(handle(to))
	if !ok {
		k.bounce(n, "item-not-found")
		return
	}
	if e, ok := readEvent(n); ok && e.personal() {
		k.published(r, from, e)
		return
	}
	if k.ofRooms(r, acct, n) {
		return
	}
	h, ok := listener{me: r.jid, gateway: true, now: time.Now()}.read(n)
	if !ok || h.own {
		k.bounce(n, "service-unavailable")
		return
	}
	if may, blocked := acct.OnList(addr(from)); blocked || !may {
		k.bounce(n, "service-unavailable")
		return
	}
	if !k.mayWrite(r, from) {
		k.bounce(n, "subscription-required")
		return
	}
	near := k.neighbour(from)
	k.mu.Lock()
	if near && r.owes(n, h.conv()) {
		k.mu.Unlock()
		return
	}
	events, said := r.digest(&h, home(k.domain))
	var next []stanza.Message
	for _, about := range h.about {
		next = append(next, r.paid(h.conv(), about.ID, time.Now())...)
	}
	k.mu.Unlock()
	for _, p := range next {
		k.s.Send(p, nil)
	}
	if len(events) == 0 {
		return
	}
	k.accept(r.user, func(err error) {
		if err != nil {
			k.fail(err)
			return
		}
		if said && h.wants && (near || k.host.Setting(im.Addr{}, "receipts") != "no") {
			p := composeReceipt(from.String(), nsReceipts, "received", h.ref)
			p.From = r.jid.String()
			k.s.Send(p, nil) // lost with the line: the sender asks again
		}
	}, events...)
}

// mayWrite tells whether somebody is a contact, or one that needs not be.
func (k *component) mayWrite(r *resident, from stream.JID) bool {
	k.mu.Lock()
	c := r.contacts[addr(from).ID]
	known := c != nil && (c.listed || c.seenBy() || c.wrote) || r.lobby.rooms[addr(from).ID] != nil
	k.mu.Unlock()
	return known || k.welcomes(from)
}

func (k *component) welcomes(from stream.JID) bool {
	return k.neighbour(from) || welcome(from, k.domain, k.host.Setting(im.Addr{}, "accept_from"), k.host.Setting(im.Addr{}, "accept_list"))
}

// refusals are the conditions that are answered with, with their old codes: gosrc
// leaves an error without one out.
var refusals = map[string]stanza.Err{
	"item-not-found":        {Code: 404, Type: stanza.ErrorTypeCancel, Reason: "item-not-found"},
	"service-unavailable":   {Code: 503, Type: stanza.ErrorTypeCancel, Reason: "service-unavailable"},
	"not-allowed":           {Code: 405, Type: stanza.ErrorTypeCancel, Reason: "not-allowed"},
	"forbidden":             {Code: 403, Type: stanza.ErrorTypeAuth, Reason: "forbidden"},
	"bad-request":           {Code: 400, Type: stanza.ErrorTypeModify, Reason: "bad-request"},
	"subscription-required": {Code: 407, Type: stanza.ErrorTypeAuth, Reason: "subscription-required"},
}

// bounce says to whoever wrote n that it was not taken. What is no message for a
// person is dropped: nobody waits for an answer, and an error has none.
func (k *component) bounce(n *stanza.Node, condition string) {
	if stream.Attr(n, "type") == "error" || content(n) == nil {
		return
	}
	p := stanza.NewMessage(stanza.Attrs{Type: stanza.MessageTypeError, Id: stream.Attr(n, "id"), From: stream.Attr(n, "to"), To: stream.Attr(n, "from")})
	p.Error = refusals[condition]
	k.s.Send(p, nil)
}

// say sends a message. It is settled when the server has handled it, or, for somebody
// on another box, when that has it.
func (k *component) say(r *resident, m im.Message) error {
	to, _ := stream.ParseJID(m.Conv)
	near := k.neighbour(to)
	k.mu.Lock()
	p, err := r.outgoing(m)
	p.From = r.jid.String()
	waits := err == nil && near && r.owe(addr(to).ID, p, time.Now())
	k.mu.Unlock()
	switch {
	case err != nil:
		return err
	case waits:
		return nil
	case near:
		k.wake()
		return k.s.Send(p, nil)
	}
	return k.s.Send(p, func() {
		sent := im.Receipt{ID: m.ID, Conv: m.Conv, State: im.Sent}
		k.mu.Lock()
		news := r.sends.furthers(sent)
		k.mu.Unlock()
		if news {
			k.accept(r.user, nil, sent)
		}
	})
}

// typing passes on that an account is typing.
func (k *component) typing(r *resident, t im.Typing) error {
	k.mu.Lock()
	p, news := r.typed(t, available(r.wanted.Status))
	k.mu.Unlock()
	if !news {
		return nil
	}
	k.wake()
	p.From = r.jid.String()
	return k.s.Send(p, nil)
}

// stopTyping says "paused" for those whose last key is long ago, and returns when
// to look again, 0 when there is nobody.
func (k *component) stopTyping(now time.Time) (next time.Duration) {
	var all []stanza.Message
	k.mu.Lock()
	for _, r := range k.residents {
		stop, then := r.typedNoMore(now)
		if then > 0 && (next == 0 || then < next) {
			next = then
		}
		for _, p := range stop {
			p.From = r.jid.String()
			all = append(all, p)
		}
	}
	k.mu.Unlock()
	for _, p := range all {
		k.s.Send(p, nil)
	}
	return next
}

// displayed tells a contact that his message was shown.
func (k *component) displayed(r *resident, e im.Receipt) error {
	if e.State != im.Read || k.host.Setting(im.Addr{}, "markers") == "no" {
		return nil
	}
	k.mu.Lock()
	p, tell := r.marker(e)
	c := r.contact(e.Conv)
	tell = tell && r.wanted.Status != im.Hidden && (c.seenBy() || c.wrote)
	k.mu.Unlock()
	if !tell {
		return nil
	}
	p.From = r.jid.String()
	return k.s.Send(p, nil)
}

// edit makes a change that the user made. Everything in it can be done twice. It
// is settled when it is on disk and said: but a request goes out after that,
// because it is repeated at every start, and its answer must find the edit done.
func (k *component) edit(ctx context.Context, r *resident, acct im.Account, e im.ContactEdit) error {
	j, err := stream.ParseJID(e.Who.ID)
	if err != nil || j.Local == "" || j.Domain == k.domain {
		return &im.Refused{Text: "This is not the XMPP address of a person."}
	}
	if e.Who.Room || e.Op == im.Add && k.addsRoom(ctx, r, j) {
		return r.lobby.edit(ctx, j.Bare(), e)
	}
	bare := addr(j).ID
	k.mu.Lock()
	do, ok := k.apply(r, bare, e)
	k.mu.Unlock()
	if !ok {
		return im.ErrUnsupported
	}
	if err := k.save(ctx); err != nil {
		return err
	}
	if do.tell != "" {
		k.send(hail{r, do.tell, bare})
	}
	if do.show {
		k.showTo(r, acct, bare)
	}
	if err := k.accept(r.user, nil, im.Receipt{ID: e.ID, Conv: bare, State: im.Sent}); err != nil {
		return err
	}
	switch do.ask {
	case "":
		return nil
	case subscribe:
		k.introduce(ctx, r, acct, j)
		p := stanza.NewPresence(stanza.Attrs{Type: subscribe, From: r.jid.Bare().String(), To: bare})
		p.Extensions = []stanza.PresExtension{words(nsNick, "nick", acct.Name)}
		k.s.Send(p, nil)
	default:
		k.send(hail{r, do.ask, bare})
	}
	k.wake()
	return nil
}

// sequel is what has to be said after an edit.
type sequel struct {
	tell stanza.StanzaType // about a subscription
	show bool              // what the account shows, to whom may see it
	ask  stanza.StanzaType
}

// apply notes an edit; false when there is no such thing. The lock is held.
func (k *component) apply(r *resident, bare string, e im.ContactEdit) (do sequel, ok bool) {
	c := r.contact(bare)
	yes := func() {
		c.asked, c.sub = false, with(c.sub, "from")
		do.tell, do.show = subscribed, true
	}
	ask := func() {
		if !c.sees() {
			c.ask, do.ask = true, subscribe
		}
	}
	switch e.Op {
	case im.Add:
		c.listed, c.groups = true, e.Who.Groups
		if c.asked && !e.Who.Blocked {
			yes()
		}
		ask()
	case im.Remove:
		if c.ask || c.sees() {
			do.tell = unsubscribe
		}
		c.listed, c.ask, c.groups, c.sub, c.resources = false, false, nil, without(c.sub, "to"), nil
	case im.Rename, im.Regroup:
		c.groups = e.Who.Groups
	case im.Block, im.Unblock:
		do.show = c.seenBy()
		if e.Op == im.Unblock && c.sees() {
			do.ask = probing
		}
	case im.Accept:
		yes()
		if e.Who.Follows {
			ask()
		}
	case im.Decline:
		c.asked, c.sub = false, without(c.sub, "from")
		do.tell = unsubscribed
	default:
		return do, false
	}
	k.changed(r, bare)
	return do, true
}
