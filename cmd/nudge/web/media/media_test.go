package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// rig is pages over files in memory. A token is its file's name there.
type rig struct {
	*testing.T
	*Pages
	files  map[string]string
	broken map[string]error // how a file ends, other than well
	opened int
	space  int64
}

const right = "192.168.1.30"

func newRig(t *testing.T) *rig {
	r := &rig{T: t, files: map[string]string{}, broken: map[string]error{}, space: 1 << 20}
	r.Pages = New(Config{
		Dir: t.TempDir() + "/files", Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Space: func() int64 { return r.space },
		About: func(token string, from netip.Addr) (File, error) {
			if _, ok := r.files[token]; !ok {
				return File{}, &Refused{"This link is not good any more."}
			}
			if from.String() != right {
				return File{}, &Refused{"This link was made for another PC."}
			}
			return File{Name: token, Account: "alice@hotmail.com", From: "Bob <b>", Type: map[bool]string{true: "image/*"}[!strings.Contains(token, ".")]}, nil
		},
		Open: func(_ context.Context, token string, _ netip.Addr) (io.ReadCloser, error) {
			r.opened++
			end := io.EOF
			if err := r.broken[token]; err != nil {
				end = err
			}
			return io.NopCloser(io.MultiReader(strings.NewReader(r.files[token]), failing{end})), nil
		},
	})
	t.Cleanup(r.Close)
	return r
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// get is what a browser of a PC gets.
func (r *rig) get(path, from string) *httptest.ResponseRecorder {
	req := httptest.NewRequest("GET", Path+path, nil)
	req.RemoteAddr = from + ":1042"
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	if h := w.Header(); h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") {
		r.Errorf("%s: the headings %v let a browser guess", path, h)
	}
	return w
}

// used is how many bytes are kept.
func (r *rig) used() int64 {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	return r.spool.used
}

// shows checks what a page says.
func (r *rig) shows(path, from string, status int, words ...string) string {
	r.Helper()
	w := r.get(path, from)
	body := w.Body.String()
	if w.Code != status || w.Header().Get("Content-Type") != "text/html" || len(body) < 512 {
		r.Errorf("%s: %d, %s, %d bytes", path, w.Code, w.Header().Get("Content-Type"), len(body))
	}
	for _, part := range words {
		if !strings.Contains(body, part) {
			r.Errorf("%s does not say %q:\n%s", path, part, body)
		}
	}
	return body
}

func TestPicture(t *testing.T) {
	r := newRig(t)
	r.files["cat.png"] = encoded(t, "png", 1200, 420)
	r.shows("cat.png", right, 200, "From Bob &lt;b&gt;", `<img src="/m/cat.png/small" width="600" height="210"`, `href="/m/cat.png/cat.png"`)
	w := r.get("cat.png/small", right)
	if kind, size := w.Header().Get("Content-Type"), decoded(t, w.Body.Bytes()); kind != "image/jpeg" || size != "jpeg 600x210" {
		t.Errorf("the picture is %s, %s", kind, size)
	}
	w = r.get("cat.png/cat.png", right)
	if h := w.Header(); w.Body.String() != r.files["cat.png"] || h.Get("Content-Disposition") != `attachment; filename="cat.png"` || h.Get("Content-Type") != "application/x-download" {
		t.Errorf("the file is %d bytes, %v", w.Body.Len(), h)
	}
	if r.opened != 1 {
		t.Errorf("it was fetched %d times", r.opened)
	}
}

// TestFile: whatever else it is, it is only offered, and fetched when it is wanted.
func TestFile(t *testing.T) {
	r := newRig(t)
	r.files["page.html"] = "<html><script>alert(1)</script>"
	r.shows("page.html", right, 200, "Save the file as it was sent")
	if r.opened != 0 {
		t.Error("it was fetched before anybody wanted it")
	}
	for _, name := range []string{"page.html", "small", "x"} {
		w := r.get("page.html/"+name, right)
		if name == small { // it is no picture
			if w.Code != 404 || strings.Contains(w.Body.String(), "<script") {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
			continue
		}
		if h := w.Header(); h.Get("Content-Disposition") != `attachment; filename="page.html"` || h.Get("Content-Type") != "application/x-download" || w.Body.String() != r.files["page.html"] {
			t.Errorf("%s: %v, %s", name, h, w.Body)
		}
	}
	r.files["drawing"] = "<svg><script>alert(1)</script></svg>"
	if body := r.shows("drawing", right, 200, "no picture that the box can show"); strings.Contains(body, "<svg") {
		t.Error("it is shown")
	}
	post := httptest.NewRequest("POST", Path+"page.html", nil)
	w := httptest.NewRecorder()
	if r.ServeHTTP(w, post); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	r.files["cat.png"] = encoded(t, "png", 10, 10)
	r.shows("nothing", right, 404, "not good any more")
	for _, path := range []string{"cat.png", "cat.png/small", "cat.png/cat.png"} {
		r.shows(path, "192.168.1.31", 404, "another PC")
	}
	for name, c := range map[string]struct {
		err   error
		words string
	}{
		"altered.png": {&Refused{"its check sum is wrong"}, "its check sum is wrong"},
		"cut.png":     {io.ErrUnexpectedEOF, "be fetched now"},
	} {
		r.files[name], r.broken[name] = r.files["cat.png"], c.err
		for _, path := range []string{name, name + "/small", name + "/" + name} {
			r.shows(path, right, 502, c.words)
		}
	}
	if r.used() != 0 || len(r.spool.kept) != 0 {
		t.Errorf("%d bytes of %d files are kept of what must not be shown", r.used(), len(r.spool.kept))
	}
	r.broken["cut.png"] = nil
	r.shows("cut.png", right, 200, "<img")
}

// TestSpace: more than there is room for is refused, also when nobody said how large
// it is; what was looked at longest ago makes room.
func TestSpace(t *testing.T) {
	r := newRig(t)
	r.space = 1000
	for name, size := range map[string]int{"a.zip": 400, "b.zip": 400, "c.zip": 400, "large.zip": 1001} {
		r.files[name] = strings.Repeat("x", size)
	}
	r.shows("large.zip/f", right, 502, "larger than the box has room for")
	for _, want := range []struct {
		path    string
		fetched int
	}{{"a.zip/f", 2}, {"b.zip/f", 3}, {"a.zip/f", 3}, {"c.zip/f", 4}, {"a.zip/f", 4}, {"b.zip/f", 5}} {
		if w := r.get(want.path, right); w.Body.Len() != 400 || r.opened != want.fetched {
			t.Errorf("%s: %d bytes, %d files fetched in all, want %d", want.path, w.Body.Len(), r.opened, want.fetched)
		}
		time.Sleep(time.Millisecond) // so that one was looked at later
	}
	k, err := r.spool.get(t.Context(), "a.zip", File{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := r.spool.get(t.Context(), "b.zip", File{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.shows("c.zip/f", right, 502, "while others are being looked at")
	r.spool.release(k)
	r.spool.release(l)
	if r.get("c.zip/f", right).Body.Len() != 400 || r.used() != 800 {
		t.Errorf("%d bytes are kept", r.used())
	}
}

// TestDropped: files go when nobody looked for a while, when their account goes, and
// with the box; nothing is left in the folder.
func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.files["a.zip"], r.files["b.zip"] = "aaaa", "bbbb"
		r.get("a.zip/f", right)
		time.Sleep(keepTime / 2)
		r.get("b.zip/f", right)
		time.Sleep(keepTime)
		synctest.Wait()
		if r.used() != 4 {
			t.Errorf("%d bytes are kept, want those looked at last", r.used())
		}
		time.Sleep(keepTime)
		synctest.Wait()
		if r.used() != 0 {
			t.Errorf("%d bytes are kept for ever", r.used())
		}
		r.get("a.zip/f", right)
		k, err := r.spool.get(t.Context(), "b.zip", File{Account: "alice@hotmail.com"}, func() (io.ReadCloser, error) { return r.Open(t.Context(), "b.zip", netip.Addr{}) })
		if err != nil {
			t.Fatal(err)
		}
		r.Forget("Alice@hotmail.com")
		if r.used() != 4 {
			t.Errorf("%d bytes are kept of an account that is gone, want what is in use", r.used())
		}
		r.spool.release(k)
		r.get("a.zip/f", right)
		if left, err := os.ReadDir(r.Dir); err != nil || len(left) > 0 {
			t.Errorf("in the folder: %v, %v", left, err)
		}
		r.Close()
		if r.used() != 0 {
			t.Errorf("%d bytes are kept", r.used())
		}
		r.shows("a.zip/f", right, 502, "be fetched now")
	})
}

// TestTogether: who asks while a file comes waits for it, or goes.
func TestTogether(t *testing.T) {
	r := newRig(t)
	in, out := io.Pipe()
	began := make(chan struct{})
	open := func() (io.ReadCloser, error) { close(began); return in, nil }
	got := make(chan error)
	get := func(ctx context.Context) {
		k, err := r.spool.get(ctx, "t", File{Account: "a"}, open)
		if err == nil {
			var b bytes.Buffer
			b.ReadFrom(io.NewSectionReader(k.file, 0, k.size))
			if b.String() != "whole" {
				err = errors.New(b.String())
			}
			r.spool.release(k)
		}
		got <- err
	}
	go get(t.Context())
	<-began
	go get(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	go get(ctx)
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("who went gets %v", err)
	}
	io.WriteString(out, "whole")
	out.Close()
	for range 2 {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"a.jpg": "a.jpg", `C:\dir\My Photo.JPG`: "My_Photo.JPG", "../../etc/passwd": "passwd.gif", "": "file.gif", "...": "file.gif",
		"\"\r\nX: y": "y.gif", "ñandú.png": "and_.png", "small": "file.gif", strings.Repeat("x", 300) + ".tar.gz": strings.Repeat("x", 48) + ".gz",
		"a.<script>": "a._script",
	} {
		if got := plainName(name, "gif"); got != want {
			t.Errorf("%q is kept as %q, want %q", name, got, want)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("a/b\\c:d.jpg", "png")
	f.Fuzz(func(t *testing.T, name, kind string) {
		got := plainName(name, "")
		if got == "" || len(got) > 60 || got[0] == '.' || strings.Trim(got, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			t.Errorf("%q is kept as %q", name, got)
		}
		if page := ascii(name); strings.ContainsFunc(page, func(r rune) bool { return r >= 0x80 }) {
			t.Errorf("%q is written %q", name, page)
		}
	})
}
