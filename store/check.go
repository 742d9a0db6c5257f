package store

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// Check reads the whole database at path, every page and every record, without
// writing anything. The error is *Unusable when the file can't be used; a
// database that is in use by a running nudge can't be checked.
func Check(path string) error {
	_, err := verify(path, nil, len(migrations)+1, (*Tx).readAll)
	return err
}

// facts are what verify found out.
type facts struct {
	pages, used uint64 // in the file, reachable
}

// verify makes sure that bbolt can be let at the file: it is ours, whole, of a
// schema we know and, when aead is not nil, sealed with that key. also may look
// further, nil for nothing. Until verify returns, other processes may only read.
func verify(path string, aead cipher.AEAD, schema int, also func(*Tx) error) (facts, error) {
	f, err := os.Open(path)
	if err != nil {
		return facts{}, fmt.Errorf("the database can't be opened: %w", err)
	}
	defer f.Close()
	if _, err := metaOf(f); err != nil { // bbolt's own words for these are worse
		return facts{}, damagedFile(path, err)
	}
	o := boltOptions()
	o.ReadOnly = true
	b, err := bbolt.Open(path, 0, o) // holds a shared lock
	if err != nil {
		return facts{}, openError(path, err)
	}
	defer b.Close()
	m, err := metaOf(f)
	if err != nil {
		return facts{}, damagedFile(path, err)
	}
	used, err := walk(f, m)
	if err != nil {
		return facts{}, damagedFile(path, err)
	}
	return facts{pages: m.pages, used: used}, b.View(func(tx *bbolt.Tx) error {
		if err := recognise(path, tx, aead, schema); err != nil {
			return err
		}
		if also == nil {
			return nil
		}
		if err := also(&Tx{bolt: tx, log: silent()}); err != nil {
			return damagedFile(path, err)
		}
		return nil
	})
}

func metaOf(f *os.File) (meta, error) {
	info, err := f.Stat()
	if err != nil {
		return meta{}, err
	}
	if !info.Mode().IsRegular() {
		return meta{}, errForeign
	}
	return readMeta(f, info.Size())
}

// recognise tells our databases from those of other programs, later versions
// and other keys.
func recognise(path string, tx *bbolt.Tx, aead cipher.AEAD, schema int) error {
	have := schemaOf(tx)
	switch {
	case have == 0:
		return damagedFile(path, errForeign)
	case have > schema:
		return &Unusable{Path: path, Reason: fmt.Sprintf("a newer nudge wrote it (schema %d, this one knows %d)", have, schema),
			Cure: "install the newer nudge again, or restore a backup from before"}
	}
	if have == schema {
		for _, name := range buckets {
			if tx.Bucket(name) == nil {
				return damagedFile(path, fmt.Errorf("bucket %q is missing", name))
			}
		}
	}
	if aead == nil {
		return nil
	}
	if _, err := unseal(aead, keyCheck, tx.Bucket(boxBucket).Get(keyCheckKey)); err != nil {
		return &Unusable{Path: path, Reason: "it was made with another sealing key",
			Cure: "put its " + KeyFile + " back, or move both aside and restore a backup"}
	}
	return nil
}

// schemaOf is 0 for a database that is not ours.
func schemaOf(tx *bbolt.Tx) int {
	box := tx.Bucket(boxBucket)
	if box == nil {
		return 0
	}
	v, n := binary.Uvarint(box.Get(schemaKey))
	if n <= 0 || v > 1<<30 {
		return 0
	}
	return int(v)
}

// readAll decodes every record.
func (tx *Tx) readAll() error {
	return errors.Join(
		readable(tx, accountsBucket, 0, decodeAccount),
		readable(tx, contactsBucket, 1, decodeContact),
		readable(tx, groupsBucket, 1, decodeGroup),
		readable(tx, linksBucket, 0, decodeLink),
		readable(tx, journalBucket, 1, decodeEntry),
		readable(tx, outboxBucket, 2, decodeEntry),
	)
}

// readable decodes every record of a bucket whose keys begin with owners parts.
func readable[R any](tx *Tx, bucket []byte, owners int, decode func(key, value []byte) (R, error)) error {
	bad := 0
	var first error
	for k, v := range tx.scan(bucket, nil) {
		_, rest, err := parts(k, owners)
		if err == nil {
			_, err = decode(rest, v)
		}
		if err != nil {
			if bad++; bad == 1 {
				first = err
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d records in %s can't be read (%w)", bad, bucket, first)
	}
	return nil
}
