package msnserver

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// recorded plays a transcript while somebody records, and returns what was written.
func recorded(t *testing.T, name, script string) (text string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &player{t: t, box: newBox(t), clients: map[string]*client{}, kept: map[string]string{}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			var err error
			if text, err = p.box.srv.Record(ctx, netip.MustParseAddr("127.0.0.1")); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if _, err := p.box.srv.Record(ctx, netip.Addr{}); err == nil {
			t.Error("two recordings at once")
		}
		for line := range strings.SplitSeq(script, "\n") {
			p.at = name + ": " + line
			p.line(line)
		}
		synctest.Wait()
		cancel()
		<-done
	})
	return text
}

// TestRecordedClients: what is recorded of a client can be played, and a recording of
// that is the same again. Nothing private is in it.
func TestRecordedClients(t *testing.T) {
	for _, name := range []string{"amsn-0.49", "amsn-0.97", "bitlbee-1.2.8", "libpurple-2.4.3", "pecan", "twisted-16.1", "moving"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			first := recorded(t, name, string(script))
			second := recorded(t, "its recording", first)
			if strings.Count(first, "\n") < 20 || strings.Count(first, "> ") < 5 {
				t.Errorf("little was recorded:\n%s", first)
			}
			if !slices.Equal(essence(first), essence(second)) {
				t.Errorf("recorded again it is\n%s\n\ninstead of\n%s", second, first)
			}
			keptPrivate(t, string(script), first)
		})
	}
}

// essence is what every recording of the same has: what the clients said, in no
// order, without the names of what the server made up.
func essence(text string) (said []string) {
	for line := range strings.Lines(variable.ReplaceAllString(text, "?")) {
		if strings.Contains(line, "> ") {
			said = append(said, line)
		}
	}
	slices.Sort(said)
	return said
}

var (
	variable = regexp.MustCompile(`\$\{\+?[a-z]+\d+\}`)
	account  = regexp.MustCompile(`(?m)^user (\S+) (\S+) (\S+)`)
	message  = regexp.MustCompile(`(?m)text/plain.*\\r\\n\\r\\n(.+)$`)
)

// keptPrivate looks for what was said by whom in a transcript.
func keptPrivate(t *testing.T, script, text string) {
	t.Helper()
	for _, m := range account.FindAllStringSubmatch(script, -1) {
		for _, s := range m[1:3] {
			if !strings.HasPrefix(s, "User") && strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
				t.Errorf("it names %s:\n%s", s, text)
			}
		}
	}
	for _, m := range message.FindAllStringSubmatch(script, -1) {
		if len(m[1]) > 3 && strings.Contains(text, m[1]) {
			t.Errorf("it tells %q", m[1])
		}
	}
}

// Only the clients of the PC that was asked for are recorded, and the server's end ends
// the recording.
func TestRecordsOnePC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		texts := make(chan string, 1)
		go func() {
			text, err := b.srv.Record(context.Background(), netip.MustParseAddr("192.168.7.7"))
			if err != nil {
				t.Error(err)
			}
			texts <- text
		}()
		synctest.Wait()
		c := b.dial(t, false)
		if _, err := c.Write([]byte("VER 1 MSNP8 CVR0\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		b.srv.cancel()
		if text := <-texts; strings.Contains(text, "VER") {
			t.Errorf("another PC was recorded: %s", text)
		}
	})
}
