package matrix

import (
	"context"
	"strings"
	"testing"

	"nudge/bridge/im"
	"nudge/bridge/im/imtest"
)

func TestGatewayConformance(t *testing.T) {
	imtest.Run(t, gatewayRig)
}

func gatewayRig(t *testing.T) imtest.Rig {
	const handle = "alice@hotmail.com"
	h := newHomeserver(t)
	s := h.withService(t)
	bob := h.user("bob", "secret-bob", "Bob")
	h.user("dave", "secret-dave", "Dave")
	stranger := h.user("eve", "secret-eve", "Eve")
	room := s.befriend(handle, bob)
	var others []im.Addr
	for _, name := range []string{"carol", "frank", "grace"} {
		u := h.user(name, "secret", strings.ToTitle(name))
		s.befriend(handle, u)
		others = append(others, im.Addr{Net: Name, ID: string(u)})
	}
	heard := 0
	return imtest.Rig{
		Network: s.gateway(),
		Name:    Name,
		Fields:  s.form(),
		Account: im.Addr{ID: handle},
		Shared:  true,
		Contact: im.Addr{Net: Name, ID: string(bob)},
		Others:  others,
		Say:     func(text string) error { h.say(room, bob, text); return nil },
		Hear: func(ctx context.Context) (string, error) {
			for {
				h.mu.Lock()
				bell := h.bell
				h.mu.Unlock()
				if texts := s.spoken(handle); len(texts) > heard {
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
			s.asks(stranger, handle)
			return im.Addr{Net: Name, ID: string(stranger)}, nil
		},
		Cut: func() error { h.cut(); return nil },
		LoseAck: func() error {
			h.fail(fault{method: "PUT", path: "/send/", times: 1, after: true, cut: true})
			return nil
		},
		Stall: func(on bool) error { h.stall(on); return nil },
		Known: "dave@hs.test",
		Absent: map[string]string{
			"Answers": "people don't answer by themselves",
			"Denied":  "the homeserver learns of the box after the box was told: it is tried again by itself",
		},
	}
}
