package store

import (
	"reflect"
	"testing"
)

// Whatever a record says, decoding survives it, and what decodes is stable.
func FuzzRecords(f *testing.F) {
	key := []byte{4, 'x', 'm', 'p', 'p', 'b'}
	f.Add(key, fullAccount.encode())
	f.Add(key, fullContact.encode())
	f.Add([]byte{0, 0, 0, 7}, fullGroup.encode())
	f.Add(under("a", "b"), fullLink.encode())
	f.Add(seqKey(7), fullEntry.encode())
	f.Fuzz(func(t *testing.T, key, b []byte) {
		stable(t, key, b, decodeAccount, Account.encode)
		stable(t, key, b, decodeContact, Contact.encode)
		stable(t, key, b, decodeGroup, Group.encode)
		stable(t, key, b, decodeLink, Link.encode)
		stable(t, key, b, decodeEntry, Entry.encode)
		entryID(b)
	})
}

func stable[R any](t *testing.T, key, b []byte, decode func(key, value []byte) (R, error), encode func(R) []byte) {
	r, err := decode(key, b)
	if err != nil {
		return
	}
	again, err := decode(key, encode(r))
	if err != nil || !reflect.DeepEqual(r, again) {
		t.Errorf("%+v came back as %+v, %v", r, again, err)
	}
}

// A later version's fields are skipped.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	var e encoder
	e.str(99, "new")
	e = append(e, fullContact.encode()...)
	e.uint(1000, 7)
	c, err := decodeContact(contactKey("xmpp", "bob@example.org"), e)
	if err != nil || !reflect.DeepEqual(c, fullContact) {
		t.Errorf("%+v, %v", c, err)
	}
}
