package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// BenchmarkLatency is how much longer what an old client writes takes to its reader
// than what somebody writes who is at the server himself. Both write in turn to the
// same reader, one message after the other.
func BenchmarkLatency(b *testing.B) {
	for _, c := range []struct {
		name string
		make func(*testing.B) course
	}{{"prosody", xmppCourse}, {"component", componentCourse}, {"dendrite", matrixCourse}} {
		b.Run(c.name, func(b *testing.B) {
			way, from := c.make(b), 0
			var direct, through []time.Duration
			for n := 0; b.Loop(); n++ {
				began, text := time.Now(), fmt.Sprintf("direct %d", n)
				check(b, way.direct(text))
				direct = append(direct, way.heard(text).Sub(began))

				began, text = time.Now(), fmt.Sprintf("through %d", n)
				id, err := way.chat.Post(text, msnclient.Acknowledged)
				check(b, err)
				through = append(through, way.heard(text).Sub(began))
				e, err := way.client.Log.Wait(b.Context(), from, func(e msnclient.Event) bool {
					return e.Cmd == "ACK" && e.Args[0] == id
				})
				check(b, err)
				from = e.N + 1
			}
			b.ReportMetric(0, "ns/op")
			for _, q := range []struct {
				name    string
				percent int
			}{{"median", 50}, {"p99", 99}} {
				d, t := quantile(direct, q.percent), quantile(through, q.percent)
				b.ReportMetric(d, q.name+"-direct-ms")
				b.ReportMetric(t, q.name+"-through-ms")
				b.ReportMetric(t-d, q.name+"-added-ms")
			}
		})
	}
}

// quantile is what so many per cent do not exceed, in ms.
func quantile(took []time.Duration, percent int) float64 {
	sorted := slices.Sorted(slices.Values(took))
	return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) / 1000
}

// course is a reader with two writers: an old client, and somebody at the server.
type course struct {
	client *msnclient.Client
	chat   *msnclient.Chat
	direct func(text string) error
	heard  func(text string) time.Time // when the reader had it
}

// xmppCourse: the old client has linked an account of the server.
func xmppCourse(b *testing.B) course {
	sc := newScene(b, msnclient.MSNP8, ownServer(b, "prosody", true), "")
	return sc.xmppCourse(b)
}

// componentCourse: the box is a component of the server.
func componentCourse(b *testing.B) course {
	sc := newComponentScene(b, ownServer(b, "prosody", true), msnclient.MSNP8, "")
	sc.box.cli(b, "contact", "add", aliceHandle, sc.bob.Person().Handle)
	check(b, eventually(patience, func() error { return sc.bob.(*xmppPeer).not(sc.me, "", "none", "to", "from") }))
	return sc.xmppCourse(b)
}

// xmppCourse puts bob at a client that reads fast. Who writes to him directly does it
// as every client of today: he asks for a receipt, and the server whether it has the
// message.
func (sc *scene) xmppCourse(b *testing.B) (c course) {
	sc.bob.(*xmppPeer).leave()
	bob := sc.bob.Person()
	reader, writer := joinPlain(b, bob), joinPlain(b, newPerson(b, sc.server, "carol"))
	from := 0
	const ask = "<r xmlns='urn:xmpp:sm:3'/>"
	check(b, writer.write("<enable xmlns='urn:xmpp:sm:3'/>"))
	c.direct = func(text string) error {
		return writer.write("<message type='chat' to='" + bob.ID + "' id='" + text + "'><body>" + text + "</body><active xmlns='http://jabber.org/protocol/chatstates'/>" +
			"<markable xmlns='urn:xmpp:chat-markers:0'/><origin-id xmlns='urn:xmpp:sid:0' id='" + text + "'/><request xmlns='urn:xmpp:receipts'/></message>" + ask)
	}
	c.heard = func(text string) time.Time {
		e, err := reader.find(from, func(e element) bool { return e.Body == text })
		check(b, err)
		from = e.n + 1
		return e.at
	}
	sc.signIn(b, "NLN")
	c.client, c.chat = sc.client, sc.chat(b)
	return c
}

// matrixCourse: the old client has linked an account of the homeserver.
func matrixCourse(b *testing.B) (c course) {
	sc := newScene(b, msnclient.MSNP8, ownServer(b, "dendrite", true), "")
	sc.bob.(*matrixPeer).leave()
	bob, carol := sc.bob.Person(), newPerson(b, sc.server, "carol")
	reader, writer := matrixLogin(b, bob), matrixLogin(b, carol)
	var room struct {
		ID string `json:"room_id"`
	}
	check(b, matrixCall(sc.server, writer, "POST", "createRoom", map[string]any{"preset": "trusted_private_chat", "invite": []string{bob.ID}}, &room))
	check(b, matrixCall(sc.server, reader, "POST", "join/"+url.PathEscape(room.ID), struct{}{}, nil))
	follow(b, sc.server, writer) // as every client does
	read := follow(b, sc.server, reader)
	c.direct = func(text string) error {
		return matrixCall(sc.server, writer, "PUT", "rooms/"+url.PathEscape(room.ID)+"/send/m.room.message/"+url.PathEscape(text),
			map[string]string{"msgtype": "m.text", "body": text}, nil)
	}
	c.heard = func(text string) time.Time {
		late := time.After(patience)
		for {
			select {
			case l := <-read:
				if l.text == text {
					return l.at
				}
			case <-late:
				b.Fatalf("%q did not come", text)
			}
		}
	}
	sc.signIn(b, "NLN")
	c.client, c.chat = sc.client, sc.chat(b)
	return c
}

// line is a text and when it came.
type line struct {
	text string
	at   time.Time
}

// follow follows /sync and tells what is said from now on, until the test ends.
func follow(t testing.TB, s *server, token string) <-chan line {
	t.Helper()
	var resp struct {
		Next  string `json:"next_batch"`
		Rooms struct {
			Join map[string]struct {
				Timeline struct {
					Events []struct {
						Content struct{ Body string }
					}
				}
			}
		}
	}
	check(t, matrixCall(s, token, "GET", "sync", nil, &resp))
	lines, done := make(chan line, 1000), make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			since := resp.Next
			resp.Rooms.Join = nil
			if err := matrixCall(s, token, "GET", "sync?timeout=1000&since="+url.QueryEscape(since), nil, &resp); err != nil {
				return
			}
			for _, r := range resp.Rooms.Join {
				for _, e := range r.Timeline.Events {
					select {
					case lines <- line{e.Content.Body, time.Now()}:
					default: // nobody reads
					}
				}
			}
		}
	}()
	t.Cleanup(func() { <-done })
	return lines
}
