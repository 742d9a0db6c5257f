package store

import (
	"iter"
	"time"
)

// Entry is a message or edit that waits: in the journal for its account to
// sign in, or in the outbox for its network to take it.
type Entry struct {
	Seq           uint64 // given by the caller, rising; an entry with the same Seq is replaced
	Net, Conv, ID string
	At            time.Time
	Mark          []byte // outbox: the link's position when it was first handed over
	Data          []byte // the event, in the hub's encoding
}

// AddMessage puts e into the account's journal, in the place of its Seq.
func (tx *Tx) AddMessage(account string, e Entry) error {
	return tx.put(journalBucket, append(under(canon(account)), seqKey(e.Seq)...), e.encode())
}

// Messages yields the account's journal, oldest first.
func (tx *Tx) Messages(account string) iter.Seq[Entry] {
	return records(tx, journalBucket, under(canon(account)), decodeEntry)
}

// MessageCount is the length of the account's journal.
func (tx *Tx) MessageCount(account string) int {
	n := 0
	for range tx.scan(journalBucket, under(canon(account))) {
		n++
	}
	return n
}

// LastSeq is the Seq of the newest entry in the account's journal, 0 when it
// is empty.
func (tx *Tx) LastSeq(account string) uint64 {
	_, last, _ := tx.ends(journalBucket, under(canon(account)))
	return last
}

// DropMessage removes one entry of the account's journal; a missing one is no
// error.
func (tx *Tx) DropMessage(account string, seq uint64) error {
	return tx.delete(journalBucket, append(under(canon(account)), seqKey(seq)...))
}

// AddOut puts e into the link's outbox, in the place of its Seq.
func (tx *Tx) AddOut(account, net string, e Entry) error {
	return tx.put(outboxBucket, append(under(canon(account), net), seqKey(e.Seq)...), e.encode())
}

// Outs yields the link's outbox, oldest first.
func (tx *Tx) Outs(account, net string) iter.Seq[Entry] {
	return records(tx, outboxBucket, under(canon(account), net), decodeEntry)
}

// DropOut removes the entry with that ID from the link's outbox; a missing one
// is no error. Entries mostly leave in the order they came, so that looking
// from the oldest on finds them at once.
func (tx *Tx) DropOut(account, net, id string) error {
	for k, v := range tx.scan(outboxBucket, under(canon(account), net)) {
		if entryID(v) == id {
			return tx.delete(outboxBucket, k)
		}
	}
	return nil
}

func (e Entry) encode() []byte {
	var enc encoder
	enc.str(1, e.ID)
	enc.str(2, e.Net)
	enc.str(3, e.Conv)
	enc.time(4, e.At)
	enc.bytes(5, e.Mark)
	enc.bytes(6, e.Data)
	return enc
}

// entryID reads only the ID, which encode puts first.
func entryID(b []byte) string {
	d := decoder{rest: b}
	if d.next() && d.tag == 1 {
		return d.str()
	}
	return ""
}

func decodeEntry(key, b []byte) (Entry, error) {
	seq, err := keySeq(key)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Seq: seq}
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			e.ID = d.str()
		case 2:
			e.Net = d.str()
		case 3:
			e.Conv = d.str()
		case 4:
			e.At = d.time()
		case 5:
			e.Mark = d.bytes()
		case 6:
			e.Data = d.bytes()
		}
	}
	return e, d.err
}
