package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	berrors "go.etcd.io/bbolt/errors"
)

// commits is how many transactions were committed since the file was made.
func commits(t testing.TB, db *DB) (n int) {
	t.Helper()
	view(t, db, func(tx *Tx) { n = tx.bolt.ID() })
	return n
}

func set(key, value string) func(*Tx) error {
	return func(tx *Tx) error { return tx.PutSetting(key, value) }
}

func get(t testing.TB, db *DB, key string) (v string) {
	t.Helper()
	view(t, db, func(tx *Tx) { v = tx.Setting(key) })
	return v
}

// timed queues a change and returns where the time it took will be.
func timed(t *testing.T, db *DB, u Urgency, key string) *time.Duration {
	began, took := time.Now(), time.Duration(-1)
	db.Do(u, set(key, key), func(err error) {
		if err != nil {
			t.Error(key, err)
		}
		took = time.Since(began)
	})
	return &took
}

func TestUrgency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, "")
		before := commits(t, db)
		lazy := timed(t, db, Lazy, "lazy")
		time.Sleep(time.Hour)
		synctest.Wait()
		if *lazy >= 0 || commits(t, db) != before || get(t, db, "lazy") != "" {
			t.Fatal("Lazy was committed by itself")
		}
		soon := timed(t, db, Soon, "soon")
		synctest.Wait()
		if *soon != 0 || *lazy != time.Hour || commits(t, db) != before+1 {
			t.Fatalf("Soon after an hour: %v, Lazy with it: %v", *soon, *lazy)
		}
		time.Sleep(300 * time.Millisecond)
		a := timed(t, db, Soon, "a")
		time.Sleep(300 * time.Millisecond)
		b := timed(t, db, Soon, "b")
		time.Sleep(time.Second)
		synctest.Wait()
		if *a != 700*time.Millisecond || *b != 400*time.Millisecond || commits(t, db) != before+2 {
			t.Fatalf("Soon in the same second: %v, %v, %d commits", *a, *b, commits(t, db)-before)
		}
		// Now in the middle of a second takes the waiting Soon along.
		c := timed(t, db, Soon, "c")
		time.Sleep(10 * time.Millisecond)
		d := timed(t, db, Now, "d")
		e := timed(t, db, Now, "e")
		time.Sleep(time.Second)
		synctest.Wait()
		if *c > 400*time.Millisecond || *d != 0 || *e > nowGap || *e%nowGap != 0 {
			t.Fatalf("Soon %v, Now %v, Now %v", *c, *d, *e)
		}
		if n := db.Pending(); n != 0 {
			t.Errorf("%d pending", n)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNowIsSpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, "")
		before, began := commits(t, db), time.Now()
		for i := range 50 {
			update(t, db, set("k", fmt.Sprint(i)))
		}
		if took := time.Since(began); took != 49*nowGap || commits(t, db) != before+50 {
			t.Errorf("50 Updates in a row took %v and %d commits", took, commits(t, db)-before)
		}
		db.Close()
	})
}

func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, "")
		update(t, db, set("k", "0"))
		before, began := commits(t, db), time.Now()
		if err := db.Sync(t.Context()); err != nil || time.Since(began) != 0 {
			t.Error("Sync of nothing waited", err)
		}
		db.Do(Lazy, set("k", "1"), nil)
		if err := db.Sync(t.Context()); err != nil || get(t, db, "k") != "1" || commits(t, db) != before+1 {
			t.Error("Sync did not commit", err)
		}
		db.Close()
	})
}

func TestOrderAndGrouping(t *testing.T) {
	db := openTest(t, "")
	before := commits(t, db)
	var want []string
	for i := range 200 {
		id := fmt.Sprint(i)
		want = append(want, id)
		db.Do(Urgency(i%3), func(tx *Tx) error {
			return tx.AddMessage("a", Entry{Seq: uint64(i + 1), ID: id})
		}, nil)
	}
	if err := db.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	view(t, db, func(tx *Tx) {
		var got []string
		for e := range tx.Messages("a") {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("order: %v", got)
		}
	})
	if n := commits(t, db) - before; n > 10 {
		t.Errorf("200 changes took %d commits", n)
	}
}

func TestNothingChangedNothingWritten(t *testing.T) {
	db := openTest(t, "")
	update(t, db, set("k", "v"))
	before := commits(t, db)
	update(t, db, func(tx *Tx) error {
		return errors.Join(tx.PutSetting("k", "v"), tx.PutSetting("none", ""), tx.DropOut("a", "b", "c"), tx.DeleteAccount("x"),
			tx.SetMark("a", "b", nil), tx.DeleteContact("a", "b", "c"))
	})
	if n := commits(t, db) - before; n != 0 {
		t.Errorf("%d commits for nothing", n)
	}
}

func TestFailureIsIsolated(t *testing.T) {
	db := openTest(t, "")
	boom := errors.New("boom")
	runs, errs := map[string]int{}, map[string]error{}
	var wg sync.WaitGroup
	do := func(key string, fn func(*Tx) error) {
		wg.Add(1)
		db.Do(Lazy, func(tx *Tx) error { runs[key]++; return fn(tx) }, func(err error) { errs[key] = err; wg.Done() })
	}
	do("a", set("a", "1"))
	do("fails early", func(*Tx) error { return boom })
	do("fails", func(tx *Tx) error { return errors.Join(tx.PutSetting("a", "2"), tx.PutSetting("b", "2"), boom) })
	do("c", func(tx *Tx) error { return tx.PutSetting("c", tx.Setting("a")+tx.Setting("b")) })
	do("panics", func(tx *Tx) error { tx.PutSetting("c", "3"); panic("ouch") })
	do("d", set("d", "4"))
	if err := db.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if got := get(t, db, "a") + get(t, db, "b") + get(t, db, "c") + get(t, db, "d"); got != "114" {
		t.Errorf("kept %q", got)
	}
	for key, err := range errs {
		switch key {
		case "fails", "fails early":
			if !errors.Is(err, boom) {
				t.Error(key, err)
			}
		case "panics":
			if err == nil || !strings.Contains(err.Error(), "ouch") {
				t.Error(key, err)
			}
		default:
			if err != nil {
				t.Error(key, err)
			}
		}
	}
	if runs["fails early"] != 1 || runs["fails"] != 1 || runs["a"] != 3 || runs["d"] != 1 {
		t.Errorf("runs: %v", runs)
	}
	if err := db.View(func(*Tx) error { panic("in a view") }); err == nil {
		t.Error("a panic in View is no error")
	}
	if err := db.View(func(tx *Tx) error { return tx.PutSetting("a", "9") }); !errors.Is(err, berrors.ErrTxNotWritable) {
		t.Error("writing in View:", err)
	}
}

// full makes the file unable to grow, as a full disk does; it must run in the
// committer's goroutine.
func full(db *DB, on bool) func(*Tx) error {
	return func(tx *Tx) error {
		db.bolt.MaxSize = 0
		if on {
			db.bolt.MaxSize = 1
		}
		return nil
	}
}

func big(key string) func(*Tx) error {
	return func(tx *Tx) error {
		return tx.KV("", "n").Put([]byte(key), bytes.Repeat([]byte("x"), 1<<20))
	}
}

func TestFullDisk(t *testing.T) {
	db := openTest(t, "")
	update(t, db, set("k", "before"))
	update(t, db, full(db, true))
	var other error
	db.Do(Lazy, set("k", "with it"), func(err error) { other = err })
	if err := db.Update(t.Context(), big("b")); !errors.Is(err, berrors.ErrMaxSizeReached) {
		t.Fatalf("a commit that can't grow the file: %v", err)
	}
	if !errors.Is(other, berrors.ErrMaxSizeReached) || get(t, db, "k") != "before" {
		t.Errorf("the change beside it: %v, kept %q", other, get(t, db, "k"))
	}
	update(t, db, set("k", "small")) // fits into free pages
	update(t, db, full(db, false))
	update(t, db, big("b"))
	if get(t, db, "k") != "small" {
		t.Error("what was committed on the full disk is gone")
	}
	path := db.path
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil {
		t.Error(err)
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		db := openTest(t, dir)
		var log []string
		db.Do(Lazy, set("a", "1"), func(err error) {
			log = append(log, fmt.Sprint("a ", err))
			db.Do(Lazy, set("b", "1"), func(err error) { log = append(log, fmt.Sprint("b ", err)) })
		})
		if err := errors.Join(db.Close(), db.Close()); err != nil {
			t.Fatal(err)
		}
		db.Do(Now, set("c", "1"), func(err error) { log = append(log, fmt.Sprint("c ", err)) })
		synctest.Wait()
		if got := strings.Join(log, ", "); got != "a <nil>, b <nil>, c "+ErrClosed.Error() {
			t.Error(got)
		}
		for name, err := range map[string]error{"View": db.View(func(*Tx) error { return nil }), "Update": db.Update(t.Context(), set("a", "2")),
			"Sync": db.Sync(t.Context()), "Backup": db.Backup(t.Context(), &bytes.Buffer{}, []byte("x"))} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
		db = openTest(t, dir)
		if get(t, db, "a") != "1" || get(t, db, "b") != "1" || get(t, db, "c") != "" {
			t.Error("Close kept the wrong things")
		}
		db.Close()
	})
}

// A disk that stays full must not keep the box from stopping.
func TestCloseOnFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, "")
		update(t, db, full(db, true))
		tries := 0
		var again func(error)
		again = func(err error) {
			tries++
			if errors.Is(err, ErrClosed) {
				return
			}
			if err == nil || tries > 1 {
				t.Errorf("try %d: %v", tries, err)
				return
			}
			db.Do(Lazy, big("b"), again)
		}
		db.Do(Lazy, big("b"), again)
		if err := db.Close(); !errors.Is(err, berrors.ErrMaxSizeReached) {
			t.Errorf("Close: %v", err)
		}
		synctest.Wait()
		if tries != 2 { // the commit; after the end
			t.Errorf("%d tries", tries)
		}
	})
}

func TestUpdateEndsWithItsContext(t *testing.T) {
	db := openTest(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	in, out := make(chan struct{}), make(chan struct{})
	db.Do(Now, func(*Tx) error { close(in); <-out; return nil }, nil)
	<-in
	cancel()
	if err := db.Update(ctx, set("k", "v")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := db.Pending(); n != 2 {
		t.Errorf("%d pending", n)
	}
	close(out)
	if err := db.Sync(t.Context()); err != nil || get(t, db, "k") != "v" {
		t.Error("the change was lost", err)
	}
}

// Readers, writers and done functions at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	db := openTest(t, "")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			who := fmt.Sprint("w", w)
			for i := range 50 {
				db.Do(Soon, func(tx *Tx) error {
					err := tx.AddMessage(who, Entry{Seq: uint64(i + 1), ID: fmt.Sprint(i)})
					return errors.Join(err, tx.See(who, "n", fmt.Sprint(i)))
				}, func(err error) {
					if err != nil {
						t.Error(err)
					}
				})
				err := db.View(func(tx *Tx) error {
					n := 0
					for e := range tx.Messages(who) {
						if e.ID != fmt.Sprint(n) {
							return fmt.Errorf("%s at %d", e.ID, n)
						}
						n++
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
			if err := db.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	view(t, db, func(tx *Tx) {
		for w := range 4 {
			if n := tx.MessageCount(fmt.Sprint("w", w)); n != 50 {
				t.Errorf("w%d has %d", w, n)
			}
		}
	})
}
