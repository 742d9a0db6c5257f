package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a client says is in the transcript; interrupting the command ends it.
func TestRecordCommand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "client.txt")
	nudge(t, "", "record", file, "--data", dir).want(t, exitFailed, "there is no box")
	r := serve(t, dir)
	nudge(t, "", "record", file, "--data", dir, "--for", "2h").want(t, exitFailed, "up to 1h")
	nudge(t, "", "record", file, "--data", dir, "--pc", "xp").want(t, exitFailed, "no address")
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was made of nothing")
	}
	done := make(chan int, 1)
	go func() {
		done <- run(t.Context(), []string{"record", file, "--data", dir, "--for", "2s"}, strings.NewReader(""), io.Discard, io.Discard)
	}()
	for pace := time.Tick(50 * time.Millisecond); len(done) == 0; <-pace { // some of these clients come while it records
		asksVersion(t, r.ports["msn"])
	}
	text, err := os.ReadFile(file)
	if code := <-done; code != exitOK || err != nil || !strings.Contains(string(text), "> VER 1 MSNP8\n") || !strings.Contains(string(text), "< VER 1 MSNP8\n") {
		t.Errorf("%d, %v: %s", code, err, text)
	}
	nudge(t, "", "record", file, "--data", dir).want(t, exitFailed, "exists already")

	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	// Whether it has begun or not: it does not wait for ten minutes.
	run(interrupted, []string{"record", "-", "--data", dir}, strings.NewReader(""), io.Discard, io.Discard)
	r.stop().want(t, exitOK)
}

func asksVersion(t *testing.T, at string) {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "VER 1 MSNP8\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "VER 1 MSNP8\r\n" {
		t.Fatalf("%q %v", line, err)
	}
}
