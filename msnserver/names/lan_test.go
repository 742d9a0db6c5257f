package names

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// netbiosQuery asks for a name that is padded with spaces, but * with zeros.
func netbiosQuery(id uint16, name string, suffix byte, kind uint16) []byte {
	const broadcast = 0x0110 // and recursion desired, as Windows does
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, broadcast)
	b = append(b, 0, 1, 0, 0, 0, 0, 0, 0, 32)
	pad := " "
	if name == "*" {
		pad = "\x00"
	}
	for _, c := range []byte(name + strings.Repeat(pad, 15-len(name)) + string(rune(suffix))) {
		b = append(b, 'A'+c>>4, 'A'+c&0xf)
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, kind)
	return append(b, 0, 1)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The packets of RFC 1002 4.2.12, 4.2.13, 4.2.17 and 4.2.18, byte for byte.
func TestNetBIOS(t *testing.T) {
	s, _ := newServer(t, Rules{}, nil)
	// NUDGE, nine spaces more, and the suffix 00.
	const nudge = "20 454f464645454548 4546434143414341 4341434143414341 4341434143414141 00"
	asks := unhex("1234 0110 0001 0000 0000 0000" + nudge + "0020 0001")
	if !bytes.Equal(asks, netbiosQuery(0x1234, "NUDGE", 0, kindNetBIOS)) {
		t.Fatalf("the query is %x", netbiosQuery(0x1234, "NUDGE", 0, kindNetBIOS))
	}
	want := unhex("1234 8500 0000 0001 0000 0000" + nudge + "0020 0001 0000003c 0006 0000 c0a80114")
	if got := s.netbios(asks, box); !bytes.Equal(got, want) {
		t.Errorf("it answers\n%x, not\n%x", got, want)
	}
	star := netbiosQuery(0x1234, "*", 0, kindNodeStatus)
	node := unhex("1234 8500 0000 0001 0000 0000" + hex.EncodeToString(star[12:46]) + "0021 0001 0000003c 0077 04" +
		"4e554447452020202020202020202000 0400" + "4e554447452020202020202020202020 0400" +
		"5241535042455252595049 2d555053 00 0400" + "5241535042455252595049 2d555053 20 0400" + strings.Repeat("00", 46))
	if got := s.netbios(star, box); !bytes.Equal(got, node) {
		t.Errorf("the node status is\n%x, not\n%x", got, node)
	}
	for _, c := range []struct {
		name   string
		msg    []byte
		answer bool
	}{
		{"file server", netbiosQuery(1, "NUDGE", 0x20, kindNetBIOS), true},
		{"host", netbiosQuery(1, "RASPBERRYPI-UPS", 0, kindNetBIOS), true},
		{"its status", netbiosQuery(1, "NUDGE", 0, kindNodeStatus), true},
		{"master browser", netbiosQuery(1, "NUDGE", 0x1d, kindNetBIOS), false},
		{"another PC", netbiosQuery(1, "NUDGE2", 0, kindNetBIOS), false},
		{"another's status", netbiosQuery(1, "NUDGE2", 0, kindNodeStatus), false},
		{"other kind", netbiosQuery(1, "NUDGE", 0, kindA), false},
		{"registration", register(netbiosQuery(1, "NUDGE", 0, kindNetBIOS)), false},
		{"plain name", ask("nudge."), false},
		{"with a scope", question(1, "EOFFEEEHEFCACACACACACACACACACAAA.lan.", 0x20, 1), false},
		{"no letters", question(1, strings.Repeat("9", 32)+".", 0x20, 1), false},
	} {
		if got := s.netbios(c.msg, box); (got != nil) != c.answer {
			t.Errorf("%s: %x", c.name, got)
		}
	}
}

func register(b []byte) []byte { b[2] |= 5 << 3; return b }

func TestLLMNR(t *testing.T) {
	s, _ := newServer(t, Rules{}, nil)
	plain := func(m *dnsmessage.Message) { m.RecursionDesired = false }
	for _, c := range []struct {
		name string
		msg  []byte
		want string
	}{
		{"the box", question(7, "nudge.", dnsmessage.TypeA, 1, plain), "Success nudge. 30 192.168.1.20"},
		{"host", question(7, "RASPBERRYPI-upstairs.", dnsmessage.TypeA, 1, plain), "Success RASPBERRYPI-upstairs. 30 192.168.1.20"},
		{"everything", question(7, "nudge.", dnsmessage.TypeALL, 1, plain), "Success nudge. 30 192.168.1.20"},
		{"IPv6", question(7, "nudge.", dnsmessage.TypeAAAA, 1, plain), "Success"},
		{"another PC", question(7, "nudge2.", dnsmessage.TypeA, 1, plain), "nothing"},
		{"old host", question(7, "messenger.hotmail.com.", dnsmessage.TypeA, 1, plain), "nothing"},
		{"other class", question(7, "nudge.", dnsmessage.TypeA, 3, plain), "nothing"},
		{"conflict", question(7, "nudge.", dnsmessage.TypeA, 1, plain, func(m *dnsmessage.Message) { m.Authoritative = true }), "nothing"},
		{"truncated", question(7, "nudge.", dnsmessage.TypeA, 1, plain, func(m *dnsmessage.Message) { m.Truncated = true }), "nothing"},
		{"response", question(7, "nudge.", dnsmessage.TypeA, 1, plain, func(m *dnsmessage.Message) { m.Response = true }), "nothing"},
		{"cut", question(7, "nudge.", dnsmessage.TypeA, 1)[:20], "nothing"},
	} {
		if got := told(t, s.llmnr(c.msg, box)); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

// What is asked of everybody in a network arrives, and the answer comes from our
// address there. The network is this machine's own.
func TestAskedOfEverybody(t *testing.T) {
	r := run(t, "0.0.0.0", Rules{}, nil)
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		err = unix.BindToDevice(int(fd), "lo")
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		to        string
		port      uint16
		msg, want []byte
	}{
		{"224.0.0.252", r.llmnr.Port(), ask("nudge."), []byte{127, 0, 0, 1}},
		{"127.255.255.255", r.netbios.Port(), netbiosQuery(1, "NUDGE", 0, kindNetBIOS), []byte{127, 0, 0, 1}},
	} {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.WriteToUDPAddrPort(x.msg, netip.AddrPortFrom(netip.MustParseAddr(x.to), x.port)); err != nil {
			t.Fatalf("%s: %v", x.to, err)
		}
		buf := make([]byte, 512)
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil || !bytes.HasSuffix(buf[:n], x.want) || from.Addr() != r.dns.Addr() || from.Port() != x.port {
			t.Errorf("%s: %x from %v, %v", x.to, buf[:n], from, err)
		}
	}
}

// Bound to one address, what comes to another does not count.
func TestOneAddressOnly(t *testing.T) {
	for addr, want := range map[string]string{
		":137": "0.0.0.0:137 invalid IP", "0.0.0.0:137": "0.0.0.0:137 invalid IP", "192.168.1.20:137": "0.0.0.0:137 192.168.1.20",
		"127.0.0.1:1137": "127.0.0.1:1137 127.0.0.1",
	} {
		if anywhere, only, err := restrict(addr); err != nil || anywhere+" "+only.String() != want {
			t.Errorf("%s: %s %v, %v", addr, anywhere, only, err)
		}
	}
	if _, err := ListenBroadcast("[::1]:137"); err == nil {
		t.Error("it listens over IPv6")
	}
	s, err := ListenBroadcast("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.only = netip.MustParseAddr("127.0.0.2")
	_, port, _ := net.SplitHostPort(s.Addr().String())
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		c, err := net.Dial("udp4", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte(host))
		p, err := s.read(make([]byte, 100))
		if err != nil || string(p.data) != host || p.own.IsValid() != (host == "127.0.0.2") {
			t.Errorf("%s: %q at %v, %v", host, p.data, p.own, err)
		}
	}
}

// FuzzQuery: no message to any of the ports does harm, or gets an answer that is
// malformed or much longer than the question. What is parsed is what another
// parser reads.
func FuzzQuery(f *testing.F) {
	for _, b := range [][]byte{
		ask("nudge."), ask("Messenger.hotmail.com."), ask("login.live.com."), ask("www.example.org."), ask("a.wns.windows.com."),
		question(1, "nudge.", dnsmessage.TypeALL, dnsmessage.ClassANY, edns),
		append(ask("nudge.")[:headerSize], 0xc0, headerSize, 0, 1, 0, 1),
		append(ask("nudge.")[:headerSize], 3, 'a', 'b', 'c', 0xc0, headerSize, 0, 1, 0, 1),
		netbiosQuery(1, "NUDGE", 0, kindNetBIOS), netbiosQuery(1, "*", 0, kindNodeStatus), register(netbiosQuery(1, "NUDGE", 0, kindNetBIOS)),
		{}, {0, 1, 0x80, 0},
	} {
		f.Add(b)
	}
	rules := Rules{Guarded: []netip.Prefix{netip.PrefixFrom(pc, 32)}, Patched: true}
	s, _ := newServer(f, rules, nil)
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) > maxQuery {
			return
		}
		q, reply, up := s.dns(msg, pc, box)
		if up.IsValid() || (reply == nil) != (len(msg) < headerSize || msg[2]&0x80 != 0) {
			t.Errorf("%x gets %x", msg, reply)
		}
		for _, r := range [][]byte{reply, s.llmnr(msg, box)} {
			var m dnsmessage.Message
			if err := m.Unpack(r); r != nil && err != nil && !strings.Contains(q.name, "\xff") {
				t.Errorf("%x gets %x: %v", msg, r, err)
			}
			if len(r) > len(msg)+16 {
				t.Errorf("%d bytes get %d", len(msg), len(r))
			}
		}
		if r := s.netbios(msg, box); len(r) > len(msg)+130 {
			t.Errorf("NetBIOS: %d bytes get %d", len(msg), len(r))
		}
		var p dnsmessage.Parser
		if _, err := p.Start(msg); err != nil || q.question == nil {
			return
		}
		other, err := p.Question()
		if err == nil && (uint16(other.Type) != q.kind || uint16(other.Class) != q.class || !strings.Contains(q.name, "\xff") && !sameQuestion([]byte(other.Name.String()+"...."), []byte(q.name+"....."))) {
			t.Errorf("%x is %+v, not %s %d %d", msg, other, q.name, q.kind, q.class)
		}
	})
}
