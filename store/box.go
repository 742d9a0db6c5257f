package store

import (
	"encoding/binary"
	"iter"
	"time"
)

// Keys of boxBucket.
var (
	schemaKey   = []byte("schema")
	epochKey    = []byte("epoch")
	keyCheckKey = []byte("key") // seals nothing; opens only with the right key
	restoredKey = []byte("restored")
)

// restoreJump is added to every list version when a backup is restored: a
// client must never meet a version it knows with other content (MSNP.md K.3).
const restoreJump = 1_000_000

// Epoch is where the list versions of new accounts begin: a random number
// between one million and a thousand million, chosen when the database was
// made, so that a client that cached another database's lists asks again.
func (tx *Tx) Epoch() uint64 {
	v, _ := binary.Uvarint(tx.get(boxBucket, epochKey))
	return v
}

// RestoreJump moves every account's list version past anything the lost
// database can have reached.
func (tx *Tx) RestoreJump() error {
	for a := range tx.Accounts() {
		a.Version += restoreJump
		if err := tx.PutAccount(a); err != nil {
			return err
		}
	}
	return nil
}

// Restored is when this database was last restored from a backup, the zero
// time when it never was. See also Link.Restored.
func (tx *Tx) Restored() time.Time {
	d := decoder{rest: tx.get(boxBucket, restoredKey)}
	if !d.next() {
		return time.Time{}
	}
	return d.time()
}

// Setting is a setting of the whole box, "" when it is not set.
func (tx *Tx) Setting(key string) string {
	return string(tx.get(settingsBucket, under(key)))
}

// PutSetting sets a setting of the whole box; "" removes it.
func (tx *Tx) PutSetting(key, value string) error {
	if value == "" {
		return tx.delete(settingsBucket, under(key))
	}
	return tx.put(settingsBucket, under(key), []byte(value))
}

// Settings yields every setting of the whole box that is set.
func (tx *Tx) Settings() iter.Seq2[string, string] {
	return func(yield func(k, v string) bool) {
		for k, v := range tx.scan(settingsBucket, nil) {
			name, _, err := parts(k, 1)
			if err != nil {
				tx.damaged(settingsBucket, err)
				continue
			}
			if !yield(name[0], string(v)) {
				return
			}
		}
	}
}
