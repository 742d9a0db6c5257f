package conn

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nudge/msnserver/wire"
)

// session is the smallest client of this package.
type session struct {
	c     *Conn
	ended bool
}

var limits = Limits{Payload: wire.MaxNSPayload, Queue: 1 << 20, SignIn: time.Minute}

var rows = Table[*session]{
	Rows: map[string]Command[*session]{
		"VER": {Run: func(s *session, cmd wire.Command) error {
			s.c.Enter(Agreed)
			s.c.Send(cmd)
			return nil
		}, In: Fresh, Min: 2, Max: 9},
		"USR": {Run: func(s *session, cmd wire.Command) error {
			s.c.SignedIn()
			s.c.Send(cmd)
			return nil
		}, In: Agreed, Min: 2, Max: 3, Wrong: 207, Stay: true},
		"OUT": {Run: func(*session, wire.Command) error { return ErrBye }, In: Any},
		"ECO": {Run: func(s *session, cmd wire.Command) error { s.c.Send(cmd); return nil }, In: SignedIn, Min: 1, Max: 1},
		"BUG": {Run: func(*session, wire.Command) error { panic("bug") }, In: Any},
		"OLD": {In: Any},
	},
	Known: func(_ *Conn, verb string) bool { return verb != "OLD" },
}

// serve runs a session over a pipe; done is closed when Serve has returned.
func serve(t *testing.T, log io.Writer) (s *session, client net.Conn, done chan struct{}) {
	return serveAt(t, log, Rate{})
}

// serveAt is serve with a limit of commands.
func serveAt(t *testing.T, log io.Writer, r Rate) (s *session, client net.Conn, done chan struct{}) {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	s = &session{}
	s.c = New(server, bufio.NewReaderSize(server, wire.MaxLine), limits, slog.New(slog.NewTextHandler(log, nil)))
	s.c.Commands = r
	done = make(chan struct{})
	go func() {
		defer close(done)
		Serve(s.c, wire.ToNS, rows, s, func() { s.ended = true })
	}()
	return s, client, done
}

func TestTable(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"VER 1 MSNP2\r\nUSR 2 x\r\nUSR 3 x\r\nXYZ 4\r\nOLD 5\r\nOUT\r\n", "VER 1 MSNP2|USR 2 x|207 3|"},
		{"VER 1 MSNP2\r\nVER 2 MSNP2\r\n", "VER 1 MSNP2|715 2|"},
		{"USR 2 x\r\nVER 1 MSNP2\r\nUSR 3 a b c d e f\r\nUSR 4\r\n\r\nOUT\r\n", "207 2|VER 1 MSNP2|USR 3 a b|207 4|"},
		{"VER 1\r\n", ""}, {"XYZ\r\n", ""}, {"OLD\r\n", ""}, {"MSG 1 N abc\r\n", ""},
		{"OUT\r\nVER 1 MSNP2\r\n", ""},
	} {
		s, client, done := serve(t, io.Discard)
		go io.WriteString(client, c.in)
		got, _ := io.ReadAll(client)
		<-done
		if g := strings.ReplaceAll(string(got), "\r\n", "|"); g != c.want || !s.ended {
			t.Errorf("%q: %q, want %q", c.in, g, c.want)
		}
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	var log bytes.Buffer
	s, client, done := serve(t, &log)
	io.WriteString(client, "BUG\r\n")
	<-done
	if !s.ended || strings.Count(log.String(), "level=INFO") != 1 || !strings.Contains(log.String(), "bug: bug") {
		t.Errorf("ended %v, log %s", s.ended, log.String())
	}
}

func TestSignInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, done := serve(t, io.Discard)
		start := time.Now()
		io.WriteString(client, "VER 1 MSNP2\r\n")
		io.ReadAll(client)
		<-done
		if d := time.Since(start); d != limits.SignIn {
			t.Errorf("dropped after %v", d)
		}
		_, client, done = serve(t, io.Discard)
		go io.Copy(io.Discard, client)
		io.WriteString(client, "VER 1 MSNP2\r\nUSR 2 x\r\n")
		time.Sleep(24 * time.Hour)
		select {
		case <-done:
			t.Error("a silent signed-in client was dropped")
		default:
		}
		client.Close()
		<-done
	})
}

// counted counts the writes that reach the socket.
type counted struct {
	net.Conn
	writes atomic.Int32
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func TestQueueIsOneWrite(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	cc := &counted{Conn: server}
	c := New(cc, bufio.NewReaderSize(cc, wire.MaxLine), limits, slog.New(slog.DiscardHandler))
	c.Send(wire.Line("ONE"))
	r := bufio.NewReader(client)
	r.ReadString('\n') // the writer is in its first Write at the latest now
	for range 100 {
		c.Send(wire.Line("NLN", "x"), wire.Line("FLN", "y"))
	}
	for range 200 {
		r.ReadString('\n')
	}
	c.Close()
	c.finish(0)
	if n := cc.writes.Load(); n > 20 {
		t.Errorf("%d writes for 201 lines", n)
	}
}

func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log []string
		settle := func(name string) func(bool) {
			return func(ok bool) {
				mu.Lock()
				defer mu.Unlock()
				log = append(log, map[bool]string{true: "+", false: "-"}[ok]+name)
			}
		}
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(log, " "); got != want {
				t.Errorf("settled %q, want %q", got, want)
			}
			log = nil
		}
		s, client, done := serve(t, io.Discard)
		s.c.SendSettled(settle("a"), wire.Line("MSG"))
		s.c.SendSettled(settle("b"), wire.Line("MSG"))
		time.Sleep(2 * time.Second)
		expect("") // nobody has read: nothing is proved
		r := bufio.NewReader(client)
		r.ReadString('\n')
		r.ReadString('\n')
		time.Sleep(999 * time.Millisecond)
		expect("")
		time.Sleep(time.Millisecond)
		expect("+a +b")

		s.c.SendSettled(settle("c"), wire.Line("MSG"))
		r.ReadString('\n')
		time.Sleep(500 * time.Millisecond)
		s.c.SendSettled(settle("d"), wire.Line("MSG"))
		r.ReadString('\n')
		time.Sleep(500 * time.Millisecond)
		expect("+c")
		s.c.SendSettled(settle("e"), wire.Line("MSG"))
		client.Close()
		<-done
		expect("-d -e")
		s.c.SendSettled(settle("f"), wire.Line("MSG"))
		expect("-f")
	})
}

func TestOverflowCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client, done := serve(t, io.Discard)
		big := wire.Command{Verb: "MSG", Payload: make([]byte, 1<<16)}
		var lost atomic.Int32
		for range limits.Queue>>16 + 2 {
			s.c.SendSettled(func(ok bool) {
				if !ok {
					lost.Add(1)
				}
			}, big)
		}
		<-done
		if n := int(lost.Load()); n != limits.Queue>>16+2 {
			t.Errorf("%d messages failed", n)
		}
		client.Close()
	})
}

func TestHangUp(t *testing.T) {
	s, client, done := serve(t, io.Discard)
	s.c.Send(wire.Line("OUT", "OTH"))
	s.c.HangUp()
	s.c.Send(wire.Line("NLN"))
	if got, _ := io.ReadAll(client); string(got) != "OUT OTH\r\n" {
		t.Errorf("got %q", got)
	}
	<-done
}

// TestPeacefulEndProves: over real sockets, a client that read everything and
// closed has got it; one that closed with unread input has not.
func TestPeacefulEndProves(t *testing.T) {
	for _, c := range []struct {
		name string
		read int // lines the client reads before it closes
		want bool
	}{{"all read", 2, true}, {"closed with unread input", 0, false}} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			s := &session{c: New(server, bufio.NewReaderSize(server, wire.MaxLine), limits, slog.New(slog.DiscardHandler))}
			got := make(chan bool, 1)
			s.c.SendSettled(func(ok bool) { got <- ok }, wire.Line("ONE"), wire.Line("TWO"))
			s.c.writer.Wait()
			r := bufio.NewReader(client)
			for range c.read {
				r.ReadString('\n')
			}
			client.Close()
			Serve(s.c, wire.ToNS, rows, s, func() {})
			if ok := <-got; ok != c.want {
				t.Errorf("settled %v, want %v", ok, c.want)
			}
		})
	}
}

// What a client did not get fails in the order in which it was sent: messages
// are kept for it in that order.
func TestFailuresKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, done := serve(t, io.Discard)
		var failed []int
		send := func(n int) {
			s.c.SendSettled(func(ok bool) {
				if !ok {
					failed = append(failed, n)
				}
			}, wire.Line("ECO", "x"))
		}
		send(1)
		synctest.Wait() // it is being written, to a client that does not read
		send(2)
		s.c.Close()
		send(3)
		<-done
		if len(failed) != 3 || failed[0] != 1 || failed[1] != 2 || failed[2] != 3 {
			t.Errorf("they fail in the order %v", failed)
		}
	})
}
