package olm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/backup"
	"maunium.net/go/mautrix/crypto/ssss"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// The errors of Recover.
var (
	// ErrRecoveryKey: this is not the account's recovery key.
	ErrRecoveryKey = errors.New("this is not the recovery key of the account")
	// ErrNoRecovery: the account has no recovery key.
	ErrNoRecovery = errors.New("the account has no recovery key")
)

// errNoBackup: there is no key to open a backup with.
var errNoBackup = errors.New("no backup")

// Recover signs this device with the account's recovery key and takes over the
// room keys of its backup. The recovery key is not kept.
func (d *Device) Recover(ctx context.Context, recovery string) error {
	return guard(func() error {
		keyID, data, err := d.mach.SSSS.GetDefaultKeyData(ctx)
		switch {
		case errors.Is(err, ssss.ErrNoDefaultKeyAccountDataEvent), errors.Is(err, ssss.ErrNoKeyFieldInAccountDataEvent), errors.Is(err, mautrix.MNotFound):
			return ErrNoRecovery
		case err != nil:
			return err
		}
		key, err := data.VerifyRecoveryKey(keyID, recovery)
		if err != nil && !errors.Is(err, ssss.ErrUnverifiableKey) {
			return ErrRecoveryKey
		}
		if err := d.mach.FetchCrossSigningKeysFromSSSS(ctx, key); err != nil {
			return fmt.Errorf("fetch the account's signing keys: %w", err)
		}
		if err := d.mach.SignOwnDevice(ctx, d.mach.OwnIdentity()); err != nil {
			return fmt.Errorf("sign this device: %w", err)
		}
		if err := d.mach.SignOwnMasterKey(ctx); err != nil {
			return fmt.Errorf("sign the account's master key: %w", err)
		}
		if err := d.ask(ctx, d.cli.UserID); err != nil {
			return err
		}
		if err := d.restore(ctx, key); err != nil {
			return err
		}
		return d.Flush(ctx)
	})
}

// restore takes over the room keys of the account's backup, and keeps what opens
// it for keys that don't come.
func (d *Device) restore(ctx context.Context, key *ssss.Key) error {
	b, err := d.mach.SSSS.GetDecryptedAccountData(ctx, event.AccountDataMegolmBackupKey, key)
	if errors.Is(err, mautrix.MNotFound) {
		return nil // the account has no backup
	}
	if err != nil {
		return fmt.Errorf("open the key of the backup: %w", err)
	}
	opener, err := backup.MegolmBackupKeyFromBytes(b)
	if err != nil {
		return fmt.Errorf("open the key of the backup: %w", err)
	}
	_, err = d.mach.DownloadAndStoreLatestKeyBackup(ctx, opener)
	if errors.Is(err, mautrix.MNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fetch the backup: %w", err)
	}
	return d.PutSecret(ctx, id.SecretMegolmBackupV1, base64.StdEncoding.EncodeToString(b))
}

// fromBackup fetches one room key from the account's backup. A key that is not
// in it is no error: errNoBackup leaves the question to others.
func (d *Device) fromBackup(ctx context.Context, r id.RoomID, session id.SessionID) error {
	secret, err := d.GetSecret(ctx, id.SecretMegolmBackupV1)
	if err != nil {
		return err
	}
	b, err := base64.StdEncoding.DecodeString(secret)
	if secret == "" || err != nil {
		return errNoBackup
	}
	opener, err := backup.MegolmBackupKeyFromBytes(b)
	if err != nil {
		return errNoBackup
	}
	version, err := d.mach.GetAndVerifyLatestKeyBackupVersion(ctx, opener)
	if err != nil || version == nil {
		return errors.Join(errNoBackup, err)
	}
	kept, err := d.cli.GetKeyBackupForRoomAndSession(ctx, version.Version, r, session)
	if errors.Is(err, mautrix.MNotFound) {
		return errNoBackup
	}
	if err != nil {
		return err
	}
	data, err := kept.SessionData.Decrypt(opener)
	if err != nil {
		return errors.Join(errNoBackup, err)
	}
	_, err = d.mach.ImportRoomKeyFromBackup(ctx, version.Version, r, session, data)
	return err
}
