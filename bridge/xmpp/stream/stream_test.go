package stream

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/xmpp/xmpptest"
)

func server(t *testing.T, o xmpptest.Options) *xmpptest.Server {
	t.Helper()
	srv, err := xmpptest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

func config(srv *xmpptest.Server) Config {
	return Config{JID: JID{"alice", "chat.test", "box"}, Password: "pw-alice", Server: "here:5222", RootCAs: srv.Pool(), Dial: srv.Dial}
}

// got collects stanzas in order.
type got chan *stanza.Node

func (g got) take(n *stanza.Node, done func()) {
	g <- n
	done()
}

func (g got) message(t *testing.T) *stanza.Node {
	t.Helper()
	for {
		select {
		case n := <-g:
			if n.XMLName.Local == "message" {
				return n
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no message came")
		}
	}
}

func dial(t *testing.T, cfg Config) (*Stream, got) {
	t.Helper()
	s, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	g := make(got, 10_000)
	s.Start(g.take)
	t.Cleanup(func() { s.Close() })
	return s, g
}

func message(to, id, body string) stanza.Message {
	m := stanza.NewMessage(stanza.Attrs{To: to, Id: id, Type: "chat"})
	m.Body = body
	return m
}

func presence(t *testing.T, s *Stream) {
	t.Helper()
	if err := s.Send(stanza.NewPresence(stanza.Attrs{}), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLogIn(t *testing.T) {
	for _, c := range []struct {
		name string
		o    xmpptest.Options
		cfg  func(*Config)
		kind Kind
		text string // "" works
	}{
		{name: "sha-1", o: xmpptest.Options{Mechanisms: []string{"PLAIN", "SCRAM-SHA-1"}}},
		{name: "sha-256"},
		{name: "sha-512", o: xmpptest.Options{Mechanisms: []string{"SCRAM-SHA-1", "SCRAM-SHA-512"}}},
		{name: "direct", o: xmpptest.Options{DirectTLS: true}, cfg: func(c *Config) { c.TLS = Direct }},
		{name: "direct by port", o: xmpptest.Options{DirectTLS: true}, cfg: func(c *Config) { c.Server = "here:5223" }},
		{name: "no sm", o: xmpptest.Options{NoSM: true}},
		{name: "plain allowed", o: xmpptest.Options{Mechanisms: []string{"PLAIN"}}, cfg: func(c *Config) { c.AllowPlain = true }},
		{name: "plain not allowed", o: xmpptest.Options{Mechanisms: []string{"PLAIN"}}, kind: Unsafe, text: "PLAIN"},
		{name: "plain in clear", o: xmpptest.Options{NoTLS: true}, cfg: func(c *Config) { c.AllowPlain = true }, kind: Unsafe, text: "no encryption"},
		{name: "nothing known", o: xmpptest.Options{Mechanisms: []string{"X-TEST"}}, kind: Unsafe, text: "X-TEST"},
		{name: "wrong password", cfg: func(c *Config) { c.Password = "no" }, kind: Credentials, text: "password for alice@chat.test"},
		{name: "impostor", o: xmpptest.Options{WrongProof: true}, kind: Unsafe, text: "impostor"},
		{name: "iterations", o: xmpptest.Options{Iterations: maxIterations + 1}, kind: Protocol, text: "SCRAM"},
		{name: "unknown ca", cfg: func(c *Config) { c.RootCAs = nil }, kind: Unverified, text: "authority"},
		{name: "other name", o: xmpptest.Options{OtherName: true}, kind: Unverified, text: "another name"},
		{name: "expired", o: xmpptest.Options{Expired: true}, kind: Unverified, text: "expired"},
		{name: "elsewhere", o: xmpptest.Options{SeeOtherHost: "other:5222"}, kind: Network, text: "another machine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(server(t, c.o))
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			s, err := Dial(t.Context(), cfg)
			if c.text == "" {
				if err != nil {
					t.Fatal(err)
				}
				if s.Bound() != cfg.JID {
					t.Error("bound", s.Bound())
				}
				s.Close()
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(e.Text, c.text) {
				t.Fatalf("got %#v, want kind %d with %q", err, c.kind, c.text)
			}
		})
	}
}

// A server that never answers must not hold a log-in for ever.
func TestLogInDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := Dial(t.Context(), Config{JID: JID{"alice", "chat.test", "box"}, Server: "here:5222", Dial: func(context.Context, string, string) (net.Conn, error) {
			mine, theirs := net.Pipe()
			go func() { // takes everything, says nothing
				b := make([]byte, 100)
				for {
					if _, err := theirs.Read(b); err != nil {
						return
					}
				}
			}()
			return mine, nil
		}})
		if kindOf(err) != Network {
			t.Fatal(err)
		}
	})
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name, server string
		mode         TLSMode
		srv          map[string][]*net.SRV
		want         string
	}{
		{name: "no dns", want: "chat.test:5222 chat.test:5223!"},
		{name: "starttls only", mode: StartTLS, want: "chat.test:5222"},
		{name: "host", server: "h", want: "h:5222 h:5223!"},
		{name: "host direct", server: "h", mode: Direct, want: "h:5223!"},
		{name: "port", server: "[::1]:80", want: "[::1]:80"},
		{name: "port direct", server: "h:5223", want: "h:5223!"},
		{name: "srv", srv: map[string][]*net.SRV{
			"xmpp-client":  {{Target: "a.", Port: 1, Priority: 5}, {Target: "b.", Port: 2, Priority: 20}},
			"xmpps-client": {{Target: "c.", Port: 3, Priority: 5}, {Target: "d.", Port: 4, Priority: 10}},
		}, want: "c:3! a:1 d:4! b:2"},
		{name: "srv denied", srv: map[string][]*net.SRV{"xmpp-client": {{Target: "."}}}, want: "error"},
		{name: "bad port", server: "h:x", want: "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{JID: JID{"alice", "chat.test", ""}, Server: c.server, TLS: c.mode,
				LookupSRV: func(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
					if r := c.srv[service]; r != nil && proto == "tcp" && name == "chat.test" {
						return "", r, nil
					}
					return "", nil, &net.DNSError{IsNotFound: true}
				}}
			var out []string
			ts, err := cfg.targets(t.Context())
			for _, x := range ts {
				a := x.addr()
				if x.direct {
					a += "!"
				}
				out = append(out, a)
			}
			if err != nil {
				out = []string{"error"}
			}
			if g := strings.Join(out, " "); g != c.want {
				t.Errorf("got %s, want %s", g, c.want)
			}
		})
	}
}

func TestOrderAndAcks(t *testing.T) {
	for _, noSM := range []bool{false, true} {
		t.Run(fmt.Sprint("noSM=", noSM), func(t *testing.T) {
			srv := server(t, xmpptest.Options{NoSM: noSM})
			bob := srv.Peer("bob", "pc")
			s, _ := dial(t, config(srv))
			const n = 300
			acked := make(chan int, n)
			for i := range n {
				if err := s.Send(message("bob@chat.test/pc", fmt.Sprint(i), "x"), func() { acked <- i }); err != nil {
					t.Fatal(err)
				}
			}
			for i := range n {
				if g := <-acked; g != i {
					t.Fatal("acked", g, "want", i)
				}
				if m := <-bob.In; Attr(m, "id") != fmt.Sprint(i) {
					t.Fatal("came", Attr(m, "id"), "want", i)
				}
			}
		})
	}
}

// A cut line is mended, and nothing is lost or doubled either way.
func TestResume(t *testing.T) {
	srv := server(t, xmpptest.Options{})
	bob := srv.Peer("bob", "pc")
	s, in := dial(t, config(srv))
	presence(t, s)
	var acked sync.WaitGroup
	for round := range 5 {
		for i := range 20 {
			acked.Add(1)
			if err := s.Send(message("bob@chat.test/pc", fmt.Sprintf("%d.%d", round, i), "x"), acked.Done); err != nil {
				t.Fatal(err)
			}
			bob.Send(fmt.Sprintf("<message type='chat' to='alice@chat.test/box' id='%d.%d'><body>x</body></message>", round, i))
			if i == 10 {
				srv.Cut()
			}
		}
	}
	acked.Wait()
	for round := range 5 {
		for i := range 20 {
			want := fmt.Sprintf("%d.%d", round, i)
			if g := Attr(in.message(t), "id"); g != want {
				t.Fatal("in", g, "want", want)
			}
			if g := Attr(<-bob.In, "id"); g != want {
				t.Fatal("out", g, "want", want)
			}
		}
	}
}

// A line cut again before the server's answer is mended all the same.
func TestCutWhileResuming(t *testing.T) {
	srv := server(t, xmpptest.Options{})
	bob := srv.Peer("bob", "pc")
	s, _ := dial(t, config(srv))
	acked := make(chan string, 10)
	send := func(id string) {
		t.Helper()
		if err := s.Send(message("bob@chat.test/pc", id, "x"), func() { acked <- id }); err != nil {
			t.Fatal(err)
		}
	}
	send("1")
	<-acked
	srv.LoseResumed()
	srv.Cut()
	send("2")
	send("3")
	for _, want := range []string{"2", "3"} {
		select {
		case g := <-acked:
			if g != want {
				t.Fatal("acked", g, "want", want)
			}
		case <-s.Done():
			t.Fatal(s.Wait())
		}
	}
	for _, want := range []string{"1", "2", "3"} {
		if g := Attr(<-bob.In, "id"); g != want {
			t.Fatal("came", g, "want", want)
		}
	}
	if n := len(bob.In); n > 0 {
		t.Errorf("%d came twice", n)
	}
}

// A server that counts what was never sent can settle nothing any more: the
// stream ends, and what is open is sought in the archive by the next.
func TestCountTooHigh(t *testing.T) {
	srv := server(t, xmpptest.Options{})
	s, _ := dial(t, config(srv))
	srv.Push("alice", "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>") // behind what is known, by wrapping around
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Push("alice", "<a xmlns='urn:xmpp:sm:3' h='1000'/>")
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the stream goes on")
	}
	if err := s.Wait(); kindOf(err) != Protocol {
		t.Error(err)
	}
}

func TestResumeForgotten(t *testing.T) {
	srv := server(t, xmpptest.Options{})
	s, _ := dial(t, config(srv))
	srv.Down(true)
	srv.Cut()
	srv.Forget()
	srv.Down(false)
	if err := s.Wait(); kindOf(err) != Network || !strings.Contains(err.Error(), "did not keep") {
		t.Fatal(err)
	}
	if err := s.Send(message("b@c", "1", "x"), nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Only what was settled is acknowledged, in whatever order it is settled.
func TestAcksWhatIsSettled(t *testing.T) {
	var l ledger
	a, b, c := l.begin(), l.begin(), l.begin()
	l.finish(b)
	if l.settled != 0 || l.received() != 3 {
		t.Fatal(l)
	}
	l.finish(a)
	l.finish(a)
	if l.settled != 2 {
		t.Fatal(l)
	}
	l.finish(c)
	if l.settled != 3 || len(l.open) != 0 {
		t.Fatal(l)
	}
	l = ledger{settled: 1<<32 - 1}
	l.finish(l.begin())
	if l.settled != 0 {
		t.Fatal("no wrap")
	}
}

// A process that dies with unsettled messages gets them again.
func TestUnsettledComeAgain(t *testing.T) {
	srv := server(t, xmpptest.Options{NoMAM: true})
	bob := srv.Peer("bob", "pc")
	s, err := Dial(t.Context(), config(srv))
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan string, 10)
	s.Start(func(n *stanza.Node, done func()) {
		if n.XMLName.Local != "message" || Attr(n, "id") == "1" {
			done()
		}
		came <- Attr(n, "id")
	})
	presence(t, s)
	bob.Send("<message type='chat' to='alice@chat.test' id='1'><body>settled</body></message>")
	bob.Send("<message type='chat' to='alice@chat.test' id='2'><body>not settled</body></message>")
	for id := range came {
		if id == "2" {
			break
		}
	}
	s.Ping(t.Context())
	s.Close()
	s, in := dial(t, config(srv))
	presence(t, s)
	if id := Attr(in.message(t), "id"); id != "2" {
		t.Fatal("came", id)
	}
}

func TestSilenceIsACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := server(t, xmpptest.Options{NoSM: true})
		cfg := config(srv)
		var silent net.Conn
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := srv.Dial(ctx, network, addr)
			silent = &mute{Conn: c}
			return silent, err
		}
		s, err := Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.Start(func(_ *stanza.Node, done func()) { done() })
		begin := time.Now()
		time.Sleep(10 * time.Minute) // pings are answered: the stream stays
		synctest.Wait()
		select {
		case <-s.Done():
			t.Fatal("ended", s.Wait())
		default:
		}
		silent.(*mute).on()
		if err := s.Wait(); kindOf(err) != Network {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 13*time.Minute {
			t.Error("noticed after", d)
		}
		s.Close()
		srv.Close()
	})
}

// mute drops what is written once it is on.
type mute struct {
	net.Conn
	mu    sync.Mutex
	quiet bool
}

func (m *mute) on() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quiet = true
}

func (m *mute) Write(b []byte) (int, error) {
	m.mu.Lock()
	quiet := m.quiet
	m.mu.Unlock()
	if quiet {
		return len(b), nil
	}
	return m.Conn.Write(b)
}

// Answers count only when they come from whom was asked.
func TestAnswersAreChecked(t *testing.T) {
	own := JID{"alice", "chat.test", "box"}
	for _, c := range []struct {
		to, from string
		ok       bool
	}{
		{"", "", true}, {"", "alice@chat.test", true}, {"", "chat.test", true}, {"", "alice@chat.test/box", true}, {"", "bob@chat.test", false},
		{"bob@chat.test", "bob@chat.test", true}, {"bob@chat.test", "", false}, {"bob@chat.test", "eve@chat.test", false},
		{"chat.test", "", true}, {"chat.test", "bob@chat.test", false}, {"alice@chat.test", "", true},
	} {
		if (waiter{to: c.to}).from(c.from, own) != c.ok {
			t.Errorf("%+v", c)
		}
	}
}

// A stranger who knows the id can't answer in the server's place.
func TestForgedAnswer(t *testing.T) {
	srv := server(t, xmpptest.Options{})
	s, in := dial(t, config(srv))
	presence(t, s)
	answer := make(chan *stanza.Node, 2)
	s.mu.Lock()
	s.waiting["guessed"] = waiter{"", func(n *stanza.Node) { answer <- n }}
	s.mu.Unlock()
	srv.Push("alice", "<iq type='result' id='guessed' from='eve@x'/><iq type='result' id='guessed' from='alice@chat.test'/><message id='end'/>")
	in.message(t)
	if n := <-answer; Attr(n, "from") != "alice@chat.test" {
		t.Error("answered by", Attr(n, "from"))
	}
}

func TestDo(t *testing.T) {
	srv := server(t, xmpptest.Options{})
	s, _ := dial(t, config(srv))
	_, err := s.Do(t.Context(), &stanza.IQ{Attrs: stanza.Attrs{Type: "get", To: "nobody@chat.test"}, Any: &stanza.Node{XMLName: xml.Name{Space: "urn:x", Local: "q"}}})
	var e *StanzaError
	if !errors.As(err, &e) || e.Condition != "service-unavailable" {
		t.Fatal(err)
	}
	iq := &stanza.IQ{Attrs: stanza.Attrs{Type: "get"}}
	iq.RosterIQ()
	n, err := s.Do(t.Context(), iq)
	if err != nil || Child(n, stanza.NSRoster, "query") == nil {
		t.Fatal(n, err)
	}
}

// The stanzas that ended gosrc's own client, and more of the kind.
func TestHostile(t *testing.T) {
	srv := server(t, xmpptest.Options{})
	s, in := dial(t, config(srv))
	presence(t, s)
	deep := strings.Repeat("<a>", 5000) + strings.Repeat("</a>", 5000)
	for i, x := range []string{
		"<message from='eve@x' id='%d'><x xmlns='urn:any'><message xmlns='jabber:client'><body>evil</body></message></x></message>",
		"<message from='eve@x' id='%d'><x xmlns='urn:evil'><body>spoof</body></x></message>",
		"<message from='eve@x' id='%d'>" + deep + "</message>",
		"<message from='eve@x' id='%d'>" + strings.Repeat("<b/>x", 100_000) + "</message>",
		"<message from='eve@x' id='%d'><a xmlns:p='urn:p' p:q='1'><p:message/></a></message>",
		"<message from='eve@x' id='%d'><body>&#x10FFFF;</body></message>",
		"<message from='eve@x' id='%d'><body>" + strings.Repeat("x", 10<<20) + "</body></message>",
	} {
		srv.Push("alice", "<unknown xmlns='urn:nothing'/>")
		srv.Push("alice", fmt.Sprintf(x, i))
		m := in.message(t)
		if id := Attr(m, "id"); id != fmt.Sprint(i) && (i != 6 || id != "") {
			t.Fatal(i, id)
		}
		if i != 5 && Child(m, stanza.NSClient, "body") != nil {
			t.Error(i, "has a body")
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name, push string
		kind       Kind
	}{
		{"too big", "<" + strings.Repeat("x", 2*maxWord), Protocol},
		{"conflict", "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", Conflict},
		{"shutdown", "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", Network},
		{"goodbye", "</stream:stream>", Network},
		{"directive", "<!DOCTYPE x>", Protocol},
		{"text", "hello<a/>", Protocol},
		{"garbage", "<a></b>", Protocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := server(t, xmpptest.Options{})
			s, _ := dial(t, config(srv))
			s.Ping(t.Context())
			srv.Push("alice", c.push)
			if err := s.Wait(); err == nil || kindOf(err) != c.kind {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestCloseTwice(t *testing.T) {
	srv := server(t, xmpptest.Options{})
	s, err := Dial(t.Context(), config(srv))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	s, _ = dial(t, config(srv))
	s.Close()
	s.Close()
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

func TestJID(t *testing.T) {
	for in, want := range map[string]string{
		"Alice@Chat.Test": "alice@chat.test", "alice@chat.test/Box": "alice@chat.test/Box", "chat.test": "chat.test",
		`a\40b@gw`: `a\40b@gw`, "a@b/c/d@e": "a@b/c/d@e", "ÄRGER@x.de": "ärger@x.de", "a@x.": "a@x",
		"": "", "@x": "", "a@": "", "a b@x": "", "a@b/": "", "a@b@c": "", "a<b@x": "", "a@x y": "", "\xff@x": "",
	} {
		j, err := ParseJID(in)
		if (err != nil) != (want == "") || err == nil && j.String() != want {
			t.Errorf("%q: %q %v", in, j, err)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	for _, s := range []string{"<message><body>x</body></message>", "<a><b/></a></stream:stream>", "<!--x-->", "<a>&lt;</a>", "<a xmlns:b='c' b:d='e'/>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDecoder(strings.NewReader("<stream:stream xmlns='jabber:client' xmlns:stream='"+stanza.NSStream+"'>"+string(b)), 1<<16, nil)
		if err := d.header(); err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			n, err := d.next()
			if err != nil {
				return
			}
			ErrorOf(n)
			streamError(n)
			authError(JID{}, n)
		}
	})
}

func FuzzSCRAM(f *testing.F) {
	f.Add("r=abcdef,s=" + base64.StdEncoding.EncodeToString([]byte("salt")) + ",i=1")
	f.Add("m=x,r=abc,s=,i=-1")
	f.Fuzz(func(t *testing.T, challenge string) {
		c := newSCRAM(scrams[1], "user", "pencil", "abc")
		if i := strings.Index(challenge, "i="); i >= 0 && len(challenge) > i+5 {
			return // keeps the work of a run small
		}
		out, err := c.answer([]byte(challenge))
		if err == nil && !slices.Contains(strings.Split(string(out), ","), "c=biws") {
			t.Error(string(out))
		}
	})
}

// RFC 5802 §5 and RFC 7677 §3.
func TestSCRAMVectors(t *testing.T) {
	for _, c := range []struct {
		m                                  mechanism
		nonce, challenge, answer, verifier string
	}{
		{scrams[2], "fyko+d2lbbFgONRv9qkxdawL", "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{scrams[1], "rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		s := newSCRAM(c.m, "user", "pencil", c.nonce)
		out, err := s.answer([]byte(c.challenge))
		if err != nil || string(out) != c.answer {
			t.Error(string(out), err)
		}
		if err := s.verify([]byte(c.verifier)); err != nil {
			t.Error(err)
		}
		if s.verify(nil) == nil || s.verify([]byte("v=")) == nil {
			t.Error("accepts no proof")
		}
	}
}
