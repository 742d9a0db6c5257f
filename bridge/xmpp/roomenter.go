package xmpp

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// comeBack is how long a room that ended, or could not be entered, is left alone.
const comeBack = 30 * time.Second

// roomHistory is how many messages of a room's archive are shown at most of what was
// said while the account was not in it, where its settings say nothing; roomOverlap how many before the newest known
// are looked at again, because archives do not keep quite the order of delivery.
const (
	roomHistory = 50
	roomOverlap = 10
)

// show makes the account show p in its rooms: it enters or leaves them, or is
// seen differently.
func (y *lobby) show(p im.Presence, idle time.Time) {
	open := available(p.Status)
	var tell, left []stream.JID
	var events []im.Event
	y.mu.Lock()
	was := y.open
	y.open, y.shows, y.idle = open, p, idle
	for _, r := range y.rooms {
		switch {
		case open && r.stage == outside && !was:
			y.goIn(r)
		case open && r.stage == within:
			tell = append(tell, r.seat())
		case !open && r.stage != outside:
			left = append(left, r.seat())
			r.leave()
			events = append(events, r.state()...)
		}
	}
	y.mu.Unlock()
	for _, to := range tell {
		out := composePresence(p, idle)
		out.From, out.To = y.from, to.String()
		y.s.Send(out, nil)
	}
	if y.from != "" { // else the server has told the rooms
		y.sayGone(left...)
	}
	if len(events) > 0 {
		y.report(nil, events...)
	}
}

// goIn begins to enter a room. The lock is held.
func (y *lobby) goIn(r *room) {
	if y.ctx.Err() != nil {
		return
	}
	r.leave()
	r.stage, r.why, r.again = entering, "", time.Time{}
	t := &try{over: make(chan struct{}), reply: make(chan occupancy, 1), owed: r.owed()}
	r.try, r.holds = t, true
	y.wg.Go(func() { y.enter(r, t) })
}

// enter enters a room and reads what was said in it since.
func (y *lobby) enter(r *room, t *try) {
	defer close(t.over)
	select {
	case y.doors <- struct{}{}:
		defer func() { <-y.doors }()
	case <-y.ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(y.ctx, patience)
	defer cancel()
	archive, err := y.inspect(ctx, r)
	if err == nil {
		err = y.join(ctx, r, t, archive)
	}
	if y.ctx.Err() != nil || !y.entered(r, t, err) {
		return
	}
	if archive {
		if err := y.catchUp(ctx, r); err != nil {
			y.log.Info("a room's archive can't be read; the room is entered anew", "room", r.jid.String(), "err", err)
			y.giveUp(r, t)
		}
	}
	y.release(r, t)
	y.wake()
}

// giveUp makes the account come back later to a room whose archive can't be read: what
// is said in it until then is read with the archive.
func (y *lobby) giveUp(r *room, t *try) {
	y.mu.Lock()
	if r.try != t || r.stage != within {
		y.mu.Unlock()
		return
	}
	r.leave()
	r.why, r.again = "The room's archive can't be read.", time.Now().Add(comeBack)
	events := r.state()
	y.mu.Unlock()
	y.report(nil, events...)
}

// ask asks a room something.
func (y *lobby) ask(ctx context.Context, typ stanza.StanzaType, to string, payload stanza.Node) (*stanza.Node, error) {
	iq := query(typ, to, payload)
	iq.From = y.from
	return y.s.Do(ctx, iq)
}

// inspect asks what a room can do and how it is called. One that is not there yet is
// made by entering it.
func (y *lobby) inspect(ctx context.Context, r *room) (archive bool, err error) {
	n, err := y.ask(ctx, stanza.IQTypeGet, r.jid.String(), element(stanza.NSDiscoInfo, "query"))
	if err != nil {
		var no *stream.StanzaError
		if errors.As(err, &no) && no.Condition != "remote-server-not-found" && no.Condition != "remote-server-timeout" {
			err = nil
		}
		return false, err
	}
	q := stream.Child(n, stanza.NSDiscoInfo, "query")
	y.mu.Lock()
	defer y.mu.Unlock()
	for i := range q.Nodes {
		switch c := &q.Nodes[i]; c.XMLName.Local {
		case "feature":
			archive = archive || stream.Attr(c, "var") == nsMAM
		case "identity":
			if name := im.OneLine(stream.Attr(c, "name")); r.name == "" && stream.Attr(c, "category") == "conference" {
				r.name = name
			}
		}
	}
	return archive, nil
}

// join takes a seat in a room, under another name when the own is taken.
func (y *lobby) join(ctx context.Context, r *room, t *try, archive bool) error {
	y.mu.Lock()
	nick, password := r.nick, r.password
	y.mu.Unlock()
	if nick == "" {
		nick = y.self.Local
		if name, _, ok := strings.Cut(handle(y.self), "@"); ok {
			nick = name
		}
	}
	for range 4 {
		to := r.jid
		to.Resource = nick
		y.mu.Lock()
		p := composePresence(y.shows, y.idle)
		if r.try == t && r.stage == entering {
			r.called = nick
		}
		y.mu.Unlock()
		x := element(nsMUC, "x")
		lines := "20"
		if archive {
			lines = "0"
		}
		x.Nodes = []stanza.Node{element(nsMUC, "history", "maxstanzas", lines)}
		if password != "" {
			x.Nodes = append(x.Nodes, words(nsMUC, "password", password))
		}
		p.From, p.To = y.from, to.String()
		p.Extensions = append(p.Extensions, x)
		if err := y.s.Send(p, nil); err != nil {
			return err
		}
		select {
		case o := <-t.reply:
			switch {
			case o.err != nil && o.err.Condition == "conflict":
				nick += "_"
				continue
			case o.err != nil:
				return o.err
			case o.has("201"):
				return y.furnish(ctx, r)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return &stream.StanzaError{Condition: "conflict"}
}

// furnish opens a room that the account has just made (XEP-0045 §10.1.2).
func (y *lobby) furnish(ctx context.Context, r *room) error {
	q := element(nsMUCOwner, "query")
	q.Nodes = []stanza.Node{element(nsForm, "x", "type", "submit")}
	_, err := y.ask(ctx, stanza.IQTypeSet, r.jid.String(), q)
	return err
}

// catchUp reports what the room's archive has behind the mark. Without a mark the
// room is new here, and what is older is history.
func (y *lobby) catchUp(ctx context.Context, r *room) error {
	bare := r.jid.String()
	y.mu.Lock()
	mark, known := y.marks[bare]
	y.mu.Unlock()
	results, complete, err := y.page(ctx, r.jid)
	var no *stream.StanzaError
	if errors.As(err, &no) { // members may read it, others not
		return nil
	}
	if err != nil {
		return err
	}
	newest := "" // nothing was said here yet
	if len(results) > 0 {
		newest = stream.Attr(results[len(results)-1], "id")
	}
	at := slices.IndexFunc(results, func(n *stanza.Node) bool { return stream.Attr(n, "id") == mark })
	lis := listener{me: y.self, now: time.Now()}
	var events []im.Event
	y.mu.Lock()
	if !known {
		y.marks[bare], y.news = newest, true
	}
	for i, result := range results {
		h, ok := lis.groupArchived(result)
		said := stream.Child(stream.Child(result, nsForward, "forwarded"), stanza.NSClient, "message")
		if !ok || !known || i < at-roomOverlap {
			if ok {
				r.mayChange(said, &h)
			}
			continue
		}
		if i == 0 && at < 0 && !complete && h.msg != nil {
			events = append(events, im.Message{
				ID: bare + "#before " + h.id, Conv: h.conv(), From: addr(r.jid), Kind: im.Notice, At: h.msg.At,
				Text: "(more was said here before this; the newest messages are shown)",
			})
		}
		events = append(events, y.digest(r, said, &h)...)
	}
	y.mu.Unlock()
	return y.report(func(err error) {
		if err == nil {
			y.reached(r, newest)
		}
	}, events...)
}

// page asks for the newest part of a room's archive.
func (y *lobby) page(ctx context.Context, room stream.JID) (results []*stanza.Node, complete bool, err error) {
	id := rand.Text()
	page := &roomPage{room: room}
	y.mu.Lock()
	y.pages[id] = page
	y.mu.Unlock()
	iq := archiveQuery{newest: true, size: y.most()}.iq(id)
	iq.From, iq.To = y.from, room.String()
	n, err := y.s.Do(ctx, iq)
	y.mu.Lock()
	delete(y.pages, id)
	results = page.results
	y.mu.Unlock()
	return results, stream.Attr(stream.Child(n, nsMAM, "fin"), "complete") == "true", err
}

// entered tells the hub whether the account is in a room, and who is. False: there is
// nothing more to do, because the account has left again or tries anew.
func (y *lobby) entered(r *room, t *try, err error) (ok bool) {
	var no *stream.StanzaError
	y.mu.Lock()
	if r.try != t {
		y.mu.Unlock()
		return false
	}
	if r.stage == entering && err == nil {
		r.stage, r.came = within, time.Now()
	} else if r.stage == entering {
		r.leave()
		r.why = "The room does not answer."
		r.again = time.Now().Add(10 * comeBack)
		if errors.As(err, &no) {
			r.why = "The room can't be entered: " + failure(no).Error() + "."
		}
	}
	r.life = time.Now()
	events := r.state()
	y.mu.Unlock()
	return y.report(nil, events...) == nil
}

// release lets through what was held back while a room was entered. What a room says
// that could not be entered is nobody's.
func (y *lobby) release(r *room, t *try) {
	y.mu.Lock()
	for len(r.held) > 0 && r.try == t {
		waiting, in := r.held, r.stage == within
		r.held = nil
		y.mu.Unlock()
		for _, h := range waiting {
			if in {
				y.hear(r, h.n, h.done)
			} else {
				h.done()
			}
		}
		y.mu.Lock()
	}
	if r.try != t {
		y.mu.Unlock()
		return
	}
	r.holds = false
	if r.stage != within {
		var events []im.Event
		if y.open { // else the next try shows what became of it
			events = y.unsaid(r)
		}
		y.mu.Unlock()
		if len(events) > 0 {
			y.report(nil, events...)
		}
		return
	}
	again := slices.DeleteFunc(slices.Clone(r.unheard), func(p stanza.Message) bool { return !slices.Contains(t.owed, p.Id) })
	y.mu.Unlock()
	for _, p := range again { // the room does not have them, as far as is known
		y.s.Send(p, nil)
	}
}
