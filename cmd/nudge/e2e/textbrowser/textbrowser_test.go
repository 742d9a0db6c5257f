package textbrowser

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const page1 = `<html><head><title>A page</title><style>unseen</style></head><body>
<p>Hello &lt;you&gt;. <a href="b?x=1&amp;y=2"><b>Go
on</b></a> or <a href="/c">here</a>, <a href="/d">here</a></p>
<form method="post" action="take"><input type="hidden" name="h" value="a&amp;b">
<table><tr><td>Address *</td><td><input name="who" value="x"> <font>such as me</font></td></tr>
<tr><td>Zone</td><td><select name="zone"><option value="">none</option><option selected>Europe/Berlin
</option><option>UTC</option></select> or another: <input name="other"></td></tr>
<tr><td></td><td><input type="checkbox" name="md5" value="1"> old</td></tr></table>
<input type="submit" value="Go"> <button type="submit" name="do" value="test">Test it</button></form>
<form method="post" action="/up" enctype="multipart/form-data"><p>Passphrase <input type="password" name="pass"></p>
<p>File <input type="file" name="file"></p><input type="submit" value="Restore"></form>
<form action="/find"><p>Words: <input name="q"> <input type="submit" value="Find"></p></form></body></html>`

func TestBrowser(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/s/a":
			io.WriteString(w, page1)
		case "/s/take":
			http.Redirect(w, r, "/told?"+body(r), http.StatusFound)
		case "/file":
			w.Header().Set("Content-Type", "application/octet-stream")
			io.WriteString(w, "content")
		case "/lost":
			http.Error(w, "lost", http.StatusNotFound)
		case "/up":
			r.ParseMultipartForm(1 << 20)
			f, _, err := r.FormFile("file")
			if err != nil {
				t.Error(err)
				return
			}
			b, _ := io.ReadAll(f)
			fmt.Fprintf(w, "got %s %s", r.PostFormValue("pass"), b)
		default:
			fmt.Fprintf(w, "<p>at %s", strings.ReplaceAll(r.URL.RequestURI(), "&", "&amp;"))
		}
	}))
	defer srv.Close()
	ctx, b := t.Context(), New(nil)
	start := func() {
		t.Helper()
		if err := b.Visit(ctx, srv.URL+"/s/a"); err != nil {
			t.Fatal(err)
		}
	}
	says := func(err error, want string) {
		t.Helper()
		if got := strings.TrimSpace(b.Text()); err != nil || got != want {
			t.Errorf("%q, not %q (%v)", got, want, err)
		}
	}
	start()
	if text := b.Text(); !strings.Contains(text, "Hello <you>. Go on or here, here\n") || !strings.Contains(text, "Words: [Find]\n") || strings.Contains(strings.ToLower(text), "unseen") {
		t.Errorf("it says %q", text)
	}
	if b.Title() != "A page" {
		t.Errorf("it is called %q", b.Title())
	}
	says(b.Follow(ctx, "Go on"), "at /s/b?x=1&y=2")
	start()
	says(b.Press(ctx, "Go", "Address", "me", "or another", "UTC"), "at /told?h=a%26b&other=UTC&who=me&zone=Europe%2FBerlin")
	start()
	says(b.Press(ctx, "Test it"), "at /told?do=test&h=a%26b&other=&who=x&zone=Europe%2FBerlin")
	start()
	says(b.Press(ctx, "Find", "Words", "a b"), "at /find?q=a+b")
	start()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(b.Press(ctx, "Restore", "Passphrase", "p", "File", file), "got p kept")
	if err := b.Visit(ctx, srv.URL+"/file"); err != nil || string(b.Saved) != "content" || b.Text() != "got p kept\n" {
		t.Errorf("a file: %q, %v", b.Saved, err)
	}
	start()
	for what, err := range map[string]error{
		"an ambiguous link": b.Follow(ctx, "here"), "no link": b.Follow(ctx, "nowhere"), "no button": b.Press(ctx, "Stop"),
		"no field": b.Press(ctx, "Go", "Name", "x"), "no file": b.Press(ctx, "Restore", "File", "/nowhere/at/all"), "no page": b.Visit(ctx, srv.URL+"/lost"),
	} {
		if err == nil {
			t.Errorf("%s goes unnoticed", what)
		}
	}
}

// body is a form as it came.
func body(r *http.Request) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}
