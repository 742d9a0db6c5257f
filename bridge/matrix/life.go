package matrix

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
)

// A card that was set back to an older state has older ratchets, and using one
// twice breaks what it encrypts. The disk can't tell by itself, so each life of
// the link leaves a sign with the server, as account data: who finds another
// there than it left has slept through a life. What was sent in the same life
// is found by its echo (olm.Device.Behind). A restored backup says so itself
// (im.Login.Restored).

// lifeKey is where the signs are kept on disk.
const lifeKey = "life"

// signs are the last two signs of life: one of them is on the server, and when
// an answer was lost it is not known which.
type signs struct {
	Last string `json:"last,omitempty"`
	Next string `json:"next,omitempty"`
}

// sign is the content of the account data.
type sign struct {
	Sign string `json:"sign"`
}

// lifeType is the type of the account data, one for each box.
func (l *link) lifeType() string { return "appliance.life." + l.box }

// outlived is the sign of life on the server, and whether this disk does not
// know it.
func (l *link) outlived(ctx context.Context) (there string, older bool, err error) {
	var s signs
	err = l.kv.View(func(tx im.Tx) error {
		if b := tx.Get([]byte(lifeKey)); b != nil {
			return json.Unmarshal(b, &s)
		}
		return nil
	})
	if err != nil {
		return "", false, fmt.Errorf("read the sign of life: %w", err)
	}
	var got sign
	if err := l.cli.GetAccountData(ctx, l.lifeType(), &got); err != nil && !errors.Is(err, mautrix.MNotFound) {
		return "", false, err
	}
	return got.Sign, got.Sign != s.Last && got.Sign != s.Next, nil
}

// live leaves a new sign of life in place of the one that is there.
func (l *link) live(ctx context.Context, there string) error {
	s := signs{there, rand.Text()[:10]}
	if err := l.kv.Update(func(tx im.Tx) error { return putJSON(tx, lifeKey, s) }); err != nil {
		return fmt.Errorf("write the sign of life: %w", err)
	}
	if err := l.kv.Sync(ctx); err != nil {
		return err
	}
	return l.cli.SetAccountData(ctx, l.lifeType(), sign{s.Next})
}

// What a person should know of a device that was given up because its keys were
// old.
const (
	oldDisk     = "what this box had on disk is older than what it did last, from a backup or a copy of the card"
	newKeys     = oldDisk + newDevice
	otherKeys   = "the Matrix server knew other encryption keys of this box than the box itself" + newDevice
	newDevice   = ", so it signed in as a new device. If another Matrix app of yours still shows the old one, sign it out there"
	plainBackup = oldDisk + ". Link the account again with the password, or with a new access token made for this box only"
)

// reborn gives up the device whose keys are old, and makes a new one where it
// can. Without, the device has no keys that could be used.
func (l *link) reborn(ctx context.Context) error {
	l.log.Warn("the encryption keys on disk are older than what this box did last; making a new device")
	if !l.canRenew() {
		return olm.Renounce(l.kv)
	}
	l.news = newKeys
	return l.newDevice(ctx)
}

// unknownToDisk ends the link when e, which the account sent, came from this
// device and the disk knows nothing of it.
func (l *link) unknownToDisk(ctx context.Context, r id.RoomID, e *evt) error {
	if l.olm() == nil || e.Sender != l.cli.UserID {
		return nil
	}
	behind, err := l.olm().Behind(ctx, r, e.Content)
	if err == nil && behind {
		err = l.renounce()
	}
	return err
}

// renounce ends the link because the server has keys of this device that the
// disk does not know: the next link makes a new device.
func (l *link) renounce() error {
	if err := olm.Renounce(l.kv); err != nil {
		return err
	}
	return &im.Lost{Class: im.Retry, Text: "The box's copy of its encryption keys is older than the server's. It signs in to Matrix as a new device by itself."}
}
