package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// boxPassword is short enough for every old client and used for every account
// that a recording does not give another.
const boxPassword = "secret-12"

// boxBinary builds the product as it is released.
var boxBinary = sync.OnceValues(func() (string, error) {
	file := filepath.Join(house.dir, "nudge")
	cmd := exec.Command("go", "build", "-tags", "goolm,nethttpomithttp2", "-o", file, "nudge/cmd/nudge")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building nudge: %w\n%s", err, out)
	}
	return file, nil
})

// box is one nudge with a data folder and ports of its own, driven over its
// command line only.
type box struct {
	Dir              string
	MSN, HTTP, HTTPS string
	Names            string // where its name server is to listen, "off" nowhere

	binary string
	proc   *process
}

// newBox starts a box without accounts.
func newBox(t testing.TB) *box {
	t.Helper()
	b := prepareBox(t)
	b.run(t)
	return b
}

// prepareBox is a box with an empty data folder that does not run.
func prepareBox(t testing.TB) *box {
	t.Helper()
	binary, err := boxBinary()
	check(t, err)
	dir, err := os.MkdirTemp(house.dir, "box-")
	check(t, err)
	b := &box{
		Dir: filepath.Join(dir, "data"), binary: binary,
		MSN: loopback(freePort()), HTTP: loopback(freePort()), HTTPS: loopback(freePort()),
		Names: "off",
	}
	check(t, os.Mkdir(b.Dir, 0o700))
	return b
}

// run starts the box and ends it with the test.
func (b *box) run(t testing.TB) {
	t.Helper()
	check(t, b.Start())
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the end of the box's log:\n%s", b.proc.tail(60))
		}
		if out := b.proc.tail(1 << 20); strings.Contains(out, "panic:") || strings.Contains(out, "level=ERROR msg=panic") {
			t.Errorf("the box panicked:\n%s", b.proc.tail(60))
		}
	})
}

// Start runs the box and waits until it takes clients.
func (b *box) Start() (err error) {
	b.proc, err = spawn(filepath.Dir(b.Dir), "nudge", nil, b.binary, "serve", "--data", b.Dir,
		"--msn", b.MSN, "--http", b.HTTP, "--https", b.HTTPS, "--names", b.Names)
	if err != nil {
		return err
	}
	return b.proc.listening(b.MSN, b.HTTP, b.HTTPS)
}

// Stop ends the box politely, Kill like a power cut.
func (b *box) Stop() error { return b.proc.signal(syscall.SIGTERM) }

// Kill ends the box without a chance to write.
func (b *box) Kill() error { return b.proc.signal(syscall.SIGKILL) }

// try runs a command of the box's command line.
func (b *box) try(args ...string) (string, error) {
	return run(b.Dir, nil, append(append([]string{b.binary}, args...), "--data", b.Dir)...)
}

// cli is try for a test.
func (b *box) cli(t testing.TB, args ...string) string {
	t.Helper()
	out, err := b.try(args...)
	check(t, err)
	return out
}

// AddUser makes an account; MD5 sign-in is allowed when the version needs it.
func (b *box) AddUser(t testing.TB, handle string, v msnclient.Version) {
	t.Helper()
	args := []string{"user", "add", handle, "--password", boxPassword}
	if v.MD5() {
		args = append(args, "--md5")
	}
	b.cli(t, args...)
}

// Link links an account of the box to a person's account on his server, whose
// address may be that of a proxy.
func (b *box) Link(t testing.TB, handle string, p person, addr string) {
	t.Helper()
	if p.server.Kind == "dendrite" {
		b.cli(t, "link", "add", handle, "matrix", "--homeserver", "http://"+addr, "--user", p.User, "--password", p.Password)
		return
	}
	b.cli(t, "link", "add", handle, "xmpp", "--jid", p.ID, "--password", p.Password,
		"--server", addr, "--ca", p.server.settings.PKI.CA)
}

// Knows waits until the account has a contact.
func (b *box) Knows(t testing.TB, handle, contact string) {
	t.Helper()
	check(t, eventually(patience, func() error {
		out, err := b.try("contact", "list", handle)
		if err == nil && !strings.Contains(out, contact) {
			err = fmt.Errorf("%s is not among the contacts of %s:\n%s", contact, handle, out)
		}
		return err
	}))
}

// config is what a client needs to sign in to the box. The box's certificate is
// its own; old clients that check one are given it by hand.
func (b *box) config(v msnclient.Version, handle string) msnclient.Config {
	return msnclient.Config{
		Version: v, Addr: b.MSN, Handle: handle, Password: boxPassword,
		HTTPS: b.HTTPS, TLS: &tls.Config{InsecureSkipVerify: true}, Answer: true,
	}
}

// SignIn signs in, fetches the lists and shows a state.
func (b *box) SignIn(t testing.TB, v msnclient.Version, handle, state string) (*msnclient.Client, msnclient.Lists) {
	t.Helper()
	c, err := msnclient.SignIn(t.Context(), b.config(v, handle))
	check(t, err)
	t.Cleanup(c.Kill)
	lists, err := c.Sync(t.Context())
	check(t, err)
	check(t, c.SetStatus(t.Context(), state))
	return c, lists
}

// proc reads a number from a file of the box's process below /proc.
func (b *box) number(file, key string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", b.proc.cmd.Process.Pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strconv.ParseInt(strings.Fields(v)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("no %s in %s", key, file)
}
