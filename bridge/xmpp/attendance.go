package xmpp

import (
	"context"
	"slices"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// Presence of the accounts on a component, and who may see it (RFC 6121 §3, §4:
// the component is server and client in one).

// greetStep is how many stanzas go out at the start before the server has to show
// that it keeps up.
const greetStep = 200

// maxAsked bounds how many strangers may wait for an account's answer.
const maxAsked = 100

// greet tells contacts that accounts are not there (for those that are, the hub
// says so), asks what contacts show, and repeats what was not answered.
func (k *component) greet() error {
	var out []hail
	for acct := range k.host.Accounts() {
		r, _, ok := k.resident(acct.ID)
		if !ok {
			continue
		}
		k.mu.Lock()
		for bare, c := range r.contacts {
			if c.seenBy() && !r.shown && !available(acct.Now.Status) {
				out = append(out, hail{r, unavailable, bare})
			}
			if c.sees() {
				out = append(out, hail{r, probing, bare})
			} else if c.ask {
				out = append(out, hail{r, subscribe, bare})
			}
		}
		k.mu.Unlock()
	}
	for part := range slices.Chunk(out, greetStep) {
		k.send(part...)
		ctx, cancel := context.WithTimeout(k.ctx, patience)
		err := k.s.Ping(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep takes contacts that did not answer for off-line.
func (k *component) sweep() {
	news := map[im.Addr][]im.Event{}
	k.mu.Lock()
	for _, r := range k.residents {
		for bare, c := range r.contacts {
			if !c.sees() {
				continue
			}
			if ev, is := c.news(bare); is {
				news[r.user] = append(news[r.user], ev)
			}
		}
	}
	k.mu.Unlock()
	for user, events := range news {
		if k.accept(user, nil, events...) != nil {
			return
		}
	}
}

// signOff tells everybody that the accounts are gone.
func (k *component) signOff() {
	var out []hail
	k.mu.Lock()
	for _, r := range k.residents {
		for bare, c := range r.contacts {
			if c.seenBy() && available(r.wanted.Status) {
				out = append(out, hail{r, unavailable, bare})
			}
		}
	}
	k.mu.Unlock()
	k.send(out...)
	k.leaveRooms()
}

// show makes an account show p to all who may see it.
func (k *component) show(r *resident, acct im.Account, p im.Presence) {
	now := time.Now()
	k.mu.Lock()
	if p.Status != im.Idle {
		r.idle = time.Time{}
	} else if r.idle.IsZero() {
		r.idle = now
	}
	was := available(r.wanted.Status)
	again := !r.shown
	r.wanted, r.shown = p, true
	var to []string
	for bare, c := range r.contacts {
		if c.seenBy() && (was || available(p.Status) || again) {
			to = append(to, bare)
		}
	}
	k.mu.Unlock()
	for _, bare := range to {
		k.showTo(r, acct, bare)
	}
	k.mu.Lock()
	idle := r.idle
	k.mu.Unlock()
	r.lobby.show(p, idle)
}

// showTo shows one contact what the account shows, if he may see it.
func (k *component) showTo(r *resident, acct im.Account, bare string) {
	may, blocked := acct.OnList(im.Addr{Net: Name, ID: bare})
	k.mu.Lock()
	visible := may && !blocked && available(r.wanted.Status)
	p := composePresence(r.wanted, r.idle)
	if picture := r.wanted.Picture; picture != nil {
		p.Extensions = append(p.Extensions, pictureUpdate(picture))
	}
	k.mu.Unlock()
	if !visible {
		k.send(hail{r, unavailable, bare})
		return
	}
	p.From, p.To = r.jid.String(), bare
	k.s.Send(p, nil)
}

// presence takes a presence stanza from the reader.
func (k *component) presence(n *stanza.Node, from, to stream.JID) {
	typ := stream.Attr(n, "type")
	r, acct, ok := k.resident(handle(to))
	if !ok || from.Local == "" {
		if typ == "probe" || typ == "subscribe" { // nobody of that name
			k.send(hail{&resident{jid: to}, unsubscribed, from.Bare().String()})
		}
		return
	}
	bare := addr(from).ID
	if r.lobby.presence(n) {
		return
	}
	switch typ {
	case "probe":
		k.probed(r, acct, bare)
	case "subscribe":
		k.asks(r, acct, from)
	case "subscribed":
		k.agrees(r, bare)
	case "unsubscribe":
		k.withdraws(r, bare)
	case "unsubscribed":
		k.leaves(r, bare)
	case "", "unavailable", "error":
		k.seen(r, bare, n, from, typ)
	}
}

// with and without add one direction to a subscription, or take it away.
func with(sub, way string) string {
	if sub == "none" || sub == way {
		return way
	}
	return "both"
}

func without(sub, way string) string {
	other := map[string]string{"to": "from", "from": "to"}[way]
	if sub == other || sub == "both" {
		return other
	}
	return "none"
}

// agrees notes that a contact lets the account see him. Who then shows nothing
// is off-line.
func (k *component) agrees(r *resident, bare string) {
	k.mu.Lock()
	c := r.contacts[bare]
	agreed := c != nil && c.ask
	if agreed {
		c.ask, c.sub = false, with(c.sub, "to")
		k.changed(r, bare)
	}
	k.mu.Unlock()
	if agreed && k.save(k.ctx) == nil {
		k.send(hail{r, probing, bare})
		k.wake()
	}
}

// leaves notes that a contact does not, or no longer.
func (k *component) leaves(r *resident, bare string) {
	k.mu.Lock()
	c := r.contacts[bare]
	if c == nil || !c.ask && !c.sees() {
		k.mu.Unlock()
		return
	}
	c.ask, c.sub, c.resources = false, without(c.sub, "to"), nil
	k.changed(r, bare)
	ev, news := c.news(bare)
	k.mu.Unlock()
	if k.save(k.ctx) == nil && news {
		k.accept(r.user, nil, ev)
	}
}

// seen notes what a contact shows.
func (k *component) seen(r *resident, bare string, n *stanza.Node, from stream.JID, typ string) {
	k.mu.Lock()
	c := r.contacts[bare]
	if c == nil || !c.sees() {
		k.mu.Unlock()
		return
	}
	if typ == "" {
		c.appears(from, readPresence(n, from, time.Now()))
	} else {
		c.goes(from)
	}
	ev, news := c.news(bare)
	k.mu.Unlock()
	if news {
		k.accept(r.user, nil, ev)
	}
}

// probed answers whoever asks what an account shows.
func (k *component) probed(r *resident, acct im.Account, bare string) {
	k.mu.Lock()
	c := r.contacts[bare]
	may := c != nil && c.seenBy()
	k.mu.Unlock()
	if !may {
		k.send(hail{r, unsubscribed, bare})
		return
	}
	k.showTo(r, acct, bare)
}

// asks notes that somebody wants to see the account. Whom the user added need not
// wait for an answer. What a stranger writes with it is not shown.
func (k *component) asks(r *resident, acct im.Account, from stream.JID) {
	who := addr(from)
	may, blocked := acct.OnList(who)
	open := k.welcomes(from)
	k.mu.Lock()
	c, waiting := r.contacts[who.ID], 0
	for _, o := range r.contacts {
		if o.asked {
			waiting++
		}
	}
	known := c != nil && (c.seenBy() || c.listed)
	again := c != nil && c.asked
	var answer stanza.StanzaType
	var events []im.Event
	switch {
	case blocked, !known && !again && (!open || waiting >= maxAsked):
		answer = "unsubscribed"
	case known && (c.seenBy() || may):
		answer = "subscribed"
		if !c.seenBy() {
			c.sub, c.asked = with(c.sub, "from"), false
			k.changed(r, who.ID)
			events = []im.Event{im.Roster{Items: []im.Contact{c.listing(who.ID)}}}
		}
	case !again:
		c = r.contact(who.ID)
		c.asked = true
		k.changed(r, who.ID)
		events = []im.Event{im.ContactEdit{ID: "asked:" + who.ID, Op: im.Add, Who: c.listing(who.ID)}}
	}
	k.mu.Unlock()
	if len(events) > 0 && (k.save(k.ctx) != nil || k.accept(r.user, nil, events...) != nil) {
		return
	}
	if answer != "" {
		k.send(hail{r, answer, who.ID})
	}
	if answer == "subscribed" {
		k.showTo(r, acct, who.ID)
	}
}

// listing is the contact as the hub is to know him. The hub's list is the
// account's: he stays on it whatever he allows.
func (c *contact) listing(bare string) im.Contact {
	e := c.entry(bare)
	e.Follows = c.listed
	return e
}

// withdraws notes that somebody no longer wants to see the account, or took back
// that he asked to.
func (k *component) withdraws(r *resident, bare string) {
	k.mu.Lock()
	c := r.contacts[bare]
	if c == nil || !c.asked && !c.seenBy() {
		k.mu.Unlock()
		return
	}
	c.asked, c.sub = false, without(c.sub, "from")
	k.changed(r, bare)
	who := c.listing(bare)
	k.mu.Unlock()
	if k.save(k.ctx) == nil && k.accept(r.user, nil, im.ContactEdit{ID: "withdrew:" + bare, Op: im.Remove, Who: who}) == nil {
		k.send(hail{r, unavailable, bare}, hail{r, unsubscribed, bare})
	}
}
