package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// furnish fills a database so that its tree has branch, leaf and overflow
// pages.
func furnish(tx *Tx) error {
	var errs []error
	for i := range 40 {
		a, l := fullAccount, fullLink
		a.Handle = fmt.Sprintf("user%d@x", i)
		l.Account = a.Handle
		errs = append(errs, tx.PutAccount(a), tx.PutLink(l))
		for j := range 20 {
			c := fullContact
			c.ID = fmt.Sprint("c", j)
			e := fullEntry
			e.Seq = uint64(j + 1)
			err := tx.AddMessage(a.Handle, e)
			errs = append(errs, err, tx.PutContact(a.Handle, c), tx.See(a.Handle, "xmpp", c.ID))
		}
	}
	errs = append(errs, tx.KV("", "n").Put([]byte("big"), make([]byte, 20000)), tx.PutSetting("k", "v"))
	return errors.Join(errs...)
}

// furnished is the bytes of a filled, closed database.
func furnished(t testing.TB) []byte {
	t.Helper()
	db := openTest(t, "")
	update(t, db, furnish)
	path := db.path
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newestMeta is where the meta page in use begins.
func newestMeta(b []byte) int {
	at := func(page int) uint64 { return binary.LittleEndian.Uint64(b[page*pageSize+pageHeader+48:]) }
	if at(1) > at(0) {
		return pageSize + pageHeader
	}
	return pageHeader
}

// forge changes a field of the newest meta page and makes its checksum right.
func forge(b []byte, offset int, v uint64) {
	m := b[newestMeta(b):]
	binary.LittleEndian.PutUint64(m[offset:], v)
	sum := fnv.New64a()
	sum.Write(m[:56])
	binary.LittleEndian.PutUint64(m[56:], sum.Sum64())
}

// otherFile is a database made by other means.
func otherFile(t *testing.T, o bbolt.Options, fill func(*bbolt.Tx) error) []byte {
	path := filepath.Join(t.TempDir(), "x")
	b, err := bbolt.Open(path, 0o600, &o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Update(fill), b.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestUnusableFilesAreLeftAlone(t *testing.T) {
	good := furnished(t)
	changed := func(fn func(b []byte)) []byte {
		b := slices.Clone(good)
		fn(b)
		return b
	}
	noop := func(*bbolt.Tx) error { return nil }
	newer := otherFile(t, *boltOptions(), func(tx *bbolt.Tx) error {
		box, err := tx.CreateBucket(boxBucket)
		return errors.Join(err, box.Put(schemaKey, binary.AppendUvarint(nil, 99)))
	})
	root := binary.LittleEndian.Uint64(good[newestMeta(good)+16:])
	for name, tc := range map[string]struct {
		file []byte
		want string
	}{
		"empty":             {nil, "the file is empty"},
		"one byte":          {[]byte("x"), "not a database of this program"},
		"text":              {bytes.Repeat([]byte("hello "), 5000), "not a database of this program"},
		"zeros":             {make([]byte, 65536), "not a database of this program"},
		"sqlite":            {append([]byte("SQLite format 3\x00"), make([]byte, 65536)...), "not a database of this program"},
		"other bbolt":       {otherFile(t, bbolt.Options{}, noop), "not a database of this program"},
		"other bbolt, ours": {otherFile(t, *boltOptions(), noop), "not a database of this program"},
		"16 KB pages":       {otherFile(t, bbolt.Options{PageSize: 16384, NoFreelistSync: true}, noop), "not a database of this program"},
		"newer":             {newer, "newer nudge wrote it (schema 99"},
		"half":              {good[:len(good)/2], "cut short"},
		"metas only":        {good[:2*pageSize], "cut short"},
		"metas damaged":     {changed(func(b []byte) { b[pageHeader+20]++; b[pageSize+pageHeader+20]++ }), "first pages are damaged"},
		"root out of file":  {changed(func(b []byte) { forge(b, 16, 1<<40) }), "out of bounds"},
		"root is a meta":    {changed(func(b []byte) { forge(b, 16, 1) }), "out of bounds"},
		"too many pages":    {changed(func(b []byte) { forge(b, 40, 1<<60) }), "cut short"},
		"root zeroed":       {changed(func(b []byte) { clear(b[root*pageSize:][:pageSize]) }), "damaged"},
		"bucket renamed":    {changed(func(b []byte) { copy(b[bytes.LastIndex(b, []byte("journal")):], "journax") }), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, File)
			if err := os.WriteFile(path, tc.file, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(dir, Options{Key: testKey})
			for _, err := range []error{err, Check(path)} {
				var u *Unusable
				if !errors.As(err, &u) {
					t.Fatalf("got %v", err)
				}
				if s := u.Error(); !strings.Contains(u.Reason, tc.want) || u.Path != path || u.Cure == "" || strings.Contains(s, "\n") {
					t.Errorf("got %q, want %q", s, tc.want)
				}
			}
			if db != nil {
				t.Error("a database came with the error")
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, tc.file) {
				t.Error("the file was touched", err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Error("files appeared:", left, err)
			}
		})
	}
}

func TestOpenRefusesOtherKeyAndSecondProcess(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	var u *Unusable
	if _, err := Open(dir, Options{Key: testKey}); !errors.As(err, &u) || !strings.Contains(u.Reason, "another process") {
		t.Errorf("opened twice: %v", err)
	}
	if err := Check(filepath.Join(dir, File)); !errors.As(err, &u) || !strings.Contains(u.Reason, "another process") {
		t.Errorf("checked while open: %v", err)
	}
	db.Close()
	if _, err := Open(dir, Options{Key: [32]byte{9}}); !errors.As(err, &u) || !strings.Contains(u.Reason, "another sealing key") {
		t.Errorf("opened with another key: %v", err)
	}
	if err := Check(filepath.Join(dir, File)); err != nil {
		t.Error(err)
	}
	if err := Check(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(dir, File))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error("mode", info.Mode(), err)
	}
}

// A commit that did not reach the disk whole leaves one meta page damaged; the
// one before counts.
func TestOneDamagedMetaIsSurvived(t *testing.T) {
	good := furnished(t)
	b := slices.Clone(good)
	b[newestMeta(b)+30] ^= 0xff
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, File), b, 0o600); err != nil {
		t.Fatal(err)
	}
	db := openTest(t, dir)
	update(t, db, furnish)
	view(t, db, func(tx *Tx) {
		if _, ok := tx.Account("user39@x"); !ok {
			t.Error("not furnished")
		}
	})
}

func TestCheckFindsDamagedRecords(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	var logged bytes.Buffer
	db.log = slog.New(slog.NewTextHandler(&logged, nil))
	update(t, db, func(tx *Tx) error {
		return errors.Join(furnish(tx), tx.put(accountsBucket, []byte("user5@x"), []byte{1, 200}))
	})
	view(t, db, func(tx *Tx) {
		if _, ok := tx.Account("user5@x"); ok || !strings.Contains(logged.String(), "accounts") {
			t.Error("a damaged record was read", logged.String())
		}
		n := 0
		for range tx.Accounts() {
			n++
		}
		if n != 39 {
			t.Errorf("%d accounts", n)
		}
	})
	db.Close()
	var u *Unusable
	if err := Check(db.path); !errors.As(err, &u) || !strings.Contains(u.Reason, "1 records in accounts") {
		t.Error(err)
	}
	openTest(t, dir) // one bad record does not keep the box down
}

// use does with an opened database what a day would: whatever the file's
// pages say, the process must survive.
func use(db *DB) {
	everything := func(tx *Tx) error {
		for a := range tx.Accounts() {
			for range tx.Contacts(a.Handle) {
			}
			for range tx.Messages(a.Handle) {
			}
			tx.Seen(a.Handle, "xmpp", "x")
		}
		for l := range tx.Links() {
			tx.Link(l.Account, l.Net)
		}
		return tx.readAll()
	}
	db.View(everything)
	db.Do(Now, furnish, nil)
	db.Do(Lazy, func(tx *Tx) error { return tx.DeleteAccount("user7@x") }, nil)
	db.Close()
}

// damage overwrites b as patch says (3 bytes where, 1 byte what) and uses it.
func damage(t *testing.T, dir string, b, patch []byte) {
	b = slices.Clone(b)
	for ; len(patch) >= 4; patch = patch[4:] {
		b[int(binary.LittleEndian.Uint32(patch)&0xffffff)%len(b)] = patch[3]
	}
	path := filepath.Join(dir, File)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := Open(dir, Options{Key: testKey})
	if err == nil {
		use(db)
		return
	}
	var u *Unusable
	if !errors.As(err, &u) {
		t.Fatalf("Open: %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, b) {
		t.Error("the file was touched", err)
	}
}

func TestRandomDamage(t *testing.T) {
	good, dir := furnished(t), t.TempDir()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	t.Log("seed", seed)
	rounds := 200
	if testing.Short() {
		rounds = 30
	}
	for range rounds {
		var patch []byte
		page := uint32(r.IntN(len(good) / pageSize))
		for range 1 + r.IntN(4) { // mostly in headers, where it hurts
			at := page*pageSize + uint32(r.IntN(pageHeader+4*elementSize))
			patch = append(binary.LittleEndian.AppendUint32(patch, at)[:len(patch)+3], byte(r.Uint32()))
		}
		damage(t, dir, good, patch)
	}
}

func FuzzDamage(f *testing.F) {
	good := furnished(f)
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x20, 0, 0xff})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, patch []byte) { damage(t, dir, good, patch) })
}

func TestMigration(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	update(t, db, furnish)
	db.Close()
	before, err := os.ReadFile(db.path)
	if err != nil {
		t.Fatal(err)
	}
	note := func(s string) migration {
		return func(tx *bbolt.Tx) error {
			b := tx.Bucket(settingsBucket)
			return b.Put(under("steps"), append(slices.Clone(b.Get(under("steps"))), s...))
		}
	}
	failing := []migration{note("1"), func(*bbolt.Tx) error { return errors.New("no") }}
	if _, err := open(dir, Options{Key: testKey}, failing); err == nil {
		t.Fatal("a failing migration opened the database")
	}
	if now, err := os.ReadFile(db.path); err != nil || !bytes.Equal(now, before) {
		t.Error("a failed migration changed the file", err)
	}
	for _, steps := range [][]migration{{note("1"), note("2")}, {note("1"), note("2")}, {note("1"), note("2"), note("3")}} {
		db, err := open(dir, Options{Key: testKey}, steps)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := get(t, db, "steps"), "123"[:len(steps)]; got != want {
			t.Errorf("steps run: %s, want %s", got, want)
		}
		db.Close()
	}
	var u *Unusable
	if _, err := Open(dir, Options{Key: testKey}); !errors.As(err, &u) || !strings.Contains(u.Reason, "newer") {
		t.Error(err)
	}
	// The copy of the first schema opens as it was.
	old := t.TempDir()
	if err := os.Rename(db.path+".schema-1", filepath.Join(old, File)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(db.path + ".schema-3"); err != nil {
		t.Error(err)
	}
	view(t, openTest(t, old), func(tx *Tx) {
		if _, ok := tx.Account("user0@x"); !ok || tx.Setting("steps") != "" {
			t.Error("the copy is not as before")
		}
	})
}

func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	update(t, db, furnish)
	for i := range 4 {
		update(t, db, big(fmt.Sprint(i)))
	}
	update(t, db, func(tx *Tx) (err error) {
		for k := range tx.KV("", "n").Scan(nil) {
			err = errors.Join(err, tx.KV("", "n").Delete(k))
		}
		return errors.Join(err, tx.AddMessage("a", Entry{Seq: 1}), tx.DropMessage("a", 1))
	})
	db.Close()
	stray := filepath.Join(dir, "."+File+".1.tmp")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := fileSize(db.path)
	db = openTest(t, dir)
	if after := fileSize(db.path); before < 4<<20 || after > before/4 {
		t.Errorf("from %d to %d bytes", before, after)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Error("left over:", left)
	}
	update(t, db, func(tx *Tx) error {
		if n := tx.MessageCount("user3@x"); n != 20 {
			t.Error("compaction lost something:", n, "messages left")
		}
		return tx.AddMessage("a", Entry{Seq: 2})
	})
	db.Close()
	if err := Check(db.path); err != nil {
		t.Error(err)
	}
}
