package kit

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func handler() http.Handler {
	return Handler(Box{Root: func(context.Context) ([]byte, error) { return testRoot(), nil }})
}

// get asks as old browsers do: HTTP/1.0 on a connection of its own.
func get(t *testing.T, at, path string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.0\r\nAccept: */*\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(path, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(path, err)
	}
	return resp, string(body)
}

var link = regexp.MustCompile(`href="([^"]+)"`)

// An old browser gets to every file by links from the first page; each has its type
// and a name that Windows 95 takes.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	srv := httptest.NewServer(handler())
	defer srv.Close()
	at := srv.Listener.Addr().String()
	kinds := map[string]string{".htm": "text/html", ".zip": "application/zip", ".img": "application/octet-stream", ".REG": "application/octet-stream",
		".CRT": "application/x-x509-ca-cert", ".TXT": "text/plain"}
	seen := map[string]string{}
	for todo := []string{Path}; len(todo) > 0; todo = todo[1:] {
		path := todo[0]
		if _, ok := seen[path]; ok {
			continue
		}
		resp, body := get(t, at, path)
		seen[path] = body
		ext := path[max(strings.LastIndex(path, "."), 0):]
		kind, named := kinds[ext]
		if !named {
			kind = "text/html"
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != kind || len(resp.Cookies()) > 0 {
			t.Errorf("%s: %s %v", path, resp.Status, resp.Header)
		}
		keep := ext == ".zip" || ext == ".img" || ext == ".REG"
		if want := "attachment; filename=" + path[strings.LastIndex(path, "/")+1:]; keep != (resp.Header.Get("Content-Disposition") == want) {
			t.Errorf("%s: %v", path, resp.Header)
		}
		if kind != "text/html" {
			continue
		}
		if strings.ContainsFunc(body, func(c rune) bool { return c > '~' || c < ' ' && c != '\n' }) || strings.Contains(strings.ToLower(body), "<script") {
			t.Errorf("%s is no page for Internet Explorer 3: %s", path, body)
		}
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			todo = append(todo, m[1])
		}
	}
	for _, k := range List() {
		want, err := k.Build(testRoot())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(seen[Path+k.Name+".htm"], notProved) || !strings.Contains(seen[Path], k.Title) {
			t.Errorf("%s: its card is %s", k.Name, seen[Path+k.Name+".htm"])
		}
		img, err := readFloppy([]byte(seen[Path+k.Name+".img"]))
		if err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(strings.NewReader(seen[Path+k.Name+".zip"]), int64(len(seen[Path+k.Name+".zip"])))
		if err != nil || len(z.File) != len(want) || len(img) != len(want) {
			t.Fatal(k.Name, len(img), err)
		}
		for _, f := range want {
			r, err := z.Open(f.Name)
			if err != nil {
				t.Fatal(err)
			}
			zipped, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(zipped, f.Data) || img[f.Name] != string(f.Data) || seen[Path+k.Name+"/"+f.Name] != string(f.Data) {
				t.Errorf("%s: %s is not the same everywhere (%v)", k.Name, f.Name, err)
			}
		}
		if got := seen[Path+k.Name+"/HOSTS.TXT"]; !strings.Contains(got, "127.0.0.1\tmessenger.hotmail.com\r\n") || strings.Count(got, "\r\n") != len(k.Hosts)+1 {
			t.Errorf("%s: lines %q", k.Name, got)
		}
	}
}

func TestNotHere(t *testing.T) {
	for path, want := range map[string]int{
		"/kit": 404, "/": 404, "/kit/msn1": 404, "/kit/msn1.exe": 404, "/kit/msn1/": 404, "/kit/msn1/NUDGE.CRT": 404, "/kit/msn1/nudge.reg": 200, "/kit/x.zip": 404,
		"/kit/../etc/passwd": 404, "/kit/msn1/../../x": 404, "/kit/msn1.": 404, "/kit/.htm": 404, "/kit/msn1.zip/x": 404,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		w := httptest.NewRecorder()
		handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for path, want := range map[string]int{"/kit/": 405, "/kit/msn1.zip": 405} {
		w := httptest.NewRecorder()
		handler().ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader("x")))
		if w.Code != want {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
	none := Handler(Box{Root: func(context.Context) ([]byte, error) { return nil, errors.New("HTTPS is <off>") }})
	for path, want := range map[string]int{"/kit/msn1.zip": 200, "/kit/msn5.zip": 503, "/kit/msn5/NUDGE.REG": 503, "/kit/msn5.htm": 200} {
		w := httptest.NewRecorder()
		none.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want || want == 503 && !strings.Contains(w.Body.String(), "HTTPS is &lt;off&gt;") {
			t.Errorf("%s without a certificate: %d %s", path, w.Code, w.Body)
		}
	}
}

// form is what a browser sends: what shall be done, and the file.
func form(what, name string, data []byte) (kind string, body []byte) {
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	m.WriteField("what", what)
	part, _ := m.CreateFormFile("file", name) // a buffer takes everything
	part.Write(data)
	m.Close()
	return m.FormDataContentType(), b.Bytes()
}

func post(h http.Handler, kind string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/kit/patch", body)
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A program goes up, its changes are shown, it comes back patched, and goes back to
// what it was. Nothing of it stays on the box.
func TestUpload(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	h := handler()
	do := func(what, name string, data []byte) *httptest.ResponseRecorder {
		kind, body := form(what, name, data)
		return post(h, kind, bytes.NewReader(body))
	}
	old := exe(3*window, map[int]string{0x300: "\x00messenger.hotmail.com\x00", window: "\x00https://nexus.passport.com/rdr/pprdr.asp\x00"})
	if w := do("look", `C:\Program Files\MSN Messenger\msnmsgr.exe`, old); w.Code != 200 || !strings.Contains(w.Body.String(), "What would change in msnmsgr.exe") ||
		!strings.Contains(w.Body.String(), "00010009  nexus.passport.com/rdr/pprdr.asp -&gt; nuDge/rdr/pprdr.asp") {
		t.Errorf("look: %d %s", w.Code, w.Body)
	}
	w := do("patch", `C:\Program Files\MSN Messenger\msnmsgr.exe`, old)
	want := bytes.Clone(old)
	if _, err := Patch(program(want), int64(len(want)), false); err != nil {
		t.Fatal(err)
	}
	if w.Code != 200 || w.Header().Get("Content-Disposition") != "attachment; filename=msnmsgr.exe" || w.Header().Get("Content-Length") != fmt.Sprint(len(old)) ||
		!bytes.Equal(w.Body.Bytes(), want) {
		t.Errorf("patch: %d %v", w.Code, w.Header())
	}
	if w := do("undo", "msnmsgr.exe", want); w.Code != 200 || !bytes.Equal(w.Body.Bytes(), old) {
		t.Errorf("undo: %d %v", w.Code, w.Header())
	}
	for _, c := range []struct {
		what, name string
		data       []byte
		says       string
	}{
		{"patch", "setup.exe", exe(window, nil), "setup.exe: none of the known server names"},
		{"patch", `<b>"x".exe`, []byte("hello"), "bx.exe: this is no Windows program"},
		{"undo", "msnmsgr.exe", old, "nothing to undo"},
		{"patch", "../../..", nil, "patched.exe: this is no Windows program"},
		{"patch", "", nil, "choose a file first"},
		{"eat", "msnmsgr.exe", old, "choose what to do"},
	} {
		if w := do(c.what, c.name, c.data); !strings.Contains(w.Body.String(), c.says) || w.Header().Get("Content-Disposition") != "" {
			t.Errorf("%s %s: %d %s", c.what, c.name, w.Code, w.Body)
		}
	}
	kind, body := form("patch", "a.exe", old)
	for says, w := range map[string]*httptest.ResponseRecorder{
		"no form with a file":    post(h, "text/plain", strings.NewReader("x")),
		"choose a file first":    post(h, kind, bytes.NewReader(slices.Concat(body[:bytes.Index(body, []byte("Content-Disposition: form-data; name=\"file\""))-2], []byte("--\r\n")))),
		"did not arrive whole":   post(h, kind, bytes.NewReader(body[:len(body)/2])),
		"larger than any client": post(h, kind, io.MultiReader(bytes.NewReader(body[:1000]), io.LimitReader(zeros{}, maxProgram+1<<20))),
	} {
		if w.Code != 400 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("instead of %q: %d %s", says, w.Code, w.Body)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// While one program is on its way up, the next is asked to come again.
func TestOneUploadAtATime(t *testing.T) {
	h := handler()
	kind, body := form("patch", "a.exe", exe(window, map[int]string{0x300: "\x00messenger.hotmail.com\x00"}))
	r, w := io.Pipe()
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- post(h, kind, r) }()
	if _, err := w.Write(body[:100]); err != nil { // it is being read
		t.Fatal(err)
	}
	if second := post(h, kind, bytes.NewReader(body)); second.Code != 503 || second.Header().Get("Retry-After") == "" {
		t.Errorf("the second: %d", second.Code)
	}
	if _, err := w.Write(body[100:]); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if one := <-first; one.Code != 200 || one.Header().Get("Content-Disposition") == "" {
		t.Errorf("the first: %d %s", one.Code, one.Body)
	}
	if third := post(h, kind, bytes.NewReader(body)); third.Code != 200 {
		t.Errorf("the third: %d", third.Code)
	}
}

// Whatever comes up: an answer, and nothing that breaks.
func FuzzUpload(f *testing.F) {
	kind, body := form("patch", "a.exe", exe(0x100, map[int]string{0x90: "\x00messenger.hotmail.com\x00"}))
	f.Add(kind, body)
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nMZ\r\n--x--\r\n"))
	f.Add("multipart/form-data", []byte("--\r\n"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		w := post(handler(), kind, bytes.NewReader(body))
		if w.Code != 200 && w.Code != 400 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
