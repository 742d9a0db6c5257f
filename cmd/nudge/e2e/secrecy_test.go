package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestEncrypted talks in encrypted rooms with an app that has libolm, and reads
// every byte that the box sends to the homeserver: what is said is in none of
// them. A key comes after its message; the box is killed and finds what was said
// meanwhile, in a room too that was encrypted while it was away; the friend gets
// a second device, which reads what follows.
func TestEncrypted(t *testing.T) {
	sc, via, bob, dave := watched(t)
	says := func(p *matrixPeer, text, want string) {
		t.Helper()
		from := sc.client.Log.Len()
		check(t, p.Say(waiting(t, patience), text))
		_, err := sc.hears(waiting(t, patience), from, p.me, want)
		check(t, err)
	}

	bob.do(t, op{"op": "hold", "on": "true"})
	says(bob, "xyzzy-late", "its key has not come")
	from := sc.client.Log.Len()
	bob.do(t, op{"op": "hold", "on": "false"})
	_, err := sc.hears(waiting(t, patience), from, bob.me, "xyzzy-late")
	check(t, err)
	sc.talk(t, "xyzzy-first")

	check(t, sc.box.Kill())
	sc.client.Kill()
	check(t, bob.Say(t.Context(), "xyzzy-away"))
	dave.do(t, op{"op": "encrypt", "room": dave.Room})
	const many = 60 // more than one page of a room's events
	for i := range many {
		check(t, dave.Say(t.Context(), fmt.Sprintf("plover %d.", i)))
	}
	check(t, sc.box.Start())
	sc.signIn(t, "NLN")
	for _, text := range []string{"xyzzy-away", fmt.Sprintf("plover %d.", many-1)} {
		_, err := sc.hears(waiting(t, patience), 0, map[bool]person{true: bob.me, false: dave.me}[text == "xyzzy-away"], text)
		check(t, err)
	}
	var heard, said []string
	for _, e := range sc.client.Log.Since(0) {
		if text, ok := e.Text(); ok && strings.Contains(text, "plover") {
			heard = append(heard, text[strings.Index(text, "plover"):])
		}
	}
	for i := range many {
		said = append(said, fmt.Sprintf("plover %d.", i))
	}
	if !slices.Equal(heard, said) {
		t.Errorf("heard after the restart: %q", heard)
	}
	sc.talk(t, "xyzzy-second")

	phone := joinMatrix(t, bob.me)
	phone.friend, phone.Room = bob.friend, bob.Room
	mark, other := bob.Mark(), phone.Mark()
	check(t, sc.chat(t).Send(waiting(t, patience), "xyzzy-both"))
	check(t, bob.Heard(waiting(t, patience), mark, "xyzzy-both"))
	check(t, phone.Heard(waiting(t, patience), other, "xyzzy-both"))
	says(phone, "xyzzy-phone", "xyzzy-phone")

	if encrypted, clear := puts(t, via.Sent(), bob.Room, dave.Room); encrypted < 3 || clear != 0 {
		t.Errorf("%d messages went encrypted and %d in clear", encrypted, clear)
	}
	unsaid(t, via.Sent(), "xyzzy", "plover")
}

// TestNothingInClear is what must hold whether or not the box can encrypt: what
// is said into an encrypted room either arrives or comes back with the reason,
// and is in no byte that the box sends. That includes a room of which the box
// was told nothing when it became encrypted.
func TestNothingInClear(t *testing.T) {
	sc, via, bob, dave := watched(t)
	say := func(p *matrixPeer, text string) {
		t.Helper()
		mark, from := p.Mark(), sc.client.Log.Len()
		ch, err := sc.client.Invite(waiting(t, patience), p.me.Handle)
		check(t, err)
		sent := ch.Send(waiting(t, patience), text)
		check(t, eventually(patience, func() error {
			if p.Heard(waiting(t, patience/30), mark, text) == nil {
				return nil
			}
			_, err := sc.hears(waiting(t, patience/30), from, p.me, "not delivered")
			return err
		}))
		ch.Leave()
		t.Logf("%s: %v", text, sent)
	}

	say(bob, "xyzzy-first")
	say(dave, "clear text, on purpose")
	check(t, sc.box.Kill())
	sc.client.Kill()
	dave.do(t, op{"op": "encrypt", "room": dave.Room})
	for i := range 60 { // more than one page of a room's events
		check(t, dave.Say(t.Context(), fmt.Sprint("plover ", i)))
	}
	check(t, sc.box.Start())
	sc.signIn(t, "NLN")
	say(dave, "xyzzy-second")
	say(bob, "xyzzy-third")
	if _, clear := puts(t, via.Sent(), bob.Room, dave.Room); clear != 1 {
		t.Errorf("%d messages went in clear", clear)
	}
	unsaid(t, via.Sent(), "xyzzy", "plover")
}

// watched is alice, signed in, with bob in an encrypted room and with dave in one
// that is not, behind a proxy that keeps what the box sends.
func watched(t *testing.T) (sc *scene, via *proxy, bob, dave *matrixPeer) {
	t.Helper()
	end2end(t)
	s := sharedServer(t, "dendrite")
	via = newProxy(t, s.Addr())
	me := newPerson(t, s, "alice")
	bob = joinMatrix(t, newPerson(t, s, "bob"))
	bob.meet(t, me, true)
	dave = joinMatrix(t, newPerson(t, s, "dave"))
	dave.meet(t, me, false)
	sc = &scene{test: t, version: msnclient.MSNP8, server: s, me: me, bob: bob}
	sc.house(t, via.Addr)
	sc.box.Knows(t, aliceHandle, dave.me.Handle)
	sc.signIn(t, "NLN")
	return sc, via, bob, dave
}

// unsaid finds words that must not be in what the box sent.
func unsaid(t testing.TB, streams [][]byte, words ...string) {
	t.Helper()
	for _, stream := range streams {
		for _, word := range words {
			if i := bytes.Index(stream, []byte(word)); i >= 0 {
				t.Errorf("in clear: %q", stream[max(0, i-200):min(len(stream), i+50)])
			}
		}
	}
}

// requests takes the bytes that a client sent apart.
func requests(stream []byte) iter.Seq2[*http.Request, []byte] {
	return func(yield func(*http.Request, []byte) bool) {
		r := bufio.NewReader(bytes.NewReader(stream))
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return // the end, or a request that was cut off
			}
			body := new(bytes.Buffer)
			body.ReadFrom(req.Body)
			if !yield(req, body.Bytes()) {
				return
			}
		}
	}
}

// puts counts the events sent into rooms, encrypted and not.
func puts(t testing.TB, streams [][]byte, rooms ...string) (encrypted, clear int) {
	t.Helper()
	for _, stream := range streams {
		for req, body := range requests(stream) {
			path, _ := url.PathUnescape(req.URL.EscapedPath())
			for _, room := range rooms {
				_, kind, ok := strings.Cut(path, "/rooms/"+room+"/send/")
				switch {
				case !ok || req.Method != http.MethodPut:
				case strings.HasPrefix(kind, "m.room.encrypted/"):
					encrypted++
				default:
					clear++
					t.Logf("in clear: PUT %s %s", path, body)
				}
			}
		}
	}
	return encrypted, clear
}
