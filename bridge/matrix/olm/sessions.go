package olm

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"time"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/olm"
	"maunium.net/go/mautrix/id"
)

// accountRow is the device's own keys.
type accountRow struct {
	Pickle  []byte              `json:"pickle"`
	Shared  bool                `json:"shared,omitempty"` // the server has them
	Version id.KeyBackupVersion `json:"backup,omitempty"`
}

// PutAccount implements crypto.Store.
func (s *Store) PutAccount(_ context.Context, a *crypto.OlmAccount) error {
	p, err := a.Internal.Pickle(s.key)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.account = a
	s.mu.Unlock()
	return s.save(path(kindAccount), accountRow{p, a.Shared, a.KeyBackupVersion})
}

// GetAccount implements crypto.Store.
func (s *Store) GetAccount(context.Context) (*crypto.OlmAccount, error) {
	s.mu.Lock()
	a := s.account
	s.mu.Unlock()
	if a != nil {
		return a, nil
	}
	row, err := load[accountRow](s, path(kindAccount))
	if row == nil || err != nil {
		return nil, err
	}
	a = &crypto.OlmAccount{Internal: olm.NewBlankAccount(), Shared: row.Shared, KeyBackupVersion: row.Version}
	if err := a.Internal.Unpickle(row.Pickle, s.key); err != nil {
		return nil, fmt.Errorf("open this device's keys: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.account == nil {
		s.account = a
	}
	return s.account, nil
}

// sessionRow is one olm session with another device.
type sessionRow struct {
	Pickle    []byte    `json:"pickle"`
	Created   time.Time `json:"created"`
	Encrypted time.Time `json:"encrypted"`
	Decrypted time.Time `json:"decrypted"`
}

// held is an olm session in memory, with the time by which the list is sorted:
// the machine changes its own while others look.
type held struct {
	*crypto.OlmSession
	decrypted time.Time
}

// with are the sessions with a device, in the order of the machine's
// preference: the one that was last decrypted with comes first.
func (s *Store) with(key id.SenderKey) ([]held, error) {
	s.mu.Lock()
	list, known := s.sessions[key]
	s.mu.Unlock()
	if known {
		return list, nil
	}
	rows, err := s.scan(path(kindSession, string(key), ""))
	if err != nil {
		return nil, err
	}
	for k, v := range rows {
		var row sessionRow
		if err := json.Unmarshal(v, &row); err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		o := &crypto.OlmSession{Internal: olm.NewBlankSession()}
		if err := o.Internal.Unpickle(row.Pickle, s.key); err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		o.CreationTime, o.LastEncryptedTime, o.LastDecryptedTime = row.Created, row.Encrypted, row.Decrypted
		list = append(list, held{o, row.Decrypted})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, raced := s.sessions[key]; !raced {
		s.sort(key, list)
	}
	return s.sessions[key], nil
}

// sort sets the sessions with a device. Lists are never changed in place. mu
// is held.
func (s *Store) sort(key id.SenderKey, list []held) {
	sort.Slice(list, func(i, j int) bool {
		return cmp.Or(list[j].decrypted.Compare(list[i].decrypted), cmp.Compare(list[i].ID(), list[j].ID())) < 0
	})
	s.sessions[key] = list
}

// AddSession implements crypto.Store.
func (s *Store) AddSession(ctx context.Context, key id.SenderKey, o *crypto.OlmSession) error {
	return s.UpdateSession(ctx, key, o)
}

// HasSession implements crypto.Store. The machine asks before it begins a new
// session.
func (s *Store) HasSession(_ context.Context, key id.SenderKey) bool {
	list, err := s.with(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	broken := s.broken[key]
	delete(s.broken, key)
	return err == nil && len(list) > 0 && !broken
}

// GetSessions implements crypto.Store.
func (s *Store) GetSessions(_ context.Context, key id.SenderKey) (crypto.OlmSessionList, error) {
	list, err := s.with(key)
	var all crypto.OlmSessionList
	for _, h := range list {
		all = append(all, h.OlmSession)
	}
	return all, err
}

// GetLatestSession implements crypto.Store.
func (s *Store) GetLatestSession(_ context.Context, key id.SenderKey) (*crypto.OlmSession, error) {
	list, err := s.with(key)
	if len(list) == 0 {
		return nil, err
	}
	return list[0].OlmSession, nil
}

// GetNewestSessionCreationTS implements crypto.Store. The machine asks before
// it mends a broken session on a goroutine that nobody waits for; being told
// that it was mended just now it leaves that to its owner.
func (s *Store) GetNewestSessionCreationTS(context.Context, id.SenderKey) (time.Time, error) {
	return time.Now(), nil
}

// UpdateSession implements crypto.Store.
func (s *Store) UpdateSession(_ context.Context, key id.SenderKey, o *crypto.OlmSession) error {
	p, err := o.Internal.Pickle(s.key)
	if err == nil {
		_, err = s.with(key)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.sort(key, append(s.without(key, o), held{o, o.LastDecryptedTime}))
	s.mu.Unlock()
	return s.save(path(kindSession, string(key), string(o.ID())), sessionRow{p, o.CreationTime, o.LastEncryptedTime, o.LastDecryptedTime})
}

// without is a copy of the sessions with a device that lacks one. mu is held.
func (s *Store) without(key id.SenderKey, o *crypto.OlmSession) []held {
	return slices.DeleteFunc(slices.Clone(s.sessions[key]), func(h held) bool { return h.ID() == o.ID() })
}

// DeleteSession implements crypto.Store.
func (s *Store) DeleteSession(_ context.Context, key id.SenderKey, o *crypto.OlmSession) error {
	if _, err := s.with(key); err != nil {
		return err
	}
	s.mu.Lock()
	s.sort(key, s.without(key, o))
	s.mu.Unlock()
	s.put(path(kindSession, string(key), string(o.ID())), nil)
	return nil
}

// Renew makes the machine begin a new session with a device at the next message
// to it: the old ones can't be read there any more.
func (s *Store) Renew(key id.SenderKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[key] = true
}

// PutOlmHash implements crypto.Store.
func (s *Store) PutOlmHash(_ context.Context, hash [32]byte, at time.Time) error {
	return s.save(path(kindHash, hex.EncodeToString(hash[:])), at.UnixMilli())
}

// GetOlmHash implements crypto.Store.
func (s *Store) GetOlmHash(_ context.Context, hash [32]byte) (time.Time, error) {
	ms, err := load[int64](s, path(kindHash, hex.EncodeToString(hash[:])))
	if ms == nil || err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(*ms), nil
}

// DeleteOldOlmHashes implements crypto.Store.
func (s *Store) DeleteOldOlmHashes(_ context.Context, before time.Time) error {
	rows, err := s.scan(path(kindHash, ""))
	if err != nil {
		return err
	}
	for k, v := range rows {
		var ms int64
		if json.Unmarshal(v, &ms) != nil || ms < before.UnixMilli() {
			s.put(k, nil)
		}
	}
	return nil
}
