package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"strings"

	"go.etcd.io/bbolt"
)

// The buckets. All are flat: a key begins with its owner, so that one commit
// touches few pages and an owner's records lie side by side.
var (
	boxBucket      = []byte("box")      // schema, epoch, key check
	settingsBucket = []byte("settings") // key
	accountsBucket = []byte("accounts") // handle
	contactsBucket = []byte("contacts") // account, net, id
	groupsBucket   = []byte("groups")   // account, id
	linksBucket    = []byte("links")    // account, net
	journalBucket  = []byte("journal")  // account, seq
	outboxBucket   = []byte("outbox")   // account, net, seq
	marksBucket    = []byte("marks")    // account, net
	seenBucket     = []byte("seen")     // account, net, chunk
	kvBucket       = []byte("kv")       // account, net, key
)

var buckets = [][]byte{boxBucket, settingsBucket, accountsBucket, contactsBucket, groupsBucket,
	linksBucket, journalBucket, outboxBucket, marksBucket, seenBucket, kvBucket}

// Tx is a transaction. It and everything read-only it hands out are valid only
// inside the function it was given to; records are copies and stay.
//
// Every account argument may be spelled in any case. The account "" is the
// box itself, owner of shared links. What can't be read (damaged) is logged
// and treated as missing.
type Tx struct {
	bolt   *bbolt.Tx
	log    *slog.Logger
	writes int // changes so far
}

func (tx *Tx) get(bucket, key []byte) []byte {
	return tx.bolt.Bucket(bucket).Get(key)
}

// put stores value under key unless it is there already: an unchanged record
// must not cost a commit. value must not change before the transaction ends.
func (tx *Tx) put(bucket, key, value []byte) error {
	b := tx.bolt.Bucket(bucket)
	if old := b.Get(key); old != nil && bytes.Equal(old, value) {
		return nil
	}
	tx.writes++
	return b.Put(key, value)
}

func (tx *Tx) delete(bucket, key []byte) error {
	b := tx.bolt.Bucket(bucket)
	if b.Get(key) == nil {
		return nil
	}
	tx.writes++
	return b.Delete(key)
}

// deleteAll deletes every key with the prefix.
func (tx *Tx) deleteAll(bucket, prefix []byte) error {
	for k := range tx.scan(bucket, prefix) {
		if err := tx.delete(bucket, k); err != nil {
			return err
		}
	}
	return nil
}

// scan yields what has the prefix, in key order. The loop may change the
// bucket: then the place is found again by key, because a change can make a
// bbolt cursor skip or repeat.
func (tx *Tx) scan(bucket, prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c := tx.bolt.Bucket(bucket).Cursor()
		k, v := c.Seek(prefix)
		for k != nil && bytes.HasPrefix(k, prefix) {
			writes, here := tx.writes, k
			if !yield(k, v) {
				return
			}
			if tx.writes == writes {
				k, v = c.Next()
				continue
			}
			if k, v = c.Seek(here); bytes.Equal(k, here) {
				k, v = c.Next()
			}
		}
	}
}

// ends finds the first and the last number under the prefix; ok is false when
// there is none.
func (tx *Tx) ends(bucket, prefix []byte) (first, last uint64, ok bool) {
	c := tx.bolt.Bucket(bucket).Cursor()
	k, _ := c.Seek(prefix)
	if !bytes.HasPrefix(k, prefix) {
		return 0, 0, false
	}
	first, err := keySeq(k[len(prefix):])
	if err == nil {
		if k, _ = c.Seek(append(bytes.Clone(prefix), seqKey(math.MaxUint64)...)); k == nil {
			k, _ = c.Last()
		} else {
			k, _ = c.Prev()
		}
		last, err = keySeq(k[len(prefix):])
	}
	if err != nil {
		tx.damaged(bucket, err)
		return 0, 0, false
	}
	return first, last, true
}

// records yields the decoded records with the prefix. decode gets the rest of
// the key; what it can't decode is logged and left out.
func records[R any](tx *Tx, bucket, prefix []byte, decode func(key, value []byte) (R, error)) iter.Seq[R] {
	return func(yield func(R) bool) {
		for k, v := range tx.scan(bucket, prefix) {
			r, err := decode(k[len(prefix):], v)
			if err != nil {
				tx.damaged(bucket, err)
				continue
			}
			if !yield(r) {
				return
			}
		}
	}
}

// record reads one record.
func record[R any](tx *Tx, bucket, prefix, key []byte, decode func(key, value []byte) (R, error)) (R, bool) {
	var none R
	v := tx.get(bucket, append(prefix, key...))
	if v == nil {
		return none, false
	}
	r, err := decode(key, v)
	if err != nil {
		tx.damaged(bucket, err)
		return none, false
	}
	return r, true
}

func (tx *Tx) damaged(bucket []byte, err error) {
	tx.log.Error("a record in the database is damaged and left out: restore a backup", "bucket", string(bucket), "err", err)
}

// canon is the account's key: compared without case, the spelling is kept in
// the record.
func canon(account string) string { return strings.ToLower(account) }

// under makes a key prefix of its parts. Each is preceded by its length, so
// that no choice of names makes two prefixes meet.
func under(parts ...string) []byte {
	var k []byte
	for _, p := range parts {
		k = binary.AppendUvarint(k, uint64(len(p)))
		k = append(k, p...)
	}
	return k
}

// parts takes n parts off the front of key.
func parts(key []byte, n int) ([]string, []byte, error) {
	var out []string
	for range n {
		size, w := binary.Uvarint(key)
		if w <= 0 || size > uint64(len(key)-w) {
			return nil, nil, fmt.Errorf("key %x is cut short", key)
		}
		out = append(out, string(key[w:w+int(size)]))
		key = key[w+int(size):]
	}
	return out, key, nil
}

// seqKey orders by number.
func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func keySeq(key []byte) (uint64, error) {
	if len(key) != 8 {
		return 0, fmt.Errorf("%x is no sequence number", key)
	}
	return binary.BigEndian.Uint64(key), nil
}
