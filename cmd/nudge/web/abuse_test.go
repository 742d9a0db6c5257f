package web

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nudge/cmd/nudge/control"
)

// DNS rebinding: under any name that is not the box's own, nothing.
func TestForeignNames(t *testing.T) {
	r := newRig(t)
	r.user("alice@hotmail.com", func(u *control.NewUser) { u.Owner = true })
	b := r.browser("192.168.1.30").in("alice@hotmail.com")
	for _, c := range []struct {
		host, path string
		code       int
	}{
		{"evil.example", "/", 403}, {"evil.example", "/why", 403}, {"evil.example", "/today", 403}, {"evil.example:80", b.base, 403}, {"nudge.evil.example", "/", 403},
		{"msn.com.evil.example", "/today", 403}, {"evilmsn.com", "/today", 403},
		{"messenger.hotmail.com", "/", 200}, {"login.live.com:443", "/why", 200}, {"g.msn.com", "/5meen_us/60", 200},
		{"messenger.hotmail.com", b.base, 404}, {"messenger.hotmail.com", b.base + "backup", 404}, {"messenger.hotmail.com", "/join", 404},
		{"nudge", b.base + "backup", 200}, {"192.168.1.20", "/", 200}, {"", "/", 200},
	} {
		b.host = c.host
		a := b.get(c.path)
		if a.code != c.code || c.code != 200 && strings.Contains(a.text, "alice") {
			t.Errorf("%s as %q: %d, want %d", c.path, c.host, a.code, c.code)
		}
	}
	for _, host := range []string{"evil.example", "messenger.hotmail.com"} {
		b.host = host
		b.post("/in", "handle", "alice@hotmail.com", "password", "sesame").want(t, 403).lacks(t, "/s/")
	}
}

// CSRF: no other page knows the token, and what says that it comes from elsewhere
// is refused even with it.
func TestForeignForms(t *testing.T) {
	r := newRig(t)
	r.user("alice@hotmail.com", func(u *control.NewUser) { u.Owner = true })
	b := r.browser("192.168.1.30").in("alice@hotmail.com")
	for _, c := range []struct {
		header, value string
		code          int
	}{
		{"Origin", "http://evil.example", 403}, {"Origin", "null", 403}, {"Origin", "http://nudge.evil.example", 403}, {"Origin", "::", 403},
		{"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403},
		{"Origin", "http://nudge", 200}, {"Sec-Fetch-Site", "same-origin", 200}, {"User-Agent", "an old one", 200},
	} {
		for path, form := range map[string][]string{b.base + "settings": {"key", "address", "value", "x"}, "/in": {"handle", "alice@hotmail.com", "password", "sesame"}} {
			req := b.form(path, form...)
			req.Header.Set(c.header, c.value)
			if a := b.send(req); a.code != c.code {
				t.Errorf("%s with %s: %s: %d, want %d", path, c.header, c.value, a.code, c.code)
			}
		}
	}
	if a := b.get("/"); a.header.Get("Set-Cookie") != "" {
		t.Error("a cookie")
	}
	for _, path := range []string{"settings", "accounts", "remove", "backup", "restore", "account", "link"} {
		b.post("/"+path, "h", "alice@hotmail.com").want(t, 404)
		b.post("/s/AAAAAAAAAAAAAAAAAAAAAAAAAA/"+path, "h", "alice@hotmail.com").want(t, 403)
	}
	// Nothing is done by GET.
	for _, path := range []string{"remove?h=alice@hotmail.com&sure=1", "relink?h=alice@hotmail.com&do=test", "contact?h=alice@hotmail.com&who=x", "out"} {
		b.get(b.base+path).want(t, 404)
	}
}

// A token is good for one PC and for half an hour after its last use.
func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newSessions()
		here, there := peer(&http.Request{RemoteAddr: "192.168.1.30:1"}), peer(&http.Request{RemoteAddr: "192.168.1.31:1"})
		token := ss.begin(session{from: here, handle: "alice"})
		if _, ok := ss.find(token, there, true); ok {
			t.Error("it is good for another PC")
		}
		for range 3 {
			time.Sleep(sessionTime)
			if _, ok := ss.find(token, here, true); !ok {
				t.Fatal("it ended in use")
			}
		}
		time.Sleep(sessionTime + time.Second)
		if _, ok := ss.find(token, here, true); ok {
			t.Error("it lasts unused")
		}
		first := ss.begin(session{from: here})
		for range mostSessions {
			time.Sleep(time.Second)
			ss.begin(session{from: here})
		}
		if _, ok := ss.find(first, here, true); ok || len(ss.all) > mostSessions {
			t.Errorf("there are %d sessions", len(ss.all))
		}
		p := &Pages{sessions: ss}
		path := p.LinkPage("alice")
		time.Sleep(invitationTime)
		if _, ok := ss.take(strings.TrimPrefix(path, "/link/")); ok {
			t.Error("an old invitation is good")
		}
	})
}

// Who guesses passwords or the code has to wait, and the code becomes another.
func TestGuessing(t *testing.T) {
	r := newRig(t)
	r.user("bob@hotmail.com", nil)
	code := r.box.ClaimCode()
	b := r.browser("192.168.1.66")
	waits := 0
	for range 10 {
		a := b.post("/claim", "code", "aaaa-aaaa").want(t, 403)
		if strings.Contains(a.text, "too many wrong tries"[1:]) {
			waits++
		}
	}
	if waits == 0 {
		t.Error("nobody slows down who guesses the code")
	}
	waits = 0
	for range 10 {
		if a := b.post("/in", "handle", "bob@hotmail.com", "password", "x").want(t, 403); strings.Contains(a.text, "oo many wrong tries") {
			waits++
		}
	}
	if waits == 0 {
		t.Error("nobody slows down who guesses passwords")
	}
	r.box.Try = nil // from many addresses
	for range 30 {
		b.post("/claim", "code", "aaaa-aaaa").want(t, 403)
	}
	if r.box.ClaimCode() == code {
		t.Error("the code stays the same however often it is guessed at")
	}
	b.post("/claim", "code", code).want(t, 403)
	b.post("/claim", "code", "").want(t, 403)
}

func TestHugeForms(t *testing.T) {
	r := newRig(t)
	r.user("alice@hotmail.com", func(u *control.NewUser) { u.Owner = true })
	b := r.browser("192.168.1.30").in("alice@hotmail.com")
	huge := strings.Repeat("x", maxForm)
	b.post("/in", "handle", huge).want(t, 413)
	b.post("/claim", "code", huge).want(t, 413)
	b.post(b.base+"accounts", "handle", "eve@hotmail.com", "name", huge).want(t, 413)
	b.post("/join", "handle", "%zz"+huge).want(t, 413)
	if users, err := r.owner.Users(t.Context()); err != nil || len(users) != 1 {
		t.Errorf("%+v, %v", users, err)
	}
	req := httptest.NewRequest("POST", "/in", strings.NewReader("handle=%zz"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b.send(req).want(t, 413)
	req = httptest.NewRequest("POST", b.base+"restore", strings.NewReader("--x"))
	req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	b.send(req).want(t, 200, "Choose the file")
}

// Script in everything that people and servers can choose stays text.
func TestScriptStaysText(t *testing.T) {
	r := newRig(t)
	const script = `"><script>alert(1+1)</script><img src=x onerror=alert(1)> %41 it's &amp; `
	r.user("alice@hotmail.com", func(u *control.NewUser) { u.Owner, u.Name = true, script })
	b := r.browser("192.168.1.30").in("alice@hotmail.com")
	const at = "alice@hotmail.com"
	pages := []answer{
		b.get(b.base), b.get(b.base + "accounts"), b.get(b.base + "account?h=" + at), b.get(b.base + "account?h=%22%3E%3Cscript%3E"),
		b.post(b.base+"accounts", "handle", script, "name", script),
		b.post(b.base+"contact", "h", at, "who", script),
		b.post(b.base+"link", "h", at, "n", "wire", "f-user", script, "f-password", script),
		b.post(b.base+"settings", "key", script, "value", script),
		b.post("/in", "handle", script), b.post("/join", "handle", script), b.post("/claim", "code", script),
		b.get("/<script>alert(1)</script>"), b.get("/link/<script>"), b.get(b.base + "link?h=" + at + "&n=<script>"),
	}
	for _, a := range pages {
		a.lacks(t, "<script>alert", "<img")
		if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("the policy is %q", csp)
		}
	}
}

// FuzzASCII: pages come out in ASCII, and pure ASCII as it was.
func FuzzASCII(f *testing.F) {
	for _, s := range []string{"", "plain", "Zoë", "Ж😀", "\xff\xfe", "a\x80"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		out := inASCII(page)
		ascii := true
		for _, c := range page {
			ascii = ascii && c < 0x80
		}
		for _, c := range out {
			if c >= 0x80 {
				t.Fatalf("%q became %q", page, out)
			}
		}
		if ascii && !bytes.Equal(out, page) {
			t.Fatalf("%q became %q", page, out)
		}
	})
}
