package p2p

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
)

// pocket is where a file goes.
type pocket struct {
	Offer
	data    []byte
	full    bool
	givenUp int
}

func (p *pocket) Write(b []byte) (int, error) {
	if p.full {
		return 0, errors.New("full")
	}
	p.data = append(p.data, b...)
	return len(b), nil
}
func (p *pocket) Whole() bool { return int64(len(p.data)) == p.Size }
func (p *pocket) GiveUp()     { p.givenUp++ }

// taker is a host that takes every file.
func taker() (h *Host, got *[]*pocket) {
	h, got = host(map[string]string{bob: "PNG!"}), new([]*pocket)
	h.files = func(o Offer) File {
		*got = append(*got, &pocket{Offer: o})
		return (*got)[len(*got)-1]
	}
	return h, got
}

// fileContext is MSNP.md D.9.
func fileContext(name string, size uint64) []byte {
	b := make([]byte, 574)
	binary.LittleEndian.PutUint32(b, 574)
	binary.LittleEndian.PutUint32(b[4:], 2)
	binary.LittleEndian.PutUint64(b[8:], size)
	binary.LittleEndian.PutUint32(b[16:], 1)
	for i, u := range utf16.Encode([]rune(name)) {
		binary.LittleEndian.PutUint16(b[20+2*i:], u)
	}
	return b
}

func offers(to string, session int, call string, context []byte) string {
	body := fmt.Sprintf("EUF-GUID: {5D3E02AB-6190-11D3-BBBB-00C04F795683}\r\nSessionID: %d\r\nAppID: 2\r\nContext: %s\r\n\r\n\x00", session, base64.StdEncoding.EncodeToString(context))
	return strings.Replace(request("INVITE", to, "application/x-msnmsgr-sessionreqbody", body), "{9D79AE57-1BD5-444B-B14E-3FC9BB2B5D58}", call, 1)
}

const fileFlags = 0x01000030

// part is some of a file of that size.
func part(session, id, offset, size uint32, data string) []byte {
	return said(bob, [11]uint32{session, id, offset, size, uint32(len(data)), fileFlags, 4711}, data, 2)
}

// offer begins a file of five bytes.
func offer(t *testing.T, h *Host, session int) {
	t.Helper()
	wants(t, h.Take(signals(bob, 1, offers(bob, session, call, fileContext("C:\\Übung.txt", 5)))), "bob: ack 1")
}

// TestTakeFile: the client may send when the file is wanted, and its last part is
// acknowledged when it has arrived.
func TestTakeFile(t *testing.T) {
	h, got := taker()
	offer(t, h, 9)
	f := (*got)[0]
	if f.To != bob || f.Name != "C:\\Übung.txt" || f.Size != 5 {
		t.Fatalf("%+v", f.Offer)
	}
	wants(t, h.Take(part(9, 2, 0, 5, "abc"))) // too early
	out := h.Want(f)
	wants(t, out, "bob: MSNSLP/1.0 200 OK")
	if text := string(frameOf(out[0]).data); !strings.HasSuffix(text, "\r\n\r\nSessionID: 9\r\n\r\n\x00") || !strings.Contains(text, "Call-ID: "+call+"\r\n") {
		t.Errorf("%q", text)
	}
	wants(t, h.Want(f))
	wants(t, h.Take(said(bob, [11]uint32{0, 9000, 0, 0, 0, 2, 0}, "", 0)))
	wants(t, h.Take(signals(bob, 3, request("INVITE", bob, bodyTransport, "Bridges: TCPv1\r\n\r\n\x00"))), "bob: ack 3", "bob: MSNSLP/1.0 200 OK")
	wants(t, h.Take(said(bob, [11]uint32{9, 4, 0, 4, 4, 0, 1}, "\x00\x00\x00\x00", 2)), "bob: ack 4")
	wants(t, h.Take(part(9, 5, 0, 5, "abc")))
	wants(t, h.Take(part(9, 5, 0, 5, "abc"))) // again
	wants(t, h.Take(part(9, 6, 3, 5, "xy")))  // of another one
	wants(t, h.Take(part(9, 5, 3, 5, "de")))
	wants(t, h.Take(part(9, 5, 3, 5, "de")))
	if string(f.data) != "abcde" {
		t.Errorf("it is %q", f.data)
	}
	out = h.Settle(f, true)
	wants(t, out, "bob: ack 5", "bob: BYE MSNMSGR:alice@example.com MSNSLP/1.0")
	if a := frameOf(out[0]); a.session != 9 || a.ackUnique != 4711 || a.ackSize != 5 || a.total != 5 {
		t.Errorf("%+v", a)
	}
	wants(t, h.Settle(f, true))
	h.Close()
	if f.givenUp > 0 || len(h.coming) > 0 {
		t.Error("what has arrived is given up")
	}
}

// TestFileInVain: who declines, and how either side ends it.
func TestFileInVain(t *testing.T) {
	const declined, ended = "bob: MSNSLP/1.0 603 Decline", "bob: BYE MSNMSGR:alice@example.com MSNSLP/1.0"
	h, got := taker()
	offer(t, h, 9)
	wants(t, h.Settle((*got)[0], false), declined)
	offer(t, h, 9)
	h.Want((*got)[1])
	h.Take(part(9, 2, 0, 5, "abc"))
	(*got)[1].full = true
	wants(t, h.Take(part(9, 2, 3, 5, "de")))
	wants(t, h.Settle((*got)[1], false), ended)

	for name, payload := range map[string][]byte{
		"left":      signals(bob, 7, request("BYE", bob, bye, "\r\n\x00")),
		"cancelled": said(bob, [11]uint32{9, 3, 0, 0, 0, 0x40}, "", 0),
	} {
		h, got := taker()
		offer(t, h, 9)
		h.Want((*got)[0])
		h.Take(part(9, 2, 0, 5, "abc"))
		h.Take(payload)
		h.Close()
		if f := (*got)[0]; f.givenUp != 1 || string(f.data) != "abc" {
			t.Errorf("%s: %+v", name, f)
		}
		wants(t, h.Settle((*got)[0], false))
	}

	h, got = taker()
	for i, call := range []string{"{1}", "{2}", "{3}", "{4}"} {
		wants(t, h.Take(signals(bob, 1, offers(bob, i+1, call, fileContext("a", 5)))), "bob: ack 1")
	}
	wants(t, h.Take(signals(bob, 1, offers(bob, 5, "{5}", fileContext("a", 5)))), "bob: ack 1", declined)
	(*got)[3].data = []byte("12345")
	h.Close()
	if (*got)[0].givenUp != 1 || (*got)[3].givenUp != 0 {
		t.Error("who is gone gives up what came, or not what will not come")
	}
	h, got = taker()
	offer(t, h, 9)
	for name, text := range map[string]string{
		"the same again": offers(bob, 9, "{2}", fileContext("a", 5)), "no session": offers(bob, 0, "{2}", fileContext("a", 5)),
		"short": offers(bob, 3, "{2}", fileContext("a", 5)[:539]), "endless": offers(bob, 3, "{2}", fileContext("a", 1<<63)),
	} {
		if out := h.Take(signals(bob, 1, text)); len(out) != 2 || !strings.HasPrefix(string(frameOf(out[1]).data), "MSNSLP/1.0 603 ") {
			t.Errorf("%s: %q", name, out)
		}
	}
	if len(*got) != 1 {
		t.Errorf("%d files are taken", len(*got))
	}
	h.files = func(Offer) File { return nil }
	wants(t, h.Take(signals(bob, 1, offers(bob, 3, "{2}", fileContext("a", 5)))), "bob: ack 1", declined)
}

func TestOffersFile(t *testing.T) {
	file := offers(bob, 9, call, fileContext("a", 5))
	for name, c := range map[string]struct {
		payload []byte
		want    bool
	}{
		"a file":         {signals(bob, 1, file), true},
		"its beginning":  {said(bob, [11]uint32{0, 7, 0, uint32(len(file)), 600, 0, 1}, file[:600], 0), true},
		"its end":        {said(bob, [11]uint32{0, 7, 600, uint32(len(file)), uint32(len(file) - 600), 0, 1}, file[600:], 0), false},
		"a picture":      {signals(bob, 1, invite(bob, sum, 3)), false},
		"for nobody":     {signals("", 1, file), false},
		"no p2p message": {[]byte("Content-Type: text/plain\r\n\r\n" + file), false},
	} {
		if OffersFile(c.payload) != c.want {
			t.Errorf("%s: want %v", name, c.want)
		}
	}
}

// FuzzTake: whatever a client says of its files, no more is taken than was promised,
// in order. "=" stands for what the box says of the newest file: that it is wanted, and
// then that it has arrived.
func FuzzTake(f *testing.F) {
	f.Add(strings.Join([]string{string(signals(bob, 1, offers(bob, 9, call, fileContext("a", 5)))), "=", string(part(9, 2, 0, 5, "abc")), string(part(9, 2, 3, 5, "de")), "="}, "\x00|\x00"))
	f.Add(strings.Join([]string{string(signals(bob, 1, offers(bob, 9, call, fileContext("a", 5)))), "=", string(said(bob, [11]uint32{9, 3, 0, 0, 0, 0x40}, "", 0))}, "\x00|\x00"))
	f.Add(strings.Join([]string{string(signals(bob, 1, offers(bob, 9, call, fileContext("a", 5)))), string(signals(bob, 2, offers(bob, 8, "{1}", fileContext("b", 1<<40)))), "=", "="}, "\x00|\x00"))
	f.Fuzz(func(t *testing.T, text string) {
		h, got := taker()
		for payload := range strings.SplitSeq(text, "\x00|\x00") {
			if n := len(*got); payload == "=" && n > 0 {
				p := (*got)[n-1]
				if h.Want(p) == nil {
					h.Settle(p, p.Whole())
				}
				continue
			}
			h.Take([]byte(payload))
			if len(h.coming) > maxComing {
				t.Fatalf("%d at once", len(h.coming))
			}
		}
		for _, p := range *got {
			if int64(len(p.data)) > p.Size || p.givenUp > 1 {
				t.Errorf("%d bytes of %d, given up %d times", len(p.data), p.Size, p.givenUp)
			}
		}
	})
}
