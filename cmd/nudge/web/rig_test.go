package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/cmd/nudge/control"
	"nudge/msnserver/passport"
	"nudge/store"
)

// network lets in who knows the password and knows everybody at wire.test.
type network struct{ hosts chan im.Host }

func (network) Fields() []im.Field {
	return []im.Field{
		{Key: "user", Label: "User", Required: true}, {Key: "password", Label: "Password", Secret: true},
		{Key: "ca", Label: "CA certificate file"}, {Key: "tls", Label: "Encryption", Default: "auto", Choices: []string{"auto", "direct"}},
	}
}

func (network) Settings() []im.Field {
	return []im.Field{{Key: "receipts", Label: "Receipts", Default: "on", Choices: []string{"on", "off"}}}
}

func (n network) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	if l.Fields["password"] != "open" {
		return nil, &im.Lost{Class: im.Credentials, Text: "The server says that <b>the password</b> is wrong."}
	}
	n.hosts <- l.Host
	k := &link{end: make(chan struct{})}
	return k, l.Host.Accept(ctx, im.Batch{User: l.User, Events: []im.Event{im.LinkState{State: im.Up}}}, nil)
}

type link struct{ end chan struct{} }

func (*link) Handle(context.Context, im.Addr, im.Event) error { return im.ErrUnsupported }
func (*link) Find(_ context.Context, _ im.Addr, handle string) (im.Person, error) {
	if strings.HasSuffix(handle, "@wire.test") {
		return im.Person{Addr: im.Addr{Net: "wire", ID: handle}, Name: "Found"}, nil
	}
	return im.Person{}, im.ErrNotFound
}
func (*link) Open(context.Context, im.Addr, string) (io.ReadCloser, im.File, error) {
	return nil, im.File{}, im.ErrUnsupported
}
func (*link) Upload(context.Context, im.Addr, string, im.File, io.Reader) (string, error) {
	return "", im.ErrUnsupported
}
func (k *link) Wait() error { <-k.end; return nil }
func (k *link) Close() error {
	select {
	case <-k.end:
	default:
		close(k.end)
	}
	return nil
}

// rig is the pages of a box in this process.
type rig struct {
	*testing.T
	box   *control.Box
	owner *control.Client
	pages *Pages
	hosts chan im.Host // of links that came up
	given string       // what restore was given, with the passphrase
}

func newRig(t *testing.T) *rig {
	t.Helper()
	compare()
	r := &rig{T: t, hosts: make(chan im.Host, 9)}
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	key, _, err := store.LoadKey(filepath.Join(dir, store.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(dir, store.Options{Key: key, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	hub, err := bridge.New(bridge.Config{Store: db, Networks: map[string]im.Network{"wire": network{r.hosts}}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	guesses := passport.NewThrottle(passport.Limits{PerAccount: 3, PerSource: 6, Longest: time.Minute})
	r.box = control.New(control.Config{
		Hub: hub, Store: db, Log: log, Data: dir, Version: "test", Running: true,
		Reach:     func() string { return "192.168.1.20" },
		Listeners: []control.Listener{{Name: "msn", Addr: ":1863"}, {Name: "names", Note: "port 53 is used by dnsmasq"}},
		Troubled: func(string) []control.PC {
			return []control.PC{{Address: "192.168.1.30", Account: "<i>alice</i>@hotmail.com", Trouble: "wrong-password", What: "the password is wrong", Cure: "type it again", Times: 2, Last: time.Now()}}
		},
		Try: func(source netip.Addr, what string) (func(bool), time.Duration) {
			return guesses.Try(addr(source.String()), what)
		},
		Restore: func(_ context.Context, in io.Reader, pass string) error {
			b, err := io.ReadAll(in)
			if err != nil || pass != "a long one" {
				return errors.New("the passphrase is wrong")
			}
			r.given = string(b)
			return nil
		},
		LogTail: func() []string { return []string{"level=INFO msg=<started>"} },
	})
	r.owner = control.Local(r.box)
	r.pages = New(Config{Control: r.owner, Own: func(host string) bool { return host == "nudge" || host == "192.168.1.20" }, Kits: "/kit/", Log: log})
	r.box.LinkPage = r.pages.LinkPage
	r.box.SignInChanged = r.pages.SignOut
	hub.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(hub.Close(ctx), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// addr is the address of a PC.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) + ":1" }

// user makes an account with the password "sesame".
func (r *rig) user(handle string, change func(*control.NewUser)) {
	r.Helper()
	u := control.NewUser{Handle: handle, Password: "sesame"}
	if change != nil {
		change(&u)
	}
	if _, err := r.owner.AddUser(r.Context(), u); err != nil {
		r.Fatal(err)
	}
}

// browser is somebody at a PC, without cookies and without scripts.
type browser struct {
	*rig
	from, host string
	base       string // of its session
}

func (r *rig) browser(from string) *browser { return &browser{rig: r, from: from, host: "nudge"} }

// answer is a page.
type answer struct {
	code   int
	header http.Header
	text   string
}

func (b *browser) send(req *http.Request) answer {
	b.Helper()
	req.RemoteAddr = b.from + ":4711"
	req.Host = b.host
	w := httptest.NewRecorder()
	b.pages.ServeHTTP(w, req)
	a := answer{w.Code, w.Result().Header, w.Body.String()}
	for _, c := range []byte(a.text) {
		if c >= 0x80 && strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			b.Fatalf("%s: a page that is not ASCII", req.URL)
		}
	}
	if to := a.header.Get("Location"); a.code == http.StatusFound {
		if !strings.Contains(a.text, `href="`+strings.ReplaceAll(to, "&", "&amp;")) && !strings.Contains(to, "?") {
			b.Errorf("%s: leads on to %s without a link", req.URL, to)
		}
		if m := regexp.MustCompile(`^/s/[A-Z2-7]+/`).FindString(to); m != "" {
			b.base = m
		}
		return b.get(to)
	}
	return a
}

func (b *browser) get(path string) answer {
	b.Helper()
	return b.send(httptest.NewRequest("GET", path, nil))
}

func (b *browser) post(path string, form ...string) answer {
	b.Helper()
	return b.send(b.form(path, form...))
}

func (b *browser) form(path string, form ...string) *http.Request {
	v := url.Values{}
	for i := 0; i < len(form); i += 2 {
		v.Add(form[i], form[i+1])
	}
	req := httptest.NewRequest("POST", path, strings.NewReader(v.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// in signs in.
func (b *browser) in(handle string) *browser {
	b.Helper()
	b.post("/in", "handle", handle, "password", "sesame").want(b.T, 200, "At a glance")
	return b
}

func (a answer) want(t *testing.T, code int, texts ...string) answer {
	t.Helper()
	if a.code != code {
		t.Fatalf("%d, want %d\n%s", a.code, code, a.text)
	}
	for _, s := range texts {
		if !strings.Contains(a.text, s) {
			t.Fatalf("%q is not in\n%s", s, a.text)
		}
	}
	return a
}

func (a answer) lacks(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, s := range texts {
		if strings.Contains(a.text, s) {
			t.Fatalf("%q is in\n%s", s, a.text)
		}
	}
	return a
}
