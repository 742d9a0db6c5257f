package store

import (
	"fmt"
	"iter"
	"time"
)

// Account is a person who signs in to this box.
type Account struct {
	Handle      string // as its owner spells it; compared without case
	Name        string // display name
	Password    Password
	MD5         bool   // may sign in with MD5 (MSNP2–7)
	MD5Secret   []byte // the clear password, sealed, while MD5 is on
	Note        string // personal message
	Prompt      bool   // ask before somebody may add it (GTC A)
	BlockOthers bool   // only the allow list sees it (BLP BL)
	Version     uint64 // list version; see Tx.Epoch
	Child       bool   // requests of strangers go to Parent
	Parent      string
	Created     time.Time
	Settings    map[string]string
	Properties  map[string]string // telephone numbers and the like, by MSNP's key
}

// Accounts yields every account, ordered by handle.
func (tx *Tx) Accounts() iter.Seq[Account] {
	return records(tx, accountsBucket, nil, decodeAccount)
}

// Account finds an account by its handle.
func (tx *Tx) Account(handle string) (Account, bool) {
	return record(tx, accountsBucket, nil, []byte(canon(handle)), decodeAccount)
}

// PutAccount adds or replaces the account with a's handle.
func (tx *Tx) PutAccount(a Account) error {
	if a.Handle == "" {
		return fmt.Errorf("an account needs a handle")
	}
	return tx.put(accountsBucket, []byte(canon(a.Handle)), a.encode())
}

// DeleteAccount removes an account with everything it owns: lists, links,
// messages in and out, positions and the links' private data.
func (tx *Tx) DeleteAccount(handle string) error {
	acct := canon(handle)
	if acct == "" {
		return fmt.Errorf("an account needs a handle")
	}
	if err := tx.delete(accountsBucket, []byte(acct)); err != nil {
		return err
	}
	for _, b := range [][]byte{contactsBucket, groupsBucket, linksBucket, journalBucket,
		outboxBucket, marksBucket, seenBucket, kvBucket} {
		if err := tx.deleteAll(b, under(acct)); err != nil {
			return err
		}
	}
	return nil
}

func (a Account) encode() []byte {
	var e encoder
	e.str(1, a.Handle)
	e.str(2, a.Name)
	e.bytes(3, a.Password.encode())
	e.bool(4, a.MD5)
	e.bytes(5, a.MD5Secret)
	e.str(6, a.Note)
	e.bool(7, a.Prompt)
	e.bool(8, a.BlockOthers)
	e.uint(9, a.Version)
	e.bool(10, a.Child)
	e.str(11, a.Parent)
	e.time(12, a.Created)
	pairs(&e, 13, a.Settings)
	pairs(&e, 14, a.Properties)
	return e
}

func decodeAccount(_, b []byte) (Account, error) {
	var a Account
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			a.Handle = d.str()
		case 2:
			a.Name = d.str()
		case 3:
			a.Password = decodePassword(&d)
		case 4:
			a.MD5 = d.bool()
		case 5:
			a.MD5Secret = d.bytes()
		case 6:
			a.Note = d.str()
		case 7:
			a.Prompt = d.bool()
		case 8:
			a.BlockOthers = d.bool()
		case 9:
			a.Version = d.uint()
		case 10:
			a.Child = d.bool()
		case 11:
			a.Parent = d.str()
		case 12:
			a.Created = d.time()
		case 13:
			pair(&d, &a.Settings)
		case 14:
			pair(&d, &a.Properties)
		}
	}
	return a, d.err
}
