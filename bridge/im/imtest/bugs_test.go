package imtest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// bugs are networks that break the contract, each with the check that must
// find it and words of its complaint.
var bugs = []struct {
	bug         bug
	check, says string
}{
	{"lives by Connect's context", "connect", "context canceled"},
	{"up again", "receive order", "Up came twice"},
	{"takes any password", "denied", "log-in data that the server refuses"},
	{"takes after close", "close", "after Close"},
	{"closes once", "close", "second Close did not return"},
	{"takes anything", "unsupported", "want ErrUnsupported"},
	{"finds anybody", "find nobody", "want ErrNotFound"},
	{"presence waits", "mute server", "presence and typing"},
	{"deaf to ctx", "mute server", "a cancelled Handle"},
	{"no receipt", "receipts", "no receipt for everything sent"},
	{"relations without receipt", "relations", "no receipt for everything sent"},
	{"two receipts", "receipts", "has receipts"},
	{"sends nothing", "send order", "nothing more reached the peer"},
	{"edits without receipt", "edits", "no receipt for everything sent"},
	{"asks nothing", "asked", "no ContactEdit"},
	{"swaps", "settle after close", "want"},
	{"no conversation", "receive order", "lacks Conv"},
	{"writes in settled", "receive order", "no 100 messages"},
	{"ignores the disk", "failed settle", "did not return"},
	{"mark ahead", "crash receiving", "messages in the journal within"},
	{"fresh IDs", "old mark", "want"},
	{"looks for no echo", "crash sending", "want"},
	{"looks for no echo", "lost ack", "want"},
}

// TestBugs proves that the checks can fail.
func TestBugs(t *testing.T) {
	for _, b := range bugs {
		t.Run(string(b.bug)+"/"+b.check, func(t *testing.T) {
			r := toyRig(b.bug)
			r.Timeout = 1500 * time.Millisecond // bugs that hang cost it, and a busy machine must not
			got := &record{TB: t}
			for _, c := range checks {
				if c.name == b.check {
					got.watch(func() { runCheck(got, c, r) })
				}
			}
			if !strings.Contains(got.text.String(), b.says) {
				t.Errorf("the check said %q, want %q in it", got.text.String(), b.says)
			}
		})
	}
}

// record is a testing.TB that keeps what a check complains about.
type record struct {
	testing.TB
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) watch(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}

func (r *record) say(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.WriteString(s + "\n")
}

func (*record) Helper()                     {}
func (r *record) Error(args ...any)         { r.say(fmt.Sprintln(args...)) }
func (r *record) Errorf(f string, a ...any) { r.say(fmt.Sprintf(f, a...)) }
func (r *record) Fatal(args ...any)         { r.say(fmt.Sprintln(args...)); runtime.Goexit() }
func (r *record) Fatalf(f string, a ...any) { r.say(fmt.Sprintf(f, a...)); runtime.Goexit() }
func (*record) Skipf(string, ...any)        { runtime.Goexit() }
func (*record) Logf(string, ...any)         {}

// TestOfPackage: test files and test packages may keep goroutines, the network
// may not.
func TestOfPackage(t *testing.T) {
	const head = "goroutine 7 [select]:\n"
	for stack, want := range map[string]bool{
		head + "nudge/bridge/toy.(*link).run(0x1)\n\t/src/bridge/toy/link.go:10 +0x1":                                                                true,
		head + "runtime.gopark()\n\t/go/proc.go:1\ncreated by nudge/bridge/toy/stream.Dial in goroutine 1\n\t/src/bridge/toy/stream/dial.go:10 +0x1": true,
		head + "nudge/bridge/toy.serve(0x1)\n\t/src/bridge/toy/server_test.go:10 +0x1":                                                               false,
		head + "nudge/bridge/toy/toytest.(*Server).run(0x1)\n\t/src/bridge/toy/toytest/server.go:10 +0x1":                                            false,
		head + "nudge/bridge/toys.run(0x1)\n\t/src/bridge/toys/link.go:10 +0x1":                                                                      false,
	} {
		if got := ofPackage(stack, "nudge/bridge/toy"); got != want {
			t.Errorf("ofPackage(%q) = %v", stack, got)
		}
	}
}
