package matrix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// witness answers what the box asks, and counts.
type witness struct {
	mu    sync.Mutex
	asked []im.Prompt
}

func (p *witness) texts() []im.Prompt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// admits makes user enter the code whenever the box asks for that.
func (w *world) admits(user string) *witness {
	p := &witness{}
	w.host.asked = func(ctx context.Context, q im.Prompt) (string, error) {
		p.mu.Lock()
		p.asked = append(p.asked, q)
		p.mu.Unlock()
		w.auth.Admit(w.auth.Invited(ctx.Done()), user)
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	return p
}

func lostBy(t *testing.T, err error, class im.LostClass, words string) {
	t.Helper()
	var lost *im.Lost
	if !errors.As(err, &lost) || lost.Class != class || !strings.Contains(lost.Text, words) {
		t.Errorf("%#v, want class %d with %q", err, class, words)
	}
}

func TestDeviceCode(t *testing.T) {
	w := newAuthWorld(t)
	p := w.admits(w.alice)
	l := w.connect()
	w.mustSend(l, "m1", "hello")
	device := string(l.(*link).cli.DeviceID)
	asked := p.texts()
	if len(asked) != 1 || asked[0].Secret || !strings.Contains(asked[0].Text, "/auth/link?code=CODE-") || !strings.Contains(asked[0].Text, w.alice) {
		t.Errorf("asked %+v", asked)
	}
	if d := w.auth.Devices(); len(d) != 1 || d[0] != device {
		t.Errorf("devices %q, the box is %q", d, device)
	}
	l = w.restart(l)
	w.mustSend(l, "m2", "again")
	if n := len(p.texts()); n != 1 || w.auth.Seen("token") == 0 || w.auth.Seen("register") != 1 || w.auth.Seen("device") != 1 {
		t.Errorf("asked %d times", n)
	}
	for k, v := range w.host.kv {
		if strings.Contains(string(v), "access-") || strings.Contains(string(v), "refresh-") {
			t.Errorf("%s has a token in clear: %s", k, v)
		}
	}

	// The server forgets who registered, and the session: the same box, once more.
	w.auth.Forget()
	w.auth.End(true)
	w.say(id.RoomID(w.room), id.UserID(w.bob), "wake up")
	lostBy(t, l.Wait(), im.Credentials, "Link the account again")
	w.host = w.host.copy()
	p = w.admits(w.alice)
	l = w.connect()
	if now := string(l.(*link).cli.DeviceID); now != device {
		t.Errorf("device %s after a soft logout of %s", now, device)
	}
	if len(p.texts()) != 1 || w.auth.Seen("register") != 2 {
		t.Errorf("asked %d times, %d registrations", len(p.texts()), w.auth.Seen("register"))
	}
}

func TestDeviceCodeRefused(t *testing.T) {
	for name, c := range map[string]struct {
		act   func(w *world)
		words string
	}{
		"somebody else": {func(w *world) { w.admits(w.bob) }, "this link is for @alice:hs.test"},
		"refused":       {func(w *world) { w.admits("") }, "refused on the server's page"},
		"stopped":       {func(w *world) { w.host.answer = func(im.Prompt) string { return "stop" } }, "was stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAuthWorld(t)
			c.act(w)
			_, err := w.net.Connect(t.Context(), im.Login{User: account, Fields: w.form, Host: w.host})
			lostBy(t, err, im.Credentials, c.words)
			if d := w.auth.Devices(); len(d) != 0 {
				t.Errorf("devices %q are signed in", d)
			}
			if w.auth.Seen("device") != 1 {
				t.Errorf("%d codes", w.auth.Seen("device"))
			}
		})
	}
}

// TestNoServerForPasswords: a password is given, but only a page takes it.
func TestNoServerForPasswords(t *testing.T) {
	w := newAuthWorld(t)
	w.form["password"] = "secret-alice"
	w.fail(fault{method: "POST", path: "/login", times: 1, status: 404, body: `{"errcode":"M_UNRECOGNIZED","error":"no"}`})
	p := w.admits(w.alice)
	w.connect()
	if len(p.texts()) != 1 {
		t.Errorf("asked %d times", len(p.texts()))
	}
}

func TestSingleSignOn(t *testing.T) {
	w := newAuthWorld(t)
	w.auth.Password = true
	answers := []string{"nonsense", "http://localhost/nudge?loginToken=" + ssoToken}
	var asked []im.Prompt
	w.host.answer = func(q im.Prompt) string {
		asked = append(asked, q)
		return answers[len(asked)-1]
	}
	l := w.connect()
	if len(asked) != 2 || !asked[0].Secret || !strings.Contains(asked[0].Text, "/login/sso/redirect?redirectUrl=http%3A%2F%2Flocalhost") ||
		!strings.Contains(asked[1].Text, "did not work") {
		t.Errorf("asked %+v", asked)
	}
	w.mustSend(l, "m1", "hello")
	l = w.restart(l)
	w.mustSend(l, "m2", "again")

	w.host.answer = func(im.Prompt) string { return "nonsense" }
	w.auth.End(false)
	w.say(id.RoomID(w.room), id.UserID(w.bob), "wake up")
	lostBy(t, l.Wait(), im.Credentials, "Link the account again")
	_, err := w.net.Connect(t.Context(), im.Login{User: account, Fields: w.form, Host: w.host})
	lostBy(t, err, im.Credentials, "did not work")
}

// TestClosedOAuth: an OAuth server that takes no new programs leaves single sign-on.
func TestClosedOAuth(t *testing.T) {
	w := newAuthWorld(t)
	w.auth.Closed = true
	w.host.answer = func(im.Prompt) string { return ssoToken }
	l := w.connect()
	w.mustSend(l, "m1", "hello")
	if w.auth.Seen("register") != 1 || w.auth.Seen("device") != 0 {
		t.Errorf("%d registrations", w.auth.Seen("register"))
	}
}

// TestServerAwayWhileRenewing: a sign-in server that stumbles costs nothing but time.
func TestServerAwayWhileRenewing(t *testing.T) {
	w := newAuthWorld(t)
	w.admits(w.alice)
	l := w.connect()
	device := strings.Join(w.auth.Devices(), " ")
	l.Close()
	w.fail(fault{method: "POST", path: "/auth/token", times: 2, status: 502, body: "<html>"})
	w.auth.Expire()
	w.host = w.host.copy()
	for range 2 {
		_, err := w.net.Connect(t.Context(), im.Login{User: account, Fields: w.form, Host: w.host})
		lostBy(t, err, im.Retry, "tries again by itself")
	}
	l = w.connect()
	w.mustSend(l, "m1", "hello")
	if now := strings.Join(w.auth.Devices(), " "); now != device || w.auth.Seen("device") != 1 {
		t.Errorf("devices %q after %q, %d codes", now, device, w.auth.Seen("device"))
	}
}

// TestLostAnswer: the server gave a new pair and the answer was lost; the old refresh
// token is good once more.
func TestLostAnswer(t *testing.T) {
	w := newAuthWorld(t)
	w.admits(w.alice)
	l := w.connect()
	w.auth.Expire()
	w.fail(fault{method: "POST", path: "/auth/token", times: 1, after: true, cut: true})
	seen := w.auth.Seen("token")
	w.mustSend(l, "m1", "hello")
	if n := w.auth.Seen("token") - seen; n != 2 || w.auth.Seen("device") != 1 {
		t.Errorf("%d renewals, %d codes", n, w.auth.Seen("device"))
	}
}

// TestPairTheServerLost: the newest refresh token on disk is nobody's, because the
// server lost it; the one before gives another pair. When both are good for nothing
// it is over, after one try each.
func TestPairTheServerLost(t *testing.T) {
	for _, good := range []string{"before", "neither"} {
		w := newWorld(t)
		s, err := loadSession(t.Context(), im.Login{User: account, Fields: w.form, Host: w.host})
		if err != nil {
			t.Fatal(err)
		}
		s.Token, s.Renewal = "stale", renewal{Refresh: "newest", Before: "before"}
		held := newTokens(http.DefaultTransport, slog.New(slog.DiscardHandler), s)
		var tried []string
		held.renew = func(_ context.Context, r renewal) (pair, error) {
			if tried = append(tried, r.Refresh); r.Refresh == good {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.users[id.UserID(w.alice)].tokens["fresh"] = "D"
				return pair{access: "fresh", refresh: "next"}, nil
			}
			return pair{}, mautrix.HTTPError{Response: &http.Response{StatusCode: 400}, RespError: &mautrix.RespError{ErrCode: "invalid_grant"}}
		}
		for range 3 {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.http.URL+"/_matrix/client/v3/account/whoami", nil)
			r.Header.Set("Authorization", "Bearer any")
			resp, err := held.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if ok := resp.StatusCode == 200; ok != (good == "before") {
				t.Errorf("%s is good: status %d", good, resp.StatusCode)
			}
		}
		if !slices.Equal(tried, []string{"newest", "before"}) {
			t.Errorf("%s is good: tried %q", good, tried)
		}
		if again, err := loadSession(t.Context(), s.login); err != nil || good == "before" && (again.Token != "fresh" || again.Renewal.Refresh != "next" || again.Renewal.Before != "before") {
			t.Errorf("on disk: %+v %v", again, err)
		}
	}
}

func TestLoginToken(t *testing.T) {
	for pasted, want := range map[string]string{
		"abc": "abc", " abc\n": "abc", "http://localhost/nudge?loginToken=a%2Bc": "a+c",
		"localhost/nudge?loginToken=abc&x=1": "abc", "loginToken=abc": "abc",
		"Address: http://localhost/nudge?loginToken=abc": "abc",
	} {
		if got := loginToken(pasted); got != want {
			t.Errorf("%q: %q, want %q", pasted, got, want)
		}
	}
}

// TestRevoked: a session that somebody ended costs a few requests and one state that
// says what to do; the device is a new one then, because its keys are gone.
func TestRevoked(t *testing.T) {
	w := newAuthWorld(t)
	w.encrypt()
	w.admits(w.alice)
	l := w.connect()
	device := l.(*link).cli.DeviceID
	w.auth.End(false)
	before := len(w.requests("", ""))
	w.say(id.RoomID(w.room), id.UserID(w.bob), "wake up")
	lostBy(t, l.Wait(), im.Credentials, "Link the account again")
	if n := len(w.requests("", "")) - before; n > 8 {
		t.Errorf("%d requests to find out", n)
	}
	w.mu.Lock()
	w.keys[id.UserID(w.alice)] = nil
	w.mu.Unlock()
	w.host = w.host.copy()
	p := w.admits(w.alice)
	l = w.connect()
	if l.(*link).cli.DeviceID == device || l.(*link).olm() == nil || len(p.texts()) != 1 {
		t.Errorf("device %s after %s, asked %d times", l.(*link).cli.DeviceID, device, len(p.texts()))
	}
}

// TestRestoredByHand: where a person signs in he makes the new device after a
// restored backup.
func TestRestoredByHand(t *testing.T) {
	w := newAuthWorld(t)
	w.encrypt()
	w.admits(w.alice)
	l := w.connect()
	device := l.(*link).cli.DeviceID
	l.Close()
	w.host, w.restored = w.host.copy(), true
	p := w.admits(w.alice)
	l = w.connect()
	if now := l.(*link).cli.DeviceID; now == device || len(p.texts()) != 1 || len(w.auth.Devices()) != 1 {
		t.Errorf("device %s after %s, asked %d times, devices %q", now, device, len(p.texts()), w.auth.Devices())
	}
}

// TestRenewal: tokens that do not last are renewed before they are over, by OAuth and
// by Matrix's own way, and a restart in between does not matter.
func TestRenewal(t *testing.T) {
	for _, oauth := range []bool{true, false} {
		t.Run(map[bool]string{true: "oauth", false: "matrix"}[oauth], func(t *testing.T) {
			w := newAuthWorld(t)
			w.auth.Lifetime = 200 * time.Millisecond
			endpoint := "token"
			if w.admits(w.alice); !oauth {
				endpoint, w.auth.Password = "refresh", true
				w.host.asked, w.host.answer = nil, func(im.Prompt) string { return ssoToken }
			}
			l := w.connect()
			for n, seen := 0, 0; seen < 6; n++ {
				w.mustSend(l, fmt.Sprint("m", n), "tick")
				if now := w.auth.Seen(endpoint); now > seen {
					if seen = now; seen == 3 {
						l = w.restart(l)
					}
				}
			}
			w.mustSend(l, "last", "still here")
			if w.auth.Seen("device") > 1 || len(w.auth.Devices()) != 1 {
				t.Errorf("signed in anew: %q", w.auth.Devices())
			}
		})
	}
}
