package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
	"nudge/cmd/nudge/web/kit"
)

// fetch gets a page of the box from the PC in the LAN.
func (l lan) fetch(t testing.TB, box, path string) []byte {
	t.Helper()
	web := http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return l.pc.dial(ctx, addr) },
		DisableKeepAlives: true,
	}}
	resp, err := web.Get("http://" + box + path)
	check(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", path, resp.Status, b)
	}
	return b
}

var (
	regServer = regexp.MustCompile(`(?m)^"Server"="([^"]*)"\r$`)
	nmbFound  = regexp.MustCompile(`(?m)^(\S+) (\S+)<00>$`)
)

// TestSameKit: what a PC got from its floppy leads it to the box, also after the box
// has got another address. Every kit's floppy is one that the tools of Debian read.
func TestSameKit(t *testing.T) {
	end2end(t)
	l := newLAN(t)
	b := prepareBox(t)
	b.AddUser(t, "alice@hotmail.com", msnclient.MSNP7)
	b.AddUser(t, "bob@hotmail.com", msnclient.MSNP8)
	b.runIn(t, l)
	floppies(t, l)

	old := l.unpack(t, "msn1")
	server := regServer.FindSubmatch(old["NUDGE.REG"])
	if server == nil {
		t.Fatalf("NUDGE.REG is %q", old["NUDGE.REG"])
	}
	roots := x509.NewCertPool()
	root, err := x509.ParseCertificate(l.unpack(t, "msn5")["NUDGE.CRT"])
	check(t, err)
	roots.AddCert(root)

	for _, at := range []string{lanBox, lanBoxNext} {
		if at != lanBox {
			l.box.run(t, "ip", "addr", "del", lanBox+"/24", "dev", "lan0")
			l.box.run(t, "ip", "addr", "add", at+"/24", "brd", "+", "dev", "lan0")
			l.box.run(t, "ip", "route", "replace", outside+"/32", "dev", "lan0")
		}
		found := nmbFound.FindStringSubmatch(l.pc.try("nmblookup", "--configfile=/dev/null", "-d", "0", "-B", lanAll, string(server[1])))
		if found == nil || found[1] != at {
			t.Fatalf("%s leads to %q, not to %s", server[1], found, at)
		}
		l.signIn(t, b, msnclient.MSNP7, "alice@hotmail.com", found[1], nil)
		l.signIn(t, b, msnclient.MSNP8, "bob@hotmail.com", found[1], &tls.Config{RootCAs: roots, ServerName: string(server[1])})
		if lines := l.fetch(t, at, "/kit/msn5/HOSTS.TXT"); !bytes.Contains(lines, []byte(at+"\tnexus.passport.com\r\n")) {
			t.Errorf("lines for the hosts file: %s", lines)
		}
	}
}

// signIn signs in from the PC in the LAN, and shows that the session works.
func (l lan) signIn(t testing.TB, b *box, v msnclient.Version, handle, at string, trust *tls.Config) {
	t.Helper()
	conf := b.config(v, handle)
	conf.Addr = net.JoinHostPort(at, "1863")
	conf.Dial = l.pc.dial
	conf.Web = func(ctx context.Context) (net.Conn, error) {
		c, err := l.pc.dial(ctx, net.JoinHostPort(at, "443"))
		if err != nil {
			return nil, err
		}
		secure := tls.Client(c, trust)
		return secure, secure.HandshakeContext(ctx)
	}
	c, err := msnclient.SignIn(t.Context(), conf)
	check(t, err)
	defer c.Kill()
	_, err = c.Sync(t.Context())
	check(t, err)
	check(t, c.SetStatus(t.Context(), "NLN"))
}

// floppies looks at every kit's floppy with the tools that know such disks.
func floppies(t *testing.T, l lan) {
	for _, k := range kit.List() {
		files := l.unpack(t, k.Name)
		if len(files) != len(k.Files) {
			t.Errorf("%s: the floppy holds %d files, not %s", k.Name, len(files), k.Files)
		}
		for _, name := range k.Files {
			if want := l.fetch(t, lanBox, "/kit/"+k.Name+"/"+name); !bytes.Equal(files[name], want) {
				t.Errorf("%s: %s on the floppy is %q", k.Name, name, files[name])
			}
		}
	}
}

// unpack fetches a kit as floppy and as .zip and returns their files, which must be
// the same.
func (l lan) unpack(t testing.TB, name string) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	img, zip := filepath.Join(dir, "disk.img"), filepath.Join(dir, "kit.zip")
	check(t, os.WriteFile(img, l.fetch(t, lanBox, "/kit/"+name+".img"), 0o600))
	check(t, os.WriteFile(zip, l.fetch(t, lanBox, "/kit/"+name+".zip"), 0o600))
	out, err := run(dir, nil, "fsck.fat", "-n", "-v", img)
	if err != nil || !strings.Contains(out, "2 FATs, 12 bit entries") {
		t.Errorf("%s: %v %s", name, err, out)
	}
	if info, err := run(dir, nil, "mdir", "-i", img, "::"); err != nil || !strings.Contains(info, "Volume in drive : is NUDGE") {
		t.Errorf("%s: %v %s", name, err, info)
	}
	for _, sub := range []string{"floppy", "zip"} {
		check(t, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	_, err = run(dir, nil, "mcopy", "-i", img, "::*", filepath.Join(dir, "floppy"))
	check(t, err)
	_, err = run(filepath.Join(dir, "zip"), nil, "python3", "-m", "zipfile", "-e", zip, ".")
	check(t, err)
	files := map[string][]byte{}
	entries, err := os.ReadDir(filepath.Join(dir, "floppy"))
	check(t, err)
	for _, e := range entries {
		files[e.Name()], err = os.ReadFile(filepath.Join(dir, "floppy", e.Name()))
		check(t, err)
		zipped, err := os.ReadFile(filepath.Join(dir, "zip", e.Name()))
		if err != nil || !bytes.Equal(zipped, files[e.Name()]) {
			t.Error(fmt.Errorf("%s: %s is not the same in the .zip: %w", name, e.Name(), err))
		}
	}
	return files
}
