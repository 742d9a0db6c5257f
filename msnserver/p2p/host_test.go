package p2p

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"nudge/msnserver/wire"
)

const (
	alice  = "alice@example.com"
	bob    = "bob@example.com"
	carol  = "carol@example.com"
	sum    = "2jmj7l5rSw0yVb/vlWAYkK/YBwk="
	branch = "MSNSLP/1.0/TLP ;branch={33517CE4-02FC-4428-B6F4-39927229B722}"
	call   = "{9D79AE57-1BD5-444B-B14E-3FC9BB2B5D58}"
)

// host has random numbers that are none: 400, 401 and so on.
func host(pictures map[string]string) *Host {
	h := New(alice, func(contact string, wanted [20]byte) []byte {
		if p := pictures[contact]; p != "" && base64.StdEncoding.EncodeToString(wanted[:]) == sum {
			return []byte(p)
		}
		return nil
	}, nil)
	n := uint32(399)
	h.random = func() uint32 { n++; return n }
	return h
}

// said is a frame that the client puts together by hand.
func said(to string, head [11]uint32, data string, app uint32) []byte {
	b := make([]byte, 48)
	le := binary.LittleEndian
	for i, at := range []int{0, 4, 8, 16, 24, 28, 32, 36, 40} {
		le.PutUint32(b[at:], head[i])
	}
	b = binary.BigEndian.AppendUint32(append(b, data...), app)
	return append([]byte("MIME-Version: 1.0\r\nContent-Type: application/x-msnmsgrp2p\r\nP2P-Dest: "+to+"\r\n\r\n"), b...)
}

// signals is a message of MSNSLP in one frame.
func signals(to string, id uint32, text string) []byte {
	n := uint32(len(text))
	return said(to, [11]uint32{0, id, 0, n, n, 0, 4711}, text, 0)
}

// got is the acknowledgement of what m carries.
func got(m Message) []byte {
	f := frameOf(m)
	return said(m.From, [11]uint32{f.session, 9000, 0, uint32(f.total), 0, 2, f.id, f.ack, uint32(f.total)}, "", 0)
}

func frameOf(m Message) frame {
	p, _ := wire.ParseMessage(m.Payload)
	f, _ := parseFrame(p.Body)
	return f
}

func invite(to, sha1d string, session int) string {
	object := fmt.Sprintf(`<msnobj Creator="%s" Size="4" Type="3" Location="TFR2C.tmp" Friendly="AAA=" SHA1D="%s" SHA1C="x"/>`, to, sha1d) + "\x00"
	body := fmt.Sprintf("EUF-GUID: {A4268EEC-FEC5-49E5-95C3-F126696BDBF6}\r\nSessionID: %d\r\nAppID: 12\r\nContext: %s\r\n\r\n\x00",
		session, base64.StdEncoding.EncodeToString([]byte(object)))
	return request("INVITE", to, "application/x-msnmsgr-sessionreqbody", body)
}

func request(method, to, kind, body string) string {
	return method + " MSNMSGR:" + to + " MSNSLP/1.0\r\nTo: <msnmsgr:" + to + ">\r\nFrom: <msnmsgr:" + alice + ">\r\nVia: " + branch + "\r\nCSeq: 0 \r\nCall-ID: " + call +
		"\r\nMax-Forwards: 0\r\nContent-Type: " + kind + "\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body
}

const bye = "application/x-msnmsgr-sessionclosebody"

// wants checks what a contact says: who, and what is in the frames.
func wants(t *testing.T, out []Message, want ...string) {
	t.Helper()
	var have []string
	for _, m := range out {
		f := frameOf(m)
		what := fmt.Sprintf("%q", f.data)
		switch {
		case f.flags == flagAck:
			what = fmt.Sprint("ack ", f.ack)
		case f.session == 0:
			what, _, _ = strings.Cut(string(f.data), "\r\n")
		}
		have = append(have, strings.TrimSuffix(m.From, "@example.com")+": "+what)
	}
	if strings.Join(have, "\n") != strings.Join(want, "\n") {
		t.Fatalf("said:\n%s\nwant:\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// TestGolden holds every byte of the frames to MSNP.md D.5 and D.6, written out by
// hand.
func TestGolden(t *testing.T) {
	h := host(map[string]string{bob: "PNG!"})
	out := h.Take(signals(bob, 77, invite(bob, sum, 1000)))
	wants(t, out, "bob: ack 77", "bob: MSNSLP/1.0 200 OK")
	text := "MSNSLP/1.0 200 OK\r\nTo: <msnmsgr:alice@example.com>\r\nFrom: <msnmsgr:bob@example.com>\r\nVia: " + branch + "\r\nCSeq: 1 \r\nCall-ID: " + call +
		"\r\nMax-Forwards: 0\r\nContent-Type: application/x-msnmsgr-sessionreqbody\r\nContent-Length: 20\r\n\r\nSessionID: 1000\r\n\r\n\x00"
	if have := string(frameOf(out[1]).data); have != text {
		t.Errorf("the answer is %q", have)
	}
	out = append(out, h.Take(got(out[1]))...)
	out = append(out, h.Take(got(out[2]))...)
	head := "MIME-Version: 1.0\r\nContent-Type: application/x-msnmsgrp2p\r\nP2P-Dest: alice@example.com\r\n\r\n"
	n := uint32(len(invite(bob, sum, 1000)))
	size := hex.EncodeToString(binary.LittleEndian.AppendUint32(nil, n))
	for i, want := range map[int]string{
		// the id counts from 400>>2; the "ack id" of what is acknowledged is 4711
		0: "00000000" + "65000000" + "0000000000000000" + size + "00000000" + "00000000" + "02000000" + "4d000000" + "67120000" + size + "00000000" + "00000000",
		2: "e8030000" + "67000000" + "0000000000000000" + "0400000000000000" + "04000000" + "00000000" + "92010000" + "00000000" + "0000000000000000" + "00000000" + "0000000c",
		3: "e8030000" + "68000000" + "0000000000000000" + "0400000000000000" + "04000000" + "20000000" + "93010000" + "00000000" + "0000000000000000" + hex.EncodeToString([]byte("PNG!")) + "0000000c",
	} {
		body, ok := bytes.CutPrefix(out[i].Payload, []byte(head))
		if have := hex.EncodeToString(body); !ok || have != want {
			t.Errorf("%d: %q\n%s\nwant\n%s", i, out[i].Payload, have, want)
		}
	}
	wants(t, h.Take(got(out[3])))
	wants(t, h.Take(signals(bob, 78, request("BYE", bob, bye, "\r\n\x00"))), "bob: ack 78")
}

// TestLarge: what does not fit into one frame goes in several, also what the client
// asks.
func TestLarge(t *testing.T) {
	picture := strings.Repeat("0123456789", 300)
	h := host(map[string]string{bob: picture})
	text := invite(bob, sum, 5)
	cut, n := uint32(400), uint32(len(text))
	wants(t, h.Take(said(bob, [11]uint32{0, 7, 0, n, cut, 0, 1}, text[:cut], 0)))
	out := h.Take(said(bob, [11]uint32{0, 7, cut, n, n - cut, 0, 1}, text[cut:], 0))
	wants(t, out, "bob: ack 7", "bob: MSNSLP/1.0 200 OK")
	out = h.Take(got(out[1]))
	out = h.Take(got(out[0]))
	var have []byte
	for i, m := range out {
		f := frameOf(m)
		if f.offset != uint64(len(have)) || f.total != 3000 || f.id != frameOf(out[0]).id || f.ack != frameOf(out[0]).ack || len(m.Payload) > wire.MaxMessage || f.last() != (i == len(out)-1) {
			t.Errorf("frame %d: %+v", i, f)
		}
		have = append(have, f.data...)
	}
	if string(have) != picture {
		t.Errorf("the picture has %d bytes", len(have))
	}
	h = host(map[string]string{bob: picture})
	wants(t, h.Take(said(bob, [11]uint32{0, 7, cut, n, n - cut, 0, 1}, text[cut:], 0))) // the end without the beginning
}

// TestTurns: one contact at a time sends his picture.
func TestTurns(t *testing.T) {
	h := host(map[string]string{bob: "bob's", carol: "carol's"})
	ready := func(who string) []Message {
		out := h.Take(signals(who, 1, invite(who, sum, 1)))
		return h.Take(got(h.Take(got(out[len(out)-1]))[0]))
	}
	first := ready(bob)
	wants(t, first, `bob: "bob's"`)
	wants(t, ready(carol))
	wants(t, h.Take(got(first[0])), `carol: "carol's"`)

	// The first gives up; the next has his turn.
	h = host(map[string]string{bob: "bob's", carol: "carol's"})
	ready(bob)
	wants(t, ready(carol))
	wants(t, h.Take(signals(bob, 2, request("BYE", bob, bye, "\r\n\x00"))), "bob: ack 2", `carol: "carol's"`)

	// So it is when the client closes the session itself, or asks once more.
	for name, end := range map[string][]byte{
		"cancelled": said(bob, [11]uint32{1, 3, 0, 0, 0, 0x40}, "", 0),
		"an error":  said(bob, [11]uint32{1, 3, 0, 0, 0, 0x8}, "", 0),
		"again":     signals(bob, 3, invite(bob, sum, 2)),
	} {
		h = host(map[string]string{bob: "bob's", carol: "carol's"})
		ready(bob)
		ready(carol)
		if out := h.Take(end); h.turn == nil || h.turn.address != carol || !bytes.Contains(out[min(1, len(out)-1)].Payload, []byte("carol's")) {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

// TestRefused: what there is not is declined, what means nothing has no answer.
func TestRefused(t *testing.T) {
	h := host(map[string]string{bob: "PNG!"})
	for name, text := range map[string]string{
		"another picture": invite(bob, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", 3), "no session": invite(bob, sum, 0),
		"no object": request("INVITE", bob, "application/x-msnmsgr-sessionreqbody", "EUF-GUID: {A4268EEC-FEC5-49E5-95C3-F126696BDBF6}\r\nSessionID: 9\r\nContext: !!\r\n\r\n\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, h.Take(signals(bob, 1, text)), "bob: ack 1", "bob: MSNSLP/1.0 603 Decline")
		})
	}
	wants(t, h.Take(signals(carol, 1, invite(carol, sum, 3))), "carol: ack 1", "carol: MSNSLP/1.0 603 Decline")
	wants(t, h.Take(signals(bob, 1, "MSNSLP/1.0 200 OK\r\n\r\n\x00")), "bob: ack 1")
	for name, b := range map[string][]byte{
		"words":           []byte("MIME-Version: 1.0\r\nContent-Type: text/plain\r\nP2P-Dest: bob@example.com\r\n\r\nhello"),
		"half a frame":    signals(bob, 1, "")[:100],
		"more than all":   said(bob, [11]uint32{0, 1, 4, 5, 4, 0, 1}, "abcd", 0),
		"a long story":    said(bob, [11]uint32{0, 1, 0, 1 << 20, 4, 0, 1}, "abcd", 0),
		"nothing":         said(bob, [11]uint32{0, 1, 0, 0, 0, 0, 1}, "", 0),
		"data":            said(bob, [11]uint32{3, 1, 0, 4, 4, 0x20, 1}, "abcd", 1),
		"ack of nothing":  said(bob, [11]uint32{0, 1, 0, 4, 0, 2, 0, 0, 4}, "", 0),
		"ack of anything": said(carol, [11]uint32{0, 1, 0, 4, 0, 2, 102, 0, 4}, "", 0),
	} {
		if out := h.Take(b); len(out) > 0 {
			t.Errorf("%s: %q", name, out)
		}
	}
	// He has another picture by the time of his turn.
	pictures := map[string]string{bob: "PNG!"}
	h = host(pictures)
	out := h.Take(signals(bob, 1, invite(bob, sum, 3)))
	out = h.Take(got(out[1]))
	delete(pictures, bob)
	wants(t, h.Take(got(out[0])), "bob: BYE MSNMSGR:alice@example.com MSNSLP/1.0")
}

// TestTransport: the client may not come itself for the data.
func TestTransport(t *testing.T) {
	for asks, want := range map[string]string{
		"Bridges: TRUDPv1 TCPv1\r\nNetID: 0\r\nConn-Type: Firewall\r\n\r\n\x00":              "Bridge: TCPv1\r\nListening: false\r\nNonce: {00000000-0000-0000-0000-000000000000}\r\n\r\n\x00",
		"Bridges: TCPv1\r\nHashed-Nonce: {2B95F56D-9CA0-9A64-82CE-ADC1F3C55845}\r\n\r\n\x00": "Bridge: TCPv1\r\nListening: false\r\nHashed-Nonce: {00000000-0000-0000-0000-000000000000}\r\n\r\n\x00",
	} {
		h := host(nil)
		out := h.Take(signals(bob, 1, request("INVITE", bob, "application/x-msnmsgr-transreqbody", asks)))
		wants(t, out, "bob: ack 1", "bob: MSNSLP/1.0 200 OK")
		if text := string(frameOf(out[1]).data); !strings.HasSuffix(text, "\r\n\r\n"+want) || !strings.Contains(text, "Content-Type: application/x-msnmsgr-transrespbody\r\nContent-Length: "+fmt.Sprint(len(want))+"\r\n") {
			t.Errorf("%q", text)
		}
	}
}

func TestAddressee(t *testing.T) {
	for _, c := range [][2]string{
		{string(signals(bob, 1, "x")), bob},
		{strings.Replace(string(signals(bob, 1, "x")), bob, bob+";{5b0a3e0f}", 1), bob},
		{"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nP2P-Dest: bob@example.com\r\n\r\nx", ""},
		{"", ""},
	} {
		if have := Addressee([]byte(c[0])); have != c[1] {
			t.Errorf("%q is for %q", c[0], have)
		}
	}
}

// FuzzHost: whatever a client says, and in whatever order, what the contacts say is
// in order. Each input is a row of payloads; "=" stands for the acknowledgement of
// what was said last.
func FuzzHost(f *testing.F) {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, []byte("\x00|\x00")) }
	ack := []byte("=")
	f.Add(join(signals(bob, 1, invite(bob, sum, 5)), ack, ack, ack, signals(bob, 2, request("BYE", bob, bye, "\r\n\x00"))))
	f.Add(join(signals(bob, 1, invite(bob, sum, 5)), ack, ack, signals(carol, 1, invite(carol, sum, 5)), ack, ack, said(bob, [11]uint32{5, 3, 0, 0, 0, 0x40}, "", 0)))
	f.Add(join(signals(bob, 1, request("INVITE", bob, "application/x-msnmsgr-transreqbody", "Bridges: TCPv1\r\n\r\n\x00")), ack))
	f.Add(join(said(bob, [11]uint32{0, 7, 0, 9, 4, 0, 1}, "INVI", 0), said(bob, [11]uint32{0, 7, 4, 9, 5, 0, 1}, "TE \r\n", 0)))
	const asks = 1234567 // the session in which bob asks for alice's
	f.Add(join(said(bob, [11]uint32{asks, 2, 0, 4, 4, 0, 1}, "\x00\x00\x00\x00", 1), said(bob, [11]uint32{asks, 3, 0, 3, 2, 0x20, 1}, "xx", 1), said(bob, [11]uint32{asks, 3, 2, 3, 1, 0x20, 1}, "x", 1)))
	f.Add(join(said(bob, [11]uint32{asks, 3, 0, 9, 2, 0x20, 1}, "xx", 1), signals(bob, 4, answers(call, "603 Decline"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := host(map[string]string{bob: strings.Repeat("x", 2000), carol: "y"})
		last := h.Ask(bob, `<msnobj SHA1D="tg0SG0OKOAw0PV7DwgN1ZLgv/vM="/>`, 1, func(data []byte) { // of xxx
			if string(data) != "xxx" {
				t.Fatalf("%q is taken", data)
			}
		})[0]
		h.asking.id, h.asking.call = asks, call
		for part := range bytes.SplitSeq(b, []byte("\x00|\x00")) {
			if bytes.Equal(part, ack) && last.From != "" {
				part = got(last)
			}
			for _, m := range h.Take(part) {
				p, _ := wire.ParseMessage(m.Payload)
				if fr, ok := parseFrame(p.Body); !ok || len(m.Payload) > wire.MaxMessage || fr.id == 0 {
					t.Fatalf("%q is no frame", m.Payload)
				}
				last = m
			}
			for _, c := range h.contacts {
				if len(c.part) > maxSLP {
					t.Fatalf("%d bytes are kept", len(c.part))
				}
			}
			if h.asking != nil && len(h.asking.data) > maxObject {
				t.Fatalf("%d bytes of a picture are kept", len(h.asking.data))
			}
			if len(h.waiting) > len(h.contacts) || h.turn != nil && h.turn.session == nil {
				t.Fatalf("%d wait, %+v sends", len(h.waiting), h.turn)
			}
		}
	})
}
