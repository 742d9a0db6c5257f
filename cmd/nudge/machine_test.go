package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nudge/cmd/nudge/control"
)

// systemd is the socket on which systemd hears from a service.
type systemd struct {
	t *testing.T
	c *net.UnixConn
}

// underSystemd makes the environment that systemd gives to the unit.
func underSystemd(t *testing.T) (s *systemd, runtime string) {
	t.Helper()
	runtime = t.TempDir()
	name := filepath.Join(runtime, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("RUNTIME_DIRECTORY", runtime)
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	return &systemd{t, c}, runtime
}

// hears waits for a message that has the words.
func (s *systemd) hears(words string) string {
	s.t.Helper()
	s.c.SetReadDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 4096)
	for {
		n, err := s.c.Read(buf)
		if err != nil {
			s.t.Fatalf("systemd did not hear %q: %v", words, err)
		}
		if strings.Contains(string(buf[:n]), words) {
			return string(buf[:n])
		}
	}
}

func TestSystemdHearsHowTheBoxIs(t *testing.T) {
	bus, runtime := underSystemd(t)
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "nudge.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	r := serve(t, dir, "--config", file)
	bus.hears("READY=1")
	bus.hears("STATUS=ready: 0 signed in, 0 of 0 links up")
	bus.hears("WATCHDOG=1")

	// The socket is where the group finds it, and also by the data folder.
	for _, at := range []string{runtime, dir} {
		cl, err := control.Dial(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		st, err := cl.Status(t.Context())
		if err != nil || st.Lights == "" || st.Pairing != nil {
			t.Errorf("lights %q, pairing %v, %v", st.Lights, st.Pairing, err)
		}
		defer cl.Close()
		if at == dir {
			if _, err := cl.OpenPairing(t.Context()); err != nil {
				t.Error(err)
			}
			if st, err = cl.Status(t.Context()); err != nil || st.Pairing == nil {
				t.Errorf("pairing is not open, %v", err)
			}
		}
	}

	nudge(t, "", "--data", dir, "led", "test").want(t, exitFailed, "nothing to light: none")
	nudge(t, "", "--data", dir, "led", "off").want(t, exitFailed, "the box is running")

	client, err := net.Dial("tcp", r.ports["msn"])
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	write("log = 'debug'\n[limits]\nmembers_per_conversation = 7")
	hup := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hup()
	if m := bus.hears("RELOADING=1"); !strings.Contains(m, "MONOTONIC_USEC=") {
		t.Errorf("systemd heard %q", m)
	}
	bus.hears("READY=1")
	nudge(t, "", "--data", dir, "status").want(t, exitOK, "lights", "no LED")
	io.WriteString(client, "VER 1 MSNP8 CVR0\r\n")
	if said, err := bufio.NewReader(client).ReadString('\n'); err != nil || !strings.HasPrefix(said, "VER 1 MSNP8") {
		t.Errorf("the client that was there before was told %q, %v", said, err)
	}
	write("log = 'loud'")
	hup()
	bus.hears("RELOADING=1")
	bus.hears("READY=1")
	got := r.stop()
	bus.hears("STOPPING=1")
	got.want(t, exitOK)
	for _, words := range []string{`level=DEBUG msg="owner's call"`, `waits for the next start" keys=limits`, "stays as it was", `log: \"loud\" is no level`} {
		if !strings.Contains(got.err, words) {
			t.Errorf("the log lacks %s:\n%s", words, got.err)
		}
	}
}

// TestNoSignOfLifeWithoutAProof stops one half of the box after the other.
func TestNoSignOfLifeWithoutAProof(t *testing.T) {
	s, err := start(config{Data: t.TempDir(), MSN: "127.0.0.1:0", HTTP: "127.0.0.1:0", HTTPS: off, Names: off}, newLog(t.Output(), slog.LevelInfo), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	limited := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	if err := s.alive(limited()); err != nil {
		t.Error(err)
	}
	// A port that is open, but nobody takes the connections.
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	was := s.box.Listeners[0].Addr
	s.box.Listeners[0].Addr = deaf.Addr().String()
	if err := s.alive(limited()); err == nil || !strings.HasPrefix(err.Error(), "port msn") {
		t.Errorf("nobody accepts: %v", err)
	}
	s.box.Listeners[0].Addr = was
	if err := s.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.alive(limited()); err == nil || !strings.HasPrefix(err.Error(), "the database") {
		t.Errorf("the database is closed: %v", err)
	}
}

func TestButton(t *testing.T) {
	_, runtime := underSystemd(t)
	m := newMachine(t.Output(), config{}, nil)
	defer m.close()
	m.pair() // nothing to pair with yet
	s, err := start(config{Data: t.TempDir(), MSN: "127.0.0.1:0", HTTP: "127.0.0.1:0", HTTPS: off, Names: off}, m.log, m.panel, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop(t.Context())
	m.tend(s)
	defer m.stopping(false)
	if !s.box.PairingUntil().IsZero() {
		t.Error("pairing is open by itself")
	}
	m.pair()
	if left := time.Until(s.box.PairingUntil()); left < 2*time.Minute || left > 3*time.Minute {
		t.Errorf("pairing is open for %v", left)
	}
	m.powerOff()
	if _, err := os.Stat(filepath.Join(runtime, powerOffFile)); err != nil {
		t.Error(err)
	}
}
