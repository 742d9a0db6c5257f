package matrix

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// byTime orders rooms by their first event, so that two direct rooms with one
// person come out in the order they were used.
func byTime(rooms map[id.RoomID]joinedRoom) []id.RoomID {
	first := func(r id.RoomID) int64 {
		if es := rooms[r].Timeline.Events; len(es) > 0 {
			return es[0].At
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(rooms), func(a, b id.RoomID) int {
		return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(a, b))
	})
}

// roomEvents is what one room of a response brought. State goes in first, so
// that a room that became encrypted is known as such before anything else.
func (l *link) roomEvents(ctx context.Context, r id.RoomID, j *joinedRoom, since, next string) ([]im.Event, error) {
	for _, part := range []evts{j.State.Events, j.Timeline.Events} {
		for i := range part {
			l.mem.change(r, &part[i])
			if err := l.readers(ctx, r, &part[i]); err != nil {
				return nil, err
			}
		}
	}
	entered, asked := l.mem.enter(r, j)
	if asked != "" {
		l.errand(ctx, func(ctx context.Context) error { return l.nowDirect(ctx, r, asked) })
	}
	if u := l.mem.inherits(r); u != "" {
		l.errand(ctx, func(ctx context.Context) error { return l.nowDirect(ctx, r, u) })
	}
	entered = entered && since != ""
	for _, e := range slices.Concat(j.State.Events, j.Timeline.Events) {
		entered = entered || since != "" && l.entering(&e)
	}
	events, err := l.heard(ctx, r, j.Timeline, since, next, entered)
	if err != nil {
		return nil, err
	}
	return append(events, l.ephemeral(r, j.Ephemeral.Events)...), nil
}

// heard is what was said in a room, with what a gap left out. Who has just entered
// hears what was said since his invitation; where the room continues another one
// that he was in, all of it.
func (l *link) heard(ctx context.Context, r id.RoomID, t timeline, since, next string, entered bool) (events []im.Event, err error) {
	said := t.Events
	heir := entered && l.mem.heir(r)
	if t.Limited && since != "" {
		older, cut, err := l.backfill(ctx, r, said, next, since, entered, heir)
		if err != nil {
			return nil, err
		}
		said = slices.Concat(older, said)
		if cut != "" && len(said) > 0 {
			events = append(events, l.cutNotice(r, said[0], cut))
		}
	}
	if entered && !heir {
		said = l.sinceInvited(said)
	}
	for i := range said {
		m, ok, err := l.message(ctx, r, &said[i], since == "")
		if err != nil {
			return nil, err
		}
		if ok {
			events = append(events, m)
		}
	}
	return events, nil
}

// entering tells whether e is the account's own joining.
func (l *link) entering(e *evt) bool {
	if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey != string(l.cli.UserID) || e.Unsigned.PrevContent == nil {
		return false
	}
	now, _ := decode[event.MemberEventContent](e.Content)
	before, _ := decode[event.MemberEventContent](e.Unsigned.PrevContent)
	return now.Membership == event.MembershipJoin && before.Membership != event.MembershipJoin
}

// sinceInvited leaves out what was said before the account was invited to a
// room, or before it joined without an invitation.
func (l *link) sinceInvited(said evts) evts {
	from := -1
	for i, e := range said {
		if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey != string(l.cli.UserID) {
			continue
		}
		c, _ := decode[event.MemberEventContent](e.Content)
		if c.Membership == event.MembershipInvite || from < 0 {
			from = i
		}
	}
	return said[max(from, 0):]
}

// message turns a timeline event into a message for the hub, or into the
// receipt of one of ours that came back. old says that it was there before the
// account was linked.
func (l *link) message(ctx context.Context, r id.RoomID, e *evt, old bool) (im.Event, bool, error) {
	own := e.Sender == l.cli.UserID
	if e.StateKey == nil && e.Type != event.EventReaction.Type {
		l.mem.spoke(r, e.Sender, e.At)
	}
	if e.Type == event.EventEncrypted.Type {
		l.mem.learn(r, true)
		if err := l.unknownToDisk(ctx, r, e); err != nil {
			return nil, false, err
		}
	}
	l.track.saw(e.ID, r, e.Type == event.EventReaction.Type)
	if msg := l.echoOf(e); own && msg != "" {
		l.track.named(msg, e.ID)
		receipt, ok := l.settle(msg)
		return receipt, ok, nil
	}
	if old {
		return nil, false, nil
	}
	if e.Type == event.StateTombstone.Type {
		l.pursue(ctx, r, e)
	}
	if gone, ok := l.removal(r, e); ok {
		return gone, true, nil
	}
	if l.mem.ignores(e.Sender) {
		return nil, false, nil // servers leave them out, but need not
	}
	s := l.scene(r, e)
	if e.Type == event.EventEncrypted.Type {
		inner, why, err := l.open(ctx, r, e)
		if err != nil {
			return nil, false, err
		}
		if e, s.unread = inner, why; e.Type == event.EventReaction.Type {
			l.track.saw(e.ID, r, true)
		}
	}
	m, ok := convert(e, s)
	if ok && m.Rel.Kind == im.Retract && l.olm() != nil {
		if err := l.olm().Drop(id.EventID(m.Rel.To)); err != nil {
			return nil, false, err
		}
	}
	if ok && m.Rel.Kind == im.Retract && l.track.reaction(id.EventID(m.Rel.To)) {
		return nil, false, nil // taking back a reaction is not worth a line
	}
	if ok {
		l.relate(&m)
		m.Quiet = l.mem.quiet(r, e)
	}
	return m, ok, nil
}

// relate adds what the message said that m refers to, and remembers what m says.
func (l *link) relate(m *im.Message) {
	said := m.Text
	if m.File != nil {
		said = strings.TrimSpace("[" + m.File.Name + "] " + said)
	}
	switch to := id.EventID(m.Rel.To); m.Rel.Kind {
	case im.NoRel:
		l.track.said(id.EventID(m.ID), said)
	case im.Reply:
		m.Rel.Quote = l.track.quote(to)
		l.track.said(id.EventID(m.ID), said)
	case im.Edit:
		l.track.said(to, said)
	case im.React, im.Retract:
		m.Rel.Quote = l.track.quote(to)
	}
}

// scene is what is known of the place an event happened in.
func (l *link) scene(r id.RoomID, e *evt) scene {
	conv, with := l.mem.conv(r)
	return scene{me: l.cli.UserID, conv: conv, with: with, name: l.mem.nameOf(e.Sender)}
}

// echoOf is the id of the message of this box that e is, "" when e was written
// elsewhere.
func (l *link) echoOf(e *evt) string {
	if e.Unsigned.TransactionID != "" {
		return e.Unsigned.TransactionID
	}
	x, _ := decode[extra](e.Content)
	if box, msg, _ := strings.Cut(x.Origin, "/"); box == l.box {
		return msg
	}
	if e.Type == event.EventRedaction.Type { // Dendrite keeps neither of the two
		return l.track.eraser(redacted(e))
	}
	return ""
}

// ephemeral is who began and stopped writing in a room.
func (l *link) ephemeral(r id.RoomID, events evts) (out []im.Event) {
	for _, e := range events {
		switch e.Type {
		case event.EphemeralEventReceipt.Type:
			l.mem.read(e.Content)
		case event.EphemeralEventTyping.Type:
			c, _ := decode[event.TypingEventContent](e.Content)
			began, stopped := l.mem.writing(r, c.UserIDs, time.Now())
			conv, _ := l.mem.conv(r)
			for i, u := range slices.Concat(stopped, began) {
				out = append(out, im.Typing{Conv: conv, Who: im.Addr{Net: Name, ID: string(u)}, On: i >= len(stopped)})
			}
		}
	}
	return out
}
