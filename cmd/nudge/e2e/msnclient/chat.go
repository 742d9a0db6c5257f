package msnclient

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Chat is one conversation: one connection to a switchboard.
type Chat struct {
	N int // counts the client's conversations from 1

	client *Client
	k      *conn
}

// Ack is what a sender wants to hear about a message (MSNP.md C.4).
type Ack string

// Acknowledged asks for ACK or NAK, IfLost for NAK only, Silent for nothing.
const (
	Acknowledged Ack = "A"
	IfLost       Ack = "N"
	Silent       Ack = "U"
)

// Invite opens a conversation and returns when the contact has joined.
func (c *Client) Invite(ctx context.Context, handle string) (*Chat, error) {
	e, err := c.do(ctx, c.ns, "XFR", "SB")
	if err != nil {
		return nil, err
	}
	if len(e.Args) < 5 || e.Args[3] != "CKI" {
		return nil, fmt.Errorf("not a switchboard: %v", e)
	}
	chat, err := c.open(ctx, e.Args[2])
	if err != nil {
		return nil, err
	}
	if _, err := c.do(ctx, chat.k, "USR", c.cfg.Handle, e.Args[4]); err != nil {
		return nil, err
	}
	return chat, chat.Call(ctx, handle)
}

// Call asks somebody into the conversation and waits until he has joined.
func (ch *Chat) Call(ctx context.Context, handle string) error {
	ctx, cancel := context.WithTimeout(ctx, ch.client.cfg.Timeout)
	defer cancel()
	from := ch.client.Log.Len()
	if _, err := ch.client.do(ctx, ch.k, "CAL", handle); err != nil {
		return err
	}
	e, err := ch.client.Log.Wait(ctx, from, func(e Event) bool {
		return e.Chat == ch && (e.Cmd == Closed ||
			e.Cmd == "JOI" && len(e.Args) > 0 && strings.EqualFold(e.Args[0], handle))
	})
	if err == nil && e.Cmd == Closed {
		err = fmt.Errorf("the switchboard closed the connection")
	}
	if err != nil {
		return fmt.Errorf("%s did not join: %w", handle, err)
	}
	return nil
}

// Answer takes the call of an RNG event.
func (c *Client) Answer(ctx context.Context, ring Event) (*Chat, error) {
	a := ring.Args
	if ring.Cmd != "RNG" || len(a) < 6 || a[2] != "CKI" {
		return nil, fmt.Errorf("not a call: %v", ring)
	}
	chat, err := c.open(ctx, a[1])
	if err != nil {
		return nil, err
	}
	_, err = c.do(ctx, chat.k, "ANS", c.cfg.Handle, a[3], a[0])
	return chat, err
}

func (c *Client) open(ctx context.Context, addr string) (*Chat, error) {
	c.mu.Lock()
	chat := &Chat{N: len(c.chats) + 1, client: c}
	c.chats = append(c.chats, chat)
	c.mu.Unlock()
	k, err := c.dial(ctx, addr, chat)
	if err != nil {
		return nil, fmt.Errorf("switchboard: %w", err)
	}
	chat.k = k
	return chat, nil
}

// With tells whether the conversation is entered and open and handle the only
// other member of it.
func (ch *Chat) With(handle string) bool {
	others, open := ch.Others()
	return open && len(others) == 1 && strings.EqualFold(others[0], handle)
}

// Others lists the other members of the conversation, in lower case, and tells
// whether it is entered and open.
func (ch *Chat) Others() (others []string, open bool) {
	for _, e := range ch.client.Log.Since(0) {
		if e.Chat != ch {
			continue
		}
		switch {
		case e.Cmd == Closed:
			return nil, false
		case (e.Cmd == "USR" || e.Cmd == "ANS") && len(e.Args) > 1 && e.Args[1] == "OK":
			open = true
		case e.Cmd == "JOI" && len(e.Args) > 0:
			others = append(others, strings.ToLower(e.Args[0]))
		case e.Cmd == "IRO" && len(e.Args) > 3:
			others = append(others, strings.ToLower(e.Args[3]))
		case e.Cmd == "BYE" && len(e.Args) > 0:
			others = slices.DeleteFunc(others, func(s string) bool { return strings.EqualFold(s, e.Args[0]) })
		}
	}
	return others, open
}

// Chat returns the newest open conversation with handle alone, nil when there
// is none.
func (c *Client) Chat(handle string) *Chat {
	for _, ch := range slices.Backward(c.Chats()) {
		if ch.With(handle) {
			return ch
		}
	}
	return nil
}

// Post sends a text and returns the transaction id that its ACK or NAK will
// carry, without waiting for it.
func (ch *Chat) Post(text string, ack Ack) (id string, err error) {
	id = ch.client.nextID()
	body := "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n" + text
	return id, ch.k.sendBody(body, "MSG", id, string(ack))
}

// Send sends a text with Acknowledged and waits for the answer; a NAK is an
// error.
func (ch *Chat) Send(ctx context.Context, text string) error {
	return ch.SendRaw(ctx, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n"+text)
}

// SendRaw is Send for any payload.
func (ch *Chat) SendRaw(ctx context.Context, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, ch.client.cfg.Timeout)
	defer cancel()
	id, from := ch.client.nextID(), ch.client.Log.Len()
	if err := ch.k.sendBody(payload, "MSG", id, string(Acknowledged)); err != nil {
		return err
	}
	e, err := ch.client.Log.Wait(ctx, from, func(e Event) bool {
		return e.Chat == ch && (e.Cmd == Closed || len(e.Args) > 0 && e.Args[0] == id)
	})
	switch {
	case err != nil:
		return fmt.Errorf("no answer to a message: %w", err)
	case e.Cmd != "ACK":
		return fmt.Errorf("the message was not taken: %v", e)
	}
	return nil
}

// Nudge shakes the windows of the others and waits for the answer.
func (ch *Chat) Nudge(ctx context.Context) error {
	if !ch.client.cfg.Version.Nudges() {
		return fmt.Errorf("%s has no nudges", ch.client.cfg.Version.Name)
	}
	return ch.SendRaw(ctx, "MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 1\r\n\r\n\r\n")
}

// Typing says that the user is writing.
func (ch *Chat) Typing() error {
	body := "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgscontrol\r\nTypingUser: " + ch.client.cfg.Handle + "\r\n\r\n\r\n"
	return ch.k.sendBody(body, "MSG", ch.client.nextID(), string(Silent))
}

// Leave ends the conversation politely.
func (ch *Chat) Leave() { ch.k.leave() }
