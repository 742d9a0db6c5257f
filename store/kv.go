package store

import (
	"bytes"
	"iter"
)

// KVTx is one link's private name space inside a transaction. It has the
// methods of im.Tx.
type KVTx struct {
	tx     *Tx
	prefix []byte
}

// KV is the private name space of a link.
func (tx *Tx) KV(account, net string) *KVTx {
	return &KVTx{tx: tx, prefix: under(canon(account), net)}
}

// Get returns the value of k, nil when there is none. It is valid only inside
// the transaction and must not be changed.
func (kv *KVTx) Get(k []byte) []byte { return kv.tx.get(kvBucket, kv.key(k)) }

// Put stores copies of k and v.
func (kv *KVTx) Put(k, v []byte) error {
	return kv.tx.put(kvBucket, kv.key(k), append([]byte{}, v...))
}

// Delete removes k; a missing one is no error.
func (kv *KVTx) Delete(k []byte) error { return kv.tx.delete(kvBucket, kv.key(k)) }

// Scan yields every key that begins with prefix, whole, in order, and its
// value. Both are valid only inside the transaction.
func (kv *KVTx) Scan(prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range kv.tx.scan(kvBucket, kv.key(prefix)) {
			if !yield(k[len(kv.prefix):], v) {
				return
			}
		}
	}
}

func (kv *KVTx) key(k []byte) []byte { return append(bytes.Clone(kv.prefix), k...) }
