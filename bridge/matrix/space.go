package matrix

import (
	"encoding/json"
	"slices"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// spaceChild is m.space.child; without servers it takes the child out.
type spaceChild struct {
	Via []json.RawMessage `json:"via"`
}

// child notes that a room is in a space or not. mu is held.
func (m *memory) child(space, r id.RoomID, in bool) {
	rm := m.room(space)
	i, had := slices.BinarySearch(rm.Children, r)
	if in == had {
		return
	}
	if rm.Children = slices.Clone(rm.Children); in {
		rm.Children = slices.Insert(rm.Children, i, r)
	} else {
		rm.Children = slices.Delete(rm.Children, i, i+1)
	}
	m.dirty[roomKey+string(space)] = true
}

// groups are the names of the spaces that a contact's rooms are in, by Addr.ID.
// mu is held.
func (m *memory) groups() map[string][]string {
	in := map[string][]string{}
	for space, rm := range m.rooms {
		name := im.OneLine(m.title(space))
		if !rm.Space || rm.Membership != event.MembershipJoin || name == "" {
			continue
		}
		for _, r := range rm.Children {
			conv := string(m.root(r))
			if u := m.with(r); u != "" {
				conv = string(u)
			}
			if !slices.Contains(in[conv], name) {
				in[conv] = append(in[conv], name)
			}
		}
	}
	for _, names := range in {
		slices.Sort(names)
	}
	return in
}
