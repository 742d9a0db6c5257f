package main

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/control"
)

// tryFrom lets the PC at ip say something to addr, and waits until the box hangs
// up.
func tryFrom(t *testing.T, ip, addr, text string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second)) // only a failing test gets there
	io.WriteString(c, text)
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
}

// TestTroubledPCs lets old PCs fail to sign in, each in its way, and asks the
// box about them as the owner does.
func TestTroubledPCs(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, dir)
	nudge(t, "", "--data", dir, "user", "add", "alice@hotmail.com", "--password", "sesame").want(t, exitOK)
	nudge(t, "", "--data", dir, "setting", "address", "192.168.1.20").want(t, exitOK)
	if r := nudge(t, "", "--data", dir, "status").want(t, exitOK); strings.Contains(r.out, "in trouble") {
		t.Error(r.out)
	}
	hello := "\x80\x1f\x01\x03\x00\x00\x06\x00\x00\x00\x10\x01\x00\x80\x00\x00\x04" + strings.Repeat("Z", 16)
	md5 := "VER 1 MSNP2\r\nUSR 2 MD5 I alice@hotmail.com\r\nUSR 3 MD5 S 0123456789abcdef0123456789abcdef\r\n"
	tryFrom(t, "127.0.0.11", r.ports["https"], hello)
	tryFrom(t, "127.0.0.11", r.ports["https"], hello)
	tryFrom(t, "127.0.0.12", r.ports["msn"], md5)
	tryFrom(t, "127.0.0.13", r.ports["http"], "GET /login2.srf HTTP/1.0\r\nAuthorization: Passport1.4 sign-in=alice%40hotmail.com,pwd=open\r\n\r\n")

	nudge(t, "", "--data", dir, "status").want(t, exitOK, "PCs in trouble    3 could not sign in",
		"127.0.0.11      it speaks SSL 2 or 3, which can't be answered (2 times since ", "untick \"Use SSL 2.0\"",
		"127.0.0.12      alice@hotmail.com: ", "; nudge user set alice@hotmail.com md5 on --password-stdin",
		"127.0.0.13      alice@hotmail.com: the password is wrong (", "nudge user passwd alice@hotmail.com")
	nudge(t, "", "--data", dir, "doctor").want(t, exitOK, "warning", "PC 127.0.0.11  it speaks SSL 2 or 3")
	var s control.Status
	if err := json.Unmarshal([]byte(nudge(t, "", "--data", dir, "status", "--json").want(t, exitOK).out), &s); err != nil {
		t.Fatal(err)
	}
	codes := map[string]int{}
	for _, p := range s.Troubled {
		codes[p.Address+" "+p.Account+" "+p.Trouble] += p.Times
	}
	for code, times := range map[string]int{
		"127.0.0.11  old-hello": 2, "127.0.0.12 alice@hotmail.com md5-off": 1, "127.0.0.13 alice@hotmail.com wrong-password": 1,
	} {
		if codes[code] != times {
			t.Errorf("%s: %d times, not %d", code, codes[code], times)
		}
	}
	r.stop().want(t, exitOK)
	nudge(t, "", "--data", dir, "status", "--json").want(t, exitOK, `"troubled": []`)
}
