package main

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// patience is how long any answer may take.
const patience = 30 * time.Second

// client is one connection of one account, to the notification server or to a
// switchboard. It belongs to one goroutine at a time and reads only when
// somebody waits for something: what comes meanwhile stays in the kernel.
type client struct {
	number int
	handle string
	nc     net.Conn
	r      *bufio.Reader
	out    []byte
	trid   int
	polls  bool // there is no answer to PNG then
}

// place is where the server under test answers.
type place struct {
	msn   string // host:port
	http  string
	https string
	dial  func(addr string) (net.Conn, error) // to a notification server or switchboard
	polls bool                                // dial goes over the gateway
}

// direct connects by TCP.
func direct(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, patience) }

func (p place) connect(addr string, number int) (*client, error) {
	nc, err := p.dial(addr)
	if err != nil {
		return nil, err
	}
	return &client{number: number, handle: crowd{}.handle(number), nc: nc, r: bufio.NewReaderSize(nc, 4<<10), polls: p.polls}, nil
}

// say sends a command with the next transaction id.
func (c *client) say(verb, args string) error {
	c.trid++
	c.out = append(append(c.out[:0], verb...), ' ')
	c.out = strconv.AppendInt(c.out, int64(c.trid), 10)
	if args != "" {
		c.out = append(append(c.out, ' '), args...)
	}
	return c.write(append(c.out, "\r\n"...))
}

func (c *client) write(b []byte) error {
	_, err := c.nc.Write(b)
	return err
}

// line reads the next line, without its end and past its payload. It is good
// until the next call.
func (c *client) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	line = bytes.TrimRight(line, "\r\n")
	switch {
	case bytes.HasPrefix(line, []byte("MSG ")), bytes.HasPrefix(line, []byte("UBX ")), bytes.HasPrefix(line, []byte("NOT ")), bytes.HasPrefix(line, []byte("GCF ")):
		n, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, ' ')+1:]))
		if err != nil {
			return nil, fmt.Errorf("no length in %q", line)
		}
		line = bytes.Clone(line)
		if _, err := c.r.Discard(n); err != nil {
			return nil, err
		}
	}
	return line, nil
}

// await reads until a line starts with verb and returns its words. A number for
// a verb is a refusal.
func (c *client) await(verb string) ([]string, error) {
	c.nc.SetReadDeadline(time.Now().Add(patience))
	for {
		line, err := c.line()
		if err != nil {
			return nil, fmt.Errorf("%s waits for %s: %w", c.handle, verb, err)
		}
		switch got := string(line[:min(3, len(line))]); {
		case got == verb:
			return strings.Fields(string(line)), nil
		case strings.Trim(got, "0123456789") == "" || got == "OUT":
			return nil, fmt.Errorf("%s waits for %s and gets %q", c.handle, verb, line)
		}
	}
}

// ask says something and waits for its answer.
func (c *client) ask(verb, args string) ([]string, error) {
	if err := c.say(verb, args); err != nil {
		return nil, err
	}
	return c.await(verb)
}

// ping returns when everything that was sent before has been answered.
func (c *client) ping() error {
	if c.polls {
		_, err := c.ask("URL", "INBOX")
		return err
	}
	if err := c.write([]byte("PNG\r\n")); err != nil {
		return err
	}
	_, err := c.await("QNG")
	return err
}

// signIn signs an account in as its client does, as far as being on line with
// all lists.
func (p place) signIn(v version, number int) (*client, error) {
	c, err := p.connect(p.msn, number)
	if err != nil {
		return nil, err
	}
	if err = c.prove(v, p); err == nil {
		err = c.enter(v)
	}
	if err != nil {
		c.nc.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) prove(v version, p place) error {
	ver, err := c.ask("VER", v.name+" CVR0")
	if err != nil {
		return err
	}
	if ver[2] != v.name {
		return fmt.Errorf("the server speaks %s instead of %s", ver[2], v.name)
	}
	way := "MD5"
	if v.proof == byHash {
		_, err = c.ask("INF", "")
	} else {
		way = "TWN"
		_, err = c.ask("CVR", "0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS "+c.handle)
	}
	if err != nil {
		return err
	}
	challenge, err := c.ask("USR", way+" I "+c.handle)
	if err != nil {
		return err
	}
	answer := ""
	switch v.proof {
	case byHash:
		sum := md5.Sum([]byte(challenge[4] + password))
		answer = hex.EncodeToString(sum[:])
	case byNexus:
		answer, err = nexusTicket(p.https, c.handle, challenge[4])
	case byRST:
		answer, err = rstTicket(p.https, c.handle)
	}
	if err != nil {
		return err
	}
	_, err = c.ask("USR", way+" S "+answer)
	return err
}

// enter fetches the lists and shows up.
func (c *client) enter(v version) error {
	since := "0"
	if v.lists >= stamped {
		since = "0 0"
	}
	syn, err := c.ask("SYN", since)
	if err != nil {
		return err
	}
	if v.lists < counted {
		for { // the reverse list is the last (MSNP.md B.6.1)
			if lst, err := c.await("LST"); err != nil {
				return err
			} else if lst[2] == "RL" && lst[4] == lst[5] {
				break
			}
		}
	} else {
		lines, err := strconv.Atoi(syn[len(syn)-2])
		if err != nil {
			return fmt.Errorf("SYN without counts: %q", syn)
		}
		for range lines {
			if _, err := c.await("LST"); err != nil {
				return err
			}
		}
	}
	if _, err := c.ask("CHG", "NLN"+v.caps); err != nil {
		return err
	}
	return c.ping()
}
