package template

import (
	"fmt"
	"strings"
)

// place is where in a page something stands.
type place struct {
	kind  kind
	quote byte   // of the attribute's value
	name  string // of the attribute
	query bool   // behind the ? of an address
	begun bool   // the value has begun
}

type kind uint8

const (
	inText kind = iota
	inTag
	inValue
)

// addresses are the attributes whose value is an address.
var addresses = map[string]bool{"href": true, "action": true, "src": true}

// pass moves the place over text. Scripts and styles stand in files of their own, so
// a < always begins a tag.
func (p *place) pass(text string) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch p.kind {
		case inText:
			if c == '<' {
				*p = place{kind: inTag}
			}
		case inTag:
			switch c {
			case '>':
				*p = place{}
			case '"', '\'':
				p.kind, p.quote, p.begun, p.query = inValue, c, false, false
			case ' ', '\n', '\t', '<', '/':
				p.name = ""
			case '=':
			default:
				p.name += strings.ToLower(string(c))
			}
		case inValue:
			if c == p.quote {
				*p = place{kind: inTag}
				continue
			}
			p.begun = true
			p.query = p.query || c == '?'
		}
	}
}

// put is how something must be escaped that is put here.
func (p *place) put() (escaper, error) {
	switch {
	case p.kind == inText:
		return html, nil
	case p.kind == inTag, strings.HasPrefix(p.name, "on"), p.name == "style":
		return nil, fmt.Errorf("here nothing can be put that is safe")
	case !addresses[p.name]:
		return html, nil
	case p.query:
		return func(s string) string { return html(percent(s, "")) }, nil
	case p.begun:
		return func(s string) string { return html(percent(s, pathSafe)) }, nil
	}
	p.begun = true
	return func(s string) string { return html(percent(own(s), pathSafe)) }, nil
}

// escaper makes a text safe for its place.
type escaper func(string) string

var entities = strings.NewReplacer("\x00", "\ufffd", `"`, "&#34;", "&", "&amp;", "'", "&#39;", "+", "&#43;", "<", "&lt;", ">", "&gt;")

// html is for text and quoted values.
func html(s string) string { return entities.Replace(s) }

// own lets an address begin only as one of this site.
func own(s string) string {
	if s != "" && !strings.HasPrefix(s, "/") {
		return "#ZgotmplZ" // as html/template says
	}
	return s
}

// pathSafe is what may stand in an address as it is, besides letters, digits and
// -._~.
const pathSafe = "!#$&*+,/:;=?@[]%"

// percent writes with percent signs what may not stand in an address.
func percent(s, safe string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		case c == '%' && safe != "" && (i+2 >= len(s) || !hex(s[i+1]) || !hex(s[i+2])):
			b.WriteString("%25")
		case strings.IndexByte(safe, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

func hex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
