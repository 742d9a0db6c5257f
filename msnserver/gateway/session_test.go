package gateway

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// session opens one in which both sides have said something and the client has
// shown that it takes over numbers.
func (r *rig) session(w *web) (nc net.Conn, id string) {
	r.t.Helper()
	go func() {
		nc := <-r.conn
		hear(r.t, nc, "VER")
		say(r.t, nc, "ok")
		nc.SetReadDeadline(time.Now().Add(5 * settleTime))
		nc.Read(make([]byte, 1)) // it waits for more: the answer is complete
		nc.SetReadDeadline(time.Time{})
		r.conn <- nc
	}()
	first := w.ask("Action=open&Server=NS&IP=x", "VER")
	nc = <-r.conn
	if first.data != "ok" {
		r.t.Fatalf("open: %+v", first)
	}
	say(r.t, nc, "hello")
	second := w.ask("Action=poll&SessionID="+first.id, "")
	if third := w.ask("Action=poll&SessionID="+second.id, ""); second.data != "hello" || third.id != second.id || third.data != "" {
		r.t.Fatalf("polls: %+v, %+v", second, third)
	}
	return nc, second.id
}

// synced runs a test in a bubble of time with a rig.
func synced(t *testing.T, c Config, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t, c)) })
}

func TestLongPoll(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		w := r.connect()
		nc, id := r.session(w)
		for query, want := range map[string]time.Duration{"": 0, "&Lifespan=20": 20 * time.Second, "&LIFESPAN=99999": maxLifespan} {
			start := time.Now()
			if g := w.ask("Action=poll&SessionID="+id+query, ""); g.data != "" || time.Since(start) != want {
				t.Errorf("%q: %+v after %v", query, g, time.Since(start))
			}
		}
		start := time.Now()
		time.AfterFunc(5*time.Second, func() { say(t, nc, "NLN") })
		if g := w.ask("action=POLL&sessionid="+id+"&lifespan=20", ""); g.data != "NLN" || time.Since(start) != 5*time.Second {
			t.Errorf("%+v after %v", g, time.Since(start))
		}
	})
}

// TestCommandsAreAnswered: the answer to commands has what the server says to
// them, is not held when it says nothing, and does not wait for ever.
func TestCommandsAreAnswered(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		w := r.connect()
		nc, id := r.session(w)
		go func() {
			hear(t, nc, "SYN")
			say(t, nc, "SYN")
			time.Sleep(10 * time.Millisecond)
			say(t, nc, "LST")
			hear(t, nc, "NOP")
			hear(t, nc, "ADD")
			time.Sleep(5 * time.Second)
			say(t, nc, "ADD")
		}()
		start := time.Now()
		g := w.ask("SessionID="+id, "SYN")
		if g.data != "SYNLST" {
			t.Errorf("%+v", g)
		}
		if g = w.ask("SessionID="+g.id, "NOP"); g.data != "" || time.Since(start) > 100*time.Millisecond {
			t.Errorf("%+v after %v", g, time.Since(start))
		}
		start = time.Now()
		if g = w.ask("SessionID="+g.id, "ADD"); g.data != "" || time.Since(start) != replyTime {
			t.Errorf("%+v after %v", g, time.Since(start))
		}
		if g = w.ask("Action=poll&Lifespan=20&SessionID="+g.id, ""); g.data != "ADD" || time.Since(start) != 5*time.Second {
			t.Errorf("%+v after %v", g, time.Since(start))
		}
	})
}

// TestAtOnce: a poll that is overtaken is answered with nothing, what there is
// goes to the newer request, and three are too many (MSNP.md K.10).
func TestAtOnce(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		a, b, c := r.connect(), r.connect(), r.connect()
		nc, id := r.session(a)
		poll := "Action=poll&Lifespan=30&SessionID=" + id
		a.post(poll, "")
		synctest.Wait()
		b.post(poll, "")
		if g := a.answer(); g.status != 200 || g.data != "" || g.id != id {
			t.Errorf("overtaken: %+v", g)
		}
		synctest.Wait()
		say(t, nc, "NLN")
		g := b.answer()
		if g.data != "NLN" {
			t.Errorf("newer: %+v", g)
		}
		id = g.id
		poll = "Action=poll&Lifespan=30&SessionID=" + id

		go func() { hear(t, nc, "SLOW"); time.Sleep(replyTime - time.Millisecond); say(t, nc, "done") }()
		a.post("SessionID="+id, "SLOW")
		synctest.Wait()
		b.post(poll, "")
		synctest.Wait()
		if g := c.ask(poll, ""); g.status != 400 {
			t.Errorf("a third: %+v", g)
		}
		if g := a.answer(); g.data != "done" {
			t.Errorf("in order: %+v", g)
		}
	})
}

// TestLostAnswer: what went out on a connection that broke comes again, under
// whatever the client asks next; what it has does not.
func TestLostAnswer(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		a := r.connect()
		nc, id := r.session(a)
		say(t, nc, "one")
		a.post("Action=poll&SessionID="+id, "")
		a.Close() // before it has read the answer
		<-a.over
		b := r.connect()
		say(t, nc, "two")
		g := b.ask("Action=poll&SessionID="+id, "")
		if g.data != "onetwo" {
			t.Fatalf("after the break: %+v", g)
		}
		b.Close() // in peace
		<-b.over
		c := r.connect()
		if n := nc.(*session).Unacknowledged(); n != 6 {
			t.Errorf("%d bytes are not proved", n)
		}
		say(t, nc, "three")
		if g = c.ask("Action=poll&SessionID="+g.id, ""); g.data != "three" {
			t.Errorf("then: %+v", g)
		}
		if n := nc.(*session).Unacknowledged(); n != 5 {
			t.Errorf("%d bytes are not proved", n)
		}
	})
}

// TestRepeatedRequest: commands whose answer was lost are not run again.
func TestRepeatedRequest(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		a := r.connect()
		nc, id := r.session(a)
		go func() { hear(t, nc, "MSG 1"); say(t, nc, "ACK 1") }()
		a.post("SessionID="+id, "MSG 1")
		time.Sleep(time.Second) // the gateway is about to give its answer
		a.Close()
		<-a.over
		b := r.connect()
		g := b.ask("SessionID="+id, "MSG 1")
		if g.data != "ACK 1" {
			t.Errorf("the answer that was lost: %+v", g)
		}
		silent(t, nc)
		go func() { hear(t, nc, "MSG 2") }()
		if g = b.ask("SessionID="+g.id, "MSG 2"); g.data != "" {
			t.Errorf("the next: %+v", g)
		}
	})
}

// TestCrossing: a client whose two polls cross has both answers; nothing comes
// twice, whatever number it goes on with.
func TestCrossing(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		a, b := r.connect(), r.connect()
		nc, id := r.session(a)
		poll := "Action=poll&SessionID="
		a.post(poll+id+"&Lifespan=9", "")
		synctest.Wait()
		b.post(poll+id, "")
		a.answer()
		b.answer()
		say(t, nc, "one")
		a.post(poll+id, "")
		first := a.answer() // as far as the gateway knows, it may still be on its way
		if g := b.ask(poll+id, ""); first.data != "one" || g.data != "" {
			t.Errorf("%+v, then %+v", first, g)
		}
		say(t, nc, "two")
		if g := b.ask(poll+id, ""); g.data != "two" {
			t.Errorf("with the old number: %+v", g)
		}
		b.Close()
		<-b.over
		if g := a.ask(poll+first.id, ""); g.data != "" {
			t.Errorf("with the number before: %+v", g)
		}
	})
}

// tardy is a connection that carries at once, and whose writer goes on later.
type tardy struct{ net.Conn }

func (c tardy) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	time.Sleep(time.Second)
	return n, err
}

// TestPromptClient: a client that has its answer before the gateway is told so,
// and asks again at once on another connection, has not had two requests on their
// way: what it loses later comes again.
func TestPromptClient(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		client, server := net.Pipe()
		defer client.Close()
		nc, id := r.session(r.serve(client, tardy{addressed{server}}))
		w := r.connect()
		say(t, nc, "one")
		w.ask("Action=poll&SessionID="+id, "")
		w.Close()
		<-w.over
		say(t, nc, "two")
		if g := r.connect().ask("Action=poll&SessionID="+id, ""); g.data != "onetwo" {
			t.Errorf("%+v", g)
		}
	})
}

// TestStubborn: a client that stays with its first number is given nothing
// twice, and what it was given is proved by its next request.
func TestStubborn(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		w := r.connect()
		nc, first := r.open(w, "")
		for _, text := range []string{"one", "two", "three"} {
			say(t, nc, text)
			if g := w.ask("Action=poll&SessionID="+first.id, ""); g.data != text {
				t.Errorf("%q: %+v", text, g)
			}
			w.Close()
			<-w.over
			w = r.connect()
		}
		for range 2 {
			w.ask("Action=poll&SessionID="+first.id, "")
			if n := nc.(*session).Unacknowledged(); n != 0 {
				t.Errorf("%d bytes are not proved", n)
			}
			say(t, nc, "four")
			w.ask("Action=poll&SessionID="+first.id, "")
		}
	})
}

// TestExpiry: a client that stays away is gone a minute after its last answer,
// and what was in that is not proved.
func TestExpiry(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		w := r.connect()
		nc, id := r.session(w)
		say(t, nc, "one")
		start := time.Now()
		w.ask("Action=poll&Lifespan=30&SessionID="+id, "")
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, errGone) || time.Since(start) != awayTime {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if n := nc.(*session).Unacknowledged(); n != 3 {
			t.Errorf("%d bytes are not proved", n)
		}
		nc.Close()
		if g := w.ask("Action=poll&SessionID="+id, ""); g.status != 400 {
			t.Errorf("%+v", g)
		}
	})
}

// TestGoodbye: the last answer brings what is left and says that it is the last.
func TestGoodbye(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		w := r.connect()
		nc, id := r.session(w)
		w.post("Action=poll&Lifespan=30&SessionID="+id, "")
		synctest.Wait()
		nc.(*session).CloseWrite()
		if g := w.answer(); !g.closed || g.data != "" {
			t.Errorf("a poll that was held: %+v", g)
		}
		if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the client has its last answer: %v", err)
		}
		nc.Close()
		if g := w.ask("Action=poll&SessionID="+id, ""); g.status != 400 {
			t.Errorf("afterwards: %+v", g)
		}

		nc, id = r.session(w)
		say(t, nc, "OUT OTH")
		nc.(*session).CloseWrite()
		if _, err := nc.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing after CloseWrite: %v", err)
		}
		if g := w.ask("Action=poll&SessionID="+id, ""); !g.closed || g.data != "OUT OTH" {
			t.Errorf("the next poll: %+v", g)
		}
		synctest.Wait()
		if n := nc.(*session).Unacknowledged(); n != 0 {
			t.Errorf("%d bytes are not proved", n)
		}

		nc, id = r.session(w)
		say(t, nc, "never fetched")
		nc.Close()
		if g := w.ask("Action=poll&SessionID="+id, ""); !g.closed || g.data != "" {
			t.Errorf("of a session that was closed: %+v", g)
		}
	})
}

// TestDeadlines checks what a net.Conn promises.
func TestDeadlines(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		nc, _ := r.open(r.connect(), "")
		check := func(what string, want error, limit time.Duration, do func() error) {
			t.Helper()
			start := time.Now()
			if err := do(); !errors.Is(err, want) || time.Since(start) != limit {
				t.Errorf("%s: %v after %v", what, err, time.Since(start))
			}
		}
		read := func() error { _, err := nc.Read(make([]byte, 1)); return err }
		big := make([]byte, maxOut+1)
		write := func() error { _, err := nc.Write(big); return err }
		nc.SetReadDeadline(time.Now().Add(3 * time.Second))
		check("read", os.ErrDeadlineExceeded, 3*time.Second, read)
		check("read with a deadline that has passed", os.ErrDeadlineExceeded, 0, read)
		nc.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { nc.SetReadDeadline(time.Now()) })
		check("read that is interrupted", os.ErrDeadlineExceeded, time.Second, read)
		nc.SetDeadline(time.Now().Add(2 * time.Second))
		check("write", os.ErrDeadlineExceeded, 2*time.Second, write)
		nc.SetDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { nc.Close() })
		check("read while closing", net.ErrClosed, time.Second, read)
		check("read when closed", net.ErrClosed, 0, read)
		check("write when closed", net.ErrClosed, 0, write)
		if err := nc.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestAddresses: the remote one has no port (MSNP.md E), ours MSN's.
func TestAddresses(t *testing.T) {
	synced(t, Config{}, func(t *testing.T, r *rig) {
		nc, _ := r.open(r.connect(), "")
		if nc.LocalAddr().String() != "192.0.2.1:1863" || nc.RemoteAddr().String() != "192.0.2.7:0" {
			t.Errorf("%v, %v", nc.LocalAddr(), nc.RemoteAddr())
		}
	})
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]Config{"in all": {Sessions: 2}, "per address": {PerAddress: 2}} {
		t.Run(name, func(t *testing.T) {
			synced(t, c, func(t *testing.T, r *rig) {
				w := r.connect()
				_, id := r.session(w)
				r.session(w)
				open := "Action=open&Server=NS&IP=x"
				if g := w.ask(open, "VER"); g.status != 503 {
					t.Errorf("one too many: %+v", g)
				}
				one := r.g.find(strings.Split(id, ".")[0])
				if c.PerAddress > 0 {
					one.Vouch() // who has signed in does not count
				} else {
					one.expire()
					one.Close()
				}
				r.open(w, "")
			})
		})
	}
	synced(t, Config{}, func(t *testing.T, r *rig) {
		w := r.connect()
		nc, id := r.session(w)
		big := strings.Repeat("x", maxBody)
		last := got{}
		for i := range maxIn / maxBody {
			last = w.ask("SessionID="+id, big[:maxBody-i])
		}
		if last.status != 200 {
			t.Errorf("%+v", last)
		}
		w.post("SessionID="+id, big[:maxBody-9])
		if err := <-w.over; !errors.Is(err, errTooLarge) {
			t.Errorf("a client that says more than is read: %v", err)
		}
		io.CopyN(io.Discard, nc, maxIn-1)
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, errGone) {
			t.Errorf("its session: %v", err)
		}
	})
}
