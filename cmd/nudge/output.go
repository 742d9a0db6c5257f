package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// show prints v as JSON, or lets text print it for people: columns are
// separated by tabs and come out aligned.
func (e *env) show(v any, text func(w io.Writer)) error {
	if e.JSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// say prints one sentence for people, and v for scripts.
func (e *env) say(v any, format string, args ...any) error {
	return e.show(v, func(w io.Writer) { fmt.Fprintf(w, format+"\n", args...) })
}

// dash stands for nothing in a column.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// lineReader reads standard input by lines: each secret is one.
type lineReader struct{ *bufio.Reader }

func newLineReader(r io.Reader) *lineReader { return &lineReader{bufio.NewReader(r)} }

// secret reads one line; what names it in an error.
func (l *lineReader) secret(what string) (string, error) {
	line, err := l.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%s can't be read: %w", what, err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", usage("%s is missing on standard input", what)
	}
	return line, nil
}
