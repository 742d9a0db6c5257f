package web

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"nudge/cmd/nudge/control"
	"nudge/cmd/nudge/web/template"
)

// visit is one request.
type visit struct {
	pages   *Pages
	w       http.ResponseWriter
	r       *http.Request
	from    netip.Addr
	session *session // nil before the door
	base    string   // "/s/TOKEN/"
	users   []control.User
	me      *control.User // nil for who has claimed the box and has no account yet
	about   *control.User // whom a page of right family or linkers is about
}

func (v *visit) control() *control.Client { return v.pages.Control }

// view is what every template gets.
type view struct {
	Title    string
	Base     string
	Me       *control.User
	About    *control.User
	LinkOnly bool
	Kits     string
	Told     told
	Data     any
}

//go:embed templates files
var embedded embed.FS

// page is a template of a page; layout.html is around each.
type page interface {
	Execute(w io.Writer, data any) error
}

// templates are the pages by name. They are read when somebody wants the first
// one: half a megabyte that an old board may never need.
var templates = sync.OnceValue(parse)

// functions are what templates may call.
var functions = template.Funcs{
	"day":  func(args ...any) any { return args[0].(time.Time).Format("2 January 2006") },
	"when": func(args ...any) any { return args[0].(time.Time).Format("2 Jan 15:04") },
	"has":  func(args ...any) any { return slices.Contains(args[0].([]string), args[1].(string)) },
	"size": func(args ...any) any { return fmt.Sprint(args[0].(uint64)>>20, " MB") },
	"many": func(args ...any) any {
		if args[0] == 1 {
			return "1 " + args[1].(string)
		}
		return fmt.Sprint(args[0], " ", args[2])
	},
}

func parse() map[string]page {
	const around = "layout.html"
	all := map[string]page{}
	names, err := embedded.ReadDir("templates")
	layout := source(around)
	for _, f := range names {
		if f.Name() == around {
			continue
		}
		t, wrong := template.Parse(functions, layout, source(f.Name()))
		if wrong != nil {
			err = fmt.Errorf("%s: %w", f.Name(), wrong)
		}
		all[strings.TrimSuffix(f.Name(), ".html")] = t
	}
	if err != nil {
		panic(err) // a mistake in an embedded file
	}
	return all
}

func source(name string) string {
	b, err := embedded.ReadFile("templates/" + name)
	if err != nil {
		panic(err) // embedded
	}
	return string(b)
}

// render shows a page.
func (v *visit) render(status int, page, title string, data any) error {
	out := view{Title: title, Base: v.base, Me: v.me, About: v.about, Kits: v.pages.Kits, Data: data}
	if v.session != nil {
		out.Told, out.LinkOnly = v.session.told, v.session.linkOnly
	}
	return v.renderView(status, page, out)
}

func (v *visit) renderView(status int, page string, out view) error {
	var b bytes.Buffer
	if err := templates()[page].Execute(&b, out); err != nil {
		return fmt.Errorf("the page %s can't be made: %w", page, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	v.w.Write(inASCII(b.Bytes())) // fails only when the browser is gone
	return nil
}

// inASCII writes what is outside ASCII as character references: Internet Explorer
// 3 and 4 know no UTF-8. Pages have no scripts or styles in them where that would
// mean something else.
func inASCII(page []byte) []byte {
	out := make([]byte, 0, len(page)+len(page)/8)
	for len(page) > 0 {
		r, n := utf8.DecodeRune(page)
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		} else {
			out = fmt.Appendf(out, "&#%d;", r)
		}
		page = page[n:]
	}
	return out
}

// refuse shows why there is nothing else to see.
func (v *visit) refuse(status int, why string) {
	if err := v.renderView(status, "refused", view{Title: "Nothing to see", Data: why}); err != nil {
		v.pages.Log.Error("a page can't be shown", "err", err)
	}
}

// show is render for pages without a session, where an error has nobody to return
// to.
func (v *visit) show(status int, page, title string, data any) {
	if err := v.render(status, page, title, data); err != nil {
		v.pages.Log.Error("a page can't be shown", "err", err)
		v.refuse(http.StatusInternalServerError, err.Error())
	}
}

// goTo leads on to another page. Old browsers know only 302, and some show its
// text.
func (v *visit) goTo(where string) error {
	v.w.Header().Set("Location", where)
	return v.renderView(http.StatusFound, "onward", view{Title: "Please go on", Data: where})
}

// done leads on to a page of the session that says what was done, or what went
// wrong.
func (v *visit) done(where, good string, err error) error {
	t := told{Good: good}
	if err != nil {
		t = told{Bad: sentence(err.Error()), Typed: map[string]string{}}
		for k := range v.r.PostForm {
			if k != "h" && !secret(k) {
				t.Typed[k] = v.r.PostFormValue(k)
			}
		}
	}
	v.pages.sessions.change(v.session.token, func(s *session) { s.told = t })
	return v.goTo(v.base + where)
}

// secret tells whether a field must not be shown again.
func secret(key string) bool {
	return key == "answer" || strings.Contains(key, "pass") || strings.Contains(key, "token") || strings.Contains(key, "key")
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return s
	}
	r, n := utf8.DecodeRuneInString(s)
	s = strings.ToUpper(string(r)) + s[n:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "!") {
		s += "."
	}
	return s
}

// field is a value of the form, without blanks around it.
func (v *visit) field(key string) string { return strings.TrimSpace(v.r.PostFormValue(key)) }

// file serves the style sheet and the pictures.
func (p *Pages) file(v *visit) {
	name := v.r.PathValue("file")
	b, err := embedded.ReadFile("files/" + path.Base(name))
	if err != nil {
		v.refuse(http.StatusNotFound, "There is no such page on this box.")
		return
	}
	kinds := map[string]string{".css": "text/css", ".svg": "image/svg+xml", ".js": "text/javascript"}
	v.w.Header().Set("Content-Type", kinds[path.Ext(name)])
	v.w.Header().Set("Cache-Control", "max-age=3600")
	v.w.Header().Del("Pragma")
	io.Copy(v.w, bytes.NewReader(b)) // fails only when the browser is gone
}
