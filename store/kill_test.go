package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// The environment of the kill test: the folder its child works in, and how
// many kills (10 when unset; 200 is the long round).
const (
	childEnv = "STORE_TEST_CHILD"
	killsEnv = "NUDGE_KILL_ROUNDS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver adds numbered messages, with now and then one that fails, a big
// one or a removal, and prints every number once it is durable.
func writeForEver(dir string) error {
	db, err := Open(dir, Options{Key: testKey})
	if err != nil {
		return err
	}
	var next uint64
	if err := db.View(func(tx *Tx) error { next = tx.LastSeq("a"); return nil }); err != nil {
		return err
	}
	failed := make(chan error, 1)
	for n := next + 1; ; n++ {
		db.mu.Lock()
		db.last = time.Time{} // commit without pause, so that most kills fall into a commit
		db.mu.Unlock()
		db.Do(Urgency(n%3), func(tx *Tx) error {
			err := tx.AddMessage("a", Entry{Seq: n, ID: fmt.Sprint(n), Data: make([]byte, n%3000)})
			return errors.Join(err, tx.See("a", "n", fmt.Sprint(n)), tx.SetMark("a", "n", fmt.Append(nil, n)))
		}, func(err error) {
			if err != nil {
				failed <- err
				return
			}
			fmt.Println(n)
		})
		db.Do(Lazy, func(tx *Tx) error {
			return errors.Join(tx.PutSetting("never", "x"), errors.New("undone"))
		}, nil)
		if n%4 == 0 {
			if err := db.Sync(context.Background()); err != nil {
				return err
			}
		}
		select {
		case err := <-failed:
			return err
		default:
		}
	}
}

func TestKill(t *testing.T) {
	kills := 10
	if s := os.Getenv(killsEnv); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	dir := t.TempDir()
	openTest(t, dir).Close()
	acked, kept, beyond := uint64(0), uint64(0), 0
	for range kills {
		acked = max(acked, killOnce(t, dir, time.Duration(r.Int64N(int64(150*time.Millisecond)))))
		if err := Check(filepath.Join(dir, File)); err != nil {
			t.Fatal(err)
		}
		db := openTest(t, dir)
		view(t, db, func(tx *Tx) {
			n := uint64(0)
			for e := range tx.Messages("a") {
				if n++; e.Seq != n || e.ID != fmt.Sprint(n) || len(e.Data) != int(n%3000) {
					t.Fatalf("message %d is %d %q", n, e.Seq, e.ID)
				}
			}
			mark := string(tx.Mark("a", "n"))
			if n < acked || n < kept || n > 0 && mark != fmt.Sprint(n) || n > 0 && !tx.Seen("a", "n", mark) || tx.Setting("never") != "" {
				t.Fatalf("%d acknowledged, %d kept, mark %q", acked, n, mark)
			}
			if n > acked {
				beyond++
			}
			kept = n
		})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills: %d messages acknowledged, 0 lost; %d times more was kept than acknowledged", kills, acked, beyond)
	if acked == 0 {
		t.Error("nothing was written")
	}
}

// killOnce runs the child, kills it some time after its first sign of life and
// returns the last number it acknowledged.
func killOnce(t *testing.T, dir string, after time.Duration) (last uint64) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for first := true; ; first = false {
		line, err := in.ReadString('\n')
		if err != nil { // also a number cut short
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		if last, err = strconv.ParseUint(line[:len(line)-1], 10, 64); err != nil {
			t.Fatal(err)
		}
		if first {
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", cmd.ProcessState)
	}
	return last
}
