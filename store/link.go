package store

import (
	"bytes"
	"fmt"
	"iter"
	"time"
)

// Link is an account's, or the box's, connection to a foreign network.
type Link struct {
	Account  string // lower-case handle, "" shared by all
	Net      string
	Fields   map[string]string // log-in data by Field.Key
	Secrets  map[string][]byte // the secret ones, each sealed with DB.Seal
	Settings map[string]string
	Off      string // why it is not tried any more, "" on
	Restored bool   // it came out of a backup: keys that must never be used twice are to be made anew
	Created  time.Time
}

// Links yields every link of the box.
func (tx *Tx) Links() iter.Seq[Link] {
	return records(tx, linksBucket, nil, decodeLink)
}

// Link finds one link.
func (tx *Tx) Link(account, net string) (Link, bool) {
	return record(tx, linksBucket, nil, under(canon(account), net), decodeLink)
}

// PutLink adds or replaces the link with l's Account and Net.
func (tx *Tx) PutLink(l Link) error {
	if l.Net == "" {
		return fmt.Errorf("a link needs a network")
	}
	return tx.put(linksBucket, under(canon(l.Account), l.Net), l.encode())
}

// DeleteLink removes a link with its outbox, position, seen IDs and private
// data. Contacts and received messages stay.
func (tx *Tx) DeleteLink(account, net string) error {
	owner := under(canon(account), net)
	if err := tx.delete(linksBucket, owner); err != nil {
		return err
	}
	if err := tx.delete(marksBucket, owner); err != nil {
		return err
	}
	for _, b := range [][]byte{outboxBucket, seenBucket, kvBucket} {
		if err := tx.deleteAll(b, owner); err != nil {
			return err
		}
	}
	return nil
}

// Mark is the link's position, nil when there is none.
func (tx *Tx) Mark(account, net string) []byte {
	return bytes.Clone(tx.get(marksBucket, under(canon(account), net)))
}

// SetMark sets the link's position; an empty one removes it.
func (tx *Tx) SetMark(account, net string, mark []byte) error {
	key := under(canon(account), net)
	if len(mark) == 0 {
		return tx.delete(marksBucket, key)
	}
	return tx.put(marksBucket, key, bytes.Clone(mark))
}

func (l Link) encode() []byte {
	var e encoder
	pairs(&e, 1, l.Fields)
	pairs(&e, 2, l.Secrets)
	pairs(&e, 3, l.Settings)
	e.str(4, l.Off)
	e.bool(5, l.Restored)
	e.time(6, l.Created)
	return e
}

func decodeLink(key, b []byte) (Link, error) {
	owner, rest, err := parts(key, 2)
	if err != nil || len(rest) > 0 {
		return Link{}, fmt.Errorf("%x is no link", key)
	}
	l := Link{Account: owner[0], Net: owner[1]}
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			pair(&d, &l.Fields)
		case 2:
			pair(&d, &l.Secrets)
		case 3:
			pair(&d, &l.Settings)
		case 4:
			l.Off = d.str()
		case 5:
			l.Restored = d.bool()
		case 6:
			l.Created = d.time()
		}
	}
	return l, d.err
}
