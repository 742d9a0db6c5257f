// Package template makes HTML pages of templates in the language of html/template,
// as much of it as the box's pages need. The original calls methods by their names:
// then the linker keeps every method of every type in the program, more than two
// megabytes. That both make the same pages is tested.
//
// There are fields, variables, calls of functions with constants or parentheses as
// arguments, if, with, range, define, block and template, and the marks that trim
// blanks; no methods and no pipelines. What is put out is escaped for where it
// stands: in text, in a quoted attribute, in the path or the query of an address.
// It can't stand anywhere else: such a template is refused.
//
// A Template does not change once it is parsed, and may be used by many goroutines.
package template

import (
	"fmt"
	"io"
	"strings"
)

// Funcs are the functions that templates may call, besides and, or, not, eq, ne, gt,
// len, index and printf.
type Funcs map[string]func(args ...any) any

// Template is a page with the parts that it calls by name.
type Template struct {
	parts map[string][]node
	funcs Funcs
}

// node is a piece of a template.
type node interface {
	run(x *execution, dot value) error
}

type (
	text   string
	output struct {
		what expr
		as   escaper
	}
	// branch is if, with or range.
	branch struct {
		word       string
		key, value string // variables
		what       expr
		then, or   []node
	}
	assign struct {
		name string
		what expr
	}
	call struct {
		name string
		what expr
	}
)

// Parse makes a template of a page and of files whose parts take the place of the
// page's blocks.
func Parse(funcs Funcs, page string, parts ...string) (*Template, error) {
	t := &Template{parts: map[string][]node{}, funcs: funcs}
	for _, source := range append([]string{page}, parts...) {
		p := parser{t: t, tokens: split(source)}
		main, end, err := p.list()
		if err == nil && end != "" {
			err = fmt.Errorf("{{%s}} ends nothing", end)
		}
		if err != nil {
			return nil, err
		}
		if _, page := t.parts[""]; !page {
			t.parts[""] = main
		}
	}
	return t, nil
}

// token is text, or an action without its braces.
type token struct {
	text   string
	action bool
}

// split finds the actions and trims what they say.
func split(source string) (tokens []token) {
	trim := false
	for {
		before, rest, found := strings.Cut(source, "{{")
		if trim {
			before = strings.TrimLeft(before, blanks)
		}
		if !found {
			return append(tokens, token{before, false})
		}
		if strings.HasPrefix(rest, "- ") || strings.HasPrefix(rest, "-\n") {
			before, rest = strings.TrimRight(before, blanks), rest[1:]
		}
		inside, after, closed := strings.Cut(rest, "}}")
		if !closed {
			inside = "" // which is no action
		}
		bare := strings.TrimSuffix(inside, " -")
		trim = bare != inside
		tokens = append(tokens, token{before, false}, token{strings.Trim(bare, blanks), true})
		source = after
	}
}

const blanks = " \t\r\n"

type parser struct {
	t      *Template
	tokens []token
	at     place
}

// list reads nodes up to an else or end, which it returns, or to the end of all.
func (p *parser) list() (nodes []node, end string, err error) {
	for len(p.tokens) > 0 {
		tok := p.tokens[0]
		p.tokens = p.tokens[1:]
		if !tok.action {
			if tok.text != "" {
				p.at.pass(tok.text)
				nodes = append(nodes, text(tok.text))
			}
			continue
		}
		word, rest, _ := strings.Cut(tok.text, " ")
		if word == "end" || word == "else" {
			return nodes, tok.text, nil
		}
		n, err := p.action(word, rest, tok.text)
		if err != nil {
			return nil, "", fmt.Errorf("{{%s}}: %w", tok.text, err)
		}
		if n != nil {
			nodes = append(nodes, n)
		}
	}
	return nodes, "", nil
}

// action reads one action, with its body.
func (p *parser) action(word, rest, all string) (node, error) {
	switch word {
	case "if", "with", "range":
		return p.branch(word, rest)
	case "define", "block", "template":
		return p.part(word, rest)
	}
	if name, what, is := strings.Cut(all, ":="); is {
		e, err := parseExpr(what)
		return assign{strings.TrimSpace(name), e}, err
	}
	e, err := parseExpr(all)
	if err != nil {
		return nil, err
	}
	as, err := p.at.put()
	return output{e, as}, err
}

func (p *parser) branch(word, rest string) (node, error) {
	b := branch{word: word}
	if names, what, is := strings.Cut(rest, ":="); is && word == "range" {
		key, value, both := strings.Cut(names, ",")
		if !both {
			key, value = "", key
		}
		b.key, b.value, rest = strings.TrimSpace(key), strings.TrimSpace(value), what
	}
	var err error
	if b.what, err = parseExpr(rest); err != nil {
		return nil, err
	}
	before := p.at
	then, end, err := p.list()
	if err != nil {
		return nil, err
	}
	b.then = then
	after := p.at
	if again, is := strings.CutPrefix(end, "else "); is { // else if
		p.at = before
		word, rest, _ := strings.Cut(again, " ")
		n, err := p.branch(word, rest)
		if err != nil {
			return nil, err
		}
		b.or = []node{n}
	} else if end == "else" {
		p.at = before
		if b.or, end, err = p.list(); err != nil {
			return nil, err
		}
	} else {
		if word == "range" && after != before {
			return nil, fmt.Errorf("each round must end where it began")
		}
		p.at = before
	}
	switch {
	case end == "":
		return nil, fmt.Errorf("there is no end")
	case p.at.kind != after.kind || p.at.query != after.query:
		return nil, fmt.Errorf("its ways end at different places")
	}
	p.at = after
	return b, nil
}

// part reads what has a name, and calls of it.
func (p *parser) part(word, rest string) (node, error) {
	if p.at.kind != inText {
		return nil, fmt.Errorf("it must stand in text")
	}
	name, what, _ := strings.Cut(strings.TrimPrefix(rest, `"`), `"`)
	c := call{name: name}
	var err error
	if word != "define" {
		if c.what, err = parseExpr(what); err != nil {
			return nil, err
		}
	}
	if word == "template" {
		return c, nil
	}
	body, end, err := p.list()
	switch {
	case err != nil:
		return nil, err
	case end != "end" || p.at.kind != inText:
		return nil, fmt.Errorf("it has no end, or ends inside of a tag")
	}
	p.t.parts[name] = body
	if word == "define" {
		return nil, nil
	}
	return c, nil
}

// Execute writes the page about data. After an error what was written is worth
// nothing.
func (t *Template) Execute(w io.Writer, data any) error {
	x := &execution{t: t, w: w}
	dot := of(data)
	x.vars = []variable{{"$", dot}}
	return x.all(t.parts[""], dot)
}
