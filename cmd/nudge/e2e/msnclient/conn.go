package msnclient

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of what is accepted from a server (MSNP.md A.3), and how long a write
// or a polite end may take.
const (
	maxLine    = 8 << 10
	maxPayload = 64 << 10
	writeLimit = 10 * time.Second
)

// payload holds the commands from a server whose last argument is the length
// of a body. That of UUX, an answer, is always 0.
var payload = map[string]bool{"MSG": true, "NOT": true, "IPG": true, "UBX": true, "GCF": true, "UUX": true}

// conn is one connection to the server. Its reader owns the receiving side.
type conn struct {
	chat    *Chat
	log     *Log
	nc      net.Conn
	r       *bufio.Reader
	strict  strict
	stalled atomic.Bool
	ended   chan struct{} // closed by the reader
	left    chan struct{} // closed by leave and reset
	leaving sync.Once

	mu sync.Mutex // one command is written at a time
}

func newConn(nc net.Conn, log *Log, chat *Chat, v Version) *conn {
	lines := nsLines
	if chat != nil {
		lines = sbLines
	}
	return &conn{
		strict: strict{version: v, lines: lines},
		chat:   chat, log: log, nc: nc, r: bufio.NewReaderSize(nc, maxLine),
		ended: make(chan struct{}), left: make(chan struct{}),
	}
}

// read logs what arrives until the connection ends, then logs Closed.
func (k *conn) read(received func(Event)) {
	defer close(k.ended)
	defer k.nc.Close()
	for {
		e, err := k.next()
		if e.Chat = k.chat; err == nil {
			err = k.strict.check(e)
		}
		if k.stalled.Load() {
			<-k.left
			return
		}
		if err != nil {
			k.log.add(Event{Chat: k.chat, Cmd: Closed, Args: []string{err.Error()}})
			return
		}
		received(k.log.add(e))
	}
}

// next reads one command and its body.
func (k *conn) next() (Event, error) {
	line, err := k.r.ReadSlice('\n')
	if err != nil {
		return Event{}, err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	f := strings.Fields(text)
	if !ok || len(f) == 0 || len(f[0]) != 3 {
		return Event{}, fmt.Errorf("not a command: %q", line)
	}
	e := Event{Cmd: f[0], Args: f[1:], Line: text}
	if !payload[e.Cmd] {
		return e, nil
	}
	n, err := strconv.Atoi(f[len(f)-1])
	if err != nil || n < 0 || n > maxPayload {
		return Event{}, fmt.Errorf("not a length: %q", line)
	}
	e.Body = make([]byte, n)
	_, err = io.ReadFull(k.r, e.Body)
	return e, err
}

// send writes one command line.
func (k *conn) send(cmd string, args ...string) error {
	return k.write([]byte(strings.Join(append([]string{cmd}, args...), " ") + "\r\n"))
}

// sendBody writes a command whose last argument is the length of body.
func (k *conn) sendBody(body, cmd string, args ...string) error {
	line := strings.Join(append([]string{cmd}, args...), " ")
	return k.write(fmt.Appendf(nil, "%s %d\r\n%s", line, len(body), body))
}

func (k *conn) write(b []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nc.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err := k.nc.Write(b)
	return err
}

// leave says OUT and waits a moment for the server to close.
func (k *conn) leave() {
	if k.send("OUT") == nil {
		k.nc.SetReadDeadline(time.Now().Add(writeLimit))
		<-k.ended
	}
	k.close()
}

// reset ends the connection without a word.
func (k *conn) reset() {
	if tc, ok := k.nc.(*net.TCPConn); ok {
		tc.SetLinger(0)
	}
	k.close()
}

func (k *conn) close() {
	k.leaving.Do(func() { close(k.left) })
	k.nc.Close()
}
