package store

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// open opens a database in dir (a new folder when empty) and closes it when
// the test ends.
func openTest(t testing.TB, dir string) *DB {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	db, err := Open(dir, Options{Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

var testKey = [32]byte{1, 2, 3}

// update runs fn and fails the test on an error.
func update(t testing.TB, db *DB, fn func(*Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// view runs fn on what is committed.
func view(t testing.TB, db *DB, fn func(*Tx)) {
	t.Helper()
	if err := db.View(func(tx *Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// fullAccount and its like have every field set, so that a field that is
// forgotten in encode or decode shows.
var (
	when        = time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)
	fullAccount = Account{Handle: "Alice@Hotmail.com", Name: "Alice ☺", Password: Password{rounds: 1, salt: []byte("s"), whole: []byte("w"), short: []byte("x")},
		MD5: true, MD5Secret: []byte{0, 1}, Note: "n", Prompt: true, BlockOthers: true, Version: 1 << 40, Child: true, Parent: "p@x", Created: when,
		Settings: map[string]string{"a": "b", "": "c", "d": ""}, Properties: map[string]string{"PHH": "1"}}
	fullContact = Contact{Net: "xmpp", ID: "bob@example.org", Handle: "bob@example.org", Name: "Bob", Lists: Forward | Pending, Groups: []uint32{0, 7},
		GUID: "g", Room: true, Note: "hi", Talked: when.Unix()}
	fullGroup = Group{ID: 7, GUID: "g", Name: "Friends"}
	fullLink  = Link{Account: "alice@hotmail.com", Net: "matrix", Fields: map[string]string{"user": "u"}, Secrets: map[string][]byte{"pw": {1, 2}},
		Settings: map[string]string{"k": "v"}, Off: "forbidden", Restored: true, Created: when}
	fullEntry = Entry{Seq: 1, Net: "xmpp", Conv: "c", ID: "id", At: when, Mark: []byte("m"), Data: []byte("d")}
)

func TestRecordsRoundTrip(t *testing.T) {
	for _, r := range []any{fullAccount, fullContact, fullGroup, fullLink, fullEntry, fullAccount.Password} {
		v := reflect.ValueOf(r)
		for i := range v.NumField() {
			if f := v.Type().Field(i); v.Field(i).IsZero() {
				t.Errorf("%s.%s is not set by the test", v.Type(), f.Name)
			}
		}
	}
	dir := t.TempDir()
	db := openTest(t, dir)
	update(t, db, func(tx *Tx) error {
		err := tx.AddMessage("ALICE@hotmail.com", fullEntry)
		err2 := tx.AddOut("alice@HOTMAIL.com", "xmpp", fullEntry)
		return errors.Join(tx.PutAccount(fullAccount), tx.PutContact("ALICE@hotmail.com", fullContact),
			tx.PutGroup("alice@hotmail.COM", fullGroup), tx.PutLink(fullLink), err, err2)
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	view(t, openTest(t, dir), func(tx *Tx) {
		same := func(name string, got, want any) {
			t.Helper()
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
			}
		}
		a, _ := tx.Account("alice@HOTMAIL.com")
		same("Account", a, fullAccount)
		same("Accounts", slices.Collect(tx.Accounts()), []Account{fullAccount})
		c, _ := tx.Contact("Alice@hotmail.com", "xmpp", "bob@example.org")
		same("Contact", c, fullContact)
		same("Contacts", slices.Collect(tx.Contacts("Alice@hotmail.com")), []Contact{fullContact})
		same("Groups", slices.Collect(tx.Groups("Alice@hotmail.com")), []Group{fullGroup})
		l, _ := tx.Link("Alice@hotmail.com", "matrix")
		same("Link", l, fullLink)
		same("Links", slices.Collect(tx.Links()), []Link{fullLink})
		same("Messages", slices.Collect(tx.Messages("Alice@hotmail.com")), []Entry{fullEntry})
		same("Outs", slices.Collect(tx.Outs("Alice@hotmail.com", "xmpp")), []Entry{fullEntry})
	})
}

func TestDeleteAccountTakesAllItOwns(t *testing.T) {
	db := openTest(t, "")
	fill := func(tx *Tx, acct string) error {
		a, c, l := fullAccount, fullContact, fullLink
		a.Handle, l.Account = acct, acct
		err := tx.AddMessage(acct, fullEntry)
		err2 := tx.AddOut(acct, "matrix", fullEntry)
		return errors.Join(err, err2, tx.PutAccount(a), tx.PutContact(acct, c), tx.PutGroup(acct, fullGroup), tx.PutLink(l),
			tx.SetMark(acct, "matrix", []byte("m")), tx.See(acct, "matrix", "id"), tx.KV(acct, "matrix").Put([]byte("k"), []byte("v")))
	}
	count := func(tx *Tx) (n int) {
		for _, b := range buckets {
			n += tx.bolt.Bucket(b).Inspect().KeyN
		}
		return n
	}
	var empty, one int
	view(t, db, func(tx *Tx) { empty = count(tx) })
	update(t, db, func(tx *Tx) error { return fill(tx, "alice@x") })
	view(t, db, func(tx *Tx) { one = count(tx) })
	if one-empty != 9 {
		t.Fatalf("an account with one of everything made %d keys, want 9", one-empty)
	}
	// Names that begin like alice's must not be touched.
	update(t, db, func(tx *Tx) error {
		return errors.Join(fill(tx, "alice@x2"), fill(tx, "alice@"), tx.DeleteLink("alice@x", "matri"))
	})
	update(t, db, func(tx *Tx) error { return tx.DeleteAccount("ALICE@x") })
	view(t, db, func(tx *Tx) {
		if n := count(tx); n != empty+18 {
			t.Errorf("%d keys left, want %d", n, empty+18)
		}
		if _, ok := tx.Account("alice@x"); ok {
			t.Error("the account is still there")
		}
	})
	update(t, db, func(tx *Tx) error { return tx.DeleteLink("alice@x2", "matrix") })
	view(t, db, func(tx *Tx) {
		if n := count(tx); n != empty+18-5 {
			t.Errorf("DeleteLink left %d keys, want %d", n, empty+18-5)
		}
	})
}

func TestJournalOrderAndSeq(t *testing.T) {
	db := openTest(t, "")
	update(t, db, func(tx *Tx) error {
		if n := tx.LastSeq("a"); n != 0 {
			t.Errorf("LastSeq of an empty journal is %d", n)
		}
		for i := range 300 {
			for _, who := range []string{"a", "b"} {
				if err := tx.AddMessage(who, Entry{Seq: uint64(2*i + 1), ID: fmt.Sprint(who, i)}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	var last uint64
	view(t, db, func(tx *Tx) {
		i := 0
		for e := range tx.Messages("A") {
			if e.ID != fmt.Sprint("a", i) || e.Seq <= last {
				t.Fatalf("entry %d is %q, seq %d after %d", i, e.ID, e.Seq, last)
			}
			last = e.Seq
			i++
		}
		if n := tx.MessageCount("a"); n != 300 || i != n {
			t.Errorf("%d messages, counted %d", i, n)
		}
		if n := tx.LastSeq("a"); n != last {
			t.Errorf("LastSeq %d, want %d", n, last)
		}
	})
	// Dropping inside the loop is safe.
	update(t, db, func(tx *Tx) error {
		n := 0
		for e := range tx.Messages("a") {
			if err := tx.DropMessage("a", e.Seq); err != nil {
				return err
			}
			n++
		}
		if n != 300 || tx.MessageCount("a") != 0 || tx.MessageCount("b") != 300 {
			t.Errorf("dropped %d, left %d and %d", n, tx.MessageCount("a"), tx.MessageCount("b"))
		}
		return nil
	})
}

func TestOutbox(t *testing.T) {
	db := openTest(t, "")
	update(t, db, func(tx *Tx) error {
		for i := range 10 {
			if err := tx.AddOut("a", "xmpp", Entry{Seq: uint64(i + 1), ID: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		for e := range tx.Outs("a", "xmpp") {
			if e.ID == "4" {
				e.Mark = []byte("here")
				if err := tx.AddOut("a", "xmpp", e); err != nil {
					return err
				}
			}
		}
		return errors.Join(tx.DropOut("A", "xmpp", "3"), tx.DropOut("a", "xmpp", "none"), tx.DropOut("a", "matrix", "5"))
	})
	view(t, db, func(tx *Tx) {
		var ids []string
		for e := range tx.Outs("a", "xmpp") {
			ids = append(ids, e.ID+string(e.Mark))
		}
		if got := strings.Join(ids, " "); got != "0 1 2 4here 5 6 7 8 9" {
			t.Errorf("outbox is %s", got)
		}
	})
}

func TestSeenKeepsTheNewest(t *testing.T) {
	db := openTest(t, "")
	const n = 3 * seenKept
	update(t, db, func(tx *Tx) error {
		for i := range n {
			if err := tx.See("a", "xmpp", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return tx.See("a", "matrix", "x")
	})
	view(t, db, func(tx *Tx) {
		kept := 0
		for i := range n {
			seen := tx.Seen("A", "xmpp", fmt.Sprint(i))
			if seen {
				kept++
			}
			if i >= n-seenKept && !seen {
				t.Fatalf("%d of %d is forgotten", i, n)
			}
		}
		if kept > seenKept+seenChunk {
			t.Errorf("%d kept", kept)
		}
		if tx.Seen("a", "matrix", "5") || !tx.Seen("a", "matrix", "x") || tx.Seen("", "xmpp", "x") {
			t.Error("links share their IDs")
		}
	})
}

// The methods of im.Tx, which this package may not import.
var _ interface {
	Get(k []byte) []byte
	Put(k, v []byte) error
	Delete(k []byte) error
	Scan(prefix []byte) iter.Seq2[[]byte, []byte]
} = (*KVTx)(nil)

func TestKV(t *testing.T) {
	db := openTest(t, "")
	update(t, db, func(tx *Tx) error {
		kv, other := tx.KV("a", "matrix"), tx.KV("a", "matri")
		v := []byte("one")
		err := errors.Join(kv.Put([]byte("k1"), v), kv.Put([]byte("k2"), nil), kv.Put([]byte("l"), []byte("x")), other.Put([]byte("k3"), []byte("y")))
		copy(v, "two") // Put took a copy
		return err
	})
	update(t, db, func(tx *Tx) error {
		kv := tx.KV("A", "matrix")
		got := map[string]string{}
		for k, v := range kv.Scan([]byte("k")) {
			got[string(k)] = string(v)
			if err := kv.Delete(k); err != nil {
				return err
			}
		}
		if !maps.Equal(got, map[string]string{"k1": "one", "k2": ""}) {
			t.Errorf("scan: %q", got)
		}
		if kv.Get([]byte("k1")) != nil || !bytes.Equal(kv.Get([]byte("l")), []byte("x")) {
			t.Error("deleting in a scan went wrong")
		}
		return nil
	})
}

func TestScanWhileChanging(t *testing.T) {
	db := openTest(t, "")
	update(t, db, func(tx *Tx) error {
		kv := tx.KV("", "n")
		for i := range 5000 {
			if err := kv.Put(fmt.Appendf(nil, "%05d", i), bytes.Repeat([]byte("v"), 50)); err != nil {
				return err
			}
		}
		return nil
	})
	update(t, db, func(tx *Tx) error {
		kv := tx.KV("", "n")
		i := 0
		for k := range kv.Scan(nil) {
			if want := fmt.Sprintf("%05d", i); string(k) != want {
				t.Fatalf("got %s, want %s", k, want)
			}
			var err error
			switch i % 3 {
			case 0:
				err = kv.Delete(k)
			case 1:
				err = errors.Join(kv.Put(k, bytes.Repeat([]byte("w"), 200)), kv.Put([]byte("0"), k))
			}
			if err != nil {
				return err
			}
			i++
		}
		if i != 5000 {
			t.Errorf("%d keys", i)
		}
		return nil
	})
}

func TestSettingsAndMarks(t *testing.T) {
	db := openTest(t, "")
	update(t, db, func(tx *Tx) error {
		return errors.Join(tx.PutSetting("a", "1"), tx.PutSetting("b", "2"), tx.PutSetting("a", ""),
			tx.SetMark("", "matrix", []byte("m")), tx.SetMark("x", "matrix", []byte("m")), tx.SetMark("x", "matrix", nil))
	})
	view(t, db, func(tx *Tx) {
		if got := maps.Collect(tx.Settings()); !maps.Equal(got, map[string]string{"b": "2"}) || tx.Setting("b") != "2" || tx.Setting("a") != "" {
			t.Errorf("settings %q", got)
		}
		if string(tx.Mark("", "matrix")) != "m" || tx.Mark("x", "matrix") != nil {
			t.Error("marks")
		}
		if e := tx.Epoch(); e < 1_000_000 || e >= 100_000_000 {
			t.Errorf("epoch %d", e)
		}
		if !tx.Restored().IsZero() {
			t.Error("a new database is restored")
		}
	})
}

func TestPassword(t *testing.T) {
	long := HashPassword("sixteen chars öü and more")
	for pw, want := range map[string]bool{"sixteen chars öü and more": true, "sixteen chars öü": true, "sixteen chars ö": false, "sixteen chars öü ": false, "": false} {
		if long.Matches(pw) != want {
			t.Errorf("%q: want %t", pw, want)
		}
	}
	short := HashPassword("short")
	if !short.Matches("short") || short.Matches("shor") || short.Matches("") {
		t.Error("short password")
	}
	if (Password{}).Matches("") || !(Password{}).IsZero() || short.IsZero() {
		t.Error("the zero Password")
	}
}
