package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/crypto/attachment"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

func TestPasswordIsUsedOnce(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	device := w.host.disk(sessionKey)
	l = w.restart(l)
	if n := len(w.requests("POST", "/login")); n != 1 {
		t.Errorf("%d log-ins over two connections, want 1", n)
	}
	if device != w.host.disk(sessionKey) {
		t.Error("the session changed over a restart")
	}

	// The server forgets the session: the same device signs in again.
	w.mu.Lock()
	clear(w.users[id.UserID(w.alice)].tokens)
	w.mu.Unlock()
	w.say(id.RoomID(w.room), id.UserID(w.bob), "wake up")
	var lost *im.Lost
	if err := l.Wait(); !errors.As(err, &lost) || lost.Class != im.Retry {
		t.Fatalf("Wait after M_UNKNOWN_TOKEN: %v, want a link to be tried again", err)
	}
	before := w.host // the poll that was under way may have brought it there
	w.restart(l)
	var devices []string
	for _, r := range w.requests("POST", "/login") {
		c, _ := decode[struct {
			Device string `json:"device_id"`
		}](json.RawMessage(r.body))
		devices = append(devices, c.Device)
	}
	if len(devices) != 2 || devices[0] == "" || devices[0] != devices[1] {
		t.Errorf("devices of the log-ins: %q, want the same twice", devices)
	}
	w.host.wait("message of the meantime", func(es []im.Event) bool {
		// Twice when the mark was behind it: the hub drops what it has seen.
		return slices.Equal(slices.Compact(texts(slices.Concat(before.all(), es))), []string{"wake up"})
	})
}

// TestTokenIsSealed: the session's token is on disk sealed only, also one that a
// former version left there in clear; one that can't be opened is made anew.
func TestTokenIsSealed(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	token := l.(*link).cli.AccessToken
	sealed := func() (s session) {
		t.Helper()
		for k, v := range w.host.copy().kv {
			if strings.Contains(string(v), token) {
				t.Errorf("%s has the token: %s", k, v)
			}
		}
		s, _ = decode[session]([]byte(w.host.disk(sessionKey)))
		if plain, err := w.host.Unseal(account, s.Sealed); err != nil || string(plain) != token {
			t.Errorf("sealed is %q, %v", plain, err)
		}
		return s
	}
	s := sealed()
	l.Close()
	s.Sealed, s.Plain = nil, token
	if err := w.host.Update(func(tx im.Tx) error { return putJSON(tx, sessionKey, s) }); err != nil {
		t.Fatal(err)
	}
	l = w.connect()
	sealed()
	l.Close()
	if n := len(w.requests("POST", "/login")); n != 1 {
		t.Errorf("%d log-ins", n)
	}
	s.Sealed, s.Plain = []byte("another box's"), ""
	if err := w.host.Update(func(tx im.Tx) error { return putJSON(tx, sessionKey, s) }); err != nil {
		t.Fatal(err)
	}
	l = w.connect()
	if n, device := len(w.requests("POST", "/login")), l.(*link).cli.DeviceID; n != 2 || device != s.Device {
		t.Errorf("%d log-ins, device %s after %s", n, device, s.Device)
	}
	token = l.(*link).cli.AccessToken
	sealed()
}

func TestSignInRefused(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		form  map[string]string
		words string
	}{
		"password": {map[string]string{"homeserver": w.http.URL, "user": "alice", "password": "no"}, "refused the user name or password"},
		"token":    {map[string]string{"homeserver": w.http.URL, "user": "alice", "token": "no"}, "Give a new one"},
		"nothing":  {map[string]string{"homeserver": w.http.URL, "user": "alice"}, "is needed"},
		"no url":   {map[string]string{"homeserver": "http://", "user": "alice", "password": "x"}, "not a homeserver"},
		"ca":       {map[string]string{"homeserver": w.http.URL, "user": "alice", "password": "x", "ca": "/nonexistent"}, "CA certificate file"},
		"not matrix": {map[string]string{"homeserver": w.http.URL + "/elsewhere", "user": "alice", "password": "x"},
			"There is no Matrix server"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.net.Connect(t.Context(), im.Login{User: account, Fields: c.form, Host: newTestHost(t)})
			var lost *im.Lost
			if !errors.As(err, &lost) || lost.Class != im.Credentials || !strings.Contains(lost.Text, c.words) {
				t.Errorf("Connect: %#v, want class Credentials with %q", err, c.words)
			}
		})
	}
	_, err := w.net.Connect(t.Context(), im.Login{Fields: w.form, Host: w.host})
	var lost *im.Lost
	if !errors.As(err, &lost) || lost.Class != im.Forbidden {
		t.Errorf("Connect without an account: %v, want Forbidden", err)
	}
}

func TestAnotherAccountStartsAfresh(t *testing.T) {
	w := newWorld(t)
	w.connect().Close()
	w.user("zoe", "secret-zoe", "Zoe")
	w.host = w.host.copy()
	w.form = map[string]string{"homeserver": w.http.URL, "user": "zoe", "password": "secret-zoe"}
	w.connect()
	r := await(w.host, "roster", func(im.Roster) bool { return true })
	if !r.Full || len(r.Items) != 0 {
		t.Errorf("zoe's first contact list is %+v; alice's contacts must not be on it", r)
	}
	if !strings.HasPrefix(w.host.position(), "@zoe:hs.test ") {
		t.Errorf("mark %q does not name its account", w.host.position())
	}
}

func TestFirstSyncBringsNoHistory(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.say(id.RoomID(w.room), id.UserID(w.bob), fmt.Sprint("old ", i))
	}
	w.connect()
	w.say(id.RoomID(w.room), id.UserID(w.bob), "new")
	events := w.host.wait("new message", func(es []im.Event) bool { return len(texts(es)) > 0 })
	if got := texts(events); !slices.Equal(got, []string{"new"}) {
		t.Errorf("messages %q, want only the new one", got)
	}
}

func TestGapIsFilled(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	l.Close()
	var want []string
	for i := range 120 {
		want = append(want, fmt.Sprint("missed ", i))
		w.say(id.RoomID(w.room), id.UserID(w.bob), want[i])
	}
	w.fail(fault{method: "GET", path: "/messages", times: 2, status: 502, body: "<html>bad gateway"})
	w.restart(l)
	if got := texts(w.host.all()); !slices.Equal(got, want) {
		t.Errorf("%d messages before Up, want all 120 in order: %q", len(got), got)
	}
	if n := len(w.requests("GET", "/messages")); n < 8 {
		t.Errorf("only %d requests for history; the pages are of 10 and the timeline of 50", n)
	}
}

// TestNothingIsLostBetweenPages is against a server that pages by depth: between
// two pages it loses events, and only a limit in the filter makes its pages large.
func TestNothingIsLostBetweenPages(t *testing.T) {
	w := newWorld(t)
	w.pagesByDepth = true
	l := w.connect()
	l.Close()
	var want []string
	for i := range 120 {
		want = append(want, fmt.Sprint("missed ", i))
		w.say(id.RoomID(w.room), id.UserID(w.bob), want[i])
	}
	w.restart(l)
	if got := texts(w.host.all()); !slices.Equal(got, want) {
		t.Errorf("%d messages before Up, want all 120 in order: %q", len(got), got)
	}
}

func TestGapIsCut(t *testing.T) {
	for name, c := range map[string]struct {
		history string
		refuse  bool
		count   int
		words   string
	}{
		"too many": {history: "30", count: 80, words: "more than 30"},
		"refused":  {refuse: true, count: 50, words: "no history for you"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.host.settings["history"] = c.history
			l := w.connect()
			l.Close()
			for i := range 100 {
				w.say(id.RoomID(w.room), id.UserID(w.bob), fmt.Sprint("missed ", i))
			}
			if c.refuse {
				w.fail(fault{method: "GET", path: "/messages", times: 1, status: 403, body: `{"errcode":"M_FORBIDDEN","error":"no history for you"}`})
			}
			w.restart(l)
			got := texts(w.host.all())
			if len(got) != c.count+1 || !strings.Contains(got[0], c.words) {
				t.Fatalf("%d messages, the first %q; want a note with %q and %d", len(got), got[0], c.words, c.count)
			}
			if got[1] != fmt.Sprint("missed ", 100-c.count) || got[c.count] != "missed 99" {
				t.Errorf("kept %q to %q", got[1], got[c.count])
			}
		})
	}
}

func TestOutageAndRateLimitKeepOrder(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	for _, f := range []fault{
		{status: 429, body: `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":5}`},
		{status: 429, body: `{}`, header: map[string]string{"Retry-After": "0"}},
		{status: 503, body: "later"},
		{status: 503, after: true, body: "taken, but the answer says otherwise"},
	} {
		f.method, f.path, f.times = "PUT", "/send/", 1
		w.fail(f)
	}
	var want []string
	for i := range 10 {
		w.mustSend(l, fmt.Sprint("out-", i), fmt.Sprint("line ", i))
		want = append(want, fmt.Sprint("line ", i))
	}
	w.mu.Lock()
	got := w.texts(id.UserID(w.alice))
	w.mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("the server has %q, want %q", got, want)
	}
}

func TestServerRefusesMessage(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	for body, words := range map[string]string{
		`{"errcode":"M_FORBIDDEN","error":"muted"}`:         "muted",
		`{"errcode":"M_TOO_LARGE","error":"event too big"}`: "too long",
		`{"errcode":"M_UNKNOWN","error":"odd"}`:             "odd",
	} {
		w.fail(fault{method: "PUT", path: "/send/", times: 1, status: 400, body: body})
		var no *im.Refused
		if err := w.send(l, "r"+words, "x"); !errors.As(err, &no) || !strings.Contains(no.Text, words) {
			t.Errorf("%s: Handle says %v, want a refusal with %q", body, err, words)
		}
	}
}

// An echo settles what a former connection sent, also when the server shows no
// transaction id, and our own message never comes back as one from elsewhere.
func TestEchoSettles(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	old := w.host.copy() // the position before the message
	w.mustSend(l, "out-1", "hello")
	l.Close()
	w.post(id.RoomID(w.room), id.UserID(w.alice), "m.room.message", map[string]any{"msgtype": "m.text", "body": "from my phone"})
	for i := range 60 { // so that the echo is in history, not in the timeline
		w.say(id.RoomID(w.room), id.UserID(w.bob), fmt.Sprint("b", i))
	}
	w.host = old
	w.host.sends = []im.Unsettled{{Event: im.Message{ID: "out-1", Conv: w.bob, Text: "hello"}}}
	w.connect()
	up, receipt := -1, -1
	for i, ev := range w.host.all() {
		switch ev := ev.(type) {
		case im.LinkState:
			up = i
		case im.Receipt:
			if receipt >= 0 || ev.ID != "out-1" || ev.Conv != w.bob || ev.State != im.Sent {
				t.Errorf("receipt %+v, want one for out-1", ev)
			}
			receipt = i
		case im.Message:
			if ev.Own != (ev.Text == "from my phone") || ev.Text == "hello" {
				t.Errorf("message %+v: own messages are those of other devices", ev)
			}
		}
	}
	if receipt < 0 || receipt > up {
		t.Errorf("receipt at %d, Up at %d: the echo has to settle before Up", receipt, up)
	}
}

// A server that is shut down in the midst of an event answers with an internal
// error, and has the event in its room a good while after it is back.
func TestLateEchoSettles(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	w.mustSend(l, "first", "first")
	w.fail(fault{method: "PUT", path: "/send/", times: 1, status: 500, late: 10 * w.net.pause})
	if err := w.send(l, "out", "late"); err == nil {
		t.Fatal("the failure was not told")
	}
	l.Close()
	w.host = w.host.copy()
	w.host.sends = []im.Unsettled{{Event: im.Message{ID: "out", Conv: w.bob, Text: "late"}}}
	w.connect()
	events := w.host.all()
	up := slices.IndexFunc(events, func(ev im.Event) bool { _, ok := ev.(im.LinkState); return ok })
	receipt := slices.IndexFunc(events, func(ev im.Event) bool { r, ok := ev.(im.Receipt); return ok && r.ID == "out" })
	if receipt < 0 || receipt > up {
		t.Errorf("receipt at %d, Up at %d: the echo has to settle before Up, else the message goes out twice", receipt, up)
	}
}

func TestBadEventDoesNotStopTheAccount(t *testing.T) {
	w := newWorld(t)
	w.connect()
	bob, r := id.UserID(w.bob), id.RoomID(w.room)
	w.post(r, bob, "m.room.message", []string{"not", "an", "object"})
	w.post(r, bob, "m.room.message", map[string]any{"msgtype": 7, "body": []int{1}})
	w.post(r, bob, "m.reaction", map[string]any{"m.relates_to": "?"})
	w.say(r, bob, "after")
	events := w.host.wait("message after the bad ones", func(es []im.Event) bool { return slices.Contains(texts(es), "after") })
	if got := texts(events); !slices.Equal(got, []string{textUnknown, textUnknown, "after"}) {
		t.Errorf("texts %q", got)
	}
}

func TestPositionRefused(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	l.Close()
	w.host = w.host.copy()
	_, since, _ := strings.Cut(w.host.position(), " ")
	w.fail(fault{method: "GET", path: "since=" + since + "&timeout=0", times: 1, status: 400, body: `{"errcode":"M_INVALID_PARAM","error":"bad since"}`})
	w.connect()
	s := await(w.host, "LinkState", func(im.LinkState) bool { return true })
	if s.State != im.Degraded || !strings.Contains(s.Text, "other Matrix apps") {
		t.Errorf("link state %+v, want Degraded with what was lost", s)
	}
}

func TestLostServer(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	w.http.Listener.Close()
	w.cut()
	var lost *im.Lost
	if err := l.Wait(); !errors.As(err, &lost) || lost.Class != im.Retry {
		t.Errorf("Wait: %v, want Retry", err)
	}
	if err := w.send(l, "x", "x"); err == nil {
		t.Error("Handle took a message on a lost link")
	}
}

func TestRateLimitedSignIn(t *testing.T) {
	w := newWorld(t)
	w.fail(fault{method: "POST", path: "/login", times: 1, status: 429, header: map[string]string{"Retry-After": "77"}, body: `{"errcode":"M_LIMIT_EXCEEDED"}`})
	_, err := w.net.Connect(t.Context(), im.Login{User: account, Fields: w.form, Host: w.host})
	var lost *im.Lost
	if !errors.As(err, &lost) || lost.Class != im.After || lost.After.Seconds() != 77 {
		t.Errorf("Connect: %#v, want After 77 s", err)
	}
}

func TestPresenceReachesServer(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	for _, note := range []string{"in a meeting", ""} {
		err := l.Handle(t.Context(), account, im.PresenceChanged{Now: im.Presence{Status: im.Phone, Note: note}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var last string
	for last != `{"presence":"unavailable","status_msg":"On the phone"}` {
		w.mu.Lock()
		bell := w.bell
		last = string(w.users[id.UserID(w.alice)].presence.raw)
		w.mu.Unlock()
		if last == `{"presence":"unavailable","status_msg":"On the phone"}` {
			break
		}
		select {
		case <-bell:
		case <-t.Context().Done():
			t.Fatalf("presence on the server: %s", last)
		}
	}
	l.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := string(w.users[id.UserID(w.alice)].presence.raw); got != `{"presence":"offline"}` {
		t.Errorf("after Close the server has %s, want offline", got)
	}
}

func TestFiles(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	f := im.File{Name: "a.txt", Type: "text/plain", Size: 5}
	ref, err := l.Upload(t.Context(), account, w.bob, f, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	r, got, err := l.Open(t.Context(), account, ref)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	r.Close()
	f.Ref = ref
	if string(b) != "hello" || got != f || err != nil {
		t.Errorf("Open: %q %+v %v, want hello and %+v", b, got, err, f)
	}
	gone := new(im.Refused)
	if _, _, err := l.Open(t.Context(), account, "mxc://hs.test/99"); !errors.As(err, &gone) || gone.Text != textFileGone {
		t.Errorf("Open says %v of a file that is not there", err)
	}
	if _, _, err := l.Open(t.Context(), account, "http://hs.test/99"); err == nil {
		t.Error("Open took what is no mxc URI")
	}
	w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", map[string]string{"algorithm": "m.megolm.v1.aes-sha2"})
	w.say(id.RoomID(w.room), id.UserID(w.bob), "sentinel")
	await(w.host, "sentinel", func(m im.Message) bool { return m.Text == "sentinel" })
	var no *im.Refused
	if _, err := l.Upload(t.Context(), account, w.bob, f, strings.NewReader("secret")); !errors.As(err, &no) {
		t.Errorf("Upload for an encrypted room: %v, want a refusal", err)
	}
	if len(w.requests("POST", "/upload")) != 1 {
		t.Error("bytes left for an encrypted room")
	}
}

// TestForbiddenWrongly: a server that is shut down says of a room that the account is
// not in it. That is believed only when the list of its rooms says so too.
func TestForbiddenWrongly(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	forbidden := fault{method: "GET", path: "/state/m.room.encryption", times: 1, status: 403, body: `{"errcode":"M_FORBIDDEN","error":"you are not in it"}`}
	w.fail(forbidden)
	w.mustSend(l, "m1", "still here")
	l = w.restart(l)
	forbidden.times = 9
	w.fail(forbidden)
	w.fail(fault{method: "GET", path: "/joined_rooms", times: 1, status: 500, body: `{"errcode":"M_UNKNOWN","error":"closing"}`})
	var no *im.Refused
	if err := w.send(l, "m2", "later"); err == nil || errors.As(err, &no) {
		t.Errorf("Handle says %v, want to be tried again", err)
	}
	if err := w.send(l, "m3", "never"); !errors.As(err, &no) || !strings.Contains(no.Text, "does not let you write") {
		t.Errorf("Handle says %v, want a refusal", err)
	}
	if r := l.(*link).mem.place(w.bob); string(r) != w.room {
		t.Errorf("the room is %q", r)
	}
}

// TestEncryptedFile: it is decrypted on its way, and its end comes only when its hash
// is right.
func TestEncryptedFile(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	const text = "what only the two shall see"
	sealed := attachment.NewEncryptedFile()
	body := []byte(text)
	sealed.EncryptInPlace(body)
	altered := slices.Clone(body)
	altered[3] ^= 1
	w.mu.Lock()
	w.media = append(w.media, body, altered, body[:9], nil)
	w.mu.Unlock()
	for n, good := range []bool{true, false, false, false} {
		ref := refOf(&event.MessageEventContent{File: &event.EncryptedFileInfo{EncryptedFile: *sealed, URL: id.ContentURIString(fmt.Sprint("mxc://hs.test/", n))}})
		r, f, err := l.Open(t.Context(), account, ref)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if no := new(im.Refused); good != (err == nil && string(b) == text) || !good && (!errors.As(err, &no) || no.Text != textFileAltered) {
			t.Errorf("%d: %q, %v", n, b, err)
		}
		if f.Type != "" || f.Name != "" {
			t.Errorf("%d: what the server says of it is believed: %+v", n, f)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, ref := range []string{"{}", "{", `{"url":"mxc://hs.test/0"}`, strings.Replace(sealedFile, `"v":"v2"`, `"v":"v9"`, 1)} {
		if _, _, err := l.Open(t.Context(), account, ref); err == nil {
			t.Errorf("Open took %s", ref)
		}
	}
}

func TestEncryptedRoomIsRefused(t *testing.T) {
	encryption := map[string]string{"algorithm": "m.megolm.v1.aes-sha2"}
	refused := func(t *testing.T, w *world, l im.Link) {
		t.Helper()
		before := len(w.requests("PUT", "/send/"))
		var no *im.Refused
		if err := w.send(l, "secret", "secret"); !errors.As(err, &no) || !strings.Contains(no.Text, "end-to-end encrypted") {
			t.Errorf("Handle says %v, want a refusal", err)
		}
		if n := len(w.requests("PUT", "/send/")); n != before {
			t.Errorf("%d requests to send; nothing may leave", n-before)
		}
	}
	t.Run("from the start", func(t *testing.T) {
		w := newWorld(t)
		w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", encryption)
		refused(t, w, w.connect())
	})
	t.Run("switched on later", func(t *testing.T) {
		w := newWorld(t)
		l := w.connect()
		w.mustSend(l, "clear", "still clear")
		w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", encryption)
		w.post(id.RoomID(w.room), id.UserID(w.bob), "m.room.encrypted", map[string]string{"ciphertext": "x"})
		m := await(w.host, "placeholder", func(m im.Message) bool { return m.Kind == im.Notice })
		if !strings.Contains(m.Text, "can't read: the Matrix server") || m.Conv != w.bob {
			t.Errorf("placeholder %+v", m)
		}
		refused(t, w, l)
	})
	t.Run("restart with an old position", func(t *testing.T) {
		w := newWorld(t)
		l := w.connect()
		w.mustSend(l, "clear", "still clear")
		old := w.host.copy()
		w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", encryption)
		l.Close()
		w.host = old
		refused(t, w, w.connect())
	})
	t.Run("position ahead of what is known", func(t *testing.T) {
		w := newWorld(t)
		l := w.connect()
		w.mustSend(l, "clear", "still clear")
		before := w.host.copy()
		w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", encryption)
		w.say(id.RoomID(w.room), id.UserID(w.bob), "sentinel")
		await(w.host, "sentinel", func(m im.Message) bool { return m.Text == "sentinel" })
		l.Close()
		w.host = w.host.copy()
		w.host.kv = before.kv // the mark made it to disk, the knowledge did not
		refused(t, w, w.connect())
	})
	t.Run("state is taken back", func(t *testing.T) {
		w := newWorld(t)
		w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", encryption)
		l := w.connect()
		w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", struct{}{})
		w.say(id.RoomID(w.room), id.UserID(w.bob), "sentinel")
		await(w.host, "sentinel", func(m im.Message) bool { return m.Text == "sentinel" })
		refused(t, w, l)
	})
}

// As long as the server does not say whether a room is encrypted, nothing is
// sent into it.
func TestUnknownEncryptionSendsNothing(t *testing.T) {
	for name, f := range map[string]fault{
		"no answer":    {cut: true, times: 3},
		"gateway":      {status: 502, times: 3},
		"foreign page": {status: 404, body: "<html>not found", times: 1},
		"broken":       {status: 500, body: `{"errcode":"M_UNKNOWN","error":"boom"}`, times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			l := w.connect()
			f.method, f.path = http.MethodGet, "/state/m.room.encryption"
			w.fail(f)
			err := w.send(l, "out", "text")
			asked := len(w.requests("GET", "/state/m.room.encryption"))
			sent := len(w.requests("PUT", "/send/"))
			switch {
			case err != nil && sent > 0:
				t.Errorf("sent although %v", err)
			case err == nil && asked <= f.times:
				t.Errorf("sent after %d questions, of which %d were not answered", asked, f.times)
			}
		})
	}
}

// A room that becomes encrypted while a message waits for the server takes
// nothing in clear any more.
func TestEncryptedWhileWaiting(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	w.mustSend(l, "clear", "still clear")
	w.fail(fault{method: "PUT", path: "/send/", times: 1 << 30, status: 503})
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		done <- l.Handle(ctx, account, im.Message{ID: "out", Conv: w.bob, Text: "secret"})
	}()
	w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", map[string]string{"algorithm": "m.megolm.v1.aes-sha2"})
	var no *im.Refused
	if err := <-done; !errors.As(err, &no) {
		t.Errorf("Handle says %v, want a refusal", err)
	}
}

// After a failure that says nothing about whether the server took a message it
// is not sent again on the same link: its echo must be looked for first. One that
// the server stumbles over again and again is refused in the end.
func TestUnknownOutcomeEndsTheTry(t *testing.T) {
	for name, f := range map[string]fault{
		"no answer": {cut: true}, "gateway": {status: 502}, "too late": {status: 504}, "broken": {status: 500, body: `{"errcode":"M_UNKNOWN","error":"boom"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			l := w.connect()
			w.mustSend(l, "first", "first")
			f.method, f.path, f.times = "PUT", "/send/", 1<<30
			w.fail(f)
			before := len(w.requests("PUT", "/send/"))
			var no *im.Refused
			err := l.Handle(t.Context(), account, im.Message{ID: "out", Conv: w.bob, Text: "text"})
			if err == nil || errors.As(err, &no) {
				t.Errorf("Handle says %v, want an error that is not final", err)
			}
			if n := len(w.requests("PUT", "/send/")) - before; n != 1 {
				t.Errorf("sent %d times", n)
			}
			for range maxStumbles - 1 {
				err = l.Handle(t.Context(), account, im.Message{ID: "out", Conv: w.bob, Text: "text"})
			}
			if errors.As(err, &no) != (f.status == 500) {
				t.Errorf("in the end Handle says %v", err)
			}
		})
	}
}
