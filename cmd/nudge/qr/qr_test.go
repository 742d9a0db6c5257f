package qr

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestDrawn: the code of a link, as zbar read it, is drawn as ever.
func TestDrawn(t *testing.T) {
	want, err := os.ReadFile("testdata/link.txt")
	if err != nil {
		t.Fatal(err)
	}
	text, code, _ := strings.Cut(string(want), "\n")
	if got, err := Draw(text); err != nil || got != code {
		t.Errorf("%v\n%s", err, got)
	}
}

// TestSizes: every length has the size that it needs, a square, and its codewords
// are divisible by their generator.
func TestSizes(t *testing.T) {
	for n := range Longest + 1 {
		text := strings.Repeat("x", n)
		s, err := encode(text)
		if err != nil {
			t.Fatal(err)
		}
		number := (s.size - 17) / 4
		v := versions[number-1]
		if n+2 > v.data || number > 1 && n+2 <= versions[number-2].data {
			t.Errorf("%d bytes in version %d", n, number)
		}
		free := 0
		for y := range s.size {
			for x := range s.size {
				if !s.fixed[y][x] {
					free++
				}
			}
		}
		if spare := free - 8*(v.data+v.blocks*v.check); spare != 0 && spare != 7 || spare == 0 != (number == 1 || number >= 7) {
			t.Errorf("version %d has %d modules to spare", number, spare)
		}
		data := codewords(text, v.data)
		g := generator(v.check)
		for i, c := range remainder(append(data, remainder(data, g)...), g) {
			if c != 0 {
				t.Errorf("%d bytes: remainder %d at %d", n, c, i)
			}
		}
		code, _ := Draw(text)
		for line := range strings.Lines(code) {
			if utf8.RuneCountInString(line) != s.size+9 {
				t.Errorf("%d bytes: a line has %d columns", n, utf8.RuneCountInString(line)-1)
			}
		}
	}
	if _, err := Draw(strings.Repeat("x", Longest+1)); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
}
