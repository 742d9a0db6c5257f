package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// get asks the box as a program that calls it host.
func get(t *testing.T, addr, path, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestHealth(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, dir)
	nudge(t, "", "--data", dir, "user", "add", "alice@hotmail.com").want(t, exitOK)
	addr := r.ports["http"]
	if code, text := get(t, addr, "/healthz", ""); code != 200 || text != "ok\n" {
		t.Errorf("/healthz: %d %q", code, text)
	}
	code, text := get(t, addr, "/metrics", "192.168.1.20:80")
	sample := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[a-z]+"(,[a-z]+="[a-z]+")*\})? [-+0-9.e]+)$`)
	for line := range strings.Lines(text) {
		if !sample.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("no line of the format: %q", line)
		}
	}
	for _, want := range []string{"nudge_healthy 1\n", "nudge_accounts 1\n", "nudge_accounts_online 0\n", `nudge_links{network="xmpp",state="up"} 0` + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics: %d, lacks %q:\n%s", code, want, text)
		}
	}
	if strings.Contains(text, "alice") {
		t.Error("/metrics tells who is here")
	}
	host, _ := os.Hostname()
	for _, c := range []struct {
		path, host string
		code       int
	}{
		{"/metrics", "evil.example", 403}, {"/healthz", "messenger.hotmail.com:80", 403}, {"/metrics", "localhost:80", 200},
		{"/metrics", "[fe80::1]:80", 200}, {"/metrics", strings.ToUpper(host), 200}, {"/", "messenger.hotmail.com", 200}, {"/nothing", "", 404},
	} {
		if code, _ := get(t, addr, c.path, c.host); code != c.code {
			t.Errorf("%s as %s: %d, want %d", c.path, c.host, code, c.code)
		}
	}
	// That it fails when the box does is TestNoSignOfLifeWithoutAProof's.
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for name, c := range map[string]struct {
			floor  time.Duration // from now
			synced time.Duration // somebody sets it
			after  time.Duration // trusted
		}{
			"right":       {-time.Hour, 100 * time.Hour, 0},
			"set at once": {time.Hour, 0, 0},
			"set later":   {24 * time.Hour, 5 * time.Second, 6 * time.Second},
			"catches up":  {9 * time.Second, 100 * time.Hour, 10 * time.Second},
			"never set":   {1000 * time.Hour, 1000 * time.Hour, clockPatience},
		} {
			began := time.Now()
			k := &clock{floor: began.Add(c.floor), synced: func() bool { return time.Since(began) >= c.synced }, set: make(chan struct{})}
			if err := k.wait(ctx); err != nil || time.Since(began) != c.after {
				t.Errorf("%s: after %v, %v", name, time.Since(began), err)
			}
			<-k.set
		}
		k := &clock{floor: time.Now().Add(time.Hour), synced: func() bool { return false }, set: make(chan struct{})}
		cancel()
		if err := k.wait(ctx); err == nil {
			t.Error("it is trusted when the box stops")
		}
	})
}

func TestHolder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := holder(l.Addr().String()); !strings.Contains(got, "nudge.test (process ") {
		t.Errorf("the port is held by %s", got)
	}
	if got := holder("127.0.0.1:1"); got != "another program, perhaps another nudge" {
		t.Errorf("a free port is held by %s", got)
	}
	dir := t.TempDir()
	nudge(t, "", "--data", dir, "user", "add", "alice@hotmail.com").want(t, exitOK)
	file := dir + "/nudge.toml"
	if err := os.WriteFile(file, []byte("data='"+dir+"'\nhttps='off'\nnames='127.0.0.1:0'\nhttp='127.0.0.1:0'\nmsn='"+l.Addr().String()+"'"), 0o600); err != nil {
		t.Fatal(err)
	}
	nudge(t, "", "--config", file, "doctor").want(t, exitFailed, "port msn", l.Addr().String()+" is used by nudge.test", "port http", "127.0.0.1:0 is free", "port names", "port netbios", "port llmnr")
}

// A certificate that can't be used is said with its reason, as long as nobody
// mends it.
func TestDoctorOnTheCertificate(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(certificateIn(dir).path, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, dir)
	r := nudge(t, "", "--data", dir, "doctor")
	for strings.Contains(r.out, "still being made") { // it is about to find out
		r = nudge(t, "", "--data", dir, "doctor")
	}
	r.want(t, exitFailed, "certificate", "there is none, and nobody can sign in over HTTPS: the saved certificate is damaged; remove it")
}
