package front

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"nudge/msnserver/gateway"
	"nudge/msnserver/passport"
)

// suitesXP are what Windows XP offers, in its order (SERVERS.md 3c), and weakest
// is what is left of it where only export strength was allowed.
var (
	suitesXP = []uint16{0x0004, 0x0005, 0x000a, 0x0009, 0x0064, 0x0062, 0x0003, 0x0006, 0x0013, 0x0012, 0x0063}
	weakest  = []uint16{0x0003, 0x0006, 0x0062, 0x0064, 0x0009}
)

// helloXP is a hello without extensions, as Windows before Vista sends it.
func helloXP(version uint16, clock time.Time, suites []uint16) []byte {
	body := binary.BigEndian.AppendUint16(nil, version)
	body = binary.BigEndian.AppendUint32(body, uint32(clock.Unix()))
	body = append(body, make([]byte, 28)...)                             // random
	body = append(body, 0)                                               // no session
	body = binary.BigEndian.AppendUint16(body, uint16(2*len(suites)))    //
	body, _ = binary.Append(body, binary.BigEndian, suites)              //
	body = append(body, 1, 0)                                            // no compression
	message := append([]byte{1, 0, 0, byte(len(body))}, body...)         //
	record := binary.BigEndian.AppendUint16([]byte{22}, version)         //
	record = binary.BigEndian.AppendUint16(record, uint16(len(message))) //
	return append(record, message...)
}

// helloV2 is a hello in the frame of SSL 2 (as XP with Internet Explorer 6 sends
// it), for a version up to the given one.
func helloV2(version uint16) []byte {
	body := binary.BigEndian.AppendUint16([]byte{1}, version)
	body = append(body, 0, 9, 0, 0, 0, 16, 0, 0, 4, 0, 0, 5, 1, 0, 0x80)
	body = append(body, make([]byte, 16)...)
	return append([]byte{0x80, byte(len(body))}, body...)
}

func TestHellosThatCantBeAnswered(t *testing.T) {
	addr, told := serve(t, ready(t), nil, true)
	for _, c := range []struct {
		name   string
		hello  []byte
		answer string
		why    passport.Trouble
	}{
		{"SSL 2", helloV2(0x0002), "8003000001", passport.OldHello},
		{"SSL 3 in the frame of SSL 2", helloV2(0x0300), "15030000020246", passport.OldHello},
		{"TLS 1.0 in the frame of SSL 2", helloV2(0x0301), "15030100020246", passport.OldHello},
		{"SSL 3", helloXP(0x0300, time.Now(), suitesXP), "15030000020228", passport.OldHello},
		{"export strength", helloXP(0x0301, time.Now(), weakest), "15030100020228", passport.WeakHello},
	} {
		conn := dial(t, addr)
		for _, b := range c.hello { // in the smallest of pieces
			conn.Write([]byte{b})
		}
		got, err := io.ReadAll(conn)
		if hex.EncodeToString(got) != c.answer || err != nil {
			t.Errorf("%s is answered %x, %v", c.name, got, err)
		}
		if why := <-told; why != c.why {
			t.Errorf("%s is told as %v", c.name, why)
		}
	}
}

// TestOldTLS shakes hands as clients before Vista do, without a server name, and
// sees which certificate they get.
func TestOldTLS(t *testing.T) {
	addr := start(t, nil, true)
	for _, suite := range []uint16{
		tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	} {
		for version, want := range map[uint16]x509.SignatureAlgorithm{
			tls.VersionTLS10: x509.SHA1WithRSA, tls.VersionTLS11: x509.SHA1WithRSA, tls.VersionTLS12: x509.SHA256WithRSA,
		} {
			c := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, CipherSuites: []uint16{suite}})
			if err := c.Handshake(); err != nil {
				t.Errorf("%s %x: %v", tls.CipherSuiteName(suite), version, err)
				continue
			}
			if got := c.ConnectionState().PeerCertificates[0].SignatureAlgorithm; got != want {
				t.Errorf("%s %x: a certificate signed %v", tls.CipherSuiteName(suite), version, got)
			}
			if _, err := io.WriteString(c, "GET /rdr/pprdr.asp HTTP/1.0\r\n\r\n"); err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(c); err != nil || !strings.Contains(string(got), "\r\nPassportURLs: ") {
				t.Errorf("%s %x: %q, %v", tls.CipherSuiteName(suite), version, got, err)
			}
		}
	}
}

// flight reads what the server says after a hello, up to its last message.
func flight(t *testing.T, c net.Conn) {
	t.Helper()
	var got []byte
	for !bytes.HasSuffix(got, []byte{14, 0, 0, 0}) { // ServerHelloDone
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if got = append(got, b[:n]...); err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
	}
}

// TestDoubt lets clients go as they do when they don't like what they see.
func TestDoubt(t *testing.T) {
	addr, told := serve(t, ready(t), nil, true)
	alert := func(n byte) []byte { return []byte{21, 3, 1, 0, 2, 2, n} }
	now, dead := time.Now(), time.Date(1980, 1, 1, 0, 0, 7, 0, time.UTC)
	for _, c := range []struct {
		name  string
		clock time.Time
		last  []byte
		why   passport.Trouble
	}{
		{"unknown authority", now, alert(48), passport.Untrusted},
		{"bad certificate", now, alert(42), passport.Untrusted},
		{"unknown certificate", now, alert(46), passport.Untrusted},
		{"expired certificate", now, alert(45), passport.WrongClock},
		{"gone", now, nil, passport.Untrusted},
		{"gone, dead battery", dead, nil, passport.WrongClock},
		{"bad certificate, dead battery", dead, alert(42), passport.WrongClock},
	} {
		conn := dial(t, addr)
		conn.Write(helloXP(0x0301, c.clock, suitesXP))
		flight(t, conn)
		conn.Write(c.last)
		conn.Close()
		if why := <-told; why != c.why {
			t.Errorf("%s is told as %v", c.name, why)
		}
	}

	// Clients of today: one that checks, and one as Windows, which checks when
	// the handshake is over. Now dead batteries can't be seen.
	if err := tls.Client(dial(t, addr), &tls.Config{ServerName: "nexus.passport.com", RootCAs: x509.NewCertPool()}).Handshake(); err == nil {
		t.Error("trusted without a reason")
	}
	if why := <-told; why != passport.Untrusted {
		t.Errorf("today's client is told as %v", why)
	}
	windows := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS10, MinVersion: tls.VersionTLS10})
	if err := windows.Handshake(); err != nil {
		t.Fatal(err)
	}
	windows.Close()
	if why := <-told; why != passport.Untrusted {
		t.Errorf("Windows is told as %v", why)
	}
}

// TestNoDoubt lets clients go that nothing is wrong with: nothing is told before
// a hello of SSL 3 that comes last.
func TestNoDoubt(t *testing.T) {
	addr, told := serve(t, ready(t), nil, true)
	finished := func(done string) {
		t.Helper()
		conn := dial(t, addr)
		io.WriteString(conn, done)
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn)
	}
	finished("")
	finished("\x16\x03\x01")
	finished("GET / HTTP/1.0\r\n\r\n")
	finished("\x16\x03\x01\x00\x05\x0e\x00\x00\x00\x00----")
	browser := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err := browser.Handshake(); err != nil {
		t.Fatal(err)
	}
	browser.CloseWrite()
	io.Copy(io.Discard, browser)
	busy := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true})
	io.WriteString(busy, "GET /rdr/pprdr.asp HTTP/1.1\r\n\r\nGET /rd")
	busy.CloseWrite()
	io.Copy(io.Discard, busy)
	finished(string(helloXP(0x0300, time.Now(), suitesXP)))
	if why := <-told; why != passport.OldHello {
		t.Errorf("told %v", why)
	}
}

// FuzzHello says anything to port 443: it must neither crash nor hang.
func FuzzHello(f *testing.F) {
	for _, seed := range [][]byte{
		nil, helloV2(2), helloV2(0x0301), helloXP(0x0300, time.Time{}, suitesXP), helloXP(0x0301, time.Now(), suitesXP),
		helloXP(0x0002, time.Now(), suitesXP), helloXP(0x0303, time.Now(), nil), {0x80, 0, 1, 0, 2}, {0xff, 0xff, 1, 3, 1}, {22, 3, 0, 0, 0},
	} {
		f.Add(seed)
	}
	log := slog.New(slog.DiscardHandler)
	cert := newCertificate(&saved)
	if err := cert.Prepare(f.Context()); err != nil {
		f.Fatal(err)
	}
	told := make(witness, 1)
	s := New(&passport.Server{Accounts: nobody{}, Tickets: passport.NewTickets(), Witness: told, Log: log}, gateway.New(gateway.Config{Log: log}), cert, nil, log)
	f.Cleanup(func() { s.Shutdown(f.Context()) })
	f.Fuzz(func(t *testing.T, hello []byte) {
		client, server := net.Pipe()
		read := make(chan struct{})
		go func() {
			defer close(read)
			io.Copy(io.Discard, client)
		}()
		go func() {
			client.Write(hello)
			client.Close()
		}()
		if c, err := s.secure(server); err == nil {
			c.Close()
			t.Error("a handshake without keys")
		}
		<-read
		select {
		case <-told:
		default:
		}
	})
}
