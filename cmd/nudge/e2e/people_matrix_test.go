package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// matrixPeer is a person at matrix-nio. Room is where he talks to his friend.
type matrixPeer struct {
	*lines
	me, friend person
	Room       string
}

func joinMatrix(t testing.TB, p person) *matrixPeer {
	t.Helper()
	store, err := os.MkdirTemp(house.dir, "nio-")
	check(t, err)
	l := startPeer(t, p.User, "matrix_peer.py", "http://"+p.server.Addr(), p.ID, p.Password, store)
	return &matrixPeer{lines: l, me: p}
}

// meet makes a direct room that friend opens and the person joins.
func (m *matrixPeer) meet(t testing.TB, friend person, encrypted bool) {
	t.Helper()
	m.friend = friend
	token := matrixLogin(t, friend)
	create := map[string]any{
		"preset": "trusted_private_chat", "is_direct": true, "invite": []string{m.me.ID},
	}
	if encrypted {
		create["initial_state"] = []any{map[string]any{
			"type": "m.room.encryption", "state_key": "", "content": map[string]string{"algorithm": "m.megolm.v1.aes-sha2"},
		}}
	}
	var room struct {
		ID string `json:"room_id"`
	}
	from := m.len()
	check(t, matrixCall(friend.server, token, "POST", "createRoom", create, &room))
	direct, path := map[string][]string{}, "user/"+url.PathEscape(friend.ID)+"/account_data/m.direct"
	if err := matrixCall(friend.server, token, "GET", path, nil, &direct); err != nil && !strings.Contains(err.Error(), "M_NOT_FOUND") {
		t.Fatal(err)
	}
	direct[m.me.ID] = []string{room.ID}
	check(t, matrixCall(friend.server, token, "PUT", path, direct, nil))
	m.wait(t, from, "joining", func(e peerEvent) bool {
		return e.Ev == "member" && e.Room == room.ID && e.User == m.me.ID && e.Membership == "join"
	})
	check(t, matrixCall(friend.server, token, "POST", "logout", struct{}{}, nil))
	m.Room = room.ID
}

// matrixLogin signs in without a client and returns the access token.
func matrixLogin(t testing.TB, p person) string {
	t.Helper()
	var login struct {
		Token string `json:"access_token"`
	}
	check(t, matrixCall(p.server, "", "POST", "login", map[string]any{
		"type": "m.login.password", "password": p.Password,
		"identifier": map[string]string{"type": "m.id.user", "user": p.User},
	}, &login))
	return login.Token
}

// matrixCall is one request of the client-server API.
func matrixCall(s *server, token, method, path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, "http://"+s.Addr()+"/_matrix/client/v3/"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

func (m *matrixPeer) Person() person { return m.me }
func (m *matrixPeer) Mark() int      { return m.len() }

func (m *matrixPeer) Say(ctx context.Context, text string) error {
	_, err := m.try(ctx, op{"op": "send", "room": m.Room, "body": text})
	return err
}

func (m *matrixPeer) Post(text string) error {
	return m.write(0, op{"op": "send", "room": m.Room, "body": text})
}

// Sent takes an own message that came back by sync as taken by the server; it
// is the same as the answer to the request, and carries the text.
func (m *matrixPeer) Sent() (texts []string) {
	events, _ := m.since(0)
	for _, e := range events {
		if e.Ev == "msg" && e.Frm == m.me.ID && e.Room == m.Room {
			texts = append(texts, e.Body)
		}
	}
	return texts
}

func (m *matrixPeer) Heard(ctx context.Context, from int, part string) error {
	_, err := m.find(ctx, from, func(e peerEvent) bool {
		return e.Ev == "msg" && e.Frm == m.friend.ID && strings.Contains(e.Body, part)
	})
	return err
}

func (m *matrixPeer) Type(t testing.TB) {
	t.Helper()
	m.do(t, op{"op": "typing", "room": m.Room, "on": "true"})
}

func (m *matrixPeer) SeesTyping(ctx context.Context, from int) error {
	_, err := m.find(ctx, from, func(e peerEvent) bool {
		return e.Ev == "typing" && slices.Contains(e.Users, m.friend.ID)
	})
	return err
}

func (m *matrixPeer) Show(t testing.TB, state string) {
	t.Helper()
	m.do(t, op{"op": "presence", "presence": matrixPresence(state), "status_msg": ""})
}

func matrixPresence(state string) string {
	if state == "away" {
		return "unavailable"
	}
	return state
}

func (m *matrixPeer) Sees(ctx context.Context, from int, state string) error {
	_, err := m.find(ctx, from, func(e peerEvent) bool {
		return e.Ev == "presence" && e.Frm == m.friend.ID && e.Presence == matrixPresence(state)
	})
	return err
}

// Nudge writes what MAPPING.md §1 takes for one: Matrix has none.
func (m *matrixPeer) Nudge(t testing.TB) {
	t.Helper()
	m.do(t, op{"op": "send", "room": m.Room, "body": "!nudge"})
}

func (m *matrixPeer) Archive(t testing.TB) (texts []string) {
	t.Helper()
	for _, a := range m.doWithin(t, 8*patience, op{"op": "history", "room": m.Room}).Messages {
		if a.Frm == m.friend.ID {
			texts = append(texts, a.Body)
		}
	}
	return texts
}

// Kept is what was sent: a room has one history.
func (m *matrixPeer) Kept(t testing.TB) (said, friend []string) { return m.Sent(), m.Archive(t) }

func (m *matrixPeer) Ask(t testing.TB) func(context.Context) error {
	t.Helper()
	from := m.len()
	m.Room = m.do(t, op{"op": "create", "invite": m.friend.ID}).Room
	return func(ctx context.Context) error {
		_, err := m.find(ctx, from, func(e peerEvent) bool {
			return e.Ev == "member" && e.Room == m.Room && e.User == m.friend.ID && e.Membership == "join"
		})
		return err
	}
}
