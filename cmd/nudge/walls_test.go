package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// walls says which folders of this module each folder may import. A pattern
// ending in /* stands for everything below. What is not listed here does not
// exist: a new folder is argued in its commit and gets a line. Tests may
// import what they like.
const walls = `
bridge/im                 –
bridge/im/imtest          bridge/im
bridge/im/codepage        –
store                     –
hw                        bridge/im
bridge                    bridge/im bridge/im/codepage store
bridge/assistant          bridge/im
bridge/matrix/*           bridge/im bridge/matrix/*
bridge/xmpp/*             bridge/im bridge/xmpp/*
msnserver/wire            –
msnserver/passport        –
msnserver/dialect         bridge/im bridge/im/codepage msnserver/wire
msnserver/conn            msnserver/wire msnserver/dialect
msnserver/p2p             msnserver/wire
msnserver/gateway         msnserver/wire
msnserver/names           msnserver/wire
msnserver/transcript      msnserver/wire
msnserver/ns              bridge bridge/im msnserver/conn msnserver/wire msnserver/dialect msnserver/passport
msnserver/sb              bridge bridge/im msnserver/conn msnserver/wire msnserver/dialect msnserver/passport msnserver/p2p
msnserver/soap            bridge bridge/im msnserver/wire msnserver/passport
msnserver/front           msnserver/passport msnserver/gateway
msnserver                 bridge bridge/im msnserver/*
cmd/nudge/command         –
cmd/nudge/control         bridge bridge/im store
cmd/nudge/web             cmd/nudge/control cmd/nudge/web/*
cmd/nudge/web/template    –
cmd/nudge/web/kit         –
cmd/nudge/web/media       –
cmd/nudge/e2e/msnclient   –
cmd/nudge/e2e/board       –
cmd/nudge/e2e/textbrowser –
cmd/nudge/e2e             cmd/nudge/e2e/*
cmd/nudge                 bridge/* msnserver/* store hw cmd/nudge/*
cmd/nudgeload             cmd/nudge/command cmd/nudge/e2e/msnclient
`

// foreign says where in this module a package of others (by import path, with
// all below it) may be imported, tests included (but a test may have a flag of
// its own, for its golden files). Third-party modules that are
// not listed may be imported nowhere.
const foreign = `
maunium.net/go/mautrix         bridge/matrix/*
go.mau.fi/util                 bridge/matrix/*
github.com/rs/zerolog          bridge/matrix/*
gosrc.io/xmpp                  bridge/xmpp/*
go.etcd.io/bbolt               store
periph.io/x                    hw
github.com/BurntSushi/toml     cmd/*
github.com/coreos/go-systemd   cmd/*
rsc.io/qr                      cmd/nudge
golang.org/x                   bridge/* msnserver/* cmd/* store hw
flag                           cmd/*
C                              –
`

// roots are the folders at the top.
const roots = ".ci .git .cache bridge cmd dist hw msnserver store systemd"

const (
	maxFile = 450 // lines
	maxFunc = 70
)

// house is a parsed module.
type house struct {
	fset  *token.FileSet
	files []file
	roots []string
}

type file struct {
	*ast.File
	dir, name string // folder relative to the module, "." for its top
	test      bool
	lines     int
}

// TestWalls runs every rule over this module.
func TestWalls(t *testing.T) {
	h, err := readHouse(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(h.files) < 10 {
		t.Fatalf("only %d files found", len(h.files))
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, f := range r.find(h) {
				t.Error(f)
			}
		})
	}
}

// readHouse parses every Go file below fsys, except in nested modules and
// testdata.
func readHouse(fsys fs.FS) (*house, error) {
	h := &house{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if _, err := fs.Stat(fsys, path.Join(p, "go.mod")); p != "." && err == nil || e.Name() == "testdata" || e.Name() == ".git" {
				return fs.SkipDir
			}
			if p != "." && !strings.Contains(p, "/") {
				h.roots = append(h.roots, p)
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		src, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(h.fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		h.files = append(h.files, file{f, path.Dir(p), path.Base(p), strings.HasSuffix(p, "_test.go"), strings.Count(string(src), "\n")})
		return nil
	})
	return h, err
}

// at makes a finding: where it is and what to do about it.
func (h *house) at(pos token.Pos, format string, args ...any) string {
	p := h.fset.Position(pos)
	return fmt.Sprintf("%s:%d: ", filepath.ToSlash(p.Filename), p.Line) + fmt.Sprintf(format, args...)
}

// table reads walls or foreign.
func table(text string) map[string][]string {
	t := map[string][]string{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 {
			t[f[0]] = f[1:]
		}
	}
	return t
}

// matches tells whether one of the patterns stands for dir.
func matches(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		top, below := strings.CutSuffix(p, "/*")
		return p == dir || below && under(dir, top)
	})
}

func under(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

// row is the most particular line of a table that stands for dir.
func row(t map[string][]string, dir string) (may []string, ok bool) {
	if may, ok = t[dir]; ok {
		return may, true
	}
	for _, p := range slices.Backward(slices.Sorted(maps.Keys(t))) {
		if matches([]string{p}, dir) {
			return t[p], true
		}
	}
	return nil, false
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// TestRules proves that each rule finds what it is for, and accepts what is
// right.
func TestRules(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for name, src := range r.bad {
				if found := r.find(parse(t, name, src)); len(found) == 0 {
					t.Errorf("accepts %s:\n%s", name, src)
				} else if !strings.HasPrefix(found[0], strings.TrimRight(name, "#")) && r.name != "roots" {
					t.Errorf("does not name %s: %s", name, found[0])
				}
			}
			for name, src := range r.good {
				if found := r.find(parse(t, name, src)); len(found) > 0 {
					t.Errorf("refuses %s: %s\n%s", name, found, src)
				}
			}
			if len(r.bad) == 0 {
				t.Error("no proof that the rule can fail")
			}
		})
	}
}

// parse makes a house of one file. A # at the end of a name tells two proofs
// for one path apart.
func parse(t *testing.T, name, src string) *house {
	t.Helper()
	name = strings.TrimRight(name, "#")
	h := &house{fset: token.NewFileSet(), roots: []string{strings.Split(name, "/")[0]}}
	f, err := parser.ParseFile(h.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	h.files = []file{{f, path.Dir(name), path.Base(name), strings.HasSuffix(name, "_test.go"), strings.Count(src, "\n")}}
	return h
}
