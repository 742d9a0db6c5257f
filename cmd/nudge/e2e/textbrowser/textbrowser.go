// Package textbrowser is a browser for tests that knows of a page what a person
// sees: links by their words, buttons by what is written on them, and fields by
// the words before them. Boxes stay unticked. It has neither script nor cookies. A page that can't be
// used without knowing an address or a field's name beforehand fails its test.
//
// # Goroutines
//
// None of its own. A Browser is for one goroutine.
package textbrowser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Browser shows one page. Make it with New.
type Browser struct {
	web  http.Client
	at   *url.URL
	page page

	// Saved is the file that the last step brought, nil when it brought a page;
	// the page before it is still shown then.
	Saved []byte
}

// New makes a browser that connects through dial, nil for the usual way.
func New(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *Browser {
	return &Browser{web: http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, // as browsers of 1996
		Timeout:   patience,
	}}
}

// patience is how long a page may take: one that tests a link, on an emulated
// board.
const patience = 3 * time.Minute

// maxPage is how much is read of an answer, in bytes.
const maxPage = 64 << 20

// Visit opens an address.
func (b *Browser) Visit(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	return b.send(req)
}

// Title is what the window is called.
func (b *Browser) Title() string { return b.page.title }

// Text is what the page says, a line for each row and paragraph, with [buttons].
func (b *Browser) Text() string { return b.page.text }

// Follow opens the link with these words. Several that lead to the same place
// count as one.
func (b *Browser) Follow(ctx context.Context, words string) error {
	to := ""
	for _, l := range b.page.links {
		if l.words == words && to != "" && l.href != to {
			return fmt.Errorf("%s: links %q lead to %s and to %s", b.at, words, to, l.href)
		}
		if l.words == words {
			to = l.href
		}
	}
	if to == "" {
		return b.lacks("link", words)
	}
	u, err := b.at.Parse(to)
	if err != nil {
		return err
	}
	return b.Visit(ctx, u.String())
}

// Press fills in fields, given as the words before them and what goes in, and
// presses a button. Into a field for a file goes the file's path.
func (b *Browser) Press(ctx context.Context, button string, fields ...string) error {
	f, err := b.page.withButton(button)
	if err == nil {
		err = f.fill(fields)
	}
	if err != nil {
		return errors.Join(err, b.lacks("form", button))
	}
	req, err := f.request(ctx, b.at)
	if err != nil {
		return err
	}
	return b.send(req)
}

// lacks says what the page has instead.
func (b *Browser) lacks(what, words string) error {
	return fmt.Errorf("%s: no %s %q on the page:\n%s", b.at, what, words, b.page.text)
}

func (b *Browser) send(req *http.Request) error {
	resp, err := b.web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return fmt.Errorf("%s broke off: %w", req.URL, err)
	}
	b.Saved = nil
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		b.Saved = body
	} else {
		b.at, b.page = resp.Request.URL, read(bytes.NewReader(body))
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s\n%s", resp.Request.URL, resp.Status, read(bytes.NewReader(body)).text)
	}
	return nil
}

// form is what a button sends.
type form struct {
	action, method, kind string
	fields               []field
	buttons              []field
}

// field is one of a form's, or a button.
type field struct{ words, name, kind, value string }

// withButton is the only form with such a button, which is pressed.
func (p page) withButton(words string) (*form, error) {
	var found []form
	for _, f := range p.forms {
		for _, b := range f.buttons {
			if b.words == words {
				f.fields = append(append([]field(nil), f.fields...), field{name: b.name, value: b.value})
				found = append(found, f)
			}
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("there are %d buttons %q", len(found), words)
	}
	return &found[0], nil
}

// fill puts a value after the words of each field.
func (f *form) fill(pairs []string) error {
	for i := 0; i < len(pairs); i += 2 {
		n := -1
		for j, c := range f.fields {
			if c.words == pairs[i] {
				n = j
			}
		}
		if n < 0 {
			return fmt.Errorf("there is no field %q", pairs[i])
		}
		f.fields[n].value = pairs[i+1]
	}
	return nil
}

func (f *form) request(ctx context.Context, at *url.URL) (*http.Request, error) {
	to, err := at.Parse(f.action)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	kind := "application/x-www-form-urlencoded"
	if f.kind == "multipart/form-data" {
		kind, err = f.parts(&body)
		if err != nil {
			return nil, err
		}
	} else {
		values := url.Values{}
		for _, c := range f.fields {
			if c.name != "" {
				values.Add(c.name, c.value)
			}
		}
		body.WriteString(values.Encode())
	}
	if f.method != "post" {
		to.RawQuery = body.String()
		return http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), &body)
	if err == nil {
		req.Header.Set("Content-Type", kind)
	}
	return req, err
}

// parts writes the fields in their order, with files.
func (f *form) parts(body *bytes.Buffer) (kind string, err error) {
	w := multipart.NewWriter(body)
	for _, c := range f.fields {
		switch {
		case c.name == "":
		case c.kind == "file":
			content, err := os.ReadFile(c.value)
			if err != nil {
				return "", err
			}
			part, err := w.CreateFormFile(c.name, "file")
			if err != nil {
				return "", err
			}
			part.Write(content) // into memory
		default:
			if err := w.WriteField(c.name, c.value); err != nil {
				return "", err
			}
		}
	}
	return w.FormDataContentType(), w.Close()
}
