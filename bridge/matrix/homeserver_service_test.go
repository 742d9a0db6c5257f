package matrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"
)

// hsService is what a homeserver has of an application service: its tokens, who is
// registered, and the goroutine that pushes events in transactions until each is
// answered with 200. The homeserver's lock guards it.
type hsService struct {
	h              *homeserver
	token, hsToken string
	registered     map[id.UserID]bool
	names          map[id.UserID]string
	lent           map[string]bool   // devices
	addr           string            // of the box
	pushed         int               // position up to which it was told
	sent           int               // transactions that were answered with 200
	held           bool              // push nothing
	lends          bool              // the service's token speaks for devices (MSC4190)
	brings         bool              // what is for devices comes in transactions (MSC2409, MSC3202)
	post           []json.RawMessage // of that, what is still to come
	none           bool              // users of the service can't have devices

	stop chan struct{}
	wg   sync.WaitGroup
}

const (
	testToken   = "token-of-the-box"
	testHSToken = "token-of-the-homeserver"
	testDomain  = "hs.test"
)

// withService gives the homeserver an application service.
func (h *homeserver) withService(t testing.TB) *hsService {
	s := &hsService{
		h: h, token: testToken, hsToken: testHSToken, registered: map[id.UserID]bool{}, names: map[id.UserID]string{},
		lent: map[string]bool{},
		stop: make(chan struct{}),
	}
	h.boxes = s
	s.wg.Go(s.push)
	t.Cleanup(func() {
		close(s.stop)
		s.wg.Wait()
	})
	return s
}

var testRealm = realm{defaultPrefix, testDomain}

// gateway is a network whose links listen where the homeserver looks for them.
func (s *hsService) gateway() *Gateway {
	g := &Gateway{net: testNetwork()}
	g.listen = func(string, string) (net.Listener, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			s.h.mu.Lock()
			s.addr = l.Addr().String()
			s.h.happen()
			s.h.mu.Unlock()
		}
		return l, err
	}
	return g
}

func (s *hsService) form() map[string]string {
	return map[string]string{
		"homeserver": s.h.http.URL, "domain": testDomain, "as-token": testToken, "hs-token": testHSToken,
		"listen": "127.0.0.1:0", "url": "http://box.test",
	}
}

// speaks is whom a request with the service's token is from. The homeserver's lock
// is held.
func (s *hsService) speaks(r *http.Request) (me id.UserID, device string) {
	u := id.UserID(r.URL.Query().Get("user_id"))
	if u == "" {
		u = testRealm.bot()
		s.registered[u] = true
	}
	if s.h.users[u] == nil {
		s.known(u)
	}
	if d := r.URL.Query().Get("device_id"); s.lends && s.lent[d] {
		return u, d
	}
	return u, "service"
}

// signIn gives a user of the service a device with a token. The homeserver's lock is
// held.
func (s *hsService) signIn(w http.ResponseWriter, r *http.Request, user, device string) {
	u := s.h.users[id.UserID(user)]
	if r.Header.Get("Authorization") != "Bearer "+s.token || u == nil || s.none || s.lends {
		refuse(w, 403, "M_FORBIDDEN", "no such login")
		return
	}
	token := fmt.Sprintf("token-of-%s-%s-%d", user, device, len(u.tokens))
	u.tokens[token] = device
	answer(w, map[string]string{"user_id": user, "access_token": token, "device_id": device})
}

// forget ends a device. The homeserver's lock is held.
func (s *hsService) forget(u id.UserID, device string) {
	maps.DeleteFunc(s.h.users[u].tokens, func(_, d string) bool { return d == device })
	delete(s.lent, device)
	if s.h.keys != nil {
		k := s.h.of(u)
		delete(k.devices, device)
		delete(k.one, device)
		k.changed = s.h.happen()
	}
}

// devices are the devices of an account's ghost that have keys.
func (s *hsService) devices(handle string) []string {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return slices.Sorted(maps.Keys(s.h.of(testRealm.userOf(handle)).devices))
}

// known makes somebody who can be invited though nobody has registered him.
func (s *hsService) known(u id.UserID) {
	s.h.users[u] = &hsUser{tokens: map[string]string{}, data: map[string]stamped{}, txns: map[string]id.EventID{}}
}

// answer does what only services ask for. The homeserver's lock is held.
func (s *hsService) answer(w http.ResponseWriter, r *http.Request, me id.UserID, device string, p []string, body []byte) bool {
	switch {
	case p[0] == "register":
		req, _ := decode[struct{ Username string }](body)
		u := id.NewUserID(req.Username, testDomain)
		if s.registered[u] {
			refuse(w, 400, "M_USER_IN_USE", "taken")
			return true
		}
		if s.registered[u] = true; s.h.users[u] == nil {
			s.known(u)
		}
		answer(w, map[string]string{"user_id": string(u)})
	case r.Header.Get("Authorization") == "Bearer "+s.token && !s.registered[me]:
		refuse(w, 403, "M_FORBIDDEN", "Application service has not registered this user")
	case p[0] == "profile" && r.Method == http.MethodPut:
		req, _ := decode[struct{ Displayname string }](body)
		s.names[me], s.h.users[me].display = req.Displayname, req.Displayname
		answer(w, struct{}{})
	case p[0] == "presence" && r.Method == http.MethodGet:
		u := s.h.users[id.UserID(p[1])]
		if u == nil || u.presence.raw == nil {
			refuse(w, 404, "M_NOT_FOUND", "nothing is known")
			return true
		}
		answer(w, u.presence.raw)
	case p[0] == "devices" && r.Method == http.MethodPut && s.lends && !s.none:
		s.lent[p[1]] = true
		w.WriteHeader(201)
		answer(w, struct{}{})
	case p[0] == "devices" && r.Method == http.MethodPut:
		refuse(w, 404, "M_NOT_FOUND", "device does not exist")
	case p[0] == "devices" && r.Method == http.MethodDelete && s.lends:
		s.forget(me, p[1])
		answer(w, struct{}{})
	case p[0] == "logout":
		s.forget(me, device)
		answer(w, struct{}{})
	default:
		return false
	}
	return true
}

// due is what is to be pushed next, at most a few events, and where that ends. The
// lock is held.
func (s *hsService) due() (events []json.RawMessage, until int) {
	ours := func(u id.UserID) bool { _, ok := testRealm.handleOf(u); return ok }
	until = s.pushed
	for until < s.h.pos && len(events) < 5 {
		until++
		for r, rm := range s.h.rooms {
			for _, e := range rm.events {
				if e.pos != until {
					continue
				}
				concerns := ours(e.Sender) || e.StateKey != nil && ours(id.UserID(*e.StateKey))
				for _, u := range rm.count("join") {
					concerns = concerns || ours(u)
				}
				if concerns {
					raw := map[string]any{}
					json.Unmarshal(wireEvents([]evt{e.evt})[0], &raw)
					raw["room_id"] = r
					if secret := rm.state("m.room.encryption", ""); secret != nil && e.StateKey != nil {
						raw["unsigned"].(map[string]any)["invite_room_state"] = wireEvents([]evt{secret.evt})
					}
					b, _ := json.Marshal(raw)
					events = append(events, b)
				}
			}
		}
	}
	return events, until
}

// push brings events until it is stopped. One transaction is repeated until the
// box has it, as it was.
func (s *hsService) push() {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for {
		s.h.mu.Lock()
		bell := s.h.bell
		var events []json.RawMessage
		until := s.pushed
		if s.addr != "" && !s.held {
			events, until = s.due()
		}
		post := slices.Clone(s.post)
		if len(events)+len(post) == 0 {
			s.pushed = until
		}
		s.h.mu.Unlock()
		if len(events)+len(post) == 0 {
			select {
			case <-s.stop:
				return
			case <-bell:
			}
			continue
		}
		body, _ := json.Marshal(map[string]any{"events": events, "de.sorunome.msc2409.to_device": post})
		for {
			s.h.mu.Lock()
			addr, name := s.addr, fmt.Sprint(s.sent)
			s.h.mu.Unlock()
			if putTransaction(client, addr, name, s.hsToken, body) == http.StatusOK {
				break
			}
			select {
			case <-s.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
		s.h.mu.Lock()
		s.pushed, s.post = until, s.post[len(post):]
		s.sent++
		s.h.mu.Unlock()
	}
}

// putTransaction returns the status, 0 when there was no answer.
func putTransaction(c *http.Client, addr, name, token string, body []byte) int {
	req, err := http.NewRequest(http.MethodPut, "http://"+addr+"/_matrix/app/v1/transactions/"+name, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// befriend makes a direct room of a person and an account's ghost, both in it.
func (s *hsService) befriend(handle string, with id.UserID) id.RoomID {
	ghost := testRealm.userOf(handle)
	s.h.mu.Lock()
	s.registered[ghost] = true
	if s.h.users[ghost] == nil {
		s.known(ghost)
	}
	s.h.mu.Unlock()
	r := s.h.create(with, true, ghost)
	s.h.join(r, ghost)
	return r
}

// asks lets somebody invite an account.
func (s *hsService) asks(who id.UserID, handle string) id.RoomID {
	ghost := testRealm.userOf(handle)
	s.h.mu.Lock()
	if s.h.users[ghost] == nil {
		s.known(ghost)
	}
	s.h.mu.Unlock()
	return s.h.create(who, true, ghost)
}

// spoken is what a ghost said in all rooms, in order.
func (s *hsService) spoken(handle string) []string {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.h.texts(testRealm.userOf(handle))
}

// answered waits until the box has everything.
func (s *hsService) answered() {
	s.h.t.Helper()
	for range 2000 {
		s.h.mu.Lock()
		bell := s.h.bell
		events, _ := s.due()
		s.h.mu.Unlock()
		if len(events) == 0 {
			return
		}
		select {
		case <-bell:
		case <-time.After(5 * time.Millisecond): // an answer does not ring
		}
	}
	s.h.t.Fatal("the box does not take what happened: " + strings.Join(s.spoken("alice@hotmail.com"), " "))
}
