package matrix

import (
	"context"
	"errors"
	"strings"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// enterRoom joins a room that the user added by its address. Nobody has invited
// the account, so that may not be allowed.
func (l *link) enterRoom(ctx context.Context, r id.RoomID) error {
	r, via := l.mem.entrance(r)
	err := l.retry(ctx, func() error {
		_, err := l.cli.JoinRoom(ctx, string(r), &mautrix.ReqJoinRoom{Via: via})
		return err
	})
	switch {
	case errors.Is(err, mautrix.MForbidden):
		return &im.Refused{Text: "This Matrix room is for those who were invited. Ask somebody in it for an invitation."}
	case errors.Is(err, mautrix.MNotFound):
		return &im.Refused{Text: "This Matrix room is not there any more."}
	}
	return err
}

// findRoom asks the homeserver for the room that a handle names: kitchen@example.org
// is #kitchen:example.org.
func (l *link) findRoom(ctx context.Context, u id.UserID) (im.Person, error) {
	alias := id.NewRoomAlias(u.Localpart(), u.Homeserver())
	var resp *mautrix.RespAliasResolve
	err := l.retry(ctx, func() (err error) {
		resp, err = l.cli.ResolveAlias(ctx, alias)
		return err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return im.Person{}, context.Cause(ctx)
	case err != nil && (passing(err) || tokenRefused(err)):
		return im.Person{}, err
	case err != nil || !strings.HasPrefix(string(resp.RoomID), "!"):
		return im.Person{}, im.ErrNotFound
	}
	l.mem.reached(resp.RoomID, resp.Servers)
	return im.Person{Addr: im.Addr{Net: Name, ID: string(l.mem.rootOf(resp.RoomID))}, Name: u.Localpart()}, nil
}

// reached notes which servers a room can be entered by.
func (m *memory) reached(r id.RoomID, servers []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room(r).via = servers[:min(len(servers), 5)]
}

// entrance is the room that a contact's room goes on in, and the servers that it
// can be entered by: as an alias said, or the one that made it.
func (m *memory) entrance(r id.RoomID) (newest id.RoomID, servers []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r = m.newest(r)
	if rm := m.rooms[r]; rm != nil && len(rm.via) > 0 {
		return r, rm.via
	}
	if _, server, ok := strings.Cut(string(r), ":"); ok {
		return r, []string{server}
	}
	return r, nil
}
