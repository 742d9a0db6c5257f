package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCopies(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if !db.CopiedAt().IsZero() {
		t.Error("there is a copy already")
	}
	write := func(v string) {
		t.Helper()
		if err := db.Update(t.Context(), func(tx *Tx) error { return tx.PutSetting("a", v) }); err != nil {
			t.Fatal(err)
		}
	}
	copied := func(want bool) {
		t.Helper()
		if made, err := db.Copy(); err != nil || made != want {
			t.Fatalf("made %v, %v", made, err)
		}
	}
	for _, v := range []string{"one", "two", "three", "four"} {
		write(v)
		copied(true)
		copied(false)
	}
	if db.CopiedAt().IsZero() {
		t.Error("there is no copy")
	}
	names, err := os.ReadDir(filepath.Join(dir, Copies))
	if err != nil || len(names) != 3 {
		t.Fatalf("%v, %v", names, err)
	}
	for n, v := range map[int]string{1: "four", 2: "three", 3: "two"} {
		if err := Check(db.copyName(n)); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(db.copyName(n))
		if err != nil || !bytes.Contains(text, []byte(v)) {
			t.Errorf("copy %d lacks %q: %v", n, v, err)
		}
	}

	// A copy takes the place of the database.
	write("lost")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(db.copyName(2), db.path); err != nil {
		t.Fatal(err)
	}
	db, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	db.View(func(tx *Tx) error {
		if got := tx.Setting("a"); got != "three" {
			t.Errorf("the copy has %q", got)
		}
		return nil
	})
}

// TestDamageStaysOutOfTheCopies damages a page of the database in use.
func TestDamageStaysOutOfTheCopies(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	long := strings.Repeat("x", 3*pageSize)
	if err := db.Update(t.Context(), func(tx *Tx) error { return tx.PutSetting("a", long) }); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Copy(); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), func(tx *Tx) error { return tx.PutSetting("b", long) }); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(db.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := metaOf(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 64), int64(m.root)*pageSize); err != nil {
		t.Fatal(err)
	}
	if made, err := db.Copy(); err == nil || made {
		t.Fatalf("made %v of a damaged database, %v", made, err)
	}
	if err := Check(db.copyName(1)); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, Copies, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
