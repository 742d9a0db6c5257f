package web

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"sync"
	"testing"
	"time"
)

// both makes each page of the tests a second time with html/template, which knows
// how everything must be escaped: the pages must be the same.
type both struct {
	page
	theirs *template.Template
}

// Execute fails when the two differ.
func (b both) Execute(w io.Writer, data any) error {
	var ours, theirs bytes.Buffer
	if err := b.page.Execute(&ours, data); err != nil {
		return err
	}
	if err := b.theirs.Execute(&theirs, data); err != nil {
		return err
	}
	if o, t := ours.Bytes(), theirs.Bytes(); !bytes.Equal(o, t) {
		i := 0
		for i < min(len(o), len(t)) && o[i] == t[i] {
			i++
		}
		return fmt.Errorf("html/template differs at %d:\n%.200q\n%.200q", i, o[max(0, i-60):], t[max(0, i-60):])
	}
	_, err := w.Write(ours.Bytes())
	return err
}

var compare = sync.OnceFunc(func() {
	funcs := template.FuncMap{}
	for name, f := range functions {
		funcs[name] = func(args ...any) any {
			if t, ok := args[0].(*time.Time); ok {
				args[0] = *t
			}
			return f(args...)
		}
	}
	for name, p := range templates() {
		t := template.Must(template.New("").Funcs(funcs).Parse(source("layout.html")))
		templates()[name] = both{p, template.Must(t.Parse(source(name + ".html")))}
	}
})

// TestPagesAreWhole: every template was parsed, and the comparison can fail.
func TestPagesAreWhole(t *testing.T) {
	compare()
	if len(templates()) < 20 {
		t.Errorf("%d pages", len(templates()))
	}
	b := both{templates()["onward"].(both).page, template.Must(template.New("").Parse("else"))}
	if err := b.Execute(io.Discard, view{Data: "/"}); err == nil {
		t.Error("a page that differs is taken")
	}
}
