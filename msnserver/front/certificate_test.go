package front

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"nudge/msnserver/gateway"
	"nudge/msnserver/passport"
)

// TestNames looks for every host of SERVERS.md 3d that clients reach over TLS,
// or over HTTP where a page may send them on.
func TestNames(t *testing.T) {
	ready(t)
	names, err := os.ReadFile("testdata/hosts.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, cert := range certificates(t, saved.pem)[1:] {
		for name := range strings.FieldsSeq(string(names) + " box.lan 127.0.0.1") {
			if err := cert.VerifyHostname(name); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		if err := cert.VerifyHostname("www.example.com"); err == nil {
			t.Error("it is good for any name")
		}
		if cert.Subject.CommonName != "nexus.passport.com" {
			t.Errorf("clients that know no other names see %s", cert.Subject.CommonName)
		}
	}
}

// certificates are those of a file.
func certificates(t *testing.T, file []byte) (all []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
	}
	return all
}

// TestAuthority checks who signs what for how long, and that what is stored
// could sign nothing more.
func TestAuthority(t *testing.T) {
	ready(t)
	certs := certificates(t, saved.pem)
	if len(certs) != 3 {
		t.Fatalf("%d certificates", len(certs))
	}
	for i, c := range certs {
		if c.NotBefore.Year() != 1998 || c.NotAfter.Year() != 2049 || c.SerialNumber.Sign() <= 0 {
			t.Errorf("%d: valid %v to %v, number %v", i, c.NotBefore, c.NotAfter, c.SerialNumber)
		}
		if c.IsCA != (i == 0) || !bytes.Equal(c.RawIssuer, certs[0].RawSubject) {
			t.Errorf("%d: authority %v, issued by %s", i, c.IsCA, c.Issuer)
		}
		if want := []x509.SignatureAlgorithm{x509.SHA1WithRSA, x509.SHA256WithRSA, x509.SHA1WithRSA}[i]; c.SignatureAlgorithm != want || !signed(c, certs[0]) {
			t.Errorf("%d: signed %v", i, c.SignatureAlgorithm)
		}
	}
	keys := 0
	for block, rest := pem.Decode(saved.pem); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			continue
		}
		keys++
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if key.PublicKey.Equal(certs[0].PublicKey) || !key.PublicKey.Equal(certs[1].PublicKey) {
			t.Error("the key of the authority is kept")
		}
	}
	if keys != 1 {
		t.Errorf("%d keys are kept", keys)
	}
}

// signed checks a signature by hand: crypto/x509 takes none with SHA-1.
func signed(c, by *x509.Certificate) bool {
	hash := crypto.SHA256
	sum := sha256.Sum256(c.RawTBSCertificate)
	digest := sum[:]
	if c.SignatureAlgorithm == x509.SHA1WithRSA {
		hash = crypto.SHA1
		sum := sha1.Sum(c.RawTBSCertificate)
		digest = sum[:]
	}
	return rsa.VerifyPKCS1v15(by.PublicKey.(*rsa.PublicKey), hash, digest, c.Signature) == nil
}

func rootOf(t *testing.T, c *Certificate) []byte {
	t.Helper()
	root, err := c.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestStored(t *testing.T) {
	first := ready(t)
	if again := ready(t); !bytes.Equal(rootOf(t, again), rootOf(t, first)) {
		t.Error("it is made anew at each start")
	}
	without := saved.pem[bytes.Index(saved.pem[1:], []byte("-----BEGIN")):]
	for name, file := range map[string][]byte{
		"damaged": []byte("damaged"), "empty": {}, "without the authority": without,
		"somebody else's key": bytes.Replace(saved.pem, []byte("RSA PRIVATE KEY"), []byte("PRIVATE KEY"), 2),
	} {
		if err := newCertificate(&memory{file}).Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var log bytes.Buffer
	moved := NewCertificate(&saved, []string{"box.lan", "new.lan"}, addresses("127.0.0.1", "10.0.0.9"), slog.New(slog.NewTextHandler(&log, nil)))
	if err := moved.Prepare(t.Context()); err != nil || strings.Count(log.String(), "\n") != 2 ||
		!strings.Contains(log.String(), "name=new.lan\n") || !strings.Contains(log.String(), "name=10.0.0.9\n") {
		t.Errorf("%v, of other names is said: %s", err, log.String())
	}
	if st := moved.State(); !st.Ended || st.Err != nil || !strings.HasPrefix(st.Authority, "Nudge ") || !slices.Equal(st.Lacks, []string{"new.lan", "10.0.0.9"}) {
		t.Errorf("the certificate is %+v", st)
	}
	now := []string{"127.0.0.1"}
	moving := NewCertificate(&saved, nil, func() []net.IP { return addresses(now...)() }, slog.New(slog.DiscardHandler))
	if st := moving.State(); st.Ended {
		t.Errorf("before it is ready: %+v", st)
	}
	moving.Prepare(t.Context())
	before := moving.State().Lacks
	now = []string{"192.168.1.77"}
	if after := moving.State().Lacks; len(before) > 0 || !slices.Equal(after, now) {
		t.Errorf("an address that came later: lacks %q, then %q", before, after)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	st := &memory{}
	if err := newCertificate(st).Prepare(ctx); !errors.Is(err, context.Canceled) || st.pem != nil {
		t.Errorf("a box that stops goes on: %v, %d bytes", err, len(st.pem))
	}
}

// slow is a Store that takes its time.
type slow struct {
	memory
	asked, answer chan struct{}
}

func (s *slow) Load() ([]byte, error) {
	close(s.asked)
	<-s.answer
	return s.pem, nil
}

// TestEarly: a client that comes before there is a certificate waits for it.
func TestEarly(t *testing.T) {
	ready(t)
	st := &slow{saved, make(chan struct{}), make(chan struct{})}
	cert := newCertificate(st)
	addr, _ := serve(t, cert, nil, true)
	done := make(chan error, 2)
	go func() { done <- cert.Prepare(t.Context()) }()
	<-st.asked
	c := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true})
	go func() { done <- c.Handshake() }()
	select {
	case err := <-done:
		t.Fatal("somebody did not wait", err)
	default:
	}
	close(st.answer)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestShutdownDoesNotWait: a client may still be waiting for the certificate.
func TestShutdownDoesNotWait(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s := New(&passport.Server{Witness: make(witness), Log: log}, gateway.New(gateway.Config{Log: log}), newCertificate(&saved), nil, log)
	client, server := net.Pipe()
	defer client.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve(server, true)
	}()
	if _, err := client.Write(helloXP(tls.VersionTLS10, time.Now(), suitesXP)[:helloSize]); err != nil { // is read
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-done
}

// TestRoot fetches what PCs are to trust and lets a client trust it.
func TestRoot(t *testing.T) {
	cert := ready(t)
	resp, err := http.Get("http://" + start(t, nil, false) + "/nudge.crt")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	der, err := io.ReadAll(resp.Body)
	if err != nil || resp.Header.Get("Content-Type") != "application/x-x509-ca-cert" || !bytes.Equal(der, rootOf(t, cert)) {
		t.Fatal(resp.Header, err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	c := tls.Client(dial(t, start(t, nil, true)), &tls.Config{RootCAs: roots, ServerName: "login.passport.com"})
	if err := c.Handshake(); err != nil {
		t.Error(err)
	}

	broken := newCertificate(&memory{[]byte("damaged")})
	broken.Prepare(t.Context())
	addr, _ := serve(t, broken, nil, false)
	if resp, err := http.Get("http://" + addr + "/nudge.crt"); err != nil || resp.StatusCode != http.StatusInternalServerError {
		t.Error(resp, err)
	}
}
