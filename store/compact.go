package store

import (
	"fmt"
	"log/slog"
	"os"

	"go.etcd.io/bbolt"
)

// A file is compacted at start when it is bigger than compactFrom and more than
// half of it is free.
const compactFrom = 1 << 20

func (f facts) wasteful() bool {
	return f.pages*pageSize > compactFrom && f.used*2 < f.pages
}

// compact rewrites the database without its free pages and returns the new one
// open. A failure (a full disk, say) leaves the old one in use.
func compact(b *bbolt.DB, path string, log *slog.Logger) (*bbolt.DB, error) {
	before := fileSize(path)
	if err := rewrite(b, path); err != nil {
		log.Warn("the database could not be compacted", "err", err)
		return b, nil
	}
	if err := b.Close(); err != nil {
		return nil, fmt.Errorf("the database can't be opened: %w", err)
	}
	log.Info("the database was compacted", "from", before, "to", fileSize(path))
	return openLocked(path)
}

// rewrite copies b's contents to a new file and puts that in b's place.
func rewrite(b *bbolt.DB, path string) error {
	tmp, err := newTemp(path)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Close(); err != nil {
		return err
	}
	o := boltOptions()
	o.NoSync = true // once at the end is enough
	dst, err := bbolt.Open(tmp.Name(), 0o600, o)
	if err != nil {
		return err
	}
	err = bbolt.Compact(dst, b, 1<<20)
	if err == nil {
		err = dst.Sync()
	}
	if e := dst.Close(); err == nil {
		err = e
	}
	if err == nil {
		_, err = verify(tmp.Name(), nil, schemaIn(b), nil)
	}
	if err != nil {
		return err
	}
	return replace(tmp.Name(), path)
}

func schemaIn(b *bbolt.DB) (schema int) {
	b.View(func(tx *bbolt.Tx) error { schema = schemaOf(tx); return nil }) // fn's error only
	return schema
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
