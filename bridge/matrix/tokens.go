package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"maunium.net/go/mautrix"
)

// tokens puts the session's access token on every request to the homeserver, and
// renews it: shortly before it is over, or when the server refuses it
// (client-server API, refreshing access tokens).
//
// A new pair is on disk before anything is sent with it. Until then the server
// takes the old refresh token once more, and after a death in between the old one
// is what the disk has. Nothing is done twice with a pair that the server refused
// before it took it once: a revoked session costs a few requests, then none.
type tokens struct {
	next  http.RoundTripper
	log   *slog.Logger
	renew func(ctx context.Context, r renewal) (pair, error) // one request to the server

	turn chan struct{} // to renew and to write the session; who has it may use s
	s    *session

	mu     sync.Mutex
	token  string
	due    time.Time // zero: never by itself
	over   time.Time
	can    bool // there is a refresh token, and it was not refused
	proven bool // the server took token, or an earlier life had it
	soft   bool // how the last refusal was meant
}

// pair is what a server gives to who signs in or renews.
type pair struct {
	access, refresh string
	lasts           time.Duration // of access, 0 unknown
	oauth           bool
}

// earlier is how long before its end a token is renewed: longer than a /sync waits,
// but not more than a quarter of its life.
const earlier = time.Minute

// renewAtMost bounds one try to renew; after one that failed, and that may succeed
// later, the token is used as long as it is good, and again passes before the next.
const (
	renewAtMost = 30 * time.Second
	again       = 10 * time.Second
)

func newTokens(next http.RoundTripper, log *slog.Logger, s *session) *tokens {
	t := &tokens{next: next, log: log, turn: make(chan struct{}, 1), s: s}
	t.use(s.Token, s.Renewal, true)
	return t
}

// use makes requests go out with a token. proven: it was used before.
func (t *tokens) use(token string, r renewal, proven bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token, t.due, t.over, t.can, t.proven = token, r.Due, r.Over, r.Refresh != "", proven
}

// adopt puts a new pair, which was asked for at a time, on disk and then uses it.
// before is the refresh token that it came for.
func (t *tokens) adopt(ctx context.Context, p pair, at time.Time, before string) error {
	old, was := t.s.Token, t.s.Renewal
	r := renewal{Refresh: p.refresh, Before: before, OAuth: p.oauth}
	if r.Refresh == "" {
		r.Refresh, r.Before = before, "" // the server does not rotate them
	}
	if p.lasts > 0 {
		r.Over = at.Add(p.lasts)
		r.Due = r.Over.Add(-min(earlier, p.lasts/4))
	}
	t.s.Token, t.s.Renewal = p.access, r
	if err := t.s.save(ctx); err != nil {
		t.s.Token, t.s.Renewal = old, was
		return err
	}
	t.use(p.access, r, false)
	return nil
}

// RoundTrip implements http.RoundTripper. What has no token, such as a sign-in,
// goes out as it is.
func (t *tokens) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" {
		return t.next.RoundTrip(r)
	}
	token, err := t.current(r.Context())
	if err != nil {
		return nil, err
	}
	resp, err := t.send(r, token)
	if err != nil || !t.refused(resp, token) {
		return resp, err
	}
	renewed, err := t.renewed(r.Context(), token, true)
	if err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("renew the access token: %w", err) // the session may be well
	}
	if !renewed || r.Body != nil && r.GetBody == nil {
		return resp, nil // what was streamed can't be repeated
	}
	repeated := r.Clone(r.Context())
	if r.GetBody != nil {
		if repeated.Body, err = r.GetBody(); err != nil {
			return resp, nil
		}
	}
	resp.Body.Close()
	t.mu.Lock()
	token = t.token
	t.mu.Unlock()
	if resp, err = t.send(repeated, token); err == nil {
		t.refused(resp, token)
	}
	return resp, err
}

func (t *tokens) send(r *http.Request, token string) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return t.next.RoundTrip(r)
}

// refused tells whether a server does not take the token, and notes what an answer
// says of it.
func (t *tokens) refused(resp *http.Response, token string) bool {
	var why struct {
		Code string `json:"errcode"`
		Soft bool   `json:"soft_logout"`
	}
	no := resp.StatusCode == http.StatusUnauthorized
	if no {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
		no = err == nil && json.Unmarshal(body, &why) == nil && why.Code == mautrix.MUnknownToken.ErrCode
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case token != t.token:
	case no:
		t.soft = why.Soft
	case resp.StatusCode < 400:
		t.proven = true
	}
	return no
}

// current is the token to use. It is renewed when it is nearly over; one that is
// not over yet will do when that fails.
func (t *tokens) current(ctx context.Context) (string, error) {
	t.mu.Lock()
	token, over := t.token, t.over
	due := t.can && !t.due.IsZero() && !time.Now().Before(t.due)
	t.mu.Unlock()
	if !due {
		return token, nil
	}
	if _, err := t.renewed(ctx, token, false); err != nil && !time.Now().Before(over) {
		return "", fmt.Errorf("renew the access token: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token, nil
}

// renewed gets a token in place of old, which was refused or is nearly over. It is
// false when there is nothing to renew it with (any more).
func (t *tokens) renewed(ctx context.Context, old string, refused bool) (bool, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	t.mu.Lock()
	moved, over := t.token != old, !t.over.IsZero() && !time.Now().Before(t.over)
	may := t.can && (t.proven || over || !refused)
	t.mu.Unlock()
	if moved || !may {
		return moved, nil
	}
	ctx, cancel := context.WithTimeout(ctx, renewAtMost)
	defer cancel()
	r, began := t.s.Renewal, time.Now()
	p, err := t.renew(ctx, r)
	if gone(err) && r.Before != "" {
		r.Refresh = r.Before
		p, err = t.renew(ctx, r)
	}
	if gone(err) {
		t.log.Info("the Matrix session can't be renewed", "why", words(err))
		t.mu.Lock()
		t.can = false
		t.mu.Unlock()
		return false, nil
	}
	if err == nil {
		err = t.adopt(ctx, p, began, r.Refresh)
	}
	if err != nil {
		t.log.Info("the access token is not renewed yet", "err", words(err))
		t.mu.Lock()
		t.due = time.Now().Add(again)
		t.mu.Unlock()
		return false, err
	}
	return true, nil
}

// end forgets the tokens, which the server has refused for good.
func (t *tokens) end(ctx context.Context) error {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	t.mu.Lock()
	soft := t.soft
	t.mu.Unlock()
	if err := t.s.end(ctx, soft); err != nil {
		return err
	}
	t.use("", renewal{}, false)
	return nil
}
