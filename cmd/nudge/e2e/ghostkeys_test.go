package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestGhostKeys talks with an account of the gateway in encrypted rooms, with an app
// that has libolm, and reads every byte that the box sends to the homeserver: what is
// said is in none of them.
func TestGhostKeys(t *testing.T) {
	end2end(t)
	sc := newServiceScene(t, msnclient.MSNP12)
	walk(t, sc, []step[*scene]{
		{"asked into an encrypted room", (*scene).stepAskedInSecret},
		{"key that comes late", (*scene).stepGhostLateKey},
		{"killed", (*scene).stepGhostKilled},
		{"killed while it writes", (*scene).stepGhostKilledWriting},
		{"who left gets no key", (*scene).stepGhostRoom},
	})
	unsaid(t, sc.via.Sent(), "xyzzy")
}

// device waits until the account's user on the homeserver has a device with keys,
// signed by the user's own key, and bob knows it, and returns it.
func (sc *scene) device(t *testing.T) (name string) {
	t.Helper()
	bob := sc.bob.(*matrixPeer)
	token := matrixLogin(t, bob.me)
	check(t, eventually(patience, func() error {
		var keys struct {
			Devices map[string]map[string]struct {
				Signatures map[string]map[string]string
			} `json:"device_keys"`
			Signing map[string]struct{ Keys map[string]string } `json:"self_signing_keys"`
		}
		err := matrixCall(sc.server, token, "POST", "keys/query", map[string]any{"device_keys": map[string][]string{sc.me.ID: {}}}, &keys)
		if err != nil || len(keys.Devices[sc.me.ID]) != 1 {
			return fmt.Errorf("devices %v: %w", keys.Devices, err)
		}
		for n, d := range keys.Devices[sc.me.ID] {
			name = n
			for key := range keys.Signing[sc.me.ID].Keys {
				if d.Signatures[sc.me.ID][key] != "" {
					return nil
				}
			}
		}
		return fmt.Errorf("the device is not signed: %v", keys)
	}))
	check(t, matrixCall(sc.server, token, "POST", "logout", struct{}{}, nil))
	bob.do(t, op{"op": "meet", "user": sc.me.ID, "id": name})
	return name
}

// stepGhostEncrypts turns encryption on in a room that was used without.
func (sc *scene) stepGhostEncrypts(t *testing.T) {
	ctx, bob := waiting(t, 2*patience), sc.bob.(*matrixPeer)
	mark := bob.Mark()
	bob.do(t, op{"op": "encrypt", "room": bob.Room})
	bob.wait(t, mark, "encryption", func(e peerEvent) bool { return e.Ev == "encryption" && e.Room == bob.Room })
	device := sc.device(t)
	sc.whisper(ctx, t, "xyzzy-now")
	sc.again(t, "NLN")
	sc.whisper(ctx, t, "xyzzy-signed-in-again")
	if now := sc.device(t); now != device {
		t.Errorf("device %s, then %s", device, now)
	}
	unsaid(t, sc.via.Sent(), "xyzzy")
}

// whisper says something both ways, and looks that it was encrypted.
func (sc *scene) whisper(ctx context.Context, t *testing.T, word string) {
	t.Helper()
	bob, mark, from := sc.bob.(*matrixPeer), sc.bob.Mark(), sc.client.Log.Len()
	check(t, bob.Say(ctx, word+" in"))
	_, err := sc.hears(ctx, from, bob.me, word+" in")
	check(t, err)
	check(t, sc.chat(t).Send(ctx, word+" out"))
	e, err := bob.find(ctx, mark, func(e peerEvent) bool { return e.Ev == "msg" && e.Frm == sc.me.ID && e.Body == word+" out" })
	check(t, err)
	if !e.Decrypted {
		t.Errorf("%q came in clear", e.Body)
	}
}

func (sc *scene) stepAskedInSecret(t *testing.T) {
	ctx, bob := waiting(t, 2*patience), sc.bob.(*matrixPeer)
	sc.again(t, "NLN")
	mark, from := bob.Mark(), sc.client.Log.Len()
	bob.Room = bob.do(t, op{"op": "create", "invite": sc.me.ID, "encrypted": "true"}).Room
	sc.device(t) // before the account says yes
	check(t, (&roomScene{scene: sc}).accept(ctx, from, bob.me))
	check(t, bob.seesMember(ctx, mark, person{ID: bob.Room}, sc.me, "join"))
	sc.again(t, "NLN")
	sc.whisper(ctx, t, "xyzzy-first")
}

// stepGhostLateKey keeps a key back for a while.
func (sc *scene) stepGhostLateKey(t *testing.T) {
	ctx, phone := waiting(t, 2*patience), joinMatrix(t, sc.bob.Person())
	phone.Room = sc.bob.(*matrixPeer).Room
	from := sc.client.Log.Len()
	phone.do(t, op{"op": "hold", "on": "true"})
	check(t, phone.Say(ctx, "xyzzy-late"))
	_, err := sc.hears(ctx, from, phone.me, "its key has not come")
	check(t, err)
	phone.do(t, op{"op": "hold", "on": "false"})
	_, err = sc.hears(ctx, from, phone.me, "xyzzy-late")
	check(t, err)
	sc.whisper(ctx, t, "xyzzy-not-late")
}

// stepGhostKilled lets bob write to who is off-line, and kills the box meanwhile: all
// of it is there, once and in order, for the same device.
func (sc *scene) stepGhostKilled(t *testing.T) {
	const burst = 20
	ctx, device := waiting(t, 4*patience), sc.device(t)
	sc.client.Close()
	for i := range burst {
		check(t, sc.bob.Say(ctx, fmt.Sprintf("xyzzy in %d", i)))
		if i == burst/2 {
			check(t, sc.box.Kill())
			check(t, sc.box.Start())
		}
	}
	sc.again(t, "NLN")
	_, err := sc.hears(ctx, 0, sc.bob.Person(), fmt.Sprintf("in %d", burst-1))
	check(t, err)
	sc.whisper(ctx, t, "xyzzy-after")
	var got []int
	for _, e := range sc.client.Log.Since(0) {
		if text, ok := e.Text(); ok {
			if n, ok := number(text, "in"); ok {
				got = append(got, n)
			}
		}
	}
	if len(got) != burst || !slices.IsSorted(got) {
		t.Errorf("of %d messages came %v", burst, got)
	}
	if now := sc.device(t); now != device {
		t.Errorf("device %s, then %s", device, now)
	}
}

// stepGhostKilledWriting kills the box between messages of the client: bob has each
// that was acknowledged, once and in order.
func (sc *scene) stepGhostKilledWriting(t *testing.T) {
	const burst = 20
	ctx, bob := waiting(t, 4*patience), sc.bob.(*matrixPeer)
	ch, back := sc.chat(t), make(chan error, 1)
	var acked []string
	for i := range burst {
		if i == burst/4 {
			go func() {
				err := sc.box.Kill()
				if err == nil {
					err = sc.box.Start()
				}
				back <- err
			}()
		}
		text := fmt.Sprintf("xyzzy out %d", i)
		if ch.Send(ctx, text) == nil {
			acked = append(acked, text)
			continue
		}
		check(t, <-back)
		back <- nil
		sc.again(t, "NLN")
		ch = sc.chat(t)
	}
	check(t, <-back)
	sc.again(t, "NLN")
	sc.whisper(ctx, t, "xyzzy-written")
	var got []string
	for _, text := range bob.Archive(t) {
		if strings.HasPrefix(text, "xyzzy out ") {
			got = append(got, text)
		}
	}
	sure := slices.DeleteFunc(slices.Clone(got), func(text string) bool { return !slices.Contains(acked, text) })
	if !slices.Equal(sure, acked) || len(got) > burst {
		t.Errorf("of %q bob has %q", acked, got)
	}
	t.Logf("%d of %d were acknowledged", len(acked), burst)
}

// stepGhostRoom reads whom the box sends keys to while somebody comes into an
// encrypted room and goes.
func (sc *scene) stepGhostRoom(t *testing.T) {
	ctx, bob := waiting(t, 4*patience), sc.bob.(*matrixPeer)
	token := matrixLogin(t, bob.me)
	room := bob.found(t, token)
	bob.do(t, op{"op": "encrypt", "room": room.ID})
	rs := &matrixRooms{roomScene: &roomScene{scene: sc, room: room}, bob: bob, theirs: token}
	mark, from := bob.Mark(), sc.client.Log.Len()
	dave := joinMatrix(t, newPerson(t, sc.server, "dave"))
	rs.call(t, "POST", "invite", map[string]string{"user_id": dave.me.ID}, nil)
	rs.call(t, "POST", "invite", map[string]string{"user_id": sc.me.ID}, nil)
	check(t, rs.accept(ctx, from, room))
	for _, p := range []person{dave.me, sc.me} {
		check(t, bob.seesMember(ctx, mark, room, p, "join"))
	}
	check(t, sc.sees(ctx, from, room, "NLN"))
	rs.enter(t, ctx)
	keys := func() (n int) {
		for _, stream := range sc.via.Sent() {
			for _, u := range keyed(stream) {
				if u == dave.me.ID {
					n++
				}
			}
		}
		return n
	}
	mark, his := bob.Mark(), dave.Mark()
	check(t, rs.window().Send(ctx, "xyzzy-both"))
	check(t, bob.hearsAll(ctx, mark, room, sc.me, "xyzzy-both"))
	check(t, dave.hearsAll(ctx, his, room, sc.me, "xyzzy-both"))
	before := keys()
	dave.do(t, op{"op": "leave", "room": room.ID})
	check(t, rs.window().Send(ctx, "xyzzy-bob"))
	check(t, bob.hearsAll(ctx, mark, room, sc.me, "xyzzy-bob"))
	if after := keys(); before == 0 || after != before {
		t.Errorf("dave was sent %d keys, and %d after he had left", before, after-before)
	}
}
