package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// oldPC is a PC that knows the box only by names. It has an address of its own.
type oldPC struct {
	t         *testing.T
	addr      string
	listeners map[string]string // of the box
}

// dialer gives connections from the PC to one of the box's listeners.
func (pc *oldPC) dial(ctx context.Context, network, listener string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(pc.addr)}}
	if network == "tcp" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(pc.addr)}
	}
	return d.DialContext(ctx, network, pc.listeners[listener])
}

// lookup asks the box's DNS; "" means that it does not know.
func (pc *oldPC) lookup(network, name string) string {
	pc.t.Helper()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return pc.dial(ctx, network, "names") }}
	all, err := r.LookupHost(waiting(pc.t, patience), name+".")
	if dns := new(net.DNSError); err != nil && !errors.As(err, &dns) {
		pc.t.Error(err)
	}
	return strings.Join(all, " ")
}

// ask sends a packet and returns the address that the answer ends with.
func (pc *oldPC) ask(listener string, packet []byte) string {
	pc.t.Helper()
	c, err := pc.dial(pc.t.Context(), "udp", listener)
	check(pc.t, err)
	defer c.Close()
	check(pc.t, c.SetDeadline(time.Now().Add(patience)))
	_, err = c.Write(packet)
	check(pc.t, err)
	buf := make([]byte, 512)
	n, err := c.Read(buf)
	check(pc.t, err)
	return net.IP(buf[max(0, n-4):n]).String()
}

// What Windows sends for NUDGE: up to XP as NetBIOS name, from Vista on by LLMNR.
var (
	netbiosNudge = slices.Concat([]byte{0, 1, 1, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 32}, []byte("EOFFEEEHEFCACACACACACACACACACAAA"), []byte{0, 0, 0x20, 0, 1})
	llmnrNudge   = slices.Concat([]byte{0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 5}, []byte("nudge"), []byte{0, 0, 1, 0, 1})
)

// TestNames: old PCs find the box by its names alone and sign in, also after it has
// got another address; one that finds it and does not come is told of.
func TestNames(t *testing.T) {
	b := prepareBox(t)
	b.AddUser(t, "alice@hotmail.com", msnclient.MSNP7)
	b.AddUser(t, "bob@hotmail.com", msnclient.MSNP8)
	for _, host := range []string{"127.0.0.1", "127.0.0.9"} {
		t.Run("box at "+host, func(t *testing.T) {
			for _, addr := range []*string{&b.MSN, &b.HTTP, &b.HTTPS} {
				_, port, _ := net.SplitHostPort(*addr)
				*addr = net.JoinHostPort(host, port)
			}
			b.Names = host + ":0"
			b.run(t)
			pc := &oldPC{t, "127.0.0.3", b.listeners(t)}
			lost := &oldPC{t, "127.0.0.4", pc.listeners}
			if got := lost.lookup("udp", "messenger.hotmail.com"); got != host {
				t.Errorf("messenger.hotmail.com is %q", got)
			}
			pc.signIn(b, msnclient.MSNP7, "alice@hotmail.com", pc.ask("netbios", netbiosNudge))
			pc.signIn(b, msnclient.MSNP7, "alice@hotmail.com", pc.ask("llmnr", llmnrNudge))
			pc.signIn(b, msnclient.MSNP8, "bob@hotmail.com", pc.lookup("tcp", "messenger.hotmail.com"))
			for name, want := range map[string]string{"nexus.passport.com": host, "nudge": host, "login.live.com": "", "www.example.org": ""} {
				for _, network := range []string{"udp", "tcp"} {
					if got := pc.lookup(network, name); got != want {
						t.Errorf("%s over %s: %q", name, network, got)
					}
				}
			}
			if host == "127.0.0.9" {
				b.neverCame(t, lost.addr)
			}
		})
	}
}

// signIn signs in at an address that a name led to.
func (pc *oldPC) signIn(b *box, v msnclient.Version, handle, host string) {
	pc.t.Helper()
	conf := b.config(v, handle)
	_, port, _ := net.SplitHostPort(b.MSN)
	conf.Addr = net.JoinHostPort(host, port)
	c, err := msnclient.SignIn(pc.t.Context(), conf)
	check(pc.t, err)
	c.Kill()
}

// boxStatus is what nudge status --json says of listeners and PCs in trouble.
type boxStatus struct {
	Listeners []struct{ Name, Addr string }
	Troubled  []struct{ Address, Trouble string }
}

func (b *box) status(t testing.TB) (s boxStatus) {
	t.Helper()
	check(t, json.Unmarshal([]byte(b.cli(t, "status", "--json")), &s))
	return s
}

// listeners are the box's, by name.
func (b *box) listeners(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, l := range b.status(t).Listeners {
		all[l.Name] = l.Addr
	}
	return all
}

// neverCame waits until the box tells of a PC that asked for it and did not come.
func (b *box) neverCame(t testing.TB, addr string) {
	t.Helper()
	check(t, eventually(2*patience, func() error {
		s := b.status(t)
		for _, p := range s.Troubled {
			if p.Address == addr && p.Trouble == "never-came" {
				return nil
			}
		}
		return fmt.Errorf("%s is in no trouble: %+v", addr, s)
	}))
}

// TestNamesPortTaken: a port that was asked for must be had, and the box says so.
func TestNamesPortTaken(t *testing.T) {
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	b := prepareBox(t)
	cmd := exec.CommandContext(waiting(t, patience), b.binary, "serve", "--data", b.Dir,
		"--msn", b.MSN, "--http", b.HTTP, "--https", "off", "--names", taken.LocalAddr().String())
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "(names) is used by ") {
		t.Errorf("%v: %s", err, out)
	}
}
