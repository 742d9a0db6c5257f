package control

import (
	"context"
	"errors"
	"io"
	"time"

	"nudge/store"
)

// Restore puts a backup in the place of what the box has, which is kept aside,
// and lets the box start again with it. It touches nothing unless the backup is
// whole and the passphrase right. Only a client in the same process can do it.
func (cl *Client) Restore(ctx context.Context, r io.Reader, passphrase string) error {
	if cl.box == nil || cl.box.Config.Restore == nil {
		return errors.New("a running box restores backups on its pages; or stop it and run: nudge restore FILE")
	}
	return cl.box.Config.Restore(ctx, r, passphrase)
}

// backupMade is the key under which it is kept when the last backup was made.
const backupMade = "backup-made"

// backupEvery is how old a backup may get before the owners are reminded.
const backupEvery = 7 * 24 * time.Hour

// noteBackup remembers that a backup was made.
func (b *Box) noteBackup(ctx context.Context) {
	err := b.Store.Update(ctx, func(tx *store.Tx) error {
		return tx.PutSetting(backupMade, time.Now().UTC().Format(time.RFC3339))
	})
	if err != nil {
		b.Log.Error("it can't be kept that a backup was made", "err", err)
	}
}

// LastBackup is when the last backup was made, zero when never.
func (b *Box) LastBackup() time.Time {
	t, err := time.Parse(time.RFC3339, b.Hub.Setting(backupMade))
	if err != nil {
		return time.Time{} // never
	}
	return t
}

// backupAsked is the key under which it is kept when owners were last reminded.
const backupAsked = "backup-asked"

// RemindBackup lets the box's own contact ask the owners for a backup, at most
// once a week, when there is none of the last week. It is to be called daily.
func (b *Box) RemindBackup(ctx context.Context) {
	last, now := b.LastBackup(), time.Now()
	asked, _ := time.Parse(time.RFC3339, b.Hub.Setting(backupAsked)) // never is long ago
	if now.Sub(last) < backupEvery || now.Sub(asked) < backupEvery {
		return
	}
	text := "There is no backup of this box yet."
	if !last.IsZero() {
		text = "The last backup of this box is of " + b.Hub.In(last).Format("2 January 2006") + "."
	}
	told := false
	for _, a := range b.Hub.AccountList() {
		if a.Owner {
			b.Hub.Notice(a.Handle, text+" Make one on its pages, onto a USB stick in the box or as a file for another machine: a card does not live for ever.")
			told = true
		}
	}
	if !told {
		return
	}
	err := b.Store.Update(ctx, func(tx *store.Tx) error { return tx.PutSetting(backupAsked, now.UTC().Format(time.RFC3339)) })
	if err != nil {
		b.Log.Error("it can't be kept that owners were reminded of a backup", "err", err)
	}
}
