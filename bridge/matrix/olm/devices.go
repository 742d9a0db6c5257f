package olm

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
	"maunium.net/go/mautrix/id"
)

// devicesRow are the devices of a user whose list is followed. Outdated: the
// server said that it changed.
type devicesRow struct {
	Devices  map[id.DeviceID]*id.Device `json:"devices"`
	Outdated bool                       `json:"outdated,omitempty"`
}

func (s *Store) devicesOf(u id.UserID) (*devicesRow, error) {
	return load[devicesRow](s, path(kindDevices, string(u)))
}

// GetDevices implements crypto.Store.
func (s *Store) GetDevices(_ context.Context, u id.UserID) (map[id.DeviceID]*id.Device, error) {
	row, err := s.devicesOf(u)
	if row == nil || err != nil {
		return nil, err
	}
	if row.Devices == nil {
		row.Devices = map[id.DeviceID]*id.Device{}
	}
	return row.Devices, nil
}

// GetDevice implements crypto.Store.
func (s *Store) GetDevice(ctx context.Context, u id.UserID, d id.DeviceID) (*id.Device, error) {
	devices, err := s.GetDevices(ctx, u)
	return devices[d], err
}

// FindDeviceByKey implements crypto.Store.
func (s *Store) FindDeviceByKey(ctx context.Context, u id.UserID, key id.IdentityKey) (*id.Device, error) {
	devices, err := s.GetDevices(ctx, u)
	for _, d := range devices {
		if d.IdentityKey == key {
			return d, nil
		}
	}
	return nil, err
}

// PutDevice implements crypto.Store. One device does not make the list of a user
// whose list is not followed: it is fetched before it is used.
func (s *Store) PutDevice(_ context.Context, u id.UserID, d *id.Device) error {
	row, err := s.devicesOf(u)
	if err != nil {
		return err
	}
	if row == nil {
		row = &devicesRow{Outdated: true}
	}
	devices := maps.Clone(row.Devices)
	if devices == nil {
		devices = map[id.DeviceID]*id.Device{}
	}
	devices[d.DeviceID] = d
	return s.save(path(kindDevices, string(u)), devicesRow{devices, row.Outdated})
}

// PutDevices implements crypto.Store.
func (s *Store) PutDevices(_ context.Context, u id.UserID, devices map[id.DeviceID]*id.Device) error {
	return s.save(path(kindDevices, string(u)), devicesRow{Devices: devices})
}

// FilterTrackedUsers implements crypto.Store.
func (s *Store) FilterTrackedUsers(_ context.Context, users []id.UserID) (tracked []id.UserID, err error) {
	for _, u := range users {
		row, err := s.devicesOf(u)
		if err != nil {
			return nil, err
		}
		if row != nil {
			tracked = append(tracked, u)
		}
	}
	return tracked, nil
}

// MarkTrackedUsersOutdated implements crypto.Store.
func (s *Store) MarkTrackedUsersOutdated(_ context.Context, users []id.UserID) error {
	for _, u := range users {
		s.mu.Lock()
		s.marks[u]++
		s.mu.Unlock()
		row, err := s.devicesOf(u)
		if err != nil {
			return err
		}
		if row == nil || row.Outdated {
			continue
		}
		row.Outdated = true
		if err := s.save(path(kindDevices, string(u)), row); err != nil {
			return err
		}
	}
	return nil
}

// GetOutdatedTrackedUsers implements crypto.Store.
func (s *Store) GetOutdatedTrackedUsers(ctx context.Context) (users []id.UserID, err error) {
	all, err := s.Tracked()
	for _, u := range all {
		row, err := s.devicesOf(u)
		if err != nil {
			return nil, err
		}
		if row != nil && row.Outdated {
			users = append(users, u)
		}
	}
	return users, err
}

// Tracked are the users whose device lists are followed.
func (s *Store) Tracked() (users []id.UserID, err error) {
	rows, err := s.scan(path(kindDevices, ""))
	if err != nil {
		return nil, err
	}
	for k := range rows {
		users = append(users, id.UserID(last(k)))
	}
	return users, nil
}

// Stale are those of users whose devices have to be asked for before a key is
// shared with them.
func (s *Store) Stale(users []id.UserID) (stale []id.UserID, err error) {
	for _, u := range users {
		row, err := s.devicesOf(u)
		if err != nil {
			return nil, err
		}
		if row == nil || row.Outdated {
			stale = append(stale, u)
		}
	}
	return stale, nil
}

// Asking notes that the devices of users are being asked for. The function
// returned marks those as outdated of whom /sync told a change since then: the
// answer may be older.
func (s *Store) Asking(users []id.UserID) (answered func(context.Context) error) {
	count := func() []int {
		s.mu.Lock()
		defer s.mu.Unlock()
		counts := make([]int, len(users))
		for i, u := range users {
			counts[i] = s.marks[u]
		}
		return counts
	}
	before := count()
	return func(ctx context.Context) error {
		for i, n := range count() {
			if n == before[i] {
				continue
			}
			if err := s.MarkTrackedUsersOutdated(ctx, users[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
}

// crossRow are a user's cross-signing keys.
type crossRow map[id.CrossSigningUsage]id.CrossSigningKey

// GetCrossSigningKeys implements crypto.Store.
func (s *Store) GetCrossSigningKeys(_ context.Context, u id.UserID) (map[id.CrossSigningUsage]id.CrossSigningKey, error) {
	row, err := load[crossRow](s, path(kindCross, string(u)))
	if row == nil || err != nil {
		return crossRow{}, err
	}
	return *row, nil
}

// PutCrossSigningKey implements crypto.Store. The first key seen is kept.
func (s *Store) PutCrossSigningKey(ctx context.Context, u id.UserID, use id.CrossSigningUsage, key id.Ed25519) error {
	keys, err := s.GetCrossSigningKeys(ctx, u)
	if err != nil {
		return err
	}
	k, known := keys[use]
	if k.Key = key; !known {
		k.First = key
	}
	keys[use] = k
	return s.save(path(kindCross, string(u)), keys)
}

// ResetMasterKeyTOFU implements crypto.Store.
func (s *Store) ResetMasterKeyTOFU(ctx context.Context, u id.UserID, key id.Ed25519) error {
	keys, err := s.GetCrossSigningKeys(ctx, u)
	if err != nil {
		return err
	}
	k := keys[id.XSUsageMaster]
	if k.Key != key {
		return fmt.Errorf("%s is not the master key of %s", key, u)
	}
	k.First = key
	keys[id.XSUsageMaster] = k
	return s.save(path(kindCross, string(u)), keys)
}

// PutSignature implements crypto.Store.
func (s *Store) PutSignature(_ context.Context, signed id.UserID, key id.Ed25519, signer id.UserID, by id.Ed25519, signature string) error {
	return s.save(path(kindSigned, string(signed), string(key), string(signer), string(by)), signature)
}

// IsKeySignedBy implements crypto.Store.
func (s *Store) IsKeySignedBy(_ context.Context, signed id.UserID, key id.Ed25519, signer id.UserID, by id.Ed25519) (bool, error) {
	signature, err := load[string](s, path(kindSigned, string(signed), string(key), string(signer), string(by)))
	return signature != nil, err
}

// GetSignaturesForKeyBy implements crypto.Store.
func (s *Store) GetSignaturesForKeyBy(_ context.Context, signed id.UserID, key id.Ed25519, signer id.UserID) (map[id.Ed25519]string, error) {
	all := map[id.Ed25519]string{}
	rows, err := s.scan(path(kindSigned, string(signed), string(key), string(signer), ""))
	if err != nil {
		return nil, err
	}
	for k := range rows {
		signature, err := load[string](s, k)
		if err != nil {
			return nil, err
		}
		if signature != nil {
			all[id.Ed25519(last(k))] = *signature
		}
	}
	return all, nil
}

// DropSignaturesByKey implements crypto.Store.
func (s *Store) DropSignaturesByKey(_ context.Context, signer id.UserID, by id.Ed25519) (n int64, err error) {
	rows, err := s.scan(path(kindSigned, ""))
	if err != nil {
		return 0, err
	}
	end := strings.TrimPrefix(path("", string(signer), string(by)), Prefix)
	for k := range rows {
		if strings.HasSuffix(k, end) {
			s.put(k, nil)
			n++
		}
	}
	return n, nil
}

// PutSecret implements crypto.Store.
func (s *Store) PutSecret(_ context.Context, name id.Secret, value string) error {
	a, err := chacha20poly1305.NewX(s.key)
	if err != nil {
		return err
	}
	nonce := make([]byte, a.NonceSize())
	rand.Read(nonce) // never fails
	s.put(path(kindSecret, string(name)), a.Seal(nonce, nonce, []byte(value), []byte(name)))
	return nil
}

// GetSecret implements crypto.Store.
func (s *Store) GetSecret(_ context.Context, name id.Secret) (string, error) {
	b, err := s.get(path(kindSecret, string(name)))
	if b == nil || err != nil {
		return "", err
	}
	a, err := chacha20poly1305.NewX(s.key)
	if err != nil {
		return "", err
	}
	n := min(a.NonceSize(), len(b))
	plain, err := a.Open(nil, slices.Clone(b[:n]), b[n:], []byte(name))
	if err != nil || n < a.NonceSize() {
		return "", fmt.Errorf("the secret %s can't be opened", name)
	}
	return string(plain), nil
}

// DeleteSecret implements crypto.Store.
func (s *Store) DeleteSecret(_ context.Context, name id.Secret) error {
	s.put(path(kindSecret, string(name)), nil)
	return nil
}
