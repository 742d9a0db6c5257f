package msnserver

import (
	"bufio"
	"crypto/md5"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/msnserver/conn"
	"nudge/msnserver/front"
	"nudge/msnserver/wire"
)

// unhurried are the limits without the one that keeps most of a flood of connections
// from what is behind it.
func unhurried() Limits {
	l := DefaultLimits()
	l.Connects = conn.Rate{}
	return l
}

// siege is a box with all its ports on loopback and two good clients, who must
// not notice what others do. Those come from another address.
type siege struct {
	*box
	t             testing.TB
	msn, web, tls string
	alice, bob    *visitor
	clients       int // connections of the good ones
}

var siegeCert inMemory // one key for all tests: making it takes long

// patience is how long a test waits for what must happen at once: only a failing
// one gets there.
const patience = 20 * time.Second

func newSiege(t testing.TB, l Limits) *siege {
	cert := front.NewCertificate(&siegeCert, nil, noAddress, slog.New(slog.DiscardHandler))
	if err := cert.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &siege{t: t, box: newBoxWith(t, slog.DiscardHandler, Config{Limits: l, Cert: cert})}
	serve := func(f func(net.Listener) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- f(l) }()
		t.Cleanup(func() {
			s.srv.Shutdown(t.Context())
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
		return l.Addr().String()
	}
	s.msn, s.web, s.tls = serve(s.srv.ServeMSN), serve(s.srv.ServeHTTP), serve(s.srv.ServeHTTPS)
	for _, h := range []string{"alice@example.com", "bob@example.com", "mallory@example.com", "eve@example.com"} {
		if err := s.hub.CreateAccount(t.Context(), h, "", "123456", true); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.hub.AddContact(t.Context(), "alice@example.com", "bob@example.com"), s.hub.AddContact(t.Context(), "bob@example.com", "alice@example.com")); err != nil {
		t.Fatal(err)
	}
	s.alice, s.bob = s.signIn("127.0.0.1", "alice@example.com"), s.signIn("127.0.0.1", "bob@example.com")
	s.clients = 2
	s.wellBehaved()
	return s
}

// visitor is a client.
type visitor struct {
	net.Conn
	r *bufio.Reader
}

// connect makes a connection from an address of this machine.
func (s *siege) connect(from, to string) net.Conn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := d.DialContext(s.t.Context(), "tcp", to)
	if err != nil {
		s.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *siege) dial(from, to string) *visitor {
	s.t.Helper()
	c := s.connect(from, to)
	return &visitor{c, bufio.NewReaderSize(c, wire.MaxLine)}
}

const foe = "127.0.0.2" // where the others are

func (v *visitor) say(format string, args ...any) { fmt.Fprintf(v, format, args...) }

// hear reads up to the first answer with that verb.
func (v *visitor) hear(verb string) (wire.Command, error) {
	for {
		c, err := wire.Read(v.r, wire.FromServer)
		if err != nil || c.Verb == verb {
			return c, err
		}
	}
}

func (s *siege) must(v *visitor, verb string) wire.Command {
	s.t.Helper()
	c, err := v.hear(verb)
	if err != nil {
		s.t.Fatalf("waiting for %s: %v", verb, err)
	}
	return c
}

func (s *siege) signIn(from, handle string) *visitor {
	s.t.Helper()
	v := s.dial(from, s.msn)
	v.say("VER 1 MSNP2\r\nUSR 2 MD5 I %s\r\n", handle)
	v.say("USR 3 MD5 S %x\r\n", md5.Sum([]byte(s.must(v, "USR").Arg(3)+"123456")))
	s.must(v, "USR")
	v.say("CHG 4 NLN\r\n")
	s.must(v, "CHG")
	return v
}

// wellBehaved checks that the good clients are served: a ping is answered, and
// they see each other.
func (s *siege) wellBehaved() {
	s.t.Helper()
	for _, v := range []*visitor{s.alice, s.bob} {
		v.SetDeadline(time.Now().Add(patience))
		v.say("PNG\r\n")
		s.must(v, "QNG")
	}
	s.alice.say("CHG 5 BSY\r\n")
	if c := s.must(s.bob, "NLN"); c.Arg(0) != "BSY" {
		s.t.Errorf("bob sees %q", c)
	}
	s.alice.say("CHG 6 NLN\r\n")
	if c := s.must(s.bob, "NLN"); c.Arg(0) != "NLN" {
		s.t.Errorf("bob sees %q", c)
	}
}

// thrownOut demands that the server ends the connection, and returns what it said
// before.
func (s *siege) thrownOut(v *visitor, what string) (said string) {
	s.t.Helper()
	v.SetDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(v.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Errorf("%s: still connected", what)
	}
	v.Close()
	return string(b)
}

// until waits for what happens on its own.
func (s *siege) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			s.t.Fatalf("in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// alone waits until only the good clients are connected, and checks that nothing
// of the others is left.
func (s *siege) alone() {
	s.t.Helper()
	s.until("the connections of others are gone", func() bool { return s.open() == s.clients })
	s.wellBehaved()
	g := s.srv.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for from, o := range g.from {
		if o.open != 0 {
			s.t.Errorf("the gate still counts %d of %v", o.open, from)
		}
	}
}

func (s *siege) open() int {
	s.srv.gate.mu.Lock()
	defer s.srv.gate.mu.Unlock()
	return s.srv.gate.open
}

// signed is the beginning of a session that is let in.
func (s *siege) signed() string {
	return "VER 1 MSNP8 CVR0\r\nUSR 2 TWN I mallory@example.com\r\nUSR 3 TWN S " + s.srv.tickets.Issue("mallory@example.com") + "\r\n"
}

// seated is the beginning of a conversation; the session behind it ends with the
// test.
func (s *siege) seated() string {
	s.t.Helper()
	user, err := s.hub.SignOn("eve@example.com", bridge.Client{Proto: "MSNP8"}, nowhere{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(user.Close)
	user.SetPresence(im.Presence{Status: im.Online}, "")
	c, err := user.Cookie()
	if err != nil {
		s.t.Fatal(err)
	}
	return "USR 1 eve@example.com " + c + "\r\n"
}

// TestBreakingTheProtocol: who does is thrown out at once, before and after
// signing in, and on the switchboard.
func TestBreakingTheProtocol(t *testing.T) {
	s := newSiege(t, Limits{})
	garbage := make([]byte, 64<<10)
	rand.NewChaCha8([32]byte{1}).Read(garbage)
	endless := strings.Repeat("A", 10<<20)
	for _, in := range []string{s.signed(), s.seated()} {
		v := s.dial(foe, s.msn)
		v.say("%sOUT\r\n", in)
		if said := s.thrownOut(v, in); !strings.Contains(said, " OK ") {
			t.Fatalf("%q was not let in but told %q", in, said)
		}
	}
	for name, say := range map[string]string{
		"an endless line":        endless,
		"endless arguments":      "VER 1 " + strings.Repeat("M ", 5<<20),
		"a negative length":      "MSG 1 N -1\r\nabc",
		"a negative NS length":   "QRY 1 x -1\r\nabc",
		"a length of 2^31":       "MSG 1 N 2147483648\r\n",
		"a length of 2^64":       "UUX 1 18446744073709551616\r\n",
		"a length of many nines": "ADL 1 " + strings.Repeat("9", 5000) + "\r\n",
		"a length of 1 GB":       "PGD 1 x 1 1000000000\r\n" + endless,
		"a length with a sign":   "MSG 1 N +3\r\nabc",
		"no length":              "MSG\r\n",
		"a payload over the cap": "MSG 1 N 1665\r\n" + strings.Repeat("x", 1665),
		"a carriage return":      "PNG\rPNG\r\n",
		"a NUL":                  "CHG 1 N\x00N\r\n",
	} {
		for where, first := range map[string]string{"before": "VER 1 MSNP8\r\n", "after": s.signed(), "on the switchboard": s.seated()} {
			if where == "on the switchboard" && !slices.Contains([]string{"AAA", "MSG", "PNG"}, say[:3]) {
				continue // no such payload there
			}
			v := s.dial(foe, s.msn)
			go io.WriteString(v, first+say)
			s.thrownOut(v, name+" "+where)
		}
	}
	for name, say := range map[string]string{
		"binary garbage": string(garbage), "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(garbage[:512]), "SSLv2": "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\n",
		"HTTP": "GET / HTTP/1.1\r\nHost: box\r\n\r\n", "an unknown command": "XYZ 1\r\n", "a command at the wrong time": "SYN 1 0\r\n", "empty lines": strings.Repeat("\r\n", 1<<20),
		"blanks": strings.Repeat(" ", 1<<20), "a cookie that is none": "USR 1 mallory@example.com 1.2.3\r\n", "another's session": "ANS 1 alice@example.com 1 99999999999\r\n", "nothing": "",
	} {
		v := s.dial(foe, s.msn)
		go func() {
			io.WriteString(v, say)
			v.Conn.(*net.TCPConn).CloseWrite()
		}()
		s.thrownOut(v, name)
	}
	s.alone()
}

// TestOddButSignedIn: what is no crime after signing in is answered or ignored.
func TestOddButSignedIn(t *testing.T) {
	s := newSiege(t, Limits{})
	v := s.dial(foe, s.msn)
	v.say("%s", s.signed())
	s.must(v, "USR")
	s.must(v, "USR")
	for _, odd := range []string{
		"XYZ 1\r\n", strings.Repeat("\r\n", 1000), "ANS 1 a@b 2 3\r\n", "CHG 1 " + strings.Repeat("N", 8000) + "\r\n", "ADD 1 FL " + strings.Repeat("x", 4000) + "@x y\r\n",
		"REA 1 mallory@example.com " + strings.Repeat("%0d%0a%00", 20) + "x\r\n", "REA 1 mallory@example.com %ff%fe\r\n", "PNG " + strings.Repeat("1 ", 3000) + "\r\n", "MSG 1 N 3\r\nabc",
		strings.Repeat("A", 8000) + "\r\n", "\xff\xfe\xfd 1\r\n", "LST 1 XL\r\n", "ADG 1 " + strings.Repeat("%e2%80%ae", 3) + " 0\r\n", "RMG 1 99999999999999999999\r\n",
	} {
		v.say("%s", odd)
	}
	v.say("PNG\r\n")
	s.must(v, "QNG") // or one of the PNG before
	v.Close()
	s.alone()
}

// TestCutAnywhere ends every session of the transcripts after any of its bytes,
// unsigned, signed in, and on the switchboard, in peace or with a reset.
func TestCutAnywhere(t *testing.T) {
	s := newSiege(t, Limits{Line: wire.MaxLine, Payload: wire.MaxNSPayload, Queue: 1 << 20, SignIn: time.Minute, Connections: 100, PerSource: 100})
	cuts := 0
	for _, script := range clientsOf(t) {
		const stride = 17 // a prime; what is cut at the start of one script falls elsewhere in another
		for cut := 1 + len(script)%stride; cut < len(script); cut += stride {
			first := ""
			switch cuts % 3 {
			case 1:
				first = s.signed()
			case 2:
				first = s.seated()
			}
			v := s.dial(foe, s.msn)
			if cuts%2 == 0 {
				v.Conn.(*net.TCPConn).SetLinger(0)
			}
			v.say("%s", first+script[:cut])
			v.Close()
			if cuts++; cuts%50 == 0 {
				s.wellBehaved()
			}
		}
	}
	if cuts < 200 {
		t.Errorf("only %d cuts", cuts)
	}
	s.alone()
}

// clientsOf is what each client of the transcripts says, after its sign-in.
func clientsOf(t *testing.T) (scripts []string) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]*strings.Builder{}
		var names []string
		for line := range strings.Lines(string(b)) {
			m := step.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if m == nil || m[2] != ">" && m[2] != ">>" || strings.HasPrefix(m[1], "H") || strings.HasPrefix(m[3], "USR") {
				continue
			}
			if said[m[1]] == nil {
				said[m[1]] = &strings.Builder{}
				names = append(names, m[1])
			}
			text := kept.ReplaceAllString(unquote(m[3]), "1")
			if m[2] == ">" {
				text = frame(text)
			}
			said[m[1]].WriteString(text)
		}
		for _, n := range names {
			scripts = append(scripts, said[n].String())
		}
	}
	return scripts
}

// TestNeverReads: a client in a conversation that does not read is closed when
// its queue is full; who writes to it is not held up and hears that it is gone.
func TestNeverReads(t *testing.T) {
	l := DefaultLimits()
	l.Queue = 256 << 10
	s := newSiege(t, l)
	mallory := s.signIn(foe, "mallory@example.com")
	s.alice.say("XFR 7 SB\r\n")
	seat := s.dial("127.0.0.1", s.msn)
	seat.say("USR 1 alice@example.com %s\r\nCAL 2 mallory@example.com\r\n", s.must(s.alice, "XFR").Arg(4))
	ring := s.must(mallory, "RNG")
	deaf := s.dial(foe, s.msn)
	deaf.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	deaf.say("ANS 1 mallory@example.com %s %s\r\n", ring.Arg(3), ring.Arg(0))
	s.must(seat, "JOI")
	gone := make(chan error, 1)
	go func() {
		_, err := seat.hear("BYE")
		gone <- err
	}()
	say := wire.Command{Verb: "MSG", Args: []string{"3", "U"}, Payload: []byte("MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("x", 1500))}.String()
	for sent := 0; ; sent++ {
		if sent > 100_000 {
			t.Fatal("150 MB were taken for somebody who does not read")
		}
		select {
		case err := <-gone:
			if err != nil {
				t.Fatal(err)
			}
		default:
			io.WriteString(seat, say)
			continue
		}
		break
	}
	s.wellBehaved()
}

// TestOneByteASecond: who dawdles through the sign-in or a request is thrown out
// in time.
func TestOneByteASecond(t *testing.T) {
	for _, c := range []struct {
		name, say string
		web       bool
	}{
		{"a first word", strings.Repeat(" ", 999), false},
		{"a sign-in", "VER 1 MSNP8 CVR0\r\nCVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS a@x\r\nUSR 3 TWN I alice@example.com\r\n" + strings.Repeat("CVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS a@x\r\n", 9), false},
		{"a payload", "VER 1 MSNP8\r\nQRY 1 x 999\r\n" + strings.Repeat("x", 999), false},
		{"a request", "GET /" + strings.Repeat("x", 999) + " HTTP/1.1\r\n", true},
		{"a header", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 999), true},
		{"a log-in", "GET /login2.srf HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 999), true},
		{"a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n" + strings.Repeat("x", 999), true},
		{"a log-in's body", "POST /login2.srf HTTP/1.1\r\nContent-Length: 999\r\n\r\n" + strings.Repeat("x", 999), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t)
				client := b.dial(t, c.web)
				start := time.Now()
				ended := make(chan time.Duration, 1)
				go func() {
					io.Copy(io.Discard, client)
					ended <- time.Since(start)
				}()
				for i := range len(c.say) {
					if _, err := client.Write([]byte{c.say[i]}); err != nil {
						break
					}
					time.Sleep(time.Second)
				}
				if d := <-ended; d > 3*time.Minute {
					t.Errorf("thrown out after %v", d)
				}
				client.Close()
			})
		})
	}
}

// perConnection is the most memory a connection may take that has not signed in:
// buffer, goroutine and what this test itself needs for its end.
const perConnection = 24 << 10

// TestIdleConnections: 5,000 of one address. By default nearly all are turned
// away; where so many are allowed each is cheap, and all end in time.
func TestIdleConnections(t *testing.T) {
	const many = 5000
	for _, allowed := range []int{DefaultLimits().PerSource, many} {
		t.Run(fmt.Sprint(allowed), func(t *testing.T) {
			l := unhurried()
			l.PerSource, l.Connections, l.SignIn = allowed, 2*many, time.Hour
			s := newSiege(t, l)
			before := inUse()
			var idle []net.Conn
			for range many {
				idle = append(idle, s.connect(foe, s.msn))
			}
			s.until("the connections are counted", func() bool { return s.open() == s.clients+allowed })
			s.wellBehaved()
			if each := (inUse() - before) / many; each > perConnection {
				t.Errorf("%d bytes for each of %d connections", each, many)
			} else {
				t.Logf("%d bytes for each of %d connections, %d let in", each, many, allowed)
			}
			for _, v := range idle {
				v.Close()
			}
			s.alone()
			idle = nil
			if left := inUse() - before; left > many*perConnection/4 {
				t.Errorf("%d bytes are left of them", left)
			}
		})
	}
}

// inUse is the memory of heap and stacks after a collection, in bytes.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestWrongPasswords: 1,000 from one PC. Few are looked at; the owner signs in to
// the same account from another meanwhile.
func TestWrongPasswords(t *testing.T) {
	s := newSiege(t, unhurried())
	answers := map[string]int{}
	for range 1000 {
		v := s.dial(foe, s.msn)
		v.say("VER 1 MSNP2\r\nUSR 2 MD5 I mallory@example.com\r\n")
		s.must(v, "USR")
		v.say("USR 3 MD5 S 00\r\n")
		c, err := wire.Read(v.r, wire.FromServer)
		if err != nil {
			t.Fatal(err)
		}
		answers[c.Verb]++
		v.Close()
	}
	if answers["911"] < 5 || answers["911"] > 20 || answers["911"]+answers["910"] != 1000 {
		t.Errorf("the answers were %v", answers)
	}
	s.signIn("127.0.0.1", "mallory@example.com").Close()
	s.alone()
}

// TestManyConnects: 10,000 come and go, turned away soon or all let in.
func TestManyConnects(t *testing.T) {
	for name, l := range map[string]Limits{"default": {}, "all let in": unhurried()} {
		t.Run(name, func(t *testing.T) { manyConnects(t, l) })
	}
}

func manyConnects(t *testing.T, l Limits) {
	s := newSiege(t, l)
	before, goroutines := inUse(), runtime.NumGoroutine()
	for i := range 10_000 {
		v := s.dial(foe, []string{s.msn, s.web, s.tls}[i%3])
		v.Conn.(*net.TCPConn).SetLinger(0) // or this machine runs out of ports
		v.Close()
		if i%2000 == 0 {
			s.wellBehaved()
		}
	}
	s.alone()
	s.until("their goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	if left := inUse() - before; left > 8<<20 {
		t.Errorf("%d bytes are left of them", left)
	}
}

// TestGarbageOnTheWeb: what is no request is refused, and the next one answered.
func TestGarbageOnTheWeb(t *testing.T) {
	s := newSiege(t, Limits{})
	garbage := make([]byte, 64<<10)
	rand.NewChaCha8([32]byte{2}).Read(garbage)
	get := func(client *http.Client, url string) {
		t.Helper()
		r, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		client.CloseIdleConnections()
	}
	plain, secret := &http.Client{}, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	get(secret, "https://"+s.tls) // waits for the certificate
	for _, say := range []string{
		string(garbage), "\x00\x00\x00\x00\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nxyz",
		"GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 1<<17) + "\r\n", "GET /login2.srf\r\n" + strings.Repeat("X: y\r\n", 1<<17) + "\r\n",
		"GET /login2.srf HTTP/1.1\r\nAuthorization: Passport1.4 " + strings.Repeat("sign-in=%,", 3000) + "\r\n\r\n", "POST /login2.srf HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n",
		"POST /gateway/gateway.dll?Action=open&Server=NS HTTP/1.1\r\nContent-Length: 3\r\n\r\n\x00\xff\n", "POST /gateway/gateway.dll?Action=open&Server=SB&IP=elsewhere HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n",
		"POST http://elsewhere//gateway/gateway.dll?%zz&&=&SessionID=1.1&Lifespan=60 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "GET /gateway/gateway.dll\r\n" + strings.Repeat("X: y\r\n", 1<<17) + "\r\n",
		"CONNECT elsewhere:25 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://elsewhere/ HTTP/1.1\r\nHost: elsewhere\r\n\r\n", "\x80\x2e\x01\x00\x02", "\x16\x03\x00\x00\x2d\x01", "\x16\x03\x01\xff\xff" + string(garbage), "\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff",
	} {
		for _, to := range []string{s.web, s.tls} {
			v := s.dial(foe, to)
			go func() {
				io.WriteString(v, say)
				v.Conn.(*net.TCPConn).CloseWrite()
			}()
			s.thrownOut(v, fmt.Sprintf("%.40q on %s", say, to))
		}
	}
	get(plain, "http://"+s.web)
	get(secret, "https://"+s.tls)
	s.alone()
}

// TestFlood: commands without end from one client are answered no faster than
// the limit, and the others are served meanwhile.
func TestFlood(t *testing.T) {
	s := newSiege(t, Limits{})
	v := s.dial(foe, s.msn)
	v.say("%s", s.signed())
	s.must(v, "USR")
	s.must(v, "USR")
	v.SetDeadline(time.Time{})
	done := make(chan int)
	go func() {
		io.WriteString(v, strings.Repeat("PNG\r\n", 1<<20))
		close(done)
	}()
	answered := make(chan int, 1)
	go func() {
		n := 0
		for {
			if _, err := v.hear("QNG"); err != nil {
				answered <- n
				return
			}
			n++
		}
	}()
	start := time.Now()
	for range 20 {
		s.wellBehaved()
	}
	v.Close()
	<-done
	l := DefaultLimits().NS
	if n, most := <-answered, l.Burst+l.PerSecond*int(time.Since(start)/time.Second+1); n > most {
		t.Errorf("%d commands were answered, more than %d", n, most)
	}
	s.alone()
}
