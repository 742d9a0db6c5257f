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
// first process is $NUDGE_LEADER, and an account with an XMPP provider.
type owner struct {
	*testing.T
	readme string
	jid    string // his, where the README says alice@example.org
	steps  int
	began  time.Time
}

// TestOwner does what the README says, and nothing else, until a message of an
// XMPP contact is in an old client's window.
func TestOwner(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	check(t, err)
	s := provider(t)
	alice, bob := friends(t, s, false)
	o := &owner{T: t, readme: string(readme), jid: alice.ID, began: time.Now()}

	o.follow("sudo apt install ./dist/", "\n") // yes, to what it recommends
	if said := o.follow("systemctl status nudge", ""); !strings.Contains(said, "active (running)") {
		t.Fatalf("after the installation: %s", said)
	}
	said := o.follow("sudo nudge user add alice@", "")
	password := regexp.MustCompile(`[A-Za-z0-9-]{12,16}\b`).FindString(strings.ReplaceAll(said, "alice@hotmail.com", ""))
	o.follow("sudo nudge user add bob@", "")
	o.follow("sudo nudge contact add alice@", "")
	o.follow("sudo nudge link add alice@hotmail.com xmpp", alice.Password+"\n")

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := msnclient.SignIn(ctx, msnclient.Config{
		Version: msnclient.MSNP8, Addr: "127.0.0.1:1863", Handle: "alice@hotmail.com", Password: password, Answer: true,
		HTTPS: "127.0.0.1:443", TLS: &tls.Config{RootCAs: o.trust(), ServerName: "nexus.passport.com"},
	})
	if err != nil {
		t.Fatalf("with %q, from %q: %v", password, said, err)
	}
	defer c.Close()
	o.step("an old client trusts the box and signs in")
	_, err = c.Sync(ctx)
	check(t, err)
	check(t, c.SetStatus(ctx, "NLN"))
	check(t, bob.Say(ctx, "hello Alice, are you really on MSN?"))
	_, err = c.Log.Wait(ctx, 0, func(e msnclient.Event) bool {
		text, ok := e.Text()
		return ok && text == "hello Alice, are you really on MSN?" && e.From() == bob.Person().Handle
	})
	check(t, err)
	o.step("a message from an XMPP contact is in the window")
	t.Logf("%d steps", o.steps)
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
	line := strings.NewReplacer("alice@example.org", o.jid, "_armhf.", "_"+runtime.GOARCH+".").Replace(strings.TrimSpace(all[0]))
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
