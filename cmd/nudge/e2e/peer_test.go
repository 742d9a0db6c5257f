package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// python is Debian's, which has the peers' packages.
const python = "/usr/bin/python3"

// peerEvent is one line from a peer; each kind uses some of the fields.
type peerEvent struct {
	Ev, Err                      string
	Tag                          int
	ID, Frm, Body, State, Type   string
	Show, Status, Presence       string
	Room, User, Membership, Edit string
	Key, To, Condition, XML      string
	Delayed, Decrypted           bool
	Users, Signs                 []string
	Messages                     []archived
	Roster                       map[string]string
	Rooms                        map[string]peerRoom
	Receipts                     []peerReceipt
	At                           time.Time `json:"-"`
	N                            int       `json:"-"`
}

type archived struct{ ID, Frm, Type, Body, Undecryptable string }

type peerReceipt struct{ ID, User string }

type peerRoom struct {
	Encrypted bool
	Users     []string
}

// op is a command to a peer.
type op map[string]string

// lines is a peer's process: commands in, events out.
type lines struct {
	name string
	proc *process
	in   io.WriteCloser

	mu      sync.Mutex
	tag     int
	events  []peerEvent
	changed chan struct{}
}

// startPeer runs a program of testdata/peer and waits until it is online.
func startPeer(t testing.TB, name, program string, args ...string) *lines {
	t.Helper()
	cmd := exec.Command(python, append([]string{"-u", filepath.Join("testdata", "peer", program)}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	return startLines(t, name, cmd)
}

// startLines runs a peer's program and waits until it is online.
func startLines(t testing.TB, name string, cmd *exec.Cmd) *lines {
	t.Helper()
	dir, err := os.MkdirTemp(house.dir, "peer-")
	check(t, err)
	out, err := os.Create(filepath.Join(dir, "stderr.log"))
	check(t, err)
	defer out.Close()
	l := &lines{name: name, changed: make(chan struct{})}
	cmd.Stderr = out
	l.in, err = cmd.StdinPipe()
	check(t, err)
	stdout, w, err := os.Pipe()
	check(t, err)
	cmd.Stdout = w
	l.proc, err = launch(&process{name: name, log: out.Name(), cmd: cmd})
	w.Close()
	check(t, err)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer stdout.Close()
		l.read(stdout)
	}()
	t.Cleanup(func() {
		l.in.Close()
		select {
		case <-l.proc.done:
		case <-time.After(5 * time.Second):
			l.proc.signal(syscall.SIGKILL)
		}
		<-read
		if t.Failed() {
			t.Logf("peer %s:\n%s\n%s", name, l.tail(0), l.proc.tail(20))
		}
	})
	l.wait(t, 0, "being online", func(e peerEvent) bool { return e.Ev == "online" })
	return l
}

func (l *lines) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		var e peerEvent
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			e = peerEvent{Ev: "garbage", Err: s.Text()}
		}
		l.mu.Lock()
		e.At, e.N = time.Now(), len(l.events)
		l.events = append(l.events, e)
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
	}
}

// leave ends the peer.
func (l *lines) leave() {
	l.in.Close()
	<-l.proc.done
}

// len is the position of the next event.
func (l *lines) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

func (l *lines) since(from int) ([]peerEvent, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events[min(from, len(l.events)):]), l.changed
}

// find waits for the first event at or after a position that matches.
func (l *lines) find(ctx context.Context, from int, match func(peerEvent) bool) (peerEvent, error) {
	next := from
	for {
		fresh, changed := l.since(next)
		if i := slices.IndexFunc(fresh, match); i >= 0 {
			return fresh[i], nil
		}
		next += len(fresh)
		select {
		case <-changed:
		case <-l.proc.done:
			return peerEvent{}, fmt.Errorf("the peer has ended: %s", l.proc.tail(10))
		case <-ctx.Done():
			return peerEvent{}, fmt.Errorf("%w; it saw:%s", context.Cause(ctx), l.tail(from))
		}
	}
}

// wait is find for a test: it ends it when nothing matches soon.
func (l *lines) wait(t testing.TB, from int, what string, match func(peerEvent) bool) peerEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := l.find(ctx, from, match)
	if err != nil {
		t.Fatalf("peer %s waits for %s: %v", l.name, what, err)
	}
	return e
}

// try gives a command and returns its answer.
func (l *lines) try(ctx context.Context, c op) (peerEvent, error) {
	l.mu.Lock()
	l.tag++
	tag, from := l.tag, len(l.events)
	l.mu.Unlock()
	if err := l.write(tag, c); err != nil {
		return peerEvent{}, err
	}
	e, err := l.find(ctx, from, func(e peerEvent) bool { return e.Tag == tag })
	if err == nil && e.Ev == "failed" {
		err = fmt.Errorf("%s: %s", c["op"], e.Err)
	}
	return e, err
}

// write sends a command without waiting for its answer.
func (l *lines) write(tag int, c op) error {
	full := map[string]json.RawMessage{"tag": json.RawMessage(fmt.Sprint(tag))}
	for k, v := range c {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if v == "true" || v == "false" {
			b = []byte(v)
		}
		full[k] = b
	}
	b, err := json.Marshal(full)
	if err != nil {
		return err
	}
	_, err = l.in.Write(append(b, '\n'))
	return err
}

// do is try for a test.
func (l *lines) do(t testing.TB, c op) peerEvent {
	t.Helper()
	return l.doWithin(t, patience, c)
}

// doWithin is do for what may take longer, such as reading a long archive in
// pages of 50 on a busy machine.
func (l *lines) doWithin(t testing.TB, most time.Duration, c op) peerEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	e, err := l.try(ctx, c)
	if err != nil {
		t.Fatalf("peer %s: %v", l.name, err)
	}
	return e
}

// tail shows the last events from a position on.
func (l *lines) tail(from int) string {
	events, _ := l.since(from)
	if len(events) == 0 {
		return " nothing"
	}
	var b strings.Builder
	for _, e := range events[max(0, len(events)-15):] {
		j, _ := json.Marshal(e)
		var fields map[string]json.RawMessage
		json.Unmarshal(j, &fields)
		fmt.Fprintf(&b, "\n\t%s", e.At.Format("15:04:05.000"))
		for _, k := range []string{"Ev", "Err", "Frm", "Body", "State", "Type", "Show", "Presence", "Room", "User", "XML", "Membership", "ID"} {
			if v := string(fields[k]); v != `""` {
				fmt.Fprintf(&b, " %s=%s", strings.ToLower(k), v)
			}
		}
	}
	return b.String()
}
