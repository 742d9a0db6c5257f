package names

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// upstream is a name server that says what it is told to.
type upstream struct {
	addr netip.AddrPort
	mu   sync.Mutex
	udp  func(ask []byte) (replies [][]byte)
	tcp  func(ask []byte) []byte
}

func (u *upstream) says(udp func([]byte) [][]byte, tcp func([]byte) []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.udp, u.tcp = udp, tcp
}

func (u *upstream) how() (udp func([]byte) [][]byte, tcp func([]byte) []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.udp, u.tcp
}

func startUpstream(t *testing.T, u *upstream) netip.AddrPort {
	t.Helper()
	var pc net.PacketConn
	l := pair(t, func() (net.Addr, io.Closer, error) {
		var err error
		if pc, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		return pc.LocalAddr(), pc, nil
	})
	u.addr = netip.MustParseAddrPort(pc.LocalAddr().String())
	var wg sync.WaitGroup
	t.Cleanup(func() { pc.Close(); l.Close(); wg.Wait() })
	wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			udp, _ := u.how()
			for _, r := range udp(bytes.Clone(buf[:n])) {
				pc.WriteTo(r, from)
			}
		}
	})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(patience))
			if ask, err := readWhole(c); err == nil {
				_, tcp := u.how()
				r := tcp(ask)
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
			}
			c.Close()
		}
	})
	return u.addr
}

// answer is a response with records of text.
func answer(t *testing.T, ask []byte, records int, change ...func(*dnsmessage.Message)) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(ask); err != nil {
		t.Error(err)
		return nil
	}
	m.Response, m.RecursionAvailable = true, true
	for range records {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 5},
			Body:   &dnsmessage.TXTResource{TXT: []string{strings.Repeat("x", 200)}},
		})
	}
	for _, c := range change {
		c(&m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return b
}

// records counts what a reply holds.
func records(t *testing.T, reply []byte) int {
	var m dnsmessage.Message
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	return len(m.Answers)
}

func TestForward(t *testing.T) {
	const first = "WWW.Example.org."
	msg := question(7, first, dnsmessage.TypeTXT, dnsmessage.ClassINET, edns)
	seen := make(chan []byte, 1)
	u := &upstream{}
	rules := &changing{now: Rules{Upstream: startUpstream(t, u)}}
	r := run(t, "127.0.0.1", Rules{}, func(c *Config) { c.Rules = rules.get })
	c := dial(t, "udp", r.dns)
	over := func(network string) []byte {
		if network == "udp" {
			return udp(t, c, msg)
		}
		c := dial(t, "tcp", r.dns)
		c.SetDeadline(time.Now().Add(patience))
		c.Write(append([]byte{0, byte(len(msg))}, msg...))
		reply, err := readWhole(c)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}

	// Answers to something else are passed over; the right one comes back under
	// the client's id, spelled as the client did.
	u.says(func(ask []byte) [][]byte {
		seen <- ask
		other := func(m *dnsmessage.Message) { m.ID++ }
		name := func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("www.example.com.") }
		query := func(m *dnsmessage.Message) { m.Response = false }
		lower := func(m *dnsmessage.Message) {
			m.Questions[0].Name = dnsmessage.MustNewName(strings.ToLower(first))
		}
		return [][]byte{{1}, answer(t, ask, 3, other), answer(t, ask, 3, name), answer(t, ask, 3, query), answer(t, ask, 2, lower)}
	}, nil)
	reply := over("udp")
	if records(t, reply) != 2 || !bytes.Equal(reply[:2], msg[:2]) || !bytes.Contains(reply, []byte("\x07Example\x03org")) {
		t.Errorf("it answers %x", reply)
	}
	if got := <-seen; !bytes.Equal(got[2:], msg[2:]) {
		t.Errorf("the upstream was asked %x, not %x", got, msg)
	}
	if err := r.Upstream(); err != nil {
		t.Error(err)
	}

	// What has no room over UDP comes over TCP.
	whole := func(ask []byte) []byte { return answer(t, ask, 60) } // 12 kB
	u.says(func(ask []byte) [][]byte {
		return [][]byte{answer(t, ask, 0, func(m *dnsmessage.Message) { m.Truncated = true })}
	}, whole)
	if got := told(t, over("udp")); got != "Success RA TC" {
		t.Errorf("truncated: %s", got)
	}
	if n := records(t, over("tcp")); n != 60 {
		t.Errorf("over TCP: %d records", n)
	}
	u.says(func(ask []byte) [][]byte { return [][]byte{whole(ask)} }, nil)
	if got := told(t, over("udp")); got != "Success RA TC" {
		t.Errorf("too long: %s", got)
	}

	// An upstream that is not there fails at once, as does one that is ourselves.
	gone := netip.AddrPortFrom(u.addr.Addr(), 1)
	for _, up := range []netip.AddrPort{gone, r.dns} {
		rules.set(Rules{Upstream: up})
		for _, network := range []string{"udp", "tcp"} {
			if got := told(t, over(network)); got != "ServerFailure RA" || r.Upstream() == nil {
				t.Errorf("%v over %s: %s, %v", up, network, got, r.Upstream())
			}
		}
	}
	if got := told(t, udp(t, c, ask("nudge."))); got != "Success AA nudge. 60 127.0.0.1" {
		t.Errorf("our own name: %s", got)
	}
}

// An upstream that is silent keeps only so many questions waiting; our own names
// are answered all the while, and Close does not wait for it.
func TestSilentUpstream(t *testing.T) {
	u := &upstream{udp: func([]byte) [][]byte { return nil }}
	r := run(t, "127.0.0.1", Rules{Upstream: startUpstream(t, u)}, nil)
	c := dial(t, "udp", r.dns)
	for range mostBusyOne {
		c.Write(ask("www.example.org."))
	}
	if got := told(t, udp(t, c, ask("www.example.org."))); got != "ServerFailure RA" {
		t.Errorf("one too many: %s", got)
	}
	if got := told(t, udp(t, c, ask("nudge."))); got != "Success AA nudge. 60 127.0.0.1" {
		t.Errorf("our own name: %s", got)
	}
	r.Close()
	if r.sources.busy != 0 {
		t.Errorf("%d questions still wait", r.sources.busy)
	}
}

// FuzzUpstream: whatever an upstream sends, what is taken for its answer is one, and
// the client gets its own id and question.
func FuzzUpstream(f *testing.F) {
	msg := question(7, "Www.example.org.", dnsmessage.TypeTXT, dnsmessage.ClassINET)
	good := question(9, "www.example.org.", dnsmessage.TypeTXT, dnsmessage.ClassINET, func(m *dnsmessage.Message) { m.Response = true })
	f.Add(good, false)
	f.Add(append(good, bytes.Repeat([]byte{0}, 5000)...), false)
	f.Add(append(good, bytes.Repeat([]byte{0}, 5000)...), true)
	f.Add(msg, true)
	f.Add([]byte{0, 9}, true)
	q, err := parse(msg)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, reply []byte, whole bool) {
		if !answers(reply, []byte{0, 9}, q) {
			return
		}
		out := q.restore(bytes.Clone(reply), whole)
		if !bytes.Equal(out[:2], msg[:2]) || !bytes.Equal(out[headerSize:][:len(q.question)], q.question) || flagsOf(out)&isResponse == 0 {
			t.Errorf("%x became %x", reply, out)
		}
		if len(out) > len(reply) || !whole && len(out) > maxPlain {
			t.Errorf("%d bytes became %d", len(reply), len(out))
		}
	})
}
