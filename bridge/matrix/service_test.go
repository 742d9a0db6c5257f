package matrix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// hall is a homeserver with the box as its application service, with alice's
// account, and bob, who is a user there.
type hall struct {
	*hsService
	t    testing.TB
	host *hallHost
	net  *Gateway
	bob  id.UserID
	form map[string]string

	restored bool // the disk says that it is a backup's
}

const aliceHandle = "alice@hotmail.com"

// hallHost is a testHost that knows alice, whose name and presence may change.
type hallHost struct {
	*testHost
	name    string
	now     im.Presence
	blocked map[string]bool
	left    bool // alice has a link of her own
}

func (h *hallHost) Account(handle string) (im.Account, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if handle != aliceHandle || h.left {
		return im.Account{}, false
	}
	return im.Account{Person: im.Person{Addr: im.Addr{ID: aliceHandle}, Name: h.name}, Now: h.now, OnList: func(a im.Addr) (bool, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return !h.blocked[a.ID], h.blocked[a.ID]
	}}, true
}

func (h *hallHost) Accounts() iter.Seq[im.Account] {
	return func(yield func(im.Account) bool) {
		if a, ok := h.Account(aliceHandle); ok {
			yield(a)
		}
	}
}

// KV keeps what is the account's apart from what is the gateway's.
func (h *hallHost) KV(user im.Addr) im.KV { return drawer{h.testHost, user.ID + "\x00"} }

type drawer struct {
	*testHost
	prefix string
}

func (d drawer) View(fn func(im.Tx) error) error {
	return d.testHost.View(func(tx im.Tx) error { return fn(drawerTx{tx, d.prefix}) })
}
func (d drawer) Update(fn func(im.Tx) error) error { return d.View(fn) }

type drawerTx struct {
	im.Tx
	prefix string
}

func (d drawerTx) Get(k []byte) []byte   { return d.Tx.Get(append([]byte(d.prefix), k...)) }
func (d drawerTx) Put(k, v []byte) error { return d.Tx.Put(append([]byte(d.prefix), k...), v) }
func (d drawerTx) Delete(k []byte) error { return d.Tx.Delete(append([]byte(d.prefix), k...)) }
func (d drawerTx) Scan(p []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for k, v := range d.Tx.Scan(append([]byte(d.prefix), p...)) {
			if !yield(k[len(d.prefix):], v) {
				return
			}
		}
	}
}

func newHall(t testing.TB) *hall {
	h := newHomeserver(t)
	s := h.withService(t)
	return &hall{
		hsService: s, t: t, net: s.gateway(), form: s.form(), bob: h.user("bob", "secret-bob", "Bob"),
		host: &hallHost{testHost: newTestHost(t), name: "Alice <A>", now: im.Presence{Status: im.Online}, blocked: map[string]bool{}},
	}
}

// connect makes the link and waits until it is up.
func (w *hall) connect() im.Link {
	w.t.Helper()
	l, err := w.net.Connect(w.t.Context(), im.Login{Fields: w.form, Host: w.host, Restored: w.restored})
	if err != nil {
		w.t.Fatalf("Connect: %v", err)
	}
	w.t.Cleanup(func() { l.Close() })
	await(w.host.testHost, "LinkState", func(s im.LinkState) bool { return s.State == im.Up })
	return l
}

// restart ends l and goes on with the same disk.
func (w *hall) restart(l im.Link) im.Link {
	w.t.Helper()
	l.Close()
	w.host.testHost = w.host.copy()
	return w.connect()
}

func (w *hall) handle(l im.Link, ev im.Event) {
	w.t.Helper()
	if err := l.Handle(w.t.Context(), im.Addr{ID: aliceHandle}, ev); err != nil {
		w.t.Fatalf("Handle(%+v): %v", ev, err)
	}
}

// friends makes bob and alice contacts, by his asking.
func (w *hall) friends(l im.Link) id.RoomID {
	w.t.Helper()
	r := w.asks(w.bob, aliceHandle)
	await(w.host.testHost, "request", func(e im.ContactEdit) bool { return e.Op == im.Add && e.Who.ID == string(w.bob) })
	w.accept(l)
	return r
}

func (w *hall) accept(l im.Link) {
	w.t.Helper()
	w.handle(l, im.ContactEdit{ID: "accept", Op: im.Accept, Who: im.Contact{Person: im.Person{Addr: im.Addr{Net: Name, ID: string(w.bob)}}, Follows: true}})
	await(w.host.testHost, "receipt", func(r im.Receipt) bool { return r.ID == "accept" })
}

// put brings a transaction to the box and returns the status of its answer.
func (w *hall) put(name, token, body string) int {
	w.h.mu.Lock()
	addr := w.addr
	w.h.mu.Unlock()
	return putTransaction(http.DefaultClient, addr, name, token, []byte(body))
}

func said(r id.RoomID, who id.UserID, event, text string) string {
	return fmt.Sprintf(`{"type":"m.room.message","room_id":%q,"sender":%q,"event_id":%q,"origin_server_ts":1700000000000,"content":{"msgtype":"m.text","body":%q}}`, r, who, event, text)
}

func TestGhostIsMadeWhenItIsNeeded(t *testing.T) {
	w := newHall(t)
	l := w.connect()
	w.handle(l, im.PresenceChanged{Who: im.Person{Addr: im.Addr{ID: aliceHandle}}, Now: im.Presence{Status: im.Busy}})
	if n := len(w.h.requests("POST", "/register")); n != 0 {
		t.Errorf("a ghost was made though nobody knows it: %d", n)
	}
	r := w.asks(w.bob, aliceHandle)
	w.h.say(r, w.bob, "are you there?")
	e := await(w.host.testHost, "request", func(e im.ContactEdit) bool { return e.Op == im.Add })
	if e.Who.ID != string(w.bob) || e.Who.Name != "Bob" || !e.Who.Asked || e.Who.Room {
		t.Errorf("request %+v", e)
	}
	w.accept(l)
	await(w.host.testHost, "what was said before", func(m im.Message) bool { return m.Text == "are you there?" && m.Conv == string(w.bob) })
	w.handle(l, im.Message{ID: "m1", Conv: string(w.bob), Text: "yes"})
	await(w.host.testHost, "receipt", func(r im.Receipt) bool { return r.ID == "m1" && r.State == im.Sent })
	w.h.say(r, w.bob, "good")
	await(w.host.testHost, "answer", func(m im.Message) bool { return m.Text == "good" })
	w.h.mu.Lock()
	name := w.names[testRealm.userOf(aliceHandle)]
	w.h.mu.Unlock()
	if name != "Alice <A>" {
		t.Errorf("the ghost is called %q", name)
	}
	if got := w.spoken(aliceHandle); !slices.Equal(got, []string{"yes"}) {
		t.Errorf("the ghost said %q", got)
	}
	if n := len(w.h.requests("PUT", "/account_data/")); n != 0 {
		t.Errorf("account data was written %d times; nobody reads a ghost's", n)
	}
}

func TestTransactions(t *testing.T) {
	w := newHall(t)
	l := w.connect()
	r := w.friends(l)
	w.answered()
	big := `{"events":[` + said(r, w.bob, "$big", strings.Repeat("x", maxTransaction)) + `]}`
	for _, c := range []struct {
		what, name, token, body string
		want                    int
	}{
		{"the wrong token", "t0", "wrong", `{"events":[` + said(r, w.bob, "$x", "forged") + `]}`, 403},
		{"no token", "t0", "", `{"events":[]}`, 403},
		{"the box's own token", "t0", testToken, `{"events":[]}`, 403},
		{"too much", "t0", testHSToken, big, 413},
		{"not JSON", "t0", testHSToken, `{"events":[`, 400},
		{"nothing", "t0", testHSToken, `{}`, 200},
		{"two messages", "t1", testHSToken, `{"events":[` + said(r, w.bob, "$1", "one") + "," + said(r, w.bob, "$2", "two") + `]}`, 200},
		{"the same again", "t1", testHSToken, `{"events":[` + said(r, w.bob, "$1", "one") + "," + said(r, w.bob, "$2", "two") + `]}`, 200},
		{"its name with more in it", "t1", testHSToken, `{"events":[` + said(r, w.bob, "$1", "one") + "," + said(r, w.bob, "$2", "two") + "," + said(r, w.bob, "$3", "three") + `]}`, 200},
		{"an event again in another", "t2", testHSToken, `{"events":[` + said(r, w.bob, "$3", "three") + "," + said(r, w.bob, "$4", "four") + `]}`, 200},
		{"what is no event", "t3", testHSToken, `{"events":[7,"x",null,{},{"type":"m.room.message"},{"type":5},` + said(r, w.bob, "$5", "five") + `]}`, 200},
		{"a room nobody is in", "t4", testHSToken, `{"events":[` + said("!other:hs.test", w.bob, "$6", "to others") + `]}`, 200},
	} {
		if got := w.put(c.name, c.token, c.body); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	want := []string{"one", "two", "three", "four", "five"}
	if got := once(w.host.all()); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	position := w.host.position()
	l = w.restart(l)
	if !strings.HasPrefix(position, "t3 ") {
		t.Errorf("the mark is %q", position)
	}
	if got := w.put("t3", testHSToken, `{"events":[`+said(r, w.bob, "$5", "five")+`]}`); got != 200 {
		t.Errorf("after a restart: %d", got)
	}
	if got := texts(w.host.all()); len(got) != 0 {
		t.Errorf("what was taken before a restart came again: %q", got)
	}
	l.Close()
	if got := w.put("t9", testHSToken, `{}`); got == 200 {
		t.Error("a closed service took a transaction")
	}
}

// once are the texts that came, as the hub would keep them: each id once.
func once(events []im.Event) (out []string) {
	seen := map[string]bool{}
	for _, ev := range events {
		if m, ok := ev.(im.Message); ok && !seen[m.ID] {
			seen[m.ID] = true
			out = append(out, m.Text)
		}
	}
	return out
}

func TestEphemeral(t *testing.T) {
	for _, field := range []string{"ephemeral", "de.sorunome.msc2409.ephemeral"} {
		t.Run(field, func(t *testing.T) {
			w := newHall(t)
			r := w.friends(w.connect())
			w.answered()
			body := fmt.Sprintf(`{"events":[],%q:[{"type":"m.typing","room_id":%q,"content":{"user_ids":[%q]}},
				{"type":"m.presence","sender":%q,"content":{"presence":"unavailable","status_msg":"gone fishing"}},
				{"type":"m.receipt","room_id":%q,"content":{"$1":{"m.read":{%q:{"ts":1}}}}}, 5, {"type":"m.typing"}]}`,
				field, r, w.bob, w.bob, r, w.bob)
			for range 2 { // without events a transaction is taken as often as it comes
				if got := w.put("e1", testHSToken, body); got != 200 {
					t.Fatal(got)
				}
			}
			await(w.host.testHost, "typing", func(e im.Typing) bool { return e.On && e.Who.ID == string(w.bob) && e.Conv == string(w.bob) })
			await(w.host.testHost, "presence", func(e im.PresenceChanged) bool {
				return e.Who.ID == string(w.bob) && e.Now.Status == im.Away && e.Now.Note == "gone fishing"
			})
		})
	}
}

// TestPresenceIsAskedFor: a homeserver that pushes nothing is asked.
func TestPresenceIsAskedFor(t *testing.T) {
	w := newHall(t)
	w.h.setPresence(w.bob, `{"presence":"unavailable","status_msg":"lunch"}`)
	w.friends(w.connect())
	await(w.host.testHost, "presence", func(e im.PresenceChanged) bool { return e.Now.Status == im.Away && e.Now.Note == "lunch" })
}

func TestWhoMayAsk(t *testing.T) {
	for _, c := range []struct {
		policy, list, who string
		blocked, want     bool
	}{
		{"", "", "@eve:hs.test", false, true},
		{fromHomeserver, "", "@eve:other.test", false, false},
		{fromAnyone, "", "@eve:other.test", false, true},
		{fromAnyone, "", "@eve:other.test", true, false},
		{fromContacts, "", "@eve:hs.test", false, false},
		{fromList, "eve@other.test", "@eve:other.test", false, true},
		{fromList, "x@y.test, other.test", "@eve:other.test", false, true},
		{fromList, "x@y.test", "@eve:hs.test", false, false},
		{fromAnyone, "", "@msn_carl=40hotmail.com:hs.test", false, false},
	} {
		t.Run(fmt.Sprint(c.policy, c.who, c.blocked, c.list), func(t *testing.T) {
			w := newHall(t)
			w.host.settings["accept_from"], w.host.settings["accept_list"] = c.policy, c.list
			w.host.blocked[c.who] = c.blocked
			w.connect()
			eve := id.UserID(c.who)
			w.h.mu.Lock()
			w.known(eve)
			w.h.mu.Unlock()
			r := w.asks(eve, aliceHandle)
			if c.want {
				await(w.host.testHost, "request", func(e im.ContactEdit) bool { return e.Who.ID == c.who })
				return
			}
			w.leaves(r)
			for _, ev := range w.host.all() {
				if e, is := ev.(im.ContactEdit); is {
					t.Errorf("the account was asked: %+v", e)
				}
			}
		})
	}
}

// leaves waits until alice's ghost is out of a room.
func (w *hall) leaves(r id.RoomID) {
	w.t.Helper()
	for {
		w.h.mu.Lock()
		bell := w.h.bell
		m, _ := w.h.rooms[r].membership(testRealm.userOf(aliceHandle))
		w.h.mu.Unlock()
		if m == "leave" {
			return
		}
		select {
		case <-bell:
		case <-w.t.Context().Done():
			w.t.Fatal("the ghost stays")
		}
	}
}

// TestNoClearTextIntoSecrets: a ghost has no keys, and says so.
func TestNoClearTextIntoSecrets(t *testing.T) {
	w := newHall(t)
	l := w.connect()
	r := w.friends(l)
	w.handle(l, im.Message{ID: "m1", Conv: string(w.bob), Text: "in clear"})
	w.h.boxesHold(true) // the box is not told that the room becomes encrypted
	w.h.setState(r, w.bob, "m.room.encryption", map[string]string{"algorithm": "m.megolm.v1.aes-sha2"})
	err := l.Handle(t.Context(), im.Addr{ID: aliceHandle}, im.Message{ID: "m2", Conv: string(w.bob), Text: "secret"})
	if no, ok := err.(*im.Refused); !ok || !strings.Contains(no.Text, "own-account mode") {
		t.Errorf("a message into an encrypted room: %v", err)
	}
	w.h.boxesHold(false)
	w.h.post(r, w.bob, "m.room.encrypted", map[string]string{"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AA"})
	await(w.host.testHost, "placeholder", func(m im.Message) bool {
		return m.Kind == im.Notice && strings.Contains(m.Text, "own-account mode") && m.From.ID == string(w.bob)
	})
	w.answered()
	if got := w.spoken(aliceHandle); !slices.Equal(got, []string{"in clear"}) {
		t.Errorf("the ghost said %q", got)
	}
}

// boxesHold keeps transactions back.
func (h *homeserver) boxesHold(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.boxes.held = on
	h.happen()
}

// TestMovingOut: who has an address of his own leaves.
func TestMovingOut(t *testing.T) {
	w := newHall(t)
	l := w.connect()
	r := w.friends(l)
	w.host.mu.Lock()
	w.host.left = true
	w.host.mu.Unlock()
	before := w.host.disk(aliceHandle + "\x00" + ghostKey)
	w.handle(l, im.PresenceChanged{Who: im.Person{Addr: im.Addr{ID: aliceHandle}}})
	w.leaves(r)
	if before == "" || w.host.disk(aliceHandle+"\x00"+ghostKey) != before {
		t.Error("what is the account's on disk was touched; that is its own link's")
	}
	w.h.say(r, w.bob, "where are you")
	w.answered()
	if err := l.Handle(t.Context(), im.Addr{ID: aliceHandle}, im.Message{ID: "m", Conv: string(w.bob), Text: "x"}); err == nil {
		t.Error("a message of an account that left was taken")
	}
}

// TestThirdOne: a direct room that a third joins is a group.
func TestThirdOne(t *testing.T) {
	w := newHall(t)
	l := w.connect()
	r := w.friends(l)
	carol := w.h.user("carol", "secret", "Carol")
	w.h.join(r, carol)
	w.answered()
	await(w.host.testHost, "roster with the room", func(e im.Roster) bool {
		return slices.ContainsFunc(e.Items, func(c im.Contact) bool { return c.Room && c.ID == string(r) })
	})
	w.h.say(r, carol, "hello both")
	m := await(w.host.testHost, "message", func(m im.Message) bool { return m.Text == "hello both" })
	if m.Conv != string(r) || m.Name != "Carol" {
		t.Errorf("%+v", m)
	}
}

func TestUsersAreAskedFor(t *testing.T) {
	w := newHall(t)
	w.connect()
	for u, want := range map[id.UserID]int{
		testRealm.userOf(aliceHandle): 200, testRealm.userOf("nobody@hotmail.com"): 404, "@msn_nudge:hs.test": 404,
		"@msn_=zz:hs.test": 404, "@bob:hs.test": 404, "@msn_alice=40hotmail.com:other.test": 404,
	} {
		req, _ := http.NewRequestWithContext(context.Background(), "GET", "http://"+w.addr+"/_matrix/app/v1/users/"+string(u), nil)
		req.Header.Set("Authorization", "Bearer "+testHSToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", u, resp.StatusCode, want)
		}
	}
	if !w.registered[testRealm.userOf(aliceHandle)] {
		t.Error("who was asked for is not there")
	}
}

// FuzzTransaction brings whatever it is given to a box with a contact: nothing of it
// may end the service, and a transaction that follows is taken.
func FuzzTransaction(f *testing.F) {
	for _, seed := range []string{
		`{"events":[` + said("!r:hs.test", "@bob:hs.test", "$1", "hello") + `]}`,
		`{"events":[{"type":"m.room.member","room_id":"!r:hs.test","sender":"@bob:hs.test","event_id":"$2","state_key":"@msn_alice=40hotmail.com:hs.test","content":{"membership":"invite","is_direct":true},"unsigned":{"invite_room_state":[{"type":"m.room.encryption","state_key":"","content":{}}]}}]}`,
		`{"ephemeral":[{"type":"m.typing","room_id":"!r:hs.test","content":{"user_ids":["@bob:hs.test",""]}},{"type":"m.presence","sender":"@bob:hs.test","content":{"presence":5}}]}`,
		`{"events":[null,[],{"type":"m.room.member","state_key":"@msn_","room_id":"","sender":"@","event_id":"$"}],"de.sorunome.msc2409.ephemeral":[0]}`,
		`{"de.sorunome.msc2409.to_device":[7,{"type":"m.room.encrypted","sender":"@bob:hs.test","to_user_id":"@msn_alice=40hotmail.com:hs.test","to_device_id":"DEVICE","content":{"algorithm":"m.olm.v1.curve25519-aes-sha2","sender_key":"AA","ciphertext":{"AA":{"type":0,"body":"AA"}}}}],"org.matrix.msc3202.device_lists":{"changed":["@bob:hs.test",5],"left":null}}`,
		`{"org.matrix.msc3202.device_one_time_keys_count":{"@msn_alice=40hotmail.com:hs.test":{"DEVICE":{"signed_curve25519":0}}},"org.matrix.msc3202.device_unused_fallback_key_types":{"@msn_alice=40hotmail.com:hs.test":{"DEVICE":[]}}}`,
		`{"events":{}}`, `[`, ``, `{"events":[{"type":"m.room.redaction","room_id":"!r:hs.test","sender":"@bob:hs.test","event_id":"$3","redacts":5,"content":7}]}`,
	} {
		f.Add([]byte(seed))
	}
	w := newHall(f)
	w.h.encrypt()
	w.connect()
	secret := w.befriendNow()
	w.h.setState(secret, w.bob, "m.room.encryption", map[string]string{"algorithm": "m.megolm.v1.aes-sha2"})
	w.answered()
	device := []byte(w.devices(aliceHandle)[0])
	n := 0
	f.Fuzz(func(t *testing.T, body []byte) {
		n++
		room, last := fmt.Sprintf("!r%d:hs.test", n), fmt.Sprintf("!last%d:hs.test", n)
		put := func(name, events string, want ...int) {
			t.Helper()
			if got := w.put(fmt.Sprint(name, n), testHSToken, events); !slices.Contains(want, got) {
				t.Fatalf("%s: %d for %q", name, got, body)
			}
		}
		put("join", `{"events":[`+enters(room)+","+enters(last)+`]}`, 200)
		body = bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("!r:hs.test"), []byte(room)), []byte("DEVICE"), device)
		put("body", string(body), 200, 400)
		text := fmt.Sprint("afterwards ", n)
		put("last", `{"events":[`+said(id.RoomID(last), w.bob, "$"+text, text)+`]}`, 200)
		if got := texts(w.host.all()); !slices.Contains(got, text) {
			t.Fatalf("nothing was heard after %q", body)
		}
	})
}

// enters is alice's ghost joining a room.
func enters(room string) string {
	return fmt.Sprintf(`{"type":"m.room.member","room_id":%q,"sender":%[2]q,"state_key":%[2]q,"event_id":"$%[1]s","content":{"membership":"join"}}`,
		room, testRealm.userOf(aliceHandle))
}

// befriendNow is friends without waiting for bob's request.
func (w *hall) befriendNow() id.RoomID {
	w.t.Helper()
	r := w.befriend(aliceHandle, w.bob)
	w.answered()
	return r
}

// BenchmarkTransaction is how long a homeserver waits for its 200 when one message
// comes at a time; a testHost needs no time for its disk (see the command line's
// end-to-end benchmark for that).
func BenchmarkTransaction(b *testing.B) {
	w := newHall(b)
	w.connect()
	r := w.befriendNow()
	for i := 0; b.Loop(); i++ {
		if got := w.put(fmt.Sprint("b", i), testHSToken, `{"events":[`+said(r, w.bob, fmt.Sprint("$b", i), "hello")+`]}`); got != 200 {
			b.Fatal(got)
		}
	}
}

// TestStrangerForAMoment: a homeserver that is shut down says that it does not know a
// ghost; what it wrote is tried again. What is forbidden to one that it knows is not.
func TestStrangerForAMoment(t *testing.T) {
	w := newHall(t)
	l := w.connect()
	w.friends(l)
	says := func(msg string) error {
		return l.Handle(t.Context(), im.Addr{ID: aliceHandle}, im.Message{ID: msg, Conv: string(w.bob), Text: msg, At: time.Now()})
	}
	forbidden := `{"errcode":"M_FORBIDDEN","error":"appservice has not registered this user"}`
	w.h.fail(fault{method: "PUT", path: "/send/m.room.message/", times: 2, status: 403, body: forbidden})
	w.h.fail(fault{method: "GET", path: "/whoami", times: 1, status: 403, body: forbidden})
	var no *im.Refused
	if err := says("m1"); err == nil || errors.As(err, &no) {
		t.Errorf("Handle says %v, want to be tried again", err)
	}
	if err := says("m2"); !errors.As(err, &no) {
		t.Errorf("Handle says %v, want a refusal", err)
	}
}
