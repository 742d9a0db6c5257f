package media

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"path"
	"strings"
)

// page writes a page that Internet Explorer 3 shows: HTML 3.2 in ASCII. It is never
// shorter than 512 bytes: below that, later ones show words of their own for an
// error.
func page(w http.ResponseWriter, status int, title, body string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	text := `<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">` + "\n<html><head><title>" + html.EscapeString(title) + "</title></head>\n" +
		`<body bgcolor="#ffffff" text="#000000">` + "\n<h2>" + html.EscapeString(title) + "</h2>\n" + body + "</body></html>\n"
	if lacks := 512 - len(text); lacks > 0 {
		text += "<!--" + strings.Repeat(" ", lacks) + "-->\n"
	}
	io.WriteString(w, ascii(text)) // fails only when the browser is gone
}

// refuse shows why there is nothing else.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Cache-Control", "no-store")
	page(w, status, "Nothing to see", "<p>"+html.EscapeString(why)+"\n")
}

// ascii writes other characters by number: no browser must guess how the page is
// encoded.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return b.String()
}

// title is the file's name for a person.
func (f File) title() string {
	if f.Name == "" {
		return "A file"
	}
	return f.Name
}

func (f File) words() string { return "<p>From " + html.EscapeString(f.From) + ".\n" }

// saveLink leads to the file itself, under a name that old browsers take from the
// address when they don't understand the heading that says it.
func (f File) saveLink(token string) string {
	size := ""
	switch {
	case f.Size >= 1e6:
		size = fmt.Sprintf(", %.1f MB", float64(f.Size)/1e6)
	case f.Size > 0:
		size = fmt.Sprintf(", %d kB", (f.Size+999)/1000)
	}
	return fmt.Sprintf("<p><a href=\"%s%s/%s\">Save the file as it was sent</a> (%s%s)\n",
		Path, token, plainName(f.Name, ""), html.EscapeString(f.title()), size)
}

// plainName is the name under which a PC keeps a file: letters that are safe in an
// address, a heading and a file system, with its last extension. One without any
// gets that of kind, which may be "".
func plainName(name, kind string) string {
	name = name[strings.LastIndexAny(name, `/\:`)+1:]
	name = strings.Trim(strings.Map(func(c rune) rune {
		switch {
		case c == '.' || c == '-' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80:
			return c
		}
		return '_'
	}, name), "._")
	ext := path.Ext(name)
	if len(ext) > 9 {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	stem = stem[:min(len(stem), 48)]
	if stem == "" || strings.EqualFold(stem, small) {
		stem = "file"
	}
	if ext == "" && kind != "" {
		ext = "." + kind
	}
	return stem + ext
}
