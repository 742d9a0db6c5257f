// Package conn is one client connection: the reader that checks every command
// against a table before its handler runs, and the queue of what goes out.
//
// # Goroutines
//
// Serve's caller is the reader: it owns the socket's read side and runs the
// handlers. A writer goroutine lives only while there is something to write; it
// drains the whole queue into one Write. Send, SendSettled, HangUp and Close may
// be called from any goroutine, also with the hub's lock held: they never block.
// One timer proves deliveries. Serve waits for writer and timer before it
// returns.
//
// # Ends
//
// A queue that is full means a client that does not read: it is closed, the
// sender is never held up. Hang up (a handler returns ErrBye, or HangUp) lets the
// queue drain first.
//
// # Proof
//
// A message counts as delivered when the session lives a second after its last
// byte was written (DESIGN.md §3) and, where the kernel can tell, when the
// client's machine has confirmed that byte. One that polls must have come again,
// which shows that it has the answer before. A client that closes in peace
// proves what was confirmed at once: a kernel whose program closes a socket
// without having read everything answers with a reset, never with a plain end.
package conn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"nudge/msnserver/dialect"
	"nudge/msnserver/wire"
)

const (
	writeTime    = 30 * time.Second // for one Write, at least
	lingerTime   = 2 * time.Second  // for the client to take the last lines and close
	polledLinger = 10 * time.Second // for one that comes for them
	proofTime    = time.Second      // how long a session must outlive a message (DESIGN.md §3)
	proofPause   = time.Second / 4  // between two looks at who has
	shrinkBuffer = 64 << 10         // a queue buffer larger than that is not kept
)

// ErrBye is what a handler returns to end the connection after what is queued was
// written.
var ErrBye = errors.New("bye")

// Conn is one client. Make one with New.
type Conn struct {
	Net      net.Conn
	Log      *slog.Logger
	Greeted  func() // runs when the client has proved who it is; nil for nothing
	Commands Rate   // how fast it may talk, from Serve on
	Ear      Ear    // overhears everything, from Serve on; nil for nobody

	limits   Limits
	payloads wire.Payloads // reader's, as what follows
	pace     pace
	unknown  int // unknown commands so far

	r     *bufio.Reader
	state State            // reader's
	d     *dialect.Dialect // reader's until signed in, then constant

	mu      sync.Mutex
	out     *queue       // not yet taken by the writer; nil when there is nothing
	sent    int          // bytes written since the beginning
	proofs  []proof      // written, waiting for their second to pass
	writing bool         // a writer runs
	hungUp  bool         // nothing more is queued; the writer closes when it is done
	closed  bool         // the socket is closed
	over    bool         // Serve is at its end: a settle can only fail
	failed  []func(bool) // written in vain
	refused []func(bool) // came after the end: younger than what is in out
	timer   *time.Timer
	limit   time.Time // the writer's: when its Write ends at the latest
	writer  sync.WaitGroup
	proving sync.WaitGroup // the timer
}

// queue is what waits for the writer. A silent client has none: they are shared.
type queue struct {
	bytes []byte
	marks []mark // the messages in bytes
}

var queues = sync.Pool{New: func() any { return new(queue) }}

// recycle gives a queue back that was written.
func (q *queue) recycle() {
	if cap(q.bytes) > shrinkBuffer {
		return
	}
	clear(q.marks)
	q.bytes, q.marks = q.bytes[:0], q.marks[:0]
	queues.Put(q)
}

// mark is a message in the queue: settle is called when byte end of the queue
// was written.
type mark struct {
	end    int
	settle func(bool)
}

// New makes a connection of a socket, which r must read from.
func New(c net.Conn, r *bufio.Reader, limits Limits, log *slog.Logger) *Conn {
	return &Conn{Net: c, Log: log, limits: limits, r: r, state: Fresh}
}

// ReadAhead gives a client that will say much a buffer of that many bytes. It
// is called before Serve.
func (c *Conn) ReadAhead(size int) { c.r = bufio.NewReaderSize(c.r, size) }

// FirstVerb waits for the first word the client says and leaves it to be read;
// "" when the client left without one or says what is no command: of garbage no more
// is read than that takes. It is called before Serve.
func (c *Conn) FirstVerb() string {
	const word = 3 // letters; what follows ends it
	for n := word + 1; n <= c.r.Size(); n++ {
		b, err := c.r.Peek(n)
		if err != nil {
			return ""
		}
		if b = bytes.TrimLeft(b, " \r\n"); len(b) > word {
			if !bytes.ContainsAny(b[word:word+1], " \r\n") {
				return ""
			}
			return string(b[:word])
		}
	}
	return "" // nothing but empty lines
}

// Ear overhears a connection: what the client said, before it is done, what it is
// told, when that is queued, and how it ended. Its methods may be called from any
// goroutine, also with locks held: they must neither block nor keep what they are
// given.
type Ear interface {
	Said(wire.Command)
	Told(wire.Command)
	Ended(byServer bool)
}

// Send queues commands. They go out together and in order.
func (c *Conn) Send(cmds ...wire.Command) { c.SendSettled(nil, cmds...) }

// SendSettled queues commands that carry one message. settle, which may be nil,
// is called once, never from within SendSettled: true when the last byte was
// handed to the kernel and the session was still alive a second later, else
// false.
func (c *Conn) SendSettled(settle func(bool), cmds ...wire.Command) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		if settle != nil {
			go settle(false) // ends by itself: nobody is left to run it
		}
		return
	}
	if c.closed || c.hungUp {
		if settle != nil {
			c.refused = append(c.refused, settle)
		}
		return
	}
	if c.out == nil {
		c.out = queues.Get().(*queue)
	}
	q := c.out
	for _, cmd := range cmds {
		q.bytes = cmd.Append(q.bytes)
		if c.Ear != nil {
			c.Ear.Told(cmd)
		}
	}
	if settle != nil {
		q.marks = append(q.marks, mark{len(q.bytes), settle})
	}
	if len(q.bytes) > c.limits.Queue {
		c.Log.Warn("the client does not read: closed", "queued", len(q.bytes))
		c.closeLocked()
		return
	}
	if !c.writing {
		c.writing = true
		c.writer.Go(c.write)
	}
}

// write empties the queue, everything there is in one Write at a time.
func (c *Conn) write() {
	for {
		c.mu.Lock()
		if c.out == nil || c.closed {
			c.writing = false
			c.mu.Unlock()
			return
		}
		q, hungUp := c.out, c.hungUp
		c.out = nil
		c.mu.Unlock()

		c.setLimit(hungUp)
		n, err := c.Net.Write(q.bytes)
		c.written(q.marks, n)
		q.recycle()
		if err != nil {
			c.Close()
		}
	}
}

// setLimit gives the next Write its time. To set it each time would cost much of
// what a message costs, so it is set when less than writeTime is left.
func (c *Conn) setLimit(last bool) {
	now := time.Now()
	switch {
	case last:
		c.limit = now.Add(lingerTime)
	case c.limit.Sub(now) < writeTime:
		c.limit = now.Add(2 * writeTime)
	default:
		return
	}
	c.Net.SetWriteDeadline(c.limit)
}

// HangUp ends the connection after what is queued was written.
func (c *Conn) HangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hungUp = true
	c.Net.SetReadDeadline(time.Now())
}

// Close ends the connection at once. What was not proved has failed; that is
// told from Serve, not from here. It may be called more than once.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked()
}

func (c *Conn) closeLocked() {
	if !c.closed {
		c.closed = true
		c.Net.Close()
	}
}

// SignedIn tells that the client has proved who it is: it may be silent from
// now on.
func (c *Conn) SignedIn() {
	c.state = SignedIn
	if c.Greeted != nil {
		c.Greeted()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hungUp {
		c.Net.SetReadDeadline(time.Time{})
	}
}

// Speak sets the version the client speaks.
func (c *Conn) Speak(d *dialect.Dialect) { c.d = d }

// Dialect is the version the client speaks, nil before it is agreed on.
func (c *Conn) Dialect() *dialect.Dialect { return c.d }

// Enter moves the connection to a state of the sign-in.
func (c *Conn) Enter(s State) { c.state = s }

// Serve reads and runs commands until the client leaves, breaks the protocol or
// is hung up on. Then it runs end, which takes the client out of the hub, and
// tells the fate of every message that is left. A panic in a handler ends only
// this connection.
func Serve[S any](c *Conn, p wire.Payloads, t Table[S], s S, end func()) {
	c.open(p)
	err := loop(c, t, s)
	c.logEnd(err)
	if c.Ear != nil {
		c.Ear.Ended(errors.Is(err, ErrBye))
	}
	end()
	c.finish(c.linger(err))
}

// open starts the client's time and notes what it may send.
func (c *Conn) open(p wire.Payloads) {
	c.mu.Lock()
	if !c.hungUp {
		c.Net.SetReadDeadline(time.Now().Add(c.limits.SignIn))
	}
	c.mu.Unlock()
	c.pace = newPace(c.Commands)
	c.payloads = p.Limited(c.limits.Line, c.limits.Payload)
}

func (c *Conn) logEnd(err error) {
	switch {
	case errors.Is(err, ErrBye), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		c.Log.Debug("connection ended", "err", err)
	default:
		c.Log.Info("connection ended", "err", err)
	}
}

// loop waits for commands. A silent client's goroutine is here: what is on the
// stack now it costs all the time, so reading and running are calls of their
// own.
func loop[S any](c *Conn, t Table[S], s S) error {
	for {
		if _, err := c.r.Peek(1); err != nil {
			return c.readEnd(err)
		}
		if err := step(c, t, s); err != nil {
			return err
		}
	}
}

// step reads and runs one command.
func step[S any](c *Conn, t Table[S], s S) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("bug: %v\n%s", r, debug.Stack())
		}
	}()
	c.pace.wait()
	cmd, err := wire.Read(c.r, c.payloads)
	if err != nil {
		return c.readEnd(err)
	}
	if c.Ear != nil {
		c.Ear.Said(cmd)
	}
	return run(c, t, s, cmd)
}

// readEnd is why reading ended with err: after a hang-up it is that.
func (c *Conn) readEnd(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hungUp {
		return ErrBye
	}
	return err
}

// linger closes the connection after the reader ended with err. A client that
// is told to go gets what is queued first, and a little time to take it: closing
// with unread input would make the kernel throw the last lines away. It returns
// up to which byte the client has read what was sent: something is known only of
// one that closed in peace.
func (c *Conn) linger(err error) (read int) {
	c.mu.Lock()
	c.hungUp = true
	c.mu.Unlock()
	peace := errors.Is(err, io.EOF)
	if errors.Is(err, ErrBye) {
		c.writer.Wait()
		if half, ok := c.Net.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			limit := lingerTime
			if c.Polled() {
				limit = polledLinger
			}
			c.Net.SetReadDeadline(time.Now().Add(limit))
			_, err := io.Copy(io.Discard, io.LimitReader(c.Net, 1<<20))
			peace = err == nil
		}
	}
	if n, known := Unacknowledged(c.Net); peace && known {
		c.mu.Lock()
		read = c.sent - n
		c.mu.Unlock()
	}
	c.Close()
	return read
}

// finish waits for writer and timer and settles what is left: the client has
// read what was sent up to byte read, the rest can't be proved any more.
func (c *Conn) finish(read int) {
	c.writer.Wait()
	c.mu.Lock()
	c.over = true
	if c.timer != nil && c.timer.Stop() {
		c.proving.Done()
	}
	var proved, left []func(bool)
	for _, p := range c.proofs {
		if p.pos <= read {
			proved = append(proved, p.settle)
		} else {
			left = append(left, p.settle)
		}
	}
	left = append(left, c.failed...)
	if c.out != nil {
		for _, m := range c.out.marks {
			left = append(left, m.settle)
		}
	}
	left = append(left, c.refused...)
	c.failed, c.refused, c.proofs, c.out = nil, nil, nil, nil
	c.mu.Unlock()
	c.proving.Wait()
	for _, settle := range proved {
		settle(true)
	}
	for _, settle := range left {
		settle(false)
	}
}
