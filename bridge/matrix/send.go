package matrix

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
)

// send carries a message out. It returns when the server has it: waiting here
// is what keeps a conversation in order through rate limits. When nobody knows
// whether the server took it, the link ends: the next one looks for its echo
// before the hub sends it again.
func (l *link) send(ctx context.Context, m im.Message) error {
	to := l.track.event(m.Rel.To)
	if m.Rel.Kind == im.Resolve || m.Rel.Kind != im.NoRel && to == "" || m.Rel.Kind == im.Vote && len(m.Poll) == 0 {
		return im.ErrUnsupported
	}
	r, err := l.roomFor(ctx, m, to)
	if err != nil {
		return err
	}
	if err := l.mustKnow(ctx, r); err != nil {
		return err
	}
	if encrypted, _ := l.mem.secrecy(r); encrypted && m.Rel.Kind == im.React && strings.ContainsFunc(m.Text, wordy) {
		return im.ErrUnsupported // reactions go in clear, for servers to count: no place for words
	}
	if !l.track.pend(m) {
		return nil
	}
	sent, err := l.put(ctx, r, m, to)
	if err != nil {
		return l.notSent(ctx, m.ID, r, err)
	}
	l.track.saw(sent, r, m.Rel.Kind == im.React)
	l.track.named(m.ID, sent)
	if m.Rel.Kind == im.Edit {
		l.track.said(to, m.Text)
	} else {
		l.track.said(sent, m.Text)
	}
	receipt, ok := l.settle(m.ID)
	if !ok {
		return nil // its echo was faster
	}
	return l.deliver(ctx, delivery{events: []im.Event{receipt}})
}

// wordy tells what no emoji has.
func wordy(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// put sends m. A repeated request is the same one: its transaction id makes it
// harmless, and what is encrypted is encrypted once. Whether the room is
// encrypted is looked at each time: it may become so while we wait.
func (l *link) put(ctx context.Context, r id.RoomID, m im.Message, to id.EventID) (id.EventID, error) {
	origin := l.box + "/" + m.ID
	var resp struct {
		ID id.EventID `json:"event_id"`
	}
	if m.Rel.Kind == im.Retract {
		err := l.retryIf(ctx, untaken, func() error {
			_, err := l.cli.MakeRequest(ctx, http.MethodPut, l.cli.BuildClientURL("v3", "rooms", r, "redact", to, m.ID), extra{Origin: origin}, &resp)
			return err
		})
		return resp.ID, err
	}
	kind, clear := content(m, to, origin)
	var sealed any
	err := l.retryIf(ctx, untaken, func() (err error) {
		kind, body := kind, clear
		encrypted, _ := l.mem.secrecy(r)
		if m.File != nil && encrypted != isSealed(m.File.Ref) {
			return &im.Refused{Text: textFileInClear}
		}
		if encrypted && kind != event.EventReaction {
			if sealed == nil {
				if sealed, err = l.seal(ctx, r, kind, clear, origin); err != nil {
					return err
				}
			}
			kind, body = event.EventEncrypted, sealed
		}
		_, err = l.cli.MakeRequest(ctx, http.MethodPut, l.cli.BuildClientURL("v3", "rooms", r, "send", kind.Type, m.ID), body, &resp)
		return err
	})
	return resp.ID, err
}

// notSent makes what the hub is to know of a failed request. What the server
// refused for good is not repeated.
func (l *link) notSent(ctx context.Context, msg string, r id.RoomID, err error) error {
	var refused *im.Refused
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case tokenRefused(err), passing(err):
		return err
	case status(err) == http.StatusInternalServerError && !l.net.stumbles.again(msg):
		return err
	case l.ghost && errors.Is(err, mautrix.MForbidden) && l.stranger(ctx) && !l.net.stumbles.again(msg):
		return err
	}
	l.settle(msg)
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, mautrix.MForbidden) && l.mem.replaced(r):
		return &im.Refused{Text: "This room was replaced by a new one that you are not in. Ask somebody there to invite you."}
	case errors.Is(err, mautrix.MForbidden):
		return &im.Refused{Text: fmt.Sprintf("The Matrix server does not let you write there (%s).", words(err))}
	case errors.Is(err, mautrix.MTooLarge):
		return &im.Refused{Text: "The message is too long for Matrix. Send it in parts."}
	}
	l.log.Warn("message refused", "room", r, "err", words(err))
	return &im.Refused{Text: fmt.Sprintf("The Matrix server refused the message (%s).", words(err))}
}

// stranger tells whether the homeserver does not know a ghost at this moment: while it is
// shut down it says so of everybody (Dendrite), and refuses what he writes.
func (l *link) stranger(ctx context.Context) bool {
	_, err := l.cli.Whoami(ctx)
	return err != nil
}

// settle takes a message off the books. Only the caller who gets ok hands in
// its receipt.
func (l *link) settle(msg string) (sent im.Receipt, ok bool) {
	l.net.stumbles.over(msg)
	return l.track.settle(msg)
}

// roomFor is the room a message goes to. A relation goes where the event it
// relates to is; the first message to a person makes the room.
func (l *link) roomFor(ctx context.Context, m im.Message, to id.EventID) (id.RoomID, error) {
	if r := l.track.roomOf(to); to != "" && r != "" {
		return r, nil
	}
	if r := l.mem.place(m.Conv); r != "" {
		return r, nil
	}
	u, ok := userID(m.Conv, l.cli.UserID.Homeserver())
	if !ok {
		return "", &im.Refused{Text: "You are not in this room any more. Join it again in another Matrix app."}
	}
	if rooms, _ := l.mem.invitations(string(u)); len(rooms) > 0 {
		return rooms[0], l.joinDirect(ctx, rooms[0], u)
	}
	r, err := l.openDirect(ctx, u)
	if r == "" {
		err = l.notSent(ctx, m.ID, "", err)
	}
	return r, err
}

// openDirect makes a direct room and asks u in. No room: it was not made.
func (l *link) openDirect(ctx context.Context, u id.UserID) (id.RoomID, error) {
	var resp *mautrix.RespCreateRoom
	err := l.retry(ctx, func() (err error) {
		resp, err = l.cli.CreateRoom(ctx, &mautrix.ReqCreateRoom{
			Preset: "trusted_private_chat", Invite: []id.UserID{u}, IsDirect: true,
		})
		return err
	})
	if err != nil {
		return "", err
	}
	return resp.RoomID, l.nowDirect(ctx, resp.RoomID, u)
}

// mustKnow returns nil when it is known whether a room is encrypted: for ever
// when it is, else as the server said during this connection. Into an encrypted
// room a device without keys must not write.
func (l *link) mustKnow(ctx context.Context, r id.RoomID) error {
	if l.ghost {
		l.mem.doubt(r)
	}
	encrypted, known := l.mem.secrecy(r)
	if !known {
		err := l.askEncryption(ctx, r)
		switch {
		case err == nil:
			l.mem.learn(r, true)
		case errors.Is(err, mautrix.MNotFound) && status(err) == http.StatusNotFound:
			l.mem.learn(r, false)
		case errors.Is(err, olm.ErrNotMember):
			return l.outside(r)
		case errors.Is(err, mautrix.MForbidden):
			return l.notSent(ctx, "", r, err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default:
			return fmt.Errorf("whether %s is encrypted is not known: %w", r, err)
		}
		if err := l.mem.save(ctx, l.kv); err != nil {
			return err
		}
		encrypted, _ = l.mem.secrecy(r)
	}
	if encrypted && l.equip != nil {
		if err := l.retry(ctx, func() error { return l.equip(ctx) }); err != nil {
			return err
		}
	}
	if encrypted && l.olm() == nil {
		return l.refuseEncrypted()
	}
	return nil
}

// askEncryption asks whether a room is encrypted. ErrNotMember is believed only when
// the list of the account's rooms says so too: a server that is shut down forbids what
// it can't look up any more (Dendrite).
func (l *link) askEncryption(ctx context.Context, r id.RoomID) (err error) {
	for attempt := range tries {
		err = l.retry(ctx, func() error { return l.cli.StateEvent(ctx, r, event.StateEncryption, "", nil) })
		if !errors.Is(err, mautrix.MForbidden) {
			return err
		}
		var in *mautrix.RespJoinedRooms
		lost := l.retry(ctx, func() (err error) {
			in, err = l.cli.JoinedRooms(ctx)
			return err
		})
		if lost != nil {
			return lost
		}
		if !slices.Contains(in.JoinedRooms, r) {
			return olm.ErrNotMember
		}
		if err := sleep(ctx, waitFor(nil, attempt, l.net.pause)); err != nil {
			return err
		}
	}
	return err
}

// outside notes that the account is not in a room any more, and says what to do.
func (l *link) outside(r id.RoomID) error {
	l.mem.left(r)
	return &im.Refused{Text: "You are not in this conversation any more. Send the message again to start a new one."}
}
