package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/matrix/authtest"
)

// homeserver is a small Matrix server for tests: enough of the client-server
// API to tell whether a client does the right things, with faults on demand.
// Positions count up by one for everything that happens; a token is "s" and a
// position.
type homeserver struct {
	t    testing.TB
	http *httptest.Server
	name string

	mu      sync.Mutex
	bell    chan struct{}
	pos     int
	users   map[id.UserID]*hsUser
	rooms   map[id.RoomID]*hsRoom
	aliases map[string]id.RoomID
	media   [][]byte
	faults  []*fault
	late    sync.WaitGroup // faults that are carried out later
	seen    []request
	keys    map[id.UserID]*hsKeys // nil: a server without encryption
	mute    chan struct{}         // not nil: nothing is answered until it is closed
	boxes   *hsService            // nil: a server without an application service
	conns   map[net.Conn]bool
	auth    *authtest.Server // nil: it makes tokens by itself, and they last

	signedOn bool // ssoToken was used

	// pagesByDepth: as Dendrite, history loses what is at the edge of a page, and
	// only the filter's limit makes pages large.
	pagesByDepth bool
}

type hsUser struct {
	password, display string
	tokens            map[string]string // token to device
	data              map[string]stamped
	presence          stamped
	txns              map[string]id.EventID // device + txn
}

type stamped struct {
	pos int
	raw json.RawMessage
}

type hsRoom struct {
	events []hsEvent
	typing map[id.UserID]bool
	typed  int // pos of the last change of typing
}

// hsEvent is a stored event with its place and, for the sender's device, its
// transaction id.
type hsEvent struct {
	evt
	pos    int
	device string
	txn    string
}

// fault answers the next times requests of a method whose path and query
// contain the words with a status, a body and headers of its own. after: the request is
// carried out first.
type fault struct {
	method, path string
	times        int
	status       int
	body         string
	header       map[string]string
	after        bool
	late         time.Duration // the request is carried out so long after the answer
	cut          bool          // drop the connection instead of answering
}

type request struct{ method, path, body string }

func newHomeserver(t testing.TB) *homeserver {
	h := &homeserver{
		t: t, name: "hs.test", bell: make(chan struct{}), conns: map[net.Conn]bool{},
		users: map[id.UserID]*hsUser{}, rooms: map[id.RoomID]*hsRoom{},
	}
	h.http = httptest.NewUnstartedServer(h)
	h.http.Config.ConnState = func(c net.Conn, s http.ConnState) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if s == http.StateClosed || s == http.StateHijacked {
			delete(h.conns, c)
		} else {
			h.conns[c] = true
		}
	}
	h.http.Start()
	t.Cleanup(func() {
		h.stall(false)
		h.cut()
		h.http.Close()
		h.late.Wait()
	})
	return h
}

func (h *homeserver) user(local, password, display string) id.UserID {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := id.NewUserID(local, h.name)
	h.users[u] = &hsUser{
		password: password, display: display,
		tokens: map[string]string{}, data: map[string]stamped{}, txns: map[string]id.EventID{},
	}
	return u
}

// cut drops every connection.
func (h *homeserver) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		c.Close()
	}
}

func (h *homeserver) stall(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case on && h.mute == nil:
		h.mute = make(chan struct{})
	case !on && h.mute != nil:
		close(h.mute)
		h.mute = nil
	}
}

func (h *homeserver) fail(f fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, &f)
}

// requests lists what was asked with a method and words of the path.
func (h *homeserver) requests(method, path string) (found []request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.seen {
		if r.method == method && strings.Contains(r.path, path) {
			found = append(found, r)
		}
	}
	return found
}

// happen moves on and wakes everybody. mu is held.
func (h *homeserver) happen() int {
	h.pos++
	close(h.bell)
	h.bell = make(chan struct{})
	return h.pos
}

// add stores an event. mu is held.
func (h *homeserver) add(r id.RoomID, u id.UserID, kind string, stateKey *string, content any) id.EventID {
	raw, err := json.Marshal(content)
	if err != nil {
		panic(err)
	}
	rm := h.rooms[r]
	e := hsEvent{evt: evt{Type: kind, Sender: u, StateKey: stateKey, Content: raw, At: time.Now().UnixMilli()}}
	if stateKey != nil {
		if old := rm.state(kind, *stateKey); old != nil {
			e.Unsigned.PrevContent, e.Unsigned.ReplacesState = old.Content, old.ID
		}
	}
	e.pos = h.happen()
	e.ID = id.EventID("$e" + strconv.Itoa(e.pos))
	rm.events = append(rm.events, e)
	return e.ID
}

func (rm *hsRoom) state(kind, key string) *hsEvent {
	for i := len(rm.events) - 1; i >= 0; i-- {
		if e := &rm.events[i]; e.Type == kind && e.StateKey != nil && *e.StateKey == key {
			return e
		}
	}
	return nil
}

func (rm *hsRoom) membership(u id.UserID) (string, *hsEvent) {
	e := rm.state("m.room.member", string(u))
	if e == nil {
		return "", nil
	}
	c, _ := decode[struct{ Membership string }](e.Content)
	return c.Membership, e
}

func (rm *hsRoom) count(membership string) (users []id.UserID) {
	seen := map[string]bool{}
	for i := len(rm.events) - 1; i >= 0; i-- {
		e := rm.events[i]
		if e.Type != "m.room.member" || seen[*e.StateKey] {
			continue
		}
		seen[*e.StateKey] = true
		if m, _ := rm.membership(id.UserID(*e.StateKey)); m == membership {
			users = append(users, id.UserID(*e.StateKey))
		}
	}
	slices.Sort(users)
	return users
}

// What users do in a test; each locks.

func (h *homeserver) create(u id.UserID, direct bool, invite ...id.UserID) id.RoomID {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := id.RoomID(fmt.Sprintf("!r%d:%s", h.pos+1, h.name))
	h.rooms[r] = &hsRoom{typing: map[id.UserID]bool{}}
	h.add(r, u, "m.room.create", new(string), map[string]string{"creator": string(u)})
	h.member(r, u, u, "join", false)
	for _, v := range invite {
		h.member(r, u, v, "invite", direct)
	}
	return r
}

// member changes a membership. mu is held.
func (h *homeserver) member(r id.RoomID, by, u id.UserID, membership string, direct bool) {
	key := string(u)
	c := map[string]any{"membership": membership, "displayname": h.users[u].display}
	if direct {
		c["is_direct"] = true
	}
	h.add(r, by, "m.room.member", &key, c)
}

func (h *homeserver) join(r id.RoomID, u id.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.member(r, u, u, "join", false)
}

func (h *homeserver) say(r id.RoomID, u id.UserID, text string) id.EventID {
	return h.post(r, u, "m.room.message", map[string]any{"msgtype": "m.text", "body": text})
}

func (h *homeserver) post(r id.RoomID, u id.UserID, kind string, content any) id.EventID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.add(r, u, kind, nil, content)
}

func (h *homeserver) setState(r id.RoomID, u id.UserID, kind string, content any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(r, u, kind, new(string), content)
}

// dm makes a direct room both are in, with u's m.direct saying so.
func (h *homeserver) dm(u, with id.UserID) id.RoomID {
	r := h.create(with, true, u)
	h.join(r, u)
	direct := map[id.UserID][]id.RoomID{}
	json.Unmarshal(h.account(u, "m.direct"), &direct)
	direct[with] = append(direct[with], r)
	h.setAccount(u, "m.direct", direct)
	return r
}

func (h *homeserver) account(u id.UserID, kind string) json.RawMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.users[u].data[kind].raw
}

func (h *homeserver) setAccount(u id.UserID, kind string, v any) {
	raw, _ := json.Marshal(v)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users[u].data[kind] = stamped{h.happen(), raw}
}

func (h *homeserver) setPresence(u id.UserID, content string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users[u].presence = stamped{h.happen(), json.RawMessage(content)}
}

func (h *homeserver) setTyping(r id.RoomID, u id.UserID, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rm := h.rooms[r]
	if delete(rm.typing, u); on {
		rm.typing[u] = true
	}
	rm.typed = h.happen()
}

// ServeHTTP implements http.Handler.
func (h *homeserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	mute := h.mute
	asked := r.URL.Path + "?" + r.URL.RawQuery
	h.seen = append(h.seen, request{r.Method, asked, string(body)})
	var f *fault
	for _, g := range h.faults {
		if f == nil && g.times > 0 && g.method == r.Method && strings.Contains(asked, g.path) {
			f = g
			g.times--
		}
	}
	h.mu.Unlock()
	if mute != nil {
		select {
		case <-mute:
		case <-r.Context().Done():
			return
		}
	}
	if f != nil {
		if f.after {
			h.route(httptest.NewRecorder(), r, body)
		}
		if f.late > 0 {
			h.late.Go(func() {
				time.Sleep(f.late)
				h.route(httptest.NewRecorder(), r.Clone(context.WithoutCancel(r.Context())), body)
			})
		}
		if f.cut {
			panic(http.ErrAbortHandler)
		}
		for k, v := range f.header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(f.status)
		io.WriteString(w, f.body)
		return
	}
	h.route(w, r, body)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"errcode": code, "error": text})
}

// route does one request. Paths are taken apart by hand because room and user
// ids are escaped in them.
func (h *homeserver) route(w http.ResponseWriter, r *http.Request, body []byte) {
	if h.auth != nil && h.auth.Handles(r) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.auth.ServeHTTP(w, r)
		return
	}
	var p []string
	for s := range strings.SplitSeq(strings.Trim(r.URL.EscapedPath(), "/"), "/") {
		u, _ := url.PathUnescape(s)
		p = append(p, u)
	}
	if len(p) < 4 || p[0] != "_matrix" {
		http.NotFound(w, r)
		return
	}
	p = p[3:]
	switch {
	case p[0] == "login" && r.Method == http.MethodGet:
		h.flows(w)
		return
	case p[0] == "login":
		h.login(w, r, body)
		return
	case p[0] == "auth_metadata":
		refuse(w, 404, "M_UNRECOGNIZED", "Unrecognized request")
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	h.mu.Lock()
	var me id.UserID
	var device string
	for u, user := range h.users {
		if d, ok := user.tokens[token]; ok {
			me, device = u, d
		}
	}
	if h.boxes != nil && token == h.boxes.token {
		me, device = h.boxes.speaks(r)
	}
	h.mu.Unlock()
	soft := false
	if h.auth != nil && me == "" {
		var user string
		user, device, _, soft = h.auth.Who(token)
		me = id.UserID(user)
	}
	if me == "" {
		authtest.Unknown(w, soft)
		return
	}
	switch p[0] {
	case "sync":
		h.sync(w, r, me, device)
		return
	case "rooms":
		h.mu.Lock()
		defer h.mu.Unlock()
		h.room(w, r, me, device, p[1:], body)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.other(w, r, me, device, p, body)
}

func (h *homeserver) login(w http.ResponseWriter, r *http.Request, body []byte) {
	req, _ := decode[struct {
		Type       string
		Identifier struct{ User string }
		Password   string
		Token      string
		DeviceID   string `json:"device_id"`
		Refresh    bool   `json:"refresh_token"`
	}](body)
	h.mu.Lock()
	defer h.mu.Unlock()
	if req.Type == "m.login.token" {
		h.tokenLogin(w, req.Token, req.DeviceID, req.Refresh)
		return
	}
	if req.Type == "m.login.application_service" && h.boxes != nil {
		h.boxes.signIn(w, r, req.Identifier.User, req.DeviceID)
		return
	}
	u := id.UserID(req.Identifier.User)
	if !strings.HasPrefix(req.Identifier.User, "@") {
		u = id.NewUserID(req.Identifier.User, h.name)
	}
	user := h.users[u]
	if user == nil || user.password != req.Password {
		refuse(w, 403, "M_FORBIDDEN", "Invalid username or password")
		return
	}
	token := fmt.Sprintf("token-%s-%d", u.Localpart(), len(user.tokens))
	user.tokens[token] = req.DeviceID
	answer(w, map[string]string{"user_id": string(u), "access_token": token, "device_id": req.DeviceID})
}

// other does what is not about one room. mu is held.
func (h *homeserver) other(w http.ResponseWriter, r *http.Request, me id.UserID, device string, p []string, body []byte) {
	switch {
	case h.keys != nil && h.encryption(w, r, me, device, p, body):
	case h.boxes != nil && h.boxes.answer(w, r, me, device, p, body):
	case p[0] == "account" && p[1] == "whoami":
		answer(w, map[string]string{"user_id": string(me), "device_id": device})
	case p[0] == "join":
		if rm := h.rooms[id.RoomID(p[1])]; rm == nil {
			refuse(w, 404, "M_NOT_FOUND", "no such room")
			return
		}
		h.member(id.RoomID(p[1]), me, me, "join", false)
		answer(w, map[string]string{"room_id": p[1]})
	case p[0] == "directory":
		r, ok := h.aliases[p[2]]
		if !ok {
			refuse(w, 404, "M_NOT_FOUND", "no such alias")
			return
		}
		answer(w, map[string]any{"room_id": r, "servers": []string{h.name}})
	case p[0] == "createRoom":
		req, _ := decode[struct {
			Invite   []id.UserID
			IsDirect bool `json:"is_direct"`
		}](body)
		h.mu.Unlock()
		room := h.create(me, req.IsDirect, req.Invite...)
		h.mu.Lock()
		answer(w, map[string]string{"room_id": string(room)})
	case p[0] == "joined_rooms":
		rooms := []id.RoomID{}
		for r, rm := range h.rooms {
			if m, _ := rm.membership(me); m == "join" {
				rooms = append(rooms, r)
			}
		}
		answer(w, map[string]any{"joined_rooms": rooms})
	case p[0] == "profile":
		u := h.users[id.UserID(p[1])]
		if u == nil {
			refuse(w, 404, "M_NOT_FOUND", "no such user")
			return
		}
		answer(w, map[string]string{"displayname": u.display})
	case p[0] == "presence" && r.Method == http.MethodPut:
		h.users[me].presence = stamped{h.happen(), body}
		answer(w, struct{}{})
	case p[0] == "user" && p[2] == "account_data" && r.Method == http.MethodGet:
		d, ok := h.users[me].data[p[3]]
		if !ok {
			refuse(w, 404, "M_NOT_FOUND", "no such data")
			return
		}
		answer(w, d.raw)
	case p[0] == "user" && p[2] == "account_data":
		h.users[me].data[p[3]] = stamped{h.happen(), body}
		answer(w, struct{}{})
	case p[0] == "upload":
		h.media = append(h.media, body)
		answer(w, map[string]string{"content_uri": fmt.Sprintf("mxc://%s/%d", h.name, len(h.media)-1)})
	case p[0] == "media" && p[1] == "config":
		answer(w, map[string]int64{"m.upload.size": maxUpload})
	case p[0] == "media" && p[1] == "download":
		n, err := strconv.Atoi(p[3])
		if err != nil || n >= len(h.media) {
			refuse(w, 404, "M_NOT_FOUND", "no such file")
			return
		}
		w.Header().Set("Content-Disposition", `attachment; filename="a.txt"`)
		w.Header().Set("Content-Type", "text/plain")
		w.Write(h.media[n])
	default:
		http.NotFound(w, r)
	}
}

// room does what is about one room. mu is held.
func (h *homeserver) room(w http.ResponseWriter, r *http.Request, me id.UserID, device string, p []string, body []byte) {
	rid := id.RoomID(p[0])
	rm := h.rooms[rid]
	if rm == nil {
		refuse(w, 404, "M_NOT_FOUND", "no such room")
		return
	}
	membership, _ := rm.membership(me)
	if p[1] == "join" || p[1] == "leave" {
		h.member(rid, me, me, p[1], false)
		answer(w, map[string]string{"room_id": p[0]})
		return
	}
	if membership != "join" {
		refuse(w, 403, "M_FORBIDDEN", "you are not in this room")
		return
	}
	switch p[1] {
	case "state":
		e := rm.state(p[2], "")
		if e == nil {
			refuse(w, 404, "M_NOT_FOUND", "no such state")
			return
		}
		answer(w, e.Content)
	case "send", "redact":
		h.put(w, rid, me, device, p, body)
	case "messages":
		h.messages(w, r, rm, me)
	case "members":
		members := []evt{}
		for _, u := range append(rm.count("join"), rm.count("invite")...) {
			members = append(members, rm.state("m.room.member", string(u)).evt)
		}
		answer(w, map[string]any{"chunk": wireEvents(members)})
	case "joined_members":
		joined := map[id.UserID]any{}
		for _, u := range rm.count("join") {
			joined[u] = map[string]string{"display_name": h.users[u].display}
		}
		answer(w, map[string]any{"joined": joined})
	case "typing", "receipt":
		answer(w, struct{}{})
	default:
		http.NotFound(w, r)
	}
}

func (h *homeserver) put(w http.ResponseWriter, rid id.RoomID, me id.UserID, device string, p []string, body []byte) {
	rm, user, key := h.rooms[rid], h.users[me], device+" "+p[3]
	if e, ok := user.txns[key]; ok {
		answer(w, map[string]string{"event_id": string(e)})
		return
	}
	kind := p[2]
	if p[1] == "redact" {
		kind = "m.room.redaction"
	}
	e := h.add(rid, me, kind, nil, json.RawMessage(body))
	last := &rm.events[len(rm.events)-1]
	last.device, last.txn = device, p[3]
	if p[1] == "redact" {
		last.Redacts = id.EventID(p[2])
	}
	user.txns[key] = e
	answer(w, map[string]string{"event_id": string(e)})
}

func position(token string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(token, "s"))
	return n
}

func token(pos int) string { return "s" + strconv.Itoa(pos) }

// messages pages backwards. History shows no transaction ids here, as on some
// servers.
func (h *homeserver) messages(w http.ResponseWriter, r *http.Request, rm *hsRoom, me id.UserID) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	from, to := position(q.Get("from")), position(q.Get("to"))
	if q.Get("from") == "" {
		from = h.pos
	}
	size := min(limit, 10) // smaller pages than asked for, as servers may
	var filter struct{ Limit int }
	if json.Unmarshal([]byte(q.Get("filter")), &filter); h.pagesByDepth && filter.Limit > 0 {
		size = filter.Limit
	}
	var page historyPage
	for i := len(rm.events) - 1; i >= 0; i-- {
		e := rm.events[i]
		if e.pos > from || e.pos <= to {
			continue
		}
		if len(page.Chunk) == size {
			page.End = token(e.pos)
			if h.pagesByDepth {
				page.End = token(e.pos - 1)
			}
			break
		}
		page.Chunk = append(page.Chunk, e.evt)
	}
	answer(w, wireHistory{wireEvents(page.Chunk), page.End})
}

type wireHistory struct {
	Chunk []json.RawMessage `json:"chunk"`
	End   string            `json:"end,omitempty"`
}

// wireEvents writes events as servers do: absent fields are absent.
func wireEvents(es []evt) []json.RawMessage {
	out := []json.RawMessage{}
	for _, e := range es {
		m := map[string]any{"type": e.Type, "event_id": e.ID, "sender": e.Sender, "origin_server_ts": e.At, "content": e.Content}
		u := map[string]any{}
		if e.StateKey != nil {
			m["state_key"] = *e.StateKey
		}
		if e.Redacts != "" {
			m["redacts"] = e.Redacts
		}
		if e.Unsigned.TransactionID != "" {
			u["transaction_id"] = e.Unsigned.TransactionID
		}
		if e.Unsigned.PrevContent != nil {
			u["prev_content"], u["replaces_state"] = e.Unsigned.PrevContent, e.Unsigned.ReplacesState
		}
		m["unsigned"] = u
		b, _ := json.Marshal(m)
		out = append(out, b)
	}
	return out
}

func (h *homeserver) sync(w http.ResponseWriter, r *http.Request, me id.UserID, device string) {
	q := r.URL.Query()
	timeout, _ := strconv.Atoi(q.Get("timeout"))
	limit := time.NewTimer(time.Duration(timeout) * time.Millisecond)
	defer limit.Stop()
	filter, _ := decode[struct {
		Room struct {
			Rooms    *[]string
			Timeline struct{ Limit int }
		}
	}]([]byte(q.Get("filter")))
	for {
		h.mu.Lock()
		bell := h.bell
		resp, some := h.response(me, device, position(q.Get("since")), filter.Room.Timeline.Limit, filter.Room.Rooms == nil)
		h.mu.Unlock()
		if some || timeout == 0 || q.Get("since") == "" {
			answer(w, resp)
			return
		}
		select {
		case <-bell:
		case <-limit.C:
			timeout = 0
		case <-r.Context().Done():
			return
		}
	}
}

// response is what /sync says since a position. mu is held.
func (h *homeserver) response(me id.UserID, device string, since, limit int, withRooms bool) (map[string]any, bool) {
	some := false
	list := func(out []json.RawMessage) map[string]any { return map[string]any{"events": out} }
	account := []json.RawMessage{}
	for kind, d := range h.users[me].data {
		if d.pos > since {
			account = append(account, json.RawMessage(fmt.Sprintf(`{"type":%q,"content":%s}`, kind, d.raw)))
		}
	}
	presence := []json.RawMessage{}
	for _, u := range slices.Sorted(maps.Keys(h.users)) {
		if p := h.users[u].presence; p.pos > since {
			presence = append(presence, json.RawMessage(fmt.Sprintf(`{"type":"m.presence","sender":%q,"content":%s}`, u, p.raw)))
		}
	}
	join, invite, leave := map[id.RoomID]any{}, map[id.RoomID]any{}, map[id.RoomID]any{}
	for rid, rm := range h.rooms {
		if !withRooms {
			break
		}
		switch membership, e := rm.membership(me); {
		case membership == "join":
			if j, ok := h.joinedPart(rm, me, device, since, limit, e.pos > since && changed(e)); ok {
				join[rid] = j
			}
		case membership == "invite" && e.pos > since:
			var state []evt
			for _, s := range rm.events {
				if s.StateKey != nil && (s.Type != "m.room.member" || *s.StateKey == string(me) || *s.StateKey == string(s.Sender)) {
					state = append(state, s.evt)
				}
			}
			invite[rid] = map[string]any{"invite_state": list(wireEvents(state))}
		case (membership == "leave" || membership == "ban") && e.pos > since && since > 0:
			var line []evt
			for _, s := range rm.events {
				if s.pos > since && s.pos <= e.pos {
					line = append(line, s.evt)
				}
			}
			leave[rid] = map[string]any{"timeline": map[string]any{"events": wireEvents(line)}}
		}
	}
	some = len(account)+len(presence)+len(join)+len(invite)+len(leave) > 0
	resp := map[string]any{
		"next_batch": token(h.pos), "account_data": list(account), "presence": list(presence),
		"rooms": map[string]any{"join": join, "invite": invite, "leave": leave},
	}
	return resp, h.keyPart(resp, me, device, since) || some
}

// changed tells whether a membership event was a joining.
func changed(e *hsEvent) bool {
	before, _ := decode[struct{ Membership string }](e.Unsigned.PrevContent)
	return before.Membership != "join"
}

func (h *homeserver) joinedPart(rm *hsRoom, me id.UserID, device string, since, limit int, fresh bool) (any, bool) {
	first := len(rm.events)
	for first > 0 && (rm.events[first-1].pos > since || fresh) && len(rm.events)-first < max(limit, 1) {
		first--
	}
	limited := first > 0 && (rm.events[first-1].pos > since || fresh)
	var line, state []evt
	for i, e := range rm.events {
		if e.device == device && e.Sender == me {
			e.Unsigned.TransactionID = e.txn
		}
		if i >= first {
			line = append(line, e.evt)
		} else if e.StateKey != nil && (e.pos > since || fresh) {
			state = append(state, e.evt)
		}
	}
	ephemeral := []json.RawMessage{}
	if rm.typed > since {
		b, _ := json.Marshal(map[string]any{"type": "m.typing", "content": map[string]any{"user_ids": slices.Sorted(maps.Keys(rm.typing))}})
		ephemeral = append(ephemeral, b)
	}
	prev := 0
	if first > 1 {
		prev = rm.events[first-2].pos // as on servers that lose one of two events at the edge of a page (Dendrite)
	}
	heroes := slices.DeleteFunc(append(rm.count("join"), rm.count("invite")...), func(u id.UserID) bool { return u == me })
	return map[string]any{
		"summary":   map[string]any{"m.heroes": heroes, "m.joined_member_count": len(rm.count("join")), "m.invited_member_count": len(rm.count("invite"))},
		"state":     map[string]any{"events": wireEvents(state)},
		"timeline":  map[string]any{"events": wireEvents(line), "limited": limited, "prev_batch": token(prev)},
		"ephemeral": map[string]any{"events": ephemeral},
	}, len(line)+len(state)+len(ephemeral) > 0
}
