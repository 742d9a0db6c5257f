package msnserver

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nudge/msnserver/front"
)

// lan is a server with its three ports on loopback, and PCs that have the other
// addresses of this machine.
type lan struct {
	*testing.T
	srv              *Server
	msn, http, https string
	pc               netip.Addr // the one whose turn it is
}

// inMemory is a front.Store.
type inMemory struct{ pem []byte }

func (m *inMemory) Load() ([]byte, error) { return m.pem, nil }
func (m *inMemory) Save(pem []byte) error { m.pem = pem; return nil }

func newLAN(t *testing.T) *lan {
	t.Helper()
	b := newBox(t)
	for handle, old := range map[string]bool{"alice@example.com": false, "bob@example.com": true} {
		if err := b.hub.CreateAccount(t.Context(), handle, "", "123456", old); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	cert := front.NewCertificate(&inMemory{}, nil, noAddress, log)
	if err := cert.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := &lan{T: t, srv: New(Config{Hub: b.hub, Log: log, Cert: cert}), pc: netip.MustParseAddr("127.0.0.10")}
	done := make(chan error, 3)
	for addr, serve := range map[*string]func(net.Listener) error{&l.msn: l.srv.ServeMSN, &l.http: l.srv.ServeHTTP, &l.https: l.srv.ServeHTTPS} {
		port, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*addr = port.Addr().String()
		go func() { done <- serve(port) }()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := l.srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		for range 3 {
			if err := <-done; err != ErrClosed {
				t.Error(err)
			}
		}
	})
	return l
}

// dial connects the PC.
func (l *lan) dial(addr string) net.Conn {
	l.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.pc, 0))}
	c, err := d.DialContext(l.Context(), "tcp", addr)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second)) // only a failing test gets there
	return c
}

// say says something in one go and reads until the server hangs up: what it makes
// of that the owner is told before.
func (l *lan) say(addr, text string) string {
	l.Helper()
	c := l.dial(addr)
	io.WriteString(c, text)
	c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil {
		l.Fatal(err)
	}
	return string(got)
}

// md5 signs in with MSNP2 as far as it gets.
func (l *lan) md5(handle, password string) string {
	l.Helper()
	c := l.dial(l.msn)
	r := bufio.NewReader(c)
	io.WriteString(c, "VER 1 MSNP2 CVR0\r\nINF 2\r\nUSR 3 MD5 I "+handle+"\r\n")
	challenge := ""
	for !strings.HasPrefix(challenge, "USR 3 MD5 S ") {
		line, err := r.ReadString('\n')
		if err != nil {
			l.Fatal(err)
		}
		challenge = line
	}
	sum := md5.Sum([]byte(strings.TrimSpace(strings.TrimPrefix(challenge, "USR 3 MD5 S ")) + password))
	io.WriteString(c, "USR 4 MD5 S "+hex.EncodeToString(sum[:])+"\r\n")
	line, err := r.ReadString('\n')
	if err != nil {
		l.Fatal(err)
	}
	return line
}

// tls connects the PC to port 443 as Windows XP does. With roots it checks what
// it is shown, and leaves when it does not like that.
func (l *lan) tls(roots *x509.CertPool) (*tls.Conn, error) {
	c := tls.Client(l.dial(l.https), &tls.Config{
		MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA},
		RootCAs: roots, ServerName: "nexus.passport.com", InsecureSkipVerify: roots == nil,
	})
	err := c.Handshake()
	if err != nil {
		io.Copy(io.Discard, c.NetConn())
	}
	return c, err
}

func unhex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Hellos byte by byte: in the frame of SSL 2 as Windows XP sends it as delivered,
// of SSL 3, with export ciphers only, and from a PC in the year 1980.
var (
	random28    = strings.Repeat("5a", 28)
	helloSSL2   = unhex("80 1f 01 0300 0006 0000 0010 010080 000004" + strings.Repeat("5a", 16))
	helloSSL3   = unhex("16 0300 002d 01 000029 0300 492c0e11" + random28 + "00 0002 0004 0100")
	helloExport = unhex("16 0301 002d 01 000029 0301 492c0e11" + random28 + "00 0002 0003 0100")
	hello1980   = unhex("16 0301 002d 01 000029 0301 12cff780" + random28 + "00 0002 0005 0100")
)

// TestDiagnosis lets PCs that are broken in every way try to sign in over real
// connections; what the owner is told must be the right thing, and only that.
func TestDiagnosis(t *testing.T) {
	l := newLAN(t)
	const ns = "VER 1 MSNP8 CVR0\r\nCVR 2 0x0409 win 4.10 i386 MSNMSGR 5.0.0544 MSMSGS alice@example.com\r\nUSR 3 TWN I alice@example.com\r\n"
	login := func(handle, password string) string {
		c, err := l.tls(nil)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET /login2.srf HTTP/1.0\r\nAuthorization: Passport1.4 sign-in="+handle+",pwd="+password+"\r\n\r\n")
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	for _, c := range []struct {
		name string
		try  func()
		told string
	}{
		{"firewall", func() { l.srv.AskedName(l.pc, false) }, "never-came "},
		{"port 1863 blocked", func() {
			l.srv.AskedName(l.pc, false)
			l.say(l.http, "GET /Config/MsgrConfig.asmx HTTP/1.0\r\n\r\n")
		}, "no-1863 "},
		{"port 443 blocked", func() { l.say(l.msn, ns) }, "no-443 alice@example.com"},
		{"name of the nexus asked only", func() { l.srv.AskedName(l.pc, true) }, "no-443 "},
		{"SSL 2", func() { l.say(l.msn, ns); l.say(l.https, helloSSL2) }, "old-hello "},
		{"SSL 3", func() { l.say(l.https, helloSSL3) }, "old-hello "},
		{"export ciphers", func() { l.say(l.https, helloExport) }, "weak-hello "},
		{"certificate not installed", func() {
			if _, err := l.tls(x509.NewCertPool()); err == nil {
				t.Error("trusted without a reason")
			}
			l.say(l.https, helloSSL3) // its second try
		}, "untrusted "},
		{"certificate not installed, Windows", func() {
			c, err := l.tls(nil)
			if err != nil {
				t.Fatal(err)
			}
			c.CloseWrite()
			io.Copy(io.Discard, c)
		}, "untrusted "},
		{"dead battery", func() { l.say(l.https, hello1980) }, "wrong-clock "},
		{"ticket of another day", func() { l.say(l.msn, ns+"USR 4 TWN S t=old&p=\r\n") }, "stale-server alice@example.com"},
		{"switchboard of another day, over HTTP", func() {
			l.say(l.http, "POST /gateway/gateway.dll?Action=open&Server=SB&IP=207.46.110.1 HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
		}, "stale-server "},
		{"version of 2012", func() { l.say(l.msn, "VER 1 MSNP21 CVR0\r\n") }, "unknown-version "},
		{"version of nobody", func() { l.say(l.msn, "VER 1 MSNP99\r\n") }, "unknown-version "},
		{"MD5 not allowed", func() { l.md5("alice@example.com", "123456") }, "md5-off alice@example.com"},
		{"wrong password, MD5", func() { l.md5("bob@example.com", "654321") }, "wrong-password bob@example.com"},
		{"wrong password, Passport", func() { l.say(l.msn, ns); login("alice@example.com", "654321") }, "wrong-password alice@example.com"},
		{"unknown account, MD5", func() { l.md5("carol@example.com", "123456") }, "unknown-account carol@example.com"},
		{"unknown account, Passport", func() { login("alcie%40example.com", "123456") }, "unknown-account alcie@example.com"},
		{"nothing wrong, MD5", func() {
			l.md5("bob@example.com", "654321")
			if got := l.md5("bob@example.com", "123456"); !strings.HasPrefix(got, "USR 4 OK ") {
				t.Error(got)
			}
		}, ""},
		{"nothing wrong, Passport", func() {
			l.srv.AskedName(l.pc, false)
			l.say(l.https, helloSSL2)
			_, rest, _ := strings.Cut(login("alice@example.com", "123456"), "from-PP='")
			ticket, _, _ := strings.Cut(rest, "'")
			if got := l.say(l.msn, ns+"USR 4 TWN S "+ticket+"\r\nOUT\r\n"); !strings.Contains(got, "USR 4 OK ") {
				t.Error(got)
			}
		}, ""},
	} {
		l.pc = l.pc.Next()
		c.try()
		told := ""
		for _, x := range l.srv.trouble.list(time.Now().Add(followTime)) {
			if x.Peer == l.pc {
				told = fmt.Sprintf("%v %s", x.Why, x.Handle)
			}
		}
		if told != c.told {
			t.Errorf("%s: told %q, not %q", c.name, told, c.told)
		}
	}
}

// noAddress is a box without a network.
func noAddress() []net.IP { return nil }
