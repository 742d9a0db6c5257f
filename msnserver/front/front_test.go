package front

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nudge/msnserver/gateway"
	"nudge/msnserver/passport"
)

type nobody struct{}

func (nobody) CheckPassword(string, string) (string, bool) { return "", false }

// witness is a passport.Witness of this machine's troubles.
type witness chan passport.Trouble

func (w witness) Saw(peer netip.Addr, handle string, t passport.Trouble) {
	if peer == netip.AddrFrom4([4]byte{127, 0, 0, 1}) && handle == "" {
		w <- t
	}
}

// memory is a Store in memory.
type memory struct{ pem []byte }

func (m *memory) Load() ([]byte, error) { return m.pem, nil }
func (m *memory) Save(pem []byte) error { m.pem = pem; return nil }

var saved memory // one key for all tests: making it takes long

// ready is a certificate that is made.
func ready(t *testing.T) *Certificate {
	t.Helper()
	cert := newCertificate(&saved)
	if err := cert.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return cert
}

func newCertificate(st Store) *Certificate {
	return NewCertificate(st, []string{"box.lan"}, addresses("127.0.0.1"), slog.New(slog.DiscardHandler))
}

// start serves on a loopback port.
func start(t *testing.T, pages http.Handler, secure bool) (addr string) {
	t.Helper()
	addr, _ = serve(t, ready(t), pages, secure)
	return addr
}

// serve serves with cert, and tells what the owner is told.
func serve(t *testing.T, cert *Certificate, pages http.Handler, secure bool) (addr string, told witness) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	told = make(witness, 10)
	s := New(&passport.Server{Accounts: nobody{}, Tickets: passport.NewTickets(), Witness: told, Throttle: passport.NewThrottle(passport.Limits{PerAccount: 5, PerSource: 20, Longest: 1}), Log: log}, gateway.New(gateway.Config{Log: log}), cert, pages, log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l, secure) }()
	t.Cleanup(func() {
		if err := s.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String(), told
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second)) // only a failing test gets there
	t.Cleanup(func() { c.Close() })
	return c
}

func TestOneConnectionOfEverything(t *testing.T) {
	c := dial(t, start(t, nil, false))
	br := bufio.NewReader(c)
	for _, q := range []struct{ request, status, field string }{
		{"GET /rdr/pprdr.asp HTTP/1.1\r\nHost: box\r\n\r\n", "200 OK", "Passporturls"},
		{"\r\nGET /login2.srf HTTP/1.1\r\nHost: box\r\n\r\n", "401 Unauthorized", "Www-Authenticate"},
		{"GET // HTTP/1.1\r\nHost: box\r\n\r\n", "200 OK", "Content-Length"},
		{"GET //no//such HTTP/1.1\r\nHost: box\r\n\r\n", "404 Not Found", "Content-Length"},
	} {
		io.WriteString(c, q.request)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("%q: %v", q.request, err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.Status != q.status || resp.Header.Get(q.field) == "" || len(resp.TransferEncoding) > 0 || resp.ContentLength < 0 {
			t.Errorf("%q: %+v", q.request, resp)
		}
	}
}

// TestExpect: a client that waits for the word to send its body gets it, whoever
// answers the request.
func TestExpect(t *testing.T) {
	pages := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	c := dial(t, start(t, pages, false))
	br := bufio.NewReader(c)
	for _, path := range []string{"/RST.srf", "//NotRST.srf", "/gateway/gateway.dll?Action=open", "/page"} {
		io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: box\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
		if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%s: %q, %v", path, line, err)
		}
		br.ReadString('\n')
		io.WriteString(c, "abc")
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode == 100 {
			t.Fatalf("%s: %+v, %v", path, resp, err)
		}
		io.Copy(io.Discard, resp.Body)
	}
}

func TestNoVersion(t *testing.T) {
	for _, secure := range []bool{false, true} {
		c := dial(t, start(t, nil, secure))
		if secure {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		}
		io.WriteString(c, "GET /rdr/pprdr.asp\r\n\r\n")
		got, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 OK\r\nPassportURLs: ") || !strings.Contains(string(got), "DALogin=127.0.0.1") {
			t.Errorf("secure %v: %q, %v", secure, got, err)
		}
	}
}

// TestMeasured checks the length of answers that state none and of those that do.
func TestMeasured(t *testing.T) {
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			for range 100 {
				w.Write(make([]byte, 1000))
			}
		case "/stated":
			w.Header().Set("Content-Length", "3")
			io.WriteString(w, "abc")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		}
	})
	addr := start(t, pages, false)
	for path, want := range map[string]int64{"/long": 100000, "/stated": 3, "/none": 0, "/empty": 0} {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.ContentLength != want || int64(len(b)) != want {
			t.Errorf("%s: length %d, %d bytes", path, resp.ContentLength, len(b))
		}
	}
}

// addresses are the box's own.
func addresses(all ...string) func() (ips []net.IP) {
	return func() (ips []net.IP) {
		for _, a := range all {
			ips = append(ips, net.ParseIP(a))
		}
		return ips
	}
}
