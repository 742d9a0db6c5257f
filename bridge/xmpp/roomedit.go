package xmpp

import (
	"context"
	"errors"
	"slices"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// have puts a room onto the account's list, or gives it another bookmark, and enters
// it.
func (y *lobby) have(j stream.JID, b bookmark) im.Contact {
	bare := j.String()
	y.answered(bare)
	y.mu.Lock()
	defer y.mu.Unlock()
	r := y.rooms[bare]
	if r == nil {
		r = newRoom(j)
		y.rooms[bare] = r
	}
	name := r.name
	if r.bookmark = b; b.name == "" {
		r.name = name
	}
	if y.open && r.stage == outside {
		y.goIn(r)
	}
	return r.entry()
}

// changed takes what another client of the account did to its bookmarks.
func (y *lobby) changed(in map[stream.JID]bookmark, out []stream.JID) {
	var r im.Roster
	var left []*room
	for room, b := range in {
		r.Items = append(r.Items, y.have(room, b))
	}
	y.mu.Lock()
	for _, room := range out {
		if old := y.rooms[room.String()]; old != nil {
			left = append(left, old)
			delete(y.rooms, room.String())
			r.Gone = append(r.Gone, addr(room))
		}
	}
	y.mu.Unlock()
	for _, old := range left {
		y.goOut(old)
	}
	if len(r.Items)+len(r.Gone) > 0 {
		y.report(nil, r)
	}
}

// goOut leaves a room that is off the list.
func (y *lobby) goOut(r *room) {
	y.mu.Lock()
	seat := r.seat()
	r.leave()
	y.mu.Unlock()
	y.sayGone(seat)
}

// sayGone gives seats in rooms up, those that were taken.
func (y *lobby) sayGone(seats ...stream.JID) {
	for _, to := range seats {
		if to.Resource != "" {
			y.s.Send(stanza.NewPresence(stanza.Attrs{Type: unavailable, From: y.from, To: to.String()}), nil)
		}
	}
}

// invited notes an invitation. Who is invited to a room on the list goes there, if he
// may be seen.
func (y *lobby) invited(v invitation) {
	bare := v.room.String()
	y.mu.Lock()
	r := y.rooms[bare]
	if r != nil {
		if r.password == "" {
			r.password = v.password
		}
		if y.open && r.stage == outside {
			y.goIn(r)
		}
	}
	again := y.asked[bare] != nil
	if r != nil || again || len(y.asked) >= maxAsked {
		y.mu.Unlock()
		return
	}
	y.asked[bare] = &v
	y.mu.Unlock()
	y.keepInvitation(v)
	y.report(nil, im.ContactEdit{ID: "asked:" + bare, Op: im.Add, Who: v.contact(), Note: v.note()}, im.Roster{Items: []im.Contact{v.contact()}})
}

// isRoom tells whether an address is a room's, as far as its server tells.
func (y *lobby) isRoom(ctx context.Context, j stream.JID) bool {
	y.mu.Lock()
	known := y.rooms[j.String()] != nil || y.asked[j.String()] != nil
	y.mu.Unlock()
	if known || j.Domain == y.self.Domain {
		return known
	}
	ctx, cancel := context.WithTimeout(ctx, askRoom)
	defer cancel()
	n, err := y.ask(ctx, stanza.IQTypeGet, j.String(), element(stanza.NSDiscoInfo, "query"))
	if err != nil {
		n, err = y.ask(ctx, stanza.IQTypeGet, j.Domain, element(stanza.NSDiscoInfo, "query"))
	}
	return err == nil && isConference(n)
}

// askRoom is how long a server may take to say whether an address is a room's.
const askRoom = 4 * time.Second

func isConference(n *stanza.Node) bool {
	q := stream.Child(n, stanza.NSDiscoInfo, "query")
	return q != nil && slices.ContainsFunc(q.Nodes, func(c stanza.Node) bool {
		return c.XMLName.Local == "identity" && stream.Attr(&c, "category") == "conference"
	})
}

// edit makes a change that the user made to a room on the list. It can be done twice.
func (y *lobby) edit(ctx context.Context, j stream.JID, e im.ContactEdit) error {
	bare := j.String()
	var err error
	switch e.Op {
	case im.Add, im.Accept:
		err = y.add(ctx, j, e)
	case im.Remove:
		err = y.remove(ctx, bare)
	case im.Decline:
		y.decline(bare)
	case im.Rename:
		err = y.rename(ctx, bare, e.Who.Name)
	default:
		return im.ErrUnsupported // groups and blocks are this box's business
	}
	done := im.Receipt{ID: e.ID, Conv: bare, State: im.Sent}
	var no *stream.StanzaError
	if errors.As(err, &no) {
		done.State, done.Err = im.Failed, failure(no)
	} else if err != nil {
		return err
	}
	return y.report(nil, done)
}

func (y *lobby) add(ctx context.Context, j stream.JID, e im.ContactEdit) error {
	bare := j.String()
	y.mu.Lock()
	b := bookmark{}
	if r := y.rooms[bare]; r != nil {
		b = r.bookmark
	}
	if v := y.asked[bare]; v != nil {
		b.password = v.password
	}
	y.mu.Unlock()
	if err := y.shelf.put(ctx, bare, b); err != nil {
		return err
	}
	return y.report(nil, im.Roster{Items: []im.Contact{y.have(j, b)}})
}

func (y *lobby) remove(ctx context.Context, bare string) error {
	y.mu.Lock()
	r := y.rooms[bare]
	y.mu.Unlock()
	if r == nil {
		return nil
	}
	if err := y.shelf.drop(ctx, bare, r.bookmark); err != nil {
		return err
	}
	y.mu.Lock()
	delete(y.rooms, bare)
	delete(y.marks, bare)
	y.news = true
	y.mu.Unlock()
	y.goOut(r)
	return nil
}

func (y *lobby) rename(ctx context.Context, bare, name string) error {
	y.mu.Lock()
	r := y.rooms[bare]
	if r == nil || r.name == name {
		y.mu.Unlock()
		return nil
	}
	r.name = name
	b := r.bookmark
	y.mu.Unlock()
	return y.shelf.put(ctx, bare, b)
}

// decline answers an invitation with no (XEP-0045 §7.8.2); a direct one has no
// answer.
func (y *lobby) decline(bare string) {
	v := y.answered(bare)
	if v == nil || !v.mediated || v.by.IsZero() {
		return
	}
	x := element(nsMUCUser, "x")
	x.Nodes = []stanza.Node{element(nsMUCUser, "decline", "to", v.by.Bare().String())}
	p := stanza.NewMessage(stanza.Attrs{From: y.from, To: bare})
	p.Extensions = []stanza.MsgExtension{x}
	y.s.Send(p, nil)
}

// say says something to all in a room. It is settled when the room has said it to the
// account too.
func (y *lobby) say(ctx context.Context, m im.Message) error {
	p, send, err := y.outgoing(ctx, m)
	if err != nil || !send {
		return err
	}
	return y.s.Send(p, nil)
}

// outgoing makes the stanza for a message to a room, once the account is in it;
// false when it is known to be there already.
func (y *lobby) outgoing(ctx context.Context, m im.Message) (p stanza.Message, send bool, err error) {
	y.mu.Lock()
	r := y.rooms[m.Conv]
	var waits []<-chan struct{}
	if r != nil && r.stage == entering {
		waits = append(waits, r.try.over)
	}
	if earlier := y.mem.sends.answered(m.Rel.To); earlier != nil {
		waits = append(waits, earlier) // the room will say what it calls that
	}
	y.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, enterWithin)
	defer cancel()
	for _, over := range waits {
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case r == nil:
		return p, false, &im.Refused{Text: "This room is not on your list."}
	case !y.open:
		return p, false, &im.Refused{Text: "While you appear to be offline you are in no room."}
	case r.stage != within:
		return p, false, &im.Refused{Text: "You are not in this room. " + r.why}
	}
	if s := y.mem.sends.of[m.ID]; s != nil && s.any {
		return p, false, nil
	}
	if p, err = composeGroup(m, m.Conv, y.mem.refs.aboutGroup(m.Conv, m.Rel)); err != nil {
		return p, false, err
	}
	p.From = y.from
	y.mem.sends.add(m.ID, m.Conv)
	if len(r.unheard) < maxUnheard {
		r.unheard = append(r.unheard, p)
	}
	return p, true, nil
}

// enterWithin is how long a message waits for the account to be in its room, and for
// the room to say an earlier one that it is about.
const enterWithin = 15 * time.Second

// has tells whether a conversation is with a room.
func (y *lobby) has(conv string) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.rooms[conv] != nil
}

// chores asks silent rooms whether the account is still in them (XEP-0410), and
// comes back to those that could not be entered. It returns when the next is due, 0
// when nothing is planned.
func (y *lobby) chores(now time.Time) (next time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, r := range y.rooms {
		due := r.life.Add(silent)
		switch {
		case !y.open, r.stage == entering, r.stage == outside && r.again.IsZero():
			continue
		case r.stage == outside:
			due = r.again
		}
		if left := due.Sub(now); left > 0 {
			if next == 0 || left < next {
				next = left
			}
			continue
		}
		if r.stage == outside {
			y.goIn(r)
			continue
		}
		r.life = now
		y.wg.Go(func() { y.knock(r) })
	}
	return next
}

// knock asks a room, by way of the account's own seat in it, whether that is there.
func (y *lobby) knock(r *room) {
	ctx, cancel := context.WithTimeout(y.ctx, patience)
	defer cancel()
	y.mu.Lock()
	to := r.seat()
	y.mu.Unlock()
	_, err := y.ask(ctx, stanza.IQTypeGet, to.String(), element(nsPing, "ping"))
	var no *stream.StanzaError
	if !errors.As(err, &no) {
		return
	}
	switch no.Condition { // XEP-0410 §3
	case "service-unavailable", "feature-not-implemented", "item-not-found", "remote-server-not-found", "remote-server-timeout":
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if r.stage == within && y.open {
		y.goIn(r)
	}
}

// close waits for nothing: after it nobody enters a room any more, so that those who
// are on their way can be waited for.
func (y *lobby) close() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.open = false
}

func newRoom(j stream.JID) *room { return &room{jid: j, people: map[string]bool{}} }
