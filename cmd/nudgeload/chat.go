package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// pair is two clients in a conversation; what the first says the second hears.
type pair struct{ from, to *client }

// meet opens a conversation between two signed-on clients (MSNP.md C.1–C.3).
func (p place) meet(a, b *client) (pair, error) {
	xfr, err := a.ask("XFR", "SB")
	if err != nil {
		return pair{}, err
	}
	from, err := p.connect(xfr[3], a.number)
	if err != nil {
		return pair{}, err
	}
	if _, err := from.ask("USR", a.handle+" "+xfr[5]); err != nil {
		return pair{}, err
	}
	if _, err := from.ask("CAL", b.handle); err != nil {
		return pair{}, err
	}
	ring, err := b.await("RNG")
	if err != nil {
		return pair{}, err
	}
	to, err := p.connect(ring[2], b.number)
	if err != nil {
		return pair{}, err
	}
	if _, err := to.ask("ANS", b.handle+" "+ring[4]+" "+ring[1]); err != nil {
		return pair{}, err
	}
	_, err = from.await("JOI")
	return pair{from, to}, err
}

// text is what everybody says: 64 bytes that start with the message's number.
const (
	digits = 10
	text   = 64
)

// before is what every client of the time puts before its text.
const before = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nX-MMS-IM-Format: FN=MS%20Sans%20Serif; EF=; CO=0; CS=0; PF=0\r\n\r\n"

// chatter is what came of a lot of talk.
type chatter struct {
	messages int
	wall     time.Duration
	took     []time.Duration // from the sender's write to the receiver's read, of some
}

// talk lets all pairs say at once that many messages each, with at most flight
// of a pair on their way at a time. Every message must come, in order.
func talk(pairs []pair, messages, flight int) (chatter, error) {
	var (
		mu    sync.Mutex
		all   = chatter{messages: messages * len(pairs)}
		first error
		wg    sync.WaitGroup
		began = time.Now()
	)
	for _, p := range pairs {
		wg.Go(func() {
			took, err := p.talk(messages, flight)
			mu.Lock()
			defer mu.Unlock()
			all.took = append(all.took, took...)
			if err != nil && first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	all.wall = time.Since(began)
	return all, first
}

// talk is one pair's part. Room for another message comes back from the
// receiver as the time when it read the one before.
func (p pair) talk(messages, flight int) ([]time.Duration, error) {
	sent := make([]time.Time, messages)
	room := make(chan struct{}, flight)
	for range flight {
		room <- struct{}{}
	}
	deaf, failed := make(chan struct{}), make(chan error)
	go func() { failed <- p.say(messages, room, deaf, sent) }()
	took, err := p.hear(messages, room, sent)
	if err != nil {
		p.from.nc.Close() // say may be in a Write
	}
	close(deaf)
	return took, errors.Join(err, <-failed)
}

// say writes messages while there is room, each by itself, as clients do, until
// nobody hears them any more.
func (p pair) say(messages int, room, deaf <-chan struct{}, sent []time.Time) error {
	var out []byte
	for n := range messages {
		select {
		case <-room:
		case <-deaf:
			return nil
		}
		p.from.trid++ // the gateway takes the same bytes for the same request
		out = appendMessage(out[:0], p.from.trid, n)
		sent[n] = time.Now()
		if err := p.from.write(out); err != nil {
			return err
		}
	}
	return nil
}

func appendMessage(b []byte, trid, n int) []byte {
	b = append(b, "MSG "...)
	b = strconv.AppendInt(b, int64(trid), 10)
	b = append(b, " N "...)
	b = strconv.AppendInt(b, int64(len(before)+text), 10)
	b = append(append(b, "\r\n"...), before...)
	from := len(b)
	b = append(b, "                                                                "...)
	strconv.AppendInt(b[:from], int64(n), digits)
	return b
}

// hear reads the messages and checks their order.
func (p pair) hear(messages int, room chan<- struct{}, sent []time.Time) ([]time.Duration, error) {
	took := make([]time.Duration, messages)
	for n := range messages {
		if n%1000 == 0 {
			p.to.nc.SetReadDeadline(time.Now().Add(2 * patience))
		}
		line, err := p.to.r.ReadSlice('\n')
		if err != nil || !bytes.HasPrefix(line, []byte("MSG ")) {
			return nil, fmt.Errorf("%s waits for message %d: %q, %v", p.to.handle, n, line, err)
		}
		size, err := strconv.Atoi(string(bytes.TrimSpace(line[bytes.LastIndexByte(line, ' '):])))
		if err != nil {
			return nil, err
		}
		body, err := p.to.r.Peek(size)
		if err != nil {
			return nil, err
		}
		if got := string(bytes.TrimSpace(body[max(0, size-text):])); got != strconv.Itoa(n) {
			return nil, fmt.Errorf("%s got message %q instead of %d", p.to.handle, got, n)
		}
		p.to.r.Discard(size)
		took[n] = time.Since(sent[n])
		room <- struct{}{}
	}
	return took, nil
}

func (p pair) part() {
	p.from.nc.Close()
	p.to.nc.Close()
}
