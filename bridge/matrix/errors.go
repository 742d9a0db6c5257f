package matrix

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"maunium.net/go/mautrix"

	"nudge/bridge/im"
)

// errEnded is why a call on a link that is over fails; the hub repeats what
// needs repeating on the next link.
var errEnded = errors.New("the Matrix connection has ended")

// longestWait bounds one wait between two tries of the same request.
const longestWait = 30 * time.Second

// status is the HTTP status of err, 0 when there was no answer.
func status(err error) int {
	var h mautrix.HTTPError
	if errors.As(err, &h) && h.Response != nil {
		return h.Response.StatusCode
	}
	return 0
}

// passing tells whether err may be gone when the same request is repeated:
// no answer, an answer that is not from the homeserver, or 429. An internal
// error of the homeserver (500) is not: repeating would block everything else.
func passing(err error) bool {
	var h mautrix.HTTPError
	if !errors.As(err, &h) {
		return false
	}
	switch status(err) {
	case 0, http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusOK:
		return true // the answer broke off or was somebody else's page
	}
	return false
}

// waitFor is how long to wait before try number attempt (from 0). The server's
// own wish counts when it has one: Retry-After, else retry_after_ms
// (client-server API, rate limiting).
func waitFor(err error, attempt int, pause time.Duration) time.Duration {
	if d := retryAfter(err); d > 0 {
		return d
	}
	return min(pause<<min(attempt, 10), longestWait)
}

// retryAfter is the wait a 429 asked for, 0 when err is none or says nothing.
func retryAfter(err error) time.Duration {
	var h mautrix.HTTPError
	if !errors.As(err, &h) || h.Response == nil || h.Response.StatusCode != http.StatusTooManyRequests {
		return 0
	}
	v := h.Response.Header.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 31); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(time.Until(t), time.Millisecond)
	}
	if h.RespError == nil {
		return 0
	}
	if ms, ok := h.RespError.ExtraData["retry_after_ms"].(float64); ok && ms > 0 && ms < 1e9 {
		return time.Duration(ms) * time.Millisecond
	}
	return 0
}

// untaken tells whether the server says that it did not act on a request. After
// any other failure nobody knows: an event may be in the room although no answer
// came, and there are servers that then take the same transaction id again.
func untaken(err error) bool {
	switch status(err) {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	}
	return false
}

// maxStumbles is how often one message may end in an internal error of the
// server. One that is shutting down answers so for a moment; but one that
// stumbles over this very message always will, and must not hold up all others.
const maxStumbles = 3

// stumbles counts internal errors by message, over the links of a network.
type stumbles struct {
	mu sync.Mutex
	by map[string]stumble
}

type stumble struct {
	times int
	last  time.Time
}

// again notes one more and tells whether it was one too many.
func (s *stumbles) again(msg string) (tooMany bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]stumble{}
	}
	now := stumble{s.by[msg].times + 1, time.Now()}
	s.by[msg] = now
	if now.times == maxStumbles {
		delete(s.by, msg)
	}
	return now.times == maxStumbles
}

// over forgets a message that the server has after all.
func (s *stumbles) over(msg string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, msg)
}

// latest is when the server last stumbled over one of these messages.
func (s *stumbles) latest(msgs []string) (at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range msgs {
		if b := s.by[m]; b.last.After(at) {
			at = b.last
		}
	}
	return at
}

// retry repeats do until it succeeds, ctx is done, or the error will not pass.
func (l *link) retry(ctx context.Context, do func() error) error {
	return l.retryIf(ctx, passing, do)
}

// retryIf repeats do until it succeeds, ctx is done, or the error is none of
// those that may be repeated.
func (l *link) retryIf(ctx context.Context, may func(error) bool, do func() error) error {
	return retry(ctx, l.net.pause, may, do)
}

// retry is retryIf for who has no link (yet).
func retry(ctx context.Context, pause time.Duration, may func(error) bool, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := do()
		if err == nil || ctx.Err() != nil || !may(err) {
			return err
		}
		if err := sleep(ctx, waitFor(err, attempt, pause)); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tokenRefused tells whether the server does not know our session any more.
func tokenRefused(err error) bool {
	return errors.Is(err, mautrix.MUnknownToken) || errors.Is(err, mautrix.MMissingToken)
}

// asLost says what err means for the link and what a person can do about it.
func asLost(err error) *im.Lost {
	var lost *im.Lost
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var dns *net.DNSError
	switch {
	case errors.As(err, &lost):
		return lost
	case tokenRefused(err):
		return &im.Lost{Class: im.Credentials, Text: "The Matrix server has ended this session. Give the password (or a new access token) again."}
	case errors.Is(err, mautrix.MUserDeactivated):
		return &im.Lost{Class: im.Forbidden, Text: "This Matrix account was deactivated. Remove the link or use another account."}
	case errors.As(err, &unknown), errors.As(err, &host):
		return &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("The homeserver's certificate is not trusted (%v). If it is your own server, give its CA file in the field ca.", err)}
	case status(err) == http.StatusTooManyRequests:
		return &im.Lost{Class: im.After, After: max(retryAfter(err), 10*time.Second), Text: "The Matrix server asks to slow down. The box tries again by itself."}
	case errors.As(err, &dns) && dns.IsNotFound:
		return &im.Lost{Class: im.Retry, Text: fmt.Sprintf("The homeserver %s has no address. Check its spelling and the network; the box tries again by itself.", dns.Name)}
	case status(err) == 0 && !passing(err):
		return &im.Lost{Class: im.Retry, Text: fmt.Sprintf("The Matrix link failed: %v. The box tries again by itself.", err)}
	case status(err) == 0:
		return &im.Lost{Class: im.Retry, Text: "The Matrix server can't be reached. The box tries again by itself."}
	}
	return &im.Lost{Class: im.Retry, Text: fmt.Sprintf("The Matrix server answered with an error (%s). The box tries again by itself.", words(err))}
}

// words is the server's own explanation of err, short enough for a chat line.
func words(err error) string {
	var h mautrix.HTTPError
	if !errors.As(err, &h) {
		return err.Error()
	}
	var s string
	switch {
	case h.RespError != nil && h.RespError.Err != "":
		s = h.RespError.Err
	case h.RespError != nil && h.RespError.ErrCode != "":
		s = h.RespError.ErrCode
	case h.Response != nil:
		s = h.Response.Status
	default:
		return "no answer"
	}
	if r := []rune(s); len(r) > 120 {
		s = string(r[:120]) + "…"
	}
	return s
}
