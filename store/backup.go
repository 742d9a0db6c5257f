package store

import (
	"bufio"
	"bytes"
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
// the sealing key and the files of Options.Beside, encrypted with the passphrase, which must not be empty. It
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
	if err := encryptTo(w, stoppable{ctx, tmp}, db.beside, db.key, passphrase); err != nil {
		return fmt.Errorf("the backup can't be written: %w", err)
	}
	return nil
}

func encryptTo(w io.Writer, database io.Reader, beside []string, key [32]byte, passphrase []byte) error {
	chunks, err := writeEnvelope(w, key, passphrase)
	if err != nil {
		return err
	}
	if err := zipTo(chunks, "", database); err != nil {
		return err
	}
	for _, path := range beside {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = zipTo(chunks, filepath.Base(path), f)
			f.Close()
		}
		if err != nil {
			return err
		}
	}
	return chunks.Close()
}

func zipTo(w io.Writer, name string, r io.Reader) error {
	zip := gzip.NewWriter(w)
	zip.Name = name
	if _, err := io.Copy(zip, r); err != nil {
		return err
	}
	return zip.Close()
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

// Restore makes dir's database, key file and the files beside them out of a
// backup. It touches nothing unless the backup is whole, and refuses a folder that
// has a database or others of these files already. List versions are moved on (Tx.RestoreJump) and links are marked
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
	beside, err := unzip(tmp, body)
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := clash(dir, beside); err != nil {
		return err
	}
	if err := refit(tmp.Name(), key, steps); err != nil {
		return err
	}
	// The database last: the others without one harm nobody, and the same
	// restore can be done again.
	if err := writeKey(keyPath, key); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for name, content := range beside {
		err := writeFile(filepath.Join(dir, name), place, func(w io.Writer) error { _, err := w.Write(content); return err })
		if err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("the backup can't be restored: %w", err)
		}
	}
	if err := place(tmp.Name(), path); err != nil {
		return fmt.Errorf("the backup can't be restored: %w", err)
	}
	return nil
}

// clash finds a file that restoring would overwrite.
func clash(dir string, beside map[string][]byte) error {
	for name, content := range beside {
		old, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && !bytes.Equal(old, content) || err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("there is another %s already: move it aside first", filepath.Join(dir, name))
		}
	}
	return nil
}

// What may lie beside the database in a backup.
const (
	maxBeside     = 8
	maxBesideSize = 1 << 20 // bytes of each
)

// unzip writes the database to w and returns the files beside it by name.
func unzip(w io.Writer, r io.Reader) (beside map[string][]byte, err error) {
	in := bufio.NewReader(r)
	zip, err := gzip.NewReader(in)
	if err != nil {
		return nil, errCutShort
	}
	zip.Multistream(false)
	if _, err := io.Copy(w, zip); err != nil {
		return nil, notUnzipped(err)
	}
	beside = map[string][]byte{}
	for {
		if _, err := in.Peek(1); errors.Is(err, io.EOF) {
			return beside, nil
		}
		if err := zip.Reset(in); err != nil {
			return nil, errCutShort
		}
		zip.Multistream(false)
		name := zip.Name
		if len(beside) == maxBeside || !filepath.IsLocal(name) || name != filepath.Base(name) || name == "." || name == File || name == KeyFile {
			return nil, errCutShort
		}
		content, err := io.ReadAll(io.LimitReader(zip, maxBesideSize+1))
		switch {
		case err != nil:
			return nil, notUnzipped(err)
		case len(content) > maxBesideSize:
			return nil, errCutShort
		}
		beside[name] = content
	}
}

func notUnzipped(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) {
		return errCutShort
	}
	return fmt.Errorf("the backup can't be restored: %w", err)
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
