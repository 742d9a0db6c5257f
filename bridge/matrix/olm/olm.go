// Package olm keeps what end-to-end encryption of one Matrix device has to
// remember in an im.KV: it is the crypto.Store and the crypto.StateStore of a
// mautrix OlmMachine.
//
// # Idea
//
// A changed record stays in memory until Flush puts everything that changed on
// disk in one transaction. Reading sees both. Who flushes when is what keeps
// the ratchets safe:
//
//   - Before anything leaves that a ratchet made (a message, a to-device
//     message, uploaded keys), Flush: a ratchet that went back after a crash
//     would use a key twice. Transport does it for every request of a client.
//   - Before the position of /sync moves on, Flush: the server forgets to-device
//     messages then.
//   - What belongs to one to-device message is put on disk together or not at
//     all: Whole holds back Flush until the message is worked off. Else an
//     advanced ratchet could be on disk without the room key it brought, and the
//     same message could not be read again.
//
// Ratchets, accounts and secrets are encrypted with a key that the caller
// keeps; who sees the store without it learns who talks to whom, but can read
// nothing.
//
// # Goroutines
//
// The package has none; its methods may be called from any.
//
// # Caveats
//
// Olm sessions are changed in place by the machine and compared by address, so
// they are kept in memory once loaded. Everything else is read from the KV each
// time.
package olm

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// Prefix begins every key of the store in the KV.
const Prefix = "olm/"

// Kinds of record: what follows Prefix. The parts of a key after it are
// escaped, so that no room or user can name another's record.
const (
	kindAccount  = "account"
	kindSession  = "session"  // sender key, session id: sessionRow
	kindHash     = "hash"     // SHA-256 of an olm message: ms of its arrival
	kindInbound  = "inbound"  // room, session id: inboundRow
	kindOutbound = "outbound" // room: outboundRow
	kindWithheld = "withheld" // room, session id: the notice
	kindShared   = "shared"   // session id, user, identity key
	kindIndex    = "index"    // session id, index / indexBlock: indexBlock hashes
	kindDevices  = "devices"  // user: devicesRow
	kindCross    = "cross"    // user: keys by usage
	kindSigned   = "signed"   // user and key, signer and his key: the signature
	kindSecret   = "secret"   // name: sealed value
	kindRoom     = "room"     // room: Room
	kindWaiting  = "waiting"  // session id, event id: Waiting
)

// Store is the memory of one device. Make it with Open.
type Store struct {
	kv   im.KV
	key  []byte
	turn chan struct{} // to flush, or to do what must be flushed as a whole

	// Trusted decides about a room key that another device passes on: nil
	// refuses every one. It is set before the store is used.
	Trusted func(ctx context.Context, from id.UserID, session *crypto.InboundGroupSession) bool

	rooms chan struct{} // the turn to read and change the record of a room

	mu       sync.Mutex
	dirty    map[string]*change
	account  *crypto.OlmAccount
	sessions map[id.SenderKey][]held
	broken   map[id.SenderKey]bool
	marks    map[id.UserID]int // how often a device list became outdated
	arrived  []id.SessionID
}

var (
	_ crypto.Store      = (*Store)(nil)
	_ crypto.StateStore = (*Store)(nil)
)

// change is a value to write; nil deletes.
type change struct{ value []byte }

// Open is the store kept in kv. key is 32 bytes that are not kept there.
func Open(kv im.KV, key []byte) *Store {
	return &Store{
		kv: kv, key: key, turn: make(chan struct{}, 1), rooms: make(chan struct{}, 1),
		dirty: map[string]*change{}, marks: map[id.UserID]int{}, broken: map[id.SenderKey]bool{}, sessions: map[id.SenderKey][]held{},
	}
}

// Wipe deletes everything that a store has in kv.
func Wipe(kv im.KV) error { return wipe(kv, Prefix) }

// Renounce deletes what belongs to the device, for a new one to take its place:
// its own keys and its ratchets. Room keys stay readable.
func Renounce(kv im.KV) error {
	return wipe(kv, path(kindAccount), path(kindSession, ""), path(kindOutbound, ""), path(kindHash, ""))
}

func wipe(kv im.KV, prefixes ...string) error {
	return kv.Update(func(tx im.Tx) error {
		var keys [][]byte
		for _, prefix := range prefixes {
			for k := range tx.Scan([]byte(prefix)) {
				keys = append(keys, slices.Clone(k))
			}
		}
		for _, k := range keys {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// inside marks the context of a Whole.
type inside struct{ *Store }

// Whole runs do so that nothing of what it changes is on disk without the rest,
// unless do itself flushes with the context it is given.
func (s *Store) Whole(ctx context.Context, do func(context.Context) error) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	return do(context.WithValue(ctx, inside{s}, true))
}

func (s *Store) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Flush returns when every change so far is durable. Without changes it costs
// nothing.
func (s *Store) Flush(ctx context.Context) error {
	if ctx.Value(inside{s}) == nil {
		if err := s.take(ctx); err != nil {
			return err
		}
		defer func() { <-s.turn }()
	}
	s.mu.Lock()
	now := maps.Clone(s.dirty)
	s.mu.Unlock()
	if len(now) == 0 {
		return nil
	}
	err := s.kv.Update(func(tx im.Tx) error {
		for k, c := range now {
			if c.value == nil {
				if err := tx.Delete([]byte(k)); err != nil {
					return err
				}
			} else if err := tx.Put([]byte(k), c.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = s.kv.Sync(ctx)
	}
	if err != nil {
		return fmt.Errorf("write encryption keys: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, c := range now {
		if s.dirty[k] == c {
			delete(s.dirty, k)
		}
	}
	return nil
}

// Transport makes every request wait until what it may have been made from is
// on disk. GET carries nothing.
type Transport struct {
	Store *Store
	Next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		if err := t.Store.Flush(r.Context()); err != nil {
			return nil, err
		}
	}
	return t.Next.RoundTrip(r)
}

// path is the key of a record, or with an empty last part the prefix of many.
func path(kind string, parts ...string) string {
	var b strings.Builder
	b.WriteString(Prefix + kind)
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// get reads a record; nil when there is none.
func (s *Store) get(key string) (value []byte, err error) {
	s.mu.Lock()
	c := s.dirty[key]
	s.mu.Unlock()
	if c != nil {
		return c.value, nil
	}
	err = s.kv.View(func(tx im.Tx) error {
		value = slices.Clone(tx.Get([]byte(key)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read encryption keys: %w", err)
	}
	return value, nil
}

// put notes a record for the next Flush; nil deletes it. One that is on disk as
// it is costs no write there (im.KV).
func (s *Store) put(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty[key] = &change{value}
}

// scan yields the records whose keys begin with prefix, as they are at the
// beginning of the loop.
func (s *Store) scan(prefix string) (iter.Seq2[string, []byte], error) {
	s.mu.Lock()
	over := map[string]*change{}
	for k, c := range s.dirty {
		if strings.HasPrefix(k, prefix) {
			over[k] = c
		}
	}
	s.mu.Unlock()
	all := map[string][]byte{}
	err := s.kv.View(func(tx im.Tx) error {
		for k, v := range tx.Scan([]byte(prefix)) {
			all[string(k)] = slices.Clone(v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read encryption keys: %w", err)
	}
	for k, c := range over {
		if delete(all, k); c.value != nil {
			all[k] = c.value
		}
	}
	return func(yield func(string, []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(all)) {
			if !yield(k, all[k]) {
				return
			}
		}
	}, nil
}

// load reads a record of type T; nil when there is none.
func load[T any](s *Store, key string) (*T, error) {
	b, err := s.get(key)
	if b == nil || err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return v, nil
}

// save notes a record for the next Flush.
func (s *Store) save(key string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		s.put(key, b)
	}
	return err
}

// last is the last part of a key.
func last(key string) string {
	part, err := url.PathUnescape(key[strings.LastIndexByte(key, '/')+1:])
	if err != nil {
		return ""
	}
	return part
}
