package names

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const patience = 20 * time.Second

var (
	box = netip.MustParseAddr("192.168.1.20")
	pc  = netip.MustParseAddr("192.168.1.30")
)

// asked is what Config.Asked was told.
type asked struct {
	mu  sync.Mutex
	all []string
}

func (a *asked) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}

// changing are rules that a test may change under way.
type changing struct {
	mu  sync.Mutex
	now Rules
}

func (c *changing) get() Rules {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *changing) set(r Rules) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = r
}

func newServer(t testing.TB, r Rules, change func(*Config)) (*Server, *asked) {
	a := &asked{}
	c := Config{
		Hosts: []string{"NUDGE", "raspberrypi-upstairs"},
		Rules: func() Rules { return r },
		Asked: func(peer netip.Addr, login bool) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.all = append(a.all, fmt.Sprint(peer, " ", login))
		},
		Allow: func(netip.Addr) bool { return true },
		Log:   slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&c)
	}
	s := New(c)
	t.Cleanup(s.Close)
	return s, a
}

// running is a server on free ports of this machine.
type running struct {
	*Server
	dns, netbios, llmnr netip.AddrPort
}

// run serves at host, 0.0.0.0 or an address of loopback.
func run(t *testing.T, host string, r Rules, change func(*Config)) running {
	t.Helper()
	s, _ := newServer(t, r, change)
	sock := make([]*Socket, 3)
	tcp := pair(t, func() (net.Addr, io.Closer, error) {
		var err error
		if sock[0], err = Listen(host + ":0"); err != nil {
			return nil, nil, err
		}
		return sock[0].Addr(), sock[0], nil
	})
	for i, listen := range []func(string) (*Socket, error){ListenBroadcast, ListenLLMNR} {
		var err error
		if sock[i+1], err = listen(host + ":0"); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for _, serve := range []func() error{
		func() error { return s.ServeDNS(sock[0]) }, func() error { return s.ServeTCP(tcp) },
		func() error { return s.ServeNetBIOS(sock[1]) }, func() error { return s.ServeLLMNR(sock[2]) },
	} {
		wg.Go(func() {
			if err := serve(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { s.Close(); wg.Wait() })
	at := func(i int) netip.AddrPort {
		port := netip.MustParseAddrPort(sock[i].Addr().String()).Port()
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	}
	return running{s, at(0), at(1), at(2)}
}

// pair opens a UDP port and the same over TCP, where another program may be.
func pair(t *testing.T, udp func() (net.Addr, io.Closer, error)) net.Listener {
	t.Helper()
	for {
		at, c, err := udp()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp4", at.String())
		if err == nil {
			return l
		}
		c.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// question makes a query.
func question(id uint16, name string, kind dnsmessage.Type, class dnsmessage.Class, change ...func(*dnsmessage.Message)) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: class}},
	}
	for _, c := range change {
		c(&m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func ask(name string) []byte {
	return question(7, name, dnsmessage.TypeA, dnsmessage.ClassINET)
}

// told is a reply in short: its code, its flags, and its records.
func told(t testing.TB, reply []byte) string {
	t.Helper()
	if reply == nil {
		return "nothing"
	}
	var m dnsmessage.Message
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("%x: %v", reply, err)
	}
	out := strings.TrimPrefix(m.RCode.String(), "RCode")
	if !m.Response {
		out += " no response"
	}
	if m.Authoritative {
		out += " AA"
	}
	if m.RecursionAvailable {
		out += " RA"
	}
	if m.Truncated {
		out += " TC"
	}
	for _, a := range m.Answers {
		text := a.Body.GoString()
		if r, ok := a.Body.(*dnsmessage.AResource); ok {
			text = netip.AddrFrom4(r.A).String()
		}
		out += fmt.Sprintf(" %s %d %s", a.Header.Name, a.Header.TTL, text)
	}
	return out
}

func TestDNS(t *testing.T) {
	s, asks := newServer(t, Rules{}, nil)
	const server, login, aaaa = "192.168.1.30 false", "192.168.1.30 true", dnsmessage.TypeAAAA
	for _, c := range []struct {
		name  string
		msg   []byte
		want  string
		asked string
	}{
		{"server", ask("messenger.hotmail.com."), "Success AA messenger.hotmail.com. 60 192.168.1.20", server},
		{"as it was spelled", ask("MESSENGER.Hotmail.com."), "Success AA MESSENGER.Hotmail.com. 60 192.168.1.20", server},
		{"log-in", ask("nexus.passport.com."), "Success AA nexus.passport.com. 60 192.168.1.20", login},
		{"gateway", ask("gateway.messenger.hotmail.com."), "Success AA gateway.messenger.hotmail.com. 60 192.168.1.20", ""},
		{"the box", ask("nudge."), "Success AA nudge. 60 192.168.1.20", ""},
		{"the box in a domain", ask("NUDGE.home.arpa."), "Success AA NUDGE.home.arpa. 60 192.168.1.20", ""},
		{"its host", ask("RaspberryPi-Upstairs."), "Success AA RaspberryPi-Upstairs. 60 192.168.1.20", ""},
		{"somebody's nudge", ask("nudge.example.org."), "Refused", ""},
		{"IPv6", question(7, "messenger.hotmail.com.", aaaa, dnsmessage.ClassINET), "Success AA", ""},
		{"mail", question(7, "messenger.hotmail.com.", dnsmessage.TypeMX, dnsmessage.ClassINET), "Success AA", ""},
		{"everything", question(7, "messenger.hotmail.com.", dnsmessage.TypeALL, dnsmessage.ClassINET), "Success AA messenger.hotmail.com. 60 192.168.1.20", server},
		{"other class", question(7, "messenger.hotmail.com.", dnsmessage.TypeA, dnsmessage.ClassCHAOS), "Refused", ""},
		{"any class", question(7, "messenger.hotmail.com.", dnsmessage.TypeA, dnsmessage.ClassANY), "Refused", ""},
		{"other name", ask("www.example.org."), "Refused", ""},
		{"the root", ask("."), "Refused", ""},
		{"guarded", ask("login.live.com."), "Refused", ""},
		{"for the patched", ask("msnmsgr.escargot.chat."), "Refused", ""},
		{"with EDNS", question(7, "messenger.hotmail.com.", dnsmessage.TypeA, dnsmessage.ClassINET, edns), "Success AA messenger.hotmail.com. 60 192.168.1.20", server},
		{"update", question(7, "messenger.hotmail.com.", dnsmessage.TypeA, dnsmessage.ClassINET, func(m *dnsmessage.Message) { m.OpCode = 5 }), "NotImplemented", ""},
		{"response", question(7, "messenger.hotmail.com.", dnsmessage.TypeA, dnsmessage.ClassINET, func(m *dnsmessage.Message) { m.Response = true }), "nothing", ""},
		{"two questions", question(7, "nudge.", dnsmessage.TypeA, dnsmessage.ClassINET, func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }), "FormatError", ""},
		{"with an answer", question(7, "nudge.", dnsmessage.TypeA, dnsmessage.ClassINET, func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: 1}, Body: &dnsmessage.AResource{}}}
		}), "FormatError", ""},
		{"no question", ask("nudge.")[:headerSize], "FormatError", ""},
		{"cut in the header", ask("nudge.")[:headerSize-1], "nothing", ""},
		{"cut in the name", ask("nudge.")[:headerSize+4], "FormatError", ""},
		{"cut after the name", ask("nudge.")[:headerSize+8], "FormatError", ""},
		{"name that points to itself", append(ask("nudge.")[:headerSize], 0xc0, headerSize, 0, 1, 0, 1), "FormatError", ""},
		{"reserved kind of label", append(ask("nudge.")[:headerSize], 0x41, 0, 0, 1, 0, 1), "FormatError", ""},
		{"name too long", append(append(ask("nudge.")[:headerSize], strings.Repeat("\x03abc", 64)...), 0, 0, 1, 0, 1), "FormatError", ""},
	} {
		_, reply, up := s.dns(c.msg, pc, box)
		if got := told(t, reply); got != c.want || up.IsValid() {
			t.Errorf("%s: %q %v, not %q", c.name, got, up, c.want)
		}
		if reply != nil && (binary.BigEndian.Uint16(reply) != 7 || len(reply) > len(c.msg)+16) {
			t.Errorf("%s: it answers %d bytes with %x", c.name, len(c.msg), reply)
		}
		if got := strings.Join(asks.take(), "+"); got != c.asked {
			t.Errorf("%s: asked %q, not %q", c.name, got, c.asked)
		}
	}
}

// A dot within a word is no border between two.
func TestDotWithinAWord(t *testing.T) {
	s, _ := newServer(t, Rules{}, nil)
	_, reply, _ := s.dns(append(append(ask("nudge.")[:headerSize], "\x15messenger.hotmail.com"...), 0, 0, 1, 0, 1), pc, box)
	if len(reply) < headerSize || flagsOf(reply)&0xf != codeRefused {
		t.Errorf("it answers %x", reply)
	}
}

func edns(m *dnsmessage.Message) {
	h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(".")}
	if err := h.SetEDNS0(1232, 0, false); err != nil {
		panic(err)
	}
	m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
}

// With an upstream the other names are its affair, but nothing that exists to get
// much for little.
func TestWhatIsForwarded(t *testing.T) {
	up := netip.MustParseAddrPort("192.168.1.1:53")
	s, _ := newServer(t, Rules{Upstream: up}, nil)
	for _, c := range []struct {
		name  string
		kind  dnsmessage.Type
		class dnsmessage.Class
		want  bool
	}{
		{"www.example.org.", dnsmessage.TypeA, dnsmessage.ClassINET, true},
		{"www.example.org.", dnsmessage.TypeTXT, dnsmessage.ClassINET, true},
		{"login.live.com.", dnsmessage.TypeA, dnsmessage.ClassINET, true},
		{"www.example.org.", dnsmessage.TypeALL, dnsmessage.ClassINET, false},
		{"www.example.org.", dnsmessage.TypeAXFR, dnsmessage.ClassINET, false},
		{"version.bind.", dnsmessage.TypeTXT, dnsmessage.ClassCHAOS, false},
		{"messenger.hotmail.com.", dnsmessage.TypeAAAA, dnsmessage.ClassINET, false},
		{"nudge.", dnsmessage.TypeTXT, dnsmessage.ClassINET, false},
	} {
		_, reply, to := s.dns(question(7, c.name, c.kind, c.class), pc, box)
		if to.IsValid() != c.want || c.want && to != up || c.want == (reply != nil) {
			t.Errorf("%s %v %v: to %v, %s", c.name, c.kind, c.class, to, told(t, reply))
		}
	}
}

// login.live.com leads here for listed PCs alone, and for none that has shown that
// Windows itself signs in there.
func TestGuardedNames(t *testing.T) {
	rules := &changing{now: Rules{Guarded: []netip.Prefix{netip.MustParsePrefix("192.168.1.30/32"), netip.MustParsePrefix("192.168.2.0/24")}}}
	s, asks := newServer(t, Rules{}, func(c *Config) { c.Rules = rules.get })
	where := func(name, peer string) string {
		_, reply, _ := s.dns(ask(name), netip.MustParseAddr(peer), box)
		return told(t, reply)
	}
	const here = "Success AA login.live.com. 10 192.168.1.20"
	for peer, want := range map[string]string{
		"192.168.1.30": here, "192.168.2.7": here, "192.168.1.31": "Refused", "127.0.0.1": "Refused",
	} {
		if got := where("login.live.com.", peer); got != want {
			t.Errorf("for %s: %s", peer, got)
		}
	}
	if got := asks.take(); len(got) != 2 || !strings.HasSuffix(got[0], " true") {
		t.Errorf("asked %q", got)
	}
	if got := where("client.wns.windows.com.", "192.168.1.30"); got != "Refused" {
		t.Errorf("the push service: %s", got)
	}
	if got := where("LOGIN.live.com.", "192.168.1.30"); got != "Refused" {
		t.Errorf("for Windows 8: %s", got)
	}
	where("www.msftncsi.com.", "192.168.2.7") // Vista and 7 do so too
	if got := where("login.live.com.", "192.168.2.7"); got != here {
		t.Errorf("for Windows 7: %s", got)
	}
	if got := where("messenger.hotmail.com.", "192.168.1.30"); got != "Success AA messenger.hotmail.com. 60 192.168.1.20" {
		t.Errorf("the server, for Windows 8: %s", got)
	}
	for i := range 2 * mostModern {
		where("www.msftconnecttest.com.", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String())
	}
	if n := len(s.modern.seen); n != mostModern {
		t.Errorf("%d PCs are remembered", n)
	}
	rules.set(Rules{Patched: true})
	if got := where("pp.login.ugnet.gay.", "192.168.1.9"); got != "Success AA pp.login.ugnet.gay. 60 192.168.1.20" {
		t.Errorf("for a patched PC: %s", got)
	}
}

// Every host of SERVERS.md 3d, and for whom it leads here.
func TestHosts(t *testing.T) {
	for guard, names := range map[guard]string{
		everybody: `messenger.hotmail.com gateway.messenger.hotmail.com gateway.edge.messenger.live.com nexus.passport.com login.passport.com
			login.passport.net loginnet.passport.com memberservices.passport.net config.messenger.msn.com byrdr.omega.contacts.msn.com contacts.msn.com
			omega.contacts.msn.com local-bay.contacts.msn.com proxy-bay.contacts.msn.com proxy-sn.contacts.msn.com tkrdr.storage.msn.com
			storage.msn.com rsi.hotmail.com ows.messenger.msn.com sup.live.com messenger.msn.com g.msn.com rad.msn.com status.messenger.msn.com
			spaces.live.com settings.messenger.live.com messenger.live.com appdirectory.messenger.msn.com echo.edge.messenger.live.com
			relay.voice.messenger.msn.com vp.sip.messenger.msn.com bay.messenger.services.live.com geo.messenger.services.live.com
			x.mobile.msn.com x.mobile.live.com dp.msnmessenger.akadns.com`,
		listed: `login.live.com account.live.com www.msn.com c.msn.com ads.msn.com ads1.msn.com alice.profile.live.com home.live.com
			support.live.com directory.services.live.com livefilestore.com x.users.storage.live.com`,
		patched: `ms.msgrsvcs.ctsrv.gay httpgws.ms.msgrsvcs.ctsrv.gay pp.login.ugnet.gay ctas.login.ugnet.gay conf.msgrsvcs.ctsrv.gay
			ctsvcs.addressbook.ugnet.gay cts.storage.ugnet.gay m1.escargot.log1p.xyz escargot.log1p.xyz msnmsgr.escargot.chat conf.escargot.chat ds.escargot.nina.chat`,
	} {
		for _, name := range strings.Fields(names) {
			if h, ok := lookup(name); !ok || h.guard != guard {
				t.Errorf("%s: %v, %v", name, h, ok)
			}
		}
	}
	for _, name := range strings.Fields(`sqm.microsoft.com crl.microsoft.com hotmail.com www.hotmail.com passport.com live.com msn.com com
		xmessenger.hotmail.com messenger.hotmail.com.example.org msnmessenger.akadns.com escargot.chat www.escargot.chat ugnet.gay`) {
		if h, ok := lookup(name); ok {
			t.Errorf("%s leads here: %v", name, h)
		}
	}
	for pattern := range hosts {
		if _, ok := lookup(strings.Replace(pattern, "*", "a.b", 1)); !ok || pattern != strings.ToLower(pattern) {
			t.Errorf("%s is never found", pattern)
		}
	}
}

// resolver is Go's, asking at one place over one network.
func resolver(network string, at netip.AddrPort) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, at.String())
	}}
}

// Each answer is the address that the question came to, and comes from there.
func TestAddressThatWasAsked(t *testing.T) {
	r := run(t, "0.0.0.0", Rules{}, nil)
	for _, network := range []string{"udp", "tcp"} {
		for _, host := range []string{"127.0.0.1", "127.0.0.5"} {
			at := netip.AddrPortFrom(netip.MustParseAddr(host), r.dns.Port())
			got, err := resolver(network, at).LookupNetIP(t.Context(), "ip", "messenger.hotmail.com.")
			if err != nil || len(got) != 1 || got[0].Unmap() != at.Addr() {
				t.Errorf("%s to %s: %v, %v", network, host, got, err)
			}
			_, err = resolver(network, at).LookupNetIP(t.Context(), "ip4", "www.example.org.")
			if err == nil {
				t.Errorf("%s: another name is found", network)
			}
		}
	}
}

// udp sends b and returns the next packet that comes back.
func udp(t *testing.T, c net.Conn, b []byte) []byte {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	return next(t, c)
}

func next(t *testing.T, c net.Conn) []byte {
	t.Helper()
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func dial(t *testing.T, network string, to netip.AddrPort) net.Conn {
	t.Helper()
	c, err := net.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Who is not of the home network gets no answer, on no port.
func TestStrangersGetNothing(t *testing.T) {
	var allow atomic.Bool
	decided := make(chan bool, 10)
	r := run(t, "127.0.0.1", Rules{}, func(c *Config) {
		c.Allow = func(netip.Addr) bool {
			ok := allow.Load()
			decided <- ok
			return ok
		}
	})
	first, second := ask("nudge."), ask("nudge.")
	first[0], second[0] = 1, 2
	for name, at := range map[string]netip.AddrPort{"DNS": r.dns, "NetBIOS": r.netbios, "LLMNR": r.llmnr} {
		first, second := first, second
		if name == "NetBIOS" {
			first, second = netbiosQuery(1<<8, "NUDGE", 0, kindNetBIOS), netbiosQuery(2<<8, "NUDGE", 0, kindNetBIOS)
		}
		c := dial(t, "udp", at)
		allow.Store(false)
		if _, err := c.Write(first); err != nil || <-decided {
			t.Fatal(err)
		}
		allow.Store(true)
		if got := udp(t, c, second); got[0] != 2 || !<-decided {
			t.Errorf("%s: a stranger gets %x", name, got)
		}
	}
	allow.Store(false)
	c := dial(t, "tcp", r.dns)
	c.SetDeadline(time.Now().Add(patience))
	c.Write(append([]byte{0, byte(len(first))}, first...))
	if n, err := io.Copy(io.Discard, c); n != 0 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("over TCP: %d bytes, %v", n, err)
	}
}

// Ten thousand questions at once get a burst of answers; then the next second's.
func TestLimits(t *testing.T) {
	var s sources
	now := time.Unix(1e9, 0)
	count := func(n int) (yes int) {
		for range n {
			if s.may(pc, now) {
				yes++
			}
		}
		return yes
	}
	if n := count(10_000); n != burst {
		t.Errorf("%d at once", n)
	}
	if !s.may(box, now) {
		t.Error("another PC is held up")
	}
	now = now.Add(time.Second)
	if n := count(10_000); n != perSecond {
		t.Errorf("%d a second later", n)
	}
	for range mostBusyOne {
		if !s.begin(pc, now) {
			t.Fatal("not busy yet")
		}
	}
	if s.begin(pc, now) {
		t.Error("one PC may be busier than it may")
	}
	for i := range 2 * mostSources {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		s.may(a, now)
		for s.begin(a, now) {
		}
	}
	if len(s.all) > mostSources || s.busy != mostBusy {
		t.Errorf("%d PCs are remembered, %d things are under way", len(s.all), s.busy)
	}
	now = now.Add(time.Hour)
	if !s.may(netip.MustParseAddr("10.9.9.9"), now) {
		t.Error("no room for a new PC after an hour")
	}
	if s.all[pc] == nil || s.all[pc].busy != mostBusyOne {
		t.Error("what is under way was forgotten")
	}
}

func TestTCPKeepsToItsLimits(t *testing.T) {
	r := run(t, "127.0.0.1", Rules{}, nil)
	c := dial(t, "tcp", r.dns)
	c.SetDeadline(time.Now().Add(patience))
	msg := ask("nudge.")
	one := append([]byte{0, byte(len(msg))}, msg...)
	c.Write(slices.Concat(one[:5], one[5:], one)) // one after the other on one connection
	for range 2 {
		reply, err := readWhole(c)
		if err != nil || told(t, reply) != "Success AA nudge. 60 127.0.0.1" {
			t.Fatalf("%x, %v", reply, err)
		}
	}
	c.Write([]byte{0xff, 0xff})
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
		t.Errorf("after a length beyond all: %d bytes, %v", n, err)
	}
	var held []net.Conn
	for range mostBusyOne {
		c := dial(t, "tcp", r.dns)
		c.SetDeadline(time.Now().Add(patience))
		c.Write(one)
		if _, err := readWhole(c); err != nil {
			t.Fatalf("connection %d: %v", len(held), err)
		}
		held = append(held, c)
	}
	c = dial(t, "tcp", r.dns)
	c.SetDeadline(time.Now().Add(patience))
	if _, err := readWhole(c); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one connection too many: %v", err)
	}
}
