package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Copies is the folder, in the data folder, of the last copies of the database:
// nudge.db.1 is the newest. They are for the day on which the database itself is
// damaged; they lie on the same card, and secrets in them need the same key.
const Copies = "copies"

const keepCopies = 3

// CopiedAt is when the newest copy was made, zero when there is none.
func (db *DB) CopiedAt() time.Time {
	info, err := os.Stat(db.copyName(1))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (db *DB) copyName(n int) string {
	return filepath.Join(filepath.Dir(db.path), Copies, fmt.Sprintf("%s.%d", File, n))
}

// Copy makes a copy of the database as it is on disk now and lets the oldest of
// three go. A copy is read whole before it counts, so that damage never pushes
// out what is good. made is false when nothing has changed since the newest.
func (db *DB) Copy() (made bool, err error) {
	newest := db.copyName(1)
	if err := os.MkdirAll(filepath.Dir(newest), 0o700); err != nil {
		return false, fmt.Errorf("the database can't be copied: %w", err)
	}
	same, err := db.copied(newest)
	if err != nil || same {
		return false, err
	}
	sweep(newest)
	err = writeFile(newest, db.rotate, func(w io.Writer) error { return snapshot(db.bolt, w) })
	if err != nil {
		return false, fmt.Errorf("the database can't be copied: %w", closedOr(err))
	}
	return true, nil
}

// copied tells whether the newest copy has what is on disk.
func (db *DB) copied(newest string) (bool, error) {
	f, err := os.Open(newest)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("the last copy of the database can't be read: %w", err)
	}
	defer f.Close()
	m, err := metaOf(f)
	if err != nil {
		return false, nil // no good: a new one takes its place
	}
	b, err := db.bolt.Begin(false)
	if err != nil {
		return false, closedOr(err)
	}
	defer b.Rollback() // of a read transaction: always nil
	return uint64(b.ID()) == m.tx, nil
}

// rotate verifies the copy in tmp and makes it the newest.
func (db *DB) rotate(tmp, newest string) error {
	if _, err := verify(tmp, db.seal, db.schema, nil); err != nil {
		return err
	}
	for n := keepCopies; n > 1; n-- {
		if err := os.Rename(db.copyName(n-1), db.copyName(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return replace(tmp, newest)
}
