// Package authtest is a strict sign-in server for tests: OAuth with device codes and
// refresh tokens (client-server API, OAuth 2.0 API; RFC 8628), and Matrix's own
// /refresh. It holds no rooms; a homeserver asks it whose a token is.
//
// # Strictness
//
// A refresh token is good for one new pair. It is good for another one only while
// nothing was done with the first: then the answer may have been lost. Whoever uses
// it after that has stolen it, or forgot what he had, and the session is over, as on
// real servers (RFC 9700 §4.14.2). The old access token is void as soon as there is
// a new pair.
package authtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server answers sign-in requests. All methods may be called at any time.
type Server struct {
	Lifetime time.Duration // of access tokens, 0: they last; set it before use
	Password bool          // no OAuth: only /refresh, for pairs made with Open
	Closed   bool          // nobody may register

	mu       sync.Mutex
	bell     chan struct{} // closed when an invitation is made
	count    int
	clients  []string
	invites  []*invite
	sessions []*session
	seen     map[string]int // requests by endpoint
}

type invite struct {
	code, client, scope string
	user                string // who let it in, "" nobody yet
	refused             bool
}

// session is a signed-in device. The last of pairs is the newest.
type session struct {
	user, device, client string
	pairs                []*Pair
	over, soft           bool
}

// Pair is what a device has of its session.
type Pair struct {
	Access, Refresh string
	ends            time.Time
	used            bool
}

// New makes a server without accounts: whoever is named is let in.
func New() *Server {
	return &Server{bell: make(chan struct{}), seen: map[string]int{}}
}

// Handles tells whether a request is for this server. The others are the
// homeserver's.
func (s *Server) Handles(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/auth/") || r.URL.Path == "/_matrix/client/v3/refresh" ||
		r.URL.Path == "/_matrix/client/v1/auth_metadata" && !s.Password
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	endpoint := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[endpoint]++
	switch endpoint {
	case "auth_metadata":
		base := "http://" + r.Host + "/auth/"
		answer(w, map[string]any{
			"issuer": base, "authorization_endpoint": base + "authorize", "token_endpoint": base + "token",
			"registration_endpoint": base + "register", "device_authorization_endpoint": base + "device",
			"revocation_endpoint":   base + "revoke",
			"grant_types_supported": []string{"authorization_code", "refresh_token", deviceGrant},
		})
	case "register":
		s.register(w, r)
	case "device":
		s.device(w, r)
	case "token":
		s.token(w, r)
	case "revoke":
		if o, _ := s.find(r.PostFormValue("token")); o != nil {
			o.over = true
		}
		answer(w, struct{}{})
	case "refresh":
		s.refresh(w, r)
	default:
		http.NotFound(w, r)
	}
}

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	var c struct {
		URI    string   `json:"client_uri"`
		Auth   string   `json:"token_endpoint_auth_method"`
		Grants []string `json:"grant_types"`
	}
	json.NewDecoder(r.Body).Decode(&c)
	u, err := url.Parse(c.URI)
	if s.Closed || err != nil || u.Scheme != "https" || !strings.Contains(u.Host, ".") || c.Auth != "none" ||
		!slices.Contains(c.Grants, deviceGrant) || !slices.Contains(c.Grants, "refresh_token") {
		refuse(w, 400, "invalid_client_metadata")
		return
	}
	s.clients = append(s.clients, s.name("client"))
	answer(w, map[string]string{"client_id": s.clients[len(s.clients)-1]})
}

func (s *Server) device(w http.ResponseWriter, r *http.Request) {
	in := &invite{code: s.name("CODE"), client: r.PostFormValue("client_id"), scope: r.PostFormValue("scope")}
	switch {
	case !slices.Contains(s.clients, in.client):
		refuse(w, 401, "invalid_client")
		return
	case len(in.device()) < 10 || !slices.Contains(strings.Fields(in.scope), "urn:matrix:client:api:*"):
		refuse(w, 400, "invalid_scope")
		return
	}
	s.invites = append(s.invites, in)
	close(s.bell)
	s.bell = make(chan struct{})
	page := "http://" + r.Host + "/auth/link"
	answer(w, map[string]any{
		"device_code": "secret-" + in.code, "user_code": in.code, "verification_uri": page,
		"verification_uri_complete": page + "?code=" + in.code, "expires_in": 600, "interval": 0.02,
	})
}

// device is the device id that the scope asks for.
func (in *invite) device() string {
	for _, s := range strings.Fields(in.scope) {
		if d, ok := strings.CutPrefix(s, "urn:matrix:client:device:"); ok {
			return d
		}
	}
	return ""
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	client := r.PostFormValue("client_id")
	if !slices.Contains(s.clients, client) {
		refuse(w, 401, "invalid_client")
		return
	}
	var p *Pair
	switch r.PostFormValue("grant_type") {
	case deviceGrant:
		i := slices.IndexFunc(s.invites, func(in *invite) bool {
			return "secret-"+in.code == r.PostFormValue("device_code") && in.client == client
		})
		switch {
		case i < 0:
			refuse(w, 400, "expired_token")
			return
		case s.invites[i].refused:
			refuse(w, 400, "access_denied")
			return
		case s.invites[i].user == "":
			refuse(w, 400, "authorization_pending")
			return
		}
		in := s.invites[i]
		s.invites = slices.Delete(s.invites, i, i+1)
		p = s.open(in.user, in.device(), client)
	case "refresh_token":
		p = s.rotate(r.PostFormValue("refresh_token"), client)
	}
	if p == nil {
		refuse(w, 400, "invalid_grant")
		return
	}
	out := map[string]any{"access_token": p.Access, "refresh_token": p.Refresh, "token_type": "Bearer"}
	if s.Lifetime > 0 {
		out["expires_in"] = s.Lifetime.Seconds()
	}
	answer(w, out)
}

// refresh is Matrix's own (client-server API, POST /refresh).
func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Refresh string `json:"refresh_token"`
	}
	json.NewDecoder(r.Body).Decode(&asked)
	o, _ := s.find(asked.Refresh)
	p := s.rotate(asked.Refresh, "")
	if p == nil {
		Unknown(w, o != nil && o.soft)
		return
	}
	out := map[string]any{"access_token": p.Access, "refresh_token": p.Refresh}
	if s.Lifetime > 0 {
		out["expires_in_ms"] = s.Lifetime.Milliseconds()
	}
	answer(w, out)
}

// rotate gives a new pair for a refresh token, nil when it is good for nothing.
func (s *Server) rotate(refresh, client string) *Pair {
	o, i := s.find(refresh)
	if o == nil || o.over || o.client != client || o.pairs[i].Refresh != refresh {
		return nil
	}
	last := len(o.pairs) - 1
	switch {
	case i == last:
		o.pairs[i].used = true
	case i == last-1 && !o.pairs[last].used:
		o.pairs = o.pairs[:last]
	default:
		o.over = true
		return nil
	}
	o.pairs = append(o.pairs, s.pair())
	return o.pairs[len(o.pairs)-1]
}

func (s *Server) open(user, device, client string) *Pair {
	for _, o := range s.sessions {
		o.over = o.over || o.user == user && o.device == device // one session for a device
	}
	p := s.pair()
	s.sessions = append(s.sessions, &session{user: user, device: device, client: client, pairs: []*Pair{p}})
	return p
}

func (s *Server) pair() *Pair {
	p := &Pair{Access: s.name("access"), Refresh: s.name("refresh")}
	if s.Lifetime > 0 {
		p.ends = time.Now().Add(s.Lifetime)
	}
	return p
}

func (s *Server) name(kind string) string {
	s.count++
	return fmt.Sprintf("%s-%d", kind, s.count)
}

// find finds the session and the pair that a token belongs to.
func (s *Server) find(token string) (*session, int) {
	for _, o := range s.sessions {
		for i, p := range o.pairs {
			if token != "" && (p.Access == token || p.Refresh == token) {
				return o, i
			}
		}
	}
	return nil, 0
}

// Who tells whose an access token is, which counts as its use. ok is false when it
// is nobody's (any more); soft is what the refusal should say then.
func (s *Server) Who(access string) (user, device string, ok, soft bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, i := s.find(access)
	if o == nil {
		return "", "", false, false
	}
	p := o.pairs[i]
	if o.over || p.Access != access || i < len(o.pairs)-1 || !p.ends.IsZero() && time.Now().After(p.ends) {
		return "", "", false, o.soft || !o.over
	}
	p.used = true
	return o.user, o.device, true, false
}

// Open makes a session as a sign-in without OAuth does.
func (s *Server) Open(user, device string) Pair {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.open(user, device, "")
}

// Invited waits for an invitation that nobody has answered and returns its code, ""
// when done is closed before.
func (s *Server) Invited(done <-chan struct{}) string {
	for {
		s.mu.Lock()
		bell := s.bell
		for _, in := range s.invites {
			if in.user == "" && !in.refused {
				s.mu.Unlock()
				return in.code
			}
		}
		s.mu.Unlock()
		select {
		case <-bell:
		case <-done:
			return ""
		}
	}
}

// Admit lets the device with a code in as user; "" refuses it.
func (s *Server) Admit(code, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.invites {
		if in.code == code {
			in.user, in.refused = user, user == ""
		}
	}
}

// End signs every device out. soft: they may keep what they are.
func (s *Server) End(soft bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.sessions {
		o.over, o.soft = true, soft
	}
}

// Expire makes every access token of now void, while the sessions go on.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.sessions {
		o.pairs[len(o.pairs)-1].ends = time.Unix(1, 0)
	}
}

// Forget forgets who has registered.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = nil
}

// Seen counts the requests to an endpoint, such as "token".
func (s *Server) Seen(endpoint string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[endpoint]
}

// Devices lists the devices that are signed in.
func (s *Server) Devices() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.sessions {
		if !o.over {
			all = append(all, o.device)
		}
	}
	return all
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "refused by the test"})
}

// Unknown answers as to an access token that is nobody's.
func Unknown(w http.ResponseWriter, soft bool) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, `{"errcode":"M_UNKNOWN_TOKEN","error":"Unknown token","soft_logout":%v}`, soft)
}
