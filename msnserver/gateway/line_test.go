package gateway

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"nudge/msnserver/conn"
)

// TestAnswers compares answers letter by letter: clients cut them up with less
// than an HTTP library (MSNP.md E).
func TestAnswers(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		w := r.connect()
		id := ""
		number := regexp.MustCompile(`SessionID=(\d+)\.`)
		for _, c := range []struct{ in, want string }{
			{"POST http://gateway.messenger.hotmail.com/gateway/gateway.dll?Action=open&Server=NS&IP=messenger.hotmail.com HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
				"HTTP/1.1 200 OK\r\nContent-Type: application/x-msn-messenger\r\nContent-Length: 0\r\nX-MSN-Messenger: SessionID=ID.1; GW-IP=gateway.messenger.hotmail.com\r\nX-MSN-Host: gateway.messenger.hotmail.com\r\nConnection: Keep-Alive\r\n\r\n"},
			{"POST /gateway/gateway.dll?Action=poll&SessionID=ID.1 HTTP/1.1\r\nHost: 192.0.2.1:8080\r\n\r\n",
				"HTTP/1.1 200 OK\r\nContent-Type: application/x-msn-messenger\r\nContent-Length: 7\r\nX-MSN-Messenger: SessionID=ID.2; GW-IP=192.0.2.1:8080\r\nX-MSN-Host: 192.0.2.1\r\nConnection: Keep-Alive\r\n\r\nOUT OTH"},
			{"PUT /gateway/gateway.dll?Action=poll&SessionID=ID.2 HTTP/1.1\r\n\r\n",
				"HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 23\r\nConnection: Keep-Alive\r\n\r\nThe gateway takes POST."},
			{"POST /gateway/gateway.dll?Action=poll&SessionID=ID.2 HTTP/1.0\r\nHost: <evil>\r\n\r\n",
				"HTTP/1.1 200 OK\r\nContent-Type: application/x-msn-messenger\r\nContent-Length: 0\r\nX-MSN-Messenger: SessionID=ID.2; GW-IP=192.0.2.1; Session=close\r\nX-MSN-Host: 192.0.2.1\r\nConnection: close\r\n\r\n"},
		} {
			if _, err := io.WriteString(w, strings.ReplaceAll(c.in, "=ID.", "="+id+".")); err != nil {
				t.Fatal(err)
			}
			got := raw(t, w)
			if m := number.FindStringSubmatch(got); m != nil && id == "" {
				id = m[1]
				say(t, <-r.conn, "OUT OTH")
			}
			if got = number.ReplaceAllString(got, "SessionID=ID."); got != c.want {
				t.Errorf("%q:\n%q\nwant\n%q", c.in, got, c.want)
			}
			if strings.Contains(c.in, "PUT") {
				r.g.find(id).CloseWrite()
			}
		}
		if err := <-w.over; err != io.EOF {
			t.Errorf("the connection ended with %v", err)
		}
	})
}

// raw reads an answer as it came.
func raw(t *testing.T, w *web) (answer string) {
	t.Helper()
	length := 0
	for !strings.HasSuffix(answer, "\r\n\r\n") {
		line, err := w.br.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		fmt.Sscanf(line, "Content-Length: %d", &length)
		answer += line
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(w.br, body); err != nil {
		t.Fatal(err)
	}
	return answer + string(body)
}

// TestOtherHosts: nobody reaches anything through the gateway but this server.
func TestOtherHosts(t *testing.T) {
	var astray []netip.Addr
	synced(t, Config{Astray: func(peer netip.Addr) { astray = append(astray, peer) }}, func(t *testing.T, r *rig) {
		w := r.connect()
		for query, want := range map[string]int{
			"Action=open&Server=SB&IP=192.0.2.1":                        200,
			"Action=open&Server=SB&IP=192.0.2.1:1863":                   200,
			"Action=open&Server=SB&IP=::ffff:192.0.2.1":                 200,
			"Action=open&Server=SB&IP=127.0.0.1":                        200, // an interface of this machine
			"Action=open&Server=SB&IP=207.46.110.1":                     400,
			"Action=open&Server=SB&IP=192.0.2.9":                        400,
			"Action=open&Server=SB&IP=example.org":                      400,
			"Action=open&Server=SB&IP=":                                 400,
			"Action=open&Server=NS&IP=207.46.110.1":                     200, // an address of long ago
			"Action=open&Server=NS":                                     200,
			"Action=open&Server=HTTP&IP=192.0.2.1":                      400,
			"Action=poll&SessionID=1.1":                                 400,
			"Action=poll&SessionID=http://example.org/":                 400,
			"Action=open&Server=SB&IP=http://192.0.2.1/&Server=example": 400,
		} {
			if g := w.ask(query, ""); g.status != want {
				t.Errorf("%s: %+v", query, g)
			}
			if told := want == 400 && strings.HasPrefix(query, "Action=open&Server=SB") && !strings.HasSuffix(query, "Server=example"); told != (len(astray) == 1) || told && astray[0].String() != "192.0.2.7" {
				t.Errorf("%s: told of %v", query, astray)
			}
			astray = nil
		}
	})
}

// TestSockets: over TCP the kernel knows what has arrived. A connection that is
// reset, or whose client does not take what it was sent, has lost its answer. One
// that is closed in peace has not, if the client is one of those that have two
// requests on their way; else who took it was a proxy.
func TestSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := newRig(t, Config{Unacknowledged: conn.Unacknowledged})
	dial := func() *web {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return r.serve(client, server)
	}
	poll := "Action=poll&SessionID="
	begin := func(w *web) { w.Conn.Read(make([]byte, 1)) } // the rest stays unread in the client's machine
	for name, c := range map[string]struct {
		end  func(w *web)
		want string
	}{
		"read and closed": {func(w *web) { w.answer(); w.Close(); <-w.over }, "onetwo"},
		"closed unread":   {func(w *web) { begin(w); w.Close(); <-w.over }, "onetwo"},
		"reset":           {func(w *web) { begin(w); w.Conn.(*net.TCPConn).SetLinger(0); w.Close(); <-w.over }, "onetwo"},
		"open":            {func(w *web) { begin(w) }, "two"},
	} {
		t.Run(name, func(t *testing.T) {
			nc, id := r.session(dial())
			w := dial()
			say(t, nc, "one")
			w.post(poll+id, "")
			c.end(w)
			say(t, nc, "two")
			if g := dial().ask(poll+id, ""); g.data != c.want {
				t.Errorf("%+v", g)
			}
		})
	}
	t.Run("read and closed, two at once", func(t *testing.T) {
		nc, id := r.session(dial())
		a, b := dial(), dial()
		a.post(poll+id+"&Lifespan=30", "")
		for !r.g.find(strings.Split(id, ".")[0]).busy() {
			runtime.Gosched()
		}
		b.post(poll+id+"&Lifespan=30", "")
		a.answer()
		say(t, nc, "one")
		b.answer()
		b.Close()
		<-b.over
		say(t, nc, "two")
		if g := a.ask(poll+id, ""); g.data != "two" {
			t.Errorf("%+v", g)
		}
	})
	t.Run("not taken", func(t *testing.T) {
		nc, id := r.session(dial())
		w := dial()
		w.Conn.(*net.TCPConn).SetReadBuffer(2 << 10)
		big := strings.Repeat("x", maxAnswer)
		say(t, nc, big)
		w.post(poll+id, "")
		begin(w)
		if g := dial().ask(poll+id, ""); g.data != big {
			t.Errorf("%d bytes came", len(g.data))
		}
	})
	t.Run("last answer", func(t *testing.T) {
		nc, id := r.session(dial())
		say(t, nc, "OUT")
		nc.(*session).CloseWrite()
		if g := dial().ask(poll+id, ""); !g.closed || g.data != "OUT" {
			t.Errorf("%+v", g)
		}
		if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
		if n := nc.(*session).Unacknowledged(); n != 0 {
			t.Errorf("%d bytes are not proved", n)
		}
	})
}

// busy tells whether a request waits for its answer.
func (s *session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came > s.answered
}
