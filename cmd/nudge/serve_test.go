package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/cmd/nudge/control"
	"nudge/store"
)

// running is a nudge that serves, as main runs it.
type running struct {
	dir   string
	ports map[string]string // name to address, as it told them
	stop  func() result
}

var portLine = regexp.MustCompile(`^(msn|http|https|names|netbios|llmnr) +(127\.0\.0\.1:\d+)`)

// serve runs nudge on free ports until stop, which is called in any case.
func serve(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	read, write := io.Pipe()
	var errs bytes.Buffer
	done := make(chan int)
	args = append([]string{"--data", dir, "--msn", "127.0.0.1:0", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--names", "127.0.0.1:0"}, args...)
	go func() {
		code := run(ctx, args, strings.NewReader(""), write, &errs)
		write.Close()
		done <- code
	}()
	r := &running{dir: dir, ports: map[string]string{}}
	var out strings.Builder
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		out.WriteString(lines.Text() + "\n")
		if m := portLine.FindStringSubmatch(lines.Text()); m != nil {
			r.ports[m[1]] = m[2]
		}
		if strings.HasPrefix(lines.Text(), "data folder") {
			break
		}
	}
	go io.Copy(io.Discard, read)
	var last *result
	r.stop = func() result {
		cancel()
		if last == nil {
			last = &result{<-done, out.String(), errs.String()}
		}
		return *last
	}
	t.Cleanup(func() { r.stop() })
	return r
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, dir)
	if len(r.ports) != 6 {
		t.Fatalf("ports %v, %+v", r.ports, r.stop())
	}
	nudge(t, "", "--data", dir, "user", "add", "alice@hotmail.com", "--password", "sesame", "--md5").want(t, exitOK)
	nudge(t, "", "--data", dir, "status").want(t, exitOK, "runs since", r.ports["msn"], "1, 0 signed in")
	nudge(t, "", "--data", dir, "doctor").want(t, exitOK, "port msn", "port https")
	nudge(t, "", "--data", dir, "user", "remove", "bob@hotmail.com").want(t, exitFailed, "no such account")
	file := filepath.Join(t.TempDir(), "b")
	nudge(t, "pass\n", "--data", dir, "backup", file, "--passphrase-stdin").want(t, exitOK)
	nudge(t, "pass\n", "--data", dir, "restore", file, "--passphrase-stdin").want(t, exitFailed, "a box runs in")

	other := nudge(t, "", "--data", dir, "--msn", "127.0.0.1:0", "--http", "127.0.0.1:0", "--https", "off", "--names", "off")
	other.want(t, exitConfig, "nudge: "+dir)
	other = nudge(t, "", "--data", t.TempDir(), "--msn", r.ports["msn"], "--http", "127.0.0.1:0", "--https", "off", "--names", "off")
	other.want(t, exitFailed, "port "+r.ports["msn"]+" (msn) is used by nudge.test (process ")

	r.stop().want(t, exitOK, "Nudge ")
	if _, err := os.Stat(filepath.Join(dir, control.SocketFile)); err == nil {
		t.Error("the socket is still there")
	}
	if _, err := net.Dial("tcp", r.ports["msn"]); err == nil {
		t.Error("the port is still open")
	}
	nudge(t, "", "--data", dir, "user", "list").want(t, exitOK, "alice@hotmail.com")

	fresh := filepath.Join(t.TempDir(), "fresh")
	nudge(t, "pass\n", "--data", fresh, "restore", file, "--passphrase-stdin").want(t, exitOK)
	again := serve(t, fresh)
	nudge(t, "", "--data", fresh, "user", "list").want(t, exitOK, "alice@hotmail.com")
	again.stop().want(t, exitOK)
}

func TestServeRefuses(t *testing.T) {
	free := []string{"--msn", "127.0.0.1:0", "--http", "127.0.0.1:0", "--https", "off", "--names", "off"}
	dir := t.TempDir()
	file := filepath.Join(dir, store.File)
	if err := os.WriteFile(file, []byte("no database at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	nudge(t, "", append(free, "--data", dir)...).want(t, exitConfig, "nudge: "+file)
	nudge(t, "", "--msn", "nowhere", "--data", t.TempDir()).want(t, exitConfig, "--msn: ")
	conf := filepath.Join(t.TempDir(), "nudge.toml")
	if err := os.WriteFile(conf, []byte("port = 1863"), 0o600); err != nil {
		t.Fatal(err)
	}
	nudge(t, "", "serve", "--config", conf).want(t, exitConfig, conf+": port: there is no such key")
}

// Without the standard port and without being told another the box takes the
// next best and says so; what it was told it keeps to.
func TestPortsFallBack(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	d, err := port{"http", "", addr, "127.0.0.1:0"}.open()
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if !strings.Contains(d.about.Note, "old clients look for") || d.about.Addr == addr {
		t.Errorf("it tells %+v", d.about)
	}
	if _, err := (port{"http", addr, ":80", "127.0.0.1:0"}).open(); err == nil || !strings.Contains(err.Error(), "--http") {
		t.Errorf("a configured port that is taken gives %v", err)
	}
	if _, err := (port{"msn", "", addr, ""}).open(); err == nil {
		t.Error("a port without another to take was opened")
	}
}

// sink is a client that takes everything.
type sink struct{}

func (sink) Deliver(_ im.Event, settle func(bool)) {
	if settle != nil {
		go settle(true)
	}
}

// A backup that is taken while accounts and lists change is whole, and a new
// box on an empty folder works with it.
func TestBackupUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s, err := start(config{Data: dir, MSN: "127.0.0.1:0", HTTP: "127.0.0.1:0", HTTPS: off, Names: off}, newLog(t.Output(), slog.LevelWarn), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	owner := control.Local(s.box)
	if _, err := owner.AddUser(t.Context(), control.NewUser{Handle: "alice@hotmail.com", Password: "sesame"}); err != nil {
		t.Fatal(err)
	}
	client, err := s.box.Hub.SignOn("alice@hotmail.com", bridge.Client{Proto: "test"}, sink{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	busy := make(chan error)
	go func() {
		for ctx.Err() == nil {
			if _, err := client.SetName(control.Passphrase()); err != nil {
				busy <- err
				return
			}
			_, err := owner.AddUser(context.WithoutCancel(ctx), control.NewUser{Handle: control.Passphrase() + "@load.test", Password: "sesame"})
			if err != nil {
				busy <- err
				return
			}
		}
		busy <- nil
	}()
	files := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		nudge(t, "pass\n", "--data", dir, "backup", filepath.Join(files, name), "--passphrase-stdin").want(t, exitOK)
	}
	cancel()
	if err := <-busy; err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		fresh := filepath.Join(files, "box-"+name)
		nudge(t, "pass\n", "--data", fresh, "restore", filepath.Join(files, name), "--passphrase-stdin").want(t, exitOK)
		nudge(t, "", "check", fresh).want(t, exitOK)
		r := serve(t, fresh)
		nudge(t, "", "--data", fresh, "user", "list").want(t, exitOK, "alice@hotmail.com")
		r.stop().want(t, exitOK)
	}
}

func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	r := nudge(t, "", "demo").want(t, exitOK, "Alice", "MSN Messenger 1.0", "Bob    signs out", "Bob   sees: Alice: Grüße aus der Vergangenheit",
		"Nudge: All is well here", "nudge user add")
	if r.err != "" {
		t.Errorf("the log complains:\n%s", r.err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind (%v)", left, err)
	}
}
