package media

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"testing"
)

// TestPark: what goes to networks shares the room with what comes from there, gives it
// back, and is in no folder.
func TestPark(t *testing.T) {
	dir := t.TempDir()
	p := New(Config{Dir: dir, Space: func() int64 { return 10 }, Log: slog.New(slog.DiscardHandler)})
	defer p.Close()
	if _, err := p.Park(11); !errors.Is(err, errTooLargeOut) {
		t.Errorf("more than there is room for: %v", err)
	}
	first, err := p.Park(7)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"%PDF-", "1."} {
		if n, err := io.WriteString(first, part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	second, err := p.Park(7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(second, "seven.."); !errors.Is(err, errNoRoom) {
		t.Errorf("beside another: %v", err)
	}
	r, kind := first.All()
	if b, err := io.ReadAll(r); string(b) != "%PDF-1." || err != nil || kind != "application/pdf" {
		t.Errorf("%q of %s, %v", b, kind, err)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("%v, %v", left, err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if n, err := io.WriteString(second, "seven.."); n != 7 || err != nil {
		t.Errorf("after it: %d, %v", n, err)
	}
	if err := second.Close(); err != nil || p.spool.used != 0 || p.spool.parked != 0 {
		t.Errorf("%d bytes of %d files stay, %v", p.spool.used, p.spool.parked, err)
	}
}
