package matrix

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// refusedEncrypted is what a user reads who writes into an encrypted room.
var refusedEncrypted = &im.Refused{Text: "This conversation is end-to-end encrypted and this box can't write there yet. " +
	"Use another Matrix app for it, or start an unencrypted conversation with this contact there."}

// send carries a message out. It returns when the server has it: waiting here
// is what keeps a conversation in order through rate limits. When nobody knows
// whether the server took it, the link ends: the next one looks for its echo
// before the hub sends it again.
func (l *link) send(ctx context.Context, m im.Message) error {
	to := l.track.event(m.Rel.To)
	if m.Rel.Kind == im.Resolve || m.Rel.Kind != im.NoRel && to == "" {
		return im.ErrUnsupported
	}
	r, err := l.roomFor(ctx, m, to)
	if err != nil {
		return err
	}
	if err := l.mustBeClear(ctx, r); err != nil {
		return err
	}
	l.track.pend(m.ID, m.Conv)
	var sent id.EventID
	err = l.retryIf(ctx, untaken, func() (err error) {
		if encrypted, _ := l.mem.secrecy(r); encrypted {
			return refusedEncrypted // became so while we waited
		}
		sent, err = l.put(ctx, r, m, to)
		return err
	})
	if err != nil {
		return l.notSent(ctx, m.ID, r, err)
	}
	l.track.saw(sent, r, m.Rel.Kind == im.React)
	l.track.named(m.ID, sent)
	receipt, ok := l.settle(m.ID)
	if !ok {
		return nil // its echo was faster
	}
	return l.deliver(ctx, delivery{events: []im.Event{receipt}})
}

// put does the one request that sends m. The transaction id makes repeating it
// harmless.
func (l *link) put(ctx context.Context, r id.RoomID, m im.Message, to id.EventID) (id.EventID, error) {
	origin := l.box + "/" + m.ID
	var resp struct {
		ID id.EventID `json:"event_id"`
	}
	kind, body := event.EventRedaction, any(extra{Origin: origin})
	url := l.cli.BuildClientURL("v3", "rooms", r, "redact", to, m.ID)
	if m.Rel.Kind != im.Retract {
		kind, body = content(m, to, origin)
		url = l.cli.BuildClientURL("v3", "rooms", r, "send", kind.Type, m.ID)
	}
	_, err := l.cli.MakeRequest(ctx, http.MethodPut, url, body, &resp)
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
	}
	l.settle(msg)
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, mautrix.MForbidden):
		return &im.Refused{Text: fmt.Sprintf("The Matrix server does not let you write there (%s).", words(err))}
	case errors.Is(err, mautrix.MTooLarge):
		return &im.Refused{Text: "The message is too long for Matrix. Send it in parts."}
	}
	l.log.Warn("message refused", "room", r, "err", words(err))
	return &im.Refused{Text: fmt.Sprintf("The Matrix server refused the message (%s).", words(err))}
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
	var resp *mautrix.RespCreateRoom
	err := l.retry(ctx, func() (err error) {
		resp, err = l.cli.CreateRoom(ctx, &mautrix.ReqCreateRoom{
			Preset: "trusted_private_chat", Invite: []id.UserID{u}, IsDirect: true,
		})
		return err
	})
	if err != nil {
		return "", l.notSent(ctx, m.ID, "", err)
	}
	return resp.RoomID, l.nowDirect(ctx, resp.RoomID, u)
}

// mustBeClear returns nil only when the server has said during this connection
// that the room is not encrypted, and nothing has said otherwise since.
func (l *link) mustBeClear(ctx context.Context, r id.RoomID) error {
	encrypted, known := l.mem.secrecy(r)
	if !known {
		err := l.retry(ctx, func() error {
			return l.cli.StateEvent(ctx, r, event.StateEncryption, "", nil)
		})
		switch {
		case err == nil:
			l.mem.learn(r, true)
		case errors.Is(err, mautrix.MNotFound) && status(err) == http.StatusNotFound:
			l.mem.learn(r, false)
		case errors.Is(err, mautrix.MForbidden):
			l.mem.left(r)
			return &im.Refused{Text: "You are not in this conversation any more. Send the message again to start a new one."}
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
	if encrypted {
		return refusedEncrypted
	}
	return nil
}
