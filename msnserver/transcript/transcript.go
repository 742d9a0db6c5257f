// Package transcript writes down what MSN clients and this server say to each
// other, in the form of the transcripts that the server's tests play, so that a
// client somebody has at home becomes a test. What is private never gets into it:
// a person becomes user1@example.com, a password 123456, a text as many x, an
// address 192.0.2.1. What this package does not know, it leaves out.
//
// # Idea
//
// A Recording overhears connections (conn.Ear), each command before it runs or when it
// is queued, and redacts it at once: nothing else is kept. What the server makes up,
// such as cookies and versions of lists, gets a name when the server says it first
// (${+cookie1}) and is told by that afterwards. The accounts and lists that a test needs
// are those that were seen, so they are written when all is over.
//
// # Goroutines
//
// None. Ears may be called from any goroutine, also with the hub's lock held: they only
// append to a text in memory, up to a limit.
//
// # Caveats
//
// A player sees what clients say in MSN, not their log-in over HTTP: that is
// written anew. Contacts of other networks and the box's own voice are no accounts:
// what they say and how they are is left out, as comments tell.
package transcript

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"nudge/msnserver/wire"
)

// Limits of a recording.
const (
	mostLines   = 20000
	mostClients = 500
	mostWords   = 10000 // remembered persons, names and values
)

// Recording is what was overheard so far. Make one with New.
type Recording struct {
	mu      sync.Mutex
	lines   []line
	clients int
	words   words
	full    bool
}

// line is one of the transcript. What is about a person who signed in to nothing that
// was recorded is left out in the end.
type line struct {
	text  string
	about string // a person's redacted handle, "" for everybody
}

// New begins a recording.
func New() *Recording { return &Recording{words: newWords()} }

// Client is one connection of a recording.
type Client struct {
	r    *Recording
	name string
	me   string // whom it signed in, redacted
	over bool   // it has ended: what is queued for it now it never hears
}

// Client is the ear for a new connection. One that polls over the gateway is
// named so that it polls again; nil when there are too many.
func (r *Recording) Client(polls bool) *Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients == mostClients {
		r.full = true
		return nil
	}
	const letters = "ABCDEFGIJKLMNOPQRSTUVXYZ" // H is port 80, W polls
	name := letters[r.clients%len(letters):][:1]
	if polls {
		name = "W"
	}
	if n := r.clients / len(letters); n > 0 || polls {
		name += fmt.Sprint(r.clients + 1)
	}
	r.clients++
	return &Client{r: r, name: name}
}

// Said overhears a command of the client.
func (c *Client) Said(cmd wire.Command) { c.add(cmd, true) }

// Told overhears a command to the client.
func (c *Client) Told(cmd wire.Command) { c.add(cmd, false) }

// Ended notes who ended the connection.
func (c *Client) Ended(byServer bool) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.over = true
	if byServer {
		c.r.write(c.name+"<EOF", "")
	} else {
		c.r.write(c.name+">EOF", "")
	}
}

func (c *Client) add(cmd wire.Command, client bool) {
	r := c.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full = r.full || len(r.lines) >= mostLines || r.words.size() >= mostWords; r.full || c.over {
		return
	}
	if client {
		c.before(cmd)
		r.write(c.name+"> "+r.words.redact(cmd, true), "")
		return
	}
	text := r.words.redact(cmd, false)
	about := ""
	switch cmd.Verb {
	case "ILN", "NLN", "FLN", "UBX", "BPR":
		about = r.words.firstPerson(cmd)
	}
	r.write(c.name+"< "+text, about)
	if cmd.Verb == "LST" {
		r.words.list(c.me, cmd)
	}
}

// before notes what a command of a client means for the test: who it is, and a
// log-in over HTTP that came before.
func (c *Client) before(cmd wire.Command) {
	w := &c.r.words
	switch {
	case cmd.Verb == "ADD" || cmd.Verb == "ADC":
		w.edit(c.me, cmd)
	case cmd.Verb != "USR":
	case cmd.Arg(2) == "I":
		c.me = w.person(cmd.Arg(3))
		w.signsIn(c.me, cmd.Arg(1) == "MD5")
	case cmd.Arg(1) == "TWN" && cmd.Arg(2) == "S":
		w.tickets++
		c.r.write(fmt.Sprintf(`HA%d> GET /login2.srf HTTP/1.0\r\nAuthorization: Passport1.4 sign-in=%s,pwd=%s\r\n\r\n`, w.tickets, strings.Replace(c.me, "@", "%40", 1), password), "")
		c.r.write(fmt.Sprintf(`HA%d< *from-PP='${+ticket}'*`, w.tickets), "")
	}
}

func (r *Recording) write(text, about string) {
	if len(r.lines) < mostLines+mostClients {
		r.lines = append(r.lines, line{text, about})
	}
}

// Text is the transcript.
func (r *Recording) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	b.WriteString("# Recorded with nudge record. Nobody's name, password, words or address is in it.\n")
	if r.full {
		b.WriteString("# It was too long: the end is missing.\n")
	}
	w := &r.words
	for _, p := range w.people {
		fmt.Fprintf(&b, "user %s %s %s", p.handle, p.name(), password)
		if p.md5 {
			b.WriteString(" md5")
		}
		b.WriteByte('\n')
	}
	for _, l := range w.lists {
		b.WriteString(l + "\n")
	}
	b.WriteByte('\n')
	left := map[string]bool{}
	for _, l := range r.lines {
		if i := slices.IndexFunc(w.people, func(p *person) bool { return p.handle == l.about }); l.about == "" || i >= 0 && w.people[i].here {
			b.WriteString(l.text + "\n")
		} else if !left[l.about] {
			left[l.about] = true
			fmt.Fprintf(&b, "# How %s is was left out: it was not recorded.\n", l.about)
		}
	}
	return b.String()
}
