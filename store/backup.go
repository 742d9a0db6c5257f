package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/crypto/chacha20poly1305"
)

// Backup writes everything queued so far and all that is committed to w, with
// the sealing key, encrypted with the passphrase, which must not be empty. It
// needs as much room in the data folder as the database, for a while: a slow
// w must not hold a transaction open.
func (db *DB) Backup(ctx context.Context, w io.Writer, passphrase []byte) error {
	if len(passphrase) == 0 {
		return errNoPass
	}
	if err := db.Sync(ctx); err != nil {
		return err
	}
	tmp, err := newTemp(db.path)
	if err != nil {
		return fmt.Errorf("the backup can't be made: %w", err)
	}
	defer tmp.Close()
	if err := os.Remove(tmp.Name()); err != nil { // stays readable until closed
		return fmt.Errorf("the backup can't be made: %w", err)
	}
	if err := snapshot(db.bolt, tmp); err != nil {
		return fmt.Errorf("the backup can't be made: %w", closedOr(err))
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("the backup can't be made: %w", err)
	}
	if err := encryptTo(w, stoppable{ctx, tmp}, db.key, passphrase); err != nil {
		return fmt.Errorf("the backup can't be written: %w", err)
	}
	return nil
}

func encryptTo(w io.Writer, r io.Reader, key [32]byte, passphrase []byte) error {
	chunks, err := writeEnvelope(w, key, passphrase)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(chunks)
	if _, err := io.Copy(zip, r); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	return chunks.Close()
}

// stoppable ends a copy when its context does.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// Restore makes dir's database and key file out of a backup. It touches
// nothing unless the backup is whole, and refuses a folder that has a database
// already. List versions are moved on (Tx.RestoreJump) and links are marked
// (Link.Restored): positions are those of the backup, and keys that may have
// been used since then must be made anew.
func Restore(dir string, r io.Reader, passphrase []byte) error {
	return restore(dir, r, passphrase, migrations)
}

func restore(dir string, r io.Reader, passphrase []byte, steps []migration) error {
	path, keyPath := filepath.Join(dir, File), filepath.Join(dir, KeyFile)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is a database already: stop nudge and move %s aside first", path)
	}
	key, body, err := readEnvelope(r, passphrase)
	if err != nil {
		return err
	}
	if old, err := readKey(keyPath); err == nil && old != key || err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is another sealing key already: move %s aside first", keyPath)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the data folder can't be made: %w", err)
	}
	tmp, err := newTemp(path)
	if err != nil {
		return fmt.Errorf("the backup can't be restored: %w", err)
	}
	defer os.Remove(tmp.Name())
	err = unzip(tmp, body)
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := refit(tmp.Name(), key, steps); err != nil {
		return err
	}
	// The key first: a key without a database harms nobody, and the same
	// restore can be done again.
	if err := writeKey(keyPath, key); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := place(tmp.Name(), path); err != nil {
		return fmt.Errorf("the backup can't be restored: %w", err)
	}
	return nil
}

func unzip(w io.Writer, r io.Reader) error {
	in := bufio.NewReader(r)
	zip, err := gzip.NewReader(in)
	if err != nil {
		return errCutShort
	}
	zip.Multistream(false)
	if _, err := io.Copy(w, zip); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) {
			return errCutShort
		}
		return fmt.Errorf("the backup can't be restored: %w", err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return errCutShort
	}
	return nil
}

// refit makes a restored file fit for use: of the present schema, its versions
// moved on, its links marked.
func refit(path string, key [32]byte, steps []migration) error {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return err
	}
	if _, err := verify(path, aead, len(steps)+1, nil); err != nil {
		var u *Unusable
		if errors.As(err, &u) {
			u.Path = "the backup"
		}
		return err
	}
	b, err := openLocked(path)
	if err != nil {
		return err
	}
	err = migrate(b, steps)
	if err == nil {
		err = b.Update(func(tx *bbolt.Tx) error { return (&Tx{bolt: tx, log: silent()}).markRestored(time.Now()) })
	}
	if e := b.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("the backup can't be restored: %w", err)
	}
	return nil
}

func (tx *Tx) markRestored(now time.Time) error {
	if err := tx.RestoreJump(); err != nil {
		return err
	}
	for l := range tx.Links() {
		l.Restored = true
		if err := tx.PutLink(l); err != nil {
			return err
		}
	}
	var e encoder
	e.time(1, now)
	return tx.put(boxBucket, restoredKey, e)
}
