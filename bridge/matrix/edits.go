package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// edit carries a change of the contact list out. Doing one twice does no harm.
func (l *link) edit(ctx context.Context, ed im.ContactEdit) error {
	addr := ed.Who.ID
	if u, ok := userID(addr, l.cli.UserID.Homeserver()); ok {
		addr = string(u)
	} else if !strings.HasPrefix(addr, "!") {
		return &im.Refused{Text: fmt.Sprintf("%q is not a Matrix address; they look like bob@example.org.", addr)}
	}
	if err := l.carry(ctx, ed, addr); err != nil {
		var refused *im.Refused
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, im.ErrUnsupported), errors.As(err, &refused), tokenRefused(err), passing(err):
			return err
		}
		return &im.Refused{Text: fmt.Sprintf("The Matrix server refused this (%s).", words(err))}
	}
	if err := l.mem.save(ctx, l.kv); err != nil {
		return err
	}
	return l.deliver(ctx, delivery{first: true, events: []im.Event{im.Receipt{ID: ed.ID, Conv: ed.Who.ID, State: im.Sent}}})
}

func (l *link) carry(ctx context.Context, ed im.ContactEdit, addr string) error {
	switch ed.Op {
	case im.Add, im.Accept:
		return l.add(ctx, ed, addr)
	case im.Remove:
		if strings.HasPrefix(addr, "!") {
			return l.quit(ctx, addr)
		}
		l.mem.amend(addr, func(e *entry) { e.Added, e.Hidden = false, true })
	case im.Rename:
		l.mem.amend(addr, func(e *entry) { e.Name = ed.Who.Name })
	case im.Regroup:
		l.mem.amend(addr, func(e *entry) { e.Grouped, e.Groups = true, slices.Clone(ed.Who.Groups) })
	case im.Block, im.Unblock:
		if strings.HasPrefix(addr, "!") {
			return im.ErrUnsupported
		}
		return l.ignore(ctx, id.UserID(addr), ed.Op == im.Block)
	case im.Decline:
		rooms, _ := l.mem.invitations(addr)
		for _, r := range rooms {
			if err := l.leave(ctx, r); err != nil {
				return err
			}
		}
	default:
		return im.ErrUnsupported
	}
	return nil
}

// add puts a contact on the list. Who has invited the account is joined;
// otherwise the room is made with the first message, so that nobody gets an
// empty one. Only on another box nobody sees rooms: he is asked at once, as an
// account of this box is, and each sees what the other shows.
func (l *link) add(ctx context.Context, ed im.ContactEdit, addr string) error {
	rooms, direct := l.mem.invitations(addr)
	if len(rooms) == 0 && ed.Op == im.Add && direct && !l.mem.follows(addr) {
		err := l.retry(ctx, func() error {
			_, err := l.cli.GetProfile(ctx, id.UserID(addr))
			return err
		})
		if errors.Is(err, mautrix.MNotFound) {
			return &im.Refused{Text: fmt.Sprintf("Matrix knows nobody called %s.", addr)}
		} else if err != nil && (passing(err) || tokenRefused(err)) {
			return err
		}
	}
	if len(rooms) == 0 && !direct && l.mem.place(addr) == "" {
		return l.enterRoom(ctx, id.RoomID(addr))
	}
	for _, r := range rooms {
		if !direct {
			if err := l.join(ctx, r); err != nil {
				return err
			}
			continue
		}
		if err := l.joinDirect(ctx, r, id.UserID(addr)); err != nil {
			return err
		}
	}
	if len(rooms) == 0 && ed.Op == im.Add && l.near != nil && l.near(id.UserID(addr)) && l.mem.place(addr) == "" {
		if _, err := l.openDirect(ctx, id.UserID(addr)); err != nil {
			return err
		}
	}
	l.mem.amend(addr, func(e *entry) { e.Added, e.Hidden = e.Added || ed.Op == im.Add && direct, false })
	return nil
}

func (l *link) join(ctx context.Context, r id.RoomID) error {
	return l.retry(ctx, func() error {
		_, err := l.cli.JoinRoomByID(ctx, r)
		return err
	})
}

// joinDirect joins a direct room with u.
func (l *link) joinDirect(ctx context.Context, r id.RoomID, u id.UserID) error {
	if err := l.join(ctx, r); err != nil {
		if !passing(err) && !tokenRefused(err) && ctx.Err() == nil {
			l.mem.left(r) // taken back, or the room is gone
		}
		return err
	}
	return l.nowDirect(ctx, r, u)
}

// nowDirect notes that the account is in a direct room with u: here at once,
// and in m.direct for its other devices.
func (l *link) nowDirect(ctx context.Context, r id.RoomID, u id.UserID) error {
	l.mem.joinedDirect(r, u)
	if err := l.mem.save(ctx, l.kv); err != nil {
		return err
	}
	return l.changeAccountData(ctx, event.AccountDataDirectChats.Type, func(data map[string]json.RawMessage) error {
		rooms, _ := decode[[]id.RoomID](data[string(u)])
		if slices.Contains(rooms, r) {
			return nil
		}
		b, err := json.Marshal(append(rooms, r))
		data[string(u)] = b
		return err
	})
}

// quit leaves a room that the user took off the list, with those that it was
// upgraded from.
func (l *link) quit(ctx context.Context, addr string) error {
	for _, r := range l.mem.chain(addr) {
		if err := l.leave(ctx, r); err != nil {
			return err
		}
	}
	l.mem.forsake(addr)
	return nil
}

// leave leaves a room or refuses its invitation.
func (l *link) leave(ctx context.Context, r id.RoomID) error {
	err := l.retry(ctx, func() error {
		_, err := l.cli.LeaveRoom(ctx, r)
		return err
	})
	if err != nil && !errors.Is(err, mautrix.MForbidden) && !errors.Is(err, mautrix.MNotFound) {
		return err
	}
	l.mem.left(r)
	return nil
}

// ignore puts u on the account's m.ignored_user_list or takes him off.
func (l *link) ignore(ctx context.Context, u id.UserID, on bool) error {
	kind := event.AccountDataIgnoredUserList.Type
	err := l.changeAccountData(ctx, kind, func(data map[string]json.RawMessage) error {
		users, _ := decode[map[id.UserID]json.RawMessage](data["ignored_users"])
		if users == nil {
			users = map[id.UserID]json.RawMessage{}
		}
		if delete(users, u); on {
			users[u] = json.RawMessage("{}")
		}
		b, err := json.Marshal(users)
		data["ignored_users"] = b
		return err
	})
	if err == nil {
		l.mem.ignore(u, on)
	}
	return err
}

// changeAccountData reads one kind of account data, changes it and writes it
// back, with all that others keep in it. One change at a time: the server
// knows only whole values.
func (l *link) changeAccountData(ctx context.Context, kind string, change func(map[string]json.RawMessage) error) error {
	if l.ghost {
		return nil // it has no other devices that would read it
	}
	select {
	case l.account <- struct{}{}:
		defer func() { <-l.account }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	data := map[string]json.RawMessage{}
	err := l.retry(ctx, func() error { return l.cli.GetAccountData(ctx, kind, &data) })
	if err != nil && !errors.Is(err, mautrix.MNotFound) {
		return err
	}
	if data == nil {
		data = map[string]json.RawMessage{}
	}
	before, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if err := change(data); err != nil {
		return err
	}
	if after, err := json.Marshal(data); err != nil || string(after) == string(before) {
		return err
	}
	return l.retry(ctx, func() error { return l.cli.SetAccountData(ctx, kind, data) })
}

// Find asks the homeserver who a handle is (im.Link).
func (l *link) Find(ctx context.Context, _ im.Addr, handle string) (im.Person, error) {
	ctx, done := l.bound(ctx)
	defer done()
	u, ok := userID(handle, l.cli.UserID.Homeserver())
	if !ok {
		return im.Person{}, im.ErrNotFound
	}
	var p *mautrix.RespUserProfile
	err := l.retry(ctx, func() (err error) {
		p, err = l.cli.GetProfile(ctx, u)
		return err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return im.Person{}, context.Cause(ctx)
	case errors.Is(err, mautrix.MForbidden):
		p = &mautrix.RespUserProfile{} // he is there, but his server keeps his profile to itself
	case err != nil && !passing(err):
		return l.findRoom(ctx, u)
	case err != nil:
		return im.Person{}, err
	}
	return im.Person{Addr: im.Addr{Net: Name, ID: string(u)}, Name: p.DisplayName}, nil
}

// userID is the Matrix user a handle names: @bob:example.org, bob@example.org,
// or bob on the account's own server.
func userID(handle, home string) (id.UserID, bool) {
	handle = strings.TrimSpace(handle)
	local, server := handle, home
	if rest, ok := strings.CutPrefix(handle, "@"); ok {
		if local, server, ok = strings.Cut(rest, ":"); !ok {
			return "", false
		}
	} else if l, s, ok := strings.Cut(handle, "@"); ok {
		local, server = strings.ToLower(l), strings.ToLower(s)
	}
	u := id.NewUserID(local, server)
	if local == "" || server == "" || len(u) > 255 || strings.ContainsAny(local, "!:#$ \t\r\n@") || strings.ContainsAny(server, "/!#$@ \t\r\n") {
		return "", false
	}
	return u, true
}
