package matrix

import (
	"html"
	"strconv"
	"strings"

	nethtml "golang.org/x/net/html"

	"nudge/bridge/im"
)

// fromHTML is the text of a formatted_body (client-server API, m.room.message)
// and the style that all of it has: MSN knows only one style per message. It
// reads tokens, not a tree, so that nothing the sender nests can exhaust the
// stack.
func fromHTML(s string) (string, im.Style) {
	r := renderer{z: nethtml.NewTokenizer(strings.NewReader(s)), uniform: true}
	r.z.SetMaxBuf(1 << 20)
	for {
		switch r.z.Next() {
		case nethtml.ErrorToken:
			return strings.TrimSpace(r.b.String()), r.style()
		case nethtml.TextToken:
			r.text(string(r.z.Text()))
		case nethtml.StartTagToken, nethtml.SelfClosingTagToken:
			r.start()
		case nethtml.EndTagToken:
			name, _ := r.z.TagName()
			r.end(string(name))
		}
	}
}

// The effects of X-MMS-IM-Format and the elements that mean them.
const effects = "BIUS"

var effectOf = map[string]int{
	"b": 0, "strong": 0, "i": 1, "em": 1, "u": 2, "ins": 2, "s": 3, "del": 3, "strike": 3,
}

var blocks = map[string]bool{
	"p": true, "div": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true,
	"blockquote": true, "ul": true, "ol": true, "li": true, "pre": true, "tr": true, "table": true, "hr": true, "details": true,
}

type renderer struct {
	z       *nethtml.Tokenizer
	b       strings.Builder
	newline bool // a block began or ended: break before the next text
	space   bool // collapsed white space before the next text
	marked  bool // a list mark was written: its text stays on the line

	quote, pre, skip int               // depth of blockquote, pre and mx-reply
	open             [len(effects)]int // depth of each effect
	colors           []string          // of each open font and span, "" none
	links            []anchor          // of a
	lists            []int             // next number, -1 for bullets

	began   bool // there was text, so the next three are meant
	all     [len(effects)]bool
	color   string
	uniform bool // all text so far has that color
}

// anchor is an open a element: where it points and where its text began.
type anchor struct {
	href string
	at   int
}

func (r *renderer) attr(names ...string) string {
	found := make([]string, len(names))
	for more := true; more; {
		var k, v []byte
		k, v, more = r.z.TagAttr()
		for i, n := range names {
			if string(k) == n {
				found[i] = string(v)
			}
		}
	}
	for _, v := range found {
		if v != "" {
			return v
		}
	}
	return ""
}

func (r *renderer) start() {
	name, _ := r.z.TagName()
	tag := string(name)
	if e, ok := effectOf[tag]; ok {
		r.open[e]++
	}
	r.newline = r.newline || blocks[tag]
	switch tag {
	case "mx-reply":
		r.skip++
	case "br":
		r.put("\n")
	case "hr":
		r.put("---")
		r.newline = true
	case "blockquote":
		r.quote++
	case "pre":
		r.pre++
	case "font", "span":
		color := rgb(r.attr("data-mx-color", "color"))
		if n := len(r.colors); color == "" && n > 0 {
			color = r.colors[n-1]
		}
		r.colors = append(r.colors, color)
	case "ul":
		r.lists = append(r.lists, -1)
	case "ol":
		r.lists = append(r.lists, 1)
	case "li":
		r.item()
	case "a":
		r.links = append(r.links, anchor{r.attr("href"), r.b.Len()})
	case "img":
		r.put(r.attr("alt", "title"))
	}
}

// item writes the mark of a list item.
func (r *renderer) item() {
	n := len(r.lists) - 1
	if n < 0 || r.lists[n] < 0 {
		r.put("- ")
	} else {
		r.put(strconv.Itoa(r.lists[n]) + ". ")
		r.lists[n]++
	}
	r.marked = true
}

func (r *renderer) end(tag string) {
	if e, ok := effectOf[tag]; ok && r.open[e] > 0 {
		r.open[e]--
	}
	r.newline = r.newline || blocks[tag]
	switch tag {
	case "mx-reply":
		r.skip = max(r.skip-1, 0)
	case "blockquote":
		r.quote = max(r.quote-1, 0)
	case "pre":
		r.pre = max(r.pre-1, 0)
	case "font", "span":
		r.colors = r.colors[:max(len(r.colors)-1, 0)]
	case "ul", "ol":
		r.lists = r.lists[:max(len(r.lists)-1, 0)]
	case "a":
		r.target()
	}
}

// target writes where a link points when its text does not say so. Mentions
// are links too, and their text is the name.
func (r *renderer) target() {
	if len(r.links) == 0 {
		return
	}
	l := r.links[len(r.links)-1]
	r.links = r.links[:len(r.links)-1]
	text := strings.TrimSpace(r.b.String()[l.at:])
	mention := strings.HasPrefix(l.href, "https://matrix.to/#/@") || strings.HasPrefix(l.href, "matrix:u/")
	bare := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(l.href, "https://"), "http://"), "mailto:")
	if l.href == "" || mention || text == l.href || text == bare {
		return
	}
	if text == "" {
		r.put(l.href)
		return
	}
	r.put(" (" + l.href + ")")
}

// text writes character data, white space collapsed outside pre, and notes
// the style it has.
func (r *renderer) text(s string) {
	if r.pre == 0 {
		before := s
		s = strings.Join(strings.Fields(s), " ")
		r.space = r.space || before != "" && strings.TrimLeft(before, " \t\r\n") != before
		if s == "" {
			return
		}
		defer func() { r.space = strings.TrimRight(before, " \t\r\n") != before }()
	}
	if s == "" || r.skip > 0 {
		return
	}
	color := ""
	if n := len(r.colors); n > 0 {
		color = r.colors[n-1]
	}
	for e := range r.all {
		r.all[e] = (r.all[e] || !r.began) && r.open[e] > 0
	}
	r.uniform = r.uniform && (!r.began || color == r.color)
	r.color, r.began = color, true
	r.put(s)
}

// put writes s, with the line break or space that is due before it.
func (r *renderer) put(s string) {
	if s == "" || r.skip > 0 {
		return
	}
	if r.marked {
		r.newline, r.marked = false, false
	}
	fresh := r.b.Len() == 0 || strings.HasSuffix(r.b.String(), "\n")
	switch {
	case r.newline && !fresh:
		r.b.WriteByte('\n')
		fresh = true
	case r.space && !fresh && s != "\n" && s[0] != ' ' && !strings.HasSuffix(r.b.String(), " "):
		r.b.WriteByte(' ')
	}
	r.newline, r.space = false, false
	if fresh && r.quote > 0 {
		r.b.WriteString(strings.Repeat("> ", min(r.quote, 8)))
	}
	r.b.WriteString(s)
}

func (r *renderer) style() (st im.Style) {
	for e, on := range r.all {
		if on {
			st.Effects += effects[e : e+1]
		}
	}
	if r.uniform {
		st.Color = r.color
	}
	return st
}

// rgb is a color as RRGGBB, "" when s is none.
func rgb(s string) string {
	s = strings.ToUpper(strings.TrimPrefix(s, "#"))
	if _, err := strconv.ParseUint(s, 16, 32); err != nil || len(s) != 6 {
		return ""
	}
	return s
}

// toHTML is text in a style as formatted_body, "" when the style is plain.
// Black is what every MSN client writes by default.
func toHTML(text string, st im.Style) string {
	color := rgb(st.Color)
	if color == "000000" {
		color = ""
	}
	if st.Effects == "" && color == "" {
		return ""
	}
	out := strings.ReplaceAll(html.EscapeString(text), "\n", "<br/>")
	for _, e := range []struct{ letter, tag string }{{"S", "del"}, {"U", "u"}, {"I", "em"}, {"B", "strong"}} {
		if strings.Contains(st.Effects, e.letter) {
			out = "<" + e.tag + ">" + out + "</" + e.tag + ">"
		}
	}
	if color != "" {
		out = `<span data-mx-color="#` + color + `">` + out + `</span>`
	}
	return out
}
