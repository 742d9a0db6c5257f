package store

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"

	"go.etcd.io/bbolt"
)

// migration brings a database from one schema to the next.
type migration func(*bbolt.Tx) error

// migrations are in order: the first leads from schema 1 to 2. The schema of
// this program is one more than their number. A field added to a record needs
// none (see record.go).
var migrations []migration

const keyCheck = "key check" // context

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
	epoch := 1_000_000 + rand.Uint64N(999_000_000)
	if err := box.Put(epochKey, binary.AppendUvarint(nil, epoch)); err != nil {
		return err
	}
	return box.Put(keyCheckKey, seal(aead, keyCheck, nil))
}

// prepare opens an existing database.
func prepare(path string, aead cipher.AEAD, steps []migration, log *slog.Logger) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, boltOptions())
}
