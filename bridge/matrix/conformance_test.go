package matrix

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/im/imtest"
)

func TestConformance(t *testing.T) {
	imtest.Run(t, rig)
}

// testNetwork waits less between tries, so that outages are over soon.
func testNetwork() *Network {
	n := New(slog.New(slog.DiscardHandler))
	n.pause = 10 * time.Millisecond
	return n
}

func rig(t *testing.T) imtest.Rig {
	h := newHomeserver(t)
	alice := h.user("alice", "secret-alice", "Alice")
	bob := h.user("bob", "secret-bob", "Bob")
	h.user("dave", "secret-dave", "Dave")
	stranger := h.user("eve", "secret-eve", "Eve")
	room := h.dm(alice, bob)
	var others []im.Addr
	for _, name := range []string{"carol", "frank", "grace"} {
		u := h.user(name, "secret", strings.ToTitle(name))
		h.dm(alice, u)
		others = append(others, im.Addr{Net: Name, ID: string(u)})
	}
	heard := 0
	return imtest.Rig{
		Network: testNetwork(),
		Name:    Name,
		Fields:  map[string]string{"homeserver": h.http.URL, "user": string(alice), "password": "secret-alice"},
		Account: im.Addr{ID: "alice@hotmail.com"},
		Contact: im.Addr{Net: Name, ID: string(bob)},
		Others:  others,
		Say:     func(text string) error { h.say(room, bob, text); return nil },
		Hear: func(ctx context.Context) (string, error) {
			for {
				h.mu.Lock()
				bell, texts := h.bell, h.texts(alice)
				h.mu.Unlock()
				if len(texts) > heard {
					heard++
					return texts[heard-1], nil
				}
				select {
				case <-bell:
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
		},
		Ask: func(string) (im.Addr, error) {
			h.create(stranger, true, alice)
			return im.Addr{Net: Name, ID: string(stranger)}, nil
		},
		Cut: func() error { h.cut(); return nil },
		LoseAck: func() error {
			h.fail(fault{method: "PUT", path: "/send/", times: 1, after: true, cut: true})
			return nil
		},
		Stall:  func(on bool) error { h.stall(on); return nil },
		Known:  "dave@hs.test",
		Denied: map[string]string{"homeserver": h.http.URL, "user": string(alice), "password": "wrong"},
		Absent: map[string]string{"Answers": "people don't answer by themselves"},
	}
}

// texts is what u said in all rooms, in order. mu is held.
func (h *homeserver) texts(u id.UserID) (out []string) {
	for pos := 0; pos <= h.pos; pos++ {
		for _, rm := range h.rooms {
			for _, e := range rm.events {
				if e.pos == pos && e.Sender == u && e.Type == "m.room.message" {
					c, _ := decode[struct{ Body string }](e.Content)
					out = append(out, c.Body)
				}
			}
		}
	}
	return out
}
