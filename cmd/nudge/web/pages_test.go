package web

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/cmd/nudge/control"
	"nudge/store"
)

// A new box: the code, the wizard, the owner; a second claim finds it owned.
func TestWizard(t *testing.T) {
	r := newRig(t)
	b := r.browser("192.168.1.30")
	b.get("/").want(t, 200, "Nobody owns these pages yet", `name="code"`, `<a href="/kit/">`).lacks(t, `action="/in"`)
	b.post("/claim", "code", "xxxx-xxxx").want(t, 403, "That is not the code")
	code := r.box.ClaimCode()
	b.post("/claim", "code", strings.ToUpper(strings.ReplaceAll(code, "-", " "))).want(t, 200, "Time zone", "Europe/Berlin", "Restore")
	b.get(b.base+"accounts").want(t, 403, "not for you")
	b.get(b.base).want(t, 200, "Who are you?")
	b.post(b.base+"wizard", "handle", "alice@hotmail.com", "password", "no", "otherzone", "").want(t, 200, "too short", `value="alice@hotmail.com"`)
	b.post(b.base+"wizard", "handle", "alice@hotmail.com", "otherzone", "Nowhere/Land").want(t, 200, "must be a time zone")
	made := b.post(b.base+"wizard", "handle", "alice@hotmail.com", "name", "Alice", "zone", "Asia/Tokyo").want(t, 200,
		"This box is yours now, alice@hotmail.com. Your password is ", "192.168.1.20  messenger.hotmail.com", "/nudge.crt", `<a href="/kit/">`)
	pass := regexp.MustCompile(`Your password is ([a-z0-9-]+):`).FindStringSubmatch(made.text)[1]
	if r.box.ClaimCode() != "" || r.box.Hub.Setting("time-zone") != "Asia/Tokyo" {
		t.Error("the box has no owner or no time zone")
	}
	b.get(b.base+"wizard").want(t, 200, "At a glance", "There is no backup of this box yet")
	other := r.browser("192.168.1.31")
	other.get("/").want(t, 200, `action="/in"`).lacks(t, `name="code"`)
	other.post("/claim", "code", code).want(t, 403, "has an owner already")
	other.post("/in", "handle", "ALICE@hotmail.com", "password", pass).want(t, 200, "At a glance")
	other.post(other.base+"out").want(t, 200, `action="/in"`)
	other.get(other.base).want(t, 403, "Please sign in again")
}

// The button is worth the code, once; accounts of the command line can be owners.
func TestClaimByButton(t *testing.T) {
	r := newRig(t)
	r.user("bob@hotmail.com", nil)
	if _, err := r.owner.OpenPairing(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := r.browser("192.168.1.30")
	b.get("/").want(t, 200, "The button was pressed")
	b.post("/claim").want(t, 200, "Which one is yours?", "<option>bob@hotmail.com</option>")
	r.browser("192.168.1.31").post("/claim").want(t, 403, "That is not the code")
	b.post(b.base+"wizard", "known", "bob@hotmail.com").want(t, 200, "This box is yours now, bob@hotmail.com.")
	b.get(b.base).want(t, 200, "Accounts")
}

func TestSignUp(t *testing.T) {
	r := newRig(t)
	b := r.browser("192.168.1.30")
	b.get("/").lacks(t, `href="/join"`)
	b.get("/join").want(t, 200, "has not opened it for new accounts")
	b.post("/join", "handle", "eve@hotmail.com").want(t, 403, "nobody can sign up"[1:])
	if err := r.owner.SetSetting(t.Context(), control.SettingSignUp, control.On); err != nil {
		t.Fatal(err)
	}
	b.get("/").want(t, 200, `href="/join"`)
	b.post("/join", "handle", "no address", "name", "Bob & co").want(t, 400, "is no handle", `value="Bob &amp; co"`)
	b.post("/join", "handle", "bob@hotmail.com", "password", "sesame").want(t, 200, "Your account is made: <b>bob@hotmail.com</b>")
	b.in("bob@hotmail.com").get(b.base).lacks(t, "Accounts", "Backup", "PCs in trouble")
	users, err := r.owner.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].Owner {
		t.Errorf("%+v, %v", users, err)
	}
}

func TestAccounts(t *testing.T) {
	r := newRig(t)
	r.user("alice@hotmail.com", func(u *control.NewUser) { u.Owner = true })
	b := r.browser("192.168.1.30").in("alice@hotmail.com")
	b.post(b.base+"accounts", "handle", "carol@home.lan", "name", "Carol", "password", "sesame", "parent", "alice@hotmail.com").want(t, 200,
		"carol@home.lan was added.", "MSN 1.0 wants @hotmail.com", "A child of alice@hotmail.com")
	b.post(b.base+"accounts", "handle", "carol@home.lan", "password", "sesame").want(t, 200, "exists already", `value="carol@home.lan"`)
	b.get(b.base+"accounts").want(t, 200, "child of alice@hotmail.com", "owner")
	const carol = "carol@home.lan"
	for _, c := range []struct {
		form []string
		want string
	}{
		{[]string{"do", "name", "name", "Zoë Ж 😀"}, "Zo&#235; &#1046; &#128512;"},
		{[]string{"do", "md5", "on", "1", "password", "wrong"}, "not the account"},
		{[]string{"do", "md5", "on", "1", "password", "sesame"}, "Forbid it"},
		{[]string{"do", "md5"}, "Allow it"},
		{[]string{"do", "codepage", "page", "klingon"}, "no code page"},
		{[]string{"do", "codepage", "page", "windows-1251"}, `value="windows-1251"`},
		{[]string{"do", "family", "owner", "1", "parent", "alice@hotmail.com"}, "can&#39;t own the box"},
		{[]string{"do", "family", "parent", "bob@hotmail.com"}, "can&#39;t be a parent"},
		{[]string{"do", "password"}, "has a new password. The password is "},
		{[]string{"do", "password", "password", "sesame"}, "has a new password."},
	} {
		b.post(b.base+"account", append(c.form, "h", carol)...).want(t, 200, c.want)
	}
	b.post(b.base+"account", "h", carol, "do", "nothing").want(t, 400)
	b.post(b.base+"contact", "h", carol, "who", "alice@hotmail.com").want(t, 200, "is on the list")
	b.post(b.base+"contact", "h", carol, "who", "nobody@nowhere.test").want(t, 200, "nobody of that name", `value="nobody@nowhere.test"`)
	b.post(b.base+"contact", "h", carol, "who", "alice@hotmail.com", "do", "remove").want(t, 200, "is off the list")
	b.post(b.base+"account", "h", "alice@hotmail.com", "do", "family").want(t, 200, "only owner")
	b.post(b.base+"remove", "h", carol).want(t, 200, "Tick the box")
	b.post(b.base+"remove", "h", carol, "sure", "1").want(t, 200, carol+" was removed")
	b.post(b.base+"remove", "h", "alice@hotmail.com", "sure", "1").want(t, 403, "own account")
	b.post(b.base+"account", "h", "alice@hotmail.com", "do", "password", "password", "better", "old", "wrong").want(t, 200, "is wrong")
	b.post(b.base+"account", "h", "alice@hotmail.com", "do", "password", "password", "better", "old", "sesame").want(t, 200, "Your password is changed")
	b.get(b.base).want(t, 403, "Please sign in again")
}

// Who may see and change whose account.
func TestRights(t *testing.T) {
	r := newRig(t)
	for handle, parent := range map[string]string{"bob@h.test": "", "mum@h.test": "", "kid@h.test": "mum@h.test"} {
		if parent == "" {
			r.user(handle, nil)
		}
	}
	r.user("kid@h.test", func(u *control.NewUser) { u.Parent = "mum@h.test" })
	for _, c := range []struct {
		who, page string
		code      int
	}{
		{"bob@h.test", "account?h=bob@h.test", 200}, {"bob@h.test", "account?h=mum@h.test", 403}, {"bob@h.test", "account?h=nobody@h.test", 403},
		{"bob@h.test", "link?h=kid@h.test&n=wire", 403}, {"bob@h.test", "link?h=bob@h.test&n=wire", 200}, {"bob@h.test", "link?h=bob@h.test&n=icq", 404},
		{"mum@h.test", "account?h=kid@h.test", 200}, {"mum@h.test", "link?h=kid@h.test&n=wire", 200}, {"kid@h.test", "account?h=kid@h.test", 200},
		{"kid@h.test", "link?h=kid@h.test&n=wire", 403}, {"kid@h.test", "account?h=mum@h.test", 403}, {"mum@h.test", "pcs", 200},
		{"mum@h.test", "accounts", 403}, {"mum@h.test", "settings", 403}, {"mum@h.test", "backup", 403}, {"mum@h.test", "log", 403},
		{"mum@h.test", "health", 403}, {"mum@h.test", "troubles", 403}, {"mum@h.test", "wizard", 403}, {"mum@h.test", "nothing", 404},
	} {
		b := r.browser("192.168.1.30").in(c.who)
		if a := b.get(b.base + c.page); a.code != c.code {
			t.Errorf("%s sees %s: %d, want %d", c.who, c.page, a.code, c.code)
		}
	}
	bob := r.browser("192.168.1.30").in("bob@h.test")
	for _, page := range []string{"accounts", "settings", "backup", "restore", "remove", "wizard"} {
		bob.post(bob.base+page, "h", "mum@h.test", "sure", "1", "key", "sign-up", "value", "on").want(t, 403)
	}
	bob.post(bob.base+"account", "h", "bob@h.test", "do", "family", "owner", "1").want(t, 403, "Only the owner")
	kid := r.browser("192.168.1.30").in("kid@h.test")
	kid.post(kid.base+"contact", "h", "kid@h.test", "who", "bob@h.test").want(t, 403, "mum@h.test")
	kid.get(kid.base+"account?h=kid@h.test").lacks(t, "Link to <a")
}

func TestLinks(t *testing.T) {
	r := newRig(t)
	r.user("alice@hotmail.com", nil)
	b := r.browser("192.168.1.30").in("alice@hotmail.com")
	const at = "alice@hotmail.com"
	b.get(b.base+"link?h="+at+"&n=wire").want(t, 200, `name="f-user"`, `type="password" name="f-password"`, "<option selected>auto</option>").lacks(t, `name="f-ca"`)
	b.post(b.base+"link", "h", at, "n", "wire", "f-password", "open").want(t, 200, "User is missing").lacks(t, "--user")
	b.post(b.base+"link", "h", at, "n", "wire", "f-user", "al", "f-password", "shut").want(t, 200,
		"Wire is not connected: The server says that &lt;b&gt;the password&lt;/b&gt; is wrong.", `value="al"`).lacks(t, `value="shut"`)
	b.post(b.base+"link", "h", at, "n", "wire", "f-user", "al", "f-password", "open", "f-ca", "/etc/shadow").want(t, 200, "Wire is connected", "<b>up</b>")
	links, err := r.owner.Links(t.Context(), at, "")
	if err != nil || len(links) != 1 || links[0].Fields["ca"] != "" || links[0].Fields["user"] != "al" {
		t.Errorf("%+v, %v", links, err)
	}
	b.get(b.base).want(t, 200, "<td>wire</td><td>up</td>")
	b.post(b.base+"relink", "h", at, "n", "wire", "do", "set", "key", "receipts", "value", "off").want(t, 200, "<option selected>off</option>")
	b.post(b.base+"relink", "h", at, "n", "wire", "do", "set", "key", "receipts", "value", "maybe").want(t, 200, "choose one of")
	b.post(b.base+"relink", "h", at, "n", "wire", "do", "test").want(t, 200, "Wire is connected")
	b.post(b.base+"contact", "h", at, "who", "bob@wire.test").want(t, 200, "bob@wire.test is on the list", "<td>wire</td>")
	b.post(b.base+"relink", "h", at, "n", "wire", "do", "remove").want(t, 200, "Tick the box")
	b.post(b.base+"relink", "h", at, "n", "wire", "do", "remove", "sure", "1").want(t, 200, "The link to wire is gone", "None yet.")
}

// The link that the box's own contact hands out is good once and for linking only.
func TestInvitation(t *testing.T) {
	r := newRig(t)
	r.user("alice@hotmail.com", func(u *control.NewUser) { u.Owner = true })
	b := r.browser("192.168.1.30")
	path := r.pages.LinkPage("alice@hotmail.com")
	b.get(path).want(t, 200, "works once")
	b.post(path).want(t, 200, "<b>wire</b>").lacks(t, "Backup")
	b.get(b.base+"accounts").want(t, 403, "good for linking only")
	b.get(b.base+"account?h=alice@hotmail.com").want(t, 403, "good for linking only")
	b.post(b.base+"link", "h", "alice@hotmail.com", "n", "wire", "f-user", "al", "f-password", "open").want(t, 200, "You can close this page")
	b.post(path).want(t, 403, "was used already")
	b.post("/link/AAAA").want(t, 403, "was used already")
}

func TestBoxPages(t *testing.T) {
	r := newRig(t)
	r.user("alice@hotmail.com", func(u *control.NewUser) { u.Owner = true })
	b := r.browser("192.168.1.30").in("alice@hotmail.com")
	b.get(b.base).want(t, 200, "port 53 is used by dnsmasq", "1 PC could not sign in lately")
	b.get(b.base+"troubles").want(t, 200, "&lt;i&gt;alice&lt;/i&gt;@hotmail.com", "type it again", "(2 times)")
	b.get(b.base+"log").want(t, 200, "msg=&lt;started&gt;")
	b.get(b.base+"health").want(t, 200, "data folder", "warning")
	b.get(b.base+"settings").want(t, 200, "time-zone", "sign-up")
	b.post(b.base+"settings", "key", "sign-up", "value", "maybe").want(t, 200, "on or off")
	b.post(b.base+"settings", "key", "sign-up", "value", "on").want(t, 200, "sign-up is changed")
	b.get("/pages/style.css").want(t, 200, "body{")
	b.get("/pages/nudge.svg").want(t, 200, "<svg")
	for _, path := range []string{"/pages/..%2ftemplates%2flayout.html", "/pages/%2e%2e%2fweb.go", "/pages/../../etc/passwd", "/pages/", "/s//accounts", "/s/x/accounts", "/templates/layout.html"} {
		if a := b.get(path); a.code == 200 || strings.Contains(a.text, "{{") {
			t.Errorf("%s: %d", path, a.code)
		}
	}
}

func TestBackupAndRestore(t *testing.T) {
	r := newRig(t)
	r.user("alice@hotmail.com", func(u *control.NewUser) { u.Owner = true })
	b := r.browser("192.168.1.30").in("alice@hotmail.com")
	proposed := regexp.MustCompile(`name="passphrase" size="30" value="([a-z0-9-]{23})"`).FindStringSubmatch(b.get(b.base + "backup").text)
	if proposed == nil {
		t.Fatal("no passphrase is proposed")
	}
	b.post(b.base+"backup", "passphrase", "short").want(t, 200, "too short")
	file := b.post(b.base+"backup", "passphrase", proposed[1]).want(t, 200)
	if d := file.header.Get("Content-Disposition"); !strings.HasPrefix(d, `attachment; filename="nudge-`) {
		t.Error(d)
	}
	if err := store.Restore(t.TempDir(), strings.NewReader(file.text), []byte(proposed[1])); err != nil {
		t.Error(err)
	}
	b.get(b.base).lacks(t, "There is no backup")
	b.get(b.base+"backup").want(t, 200, "The last one is of ", "There is none now")
	stick := t.TempDir()
	r.box.Media = func() ([]control.Medium, error) {
		return []control.Medium{{Path: stick, Name: "A <b>"}, {Path: stick + "/gone", Name: "OLD", Share: true}}, nil
	}
	b.get(b.base+"backup").want(t, 200, "<b>A &lt;b&gt;</b>", " MB free", "Back up to this stick", "OLD was taken away").lacks(t, "Back up to this share")
	b.post(b.base+"keep", "to", stick, "passphrase", "short").want(t, 200, "too short")
	b.post(b.base+"keep", "to", "/etc", "passphrase", "a long one").want(t, 200, "It is not there any more")
	b.post(b.base+"keep", "to", stick, "passphrase", "a long one").want(t, 200, "The backup is made: "+stick, "passphrase is a long one - write it down", "with a backup of")
	r.user("bob@hotmail.com", nil)
	bob := r.browser("192.168.1.31").in("bob@hotmail.com")
	bob.post(bob.base+"keep", "to", stick, "passphrase", "a long one").want(t, 403)

	upload := func(pass string, fields ...string) answer {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		form.WriteField("passphrase", pass)
		for _, f := range fields {
			w, _ := form.CreateFormFile("file", "../../etc/passwd")
			w.Write([]byte(f))
		}
		form.Close()
		req := httptest.NewRequest("POST", b.base+"restore", &body)
		req.Header.Set("Content-Type", form.FormDataContentType())
		return b.send(req)
	}
	upload("wrong", "x").want(t, 200, "The passphrase is wrong")
	upload("a long one").want(t, 200, "Choose the file")
	big := strings.Repeat("x", 2*maxForm)
	upload("a long one", big).want(t, 200, "The box starts again")
	if r.given != big {
		t.Errorf("%d bytes arrived", len(r.given))
	}
	b.post(b.base+"restore", "file", "x").want(t, 400)
}

// sink is a client that proves everything.
type sink struct{}

func (sink) Deliver(_ im.Event, settle func(bool)) {
	if settle != nil {
		go settle(true)
	}
}

// tags are those of HTML 3.2 that pages use.
var tags = strings.Fields("html head meta title link body table tr td th font b tt p a ul ol li br h2 h3 div form input select option pre")

// The start tab shows who wrote, to the PC where the person is signed in and to no
// other, in HTML 3.2 and not more than 10 kB of it.
func TestToday(t *testing.T) {
	r := newRig(t)
	r.user("alice@hotmail.com", nil)
	if _, err := r.owner.AddLink(t.Context(), control.NewLink{Account: "alice@hotmail.com", Network: "wire", Values: map[string]string{"user": "a", "password": "open"}, Wait: linkWait}); err != nil {
		t.Fatal(err)
	}
	host := <-r.hosts
	var b im.Batch
	b.User.ID = "alice@hotmail.com"
	for i := range 80 {
		from := im.Addr{Net: "wire", ID: fmt.Sprintf("bob%d@wire.test", i)}
		b.Events = append(b.Events,
			im.Roster{Items: []im.Contact{{Person: im.Person{Addr: from, Name: strings.Repeat("<b>Ж", 90)}, Follows: true}}},
			im.Message{ID: fmt.Sprint("m", i), From: from, Conv: from.ID, At: time.Now(), Text: "the words"})
	}
	settled := make(chan error)
	if err := host.Accept(t.Context(), b, func(err error) { settled <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	pc := r.browser("192.168.1.30")
	pc.host = "www.msn.com"
	pc.get("/anything").want(t, 200, "Nobody is signed in from this PC")
	s, err := r.box.Hub.SignOn("alice@hotmail.com", bridge.Client{Proto: "test", Remote: "192.168.1.30:1040"}, sink{})
	if err != nil {
		t.Fatal(err)
	}
	s.SetPresence(im.Presence{Status: im.Online}, "")
	var a answer
	for { // the journal is read beside
		if a = pc.get("/today").want(t, 200, "Hello, alice@hotmail.com"); strings.Contains(a.text, "1 message<") {
			break
		}
		runtime.Gosched()
	}
	a.want(t, 200, "&lt;b&gt;&#1046;").lacks(t, "the words")
	r.browser("192.168.1.31").get("/today").want(t, 200, "Nobody is signed in from this PC")
	if len(a.text) > 10<<10 {
		t.Errorf("%d bytes", len(a.text))
	}
	for _, m := range regexp.MustCompile(`<([a-zA-Z0-9]+)`).FindAllStringSubmatch(a.text, -1) {
		if !slices.Contains(tags, m[1]) {
			t.Errorf("<%s> is not of HTML 3.2", m[1])
		}
	}
	r.browser("192.168.1.30").get("/why").want(t, 200, "the password is wrong")
	r.browser("192.168.1.31").get("/why").want(t, 200, "has seen nothing wrong")
}
