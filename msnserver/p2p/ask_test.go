package p2p

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// asked is a host that has asked alice for her picture, which has these bytes.
func asked(t *testing.T, picture string) (h *Host, session uint32, call string, taken *[]string) {
	t.Helper()
	h, taken = host(nil), new([]string)
	digest := sha1.Sum([]byte(picture))
	object := fmt.Sprintf(`<msnobj Creator="alice@example.com" Size="%d" Type="3" Location="TFR1.tmp" Friendly="AAA=" SHA1D="%s" SHA1C="x"/>`, len(picture), base64.StdEncoding.EncodeToString(digest[:]))
	out := h.Ask(bob, object, 1, func(data []byte) { *taken = append(*taken, string(data)) })
	wants(t, out, "bob: INVITE MSNMSGR:alice@example.com MSNSLP/1.0")
	m := parseSLP(frameOf(out[0]).data)
	if m.object() != object || m.number("AppID") != 1 || m.number("SessionID") == 0 || m.head.Get("To") != "<msnmsgr:alice@example.com>" || m.head.Get("From") != "<msnmsgr:bob@example.com>" {
		t.Fatalf("the question is %q", frameOf(out[0]).data)
	}
	wants(t, h.Take(got(out[0])))
	return h, m.number("SessionID"), m.head.Get("Call-ID"), taken
}

func answers(call, status string) string {
	return "MSNSLP/1.0 " + status + "\r\nTo: <msnmsgr:bob@example.com>\r\nVia: " + branch + "\r\nCSeq: 1 \r\nCall-ID: " + call + "\r\nContent-Type: application/x-msnmsgr-sessionreqbody\r\nContent-Length: 3\r\n\r\n\r\n\x00"
}

// TestAsk: the client's picture comes in parts and is taken once, when it is the one
// that was promised.
func TestAsk(t *testing.T) {
	picture := strings.Repeat("p", 1300)
	for name, c := range map[string]struct {
		sends string
		want  []string
	}{
		"as promised":    {picture, []string{picture}},
		"something else": {strings.Repeat("q", 1300), nil},
	} {
		t.Run(name, func(t *testing.T) {
			h, id, call, taken := asked(t, picture)
			wants(t, h.Take(signals(bob, 1, answers(call, "200 OK"))), "bob: ack 1")
			wants(t, h.Take(said(carol, [11]uint32{id, 2, 0, 4, 4, 0, 1}, "\x00\x00\x00\x00", 1)))
			wants(t, h.Take(said(bob, [11]uint32{id, 2, 0, 4, 4, 0, 1}, "\x00\x00\x00\x00", 1)), "bob: ack 2")
			wants(t, h.Take(said(bob, [11]uint32{id + 1, 3, 0, 1300, 1202, 0x20, 1}, c.sends[:1202], 1)))
			wants(t, h.Take(said(bob, [11]uint32{id, 3, 0, 1300, 1202, 0x20, 1}, c.sends[:1202], 1)))
			wants(t, h.Take(said(bob, [11]uint32{id, 3, 1202, 1300, 98, 0x20, 1}, c.sends[1202:], 1)), "bob: ack 3", "bob: BYE MSNMSGR:alice@example.com MSNSLP/1.0")
			wants(t, h.Take(said(bob, [11]uint32{id, 3, 0, 1300, 1202, 0x20, 1}, c.sends[:1202], 1)))
			if strings.Join(*taken, " ") != strings.Join(c.want, " ") {
				t.Errorf("%d pictures were taken", len(*taken))
			}
		})
	}
}

// TestAskInVain: who declines, leaves or says that it is endless is left alone.
func TestAskInVain(t *testing.T) {
	for name, end := range map[string]func(h *Host, id uint32, call string){
		"declined": func(h *Host, _ uint32, call string) { h.Take(signals(bob, 1, answers(call, "603 Decline"))) },
		"left": func(h *Host, _ uint32, call string) {
			h.Take(signals(bob, 1, strings.Replace(request("BYE", bob, bye, "\r\n\x00"), "{9D79AE57-1BD5-444B-B14E-3FC9BB2B5D58}", call, 1)))
		},
		"endless": func(h *Host, id uint32, _ string) {
			h.Take(said(bob, [11]uint32{id, 1, 0, maxObject + 1, 4, 0x20, 1}, "pppp", 1))
		},
		"replaced": func(h *Host, _ uint32, _ string) { h.Ask(carol, `<msnobj SHA1D="`+sum+`"/>`, 1, nil) },
	} {
		h, id, call, taken := asked(t, "pppp")
		end(h, id, call)
		if name != "endless" {
			h.Take(said(bob, [11]uint32{id, 3, 0, 4, 4, 0x20, 1}, "pppp", 1))
		}
		if len(*taken) > 0 {
			t.Errorf("%s: taken %q", name, *taken)
		}
	}
	if out := host(nil).Ask(bob, "<msnobj/>", 1, nil); len(out) > 0 {
		t.Errorf("asked for nothing: %q", out)
	}
}
