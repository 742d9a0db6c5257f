package olm

import (
	"context"
	"maps"
	"slices"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Room is what has to be known of a room to encrypt in it. There is a record
// from the first message the account sends there; /sync keeps it up.
type Room struct {
	Encryption event.EncryptionEventContent `json:"encryption"`
	Visibility event.HistoryVisibility      `json:"visibility,omitempty"` // "" is shared
	Members    map[id.UserID]bool           `json:"members"`              // true: joined, false: invited
	Complete   bool                         `json:"complete,omitempty"`   // Members misses nobody
	Changes    int                          `json:"changes,omitempty"`    // counts what /sync told
}

// Readers are the users a key of the room goes to: who is in it, and who is
// invited unless the room keeps what was said before from those who join.
func (r *Room) Readers() (users []id.UserID) {
	for u, joined := range r.Members {
		if joined || r.Visibility != event.HistoryVisibilityJoined {
			users = append(users, u)
		}
	}
	slices.Sort(users)
	return users
}

// Room is what is known of a room, nil when nothing is.
func (s *Store) Room(r id.RoomID) (*Room, error) { return load[Room](s, path(kindRoom, string(r))) }

// SetRoom notes what the server said of a room. When it can read differently
// than before, the next message gets a new key. It tells whether the record is
// in use: not when /sync told more in the meantime (changes is the count from
// before asking), because then nobody knows which is newer.
func (s *Store) SetRoom(ctx context.Context, r id.RoomID, now Room, changes int) (bool, error) {
	s.rooms <- struct{}{}
	defer func() { <-s.rooms }()
	was, err := s.Room(r)
	if err != nil {
		return false, err
	}
	if was != nil && was.Changes != changes {
		return false, nil
	}
	now.Changes, now.Complete = changes, true
	return true, s.change(ctx, r, was, now)
}

// Meet notes that somebody was invited to a room, joined or left it. Rooms
// without a record are none of its business.
func (s *Store) Meet(ctx context.Context, r id.RoomID, u id.UserID, m event.Membership) error {
	return s.amend(ctx, r, func(now *Room) {
		if delete(now.Members, u); m.IsInviteOrJoin() {
			now.Members[u] = m == event.MembershipJoin
		}
	})
}

// Show notes who may read a room's history.
func (s *Store) Show(ctx context.Context, r id.RoomID, v event.HistoryVisibility) error {
	return s.amend(ctx, r, func(now *Room) { now.Visibility = v })
}

// Rotate notes how a room is encrypted now.
func (s *Store) Rotate(ctx context.Context, r id.RoomID, e event.EncryptionEventContent) error {
	return s.amend(ctx, r, func(now *Room) { now.Encryption = e })
}

// Gap notes that something may have happened in a room without being told.
func (s *Store) Gap(ctx context.Context, r id.RoomID) error {
	return s.amend(ctx, r, func(now *Room) { now.Complete = false })
}

func (s *Store) amend(ctx context.Context, r id.RoomID, do func(*Room)) error {
	s.rooms <- struct{}{}
	defer func() { <-s.rooms }()
	was, err := s.Room(r)
	if was == nil || err != nil {
		return err
	}
	now := *was
	now.Members = maps.Clone(was.Members)
	if now.Members == nil {
		now.Members = map[id.UserID]bool{}
	}
	do(&now)
	now.Changes++
	return s.change(ctx, r, was, now)
}

// change writes the record of a room, and drops its key when other people read
// it now or it is to be encrypted in another way.
func (s *Store) change(ctx context.Context, r id.RoomID, was *Room, now Room) error {
	same := was != nil && was.Encryption == now.Encryption && was.Visibility == now.Visibility && slices.Equal(was.Readers(), now.Readers())
	if !same {
		if err := s.RemoveOutboundGroupSession(ctx, r); err != nil {
			return err
		}
	}
	return s.save(path(kindRoom, string(r)), now)
}

// LeaveRoom forgets a room the account is not in any more.
func (s *Store) LeaveRoom(ctx context.Context, r id.RoomID) error {
	s.put(path(kindRoom, string(r)), nil)
	return s.RemoveOutboundGroupSession(ctx, r)
}

// IsEncrypted implements crypto.StateStore.
func (s *Store) IsEncrypted(_ context.Context, r id.RoomID) (bool, error) {
	room, err := s.Room(r)
	return room != nil, err
}

// GetEncryptionEvent implements crypto.StateStore.
func (s *Store) GetEncryptionEvent(_ context.Context, r id.RoomID) (*event.EncryptionEventContent, error) {
	room, err := s.Room(r)
	if room == nil || err != nil {
		return nil, err
	}
	return &room.Encryption, nil
}

// GetHistoryVisibility implements crypto.StateStore.
func (s *Store) GetHistoryVisibility(_ context.Context, r id.RoomID) (*event.HistoryVisibilityEventContent, error) {
	room, err := s.Room(r)
	if room == nil || err != nil {
		return nil, err
	}
	v := room.Visibility
	if v == "" {
		v = event.HistoryVisibilityShared
	}
	return &event.HistoryVisibilityEventContent{HistoryVisibility: v}, nil
}

// FindSharedRooms implements crypto.StateStore.
func (s *Store) FindSharedRooms(_ context.Context, u id.UserID) (rooms []id.RoomID, err error) {
	rows, err := s.scan(path(kindRoom, ""))
	if err != nil {
		return nil, err
	}
	for k := range rows {
		r := id.RoomID(last(k))
		room, err := s.Room(r)
		if err != nil {
			return nil, err
		}
		if room == nil {
			continue
		}
		if _, in := room.Members[u]; in {
			rooms = append(rooms, r)
		}
	}
	return rooms, nil
}
