package main

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestQR: the code of a link, as zbar read it, is drawn as ever. What is longer than
// a terminal is wide is not drawn, nor is nothing.
func TestQR(t *testing.T) {
	want, err := os.ReadFile("testdata/qr.txt")
	if err != nil {
		t.Fatal(err)
	}
	text, code, _ := strings.Cut(string(want), "\n")
	if got := drawQR(text); got != code {
		t.Errorf("\n%s", got)
	}
	for line := range strings.Lines(drawQR(strings.Repeat("x", longestQR))) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("a line of %d columns", n)
		}
	}
	for _, text := range []string{"", strings.Repeat("x", longestQR+1)} {
		if got := drawQR(text); got != "" {
			t.Errorf("%d bytes are drawn:\n%s", len(text), got)
		}
	}
}
