package msnserver

import (
	"bufio"
	"crypto/md5"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"nudge/msnserver/wire"
)

// TestEachClientItsOwnAddress: on a box with several addresses each client is
// sent to the switchboard where it came in itself, as IPv4 although the listener
// takes both (MSNP.md B.11, C.2).
func TestEachClientItsOwnAddress(t *testing.T) {
	b := newBox(t)
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	go b.srv.ServeMSN(l)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here := net.JoinHostPort("127.0.0.1", port)
	there := net.JoinHostPort("127.0.0.2", port)
	for _, h := range []string{"alice@example.com", "bob@example.com"} {
		if err := b.hub.CreateAccount(t.Context(), h, "", "123456", true); err != nil {
			t.Fatal(err)
		}
	}
	bob := b.signInAt(t, here, "bob@example.com")
	alice := b.signInAt(t, there, "alice@example.com")
	xfr := alice.ask(t, "XFR 6 SB")
	if xfr.Arg(2) != there {
		t.Errorf("alice came to %s and got %s", there, xfr)
	}
	seat := dialTCP(t, xfr.Arg(2))
	seat.ask(t, "USR 1 alice@example.com "+xfr.Arg(4))
	if got := seat.ask(t, "CAL 2 bob@example.com"); got.Arg(1) != "RINGING" {
		t.Fatalf("calling: %s", got)
	}
	if rng := bob.read(t); rng.Verb != "RNG" || rng.Arg(1) != here {
		t.Errorf("bob came to %s and got %s", here, rng)
	}
}

// socket is a client on a real connection.
type socket struct {
	net.Conn
	r *bufio.Reader
}

func dialTCP(t *testing.T, addr string) *socket {
	t.Helper()
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &socket{c, bufio.NewReaderSize(c, wire.MaxLine)}
}

func (s *socket) read(t *testing.T) wire.Command {
	t.Helper()
	cmd, err := wire.Read(s.r, wire.FromServer)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

func (s *socket) ask(t *testing.T, line string) wire.Command {
	t.Helper()
	if _, err := s.Write([]byte(line + "\r\n")); err != nil {
		t.Fatal(err)
	}
	return s.read(t)
}

// signInAt signs in with MSNP7 and shows the user on-line.
func (b *box) signInAt(t *testing.T, addr, handle string) *socket {
	t.Helper()
	s := dialTCP(t, addr)
	s.ask(t, "VER 1 MSNP7")
	s.ask(t, "INF 2")
	challenge := s.ask(t, "USR 3 MD5 I "+handle).Arg(3)
	ok := s.ask(t, fmt.Sprintf("USR 4 MD5 S %x", md5.Sum([]byte(challenge+"123456"))))
	if !strings.HasPrefix(ok.String(), "USR 4 OK ") {
		t.Fatalf("signing in: %s", ok)
	}
	s.read(t) // the profile
	s.ask(t, "CHG 5 NLN")
	return s
}
