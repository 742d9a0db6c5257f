package matrix

import (
	"cmp"
	"context"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// farewell is what to say when somebody put the account out of a room.
func (l *link) farewell(r id.RoomID, e *evt) (im.Message, bool) {
	if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey != string(l.cli.UserID) || e.Sender == l.cli.UserID {
		return im.Message{}, false
	}
	now, before := l.memberships(e)
	if now.Membership.IsInviteOrJoin() || before.Membership != event.MembershipJoin {
		return im.Message{}, false // an invitation that was taken back
	}
	what := "removed"
	if now.Membership == event.MembershipBan {
		what = "banned"
	}
	conv, _ := l.mem.conv(r)
	who := cmp.Or(l.mem.nameOf(e.Sender), e.Sender.Localpart())
	return im.Message{
		ID: string(e.ID), Conv: conv, From: im.Addr{Net: Name, ID: conv}, At: e.time(), Kind: im.Notice,
		Text: who + " " + what + " you from this room" + because(now.Reason) + ".",
	}, true
}

// removal is what to say when somebody put somebody else out of a small room:
// others see it from his going.
func (l *link) removal(r id.RoomID, e *evt) (im.Message, bool) {
	if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey == string(e.Sender) || *e.StateKey == string(l.cli.UserID) || !l.mem.small(r) {
		return im.Message{}, false
	}
	now, before := l.memberships(e)
	if now.Membership.IsInviteOrJoin() || before.Membership != event.MembershipJoin {
		return im.Message{}, false
	}
	what, whom := "removed ", id.UserID(*e.StateKey)
	if now.Membership == event.MembershipBan {
		what = "banned "
	}
	s := l.scene(r, e)
	return im.Message{
		ID: string(e.ID), Conv: s.conv, From: im.Addr{Net: Name, ID: string(e.Sender)}, At: e.time(), Own: e.Sender == s.me, Kind: im.Notice,
		Name: cmp.Or(s.name, e.Sender.Localpart()),
		Text: what + cmp.Or(l.mem.nameOf(whom), whom.Localpart()) + " from this room" + because(now.Reason) + ".",
	}, true
}

// lastWords is what was said in a room up to when somebody put the account out of
// it. Who went by himself has seen it where he did.
func (l *link) lastWords(ctx context.Context, r id.RoomID, left leftRoom, since, next string) ([]im.Event, error) {
	said, bye, out := left.Timeline, im.Message{}, false
	for i := range said.Events {
		if m, ok := l.farewell(r, &said.Events[i]); ok {
			bye, out = m, true
		}
	}
	if since == "" || !out {
		return nil, nil
	}
	for i := range said.Events {
		l.mem.change(r, &said.Events[i])
	}
	events, err := l.heard(ctx, r, said, since, next, false)
	l.mem.expel(r)
	return append(events, bye), err
}

// expel notes that somebody put the account out of a room: the contact stays,
// for the user to see and to remove.
func (m *memory) expel(r id.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rm := m.room(r); m.with(r) == "" && !rm.Space {
		set(m, roomKey+string(r), &rm.Expelled, true)
	}
	m.stir(r)
}

// forsake takes the rooms that the account was put out of off the list.
func (m *memory) forsake(addr string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r, rm := range m.rooms {
		if rm.Expelled && string(m.root(r)) == addr {
			set(m, roomKey+string(r), &rm.Expelled, false)
		}
	}
}

// memberships is what a member event says now and said before.
func (l *link) memberships(e *evt) (now, before event.MemberEventContent) {
	now, _ = decode[event.MemberEventContent](e.Content)
	before, _ = decode[event.MemberEventContent](e.Unsigned.PrevContent)
	return now, before
}

func because(reason string) string {
	if reason = im.OneLine(reason); reason != "" {
		return " (" + reason + ")"
	}
	return ""
}
