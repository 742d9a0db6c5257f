package olm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/olm"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// The errors of Encrypt and Decrypt.
var (
	// ErrAlgorithm: the room is encrypted in a way that is not known here.
	ErrAlgorithm = errors.New("the room uses an encryption that this version does not know")
	// ErrNotMember: the account is not in the room any more.
	ErrNotMember = errors.New("the account is not in the room any more")
	// ErrForged: the key of an event is another user's or device's than it says.
	ErrForged = errors.New("the message was encrypted by somebody else than its sender")
)

// NoKey is why an event can't be read yet: its key did not come.
type NoKey struct {
	Session id.SessionID
	Sender  id.SenderKey
	Code    event.RoomKeyWithheldCode // why the sender keeps it to himself, "" unknown
}

func (e *NoKey) Error() string { return fmt.Sprintf("the key %s did not come (%s)", e.Session, e.Code) }

// attempts is how often a key is shared anew because somebody came or went
// meanwhile.
const attempts = 5

// Encrypt makes the content of an m.room.encrypted event. Before that everybody
// in the room has been given the key, and nobody else. What it returns may
// leave: the ratchet it came from is on disk.
func (d *Device) Encrypt(ctx context.Context, r id.RoomID, kind string, content json.RawMessage) (sealed json.RawMessage, err error) {
	err = d.Alone(ctx, func() error {
		for range attempts {
			var e *event.EncryptedEventContent
			e, err = d.encrypt(ctx, r, kind, content)
			if crypto.IsShareError(err) {
				continue
			}
			if err == nil {
				sealed, err = json.Marshal(e)
			}
			if err == nil {
				err = d.Flush(ctx)
			}
			return err
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return sealed, nil
}

// encrypt shares the room's key with whoever lacks it and encrypts. A share
// error says that the key is not good any more: try again.
func (d *Device) encrypt(ctx context.Context, r id.RoomID, kind string, content json.RawMessage) (*event.EncryptedEventContent, error) {
	room, err := d.complete(ctx, r)
	if err != nil {
		return nil, err
	}
	if room.Encryption.Algorithm != id.AlgorithmMegolmV1 {
		return nil, ErrAlgorithm
	}
	readers := room.Readers()
	if !room.Members[d.cli.UserID] {
		return nil, ErrNotMember
	}
	stale, err := d.Stale(readers)
	if err != nil {
		return nil, err
	}
	if err := d.ask(ctx, d.due(stale)...); err != nil {
		return nil, err
	}
	if err := d.mach.ShareGroupSession(ctx, r, slices.Clone(readers)); err != nil {
		return nil, err
	}
	if now, err := d.Room(r); err != nil {
		return nil, err
	} else if now == nil || now.Changes != room.Changes {
		// Somebody may have left while the key went out to him.
		if err := d.RemoveOutboundGroupSession(ctx, r); err != nil {
			return nil, err
		}
		return nil, crypto.ErrNoGroupSession
	}
	return d.mach.EncryptMegolmEvent(ctx, r, event.Type{Type: kind, Class: event.MessageEventType}, content)
}

// Alone runs do while it has the turn to share. It turns a panic into an error.
func (d *Device) Alone(ctx context.Context, do func() error) error {
	select {
	case d.sharing <- struct{}{}:
		defer func() { <-d.sharing }()
		return guard(do)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// due are those of other users who were not silent just now.
func (d *Device) due(users []id.UserID) []id.UserID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(users, func(u id.UserID) bool {
		if u == d.cli.UserID {
			return true // Receive does that
		}
		return time.Since(d.silent[u]) < askAgain
	})
}

// complete is what is known of a room, asked of the server where something may
// be missing: /sync tells of members only when they speak.
func (d *Device) complete(ctx context.Context, r id.RoomID) (*Room, error) {
	for range attempts {
		room, err := d.Room(r)
		if err != nil || room != nil && room.Complete {
			return room, err
		}
		changes := 0
		if room != nil {
			changes = room.Changes
		}
		now, err := d.fetch(ctx, r)
		if err != nil {
			return nil, err
		}
		if room != nil && now.Encryption.Algorithm == "" {
			now.Encryption = room.Encryption // once encrypted, always encrypted
		}
		if _, err := d.SetRoom(ctx, r, now, changes); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the members of the room change too fast")
}

// fetch asks the server who is in a room and how it is encrypted.
func (d *Device) fetch(ctx context.Context, r id.RoomID) (Room, error) {
	room := Room{Members: map[id.UserID]bool{}}
	err := d.cli.StateEvent(ctx, r, event.StateEncryption, "", &room.Encryption)
	if err != nil && !errors.Is(err, mautrix.MNotFound) {
		return room, err
	}
	var v event.HistoryVisibilityEventContent
	err = d.cli.StateEvent(ctx, r, event.StateHistoryVisibility, "", &v)
	if err != nil && !errors.Is(err, mautrix.MNotFound) {
		return room, err
	}
	room.Visibility = v.HistoryVisibility
	var list struct {
		Chunk []struct {
			Type    string `json:"type"`
			User    string `json:"state_key"`
			Content struct {
				Membership event.Membership `json:"membership"`
			} `json:"content"`
		} `json:"chunk"`
	}
	_, err = d.cli.MakeRequest(ctx, http.MethodGet, d.cli.BuildClientURL("v3", "rooms", r, "members"), nil, &list)
	if err != nil {
		return room, err
	}
	for _, m := range list.Chunk {
		if m.Type == event.StateMember.Type && m.Content.Membership.IsInviteOrJoin() {
			room.Members[id.UserID(m.User)] = m.Content.Membership == event.MembershipJoin
		}
	}
	return room, nil
}

// Decrypt is what an m.room.encrypted event of a room says. The error is *NoKey
// when a key that comes later may help.
func (d *Device) Decrypt(ctx context.Context, r id.RoomID, e id.EventID, sender id.UserID, at int64, raw json.RawMessage) (kind string, content json.RawMessage, err error) {
	err = guard(func() error {
		in := &event.Event{ID: e, RoomID: r, Sender: sender, Timestamp: at, Type: event.EventEncrypted}
		if err := json.Unmarshal(raw, &in.Content); err != nil {
			return err
		}
		if err := in.Content.ParseRaw(in.Type); err != nil {
			return err
		}
		c := in.Content.AsEncrypted()
		out, err := d.mach.DecryptMegolmEvent(ctx, in)
		if withheld := (*event.RoomKeyWithheldEventContent)(nil); errors.As(err, &withheld) {
			return &NoKey{c.SessionID, c.SenderKey, withheld.Code}
		}
		if errors.Is(err, crypto.ErrNoSessionFound) || errors.Is(err, olm.ErrUnknownMessageIndex) {
			return &NoKey{Session: c.SessionID, Sender: c.SenderKey}
		}
		if err != nil {
			return err
		}
		g, err := d.GetGroupSession(ctx, r, c.SessionID)
		if err != nil {
			return err
		}
		if out.Mautrix.TrustState == id.TrustStateDeviceKeyMismatch ||
			g.KeySource == id.KeySourceDirect && g.SourceUser != "" && g.SourceUser != sender {
			return ErrForged
		}
		kind, content = out.Type.Type, out.Content.VeryRaw
		return nil
	})
	return kind, content, err
}

// Behind tells whether content, of an event that the account sent, shows that
// this device has sent more than the store knows: it was encrypted here with a
// key that is not known, or further on than the key is.
func (d *Device) Behind(ctx context.Context, r id.RoomID, content json.RawMessage) (behind bool, err error) {
	var e event.EncryptedEventContent
	if json.Unmarshal(content, &e) != nil || e.SenderKey != d.mach.GetAccount().IdentityKey() {
		return false, nil
	}
	index, err := crypto.ParseMegolmMessageIndex(e.MegolmCiphertext)
	if err != nil {
		return false, nil
	}
	known, err := d.get(path(kindInbound, string(r), string(e.SessionID)))
	if err != nil {
		return false, err
	}
	now, err := d.GetOutboundGroupSession(ctx, r)
	if err != nil {
		return false, err
	}
	return known == nil || now != nil && now.ID() == e.SessionID && uint(index) >= now.Internal.MessageIndex(), nil
}
