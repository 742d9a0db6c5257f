package e2e

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nexusRequest is what a client asks first over TLS.
const nexusRequest = "GET /rdr/pprdr.asp HTTP/1.0\r\n\r\n"

// oldPCs is a folder from which OpenSSL may do what the machine's own settings
// may forbid.
type oldPCs struct {
	*box
	dir, root string
}

func newOldPCs(t *testing.T, b *box) *oldPCs {
	t.Helper()
	resp, err := http.Get("http://" + b.HTTP + "/nudge.crt") // answered when the certificate is made
	check(t, err)
	defer resp.Body.Close()
	der, err := io.ReadAll(resp.Body)
	check(t, err)
	o := &oldPCs{box: b, dir: t.TempDir()}
	o.root = filepath.Join(o.dir, "root.pem")
	check(t, os.WriteFile(o.root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	conf := "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMinProtocol = TLSv1\n"
	check(t, os.WriteFile(filepath.Join(o.dir, "openssl.cnf"), []byte(conf), 0o600))
	return o
}

// openssl is a client that may have the box's authority installed, and leaves
// when it does not trust the box.
func (o *oldPCs) openssl(installed bool, args ...string) (string, error) {
	if installed {
		args = append(args, "-CAfile", o.root)
	} else {
		args = append(args, "-no-CAfile")
	}
	args = append([]string{"openssl", "s_client", "-connect", o.HTTPS, "-ign_eof", "-noservername",
		"-no-CApath", "-no-CAstore", "-verify_return_error", "-verify_hostname", "nexus.passport.com"}, args...)
	return feed(o.dir, []string{"OPENSSL_CONF=" + filepath.Join(o.dir, "openssl.cnf")}, nexusRequest, args...)
}

// trouble is what the box says of the PC that failed last; all come from this
// machine's address.
func (o *oldPCs) trouble(t *testing.T) string {
	t.Helper()
	var s struct {
		Troubled []struct{ Address, Trouble string }
	}
	check(t, json.Unmarshal([]byte(o.cli(t, "status", "--json")), &s))
	for _, p := range s.Troubled {
		if p.Address == "127.0.0.1" {
			return p.Trouble
		}
	}
	return ""
}

// TestOldTLS is for clients that know no more than TLS 1.0, on the box as it is
// released: what Go's own settings forbid must be allowed in the binary.
func TestOldTLS(t *testing.T) {
	o := newOldPCs(t, newBox(t))
	for _, args := range [][]string{
		{"-tls1", "-cipher", "AES128-SHA@SECLEVEL=0"},
		{"-tls1", "-cipher", "AES256-SHA@SECLEVEL=0"},
		{"-tls1", "-cipher", "ECDHE-RSA-AES128-SHA@SECLEVEL=0"},
		{"-tls1_1", "-cipher", "AES128-SHA@SECLEVEL=0"},
		{"-sigalgs", "RSA+SHA1", "-cipher", "DEFAULT@SECLEVEL=0"},
		{"-tls1_2"},
		{"-tls1_2", "-cipher", "AES128-SHA"},
		{},
	} {
		out, err := o.openssl(true, args...)
		if err != nil || !strings.Contains(out, "\nPassportURLs: ") || !strings.Contains(out, "Verification: OK") {
			t.Errorf("openssl s_client %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	for _, suite := range []uint16{tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA} {
		c, err := net.Dial("tcp", o.HTTPS)
		check(t, err)
		defer c.Close()
		s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{suite}})
		io.WriteString(s, nexusRequest)
		if got, err := io.ReadAll(s); err != nil || !strings.Contains(string(got), "\nPassportURLs: ") {
			t.Errorf("%s: %q, %v", tls.CipherSuiteName(suite), got, err)
		}
	}
	if why := o.trouble(t); why != "" {
		t.Errorf("nothing is wrong, and yet the box says %s", why)
	}
}

// TestTroubledTLS lets PCs fail before they ask for anything; the box must know
// why.
func TestTroubledTLS(t *testing.T) {
	o := newOldPCs(t, newBox(t))
	tls1 := []string{"-tls1", "-cipher", "AES128-SHA@SECLEVEL=0"}
	later := time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for _, c := range []struct {
		name string
		try  func() error
		want string
	}{
		{"SSL 2 hello", func() error {
			return o.refused("\x80\x1f\x01\x00\x02\x00\x06\x00\x00\x00\x10\x01\x00\x80\x00\x00\x04"+strings.Repeat("Z", 16), "\x80\x03\x00\x00\x01")
		}, "old-hello"},
		{"no trust", func() error {
			_, err := o.openssl(false, tls1...)
			return mustFail(err)
		}, "untrusted"},
		{"clock in 2060", func() error {
			_, err := o.openssl(true, append(tls1, "-attime", fmt.Sprint(later))...)
			return mustFail(err)
		}, "wrong-clock"},
		{"no trust, today's client", func() error {
			_, err := o.openssl(false)
			return mustFail(err)
		}, "untrusted"},
	} {
		check(t, c.try())
		check(t, eventually(patience, func() error {
			if why := o.trouble(t); why != c.want {
				return fmt.Errorf("%s: the box says %q, not %q", c.name, why, c.want)
			}
			return nil
		}))
	}
}

func mustFail(err error) error {
	if err == nil {
		return fmt.Errorf("it did not fail")
	}
	return nil
}

// refused says hello and wants a refusal.
func (o *oldPCs) refused(hello, want string) error {
	c, err := net.Dial("tcp", o.HTTPS)
	if err != nil {
		return err
	}
	defer c.Close()
	io.WriteString(c, hello)
	got, err := io.ReadAll(c)
	if err == nil && string(got) != want {
		err = fmt.Errorf("refused with %x", got)
	}
	return err
}
