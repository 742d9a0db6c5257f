package passport

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// accounts has one account per handle with its password.
type accounts map[string]string

func (a accounts) CheckPassword(handle, password string) (string, bool) {
	for h, p := range a {
		if strings.EqualFold(h, handle) {
			return h, p == password
		}
	}
	return "", false
}

// seen is what a Witness was told.
type seen []string

func (s *seen) Saw(peer netip.Addr, handle string, t Trouble) {
	*s = append(*s, peer.String()+" "+handle+" "+t.String())
}

func newServer() *Server {
	return &Server{Accounts: accounts{"Alice@example.com": "123, 456"}, Tickets: NewTickets(), Witness: &seen{}, Throttle: NewThrottle(Limits{5, 20, time.Minute}), Log: slog.New(slog.DiscardHandler)}
}

var (
	local  = &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 443}
	remote = &net.TCPAddr{IP: net.ParseIP("192.0.2.9"), Port: 4242}
)

func ask(t *testing.T, s *Server, in string, via Via) (reply string, again bool) {
	t.Helper()
	r, err := ReadRequest(bufio.NewReader(strings.NewReader(in)), io.Discard)
	if err != nil {
		t.Fatalf("%q: %v", in, err)
	}
	var b strings.Builder
	if again, err = s.Answer(&b, r, via); err != nil {
		t.Fatal(err)
	}
	return b.String(), again
}

func TestNexus(t *testing.T) {
	mapped := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1).To16(), Port: 8443}
	for _, c := range []struct {
		in    string
		via   Via
		host  string
		again bool
	}{
		{"GET /rdr/pprdr.asp\r\n\r\n", Via{local, remote, true}, "192.0.2.1", false},
		{"GET /rdr/pprdr.asp HTTP/1.0\r\nHost: nexus.passport.com\r\n\r\n", Via{local, remote, true}, "nexus.passport.com", false},
		{"GET /rdr/pprdr.asp HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Via{local, remote, true}, "192.0.2.1", true},
		{"GET //rdr/PPrdr.asp?x=1 HTTP/1.1\nhost: box.lan:443\n\n", Via{local, remote, true}, "box.lan", true},
		{"GET https://box.lan/rdr/pprdr.asp HTTP/1.1\r\nConnection: Close\r\n\r\n", Via{mapped, remote, true}, "192.0.2.1:8443", false},
		{"GET /rdr/pprdr.asp HTTP/1.1\r\nHost: evil,DALogin=x\r\n\r\n", Via{local, remote, true}, "192.0.2.1", true},
		{"GET /rdr/pprdr.asp HTTP/1.1\r\nHost: box.lan:80\r\n\r\n", Via{local, remote, false}, "box.lan", true},
		{"GET /rdr/pprdr.asp\r\n\r\n", Via{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 443, Zone: "eth0"}, remote, true}, "[fe80::1]", false},
	} {
		got, again := ask(t, newServer(), c.in, c.via)
		want := "HTTP/1.1 200 OK\r\nPassportURLs: DARealm=Passport.Net,DALogin=" + c.host + "/login2.srf,"
		if !strings.HasPrefix(got, want) || !strings.Contains(got, "\r\nContent-Length: 0\r\n") || again != c.again || strings.Contains(got, "Connection: close") == again {
			t.Errorf("%q: again %v, %q", c.in, again, got)
		}
	}
}

// Clients that were patched for Escargot ask elsewhere and want another spelling.
func TestPatchedNexus(t *testing.T) {
	got, _ := ask(t, newServer(), "GET /nexus-mock HTTP/1.1\r\nHost: m1.escargot.log1p.xyz\r\n\r\n", Via{local, remote, true})
	const urls = ": DARealm=Passport.Net,DALogin=m1.escargot.log1p.xyz/login2.srf,"
	if !strings.Contains(got, "\r\nPassportURLs"+urls) || !strings.Contains(got, "\r\nPassporturls"+urls) {
		t.Errorf("it answers %q", got)
	}
}

func TestLogin(t *testing.T) {
	const fields = "OrgVerb=GET,OrgURL=http%3A%2F%2Fmessenger%2Emsn%2Ecom,sign-in=alice%40EXAMPLE.com,pwd=123%2C%20456,lc=1033,id=507"
	s := newServer()
	for _, line := range []string{"GET /login2.srf HTTP/1.1\r\n", "GET /login HTTP/1.0\r\n", "GET /login.srf?lc=1033\r\n"} {
		got, _ := ask(t, s, line+"Authorization: Passport1.4 "+fields+"\r\nHost: box\r\n\r\n", Via{local, remote, true})
		m := regexp.MustCompile(`^HTTP/1\.1 200 OK\r\nAuthentication-Info: Passport1\.4 da-status=success,tname=MSPAuth,tname=MSPProf,tname=MSPSec,from-PP='(t=[^', ]+&p=)',ru=http://messenger\.msn\.com\r\n`).FindStringSubmatch(got)
		if m == nil {
			t.Fatalf("%q: %q", line, got)
		}
		if h, ok := s.Tickets.Verify(m[1]); !ok || h != "Alice@example.com" {
			t.Errorf("the ticket is for %q, %v", h, ok)
		}
	}
	for _, auth := range []string{
		"", "Authorization: Basic abc\r\n", "Authorization: Passport1.4 \r\n", "Authorization: Passport1.4 sign-in=,pwd=\r\n",
		"Authorization: Passport1.4 " + strings.Replace(fields, "456", "457", 1) + "\r\n",
		"Authorization: Passport1.4 " + strings.Replace(fields, "alice", "bob", 1) + "\r\n",
		"Authorization: Passport1.4 sign-in=%zz,pwd=" + strings.Repeat("x", 999) + "\r\n",
	} {
		got, _ := ask(t, s, "GET /login2.srf HTTP/1.1\r\nHost: box\r\n"+auth+"\r\n", Via{local, remote, true})
		if !strings.HasPrefix(got, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Passport1.4 da-status=failed,srealm=Passport.NET,ts=-3,prompt,cburl=http://box/,cbtxt=") || strings.Contains(got, "wrong password") {
			t.Errorf("%q: %q", auth, got)
		}
	}
	want := seen{"192.0.2.9 alice@EXAMPLE.com wrong-password", "192.0.2.9 bob@EXAMPLE.com unknown-account"}
	if got := *s.Witness.(*seen); !slices.Equal(got, want) {
		t.Errorf("the owner is told %q", got)
	}
}

// TestWords checks that every trouble has a code of its own and words, and that
// none is left to fill in.
func TestWords(t *testing.T) {
	codes := map[string]bool{}
	for i := range troubles {
		w := Trouble(i)
		text := w.What("192.0.2.1") + w.Cure("192.0.2.1", "alice@example.com")
		if codes[w.String()] || w.String() == "" || text == "" || strings.ContainsAny(text, "{}\n") {
			t.Errorf("%d: %q %q", i, w, text)
		}
		codes[w.String()] = true
	}
	if got := WrongPassword.Cure("", ""); !strings.Contains(got, "passwd HANDLE") {
		t.Error(got)
	}
	if got := WrongPassword.Cure("", "alice@example.com"); !strings.Contains(got, "passwd alice@example.com") {
		t.Error(got)
	}
}

func TestWants(t *testing.T) {
	for line, want := range map[string]bool{
		"GET /rdr/pprdr.asp": true, "GET /nexus-mock HTTP/1.1": true, "GET /x": true, "GET //rdr/pprdr.asp HTTP/1.0": true, "GET /Login2.srf?a HTTP/1.1": true,
		"POST //RST.srf HTTP/1.1": true, "POST https://login.live.com/pp600/rst.srf?x HTTP/1.0": true, "POST /NotRST.srf HTTP/1.1": true, "POST /RST2.srf HTTP/1.1": false,
		"GET / HTTP/1.1": false, "POST http://h/gateway/gateway.dll?Action=open HTTP/1.1": false, "GET /loginx HTTP/1.1": false, "": false,
	} {
		if got := Wants(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

var requests = []struct {
	in  string
	err error
}{
	{"GET /x HTTP/1.1\r\nA: b\r\nno colon\r\n\r\n", nil},
	{"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", nil},
	{"POST /x HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc", nil},
	{"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", io.ErrUnexpectedEOF},
	{"POST /x HTTP/1.1\r\nContent-Length: -3\r\n\r\nab", ErrRequest},
	{"POST /x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", ErrRequest},
	{"GET\r\n\r\n", ErrRequest},
	{"\r\n", ErrRequest},
	{"GET /x HTTP/1.1\r\n", io.EOF},
	{"GET /" + strings.Repeat("x", maxHeader) + "\r\n\r\n", ErrRequest},
	{strings.Repeat("x: y\r\n", maxHeader), ErrRequest},
}

func TestReadRequest(t *testing.T) {
	for _, c := range requests {
		if _, err := ReadRequest(bufio.NewReader(strings.NewReader(c.in)), io.Discard); !errors.Is(err, c.err) {
			t.Errorf("%.40q: %v, want %v", c.in, err, c.err)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	for _, c := range requests {
		f.Add(c.in)
	}
	f.Add(tokenRequest("alice@example.com", "x"))
	f.Add("GET /login2.srf\r\nAuthorization: Passport1.4 sign-in=a%40b,pwd=%\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := ReadRequest(bufio.NewReader(strings.NewReader(in)), io.Discard)
		if err != nil {
			return
		}
		var b strings.Builder
		newServer().Answer(&b, r, Via{local, remote, true})
		head, _, _ := strings.Cut(b.String(), "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 ") || strings.Count(head, "\n") > 4 {
			t.Fatalf("%q answered %q", in, b.String())
		}
	})
}

func TestTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewTickets()
		one, two := k.Issue("Alice@example.com"), k.Issue("alice@example.com")
		for _, text := range []string{one, "t=" + one + "&p=", "t=" + one, two} {
			if _, ok := k.Verify(text); !ok {
				t.Errorf("%q is refused", text)
			}
		}
		time.Sleep(24 * time.Hour)
		if h, ok := k.Verify(one); !ok || h != "Alice@example.com" {
			t.Errorf("after a day: %q, %v", h, ok)
		}
		time.Sleep(ticketLife)
		if _, ok := k.Verify(two); ok {
			t.Error("a ticket that nobody used lives for ever")
		}
		k.Void("ALICE@example.com")
		for _, text := range []string{one, "", "t=", "t=&p="} {
			if _, ok := k.Verify(text); ok {
				t.Errorf("%q is good", text)
			}
		}
		first := k.Issue("bob@example.com")
		for range ticketMost {
			k.Issue("bob@example.com")
		}
		if _, ok := k.Verify(first); ok || len(k.all) != ticketMost {
			t.Errorf("%d tickets are kept", len(k.all))
		}
	})
}

func TestChallenge(t *testing.T) {
	got := Challenge(time.Unix(1062764229, 0))
	for _, key := range []string{"lc=", ",id=", ",tw=", ",fs=", ",ru=", ",ct=1062764229,", ",kpp=", ",kv=", ",ver=", ",tpf="} {
		if !strings.Contains(got, key) {
			t.Errorf("%q has no %q", got, key)
		}
	}
	if strings.ContainsAny(got, " \r\n") {
		t.Errorf("%q is more than one argument", got)
	}
}
