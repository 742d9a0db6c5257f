package msnserver

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
)

// listen serves the MSN port on loopback.
func (b *box) listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.srv.ServeMSN(l) }()
	t.Cleanup(func() {
		if err := b.srv.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// TestSockets checks what pipes can't show: that the last lines arrive although
// the client goes on talking, and that NS and SB share the port.
func TestSockets(t *testing.T) {
	b := newBox(t)
	addr := b.listen(t)
	for in, want := range map[string]string{
		"VER 1 MSNP2\r\nINF 2\r\nUSR 3 MD5 S 0\r\nSYN 4 0\r\nCHG 5 NLN\r\n": "VER 1 MSNP2\r\nINF 2 MD5\r\n715 3\r\n",
		"USR 1 alice@example.com nonsense\r\nCAL 2 x\r\n":                   "911 1\r\n",
		"\r\nANS 1 alice@example.com nonsense 1\r\n":                        "911 1\r\n",
		"MSG 2 N abc\r\n": "",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, in)
		got, err := io.ReadAll(bufio.NewReader(c))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestAtHome(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "192.168.1.9": true, "10.1.2.3": true, "172.31.0.1": true, "169.254.1.1": true, "fe80::1%eth0": true, "fd00::1": true,
		"8.8.8.8": false, "2001:db8::1": false, "172.32.0.1": false, "100.64.0.1": false, "255.255.255.255": false, "0.0.0.0": false,
	} {
		if got := AtHome(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g := newGate(func(netip.Addr) bool { return false }, DefaultLimits(), slog.New(slog.DiscardHandler))
	go g.before(l).Accept()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("a stranger was let in")
	}
}

// nowhere is a sink that takes everything and shows nothing.
type nowhere struct{}

func (nowhere) Deliver(im.Event, func(bool)) {}

// FuzzServe says anything to a server, as a stranger, signed in and in a
// conversation: it must neither crash nor hang.
func FuzzServe(f *testing.F) {
	for _, s := range []string{
		"", "\r\n", "VER 1 MSNP8\r\nCVR 2 0x0409 win 4.10 i386 MSMSGS 5.0 MSMSGS a@b\r\nUSR 3 TWN I a@b\r\nUSR 4 TWN S t=\r\n",
		"USR 1 a@b x\r\n", "ANS 1 a@b x 99999999999\r\n", "CVQ 1 a b c d e\r\n", "VER 1 MSNP2\r\nUSR 1 MD5 I a@b\r\nUSR 2 MD5 S x\r\n",
		"MSG 1 N -1\r\n", "OUT\r\n", "CAL 2 alice@example.com\r\nMSG 3 A 3\r\nabc", "SYN 1 0\r\nCHG 2 NLN\r\nXFR 3 SB\r\nLST 4 FL\r\n",
		"UUX 1 9\r\n<Data><PSM>x", "ADC 1 FL N=alice@example.com F=x\r\nADC 2 FL C=0 0\r\nREM 3 FL 0\r\nSBP 4 0 MFN x\r\nPRP 5 MFN %0d\r\nGCF 6 Shields.xml\r\n",
		"ADD 1 FL alice@example.com x 0\r\nREM 2 FL alice@example.com\r\nREA 3 alice@example.com %\r\nADG 4 g 0\r\nRMG 5 1\r\n",
	} {
		f.Add(s)
	}
	b := newBox(f)
	if err := b.hub.CreateAccount(f.Context(), "alice@example.com", "", "123456", false); err != nil {
		f.Fatal(err)
	}
	say := func(s string) {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.srv.ServeConn(&local{server})
		}()
		read := make(chan struct{})
		go func() {
			defer close(read)
			io.Copy(io.Discard, client)
		}()
		io.WriteString(client, s)
		client.Close()
		<-done
		<-read
	}
	f.Fuzz(func(t *testing.T, s string) {
		say(s)
		say("VER 1 MSNP8\r\nUSR 2 TWN I alice@example.com\r\nUSR 3 TWN S " + b.srv.tickets.Issue("alice@example.com") + "\r\n" + s)
		say("VER 1 MSNP12\r\nUSR 2 TWN I alice@example.com\r\nUSR 3 TWN S " + b.srv.tickets.Issue("alice@example.com") + "\r\n" + s)
		user, err := b.hub.SignOn("alice@example.com", bridge.Client{Proto: "MSNP2"}, nowhere{})
		if err != nil {
			t.Fatal(err)
		}
		defer user.Close()
		user.SetPresence(im.Presence{Status: im.Online}, "")
		cookie, err := user.Cookie()
		if err != nil {
			t.Fatal(err)
		}
		say("USR 1 alice@example.com " + cookie + "\r\n" + s)
		b.alarm.check(t)
	})
}
