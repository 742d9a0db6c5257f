package bridge

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"nudge/bridge/im"
	"nudge/store"
)

// A room is a contact with members. In a conversation with a small one, its
// members are shown as if they had joined one by one, next to the contact, which
// speaks for the room itself and for whom the client was not told of. In a large
// one nobody is shown, and the speaker's name goes before what he says (MAPPING.md
// §1, §2).

// member is somebody in a room, as the client in the conversation knows him.
type member struct {
	addr im.Addr
	as   im.Person
}

// newGuest is a contact of owner in a conversation with nobody shown yet.
func newGuest(owner *account, c *contact) *guest {
	g := &guest{owner: owner, c: c}
	g.arrive(owner.shownMembers(c))
	return g
}

// shownMembers are the members of a room to show, nil when there are too many or the
// account does not want to see them.
func (a *account) shownMembers(c *contact) []im.Person {
	p := a.port(c.Net)
	if c.heard == nil || max(len(c.members), c.size) > im.Crowd || p != nil && p.rec.Settings[im.Joins] == "no" {
		return nil
	}
	return c.members
}

// arrive shows those of ps who are not shown, and returns them.
func (g *guest) arrive(ps []im.Person) (came []im.Person) {
	for _, p := range ps {
		if g.speaker(p.Addr) != nil || p.ID == g.c.ID {
			continue
		}
		m := member{p.Addr, g.named(p)}
		g.members = append(g.members, m)
		came = append(came, m.as)
	}
	return came
}

// depart takes those away who are no longer in the room, and returns them.
func (g *guest) depart() (left []im.Person) {
	g.members = slices.DeleteFunc(g.members, func(m member) bool {
		in := slices.ContainsFunc(g.c.members, func(p im.Person) bool { return p.Addr == m.addr })
		if !in {
			left = append(left, m.as)
		}
		return !in
	})
	return left
}

// named is a member under an address that is nobody else's in the conversation: a
// contact's is his own.
func (g *guest) named(p im.Person) im.Person {
	if c := g.owner.contacts.of(p.Addr); c != nil {
		return g.owner.show(c)
	}
	handle := g.owner.hub.mailShape(p.Addr, p.Name)
	taken := func(m member) bool { return canonical(m.as.ID) == canonical(handle) }
	if !g.owner.free(handle) || slices.ContainsFunc(g.members, taken) {
		sum := sha256.Sum256([]byte(p.Net + " " + p.ID))
		handle = hex.EncodeToString(sum[:6]) + "@" + p.Net + ".invalid"
	}
	name := p.Name
	if name == "" {
		name = handle
	}
	return im.Person{Addr: im.Addr{Net: p.Net, ID: handle}, Name: name}
}

// speaker finds who is shown for addr.
func (g *guest) speaker(addr im.Addr) *member {
	for i := range g.members {
		if g.members[i].addr == addr {
			return &g.members[i]
		}
	}
	return nil
}

// everybody is the guest as the client is shown him, members last.
func (g *guest) everybody() []im.Person {
	all := []im.Person{g.owner.show(g.c)}
	for _, m := range g.members {
		all = append(all, m.as)
	}
	return all
}

// guest finds a contact of owner in the conversation.
func (c *chat) guest(owner *account, who *contact) *guest {
	for _, g := range c.guests {
		if g.owner == owner && g.c == who {
			return g
		}
	}
	return nil
}

// follow shows the clients who came into a room and who left it.
func (c *chat) follow(g *guest) {
	for _, p := range g.depart() {
		c.tell(nil, im.Membership{Who: p})
	}
	for _, p := range g.arrive(g.owner.shownMembers(g.c)) {
		c.tell(nil, im.Membership{Who: p, Joined: true})
	}
}

// speaker is how the client in the conversation knows who says something in it:
// itself a member that it was shown, else the contact.
func (t *thread) speaker(c *contact, from im.Addr) (who im.Addr, shown bool) {
	if g := t.seat.chat.guest(t.acct, c); g != nil {
		if m := g.speaker(from); m != nil {
			return m.as.Addr, true
		}
	}
	return t.acct.show(c).Addr, false
}

// takeRoom notes who is in a room, its name and its topic.
func (p *port) takeRoom(a *account, ev im.Room) {
	c := a.contacts.of(im.Addr{Net: p.net, ID: ev.Conv})
	if c == nil {
		return
	}
	if ev.Full {
		c.members = slices.Clone(ev.Members)
	}
	for _, who := range slices.Concat(ev.Left, ev.Joined) { // who joins again has a new name
		c.members = slices.DeleteFunc(c.members, func(m im.Person) bool { return m.Addr == who.Addr })
	}
	c.members = append(c.members, ev.Joined...)
	c.size = ev.Size
	if t := a.threads[c.addr()]; t != nil && t.seat != nil {
		if g := t.seat.chat.guest(a, c); g != nil {
			t.seat.chat.follow(g)
		}
	}
	if c.Name == ev.Name && c.now.Note == ev.Topic {
		return
	}
	if ev.Name != "" && c.Name != ev.Name {
		c.Name = ev.Name
		a.bump()
		a.write(c)
		a.hub.put(store.Lazy, a)
	}
	c.now.Note = ev.Topic
	if c.on(FL) {
		a.deliverPresence(c, a.sees(c))
	}
}
