package matrix

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
)

// sealedKey is where the key of the link's encryption store is kept, sealed by
// the box.
const sealedKey = olm.Prefix + "key"

// Why a device can't encrypt, for a person.
const (
	plainServer = "the Matrix server of this account has no end-to-end encryption"
	plainDevice = "another app has used this access token for its own encryption. Link the account again with the password, or with an access token made for this box only"
)

// openKeys starts the encryption of this device. Where the disk is an old one, or
// the server knows other keys for the device, a new device is made where it can
// be; else the device stays without.
func (l *link) openKeys(ctx context.Context, restored bool) error {
	there, older, err := l.outlived(ctx)
	if err != nil {
		return err
	}
	if older = older || restored; older {
		if err := l.reborn(ctx); err != nil {
			return err
		}
	}
	err = l.startKeys(ctx)
	if errors.Is(err, olm.ErrOtherKeys) && l.canRenew() {
		l.log.Warn("the server knows other encryption keys for this device; making a new one")
		l.news = otherKeys
		if err := l.newDevice(ctx); err != nil {
			return err
		}
		err = l.startKeys(ctx)
	}
	switch {
	case err == nil:
		return l.live(ctx, there)
	case errors.Is(err, olm.ErrNoServer):
		l.plain = plainServer
	case errors.Is(err, olm.ErrOtherKeys) && older:
		l.plain = plainBackup
	case errors.Is(err, olm.ErrOtherKeys):
		l.plain = plainDevice
	default:
		return err
	}
	return nil
}

func (l *link) startKeys(ctx context.Context) error {
	if l.cli.DeviceID == "" {
		return olm.ErrOtherKeys // the token is no device's
	}
	key, err := l.storeKey(ctx)
	if err != nil {
		return err
	}
	store := olm.Open(l.kv, key)
	l.cli.Client = &http.Client{Transport: olm.Transport{Store: store, Next: l.door.held}, Timeout: l.cli.Client.Timeout}
	keys := olm.New(l.cli, store)
	keys.Verify = l.verify
	if err := keys.Start(ctx); err != nil {
		return err
	}
	l.keys.Store(keys)
	return nil
}

// storeKey is the key of the encryption store. One that can't be opened any more
// is as good as a lost disk.
func (l *link) storeKey(ctx context.Context) (key []byte, err error) {
	err = l.kv.View(func(tx im.Tx) error {
		key = append([]byte(nil), tx.Get([]byte(sealedKey))...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(key) > 0 {
		if key, err = l.host.Unseal(l.user, key); err == nil {
			return key, nil
		}
		l.log.Warn("the encryption keys of this link can't be opened; making new ones")
		if err := olm.Wipe(l.kv); err != nil {
			return nil, err
		}
	}
	key = make([]byte, 32)
	rand.Read(key) // never fails
	err = l.kv.Update(func(tx im.Tx) error { return tx.Put([]byte(sealedKey), l.host.Seal(l.user, key)) })
	if err != nil {
		return nil, err
	}
	return key, l.kv.Sync(ctx)
}

// canRenew tells whether a new device can be made: the access token is none that
// the form gave.
func (l *link) canRenew() bool {
	return l.door.s.Token != "" && (l.form["password"] != "" || l.door.s.byHand())
}

// newDevice signs in as another device and lets go of the old one.
func (l *link) newDevice(ctx context.Context) error {
	if err := olm.Renounce(l.kv); err != nil {
		return err
	}
	return l.door.another(ctx)
}

// recover verifies this device with the recovery key, if there is one and it is
// needed. What went wrong is told with the state of the link.
func (l *link) recover(ctx context.Context) error {
	key := l.form["recovery-key"]
	if l.olm() == nil || key == "" {
		return nil
	}
	if signed, _ := l.olm().Signed(ctx); signed {
		return nil
	}
	err := l.retry(ctx, func() error { return l.olm().Recover(ctx, key) })
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || passing(err) || tokenRefused(err):
		return err
	case errors.Is(err, olm.ErrRecoveryKey):
		l.plain = "the recovery key is wrong: give the one that your Matrix account has now"
	case errors.Is(err, olm.ErrNoRecovery):
		l.plain = "your Matrix account has no recovery key yet: make one in another Matrix app, under security"
	default:
		l.plain = "the recovery key did not work (" + words(err) + ")"
	}
	return nil
}

// standing is what a person should know of this device's encryption.
func (l *link) standing(ctx context.Context) string {
	if l.news != "" {
		return "; " + l.news + l.doubts(ctx)
	}
	return l.doubts(ctx)
}

// doubts is what does not work, or not with everybody, and the cure.
func (l *link) doubts(ctx context.Context) string {
	if l.olm() == nil {
		return "; encrypted conversations can't be used: " + l.plain
	}
	signed, can := l.olm().Signed(ctx)
	switch {
	case l.plain != "" && !signed:
		return "; this box is not verified: " + l.plain
	case can && !signed:
		return "; this box is not verified, so friends whose apps write only to verified devices can't reach it: give the recovery key of your account, or verify it with another Matrix app of yours"
	}
	return ""
}

// refuseEncrypted is what a user reads who writes into an encrypted room while
// this device can't encrypt.
func (l *link) refuseEncrypted() error {
	return &im.Refused{Text: "This conversation is end-to-end encrypted and this box can't write there: " + l.plain +
		". Use another Matrix app for it, or start an unencrypted conversation with this contact there."}
}

// receiveKeys takes in what a response says of encryption.
func (l *link) receiveKeys(ctx context.Context, resp *syncResponse, since string) error {
	if l.olm() == nil {
		return nil
	}
	if since == "" {
		if err := l.olm().Unsure(ctx); err != nil {
			return err
		}
	}
	in := olm.Delivery{ToDevice: resp.ToDevice.Events, Changed: resp.DeviceLists.Changed, Left: resp.DeviceLists.Left}
	if resp.OneTimeKeys != nil {
		n := resp.OneTimeKeys[id.KeyAlgorithmSignedCurve25519]
		in.Counts = &n
	}
	if resp.FallbackKeys != nil {
		unused := false
		for _, a := range *resp.FallbackKeys {
			unused = unused || a == id.KeyAlgorithmSignedCurve25519
		}
		in.Fallback = &unused
	}
	tasks, err := l.olm().Receive(ctx, in)
	for _, t := range tasks {
		l.errand(ctx, t)
	}
	for r := range resp.Rooms.Leave {
		if err == nil {
			err = l.olm().LeaveRoom(ctx, r)
		}
	}
	for r, j := range resp.Rooms.Join {
		if err == nil && j.Timeline.Limited {
			err = l.olm().Gap(ctx, r)
		}
	}
	return err
}

// readers takes in an event that changes who can read a room.
func (l *link) readers(ctx context.Context, r id.RoomID, e *evt) error {
	if l.olm() == nil || e.StateKey == nil {
		return nil
	}
	switch e.Type {
	case event.StateMember.Type:
		c, _ := decode[event.MemberEventContent](e.Content)
		return l.olm().Meet(ctx, r, id.UserID(*e.StateKey), c.Membership)
	case event.StateHistoryVisibility.Type:
		c, _ := decode[event.HistoryVisibilityEventContent](e.Content)
		return l.olm().Show(ctx, r, c.HistoryVisibility)
	case event.StateEncryption.Type:
		c, ok := decode[event.EncryptionEventContent](e.Content)
		if !ok || c.Algorithm == "" {
			return nil // taken back by a state reset or a redaction: the room stays as it was
		}
		return l.olm().Rotate(ctx, r, c)
	}
	return nil
}

// excuses are what to say of a message that can't be read, and the cure.
type excuses struct{ broken, noKey, withheld string }

var (
	ownExcuses   = excuses{textEncrypted, textNoKey, textWithheld}
	ghostExcuses = excuses{textBrokenHere, textNoKeyHere, textWithheldHere}
)

// excuses: nobody has another app with a ghost's account.
func (l *link) excuses() *excuses {
	if l.ghost {
		return &ghostExcuses
	}
	return &ownExcuses
}

// open reads an encrypted event. What can't be read comes back as it is, with
// what to say of it; it is kept if a key may still come.
func (l *link) open(ctx context.Context, r id.RoomID, e *evt) (inner *evt, why string, err error) {
	if l.olm() == nil {
		return e, "sent an encrypted message that this box can't read: " + l.plain + ".", nil
	}
	inner, err = l.decrypt(ctx, r, e)
	var missing *olm.NoKey
	switch {
	case err == nil:
		return inner, "", nil
	case !errors.As(err, &missing):
		l.log.Warn("an encrypted event can't be read", "room", r, "event", e.ID, "err", err)
		return e, l.excuses().broken, nil
	}
	raw, err := json.Marshal(e)
	if err == nil {
		err = l.olm().Wait(missing.Session, e.ID, olm.Waiting{Room: r, Event: raw})
	}
	if err != nil {
		return nil, "", err
	}
	if missing.Code == event.RoomKeyWithheldUnverified {
		return e, l.excuses().withheld, nil
	}
	if task := l.olm().Fetch(r, missing.Session, missing.Sender); task != nil {
		l.errand(ctx, func(ctx context.Context) error {
			if err := task(ctx); err != nil {
				return err
			}
			return l.late(ctx)
		})
	}
	return e, l.excuses().noKey, nil
}

// decrypt is the event inside an encrypted one. A redaction inside is none: the
// server has not seen whether its sender may.
func (l *link) decrypt(ctx context.Context, r id.RoomID, e *evt) (*evt, error) {
	kind, content, err := l.olm().Decrypt(ctx, r, e.ID, e.Sender, e.At, e.Content)
	if err != nil {
		return nil, err
	}
	if kind == event.EventRedaction.Type || kind == event.EventEncrypted.Type {
		return nil, fmt.Errorf("%s is not allowed inside an encrypted event", kind)
	}
	inner := *e
	inner.Type, inner.Content = kind, content
	return &inner, nil
}

// resolve reads the events whose keys have come. The first time on a link it
// tries all that wait: a key may have come just before the last one ended.
func (l *link) resolve(ctx context.Context) (events []im.Event, read []olm.Waiting, err error) {
	if l.olm() == nil {
		return nil, nil, nil
	}
	sessions := l.olm().Arrived()
	if !l.resolved.Swap(true) {
		sessions = []id.SessionID{""}
	}
	for _, s := range sessions {
		waiting, err := l.olm().WaitingFor(s)
		if err != nil {
			return nil, nil, err
		}
		for _, w := range waiting {
			e, _ := decode[evt](w.Event)
			inner, err := l.decrypt(ctx, w.Room, &e)
			if missing := (*olm.NoKey)(nil); errors.As(err, &missing) {
				continue
			}
			read = append(read, w)
			if err != nil {
				continue // the placeholder says all there is to say
			}
			if m, ok := convert(inner, l.scene(w.Room, inner)); ok {
				l.track.said(inner.ID, m.Text)
				m.ID, m.Rel = "key:"+m.ID, im.Rel{Kind: im.Resolve, To: m.ID}
				events = append(events, m)
			}
		}
	}
	return events, read, nil
}

// late hands over what could be read only now.
func (l *link) late(ctx context.Context) error {
	var events []im.Event
	var read []olm.Waiting
	err := l.olm().Alone(ctx, func() (err error) {
		events, read, err = l.resolve(ctx)
		return err
	})
	if err == nil {
		err = l.olm().Flush(ctx)
	}
	if err != nil || len(read) == 0 {
		return err
	}
	return l.deliver(ctx, delivery{events: events, read: read})
}

// seal encrypts what is said in a room. Outside stay the relation, which the
// server needs, and the box's own mark, by which it knows its event again.
func (l *link) seal(ctx context.Context, r id.RoomID, kind event.Type, clear any, origin string) (any, error) {
	if l.olm() == nil {
		return nil, l.refuseEncrypted()
	}
	if l.ghost { // transactions may be late: who is there now is asked for
		if err := l.olm().Gap(ctx, r); err != nil {
			return nil, err
		}
	}
	body, err := json.Marshal(clear)
	if err != nil {
		return nil, err
	}
	var sealed json.RawMessage
	err = l.retry(ctx, func() (err error) {
		one, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		sealed, err = l.olm().Encrypt(one, r, kind.Type, body)
		return err
	})
	switch {
	case errors.Is(err, olm.ErrAlgorithm):
		return nil, &im.Refused{Text: "This conversation is encrypted in a way that this box does not know. Use another Matrix app for it."}
	case errors.Is(err, olm.ErrNotMember):
		return nil, l.outside(r)
	case err != nil:
		return nil, err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(sealed, &all); err != nil {
		return nil, err
	}
	all["appliance.origin"], err = json.Marshal(origin)
	return all, err
}
