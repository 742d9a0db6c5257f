package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/store"
)

// door is a network that lets in who knows the password and says whatever a
// link of its own says.
type door struct{}

func (door) Fields() []im.Field {
	return []im.Field{
		{Key: "user", Label: "User", Help: "who", Required: true},
		{Key: "password", Label: "Password", Secret: true},
	}
}

func (door) Settings() []im.Field {
	return []im.Field{{Key: "receipts", Label: "Receipts", Default: "on", Choices: []string{"on", "off"}}}
}

func (door) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	if l.Fields["password"] != "open" {
		return nil, &im.Lost{Class: im.Credentials, Text: "the password is wrong"}
	}
	k := &open{end: make(chan struct{})}
	return k, l.Host.Accept(ctx, im.Batch{User: l.User, Events: []im.Event{im.LinkState{State: im.Up}}}, nil)
}

// open is a link that takes everything and says nothing.
type open struct{ end chan struct{} }

func (*open) Handle(context.Context, im.Addr, im.Event) error { return im.ErrUnsupported }
func (*open) Find(_ context.Context, _ im.Addr, handle string) (im.Person, error) {
	if strings.HasSuffix(handle, "@door.test") {
		return im.Person{Addr: im.Addr{Net: "door", ID: handle}, Name: "Found"}, nil
	}
	return im.Person{}, im.ErrNotFound
}
func (*open) Open(context.Context, im.Addr, string) (io.ReadCloser, im.File, error) {
	return nil, im.File{}, im.ErrUnsupported
}
func (*open) Upload(context.Context, im.Addr, string, im.File, io.Reader) (string, error) {
	return "", im.ErrUnsupported
}
func (k *open) Wait() error { <-k.end; return nil }
func (k *open) Close() error {
	select {
	case <-k.end:
	default:
		close(k.end)
	}
	return nil
}

// house is a running box with its socket.
type house struct {
	dir     string
	box     *Box
	changed []string
}

func newHouse(t *testing.T, dir string) *house {
	t.Helper()
	h := &house{dir: dir}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	key, _, err := store.LoadKey(filepath.Join(dir, store.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(dir, store.Options{Key: key, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	hub, err := bridge.New(bridge.Config{Store: db, Networks: map[string]im.Network{"door": door{}}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h.box = New(Config{
		Hub: hub, Store: db, Log: log, Data: dir, Version: "test", Running: true,
		Listeners:     []Listener{{"msn", "127.0.0.1:1863", ""}, {"http", "127.0.0.1:8080", "old clients need port 80"}},
		SignInChanged: func(handle string) { h.changed = append(h.changed, handle) },
	})
	srv, err := Listen(h.box)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	hub.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(srv.Close(ctx), hub.Close(ctx), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) dial(t *testing.T) *Client {
	t.Helper()
	cl, err := Dial(t.Context(), h.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantErr(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Fatalf("the error is %v; want one that says %q", err, words)
	}
}

// both runs a test over the socket and on the box itself.
func both(t *testing.T, test func(t *testing.T, h *house, cl *Client)) {
	t.Run("socket", func(t *testing.T) {
		h := newHouse(t, t.TempDir())
		test(t, h, h.dial(t))
	})
	t.Run("local", func(t *testing.T) {
		h := newHouse(t, t.TempDir())
		test(t, h, Local(h.box))
	})
}

func TestUsers(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		ctx := t.Context()
		made := must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: "Alice@hotmail.com", Name: "Alice"}))
		if len(made.Password) != 14 || len(made.Warnings) != 0 {
			t.Fatalf("made %+v", made)
		}
		if _, ok := h.box.Hub.CheckPassword("alice@hotmail.com", made.Password); !ok {
			t.Fatal("the password that was made does not work")
		}
		given := must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: "bob@home.lan", Password: "sesame", MD5: true}))
		if given.Password != "" || len(given.Warnings) != 1 {
			t.Fatalf("a given password comes back, or the warning does not: %+v", given)
		}
		_, err := cl.AddUser(ctx, NewUser{Handle: "ALICE@hotmail.com"})
		wantErr(t, err, "exists already")
		_, err = cl.AddUser(ctx, NewUser{Handle: "carol@hotmail.com", Password: "0123456789abcdefg"})
		wantErr(t, err, "longer than 16")

		users := must[[]User](t)(cl.Users(ctx))
		if len(users) != 2 || users[0].Handle != "Alice@hotmail.com" || users[0].MD5 || !users[1].MD5 || users[1].Status != "offline" {
			t.Fatalf("the list is %+v", users)
		}
		name, on := "Al", true
		if err := cl.SetUser(ctx, UserChange{Handle: "alice@hotmail.com", Name: &name}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, cl.SetUser(ctx, UserChange{Handle: "alice@hotmail.com", MD5: &on, Password: "wrong"}), "not the account's password")
		if err := cl.SetUser(ctx, UserChange{Handle: "alice@hotmail.com", MD5: &on, Password: made.Password}); err != nil {
			t.Fatal(err)
		}
		users = must[[]User](t)(cl.Users(ctx))
		if users[0].Name != "Al" || !users[0].MD5 {
			t.Fatalf("the change did not arrive: %+v", users[0])
		}
		fresh := must[NewPassword](t)(cl.SetPassword(ctx, UserPassword{Handle: "alice@hotmail.com"}))
		if _, ok := h.box.Hub.CheckPassword("alice@hotmail.com", fresh.Password); !ok || fresh.Password == made.Password {
			t.Fatal("the new password does not work")
		}
		if err := cl.RemoveUser(ctx, "alice@hotmail.com"); err != nil {
			t.Fatal(err)
		}
		wantErr(t, cl.RemoveUser(ctx, "alice@hotmail.com"), "nudge user list")
		if got := strings.Join(h.changed, " "); got != "alice@hotmail.com alice@hotmail.com" {
			t.Fatalf("tickets were voided for %q", got)
		}
	})
}

func TestImport(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		ctx := t.Context()
		must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: "carol@hotmail.com", Password: "before"}))
		done := must[Imported](t)(cl.ImportUsers(ctx, []ImportUser{
			{Handle: "alice@hotmail.com", Password: "sesame", Contacts: []string{"bob@hotmail.com", "carol@hotmail.com"}},
			{Handle: "bob@hotmail.com", Contacts: []string{"alice@hotmail.com", "nobody@nowhere.test"}},
			{Handle: "carol@hotmail.com", Password: "after"},
			{Handle: "no handle"},
		}))
		if done.Users != 2 || done.Contacts != 4 || len(done.Passwords) != 1 || done.Passwords[0].Handle != "bob@hotmail.com" || len(done.Failed) != 2 {
			t.Fatalf("imported %+v", done)
		}
		if _, ok := h.box.Hub.CheckPassword("carol@hotmail.com", "before"); !ok {
			t.Fatal("the import changed an account that was there")
		}
		for _, who := range []string{"alice@hotmail.com", "bob@hotmail.com", "carol@hotmail.com"} {
			for _, c := range must[[]Contact](t)(cl.Contacts(ctx, who)) {
				if got := strings.Join(c.Lists, " "); got != "FL AL RL" {
					t.Errorf("%s has %s on %s", who, c.Handle, got)
				}
			}
		}
	})
}

func TestLinks(t *testing.T) {
	both(t, func(t *testing.T, _ *house, cl *Client) {
		ctx := t.Context()
		const alice = "alice@hotmail.com"
		must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: alice}))
		nets := must[[]Network](t)(cl.Networks(ctx))
		if len(nets) != 1 || nets[0].Name != "door" || len(nets[0].Fields) != 2 || !nets[0].Fields[1].Secret || len(nets[0].Settings) != 1 {
			t.Fatalf("the networks are %+v", nets)
		}
		_, err := cl.AddLink(ctx, NewLink{Account: alice, Network: "door", Values: map[string]string{"password": "open"}})
		wantErr(t, err, "--user")
		_, err = cl.AddLink(ctx, NewLink{Account: alice, Network: "icq"})
		wantErr(t, err, "there are door")

		values := map[string]string{"user": "a", "password": "shut"}
		l := must[Link](t)(cl.AddLink(ctx, NewLink{Account: alice, Network: "door", Values: values, Wait: time.Minute}))
		if l.State != "down" || l.Text != "the password is wrong" || l.Fields["user"] != "a" || l.Fields["password"] != "" {
			t.Fatalf("the link is %+v", l)
		}
		l = must[Link](t)(cl.TestLink(ctx, alice, "door", time.Minute))
		if l.State != "down" {
			t.Fatalf("the test says %+v", l)
		}
		values["password"] = "open"
		l = must[Link](t)(cl.AddLink(ctx, NewLink{Account: alice, Network: "door", Values: values, Wait: time.Minute}))
		if l.State != "up" {
			t.Fatalf("with the right password the link is %+v", l)
		}
		wantErr(t, cl.SetLink(ctx, LinkSetting{alice, "door", "receipts", "perhaps"}), "choose one of on, off")
		if err := cl.SetLink(ctx, LinkSetting{alice, "door", "receipts", "off"}); err != nil {
			t.Fatal(err)
		}
		if err := cl.AddContact(ctx, alice, "zoe@door.test"); err != nil {
			t.Fatal(err)
		}
		wantErr(t, cl.AddContact(ctx, alice, "zoe@elsewhere.test"), "nobody of that name")
		if c := must[[]Contact](t)(cl.Contacts(ctx, alice)); len(c) != 1 || c[0].Network != "door" || c[0].Name != "Found" {
			t.Fatalf("the contacts are %+v", c)
		}
		if err := cl.RemoveContact(ctx, alice, "zoe@door.test"); err != nil {
			t.Fatal(err)
		}
		all := must[[]Link](t)(cl.Links(ctx, "", ""))
		if len(all) != 1 || all[0].Settings["receipts"] != "off" {
			t.Fatalf("the links are %+v", all)
		}
		if err := cl.RemoveLink(ctx, alice, "door"); err != nil {
			t.Fatal(err)
		}
		if all := must[[]Link](t)(cl.Links(ctx, alice, "")); len(all) != 0 {
			t.Fatalf("the link is still there: %+v", all)
		}
		_, err = cl.Links(ctx, "nobody@hotmail.com", "")
		wantErr(t, err, "no such account")
	})
}

func TestSettings(t *testing.T) {
	both(t, func(t *testing.T, _ *house, cl *Client) {
		ctx := t.Context()
		wantErr(t, cl.SetSetting(ctx, "colour", "red"), "there is no setting")
		wantErr(t, cl.SetSetting(ctx, "address", "http://box/"), "host name or an IP address")
		if err := cl.SetSetting(ctx, "address", "192.168.1.20"); err != nil {
			t.Fatal(err)
		}
		if s := must[Status](t)(cl.Status(ctx)); s.Address != "192.168.1.20" {
			t.Fatalf("the status says %+v", s)
		}
		if err := cl.SetSetting(ctx, "address", ""); err != nil {
			t.Fatal(err)
		}
		if all := must[[]Setting](t)(cl.Settings(ctx)); len(all) == 0 || all[0].Value != "" {
			t.Fatalf("the settings are %+v", all)
		}
	})
}

// client is a signed-on MSN client that takes everything.
type client struct{}

func (client) Deliver(_ im.Event, settle func(bool)) {
	if settle != nil {
		go settle(true)
	}
}

func TestStatusAndDoctor(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		ctx := t.Context()
		checks := must[[]Check](t)(cl.Doctor(ctx))
		verdicts := map[string]Verdict{}
		for _, c := range checks {
			verdicts[c.Name] = c.Verdict
		}
		if verdicts["accounts"] != Warn || verdicts["port msn"] != Good || verdicts["port http"] != Warn {
			t.Fatalf("the doctor says %+v", checks)
		}
		must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: "alice@hotmail.com"}))
		s, err := h.box.Hub.SignOn("alice@hotmail.com", bridge.Client{Proto: "P", Program: "Messenger", Remote: "10.0.0.7:1025"}, client{})
		if err != nil {
			t.Fatal(err)
		}
		s.SetPresence(im.Presence{Status: im.Away}, "")
		st := must[Status](t)(cl.Status(ctx))
		if !st.Running || st.Users != 1 || len(st.Online) != 1 || st.Online[0].Status != "away" || st.Online[0].Client != "Messenger" || len(st.Listeners) != 2 {
			t.Fatalf("the status is %+v", st)
		}
	})
}

func TestTroubledPCs(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		ctx := t.Context()
		if st := must[Status](t)(cl.Status(ctx)); st.Troubled == nil || len(st.Troubled) != 0 {
			t.Fatalf("the status is %+v", st)
		}
		at := time.Date(2026, 11, 21, 14, 0, 0, 0, time.Local)
		h.box.Troubled = func(box string) []PC {
			return []PC{
				{Address: "10.0.0.7", Account: "alice@hotmail.com", Trouble: "t", What: "it fails", Cure: "ask " + box, Times: 3, First: at, Last: at.Add(time.Minute)},
				{Address: "10.0.0.8", What: "it fails", Cure: "wait", Times: 1, First: at, Last: at},
			}
		}
		if err := cl.SetSetting(ctx, SettingAddress, "box.lan"); err != nil {
			t.Fatal(err)
		}
		st := must[Status](t)(cl.Status(ctx))
		if len(st.Troubled) != 2 || st.Troubled[0].Times != 3 || st.Troubled[0].Account != "alice@hotmail.com" || !st.Troubled[1].Last.Equal(at) {
			t.Fatalf("the status is %+v", st.Troubled)
		}
		checks := must[[]Check](t)(cl.Doctor(ctx))
		for i, want := range []Check{
			{"PC 10.0.0.7", Warn, "alice@hotmail.com: it fails (3 times since 21 Nov 14:00:00, last 21 Nov 14:01:00); ask box.lan"},
			{"PC 10.0.0.8", Warn, "it fails (21 Nov 14:00:00); wait"},
		} {
			if got := checks[len(checks)-2+i]; got != want {
				t.Errorf("the doctor says %+v, not %+v", got, want)
			}
		}
	})
}

// The doctor says who can't sign in over HTTPS, and why.
func TestNoCertificate(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		for _, c := range []struct {
			state   Certificate
			verdict Verdict
			text    string
		}{
			{Certificate{}, Warn, "still being made"},
			{Certificate{Ended: true, Err: errors.New("the disk is full")}, Bad, "the disk is full"},
			{Certificate{Ended: true, Authority: "Nudge AB12CD"}, Good, "Nudge AB12CD"},
			{Certificate{Ended: true, Authority: "Nudge AB12CD", Lacks: []string{"192.168.1.9"}}, Warn, "pointed to 192.168.1.9,"},
		} {
			h.box.Certificate = func() Certificate { return c.state }
			checks := must[[]Check](t)(cl.Doctor(t.Context()))
			i := slices.IndexFunc(checks, func(k Check) bool { return k.Name == "certificate" })
			if i < 0 || checks[i].Verdict != c.verdict || !strings.Contains(checks[i].Text, c.text) {
				t.Errorf("the doctor says %+v", checks)
			}
		}
	})
}

func TestClockBeforeTheProgramIsBad(t *testing.T) {
	b := New(Config{Built: time.Now().Add(time.Hour)})
	if c := b.checkClock(); c.Verdict != Bad {
		t.Fatalf("the doctor says %+v", c)
	}
}

func TestBackupRestores(t *testing.T) {
	both(t, func(t *testing.T, _ *house, cl *Client) {
		ctx := t.Context()
		must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: "alice@hotmail.com", Password: "sesame"}))
		var file bytes.Buffer
		wantErr(t, cl.Backup(ctx, io.Discard, ""), "passphrase")
		pass := Passphrase()
		if err := cl.Backup(ctx, &file, pass); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "new")
		if err := store.Restore(dir, &file, []byte(pass)); err != nil {
			t.Fatal(err)
		}
		restored := newHouse(t, dir)
		if _, ok := restored.box.Hub.CheckPassword("alice@hotmail.com", "sesame"); !ok {
			t.Fatal("the restored box does not know the password")
		}
	})
}

// A client that goes away in the middle of a backup must not take the box along,
// and a backup that breaks off must be an error.
func TestBackupThatBreaksOff(t *testing.T) {
	h := newHouse(t, t.TempDir())
	cl := h.dial(t)
	must[NewPassword](t)(cl.AddUser(t.Context(), NewUser{Handle: "alice@hotmail.com"}))
	if err := cl.Backup(t.Context(), full{}, "secret"); !errors.Is(err, errFull) {
		t.Fatalf("the error is %v", err)
	}
	must[[]User](t)(cl.Users(t.Context()))
}

type full struct{}

var errFull = errors.New("no room")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestSocketIsPrivate(t *testing.T) {
	h := newHouse(t, t.TempDir())
	info, err := os.Stat(filepath.Join(h.dir, SocketFile))
	if err != nil {
		t.Fatal(err)
	}
	if p := info.Mode().Perm(); p != 0o660 {
		t.Fatalf("the socket has mode %04o", p)
	}
}

func TestSocketInADeepFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep", 20), strings.Repeat("deeper", 10))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, dir)
	must[[]User](t)(h.dial(t).Users(t.Context()))
}

func TestNobodyAnswers(t *testing.T) {
	if _, err := Dial(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("without a folder: %v", err)
	}
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, SocketFile), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as after a kill
	l.Close()
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("with a dead socket: %v", err)
	}
	h := newHouse(t, dir)
	must[[]User](t)(h.dial(t).Users(t.Context()))
}

func TestRawRequests(t *testing.T) {
	h := newHouse(t, t.TempDir())
	cl := h.dial(t)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/user/list", "{}", 200},
		{"GET", "/user/list", "", 404},
		{"POST", "/user/fire", "{}", 404},
		{"POST", "/user/add", "{", 400},
		{"POST", "/user/add", `{"handel":"a@b"}`, 400},
		{"POST", "/user/remove", `{"handle":"a@b"}`, 404},
		{"POST", "/backup", `{}`, 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://nudge"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := cl.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || c.status != 200 && !strings.HasPrefix(string(body), `{"error":"`) {
			t.Errorf("%s %s %s answers %d %s (%v)", c.method, c.path, c.body, resp.StatusCode, body, err)
		}
	}
}

func TestAssistantActs(t *testing.T) {
	h := newHouse(t, t.TempDir())
	cl := Local(h.box)
	ctx := t.Context()
	const alice, bob = "alice@hotmail.com", "Bob@hotmail.com"
	must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: alice}))
	must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: bob, Name: "Robert"}))
	values := map[string]string{"user": "a", "password": "open"}
	must[Link](t)(cl.AddLink(ctx, NewLink{Account: alice, Network: "door", Values: values, Wait: time.Minute}))
	a := h.box.Actions()
	for _, c := range []struct{ who, want string }{
		{"robert", "Bob@hotmail.com Robert, on this box"},
		{"zoe@door.test", "zoe@door.test Found, on door"},
		{"zoe@elsewhere.test", ""},
		{"zoe", ""},
		{"alice", ""},
	} {
		if got := strings.Join(must[[]string](t)(a.Find(ctx, alice, c.who)), "|"); got != c.want {
			t.Errorf("find %s: %q", c.who, got)
		}
	}
	for range 2 { // twice does no harm
		if err := a.Add(ctx, alice, "bob@hotmail.com"); err != nil {
			t.Fatal(err)
		}
	}
	if got := must[[]string](t)(a.Find(ctx, alice, "bob")); len(got) != 1 || !strings.HasSuffix(got[0], "on your list") {
		t.Errorf("find after add: %q", got)
	}
	for range 2 {
		if err := a.Block(ctx, alice, "bob@hotmail.com"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := a.Unblock(ctx, alice, "bob@hotmail.com"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := a.Remove(ctx, alice, "bob@hotmail.com"); err != nil {
			t.Fatal(err)
		}
	}
	wantErr(t, a.Add(ctx, alice, "nobody@nowhere.test"), "nobody of that name")
	if got := must[[]string](t)(a.Links(ctx, alice)); len(got) != 1 || got[0] != "door: up" {
		t.Errorf("links: %q", got)
	}
	if err := a.Set(ctx, alice, "door", "receipts", "off"); err != nil {
		t.Fatal(err)
	}
	if got := must[[]string](t)(a.Settings(ctx, alice)); len(got) != 1 || got[0] != "door: receipts off" {
		t.Errorf("settings: %q", got)
	}
	wantErr(t, a.Set(ctx, alice, "door", "receipts", "maybe"), "choose one of on, off")
	wantErr(t, a.Set(ctx, alice, "window", "receipts", "off"), "no link to window")
	parent := alice
	if err := cl.SetUser(ctx, UserChange{Handle: bob, Parent: &parent}); err != nil {
		t.Fatal(err)
	}
	wantErr(t, a.Set(ctx, bob, "door", "receipts", "off"), "ask "+alice)
	if got := must[string](t)(a.Status(ctx, alice)); !strings.Contains(got, "0 people are signed in") || !strings.Contains(got, "door: up") {
		t.Errorf("status: %q", got)
	}
}
