package xmpp

import (
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// presence takes a presence stanza from the reader.
func (l *link) presence(n *stanza.Node) {
	if l.lobby.presence(n) {
		return
	}
	from, err := stream.ParseJID(stream.Attr(n, "from"))
	if err != nil || from.Local == "" || from.Bare() == l.me.Bare() || stream.Child(n, nsMUCUser, "x") != nil {
		return
	}
	bare := addr(from).ID
	switch stream.Attr(n, "type") {
	case "":
		l.seen(bare, from, readPresence(n, from, time.Now()))
	case "unavailable":
		l.gone(bare, from)
	case "subscribe":
		l.asks(bare, im.Plain(stream.Text(n, stanza.NSClient, "status")), im.Plain(stream.Text(n, nsNick, "nick")))
	case "unsubscribe":
		l.withdraws(bare)
	case "unsubscribed":
		l.leaves(bare)
	}
}

// seen notes that one resource of a contact is available.
func (l *link) seen(bare string, from stream.JID, s seen) {
	l.mu.Lock()
	c := l.contacts[bare]
	if c == nil {
		l.mu.Unlock()
		return
	}
	c.appears(from, s)
	l.tell(bare, c)
}

// gone notes that one resource, or all of a contact, went away.
func (l *link) gone(bare string, from stream.JID) {
	l.mu.Lock()
	c := l.contacts[bare]
	if c == nil {
		l.mu.Unlock()
		return
	}
	c.goes(from)
	l.tell(bare, c)
}

// appears notes what one resource shows, goes that one, or all, went away.
func (c *contact) appears(from stream.JID, s seen) {
	c.lock = ""
	to := &c.resources
	if c.probe.waiting {
		to = &c.probe.found
		if *to == nil {
			c.probe.answered = s.at
		}
	}
	if *to == nil {
		*to = map[string]seen{}
	}
	if old := (*to)[from.Resource]; old.Avatar != "" && s.Avatar != "" && s.Avatar != old.Avatar {
		c.says.avatar = "" // this is newer
	}
	if len(*to) < 100 {
		(*to)[from.Resource] = s
	}
}

func (c *contact) goes(from stream.JID) {
	c.lock, c.composing = "", false
	if c.probe.waiting && from.Resource == "" {
		c.probe.found, c.probe.answered = map[string]seen{}, time.Now()
	}
	delete(c.resources, from.Resource)
	delete(c.probe.found, from.Resource)
	if from.Resource == "" {
		c.resources = nil
	}
}

// tell reports what a contact shows when that is news. It unlocks l.mu.
func (l *link) tell(bare string, c *contact) {
	ev, news := c.news(bare)
	l.mu.Unlock()
	if news {
		l.accept(nil, ev)
	}
}

// news is what a contact shows now, and whether the hub does not know that.
// While a probe is out the answers are still being collected.
func (c *contact) news(bare string) (im.PresenceChanged, bool) {
	s := best(c.resources)
	if s.Status == im.Offline && !c.probe.waiting {
		c.says.tune = "" // nobody may have said that it ended
	}
	s = c.says.beside(s)
	if c.probe.waiting || c.told && s.Presence == c.last.Presence && s.nick == c.last.nick {
		return im.PresenceChanged{}, false
	}
	c.told, c.last = true, s
	name := c.name
	if name == "" {
		name = s.nick
	}
	return im.PresenceChanged{Who: im.Person{Addr: im.Addr{Net: Name, ID: bare}, Name: name}, Now: s.Presence}, true
}

// asks notes that somebody wants to see the account (RFC 6121 §3.1.3). Whom the
// user added and does not keep out need not wait for an answer; some servers
// can't be told so beforehand.
func (l *link) asks(bare, note, nick string) {
	allow := false
	if a, ok := l.host.Account(l.user.ID); ok && a.OnList != nil {
		may, blocked := a.OnList(im.Addr{Net: Name, ID: bare})
		allow = may && !blocked
	}
	l.mu.Lock()
	c := l.contact(bare)
	if c.seenBy() || allow && c.listed && (c.ask || c.sees()) {
		l.mu.Unlock()
		l.subscription(bare, "subscribed")
		return
	}
	again := c.asked
	c.asked, c.note = true, note
	if c.name == "" && !c.listed {
		c.name = nick
	}
	who := c.entry(bare)
	l.mu.Unlock()
	if again {
		return
	}
	if err := l.rememberAsked(bare, note); err != nil {
		l.log.Warn("a contact request could not be remembered", "err", err)
	}
	l.accept(nil, im.ContactEdit{ID: "asked:" + bare, Op: im.Add, Who: who, Note: note}, im.Roster{Items: []im.Contact{who}})
}

// withdraws notes that somebody no longer wants to see the account, or took
// back that he asked to.
func (l *link) withdraws(bare string) {
	l.mu.Lock()
	c := l.contact(bare)
	asked := c.asked
	c.asked, c.note = false, ""
	switch c.sub {
	case "from":
		c.sub = "none"
	case "both":
		c.sub = "to"
	}
	who := c.entry(bare)
	l.mu.Unlock()
	if asked {
		l.forgetAsked(bare)
	}
	l.accept(nil, im.ContactEdit{ID: "withdrew:" + bare, Op: im.Remove, Who: who}, im.Roster{Items: []im.Contact{who}})
}

// leaves notes that a contact no longer lets the account see him.
func (l *link) leaves(bare string) {
	l.mu.Lock()
	c := l.contacts[bare]
	if c == nil {
		l.mu.Unlock()
		return
	}
	c.ask, c.resources = false, nil
	switch c.sub {
	case "to":
		c.sub = "none"
	case "both":
		c.sub = "from"
	}
	who := c.entry(bare)
	ev, news := c.news(bare)
	l.mu.Unlock()
	events := []im.Event{im.Roster{Items: []im.Contact{who}}}
	if news {
		events = append(events, ev)
	}
	l.accept(nil, events...)
}
