package msnclient

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Closed is the Cmd of the event that ends a connection; its argument says
// why.
const Closed = "closed"

// Event is one command that the server sent.
type Event struct {
	N    int   // position in the log
	Chat *Chat // the conversation it came in, nil for the notification server
	Cmd  string
	Args []string
	Body []byte
	Line string // as it came, without its end
	At   time.Time
}

// IsError tells whether the command is an error number.
func (e Event) IsError() bool {
	return len(e.Cmd) == 3 && strings.Trim(e.Cmd, "0123456789") == ""
}

// From returns the handle of who speaks in a MSG event.
func (e Event) From() string {
	if e.Cmd != "MSG" || len(e.Args) == 0 {
		return ""
	}
	return strings.ToLower(e.Args[0])
}

// Text returns the text of a MSG of type text/plain.
func (e Event) Text() (string, bool) {
	h, text := e.mime()
	return text, e.Cmd == "MSG" && strings.HasPrefix(h["content-type"], "text/plain")
}

// Typing returns the handle of who is writing, "" for any other event.
func (e Event) Typing() string {
	h, _ := e.mime()
	if e.Cmd != "MSG" || !strings.HasPrefix(h["content-type"], "text/x-msmsgscontrol") {
		return ""
	}
	return strings.ToLower(h["typinguser"])
}

// Nudged tells whether a MSG shakes the window.
func (e Event) Nudged() bool {
	h, rest := e.mime()
	return e.Cmd == "MSG" && strings.HasPrefix(h["content-type"], "text/x-msnmsgr-datacast") && strings.HasPrefix(rest, "ID: 1\r\n")
}

// mime splits a body into its headers, names in lower case, and the rest.
func (e Event) mime() (map[string]string, string) {
	head, rest, _ := strings.Cut(string(e.Body), "\r\n\r\n")
	h := map[string]string{}
	for line := range strings.SplitSeq(head, "\r\n") {
		if k, v, ok := strings.Cut(line, ":"); ok {
			h[strings.ToLower(k)] = strings.TrimSpace(v)
		}
	}
	return h, rest
}

func (e Event) String() string {
	where := "ns"
	if e.Chat != nil {
		where = fmt.Sprintf("chat %d", e.Chat.N)
	}
	s := fmt.Sprintf("%s %s: %s %s", e.At.Format("15:04:05.000"), where, e.Cmd, strings.Join(e.Args, " "))
	if len(e.Body) > 0 {
		s += fmt.Sprintf(" %q", e.Body[:min(len(e.Body), 200)])
	}
	return s
}

// decode undoes the %XX of an argument.
func decode(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// Log is everything a client received, in order.
type Log struct {
	mu      sync.Mutex
	events  []Event
	changed chan struct{} // closed and replaced with each event
}

func newLog() *Log { return &Log{changed: make(chan struct{})} }

func (l *Log) add(e Event) Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.N, e.At = len(l.events), time.Now()
	l.events = append(l.events, e)
	close(l.changed)
	l.changed = make(chan struct{})
	return e
}

// Len is the position of the next event.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

// Since returns the events from position from on.
func (l *Log) Since(from int) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events[min(from, len(l.events)):])
}

// Wait returns the first event at or after position from that matches. The
// error of a context that ends first shows what did arrive.
func (l *Log) Wait(ctx context.Context, from int, match func(Event) bool) (Event, error) {
	next := from
	for {
		l.mu.Lock()
		fresh, changed := slices.Clone(l.events[min(next, len(l.events)):]), l.changed
		l.mu.Unlock()
		for _, e := range fresh {
			if match(e) {
				return e, nil
			}
		}
		next += len(fresh)
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("%w; received meanwhile:%s", context.Cause(ctx), l.tail(from))
		}
	}
}

// tail shows the last events from a position on, for error messages.
func (l *Log) tail(from int) string {
	const most = 20
	events := l.Since(from)
	if len(events) == 0 {
		return " nothing"
	}
	var b strings.Builder
	for _, e := range events[max(0, len(events)-most):] {
		b.WriteString("\n\t" + e.String())
	}
	return b.String()
}
