package matrix

import (
	"context"
	"net/http"
	"slices"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// membership is what becomes of a ghost in a room.
func (s *service) membership(ctx context.Context, g *ghost, acct im.Account, e *pushed, h *harvest) error {
	c, _ := decode[event.MemberEventContent](e.Content)
	switch c.Membership {
	case event.MembershipInvite:
		return s.invited(ctx, g, acct, e, h)
	case event.MembershipJoin:
		before, _ := decode[event.MemberEventContent](e.Unsigned.PrevContent)
		if before.Membership == event.MembershipJoin && g.mem.in(e.room) {
			return nil // another name or picture
		}
		s.lookSoon()
		return s.joined(ctx, g, e, h)
	case event.MembershipLeave, event.MembershipBan:
		g.mem.left(e.room)
		h.add(g)
		if g.olm() != nil {
			return g.olm().LeaveRoom(ctx, e.room)
		}
	}
	return nil
}

// invited takes in an invitation, as own accounts do; but whom nobody here knows
// may be kept out.
func (s *service) invited(ctx context.Context, g *ghost, acct im.Account, e *pushed, h *harvest) error {
	h.add(g)
	if g.mem.in(e.room) {
		return nil // brought again, and answered meanwhile
	}
	_, blocked := acct.OnList(im.Addr{Net: Name, ID: string(e.Sender)})
	if blocked || s.ours(e.Sender) || !g.mem.follows(string(e.Sender)) && !s.welcomes(e.Sender) {
		g.errand(ctx, func(ctx context.Context) error {
			if err := g.enrol(ctx, acct); err != nil {
				return err
			}
			return g.leave(ctx, e.room)
		})
		return nil
	}
	g.errand(ctx, func(ctx context.Context) error { return g.enrol(ctx, acct) }) // before it joins
	for i := range e.state {
		g.mem.change(e.room, &e.state[i])
	}
	if encrypted, _ := g.mem.secrecy(e.room); encrypted { // what is said before it joins is for it too
		g.errand(ctx, func(ctx context.Context) error { return s.equip(ctx, g) })
	}
	s.nameOf(ctx, g, e.Sender)
	if edit, ok := g.invitation(ctx, e.room, invitedRoom{eventList{append(slices.Clone(e.state), e.evt)}}); ok {
		h.add(g, edit)
	}
	return nil
}

// nameFor is how long a profile may take before somebody asks without a name.
const nameFor = 3 * time.Second

// nameOf looks up how somebody is called, if nothing said so.
func (s *service) nameOf(ctx context.Context, g *ghost, u id.UserID) {
	if g.mem.nameOf(u) != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, nameFor)
	defer cancel()
	if p, err := s.bot.cli.GetProfile(ctx, u); err == nil {
		g.mem.profile(u, p.DisplayName, p.AvatarURL)
	}
}

func (s *service) welcomes(who id.UserID) bool {
	return s.neighbour(who) || welcome(who, s.domain, s.host.Setting(im.Addr{}, "accept_from"), s.host.Setting(im.Addr{}, "accept_list"))
}

// joined takes in that the ghost is in a room. Homeservers tell of a room only
// from then on, so what was said since the invitation is asked for.
func (s *service) joined(ctx context.Context, g *ghost, e *pushed, h *harvest) error {
	g.mem.enter(e.room, &joinedRoom{})
	if g.olm() != nil { // nobody told of the devices of those whom it shared no room with
		if err := g.olm().Unsure(ctx); err != nil {
			return err
		}
	}
	said, err := g.sinceInvitation(ctx, e.room)
	if err != nil {
		return err
	}
	for i := range said {
		if err := s.heard(ctx, g, e.room, &said[i], h); err != nil {
			return err
		}
	}
	h.add(g)
	g.count(e.room)
	g.lookUpNames(ctx)
	return nil
}

// sinceInvitation is the history of a room from the ghost's invitation on, oldest
// first.
func (g *ghost) sinceInvitation(ctx context.Context, r id.RoomID) (said evts, err error) {
	limit, from := g.number(im.History, 500), ""
	for range pages {
		var p historyPage
		err := g.retry(ctx, func() error {
			p = historyPage{}
			return g.history(ctx, r, from, "", min(limit+1, page), &p)
		})
		if err != nil && (ctx.Err() != nil || passing(err) || tokenRefused(err)) {
			return nil, err
		}
		if err != nil {
			g.log.Warn("history refused", "room", r, "err", words(err))
			return said, nil
		}
		for _, e := range p.Chunk {
			said = slices.Insert(said, 0, e)
			if g.began(&e) || len(said) == limit {
				return said, nil
			}
		}
		if p.End == "" || p.End == from {
			break
		}
		from = p.End
	}
	return said, nil
}

// count asks who is in a direct room: with a third it is none any more, and whom
// everybody left is no place to write to. A room without a name is called by them.
func (g *ghost) count(r id.RoomID) {
	g.soon.ask("members "+string(r), func(ctx context.Context) error {
		if !g.mem.membersMatter(r) {
			return nil
		}
		var members struct {
			Chunk evts `json:"chunk"`
		}
		_, err := g.cli.MakeFullRequest(ctx, mautrix.FullRequest{
			Method: http.MethodGet, ResponseJSON: &members, MaxAttempts: 1,
			URL: g.cli.BuildURLWithQuery(mautrix.ClientURLPath{"v3", "rooms", r, "members"}, map[string]string{"not_membership": "leave"}),
		})
		if err != nil {
			return err
		}
		g.mem.counted(r, members.Chunk)
		g.poke()
		return g.mem.save(ctx, g.kv)
	})
}

// What a ghost asks of its memory, which no /sync keeps.

// in tells whether the ghost is in a room.
func (m *memory) in(r id.RoomID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm := m.rooms[r]
	return rm != nil && rm.Membership == event.MembershipJoin
}

// knows tells whether the ghost has somebody as a contact.
func (m *memory) knows(u id.UserID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[string(u)]
	return len(m.direct[u]) > 0 || e != nil && e.Added
}

// doubt forgets that a room is not encrypted: transactions may be late, and only
// the homeserver knows how the room is at this moment.
func (m *memory) doubt(r id.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rm := m.rooms[r]; rm != nil {
		rm.clear = false
	}
}

// membersMatter tells whether it matters who is in a room: it is a direct one, or has no
// name to call it by.
func (m *memory) membersMatter(r id.RoomID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	rm := m.rooms[r]
	return m.partner[r] != "" || rm != nil && rm.Name == "" && rm.Alias == ""
}

// counted takes in who is in a room.
func (m *memory) counted(r id.RoomID, members evts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var joined, invited int
	var heroes []id.UserID
	for _, e := range members {
		c, ok := decode[event.MemberEventContent](e.Content)
		if !ok || e.StateKey == nil || !c.Membership.IsInviteOrJoin() {
			continue
		}
		if c.Membership == event.MembershipJoin {
			joined++
		} else {
			invited++
		}
		u := id.UserID(*e.StateKey)
		m.member(u, c)
		if u != m.me && len(heroes) < 5 {
			heroes = append(heroes, u)
		}
	}
	rm, key := m.room(r), roomKey+string(r)
	set(m, key, &rm.Joined, joined)
	set(m, key, &rm.Invited, invited)
	if !slices.Equal(rm.Heroes, heroes) {
		rm.Heroes = heroes
		m.dirty[key] = true
	}
}
