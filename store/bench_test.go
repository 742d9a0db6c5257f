package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// hurried lets commits follow each other without pause: benchmarks measure the
// work, not the waiting.
func (db *DB) hurried(u Urgency, fn func(*Tx) error, done func(error)) {
	db.mu.Lock()
	db.last = db.last.Add(-soonGap)
	db.mu.Unlock()
	db.Do(u, fn, done)
}

func message(i int) func(*Tx) error {
	return func(tx *Tx) error {
		id := fmt.Sprint(i)
		return errors.Join(tx.AddMessage("a", Entry{Seq: uint64(i), ID: id, Data: make([]byte, 300)}), tx.See("a", "n", id), tx.SetMark("a", "n", []byte(id)))
	}
}

// One received message per commit.
func BenchmarkUpdate(b *testing.B) {
	db := openTest(b, "")
	for i := 0; b.Loop(); i++ {
		err := wait(b.Context(), func(done func(error)) { db.hurried(Now, message(i), done) })
		if err != nil {
			b.Fatal(err)
		}
	}
}

// 50 received messages per commit.
func BenchmarkDo(b *testing.B) {
	db := openTest(b, "")
	var wg sync.WaitGroup
	for i := 0; b.Loop(); i++ {
		wg.Add(1)
		u := Lazy
		if i%50 == 49 {
			u = Now
		}
		db.hurried(u, message(i), func(error) { wg.Done() })
		if u == Now {
			wg.Wait()
		}
	}
	db.Close()
}

func BenchmarkSee(b *testing.B) {
	db := openTest(b, "")
	i := 0
	update(b, db, func(tx *Tx) error {
		for b.Loop() {
			if err := tx.See("a", "n", fmt.Sprint(i)); err != nil {
				return err
			}
			i++
		}
		return nil
	})
}

// The common case: an ID that was never seen, in a full memory.
func BenchmarkSeen(b *testing.B) {
	db := openTest(b, "")
	update(b, db, func(tx *Tx) error {
		for i := range 2 * seenKept {
			if err := tx.See("a", "n", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	})
	view(b, db, func(tx *Tx) {
		for b.Loop() {
			if tx.Seen("a", "n", "new") {
				b.Fatal("seen")
			}
		}
	})
}

func BenchmarkContacts(b *testing.B) {
	db := openTest(b, "")
	update(b, db, func(tx *Tx) error {
		for i := range 1000 {
			c := fullContact
			c.ID = fmt.Sprint(i)
			if err := tx.PutContact("a", c); err != nil {
				return err
			}
		}
		return nil
	})
	view(b, db, func(tx *Tx) {
		for b.Loop() {
			for range tx.Contacts("a") {
			}
		}
	})
}

// Opening a database of 10 MB, which is read twice: by verify and by bbolt.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	db := openTest(b, dir)
	update(b, db, func(tx *Tx) error {
		for i := range 25000 {
			if err := message(i)(tx); err != nil {
				return err
			}
		}
		return nil
	})
	path := db.path
	db.Close()
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			openTest(b, dir).Close()
		}
	})
	b.Run("walk", func(b *testing.B) {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		for b.Loop() {
			m, err := metaOf(f)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := walk(f, m); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(m.pages) * pageSize)
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if err := Check(path); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkHashPassword(b *testing.B) {
	p := HashPassword("secret")
	for b.Loop() {
		if !p.Matches("secret") {
			b.Fatal("no match")
		}
	}
}
