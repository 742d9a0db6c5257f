package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rule is one habit of this house. bad and good prove what it finds, by file
// name.
type rule struct {
	name      string
	find      func(*house) []string
	bad, good map[string]string
}

type sources = map[string]string

var rules = []rule{
	{
		"imports", findImports,
		sources{
			"bridge/im/a.go":      `package im; import _ "nudge/store"`,
			"bridge/xmpp/a.go":    `package xmpp; import _ "nudge/bridge/matrix"`,
			"msnserver/ns/a.go":   `package ns; import _ "nudge/store"`,
			"msnserver/new/a.go":  `package new`,
			"bridge/irc/a.go":     `package irc`,
			"cmd/nudge/web/a.go":  `package web; import _ "nudge/bridge"`,
			"bridge/a.go":         `package bridge; import _ "nudge/bridge/xmpp"`,
			"cmd/nudgeload/a.go":  `package main; import _ "nudge/msnserver/wire"`,
			"msnserver/conn/a.go": `package conn; import _ "nudge/bridge"`,
		},
		sources{
			"bridge/im/a_test.go":     `package im; import _ "nudge/store"`,
			"bridge/matrix/olm/a.go":  `package olm; import _ "nudge/bridge/im"`,
			"bridge/xmpp/a.go":        `package xmpp; import _ "nudge/bridge/xmpp/stream"`,
			"cmd/nudge/a.go":          `package main; import _ "nudge/bridge/xmpp"`,
			"msnserver/a.go":          `package msnserver; import _ "nudge/msnserver/ns"`,
			"msnserver/dialect/a.go":  `package dialect; import _ "nudge/bridge/im"`,
			"cmd/nudge/control/a.go#": `package control; import _ "nudge/store"`,
		},
	},
	{
		"third party", findForeign,
		sources{
			"bridge/a.go":             `package bridge; import _ "go.etcd.io/bbolt"`,
			"bridge/xmpp/a.go":        `package xmpp; import _ "maunium.net/go/mautrix/id"`,
			"bridge/xmpp/a_test.go":   `package xmpp; import _ "github.com/rs/zerolog"`,
			"bridge/matrix/a.go":      `package matrix; import _ "gosrc.io/xmpp/stanza"`,
			"store/a.go":              `package store; import _ "flag"`,
			"msnserver/a.go":          `package msnserver; import _ "periph.io/x/conn/v3"`,
			"cmd/nudge/a.go":          `package main; import _ "example.org/fresh"`,
			"cmd/nudge/control/a.go#": `package control; import "C"`,
		},
		sources{
			"store/a.go":             `package store; import _ "go.etcd.io/bbolt/errors"`,
			"bridge/matrix/olm/a.go": `package olm; import _ "maunium.net/go/mautrix/id"`,
			"cmd/nudge/a.go":         `package main; import _ "flag"`,
			"msnserver/a.go":         `package msnserver; import _ "net/http"`,
			"bridge/xmpp/a.go":       `package xmpp; import _ "golang.org/x/net/html"`,
		},
	},
	{
		"environment", findEnvironment,
		sources{
			"bridge/a.go":    "package bridge\nimport \"os\"\nvar x = os.Getenv(`HOME`)",
			"store/a.go":     "package store\nimport \"os\"\nvar x = os.Args[1]",
			"msnserver/a.go": "package msnserver\nimport sys \"os\"\nvar x, _ = sys.LookupEnv(`HOME`)",
		},
		sources{
			"cmd/nudge/a.go":   "package main\nimport \"os\"\nvar x = os.Getenv(`HOME`)",
			"bridge/a_test.go": "package bridge\nimport \"os\"\nvar x = os.Getenv(`NUDGE_CHAOS_ROUNDS`)",
			"store/a.go":       "package store\nimport \"os\"\nvar x, _ = os.Open(`x`)",
		},
	},
	{
		"versions", findVersions,
		sources{
			"msnserver/ns/a.go":   "package ns\nvar x = `MSNP8`",
			"msnserver/ns/a.go#":  "package ns\nfunc f(msnp int) bool { return msnp >= 8 }",
			"bridge/a.go":         "package bridge\nvar x = \"MSNP\"",
			"msnserver/sb/a.go":   "package sb\nfunc f(d struct{ Protocol string }) { switch d.Protocol { case `x`: } }",
			"msnserver/soap/a.go": "package soap\nvar x = \"VER 1 MSNP8 CVR0\"",
			"cmd/nudge/a.go":      "package main\nvar x = \"MSNP8\"",
		},
		sources{
			"msnserver/dialect/a.go":       "package dialect\nvar x = `MSNP8`",
			"msnserver/ns/a_test.go":       "package ns\nvar x = `MSNP8`",
			"msnserver/ns/a.go":            "package ns\n// See MSNP.md, MSNP8.\nvar x = `MSNobject`",
			"msnserver/ns/a.go#":           "package ns\nfunc f(l struct{ Version int }) bool { return l.Version >= 8 }",
			"cmd/nudge/a.go":               "package main\nvar x = \"for the clients of MSNP2 to MSNP7\"",
			"cmd/nudgeload/a.go":           "package main\nvar x = `MSNP8`",
			"cmd/nudge/e2e/msnclient/a.go": "package msnclient\nvar x = `MSNP8`",
			"msnserver/sb/a.go":            "package sb\nfunc f(dialect *int) bool { return dialect == nil }",
		},
	},
	{
		"size", findSize,
		sources{
			"bridge/a.go":  "package bridge\n" + strings.Repeat("// x\n", maxFile),
			"bridge/a.go#": "package bridge\nfunc f() {\n" + strings.Repeat("g()\n", maxFunc) + "}",
		},
		sources{
			"bridge/a.go":      "package bridge\nfunc f() {\n" + strings.Repeat("g()\n", maxFunc-2) + "}",
			"bridge/a.go#":     "package bridge\nvar x = []int{\n" + strings.Repeat("1,\n", 2*maxFile) + "}",
			"bridge/a_test.go": "package bridge\n" + strings.Repeat("// x\n", 2*maxFile),
		},
	},
	{
		"no init", findInit,
		sources{"bridge/a.go": "package bridge\nfunc init() {}"},
		sources{"bridge/a.go": "package bridge\nfunc (t) init() {}\ntype t int"},
	},
	{
		"package names", findNames,
		sources{"bridge/utils/a.go": "package utils", "msnserver/a_test.go": "package common"},
		sources{"bridge/a.go": "package bridge"},
	},
	{
		"unfinished", findUnfinished,
		sources{
			"bridge/a.go":      "package bridge\n\n// " + "TO" + "DO: later",
			"bridge/a_test.go": "package bridge\n\n/* " + "FIX" + "ME */",
		},
		sources{"bridge/a.go": "package bridge\n\nvar x = `XX" + "X`"},
	},
	{
		"roots", findRoots,
		sources{"pkg/bridge/a.go": "package bridge", "internal/a.go": "package internal"},
		sources{"bridge/a.go": "package bridge"},
	},
	{
		"package comment", findPackageComment,
		sources{"bridge/a.go": "package bridge", "bridge/a.go#": "// Helpers of bridge.\npackage bridge"},
		sources{
			"bridge/a.go":      "// Package bridge is the hub.\npackage bridge",
			"cmd/nudge/a.go":   "// Command nudge is the box.\npackage main",
			"cmd/nudge/b.go":   "// Nudge is the box.\npackage main",
			"bridge/a_test.go": "package bridge",
		},
	},
	{
		"documented", findUndocumented,
		sources{
			"bridge/a.go":   "package bridge\nfunc Connect() {}",
			"bridge/a.go#":  "package bridge\ntype Hub struct{}",
			"bridge/a.go##": "package bridge\n// Hub is.\ntype Hub struct{}\nfunc (h *Hub) Close() {}",
			"store/a.go":    "package store\nconst (\n\tA = 1\n)",
			"store/a.go#":   "package store\nvar ErrX error",
			"store/a.go##":  "package store\n// A does.\nfunc A() {}\nfunc B() {}",
		},
		sources{
			"bridge/a.go":      "package bridge\n// Connect does.\nfunc Connect() {}\nfunc inner() {}",
			"bridge/a.go#":     "package bridge\ntype hub struct{}\nfunc (hub) Close() {}",
			"store/a.go":       "package store\n// The sizes.\nconst (\n\tA = 1\n)",
			"store/a.go#":      "package store\n// E is.\ntype E struct{}\nfunc (E) Error() string { return `` }",
			"store/a.go##":     "package store\nvar (\n\t// A is.\n\tA = 1\n\tB = 2 // B is.\n)",
			"store/a.go###":    "package store\n// A does, B undoes.\nfunc A() {}\nfunc B() {}",
			"cmd/nudge/a.go":   "package main\nfunc Run() {}",
			"bridge/a_test.go": "package bridge\nfunc TestX() {}",
		},
	},
}

func findImports(h *house) (found []string) {
	t := table(walls)
	for _, f := range h.files {
		may, known := row(t, f.dir)
		if !known {
			found = append(found, h.at(f.Package, "the folder %s is not in the table walls; argue it in the commit and give it a line", f.dir))
		}
		for _, spec := range f.Imports {
			dep, ours := strings.CutPrefix(importPath(spec), "nudge/")
			if ours && !f.test && !matches(may, dep) {
				found = append(found, h.at(spec.Pos(), "%s must not import %s; it may import: %s. Pass what it needs in, or declare an interface here", f.dir, dep, strings.Join(may, " ")))
			}
		}
	}
	return found
}

func findForeign(h *house) (found []string) {
	t := table(foreign)
	for _, f := range h.files {
		for _, spec := range f.Imports {
			p := importPath(spec)
			if under(p, "nudge") || p == "flag" && f.test {
				continue
			}
			var where []string
			known := !strings.Contains(strings.Split(p, "/")[0], ".") // the standard library
			listed := false
			for module, dirs := range t {
				if under(p, module) {
					where, listed = dirs, true
				}
			}
			switch {
			case listed && !matches(where, f.dir):
				found = append(found, h.at(spec.Pos(), "%s may be imported only in %s; keep its types behind ours", p, strings.Join(where, " ")))
			case !listed && !known:
				found = append(found, h.at(spec.Pos(), "%s is not in the table foreign; argue the new dependency and give it a line", p))
			}
		}
	}
	return found
}

func findEnvironment(h *house) (found []string) {
	names := []string{"Args", "Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv"}
	for _, f := range h.files {
		local := ""
		for _, spec := range f.Imports {
			if importPath(spec) == "os" {
				local = "os"
				if spec.Name != nil {
					local = spec.Name.Name
				}
			}
		}
		if local == "" || f.test || under(f.dir, "cmd") {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(names, s.Sel.Name) {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == local {
					found = append(found, h.at(s.Pos(), "os.%s outside cmd; take the value as an argument or option", s.Sel.Name))
				}
			}
			return true
		})
	}
	return found
}

var (
	versionName    = regexp.MustCompile(`MSNP([0-9]|$|%)`)
	versionOperand = regexp.MustCompile(`(?i)^(msnp.*|proto(col)?(ver(sion)?)?|dialect(name|number|version)?)$`)
)

// findVersions looks for names of MSNP versions in strings (in cmd, sentences
// for people may have them) and for comparisons of something that is called
// like a version.
func findVersions(h *house) (found []string) {
	const cure = "branch on a fact of the dialect, and put the difference in msnserver/dialect"
	for _, f := range h.files {
		if f.test || under(f.dir, "msnserver/dialect") || under(f.dir, "cmd/nudgeload") || under(f.dir, "cmd/nudge/e2e") {
			continue
		}
		compared := func(e ast.Expr) {
			if name := lastName(e); versionOperand.MatchString(name) {
				found = append(found, h.at(e.Pos(), "%s is compared; %s", name, cure))
			}
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				text := n.Value
				if n.Kind == token.STRING {
					text, _ = strconv.Unquote(n.Value)
				}
				sentence := under(f.dir, "cmd") && strings.Contains(text, " ")
				if n.Kind == token.STRING && versionName.MatchString(text) && !sentence {
					found = append(found, h.at(n.Pos(), "%s names a protocol version; %s", n.Value, cure))
				}
			case *ast.BinaryExpr:
				ordered := slices.Contains([]token.Token{token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ}, n.Op)
				if ordered && lastName(n.X) != "nil" && lastName(n.Y) != "nil" {
					compared(n.X)
					compared(n.Y)
				}
			case *ast.SwitchStmt:
				compared(n.Tag)
			}
			return true
		})
	}
	return found
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// findSize does not count tables: composite literals without functions in them.
func findSize(h *house) (found []string) {
	for _, f := range h.files {
		if f.test {
			continue
		}
		if n := f.lines - h.tables(f.File); n > maxFile {
			found = append(found, h.at(f.Package, "the file has %d lines without tables, more than %d; split it where a reader would look", n, maxFile))
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if n := h.span(fn) - h.tables(fn); n > maxFunc {
				found = append(found, h.at(fn.Pos(), "%s has %d lines without tables, more than %d; split it at a name a reader would look for", fn.Name.Name, n, maxFunc))
			}
		}
	}
	return found
}

func (h *house) span(n ast.Node) int {
	return h.fset.Position(n.End()).Line - h.fset.Position(n.Pos()).Line + 1
}

// tables counts the inner lines of outermost composite literals of plain data.
func (h *house) tables(root ast.Node) (lines int) {
	ast.Inspect(root, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		plain := true
		ast.Inspect(lit, func(n ast.Node) bool {
			_, code := n.(*ast.FuncLit)
			plain = plain && !code
			return plain
		})
		if plain {
			lines += max(0, h.span(lit)-2)
		}
		return !plain
	})
	return lines
}

func findInit(h *house) (found []string) {
	for _, f := range h.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, h.at(fn.Pos(), "init functions run behind the reader's back; do it where main can see it"))
			}
		}
	}
	return found
}

func findNames(h *house) (found []string) {
	for _, f := range h.files {
		switch name := strings.TrimSuffix(f.Name.Name, "_test"); name {
		case "util", "utils", "common", "types", "helper", "helpers", "misc", "shared", "base":
			found = append(found, h.at(f.Package, "package %s says nothing; put each thing where it is used, or name what it is", name))
		}
	}
	return found
}

var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

func findUnfinished(h *house) (found []string) {
	for _, f := range h.files {
		for _, g := range f.Comments {
			for _, c := range g.List {
				if mark := unfinished.FindString(c.Text); mark != "" {
					found = append(found, h.at(c.Pos(), "%s: finish it, or say in words what the limit is and why", mark))
				}
			}
		}
	}
	return found
}

func findRoots(h *house) (found []string) {
	for _, dir := range h.roots {
		if !slices.Contains(strings.Fields(roots), dir) {
			found = append(found, dir+":1: not a folder of this house; see the constant roots")
		}
	}
	return found
}

// findPackageComment demands one file per package that says what it is.
func findPackageComment(h *house) (found []string) {
	has, first := map[string]bool{}, map[string]file{}
	for _, f := range h.files {
		if f.test {
			continue
		}
		if _, seen := first[f.dir]; !seen {
			first[f.dir] = f
		}
		begins := []string{"Package " + f.Name.Name + " "}
		if f.Name.Name == "main" {
			name := f.dir[strings.LastIndex(f.dir, "/")+1:]
			begins = []string{"Command " + name + " ", strings.ToUpper(name[:1]) + name[1:] + " "}
		}
		doc := f.Doc.Text()
		has[f.dir] = has[f.dir] || slices.ContainsFunc(begins, func(b string) bool { return strings.HasPrefix(doc, b) })
	}
	for dir, f := range first {
		if !has[dir] {
			found = append(found, h.at(f.Package, "no file of package %s has a package comment (“Package %s …”: the idea, goroutine rules, caveats)", dir, f.Name.Name))
		}
	}
	slices.Sort(found)
	return found
}

func findUndocumented(h *house) (found []string) {
	missing := func(n ast.Node, name string) {
		found = append(found, h.at(n.Pos(), "%s is exported without a comment; say what it is, with units and errors", name))
	}
	for _, f := range h.files {
		if f.test || f.Name.Name == "main" {
			continue
		}
		var above *ast.CommentGroup // of a block of one-line functions
		line := 0
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc != nil || h.fset.Position(d.Pos()).Line != line+1 {
					above = d.Doc
				}
				line = h.fset.Position(d.End()).Line
				if above != nil && regexp.MustCompile(`\b`+d.Name.Name+`\b`).MatchString(above.Text()) {
					continue
				}
				wellKnown := d.Recv != nil && slices.Contains([]string{"Error", "String", "Unwrap"}, d.Name.Name)
				if d.Name.IsExported() && exportedReceiver(d) && d.Doc == nil && !wellKnown {
					missing(d, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if name := undocumented(spec); name != "" && d.Doc == nil {
						missing(spec, name)
					}
				}
			}
		}
	}
	return found
}

// undocumented is the first exported name of a spec without a comment of its
// own, "" when there is none.
func undocumented(spec ast.Spec) string {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil {
			return s.Name.Name
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() && s.Doc == nil && s.Comment == nil {
				return n.Name
			}
		}
	}
	return ""
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if g, ok := t.(*ast.IndexExpr); ok {
		t = g.X
	}
	return ast.IsExported(lastName(t))
}
