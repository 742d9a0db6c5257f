package matrix

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"
)

// maxTransaction bounds a transaction, in bytes. A homeserver puts at most a
// hundred events of 64 KiB into one; what is larger is none.
const maxTransaction = 16 << 20

// server waits for the homeserver (application service API).
func (s *service) server() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

// serve answers one request of the homeserver.
func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		deny(w, http.StatusServiceUnavailable, "M_UNKNOWN", "the box is closing")
		return
	}
	defer s.wg.Done()
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		token = r.URL.Query().Get("access_token") // as homeservers did before version 1.4 of the API
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.hsToken)) != 1 {
		deny(w, http.StatusForbidden, "M_FORBIDDEN", "wrong token")
		return
	}
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/_matrix/app/v1"), "/")
	what, name, _ := strings.Cut(path, "/")
	switch {
	case what == "transactions" && r.Method == http.MethodPut && name != "":
		s.transaction(w, r, name)
	case what == "users" && r.Method == http.MethodGet:
		s.asked(w, r, id.UserID(name))
	case what == "rooms" && r.Method == http.MethodGet:
		deny(w, http.StatusNotFound, "M_NOT_FOUND", "the box has no rooms of its own")
	case what == "ping" && r.Method == http.MethodPost:
		io.WriteString(w, "{}")
	default:
		deny(w, http.StatusNotFound, "M_UNRECOGNIZED", "there is no such thing here")
	}
}

// enter counts a request in, unless the service is closing.
func (s *service) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.wg.Add(1)
	}
	return !s.ended
}

// transaction takes one transaction. Its answer says that all of it is in safety.
func (s *service) transaction(w http.ResponseWriter, r *http.Request, name string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTransaction))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		deny(w, http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "the transaction is too large")
		return
	case err != nil:
		deny(w, http.StatusBadRequest, "M_UNKNOWN", "the transaction broke off")
		return
	}
	t, err := readTransaction(name, body)
	if err != nil {
		deny(w, http.StatusBadRequest, "M_NOT_JSON", "this is not a transaction")
		return
	}
	if err := s.take(s.ctx, t); err != nil {
		if s.ctx.Err() == nil {
			s.log.Warn("a transaction could not be taken; the homeserver brings it again", "err", words(err))
		}
		deny(w, http.StatusServiceUnavailable, "M_UNKNOWN", "not taken; bring it again")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{}")
}

// asked tells whether there is such a user: the account of that name, who becomes
// one with the question.
func (s *service) asked(w http.ResponseWriter, r *http.Request, u id.UserID) {
	handle, ok := s.handleOf(u)
	acct, known := s.host.Account(handle)
	if !ok || !known {
		deny(w, http.StatusNotFound, "M_NOT_FOUND", "nobody has that address")
		return
	}
	g, err := s.ghost(acct)
	if err == nil {
		err = g.enrol(r.Context(), acct)
	}
	if err != nil {
		deny(w, http.StatusServiceUnavailable, "M_UNKNOWN", "not now")
		return
	}
	io.WriteString(w, "{}")
}

func deny(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct {
		Code string `json:"errcode"`
		Text string `json:"error"`
	}{code, text})
}
