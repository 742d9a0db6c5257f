package textbrowser

import (
	"io"
	"strings"

	"golang.org/x/net/html"
)

// page is what a person sees of one.
type page struct {
	title string
	text  string
	links []link
	forms []form
}

type link struct{ words, href string }

// reading is a page half read.
type reading struct {
	page
	lines  strings.Builder
	near   strings.Builder // the words since the last field, row or paragraph
	hidden string          // the element whose content nobody sees, "" none
	link   *link           // that is open
	button *field          // that is open
	choice *field          // that is open
	form   *form           // that is open
}

// read reads a page to its end.
func read(r io.Reader) page {
	z := html.NewTokenizer(r)
	p := &reading{}
	for {
		switch z.Next() {
		case html.ErrorToken: // the end: it comes out of memory
			for line := range strings.Lines(p.lines.String()) {
				if words := strings.Fields(line); len(words) > 0 {
					p.page.text += strings.Join(words, " ") + "\n"
				}
			}
			return p.page
		case html.TextToken:
			p.words(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			p.begin(z.Token())
		case html.EndTagToken:
			p.end(z.Token().Data)
		}
	}
}

// words adds a text to all that is open.
func (p *reading) words(text string) {
	if p.hidden == "title" {
		p.title += text
	}
	if p.hidden != "" {
		return
	}
	text = strings.ReplaceAll(text, "\n", " ")
	if p.choice != nil { // its options are no words of the page
		if p.choice.kind == isOpen {
			p.choice.value += text
		}
		return
	}
	for _, b := range []*strings.Builder{&p.lines, &p.near} {
		b.WriteString(text)
	}
	if p.link != nil {
		p.link.words += text
	}
	if p.button != nil {
		p.button.words += text
	}
}

// label is what stands before a field, without what only dresses it.
func label(words string) string {
	return strings.TrimSpace(strings.TrimRight(strings.Join(strings.Fields(words), " "), " :*"))
}

func (p *reading) begin(t html.Token) {
	attr := map[string]string{}
	for _, a := range t.Attr {
		attr[a.Key] = a.Val
	}
	switch t.Data {
	case "script", "style", "title":
		p.hidden = t.Data
	case "tr", "p", "li", "h1", "h2", "h3", "br", "pre", "table", "dt", "dd":
		p.lines.WriteString("\n")
		p.near.Reset()
	case "td", "th":
		p.lines.WriteString(" ")
	case "a":
		p.link = &link{href: attr["href"]}
	case "form":
		p.form = &form{action: attr["action"], method: strings.ToLower(attr["method"]), kind: attr["enctype"]}
		p.near.Reset()
	case "button":
		p.button = &field{name: attr["name"], value: attr["value"]}
	case "input":
		p.input(attr)
	case "select":
		p.choice = &field{words: label(p.near.String()), name: attr["name"]}
	case "option":
		p.option(attr)
	}
}

func (p *reading) input(attr map[string]string) {
	if p.form == nil {
		return
	}
	f := field{name: attr["name"], kind: attr["type"], value: attr["value"]}
	switch f.kind {
	case "hidden":
		p.form.fields = append(p.form.fields, f)
		return
	case "submit":
		f.words = f.value
		p.lines.WriteString(" [" + f.value + "] ")
		p.form.buttons = append(p.form.buttons, f)
	case "checkbox", "radio":
	default:
		f.words = label(p.near.String())
		p.form.fields = append(p.form.fields, f)
	}
	p.near.Reset()
}

// What a choice stands on may be read, is being read, or is known.
const isOpen, isKnown = "open", "known"

// option remembers what a choice stands on: the first, unless another is selected.
func (p *reading) option(attr map[string]string) {
	value, own := attr["value"]
	_, selected := attr["selected"]
	switch {
	case p.choice == nil:
	case p.choice.kind != "" && !selected:
		p.choice.kind = isKnown
	case own:
		p.choice.value, p.choice.kind = value, isKnown
	default:
		p.choice.value, p.choice.kind = "", isOpen
	}
}

func (p *reading) end(name string) {
	if name == p.hidden {
		p.hidden = ""
	}
	switch {
	case name == "option" && p.choice != nil:
		p.choice.value, p.choice.kind = strings.TrimSpace(p.choice.value), isKnown
	case name == "a" && p.link != nil:
		p.link.words = strings.Join(strings.Fields(p.link.words), " ")
		p.links, p.link = append(p.links, *p.link), nil
	case name == "button" && p.button != nil && p.form != nil:
		p.form.buttons, p.button = append(p.form.buttons, *p.button), nil
	case name == "select" && p.choice != nil && p.form != nil:
		p.form.fields, p.choice = append(p.form.fields, *p.choice), nil
		p.near.Reset()
	case name == "form" && p.form != nil:
		p.forms, p.form = append(p.forms, *p.form), nil
	}
}
