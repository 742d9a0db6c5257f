package store

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// migration brings a database from one schema to the next.
type migration func(*bbolt.Tx) error

// migrations are in order: the first leads from schema 1 to 2. The schema of
// this program is one more than their number. A field added to a record needs
// none (see record.go).
var migrations []migration

const keyCheck = "key check" // context

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = time.Second

// boltOptions are those of every read-write open: 4 KB pages on every
// board (a Pi 5's own page size makes each commit three times as big), and no
// free list on disk (a quarter of each commit).
func boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout:        lockWait,
		PageSize:       4096,
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
	}
}

// create makes a new database: all of it or nothing, because a power cut while
// bbolt initialises a file leaves one that can't be opened.
func create(path string, aead cipher.AEAD, schema int) error {
	tmp, err := newTemp(path)
	if err != nil {
		return fmt.Errorf("the database can't be made: %w", err)
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Close(); err != nil {
		return err
	}
	b, err := bbolt.Open(tmp.Name(), 0o600, boltOptions())
	if err != nil {
		return fmt.Errorf("the database can't be made: %w", err)
	}
	err = b.Update(func(tx *bbolt.Tx) error { return lay(tx, aead, schema) })
	if e := b.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = place(tmp.Name(), path)
	}
	if err != nil && !errors.Is(err, os.ErrExist) { // existing: another process was faster
		return fmt.Errorf("the database can't be made: %w", err)
	}
	return nil
}

// lay puts the buckets and the first facts into an empty database.
func lay(tx *bbolt.Tx, aead cipher.AEAD, schema int) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	box := tx.Bucket(boxBucket)
	if err := box.Put(schemaKey, binary.AppendUvarint(nil, uint64(schema))); err != nil {
		return err
	}
	epoch := 1_000_000 + rand.Uint64N(99_000_000) // shown to clients times 16, some of which read 32 bits
	if err := box.Put(epochKey, binary.AppendUvarint(nil, epoch)); err != nil {
		return err
	}
	return box.Put(keyCheckKey, seal(aead, keyCheck, nil))
}

// prepare opens an existing database for writing: verified, of the present
// schema, and compact.
func prepare(path string, aead cipher.AEAD, steps []migration, log *slog.Logger) (*bbolt.DB, error) {
	found, err := verify(path, aead, len(steps)+1, nil)
	if err != nil {
		return nil, err
	}
	b, err := openLocked(path)
	if err != nil {
		return nil, err
	}
	sweep(path)
	if err := upgrade(b, path, steps, log); err != nil {
		b.Close()
		return nil, err
	}
	if found.wasteful() {
		return compact(b, path, log)
	}
	return b, nil
}

// openLocked opens the file under an exclusive lock and makes sure that it is
// still the one of that name: another process may have replaced it, by
// compacting, between our opening and locking it.
func openLocked(path string) (*bbolt.DB, error) {
	for range 3 {
		var file *os.File
		o := boltOptions()
		o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
			file = f
			return f, err
		}
		b, err := bbolt.Open(path, 0o600, o)
		if err != nil {
			return nil, openError(path, err)
		}
		mine, err1 := file.Stat()
		named, err2 := os.Stat(path)
		if err := errors.Join(err1, err2); err != nil {
			b.Close()
			return nil, openError(path, err)
		}
		if os.SameFile(mine, named) {
			return b, nil
		}
		b.Close()
	}
	return nil, openError(path, berrors.ErrTimeout)
}

// upgrade brings the database to the present schema in one transaction, after
// keeping a copy.
func upgrade(b *bbolt.DB, path string, steps []migration, log *slog.Logger) error {
	have := 0
	if err := b.View(func(tx *bbolt.Tx) error { have = schemaOf(tx); return nil }); err != nil {
		return err
	}
	if have == len(steps)+1 {
		return nil
	}
	kept := fmt.Sprintf("%s.schema-%d", path, have)
	err := writeFile(kept, replace, func(w io.Writer) error { return snapshot(b, w) })
	if err != nil {
		return fmt.Errorf("the database must be converted, but a copy can't be kept: %w", err)
	}
	if err := migrate(b, steps); err != nil {
		return fmt.Errorf("the database can't be converted (it is as it was): %w", err)
	}
	log.Info("the database was converted", "from", have, "to", len(steps)+1, "copy", kept)
	return nil
}

func migrate(b *bbolt.DB, steps []migration) error {
	return b.Update(func(tx *bbolt.Tx) error {
		have := schemaOf(tx)
		if have < 1 || have > len(steps)+1 {
			return fmt.Errorf("schema %d is unknown", have)
		}
		for _, step := range steps[have-1:] {
			if err := step(tx); err != nil {
				return err
			}
		}
		return tx.Bucket(boxBucket).Put(schemaKey, binary.AppendUvarint(nil, uint64(len(steps)+1)))
	})
}

// snapshot writes the database as it is now.
func snapshot(b *bbolt.DB, w io.Writer) error {
	return b.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}
