package gateway

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rig is a gateway with what is behind and before it.
type rig struct {
	t    testing.TB
	g    *Server
	conn chan net.Conn // the server's ends of sessions
}

func newRig(t testing.TB, c Config) *rig {
	r := &rig{t: t, conn: make(chan net.Conn, 100)}
	c.Serve = func(nc net.Conn) { r.conn <- nc }
	c.Log = slog.New(slog.DiscardHandler)
	r.g = New(c)
	t.Cleanup(r.g.Close)
	return r
}

// web is an HTTP connection to the gateway.
type web struct {
	net.Conn
	t    testing.TB
	br   *bufio.Reader
	over chan error // how the gateway's side ended
}

// addressed is a pipe's end with a socket's addresses.
type addressed struct{ net.Conn }

func (addressed) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1).To16(), Port: 80}
}
func (addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4242} }

func (r *rig) connect() *web {
	client, server := net.Pipe()
	w := r.serve(client, addressed{server})
	r.t.Cleanup(func() { client.Close() })
	return w
}

func (r *rig) serve(client, server net.Conn) *web {
	w := &web{client, r.t, bufio.NewReader(client), make(chan error, 1)}
	go func() {
		defer server.Close()
		br := bufio.NewReader(server)
		line := r.g.Attach(server, br)
		for {
			if _, err := br.Peek(1); err != nil {
				line.End(err)
				w.over <- err
				return
			}
			if err := line.Answer(); err != nil {
				line.End(err)
				w.over <- err
				return
			}
		}
	}()
	return w
}

// post sends a request without waiting for its answer.
func (w *web) post(query, body string) {
	w.t.Helper()
	if _, err := fmt.Fprintf(w, "POST /gateway/gateway.dll?%s HTTP/1.1\r\nHost: gw.test\r\nContent-Length: %d\r\n\r\n%s", query, len(body), body); err != nil {
		w.t.Fatal(err)
	}
}

// got is an answer.
type got struct {
	status int
	id     string // SessionID
	closed bool   // Session=close
	data   string
}

// answer reads the next answer.
func (w *web) answer() got {
	w.t.Helper()
	resp, err := http.ReadResponse(w.br, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	g := got{status: resp.StatusCode, data: string(data)}
	for item := range strings.SplitSeq(resp.Header.Get("X-MSN-Messenger"), "; ") {
		if id, ok := strings.CutPrefix(item, "SessionID="); ok {
			g.id = id
		}
		g.closed = g.closed || item == "Session=close"
	}
	return g
}

func (w *web) ask(query, body string) got {
	w.t.Helper()
	w.post(query, body)
	return w.answer()
}

// open opens a session and says something in it.
func (r *rig) open(w *web, body string) (nc net.Conn, first got) {
	r.t.Helper()
	first = w.ask("Action=open&Server=NS&IP=messenger.hotmail.com", body)
	if first.status != 200 || first.id == "" {
		r.t.Fatalf("open: %+v", first)
	}
	return <-r.conn, first
}

// say lets the server say something.
func say(t testing.TB, nc net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads exactly what the server is expected to be told.
func hear(t testing.TB, nc net.Conn, want string) {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(time.Minute))
	b := make([]byte, len(want))
	if _, err := io.ReadFull(nc, b); err != nil || string(b) != want {
		t.Fatalf("the server was told %q, %v instead of %q", b, err, want)
	}
	nc.SetReadDeadline(time.Time{})
}

// silent checks that the server is told nothing now.
func silent(t testing.TB, nc net.Conn) {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(time.Second))
	if n, err := nc.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatalf("the server was told something: %v", err)
	}
	nc.SetReadDeadline(time.Time{})
}
