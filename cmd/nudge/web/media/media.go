// Package media serves the files that people on other networks sent, to the PCs
// whose users they were sent to: below Path, by the links that stand in their
// conversations.
//
// A picture is shown on a page, as a JPEG or GIF that fits the screen of a PC of
// 1999; the file itself is a second link. Every other file is only offered to be
// kept. Nothing of what was sent is ever shown as it is: pictures are made anew,
// and files go out with a type that no browser looks into or opens by itself.
//
// # On the way
//
// A file is fetched when somebody wants it, whole, onto the disk, and used only
// when it came to its right end: the network checks it there (an encrypted one by
// its hash). It is kept for a while (spool.go) and never in memory.
//
// # Goroutines
//
// None of its own but a timer that drops what nobody looked at; Close ends it.
// Handlers may be used by many.
package media

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"
)

// Path is where Pages are to be mounted.
const Path = "/m/"

// File is what the sender says of a file.
type File struct {
	Name, Type string // a file name, perhaps none; a MIME type or "image/*"
	Size       int64  // bytes, 0 unknown
	From       string // who sent it
	Account    string // whose PC may have it
}

// Refused is why there is nothing to see, in words for the person at the browser.
type Refused struct{ Text string }

func (r *Refused) Error() string { return r.Text }

// Config is what Pages are made of.
type Config struct {
	// About tells what a link leads to for a PC, and Open fetches it: what Open
	// gives ends with io.EOF only when the whole file came and is the right one.
	// Their errors are *Refused or for the log.
	About func(token string, from netip.Addr) (File, error)
	Open  func(ctx context.Context, token string, from netip.Addr) (io.ReadCloser, error)
	Dir   string       // a folder of its own; what is in it is removed
	Space func() int64 // how much of the disk files may take together, in bytes
	Log   *slog.Logger
}

// Pages answer requests below Path. Make them with New, end them with Close.
type Pages struct {
	Config
	spool *spool
}

// New makes the pages of a box.
func New(c Config) *Pages { return &Pages{Config: c, spool: newSpool(c.Dir, c.Space)} }

// Close drops every file.
func (p *Pages) Close() { p.spool.close() }

// Forget drops the files of an account.
func (p *Pages) Forget(account string) {
	p.spool.drop(func(k *kept) bool { return strings.EqualFold(k.account, account) })
}

// fetchTime is how long a file may take to come from its network, and again to go
// out to the PC.
const fetchTime = 20 * time.Minute

// small is the name of the picture on a page; the file itself may have any other.
const small = "small"

// ServeHTTP answers one request for Path+TOKEN, the page, or Path+TOKEN/NAME.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; img-src 'self'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, max-age=600")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, http.StatusMethodNotAllowed, "There is nothing to send here.")
		return
	}
	token, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Path), "/")
	from := peer(r)
	f, err := p.About(token, from)
	if err != nil {
		p.refuse(w, http.StatusNotFound, err)
		return
	}
	if name == "" && !f.picture() {
		page(w, http.StatusOK, f.title(), f.words()+f.saveLink(token))
		return
	}
	// Both may take longer than other pages have.
	c := http.NewResponseController(w)
	c.SetReadDeadline(time.Now().Add(2 * fetchTime))
	c.SetWriteDeadline(time.Now().Add(2 * fetchTime))
	ctx, cancel := context.WithTimeout(r.Context(), fetchTime)
	defer cancel()
	k, err := p.spool.get(ctx, token, f, func() (io.ReadCloser, error) { return p.Open(ctx, token, from) })
	if err != nil {
		p.refuse(w, http.StatusBadGateway, err)
		return
	}
	defer p.spool.release(k)
	switch name {
	case "":
		p.show(ctx, w, k, f, token)
	case small:
		if err := p.spool.show(ctx, k); err != nil {
			p.refuse(w, http.StatusNotFound, err)
			return
		}
		send(w, r, k.shown.kind, io.NewSectionReader(k.file, k.size, k.shown.size), k.shown.size)
	default:
		h.Set("Content-Disposition", `attachment; filename="`+plainName(f.Name, k.kind)+`"`)
		send(w, r, "application/x-download", io.NewSectionReader(k.file, 0, k.size), k.size)
	}
}

// show is the page of a picture.
func (p *Pages) show(ctx context.Context, w http.ResponseWriter, k *kept, f File, token string) {
	body := f.words()
	var why *Refused
	switch err := p.spool.show(ctx, k); {
	case err == nil:
		body += fmt.Sprintf("<p><img src=\"%s%s/%s\" width=\"%d\" height=\"%d\" alt=\"%s\">\n", Path, token, small, k.shown.w, k.shown.h, html.EscapeString(f.title()))
	case errors.As(err, &why):
		body += "<p>" + html.EscapeString(why.Text) + "\n"
	default:
		p.refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	f.Size = k.size
	page(w, http.StatusOK, f.title(), body+f.saveLink(token))
}

// refuse says what went wrong; what no person can use goes to the log.
func (p *Pages) refuse(w http.ResponseWriter, status int, err error) {
	var why *Refused
	switch {
	case errors.As(err, &why):
		refuse(w, status, why.Text)
	default:
		p.Log.Info("a file can't be shown", "err", err)
		refuse(w, status, "The file can't be fetched now. Try again in a few minutes, or ask for it again.")
	}
}

// send writes what was fetched; a browser that is gone is no error.
func send(w http.ResponseWriter, r *http.Request, kind string, from io.Reader, size int64) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		io.Copy(w, from)
	}
}

// peer is the address a request comes from.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // nobody's
	}
	return at.Addr().Unmap().WithZone("")
}

// picture tells whether the file may be one that can be shown.
func (f File) picture() bool {
	switch strings.ToLower(path.Ext(f.Name)) {
	case ".jpg", ".jpeg", ".jpe", ".png", ".gif", ".webp":
		return true
	}
	return strings.HasPrefix(f.Type, "image/")
}
