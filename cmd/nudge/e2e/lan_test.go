package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// lan is a home network of a box and a PC: two network namespaces with a cable
// between them, which end with the programs that hold them.
type lan struct {
	box, pc stack
}

// Addresses in the LAN, and one that a router might let in from outside.
const (
	lanBox     = "192.168.77.2"
	lanBoxNext = "192.168.77.9"
	lanPC      = "192.168.77.30"
	lanAll     = "192.168.77.255"
	outside    = "203.0.113.9"
)

// newLAN makes the network; it takes root.
func newLAN(t testing.TB) lan {
	t.Helper()
	l := lan{newStack(t, "box"), newStack(t, "pc")}
	l.box.run(t, "ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", fmt.Sprint(l.pc.pid))
	l.box.run(t, "ip", "addr", "add", lanBox+"/24", "brd", "+", "dev", "lan0")
	l.pc.run(t, "ip", "addr", "add", lanPC+"/24", "brd", "+", "dev", "lan0")
	l.pc.run(t, "ip", "addr", "add", outside+"/32", "dev", "lan0")
	for _, s := range []stack{l.box, l.pc} {
		s.run(t, "ip", "link", "set", "lo", "up")
		s.run(t, "ip", "link", "set", "lan0", "up")
	}
	l.box.run(t, "ip", "route", "add", outside+"/32", "dev", "lan0")
	return l
}

// stack is a network namespace.
type stack struct{ pid int }

func newStack(t testing.TB, name string) stack {
	t.Helper()
	dir, err := os.MkdirTemp(house.dir, "lan-")
	check(t, err)
	p, err := spawn(dir, name, nil, "unshare", "--net", "sleep", "infinity")
	check(t, err)
	t.Cleanup(func() { p.signal(unix.SIGKILL) })
	s := stack{p.cmd.Process.Pid}
	ours, err := os.Readlink("/proc/self/ns/net")
	check(t, err)
	check(t, eventually(patience, func() error {
		theirs, err := os.Readlink(s.path())
		if err == nil && theirs == ours {
			err = fmt.Errorf("%s has no network of its own; does this run as root?", name)
		}
		if p.ended() {
			return errEnded
		}
		return err
	}))
	return s
}

func (s stack) path() string { return fmt.Sprintf("/proc/%d/ns/net", s.pid) }

// within is a command line that runs in the namespace.
func (s stack) within(argv ...string) []string {
	return append([]string{"nsenter", "--net=" + s.path()}, argv...)
}

// run executes a program in the namespace and returns what it prints.
func (s stack) run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := run("/", nil, s.within(argv...)...)
	check(t, err)
	return out
}

// try is run for programs that may fail: what they print tells.
func (s stack) try(argv ...string) string {
	out, err := run("/", nil, s.within(argv...)...)
	if err != nil {
		out += err.Error()
	}
	return out
}

// do makes sockets in the namespace. They stay there whoever uses them. The thread
// comes back: programs that it has started would end with it.
func (s stack) do(open func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	away, err := os.Open(s.path())
	if err != nil {
		return err
	}
	defer away.Close()
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = open()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // whatever this thread did next would be in the wrong network
	}
	return err
}

// dial connects to an address from within the namespace.
func (s stack) dial(ctx context.Context, addr string) (c net.Conn, err error) {
	err = s.do(func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, "tcp4", addr)
		return err
	})
	return c, err
}

// runIn starts the box in the LAN, on the ports that old clients know.
func (b *box) runIn(t testing.TB, l lan) {
	t.Helper()
	var err error
	b.proc, err = spawn(filepath.Dir(b.Dir), "nudge", nil, l.box.within(b.binary, "serve", "--data", b.Dir,
		"--msn", ":1863", "--http", ":80", "--https", ":443", "--names", ":53")...)
	check(t, err)
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the end of the box's log:\n%s", b.proc.tail(60))
		}
	})
	for _, port := range []string{"1863", "80", "443"} {
		check(t, eventually(patience, func() error {
			if b.proc.ended() {
				return errEnded
			}
			c, err := l.pc.dial(waiting(t, patience), net.JoinHostPort(lanBox, port))
			if err == nil {
				c.Close()
			}
			return err
		}))
	}
	for name, addr := range b.listeners(t) {
		if addr == "" {
			t.Fatalf("the box in the LAN has no port for %s", name)
		}
	}
}
