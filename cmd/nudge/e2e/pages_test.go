package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// screens is where the pictures of the README lie; they are taken anew when
// NUDGE_SCREENS is set, and what they show is asserted in any case.
const screens = "../web/screens"

// largestScreen is how large a picture may be, in bytes.
const largestScreen = 60_000

var codeLine = regexp.MustCompile(`http://\S+ +([a-z0-9]{4}-[a-z0-9]{4})\n`)

// code is the one-time code that the box told where it was started.
func (b *box) code(t testing.TB) string {
	t.Helper()
	var code string
	check(t, eventually(patience, func() error {
		m := codeLine.FindStringSubmatch(b.proc.tail(100))
		if m == nil {
			return fmt.Errorf("the box tells no code:\n%s", b.proc.tail(30))
		}
		code = m[1]
		return nil
	}))
	return code
}

func (b *browser) shoot(name string) {
	b.t.Helper()
	png := b.picture()
	if len(png) > largestScreen || len(png) < 1000 {
		b.t.Errorf("the picture %s has %d bytes", name, len(png))
	}
	if os.Getenv("NUDGE_SCREENS") != "" {
		check(b.t, os.MkdirAll(screens, 0o755))
		check(b.t, os.WriteFile(filepath.Join(screens, name+".png"), png, 0o644))
	}
	if _, err := os.Stat(filepath.Join(screens, name+".png")); err != nil {
		b.t.Error(err)
	}
}

// TestPages sets a box up in a browser, without scripts: the wizard, links to
// Prosody and Dendrite with what goes wrong first, somebody who signs up and then
// signs in with an old client, a backup, and another box that is made of it.
func TestPages(t *testing.T) {
	end2end(t)
	b := newBox(t)
	b.AddUser(t, "carol@hotmail.com", msnclient.MSNP8) // by the command line
	page := newBrowser(t)
	page.size(680, 470, false)
	site := "http://" + b.HTTP + "/"

	page.scripts(true) // chooses the time zone
	page.call("Emulation.setTimezoneOverride", obj{"timezoneId": "Europe/Berlin"}, nil)
	page.visit(site).sees("Nobody owns these pages yet").fill("code", b.code(t)).press("Set up this box").sees("Where is it?")
	if zone := page.eval(`document.getElementById("zone").value`); zone != "Europe/Berlin" {
		t.Errorf("the time zone is %q", zone)
	}
	page.scripts(false)
	page.size(390, 700, true)
	page.fill("handle", "alice@hotmail.com", "name", "Alice", "password", boxPassword)
	page.shoot("wizard")
	page.size(680, 470, false)
	page.press("This is me").sees("This box is yours now, alice@hotmail.com", "messenger.hotmail.com", "/nudge.crt")

	prosody, dendrite := sharedServer(t, "prosody"), sharedServer(t, "dendrite")
	me, bob := friends(t, prosody, false)
	page.linkXMPP(me)
	them, eve := friends(t, dendrite, false)
	page.press("My account").press("matrix").fill("f-homeserver", "http://"+dendrite.Addr(), "f-user", them.User, "f-password", "wrong").press("Link and test").sees("Matrix is not connected")
	page.fill("f-password", them.Password).press("Link and test").sees("Matrix is connected")
	b.Knows(t, "alice@hotmail.com", bob.Person().Handle)
	page.press("My account").sees(bob.Person().Handle, "xmpp "+me.ID+": up")

	page.press("Settings").eval(`document.querySelector("input[value=sign-up]").form.elements.value.value = "on"; document.querySelector("input[value=sign-up]").form.submit()`)
	check(t, eventually(patience, func() error {
		if out := b.cli(t, "setting", "sign-up"); !strings.HasPrefix(out, "on") {
			return fmt.Errorf("sign-up is %s", out)
		}
		return nil
	}))
	page.visit(site+"join").fill("handle", "dave@hotmail.com", "name", "Dave", "password", boxPassword).press("Make my account").sees("Your account is made: dave@hotmail.com")
	dave, _ := b.SignIn(t, msnclient.MSNP8, "dave@hotmail.com", "NLN")
	b.oldBrowser(t)
	check(t, eve.Say(waiting(t, patience), "are you there?"))
	check(t, bob.Say(waiting(t, patience), "and you?")) // his server keeps it until she is there
	check(t, eventually(patience, func() error {
		if out := b.cli(t, "user", "list", "--json"); !strings.Contains(out, `"waiting": 1`) {
			return fmt.Errorf("nothing waits for alice:\n%s", out)
		}
		return nil
	}))
	alice, _ := b.SignIn(t, msnclient.MSNP12, "alice@hotmail.com", "NLN")

	page.visit(site).fill("handle", "alice@hotmail.com", "password", boxPassword).press("Sign in").sees("At a glance", "dave@hotmail.com", "online", "There is no backup")
	page.shoot("overview")
	dave.Close()
	page.size(480, 330, false)
	check(t, eventually(patience, func() error { // the journal is read beside
		page.visit(site + "today").sees("Hello, Alice")
		if text := page.text(); strings.Count(text, "1 message") != 2 || strings.Contains(text, "Dave") {
			return fmt.Errorf("the page says\n%s", text)
		}
		return nil
	}))
	page.sees("these people wrote to you", eve.Person().User, bob.Person().User)
	page.shoot("today")
	page.size(680, 470, false)
	alice.Close()
	page.restoreElsewhere(b, bob)
}

// linkXMPP links the person's account, with a wrong password first.
func (b *browser) linkXMPP(me person) {
	b.t.Helper()
	b.press("My account").press("xmpp").fill("f-jid", me.ID, "f-server", me.server.Addr(), "f-ca", me.server.settings.PKI.CA, "f-password", "wrong").press("Link and test")
	b.sees("Xmpp is not connected", "password")
	b.fill("f-password", me.Password).press("Link and test").sees("Xmpp is connected")
}

// restoreElsewhere makes a backup and another box of it; alice is at home there,
// with her friend.
func (b *browser) restoreElsewhere(old *box, bob peer) {
	b.t.Helper()
	b.visit("http://"+old.HTTP+"/").fill("handle", "alice@hotmail.com", "password", boxPassword).press("Sign in").press("Backup").fill("passphrase", "a long passphrase")
	file := b.save("Make a backup")
	check(b.t, old.Stop())
	fresh := newBox(b.t)
	b.visit("http://"+fresh.HTTP+"/").fill("code", fresh.code(b.t)).press("Set up this box")
	b.fill("passphrase", "not this one").choose(file).press("Restore").sees("passphrase")
	b.fill("passphrase", "a long passphrase").choose(file).press("Restore").sees("The box starts again")
	check(b.t, eventually(2*patience, func() error {
		out, err := fresh.try("user", "list")
		if err == nil && !strings.Contains(out, "alice@hotmail.com") {
			err = fmt.Errorf("the box has no alice:\n%s", out)
		}
		return err
	}))
	check(b.t, fresh.proc.listening(fresh.HTTP))
	b.visit("http://"+fresh.HTTP+"/").sees("Sign in").fill("handle", "alice@hotmail.com", "password", boxPassword).press("Sign in").sees("At a glance").press("My account").sees(bob.Person().Handle)
	check(b.t, eventually(2*patience, func() error {
		out, err := fresh.try("link", "list", "alice@hotmail.com")
		if err == nil && strings.Count(out, " up ") != 2 {
			err = fmt.Errorf("not all links are up:\n%s", out)
		}
		return err
	}))
	left, err := filepath.Glob(filepath.Join(fresh.Dir, "before-*", "nudge.db"))
	if err != nil || len(left) != 1 {
		b.t.Errorf("kept aside: %v, %v", left, err)
	}
}

// oldBrowser goes through all pages as a client of HTTP/1.0 that has never heard of
// hosts, cookies and scripts: each can be read and leads on.
func (b *box) oldBrowser(t *testing.T) {
	t.Helper()
	_, text := b.old(t, "GET", "/", "")
	if !strings.Contains(text, "Sign in") {
		t.Fatalf("the first page is\n%s", text)
	}
	head, _ := b.old(t, "POST", "/in", url.Values{"handle": {"alice@hotmail.com"}, "password": {boxPassword}}.Encode())
	start := head.Header.Get("Location")
	seen := map[string]bool{"/nudge.crt": true}
	queue := []string{"/", start}
	links := regexp.MustCompile(`<a href="([^"#]+)"`)
	for len(queue) > 0 {
		path := strings.ReplaceAll(queue[0], "&amp;", "&")
		queue = queue[1:]
		if seen[path] || strings.HasPrefix(path, "/kit/") { // the kits' own tests
			continue
		}
		seen[path] = true
		head, text := b.old(t, "GET", path, "")
		if head.StatusCode != 200 || head.Header.Get("Set-Cookie") != "" || head.ContentLength != int64(len(text)) {
			t.Errorf("%s: %s, %d of %d bytes", path, head.Status, len(text), head.ContentLength)
		}
		on := links.FindAllStringSubmatch(text, -1)
		if len(on) == 0 {
			t.Errorf("%s leads nowhere:\n%s", path, text)
		}
		for _, m := range on {
			queue = append(queue, m[1])
		}
	}
	if len(seen) < 15 {
		t.Errorf("only these pages were found: %v", seen)
	}
	b.startTab(t)
}

// startTab asks for the configuration as Messenger 7.5 does, and for the page of its
// only tab.
func (b *box) startTab(t *testing.T) {
	t.Helper()
	for method, path := range map[string]string{"GET": "/Config/MsgrConfig.asmx?op=GetClientConfig&Country=US&ver=7.5.324", "POST": "/Config/MsgrConfig.asmx"} {
		head, text := b.old(t, method, path, strings.Repeat("<soap/>", len(method)-3))
		m := regexp.MustCompile(`<contenturl>http://([^/]+)(/[^<]*)</contenturl>`).FindStringSubmatch(text)
		if m == nil || m[1] != b.HTTP || head.ContentLength != int64(len(text)) {
			t.Fatalf("%s: %v, %d of %d bytes\n%s", method, m, len(text), head.ContentLength, text)
		}
		if _, page := b.old(t, "GET", m[2], ""); !strings.Contains(page, "MSN Today") {
			t.Errorf("the tab shows\n%s", page)
		}
	}
}

// old makes one request of HTTP/1.0.
func (b *box) old(t testing.TB, method, path, form string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", b.HTTP)
	check(t, err)
	defer c.Close()
	extra := ""
	if form != "" {
		extra = fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(form))
	}
	_, err = fmt.Fprintf(c, "%s %s HTTP/1.0\r\nUser-Agent: Mozilla/2.0 (compatible; MSIE 3.02; Windows 95)\r\n%s\r\n%s", method, path, extra, form)
	check(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	check(t, err)
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp, string(text)
}
