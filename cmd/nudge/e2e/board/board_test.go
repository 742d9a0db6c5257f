package board

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// guest is a shell that answers each line with what comes next.
func guest(t *testing.T, answers ...string) *Board {
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	t.Cleanup(func() { typed.Close(); shown.Close() })
	go func() {
		buf := make([]byte, 4096)
		for _, a := range answers {
			n, err := in.Read(buf)
			if err != nil {
				return
			}
			out.Write([]byte(strings.ReplaceAll(string(buf[:n])+a, "\n", "\r\n"))) // with an echo
		}
		out.Close()
	}()
	return &Board{console: newConsole(typed, iotest.OneByteReader(shown))}
}

func TestRun(t *testing.T) {
	b := guest(t, "<<1\nhello\nworld\n\n0>>1\n", "[ 12.3] kernel says\n<<2\nno newline\n3>>2\n", "<<3\n")
	if said, err := b.Run(t.Context(), "greet"); err != nil || said != "hello\nworld" {
		t.Errorf("said %q, %v", said, err)
	}
	if said, err := b.Run(t.Context(), "fail"); err == nil || said != "no newline" || !strings.Contains(err.Error(), "code 3") {
		t.Errorf("said %q, %v", said, err)
	}
	if _, err := b.Run(t.Context(), "die"); err == nil || !strings.Contains(err.Error(), "went off") {
		t.Errorf("the end of the board: %v", err)
	}
}

func TestRunGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := guest(t, "", "<<1\n")
	cancel()
	if _, err := b.Run(ctx, "hang"); err == nil {
		t.Error("a shell that never answers is waited for")
	}
}

func TestChips(t *testing.T) {
	for _, c := range []struct {
		name  string
		chip  Chip
		dump  string
		lines []int // lit
	}{
		{"bcm", BCM(0x20000000), "20200000: 0x00000000 0x00200000 0x00201000 0x00000000\r\n20200010: 0x00200000 0 0 0\r\n20200020: 0 0 0 0\r\n20200030: 0 0x08c20000 0x00008000\r\n", []int{17, 27, 47}},
		{"pl061", PL061(0x09030000), "090303fc: 0x00000049 0x00000059\r\n", []int{0, 3, 6}},
	} {
		words, err := readDump(c.dump, c.chip.words)
		if err != nil {
			t.Error(c.name, err)
			continue
		}
		var lit []int
		for line := range 8 * c.chip.words {
			if line < 54 && c.chip.lit(words, line) {
				lit = append(lit, line)
			}
		}
		if !slices.Equal(lit, c.lines) {
			t.Errorf("%s: lit are %v, not %v", c.name, lit, c.lines)
		}
	}
	if _, err := readDump("Cannot access memory", 1); err == nil {
		t.Error("an error is taken for a dump")
	}
}
