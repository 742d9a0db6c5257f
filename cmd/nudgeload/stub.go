package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// stub is the floor: the least that a Go server can do and still have clients
// sign in, see each other and talk. One goroutine per connection, a
// bufio.Reader of the usual size, and one Write for all that a batch of input
// makes a client hear.
//
// What it leaves out: it knows no accounts and no passwords, checks no state,
// argument or right, keeps nothing on disk, logs nothing, has no limits and no
// timers; it understands no message, proves no delivery and tells nobody who
// left; and a client that does not read holds up whoever writes to it.
type stub struct {
	crowd
	msn, https net.Listener
	work       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	here  map[int]*peer // signed-on clients by account
	rooms map[int]*room
}

// room is a switchboard session.
type room struct {
	mu    sync.Mutex
	seats []*peer
}

// peer is one connection. Its reader owns everything but out.
type peer struct {
	*stub
	nc      net.Conn
	r       *bufio.Reader
	number  int
	version version
	room    *room
	seen    bool           // has shown up
	touched map[*peer]bool // with something in out
	payload []byte

	mu  sync.Mutex
	out []byte
}

// serveStub runs a stub until ctx ends and prints where it answers, in the form
// in which nudge does.
func serveStub(ctx context.Context, c crowd, w io.Writer) error {
	s := &stub{crowd: c, conns: map[net.Conn]bool{}, here: map[int]*peer{}, rooms: map[int]*room{}}
	var err error
	if s.msn, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	if s.https, err = listenTLS(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, s.stop)()
	s.work.Go(func() { s.accept(s.https, s.passport) })
	fmt.Fprintf(w, "msn %s\nhttps %s\n", s.msn.Addr(), s.https.Addr())
	s.accept(s.msn, s.serve)
	s.work.Wait()
	return nil
}

func (s *stub) stop() {
	s.msn.Close()
	s.https.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

func (s *stub) accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.conns == nil {
			c.Close()
		} else {
			s.conns[c] = true
			s.work.Go(func() {
				serve(c)
				c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			})
		}
		s.mu.Unlock()
	}
}

// serve reads commands until the client is gone.
func (s *stub) serve(nc net.Conn) {
	p := &peer{stub: s, nc: nc, r: bufio.NewReader(nc), number: -1, touched: map[*peer]bool{}}
	for {
		if p.r.Buffered() == 0 {
			p.flush()
		}
		line, err := p.r.ReadSlice('\n')
		if err != nil {
			break
		}
		if bytes.HasPrefix(line, []byte("MSG ")) {
			err = p.relay(string(bytes.TrimSpace(line)))
		} else {
			p.answer(strings.Fields(string(line)))
		}
		if err != nil {
			break
		}
	}
	s.mu.Lock()
	if s.here[p.number] == p {
		delete(s.here, p.number)
	}
	s.mu.Unlock()
}

// flush writes to everybody what this peer made them hear.
func (p *peer) flush() {
	for to := range p.touched {
		to.mu.Lock()
		to.nc.Write(to.out)
		to.out = to.out[:0]
		to.mu.Unlock()
		delete(p.touched, to)
	}
}

// tell queues a line.
func (p *peer) tell(to *peer, line ...string) {
	to.mu.Lock()
	for i, word := range line {
		if i > 0 {
			to.out = append(to.out, ' ')
		}
		to.out = append(to.out, word...)
	}
	to.out = append(to.out, "\r\n"...)
	to.mu.Unlock()
	p.touched[to] = true
}

// relay hands a message to the others in the room.
func (p *peer) relay(line string) error {
	n, err := strconv.Atoi(line[strings.LastIndexByte(line, ' ')+1:])
	if err != nil {
		return err
	}
	if cap(p.payload) < n {
		p.payload = make([]byte, n)
	}
	if _, err := io.ReadFull(p.r, p.payload[:n]); err != nil {
		return err
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	for _, to := range p.room.seats {
		if to == p {
			continue
		}
		p.tell(to, "MSG", p.handle(p.number), p.friendly(p.number), strconv.Itoa(n))
		to.mu.Lock()
		to.out = append(to.out, p.payload[:n]...)
		to.mu.Unlock()
	}
	return nil
}
