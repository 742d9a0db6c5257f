package matrix

import (
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// newSecretHall is a hall whose homeserver encrypts.
func newSecretHall(t *testing.T) (*hall, *world) {
	w := newHall(t)
	w.h.encrypt()
	return w, &world{homeserver: w.h, t: t, alice: string(testRealm.userOf(aliceHandle)), bob: string(w.bob), host: w.host.testHost}
}

// whisper makes the direct room of bob and alice an encrypted one, with bob's app in
// it.
func (w *hall) whisper(as *world, r id.RoomID, device string) *friend {
	w.t.Helper()
	as.room = string(r)
	bob := as.friend("bob", "secret-bob", device)
	w.h.setState(r, w.bob, "m.room.encryption", map[string]string{"algorithm": "m.megolm.v1.aes-sha2"})
	w.answered()
	return bob
}

// hears waits for a message of bob's with the words.
func (w *hall) hears(words string) im.Message {
	w.t.Helper()
	return await(w.host.testHost, words, func(m im.Message) bool { return strings.Contains(m.Text, words) })
}

func (w *hall) mustSend(l im.Link, msg, text string) {
	w.t.Helper()
	w.handle(l, im.Message{ID: msg, Conv: string(w.bob), Text: text})
	await(w.host.testHost, "receipt for "+msg, func(r im.Receipt) bool { return r.ID == msg && r.State == im.Sent })
}

// TestGhostTalksInSecret: a room becomes encrypted with a ghost in it; both sides go
// on, over a restart, with one device that the ghost's own keys have signed.
func TestGhostTalksInSecret(t *testing.T) {
	for name, lends := range map[string]bool{"signed in": false, "lent": true} {
		t.Run(name, func(t *testing.T) {
			w, as := newSecretHall(t)
			w.lends = lends
			l := w.connect()
			r := w.friends(l)
			if d := w.devices(aliceHandle); len(d) != 0 {
				t.Errorf("a device before there is anything secret: %v", d)
			}
			bob := w.whisper(as, r, "BOB1")
			bob.say("answer one")
			if m := w.hears("answer one"); m.Conv != as.bob || m.From.ID != as.bob || m.Rel.Kind != im.NoRel || m.Kind != im.Text {
				t.Errorf("%+v", m)
			}
			w.mustSend(l, "m1", "plugh one")
			bob.hears("plugh one")
			device := w.devices(aliceHandle)
			l = w.restart(l)
			bob.say("answer two")
			w.hears("answer two")
			w.mustSend(l, "m2", "plugh two")
			bob.hears("plugh two")
			if now := w.devices(aliceHandle); len(now) != 1 || !slices.Equal(now, device) {
				t.Errorf("devices %v, then %v", device, now)
			}
			if signed, can := w.ghost(l).olm().Signed(t.Context()); !signed || !can {
				t.Error("the device is not signed")
			}
			as.unsaid("plugh")
			for _, e := range w.host.all() {
				if m, ok := e.(im.Message); ok && (m.Own || strings.Contains(m.Text, "key")) {
					t.Errorf("came in as %+v", m)
				}
			}
		})
	}
}

// ghost is alice's.
func (w *hall) ghost(l im.Link) *ghost { return l.(*service).awake(im.Addr{ID: aliceHandle}) }

// TestGhostReadsLater reads a message whose key comes after it, in a later life too,
// and does not let others wait.
func TestGhostReadsLater(t *testing.T) {
	w, as := newSecretHall(t)
	l := w.connect()
	r := w.friends(l)
	bob := w.whisper(as, r, "BOB1")
	first := bob.put(bob.lock("you can read me now", w.bob)) // alice gets no key
	p := w.hears("its key has not come")
	if p.ID != string(first) || p.Kind != im.Notice {
		t.Errorf("placeholder: %+v", p)
	}
	w.h.say(r, w.bob, "not held up")
	w.hears("not held up")
	l = w.restart(l)
	bob.sendKey(id.UserID(as.alice), w.ghost(l).device.DeviceID)
	m := w.hears("you can read me now")
	if m.Rel != (im.Rel{Kind: im.Resolve, To: string(first)}) || m.Conv != as.bob || m.At.UnixMilli() != p.At.UnixMilli() {
		t.Errorf("%+v", m)
	}
	w.restart(l)
	bob.say("the next one")
	w.hears("the next one")
}

// TestGhostIsAskedInSecret: who invites an account into an encrypted room finds a
// device there, so that what is said before the ghost joins can be read.
func TestGhostIsAskedInSecret(t *testing.T) {
	w, as := newSecretHall(t)
	l := w.connect()
	w.known(id.UserID(as.alice))
	r := w.h.create(w.bob, true)
	bob := w.whisper(as, r, "BOB1")
	w.h.mu.Lock()
	w.h.member(r, w.bob, id.UserID(as.alice), "invite", true)
	w.h.mu.Unlock()
	as.until(func() bool { return len(w.devices(aliceHandle)) == 1 })
	bob.say("before you come")
	w.accept(l)
	w.hears("before you come")
	w.mustSend(l, "m1", "plugh")
	bob.hears("plugh")
	as.unsaid("plugh")
}

// TestGhostKeepsKeysFromWhoLeft: who is in the room no more gets no key, even when
// the box was not told that he left.
func TestGhostKeepsKeysFromWhoLeft(t *testing.T) {
	w, as := newSecretHall(t)
	l := w.connect()
	r := w.friends(l)
	dave := w.h.user("dave", "secret-dave", "Dave")
	bob := w.whisper(as, r, "BOB1")
	as.friend("dave", "secret-dave", "DAVE1")
	w.h.join(r, dave)
	w.answered()
	w.handle(l, im.ContactEdit{ID: "room", Op: im.Add, Who: im.Contact{Person: im.Person{Addr: im.Addr{Net: Name, ID: string(r)}}, Follows: true, Room: true}})
	send := func(msg, text string) {
		t.Helper()
		w.handle(l, im.Message{ID: msg, Conv: string(r), Text: text})
		await(w.host.testHost, "receipt for "+msg, func(r im.Receipt) bool { return r.ID == msg && r.State == im.Sent })
		bob.hears(text)
	}
	send("m1", "plugh for both")
	w.h.boxesHold(true)
	w.h.mu.Lock()
	w.h.member(r, dave, dave, "leave", false)
	w.h.mu.Unlock()
	send("m2", "plugh for bob")
	w.h.boxesHold(false)
	w.answered()
	send("m3", "plugh for bob again")
	want := []string{string(w.bob) + " BOB1", string(dave) + " DAVE1", string(w.bob) + " BOB1"}
	got := as.keysTo()
	slices.Sort(got[:min(2, len(got))])
	if !slices.Equal(got, want) {
		t.Errorf("keys went to %v, want %v", got, want)
	}
	as.unsaid("plugh")
}

// TestGhostKeysInTransactions: where transactions bring what is for the ghosts'
// devices, that comes before the messages.
func TestGhostKeysInTransactions(t *testing.T) {
	w, as := newSecretHall(t)
	w.lends, w.brings = true, true
	l := w.connect()
	r := w.friends(l)
	bob := w.whisper(as, r, "BOB1")
	bob.say("answer")
	w.hears("answer")
	bob.must(bob.mach.CryptoStore.RemoveOutboundGroupSession(t.Context(), bob.room))
	late := bob.put(bob.lock("with another key", w.bob))
	w.hears("its key has not come")
	bob.sendKey(id.UserID(as.alice), w.ghost(l).device.DeviceID)
	if m := w.hears("with another key"); m.Rel != (im.Rel{Kind: im.Resolve, To: string(late)}) {
		t.Errorf("%+v", m)
	}
}

// TestGhostPosition: where the homeserver refuses the position, it is asked afresh.
func TestGhostPosition(t *testing.T) {
	w, as := newSecretHall(t)
	l := w.connect()
	bob := w.whisper(as, w.friends(l), "BOB1")
	w.mustSend(l, "m1", "plugh")
	bob.hears("plugh")
	w.h.fail(fault{method: "GET", path: "since=s", times: 2, status: 400, body: `{"errcode":"M_INVALID_PARAM","error":"bad since"}`})
	w.h.cut() // the poll that is under way
	bob.cli.Client.CloseIdleConnections()
	bob.must(bob.mach.CryptoStore.RemoveOutboundGroupSession(t.Context(), bob.room))
	bob.say("with another key")
	w.hears("with another key")
}

// TestGhostWithoutDevice: where the homeserver gives a ghost no device, it refuses.
func TestGhostWithoutDevice(t *testing.T) {
	w, as := newSecretHall(t)
	w.none = true
	l := w.connect()
	r := w.friends(l)
	bob := w.whisper(as, r, "BOB1")
	bob.put(bob.lock("not for the box", w.bob))
	w.hears("own-account mode")
	err := l.Handle(t.Context(), im.Addr{ID: aliceHandle}, im.Message{ID: "m1", Conv: string(w.bob), Text: "plugh"})
	if no, ok := err.(*im.Refused); !ok || !strings.Contains(no.Text, "own-account mode") {
		t.Errorf("%v", err)
	}
	as.unsaid("plugh")
}

// TestGhostOnOldDisk: a disk that is older than what the ghost did last, or whose
// device the homeserver does not know any more, leads to another device, signed by
// the same keys, and the old one is gone.
func TestGhostOnOldDisk(t *testing.T) {
	for name, tc := range map[string]struct {
		restored, lives, sends, ended bool
		same                          bool
	}{
		"restored backup":       {restored: true},
		"a card of a past life": {lives: true},
		"of the same life":      {sends: true},
		"of the same moment":    {same: true},
		"signed out":            {ended: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, as := newSecretHall(t)
			l := w.connect()
			r := w.friends(l)
			bob := w.whisper(as, r, "BOB1")
			w.mustSend(l, "m1", "plugh before")
			bob.hears("plugh before")
			old, disk := w.devices(aliceHandle), w.host.copy()
			if tc.sends {
				w.mustSend(l, "m2", "plugh forgotten")
			}
			if tc.lives {
				l = w.restart(l)
			}
			l.Close()
			if tc.ended {
				w.h.mu.Lock()
				w.forget(id.UserID(as.alice), old[0])
				w.h.mu.Unlock()
			}
			w.host.testHost, w.restored = disk, tc.restored
			l = w.connect()
			w.restored = false
			if now := w.devices(aliceHandle); len(now) != 1 || slices.Equal(now, old) != tc.same {
				t.Errorf("devices %v, before %v", now, old)
			}
			if signed, _ := w.ghost(l).olm().Signed(t.Context()); !signed {
				t.Error("the device is not signed")
			}
			bob.sync() // learns of the device
			bob.must(bob.mach.CryptoStore.RemoveOutboundGroupSession(t.Context(), bob.room))
			bob.say("answer")
			w.hears("answer")
			w.mustSend(l, "m3", "plugh after")
			bob.hears("plugh after")
			as.unsaid("plugh")
		})
	}
}

// TestGhostMovesOut: the device of who has an address of his own is signed out.
func TestGhostMovesOut(t *testing.T) {
	w, as := newSecretHall(t)
	l := w.connect()
	r := w.friends(l)
	bob := w.whisper(as, r, "BOB1")
	w.mustSend(l, "m1", "plugh")
	bob.hears("plugh")
	w.host.mu.Lock()
	w.host.left = true
	w.host.mu.Unlock()
	w.handle(l, im.PresenceChanged{Who: im.Person{Addr: im.Addr{ID: aliceHandle}}})
	w.leaves(r)
	if d := w.devices(aliceHandle); len(d) != 0 {
		t.Errorf("devices are left: %v", d)
	}
}
