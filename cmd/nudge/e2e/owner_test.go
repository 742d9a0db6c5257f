//go:build owner

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// owner has the README, a machine that .ci/owner booted from $NUDGE_TREE, whose
// first process is $NUDGE_LEADER, and an account with an XMPP provider, where he
// has a friend.
type owner struct {
	*testing.T
	readme string
	me     person // his account, where the README says alice@example.org
	bob    peer
	steps  int
	began  time.Time
}

// newOwner has read the README, and then begins.
func newOwner(t *testing.T) *owner {
	readme, err := os.ReadFile("../../../README.md")
	check(t, err)
	o := &owner{T: t, readme: string(readme)}
	o.me, o.bob = friends(t, provider(t), false)
	o.began = time.Now()
	return o
}

// TestOwnerInTerminal does by commands what the README says, and nothing else,
// until a message of an XMPP contact is in an old client's window.
func TestOwnerInTerminal(t *testing.T) {
	o := newOwner(t)
	o.install()
	said := o.follow("sudo nudge user add alice@", "")
	password := regexp.MustCompile(`[A-Za-z0-9-]{12,16}\b`).FindString(strings.ReplaceAll(said, "alice@hotmail.com", ""))
	o.follow("sudo nudge user add bob@", "")
	o.follow("sudo nudge contact add alice@hotmail.com bob@", "")
	o.follow("sudo nudge link add alice@hotmail.com xmpp", o.me.Password+"\n")
	o.hello(msnclient.Config{
		Addr: "127.0.0.1:1863", Handle: "alice@hotmail.com", Password: password,
		HTTPS: "127.0.0.1:443", TLS: &tls.Config{RootCAs: o.trust(), ServerName: "nexus.passport.com"},
	})
}

// install puts the package onto the machine.
func (o *owner) install() {
	o.Helper()
	o.follow("sudo apt install ./dist/", "\n") // yes, to what it recommends
	if said := o.follow("systemctl status nudge", ""); !strings.Contains(said, "active (running)") {
		o.Fatalf("after the installation: %s", said)
	}
}

// hello has an old client sign in and hear of the friend.
func (o *owner) hello(pc msnclient.Config) {
	o.Helper()
	ctx, cancel := context.WithTimeout(o.Context(), patience)
	defer cancel()
	pc.Version, pc.Answer = msnclient.MSNP8, true
	c, err := msnclient.SignIn(ctx, pc)
	if err != nil {
		o.Fatalf("with %q: %v", pc.Password, err)
	}
	defer c.Close()
	o.step("an old client trusts the box and signs in")
	_, err = c.Sync(ctx)
	check(o, err)
	check(o, c.SetStatus(ctx, "NLN"))
	const hello = "hello Alice, are you really on MSN?"
	check(o, o.bob.Say(ctx, hello))
	_, err = c.Log.Wait(ctx, 0, func(e msnclient.Event) bool {
		text, ok := e.Text()
		return ok && strings.HasSuffix(text, hello) && e.From() == o.bob.Person().Handle // with its time before it when the server kept it until the sign-in was known there
	})
	check(o, err)
	o.step("a message from an XMPP contact is in the window")
	o.Logf("%d steps, %.1f minutes of the machine's time", o.steps, time.Since(o.began).Minutes())
}

// provider is an XMPP server as its customers know it: at the port and under the
// certificate that need no words.
func provider(t *testing.T) *server {
	s := &server{Kind: "prosody", Dir: t.TempDir(), Port: 5222}
	s.settings = settings{Dir: s.Dir, Secret: "test-shared-secret", Port: s.Port, Presence: true}
	s.await = []string{s.Addr()}
	check(t, s.prosody())
	check(t, s.Start())
	t.Cleanup(func() { s.Kill() })
	ca, err := os.ReadFile(s.settings.PKI.CA)
	check(t, err)
	tree := os.Getenv("NUDGE_TREE")
	check(t, os.WriteFile(filepath.Join(tree, "usr/local/share/ca-certificates/provider.crt"), ca, 0o644))
	check(t, os.WriteFile(filepath.Join(tree, "etc/hosts"), []byte("127.0.0.1 localhost nudge-owner "+s.Domain+"\n"), 0o644))
	_, err = run("", nil, inside("update-ca-certificates")...)
	check(t, err)
	return s
}

// inside is a command in the owner's machine.
func inside(argv ...string) []string {
	return append([]string{"nsenter", "-t", os.Getenv("NUDGE_LEADER"), "-m", "-p", "-u", "-i", "-C", "--"}, argv...)
}

// follow runs the README's only line of commands that begins so, with the
// owner's own names in the place of the examples.
func (o *owner) follow(begin, stdin string) string {
	o.Helper()
	all := regexp.MustCompile(`(?m)^    `+regexp.QuoteMeta(begin)+`.*$`).FindAllString(o.readme, -1)
	if len(all) != 1 {
		o.Fatalf("the README has %d lines %q…", len(all), begin)
	}
	line := strings.NewReplacer("alice@example.org", o.me.ID, "_armhf.", "_"+runtime.GOARCH+".").Replace(strings.TrimSpace(all[0]))
	argv := inside("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb", "SYSTEMD_PAGER=", "sh", "-c", "cd /root && "+line)
	cmd := exec.CommandContext(o.Context(), argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	said, err := cmd.CombinedOutput()
	if err != nil {
		o.Fatalf("%s: %v\n%s", line, err, said)
	}
	o.step(line)
	return string(said)
}

// trust is what an old PC trusts once its user has installed /nudge.crt.
func (o *owner) trust() *x509.CertPool {
	o.Helper()
	var root []byte
	check(o, eventually(2*patience, func() error {
		resp, err := http.Get("http://127.0.0.1/nudge.crt")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		root, err = io.ReadAll(resp.Body)
		return err
	}))
	return o.trusting(root)
}

// trusting is what a PC trusts on which a certificate was installed.
func (o *owner) trusting(root []byte) *x509.CertPool {
	o.Helper()
	cert, err := x509.ParseCertificate(root)
	check(o, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

func (o *owner) step(what string) {
	o.steps++
	o.Logf("%6.1f s  %s", time.Since(o.began).Seconds(), what)
}
