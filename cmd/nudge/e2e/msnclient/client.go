// Package msnclient is a small MSN Messenger client for the protocol versions
// of MSN Messenger 1.0 to 7.5 (MSNP2 to 12). It signs in, keeps its lists, shows
// a status, calls and answers, chats. It exists for demonstrations, load and
// end-to-end tests and shares no code with the server, so that a mistake is not
// made on both sides.
//
// It is as strict as the strictest of the real ones: a line that its version
// does not have, an argument too many or too few, or lists that are not what SYN
// promised end the connection, and the error says which line it was.
//
// # The log
//
// Everything the server says, on the notification connection and in every
// conversation, is one Event in one Log in order of arrival. Nothing is
// dispatched: a caller waits for what it expects with Wait, from a position in
// the log that it took before it acted. Ping is the barrier: when it returns,
// everything that the server sent before the answer is in the log.
//
// # Goroutines
//
// One reader per connection, and one goroutine per call that is being answered
// when Config.Answer is set. Close and Kill end them all and wait for them.
// Methods may be called from several goroutines.
package msnclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a client needs to sign in.
type Config struct {
	Version  Version
	Addr     string // host:port of the notification server
	Handle   string
	Password string
	Auth     Auth // how to sign in; Usual is the version's own way
	// HTTPS is the host:port that stands for every Passport host, and TLS how
	// to trust it (nil: the system's roots). Only for versions with Passport.
	HTTPS string
	TLS   *tls.Config
	// Dial opens every connection to the notification server and to
	// switchboards, nil for TCP: here a transport such as the gateway comes in.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Polls says that Dial goes through the gateway: PNG has no answer there.
	Polls bool
	// Web connects to what stands for the Passport hosts, past the TLS
	// handshake; nil dials HTTPS with TLS.
	Web func(ctx context.Context) (net.Conn, error)
	// Answer takes every call. Without it the caller uses Client.Answer.
	Answer bool
	// Timeout bounds every answer of the server when the context has no
	// earlier deadline; 0 means 30 s.
	Timeout time.Duration
}

// Client is one signed-in client. Make it with SignIn.
type Client struct {
	Log  *Log
	Name string // friendly name as the server has it

	cfg    Config
	ns     *conn
	trid   atomic.Uint32
	ctx    context.Context // ended by Close and Kill
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	done  bool
	ids   map[string]string // GUIDs of contacts, by handle in lower case
	conns []*conn
	chats []*Chat
}

// ServerError is a command refused with one of the numbers of MSNP.md G.
type ServerError struct {
	Command string
	Code    string
}

func (e *ServerError) Error() string {
	return "the server refused " + e.Command + " with error " + e.Code
}

// Code returns the number of a ServerError in err, "" when there is none.
func Code(err error) string {
	var s *ServerError
	if errors.As(err, &s) {
		return s.Code
	}
	return ""
}

// dial opens a connection and starts its reader. The conversation it serves is
// nil for the notification server.
func (c *Client) dial(ctx context.Context, addr string, chat *Chat) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	nc, err := c.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	k := newConn(nc, c.Log, chat, c.cfg.Version)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		nc.Close()
		return nil, net.ErrClosed
	}
	c.conns = append(c.conns, k)
	c.wg.Go(func() { k.read(c.received) })
	return k, nil
}

// received is called by the readers after each event is in the log.
func (c *Client) received(e Event) {
	if e.Cmd != "RNG" || e.Chat != nil || !c.cfg.Answer {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		c.wg.Go(func() { c.Answer(c.ctx, e) })
	}
}

// do sends a command with a transaction id and waits for its answer: the same
// verb with that id, or an error number.
func (c *Client) do(ctx context.Context, k *conn, cmd string, args ...string) (e Event, err error) {
	id, from := c.nextID(), c.Log.Len()
	if err := k.send(cmd, append([]string{id}, args...)...); err != nil {
		return Event{}, fmt.Errorf("%s: %w", cmd, err)
	}
	return c.answer(ctx, k, from, id, strings.Join(append([]string{cmd}, args...), " "))
}

// doBody is do for a command with a body.
func (c *Client) doBody(ctx context.Context, k *conn, body, cmd string, args ...string) (Event, error) {
	id, from := c.nextID(), c.Log.Len()
	if err := k.sendBody(body, cmd, append([]string{id}, args...)...); err != nil {
		return Event{}, fmt.Errorf("%s: %w", cmd, err)
	}
	return c.answer(ctx, k, from, id, strings.Join(append([]string{cmd}, args...), " "))
}

// answer waits for the answer to a command.
func (c *Client) answer(ctx context.Context, k *conn, from int, id, asked string) (Event, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	cmd, _, _ := strings.Cut(asked, " ")
	e, err := c.Log.Wait(ctx, from, func(e Event) bool {
		return e.Chat == k.chat && (e.Cmd == Closed ||
			len(e.Args) > 0 && e.Args[0] == id && (e.Cmd == cmd || e.IsError()))
	})
	switch {
	case err != nil:
		return e, fmt.Errorf("no answer to %s: %w", asked, err)
	case e.Cmd == Closed:
		return e, fmt.Errorf("the connection ended before %s was answered: %s", asked, e.Args[0])
	case e.IsError():
		return e, &ServerError{Command: asked, Code: e.Cmd}
	}
	return e, nil
}

func (c *Client) nextID() string { return fmt.Sprint(c.trid.Add(1)) }

// Chats returns the conversations that were opened or answered, oldest first,
// left ones included.
func (c *Client) Chats() []*Chat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.chats)
}

// Close signs off politely, ends every conversation and waits for the readers.
func (c *Client) Close() { c.end((*conn).leave) }

// Kill ends every connection with a reset, as a PC that loses its power: what
// was received and not read is lost.
func (c *Client) Kill() { c.end((*conn).reset) }

// Stall stops reading: what arrives from now on stays unread and out of the
// log. Only Kill is of use after it.
func (c *Client) Stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.conns {
		k.stalled.Store(true)
	}
}

func (c *Client) end(how func(*conn)) {
	c.mu.Lock()
	c.done = true
	conns := c.conns
	c.mu.Unlock()
	c.cancel()
	for _, k := range conns {
		how(k)
	}
	c.wg.Wait()
}
