package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
)

// A link remembers the newest seenKept IDs or a little more. They are kept as
// 8 bytes of SHA-256 each, in chunks that are keys of their own: See rewrites
// one chunk, so that it dirties one page, and when a chunk is full drops the
// oldest whole. Two keys per ID would dirty three pages.
const (
	seenKept   = 4096
	seenChunk  = 64 // IDs
	seenChunks = seenKept/seenChunk + 1
	seenSize   = 8 // bytes
)

// Seen tells whether id is among the newest 4096 given to See for the link.
func (tx *Tx) Seen(account, net, id string) bool {
	sum := sha256.Sum256([]byte(id))
	want := binary.NativeEndian.Uint64(sum[:])
	for _, chunk := range tx.scan(seenBucket, under(canon(account), net)) {
		for ; len(chunk) >= seenSize; chunk = chunk[seenSize:] {
			if binary.NativeEndian.Uint64(chunk) == want {
				return true
			}
		}
	}
	return false
}

// See remembers id for the link. It does not look whether it is there.
func (tx *Tx) See(account, net, id string) error {
	prefix := under(canon(account), net)
	first, last, ok := tx.ends(seenBucket, prefix)
	var chunk []byte
	if ok {
		chunk = tx.get(seenBucket, append(bytes.Clone(prefix), seqKey(last)...))
	}
	if len(chunk) >= seenChunk*seenSize {
		last, chunk = last+1, nil
		if last-first >= seenChunks {
			if err := tx.delete(seenBucket, append(bytes.Clone(prefix), seqKey(first)...)); err != nil {
				return err
			}
		}
	}
	sum := sha256.Sum256([]byte(id))
	value := make([]byte, 0, len(chunk)+seenSize)
	value = append(append(value, chunk...), sum[:seenSize]...)
	return tx.put(seenBucket, append(prefix, seqKey(last)...), value)
}
