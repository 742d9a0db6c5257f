package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nudge/bridge/matrix/authtest"
	"nudge/cmd/nudge/e2e/msnclient"
)

// signInServer is a Matrix server without rooms whose accounts sign in by OAuth, with
// tokens that last for a moment.
type signInServer struct {
	*authtest.Server
	http   *httptest.Server
	tokens chan struct{} // somebody asks for a pair

	mu    sync.Mutex
	seen  int // requests of all sorts
	signs []byte
}

const signInUser = "@alice:signin.test"

func newSignInServer(t *testing.T, lifetime time.Duration) *signInServer {
	s := &signInServer{Server: authtest.New(), tokens: make(chan struct{}, 1)}
	s.Lifetime = lifetime
	s.http = httptest.NewServer(s)
	t.Cleanup(func() {
		s.http.CloseClientConnections()
		s.http.Close()
	})
	return s
}

func (s *signInServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen++
	s.mu.Unlock()
	if s.Handles(r) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			select {
			case s.tokens <- struct{}{}:
			default:
			}
		}
		s.Server.ServeHTTP(w, r)
		return
	}
	user, device, ok, soft := s.Who(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if !ok {
		authtest.Unknown(w, soft)
		return
	}
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/whoami"):
		fmt.Fprintf(w, `{"user_id":%q,"device_id":%q}`, user, device)
	case strings.HasSuffix(path, "/sync"):
		if r.URL.Query().Get("timeout") != "0" {
			select {
			case <-time.After(20 * time.Millisecond): // nothing happens here, often
			case <-r.Context().Done():
			}
		}
		io.WriteString(w, `{"next_batch":"s1"}`)
	case strings.Contains(path, "/account_data/"):
		s.sign(w, r)
	case strings.Contains(path, "/presence/"):
		io.WriteString(w, `{}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"errcode":"M_UNRECOGNIZED","error":"no such thing here"}`)
	}
}

// sign keeps the one piece of account data that the box leaves.
func (s *signInServer) sign(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == http.MethodPut:
		s.signs = body
		io.WriteString(w, `{}`)
	case s.signs == nil:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"errcode":"M_NOT_FOUND","error":"none"}`)
	default:
		w.Write(s.signs)
	}
}

func (s *signInServer) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// linkState is how a link is for scripts.
type linkState struct {
	State, Text string
	Stuck       bool
	Waiting     int
}

// linkState is the state of the box's one link.
func (b *box) linkState(t testing.TB) linkState {
	t.Helper()
	var all []linkState
	check(t, json.Unmarshal([]byte(b.cli(t, "link", "list", "--json")), &all))
	if len(all) != 1 {
		t.Fatalf("links: %+v", all)
	}
	return all[0]
}

// TestSignInByCode links an account by a code that a person enters on a page, kills
// the box again and again while it renews its tokens, and at last ends its session
// from outside. Through all kills it is signed in as the same device and nobody has
// to do anything; after the end it asks once, and leaves the server alone.
func TestSignInByCode(t *testing.T) {
	end2end(t)
	rounds := 20
	if n := os.Getenv("NUDGE_KILL_ROUNDS"); n != "" {
		var err error
		rounds, err = strconv.Atoi(n)
		check(t, err)
	}
	s := newSignInServer(t, 400*time.Millisecond)
	b := newBox(t)
	b.AddUser(t, aliceHandle, msnclient.MSNP9)
	add, err := spawn(filepath.Dir(b.Dir), "link-add", nil, b.binary, "link", "add", aliceHandle, "matrix",
		"--homeserver", s.http.URL, "--user", signInUser, "--data", b.Dir)
	check(t, err)
	code := s.Invited(waiting(t, patience).Done())
	check(t, eventually(patience, func() error {
		if said := add.tail(20); !strings.Contains(said, code) || !strings.Contains(said, "/auth/link?code=") {
			return fmt.Errorf("the command does not tell the code %q:\n%s", code, said)
		}
		return nil
	}))
	s.Admit(code, signInUser)
	select {
	case <-add.done:
	case <-waiting(t, patience).Done():
		t.Fatalf("the command does not end:\n%s", add.tail(20))
	}
	if said := add.tail(20); !strings.Contains(said, "is linked to matrix") || add.cmd.ProcessState.ExitCode() != 0 {
		t.Fatalf("%v:\n%s", add.cmd.ProcessState, said)
	}
	device := strings.Join(s.Devices(), " ")

	seed := rand.Uint64()
	t.Logf("%d kills, seed %d", rounds, seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	for round := range rounds {
		select { // what an earlier life asked for
		case <-s.tokens:
		default:
		}
		select {
		case <-s.tokens:
		case <-waiting(t, patience).Done():
			t.Fatalf("round %d: the box renews nothing: %+v", round, b.linkState(t))
		}
		time.Sleep(time.Duration(dice.IntN(20_000)) * time.Microsecond) // the blow falls anywhere
		check(t, b.Kill())
		check(t, b.Start())
	}
	check(t, eventually(patience, func() error {
		if l := b.linkState(t); l.State == "down" {
			return fmt.Errorf("after %d kills: %+v", rounds, l)
		}
		return nil
	}))
	if now := strings.Join(s.Devices(), " "); now != device || s.Seen("device") != 1 {
		t.Errorf("devices %q after %q, %d codes", now, device, s.Seen("device"))
	}
	t.Logf("%d renewals asked for", s.Seen("token"))

	before := s.requests()
	s.End(false)
	check(t, eventually(patience, func() error {
		if l := b.linkState(t); !l.Stuck || !strings.Contains(l.Text, "Link the account again") {
			return fmt.Errorf("the session was ended: %+v", l)
		}
		return nil
	}))
	if n := s.requests() - before; n > 12 || s.Seen("device") != 1 {
		t.Errorf("%d requests to learn that the session is over, %d codes", n, s.Seen("device"))
	}
	var users []struct{ Waiting int }
	check(t, json.Unmarshal([]byte(b.cli(t, "user", "list", "--json")), &users))
	if users[0].Waiting != 1 {
		t.Errorf("the user was told %d times", users[0].Waiting)
	}
}
