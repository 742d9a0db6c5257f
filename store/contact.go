package store

import (
	"encoding/binary"
	"fmt"
	"iter"
	"time"
)

// The lists a contact may be on, as MSNP10 and later number them (MSNP.md D).
const (
	Forward uint8 = 1 << iota
	Allow
	Block
	Reverse
	Pending
)

// Contact is an entry of an account's lists. Net and ID are its key.
type Contact struct {
	Net, ID string // Net "": an account of this box, ID its lower-case handle
	Handle  string // what clients know him by; given once, never changed
	Name    string
	Lists   uint8 // Forward | Allow | …
	Room    bool
	Groups  []uint32 // Group.ID
	GUID    string   // of MSNP10 and later
	Note    string   // what he wrote with his request
	Talked  int64    // last, or near it: Unix time in seconds, 0 for never
}

// Group is a contact group of an account.
type Group struct {
	ID   uint32
	GUID string
	Name string
}

// Contacts yields an account's contacts, those of one network together.
func (tx *Tx) Contacts(account string) iter.Seq[Contact] {
	return records(tx, contactsBucket, under(canon(account)), decodeContact)
}

// Contact finds one contact.
func (tx *Tx) Contact(account, net, id string) (Contact, bool) {
	return record(tx, contactsBucket, under(canon(account)), contactKey(net, id), decodeContact)
}

// PutContact adds or replaces the contact with c's Net and ID.
func (tx *Tx) PutContact(account string, c Contact) error {
	if c.ID == "" {
		return fmt.Errorf("a contact needs an ID")
	}
	return tx.put(contactsBucket, append(under(canon(account)), contactKey(c.Net, c.ID)...), c.encode())
}

// DeleteContact removes a contact; removing a missing one is no error.
func (tx *Tx) DeleteContact(account, net, id string) error {
	return tx.delete(contactsBucket, append(under(canon(account)), contactKey(net, id)...))
}

// Groups yields an account's groups, ordered by ID.
func (tx *Tx) Groups(account string) iter.Seq[Group] {
	return records(tx, groupsBucket, under(canon(account)), decodeGroup)
}

// PutGroup adds or replaces the group with g's ID.
func (tx *Tx) PutGroup(account string, g Group) error {
	return tx.put(groupsBucket, groupKey(account, g.ID), g.encode())
}

// DeleteGroup removes a group. Contacts keep its number until they are put
// without it.
func (tx *Tx) DeleteGroup(account string, id uint32) error {
	return tx.delete(groupsBucket, groupKey(account, id))
}

func contactKey(net, id string) []byte { return append(under(net), id...) }

func groupKey(account string, id uint32) []byte {
	return binary.BigEndian.AppendUint32(under(canon(account)), id)
}

func (c Contact) encode() []byte {
	var e encoder
	e.str(1, c.Handle)
	e.str(2, c.Name)
	e.uint(3, uint64(c.Lists))
	for _, g := range c.Groups {
		e.field(4, binary.AppendUvarint(nil, uint64(g)))
	}
	e.str(5, c.GUID)
	e.bool(6, c.Room)
	e.str(7, c.Note)
	if c.Talked != 0 {
		e.time(9, time.Unix(c.Talked, 0))
	}
	return e
}

func decodeContact(key, b []byte) (Contact, error) {
	net, id, err := parts(key, 1)
	if err != nil {
		return Contact{}, err
	}
	c := Contact{Net: net[0], ID: string(id)}
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			c.Handle = d.str()
		case 2:
			c.Name = d.str()
		case 3:
			c.Lists = uint8(d.uint())
		case 4:
			c.Groups = append(c.Groups, uint32(d.uint()))
		case 5:
			c.GUID = d.str()
		case 6:
			c.Room = d.bool()
		case 7:
			c.Note = d.str()
		case 9:
			c.Talked = d.time().Unix()
		}
	}
	return c, d.err
}

func (g Group) encode() []byte {
	var e encoder
	e.str(1, g.GUID)
	e.str(2, g.Name)
	return e
}

func decodeGroup(key, b []byte) (Group, error) {
	if len(key) != 4 {
		return Group{}, fmt.Errorf("%x is no group number", key)
	}
	g := Group{ID: binary.BigEndian.Uint32(key)}
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			g.GUID = d.str()
		case 2:
			g.Name = d.str()
		}
	}
	return g, d.err
}
