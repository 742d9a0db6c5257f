package matrix

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
)

// newSecretWorld is a world whose server encrypts and where the room of alice
// and bob is encrypted. Bob sits at a device of his own.
func newSecretWorld(t *testing.T) (*world, *friend) {
	w := newWorld(t)
	w.encrypt()
	w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", map[string]string{"algorithm": "m.megolm.v1.aes-sha2"})
	return w, w.friend(w.bob, "secret-bob", "BOB1")
}

// unsaid fails when words are in any request that the box made.
func (w *world) unsaid(words ...string) {
	w.t.Helper()
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		for _, r := range w.requests(method, "") {
			for _, word := range words {
				if strings.Contains(r.body, word) {
					w.t.Errorf("%s %s carries %q in clear", r.method, r.path, word)
				}
			}
		}
	}
}

// hears waits for a message with the words.
func (w *world) hears(words string) im.Message {
	w.t.Helper()
	return await(w.host, words, func(m im.Message) bool { return strings.Contains(m.Text, words) })
}

// TestEncryptedTalk is an encrypted conversation both ways, over a restart.
func TestEncryptedTalk(t *testing.T) {
	w, bob := newSecretWorld(t)
	l := w.connect()
	w.mustSend(l, "m1", "plugh one")
	bob.hears("plugh one")
	bob.say("answer one")
	m := w.hears("answer one")
	if m.Conv != w.bob || m.From.ID != w.bob || m.Own || m.Rel.Kind != im.NoRel || m.Kind != im.Text {
		t.Errorf("%+v", m)
	}
	w.mustSend(l, "m2", "plugh two")
	bob.hears("plugh two")
	l = w.restart(l)
	w.mustSend(l, "m3", "plugh three")
	bob.hears("plugh three")
	bob.say("answer two")
	w.hears("answer two")
	w.unsaid("plugh")
	if got := w.keysTo(); !slices.Equal(got, []string{w.bob + " BOB1"}) {
		t.Errorf("keys went to %v: one session is enough, a restart included", got)
	}
	for _, e := range w.host.all() {
		if m, ok := e.(im.Message); ok && m.Own {
			t.Errorf("an echo came in as %+v", m)
		}
	}
}

// TestLateKey reads a message whose key comes after it, in a later life of the
// link too, and does not let others wait for it.
func TestLateKey(t *testing.T) {
	w, bob := newSecretWorld(t)
	l := w.connect()
	secret := bob.lock("you can read me now", id.UserID(w.bob)) // alice gets no key
	first := bob.put(secret)
	p := w.hears("its key has not come")
	if p.ID != string(first) || p.Kind != im.Notice || p.From.ID != w.bob {
		t.Errorf("placeholder: %+v", p)
	}
	w.say(id.RoomID(w.room), id.UserID(w.bob), "not held up")
	w.hears("not held up")
	l = w.restart(l)
	bob.sendKey(id.UserID(w.alice), l.(*link).cli.DeviceID)
	m := w.hears("you can read me now")
	if m.Rel != (im.Rel{Kind: im.Resolve, To: string(first)}) || m.ID == p.ID || m.Conv != w.bob || m.At.UnixMilli() != p.At.UnixMilli() {
		t.Errorf("%+v", m)
	}
	w.restart(l)
	bob.say("the next one")
	w.hears("the next one")
}

// TestTakenBack: what its sender took back while its key was missing stays so.
func TestTakenBack(t *testing.T) {
	w, bob := newSecretWorld(t)
	l := w.connect()
	first := bob.put(bob.lock("regretted", id.UserID(w.bob)))
	w.hears("its key has not come")
	if _, err := bob.cli.RedactEvent(t.Context(), bob.room, first); err != nil {
		t.Fatal(err)
	}
	await(w.host, "taking back", func(m im.Message) bool { return m.Rel.Kind == im.Retract })
	bob.sendKey(id.UserID(w.alice), l.(*link).cli.DeviceID)
	bob.say("the end")
	w.hears("the end")
	for _, text := range texts(w.host.all()) {
		if strings.Contains(text, "regretted") {
			t.Errorf("shown: %q", text)
		}
	}
}

// TestMembers: keys go to those who are there.
func TestMembers(t *testing.T) {
	w, bob := newSecretWorld(t)
	r := id.RoomID(w.room)
	carol, dave := w.user("carol", "secret-carol", "Carol"), w.user("dave", "secret-dave", "Dave")
	for _, u := range []id.UserID{carol, dave} {
		w.homeserver.mu.Lock()
		w.member(r, id.UserID(w.bob), u, "invite", false)
		w.homeserver.mu.Unlock()
		w.join(r, u)
	}
	c, d := w.friend(string(carol), "secret-carol", "CAROL1"), w.friend(string(dave), "secret-dave", "DAVE1")
	w.homeserver.mu.Lock()
	w.member(r, dave, dave, "leave", false) // before the box is there
	w.homeserver.mu.Unlock()
	l := w.connect()
	say := func(id, text string) {
		t.Helper()
		if err := l.Handle(t.Context(), account, im.Message{ID: id, Conv: w.room, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	say("m1", "for three")
	bob.hears("for three")
	c.hears("for three")
	w.homeserver.mu.Lock()
	w.member(r, id.UserID(w.bob), carol, "ban", false)
	w.homeserver.mu.Unlock()
	bob.say("carol is gone")
	w.hears("carol is gone") // so the ban is known too
	w.mustSend(l, "m2", "for two")
	bob.hears("for two")
	w.join(r, dave)
	bob.say("dave is back")
	w.hears("dave is back")
	say("m3", "for dave too")
	d.hears("for dave too")
	want := []string{string(carol) + " CAROL1", w.bob + " BOB1", w.bob + " BOB1", string(dave) + " DAVE1", w.bob + " BOB1"}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(w.keysTo())); !slices.Equal(got, want) {
		t.Errorf("keys went to %v, want %v", got, want)
	}
	w.unsaid("for two", "for three", "for dave")
}

// TestNewDevice: a device that the friend adds can read what follows.
func TestNewDevice(t *testing.T) {
	w, bob := newSecretWorld(t)
	l := w.connect()
	w.mustSend(l, "m1", "to one")
	bob.hears("to one")
	second := w.friend(w.bob, "secret-bob", "BOB2")
	bob.say("I have a new phone")
	w.hears("new phone")
	w.mustSend(l, "m2", "to both")
	bob.hears("to both")
	second.hears("to both")
	second.say("from the phone")
	w.hears("from the phone")
}

// TestBecomesEncrypted: what waits in a room that becomes encrypted is encrypted
// then; and what is encrypted once is the same when it is sent again.
func TestBecomesEncrypted(t *testing.T) {
	w := newWorld(t)
	w.encrypt()
	bob := w.friend(w.bob, "secret-bob", "BOB1")
	l := w.connect()
	w.mustSend(l, "m1", "in clear")
	w.fail(fault{method: http.MethodPut, path: "/send/m.room.message/", times: 1, status: 429, body: `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":300}`})
	w.fail(fault{method: http.MethodPut, path: "/send/m.room.encrypted/", times: 2, status: 429, body: `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":10}`})
	done := make(chan error, 1)
	go func() { done <- w.send(l, "m2", "no longer") }()
	w.until(func() bool { return len(w.requests(http.MethodPut, "/send/m.room.message/m2")) == 1 })
	w.setState(id.RoomID(w.room), id.UserID(w.bob), "m.room.encryption", map[string]string{"algorithm": "m.megolm.v1.aes-sha2"})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	bob.hears("no longer")
	sent := w.requests(http.MethodPut, "/send/m.room.encrypted/m2")
	if len(sent) != 3 || sent[0].body != sent[1].body || sent[1].body != sent[2].body {
		t.Errorf("%d requests, not all the same", len(sent))
	}
}

// TestNoClearWay lists what must not make the box write in clear.
func TestNoClearWay(t *testing.T) {
	w, bob := newSecretWorld(t)
	l := w.connect()
	r := id.RoomID(w.room)
	w.mustSend(l, "m1", "plugh first")
	// A state reset, and an encryption nobody knows.
	w.setState(r, id.UserID(w.bob), "m.room.encryption", struct{}{})
	bob.say("reset")
	w.hears("reset")
	w.mustSend(l, "m2", "plugh after a reset")
	bob.hears("plugh after a reset")
	w.setState(r, id.UserID(w.bob), "m.room.encryption", map[string]string{"algorithm": "m.megolm.v9"})
	bob.say("odd")
	w.hears("odd")
	var no *im.Refused
	if err := w.send(l, "m3", "plugh odd"); !errors.As(err, &no) || !strings.Contains(no.Text, "does not know") {
		t.Errorf("%v", err)
	}
	if err := l.Handle(t.Context(), account, im.Message{ID: "m4", Conv: w.bob, Text: "plugh words", Rel: im.Rel{Kind: im.React, To: "$e1"}}); !errors.Is(err, im.ErrUnsupported) {
		t.Errorf("words as a reaction: %v", err)
	}
	w.unsaid("plugh")
}

// maxUpload is how large a file the homeserver takes, in bytes.
const maxUpload = 1 << 20

// TestEncryptedFileOut: a file for an encrypted room leaves encrypted, its name too;
// one that was taken before the room was encrypted does not go there.
func TestEncryptedFileOut(t *testing.T) {
	w, bob := newSecretWorld(t)
	l := w.connect()
	plain := "plugh " + strings.Repeat("xyzzy ", 20_000)
	f := im.File{Name: "plugh.txt", Type: "text/plain", Size: int64(len(plain))}
	if _, err := l.Upload(t.Context(), account, w.bob, f, nil); err != nil {
		t.Errorf("the server's limit is %v", err)
	}
	var no *im.Refused
	if _, err := l.Upload(t.Context(), account, w.bob, im.File{Name: "a", Size: maxUpload + 1}, nil); !errors.As(err, &no) || no.Text != textFileTooLarge {
		t.Errorf("a file over the server's limit: %v", err)
	}
	var err error
	if f.Ref, err = l.Upload(t.Context(), account, w.bob, f, strings.NewReader(plain)); err != nil {
		t.Fatal(err)
	}
	if err := l.Handle(t.Context(), account, im.Message{ID: "m1", Conv: w.bob, File: &f}); err != nil {
		t.Fatal(err)
	}
	bob.hears("plugh.txt")
	sent := bob.lastContent()
	if sent.File == nil || sent.URL != "" || sent.MsgType != event.MsgFile || refOf(sent) != f.Ref || sent.Info.Size != len(plain) {
		t.Errorf("%+v", sent)
	}
	r, _, err := l.Open(t.Context(), account, refOf(sent))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != plain || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	r.Close()
	w.unsaid("plugh", "xyzzy")
	f.Ref = "mxc://hs.test/7"
	if err := l.Handle(t.Context(), account, im.Message{ID: "m2", Conv: w.bob, File: &f}); !errors.As(err, &no) || no.Text != textFileInClear {
		t.Errorf("a file in clear in an encrypted room: %v", err)
	}
	short := seal(strings.NewReader(plain))
	short.Read(make([]byte, 9))
	if ref, err := short.ref(id.ContentURI{}); err == nil {
		t.Errorf("a half file is %s", ref)
	}
}

// TestOtherKeys: a store that does not fit what the server knows makes a new
// device, or none without a password.
func TestOtherKeys(t *testing.T) {
	w, bob := newSecretWorld(t)
	l := w.connect()
	w.mustSend(l, "m1", "before")
	old := l.(*link).cli.DeviceID
	l.Close()
	if err := olm.Wipe(w.host); err != nil {
		t.Fatal(err)
	}
	w.host = w.host.copy()
	l = w.connect()
	if now := l.(*link).cli.DeviceID; now == old || l.(*link).olm() == nil {
		t.Errorf("device %s after %s", now, old)
	}
	w.mustSend(l, "m2", "after")
	bob.hears("after")
	token := l.(*link).cli.AccessToken
	l.Close()
	w.host = newTestHost(t)
	w.form = map[string]string{"homeserver": w.http.URL, "user": "@alice:hs.test", "token": token}
	l = w.connect()
	var no *im.Refused
	if err := w.send(l, "m3", "plugh"); !errors.As(err, &no) || !strings.Contains(no.Text, "access token") {
		t.Errorf("%v", err)
	}
	up := await(w.host, "state", func(im.LinkState) bool { return true })
	if !strings.Contains(up.Text, "encrypted conversations can't be used") {
		t.Errorf("%q", up.Text)
	}
	w.unsaid("plugh")
}

// TestForged: a room key that mallory gave does not make bob say anything.
func TestForged(t *testing.T) {
	w, bob := newSecretWorld(t)
	mallory := w.user("mallory", "secret-mallory", "Mallory")
	w.join(id.RoomID(w.room), mallory)
	m := w.friend(string(mallory), "secret-mallory", "M1")
	w.connect()
	forged := m.lock("I am bob", id.UserID(w.alice))
	forged.SenderKey = bob.mach.OwnIdentity().IdentityKey
	bob.put(forged)
	bob.say("the end")
	w.hears("the end")
	if got := texts(w.host.all()); len(got) != 2 || got[0] != textEncrypted {
		t.Errorf("%q", got)
	}
}

// TestKeysReplenished: one-time keys are made up for when others took them, and
// the fallback key is there.
func TestKeysReplenished(t *testing.T) {
	w, _ := newSecretWorld(t)
	l := w.connect()
	device := string(l.(*link).cli.DeviceID)
	left := func() (one, spare int) {
		w.homeserver.mu.Lock()
		defer w.homeserver.mu.Unlock()
		return len(w.keys[id.UserID(w.alice)].one[device]), len(w.keys[id.UserID(w.alice)].spare[device])
	}
	w.until(func() bool { one, spare := left(); return one == 50 && spare == 1 })
	w.homeserver.mu.Lock()
	clear(w.keys[id.UserID(w.alice)].one[device])
	w.homeserver.mu.Unlock()
	w.say(id.RoomID(w.room), id.UserID(w.bob), "wake up")
	w.until(func() bool { one, _ := left(); return one == 50 })
}
