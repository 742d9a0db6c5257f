package imtest

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	"nudge/bridge/im"
)

var (
	errCrashed  = errors.New("imtest: the host has crashed")
	errReadOnly = errors.New("imtest: write in a read-only transaction")
)

// kv is one user's name space, as one host sees it.
type kv struct {
	h    *host
	user im.Addr
}

// writable waits as a store does that has one committer: a write from within
// settled would wait for itself. The lock is held, also after an error.
func (k kv) writable() error {
	for k.h.settling && !k.h.dead {
		bell := k.h.box.bell
		k.h.box.mu.Unlock()
		<-bell
		k.h.box.mu.Lock()
	}
	if k.h.dead {
		return errCrashed
	}
	return nil
}

// View implements im.KV.
func (k kv) View(fn func(im.Tx) error) error {
	k.h.box.mu.Lock()
	defer k.h.box.mu.Unlock()
	if k.h.dead {
		return errCrashed
	}
	return runTx(k.h.kv[k.user], true, fn)
}

// Update implements im.KV. It runs fn a first time in vain, because the
// contract says that fn may run more than once.
func (k kv) Update(fn func(im.Tx) error) error {
	k.h.box.mu.Lock()
	defer k.h.box.mu.Unlock()
	if err := k.writable(); err != nil {
		return err
	}
	old := k.h.kv[k.user]
	if err := runTx(maps.Clone(old), false, fn); err != nil {
		return err
	}
	now := maps.Clone(old)
	if now == nil {
		now = map[string]string{}
	}
	if err := runTx(now, false, fn); err != nil {
		return err
	}
	k.h.kv[k.user] = now
	return nil
}

// Sync implements im.KV.
func (k kv) Sync(ctx context.Context) error {
	k.h.box.mu.Lock()
	defer k.h.box.mu.Unlock()
	if err := k.writable(); err != nil {
		return err
	}
	k.h.box.kv = maps.Clone(k.h.kv)
	return ctx.Err()
}

// tx is a transaction. Maps are replaced, never changed, once they are on
// disk, so a shallow copy is a snapshot.
type tx struct {
	m        map[string]string
	readOnly bool
	lent     [][]byte
}

func runTx(m map[string]string, readOnly bool, fn func(im.Tx) error) error {
	if m == nil {
		m = map[string]string{}
	}
	t := &tx{m: m, readOnly: readOnly}
	defer t.poison()
	return fn(t)
}

// poison overwrites every slice given out: they are valid only inside.
func (t *tx) poison() {
	for _, b := range t.lent {
		for i := range b {
			b[i] = 0xFF
		}
	}
}

func (t *tx) lend(s string) []byte {
	b := []byte(s)
	t.lent = append(t.lent, b)
	return b
}

// Get implements im.Tx: nil when there is no such key.
func (t *tx) Get(k []byte) []byte {
	v, ok := t.m[string(k)]
	if !ok {
		return nil
	}
	return t.lend(v)
}

// Put implements im.Tx.
func (t *tx) Put(k, v []byte) error {
	if t.readOnly {
		return errReadOnly
	}
	if len(k) == 0 {
		return errors.New("imtest: empty key")
	}
	t.m[string(k)] = string(v)
	return nil
}

// Delete implements im.Tx.
func (t *tx) Delete(k []byte) error {
	if t.readOnly {
		return errReadOnly
	}
	delete(t.m, string(k))
	return nil
}

// Scan implements im.Tx, in byte order.
func (t *tx) Scan(prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(t.m)) {
			v, still := t.m[k]
			if still && strings.HasPrefix(k, string(prefix)) && !yield(t.lend(k), t.lend(v)) {
				return
			}
		}
	}
}
