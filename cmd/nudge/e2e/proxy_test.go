package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// proxy stands between the box and a server: it can cut every connection and
// refuse new ones, delay what passes, and keeps what went both ways.
type proxy struct {
	Addr string

	target string
	l      net.Listener
	wg     sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	delay time.Duration
	open  map[net.Conn]bool
	sent  []*bytes.Buffer // by connection: what the box sent
	got   []*bytes.Buffer // by connection: what it was answered
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l := listen()
	p := &proxy{Addr: l.Addr().String(), target: target, l: l, open: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Cut resets every connection and each new one until Mend.
func (p *proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for c := range p.open {
		reset(c)
	}
}

// Mend lets connections through again.
func (p *proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Delay holds each piece back for d.
func (p *proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Sent returns what the box sent so far, by connection.
func (p *proxy) Sent() (streams [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.sent {
		streams = append(streams, slices.Clone(b.Bytes()))
	}
	return streams
}

// Took tells whether the server answered with that status to an HTTP request
// with word in its body.
func (p *proxy) Took(word string, status int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sent {
		out, in := bufio.NewReader(bytes.NewReader(p.sent[i].Bytes())), bufio.NewReader(bytes.NewReader(p.got[i].Bytes()))
		for {
			req, err := http.ReadRequest(out)
			if err != nil {
				break
			}
			body, _ := io.ReadAll(req.Body) // what was cut off has no answer either
			resp, err := http.ReadResponse(in, req)
			if err != nil {
				break
			}
			if io.Copy(io.Discard, resp.Body); resp.StatusCode == status && bytes.Contains(body, []byte(word)) {
				return true
			}
		}
	}
	return false
}

func reset(c net.Conn) {
	if tc, ok := c.(*net.TCPConn); ok {
		tc.SetLinger(0)
	}
	c.Close()
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

// admit enters connections so that Cut ends them; it ends them at once while
// cut.
func (p *proxy) admit(cs ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range cs {
		p.open[c] = true
		if p.cut {
			reset(c)
		}
	}
	return !p.cut
}

func (p *proxy) serve(c net.Conn) {
	defer p.close(c)
	if !p.admit(c) {
		return
	}
	s, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(c)
		return
	}
	defer p.close(s)
	if !p.admit(s) {
		return
	}
	record, answers := &bytes.Buffer{}, &bytes.Buffer{}
	p.mu.Lock()
	p.sent = append(p.sent, record)
	p.got = append(p.got, answers)
	p.mu.Unlock()
	back := make(chan struct{})
	go func() {
		defer close(back)
		p.pass(c, s, answers)
	}()
	p.pass(s, c, record)
	<-back
}

// pass copies one direction until it ends, then ends the other side's reading, or
// breaks that connection too.
func (p *proxy) pass(to, from net.Conn, record *bytes.Buffer) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		delay := p.delay
		record.Write(buf[:n])
		p.mu.Unlock()
		time.Sleep(delay)
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		switch {
		case err == io.EOF:
			to.(*net.TCPConn).CloseWrite()
			return
		case err != nil:
			reset(to)
			return
		}
	}
}

func (p *proxy) close(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	c.Close()
}
