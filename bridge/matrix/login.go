package matrix

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// sessionKey is where the session is kept in the link's KV.
const sessionKey = "session"

// session is what survives a restart so that the password is used once and
// the account never gets a second device from this box.
type session struct {
	For        string      `json:"for"`                  // the log-in form it was made with
	Homeserver string      `json:"homeserver,omitempty"` // base URL last found
	Device     id.DeviceID `json:"device"`               // chosen by us before the first log-in
	Token      string      `json:"-"`                    // of a password log-in
	Sealed     []byte      `json:"sealed,omitempty"`     // Token, sealed by the box
	Plain      string      `json:"token,omitempty"`      // Token as former versions kept it
	Box        string      `json:"box"`                  // marks events this box wrote

	login im.Login
}

// loadSession reads the session for the account the form names. When the form
// names another account than before, all that was known is wiped.
func loadSession(ctx context.Context, login im.Login) (*session, error) {
	fields, kv := login.Fields, login.Host.KV(login.User)
	form := strings.TrimSpace(fields["homeserver"]) + " " + strings.TrimSpace(fields["user"])
	s := &session{login: login}
	err := kv.View(func(tx im.Tx) error {
		if b := tx.Get([]byte(sessionKey)); b != nil {
			return json.Unmarshal(b, s)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the Matrix session: %w", err)
	}
	if s.For == form && s.Device != "" {
		return s, s.open(ctx)
	}
	s = &session{For: form, Device: id.DeviceID("NUDGE" + rand.Text()[:8]), Box: rand.Text()[:10], login: login}
	err = kv.Update(func(tx im.Tx) error {
		var old [][]byte
		for k := range tx.Scan(nil) {
			old = append(old, append([]byte(nil), k...))
		}
		for _, k := range old {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return putJSON(tx, sessionKey, s)
	})
	if err != nil {
		return nil, fmt.Errorf("write the Matrix session: %w", err)
	}
	return s, kv.Sync(ctx)
}

// open unseals the token. One that can't be opened is none: the password makes
// another. One that lies in clear, from a former version, is sealed.
func (s *session) open(ctx context.Context) error {
	if s.Plain != "" {
		s.Token = s.Plain
		return s.save(ctx)
	}
	if len(s.Sealed) == 0 {
		return nil
	}
	token, err := s.login.Host.Unseal(s.login.User, s.Sealed)
	if err == nil {
		s.Token = string(token)
	}
	return nil
}

// save puts the session on disk before it is used.
func (s *session) save(ctx context.Context) error {
	if s.Plain, s.Sealed = "", nil; s.Token != "" {
		s.Sealed = s.login.Host.Seal(s.login.User, []byte(s.Token))
	}
	kv := s.login.Host.KV(s.login.User)
	if err := kv.Update(func(tx im.Tx) error { return putJSON(tx, sessionKey, s) }); err != nil {
		return fmt.Errorf("write the Matrix session: %w", err)
	}
	return kv.Sync(ctx)
}

func putJSON(tx im.Tx, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Put([]byte(key), b)
}

// discover finds the base URL of the homeserver a person named: a URL counts
// as it is, a server name is looked up by /.well-known/matrix/client and
// otherwise taken as a host (client-server API, server discovery).
func discover(ctx context.Context, c *http.Client, named, user, last string) string {
	if named == "" {
		_, named, _ = strings.Cut(user, ":")
	}
	if strings.Contains(named, "://") {
		return strings.TrimRight(named, "/")
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	found, err := mautrix.DiscoverClientAPIWithClient(ctx, c, named)
	switch {
	case err == nil && found != nil && strings.HasPrefix(found.Homeserver.BaseURL, "https://"):
		return strings.TrimRight(found.Homeserver.BaseURL, "/")
	case err != nil && last != "":
		return last
	}
	return "https://" + named
}

// signIn makes cli a logged-in client: with the kept session, else the token
// of the form, else the password. A session made with the password is on disk
// before it returns.
func signIn(ctx context.Context, cli *mautrix.Client, s *session) error {
	fields := s.login.Fields
	for _, token := range []string{s.Token, fields["token"]} {
		if token == "" {
			continue
		}
		cli.AccessToken = token
		who, err := cli.Whoami(ctx)
		if err == nil {
			cli.UserID, cli.DeviceID = who.UserID, who.DeviceID
			return nil
		}
		if !tokenRefused(err) {
			return notMatrix(err, cli)
		}
	}
	cli.AccessToken = ""
	switch {
	case fields["password"] != "":
		return passwordSignIn(ctx, cli, s)
	case s.Token != "" || fields["token"] != "":
		return &im.Lost{Class: im.Credentials, Text: "The Matrix server does not accept the access token any more. Give a new one, or the password."}
	}
	return &im.Lost{Class: im.Credentials, Text: "A password or an access token is needed to sign in to Matrix."}
}

func passwordSignIn(ctx context.Context, cli *mautrix.Client, s *session) error {
	fields := s.login.Fields
	resp, err := cli.Login(ctx, &mautrix.ReqLogin{
		Type:                     mautrix.AuthTypePassword,
		Identifier:               mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: strings.TrimSpace(fields["user"])},
		Password:                 fields["password"],
		DeviceID:                 s.Device,
		InitialDeviceDisplayName: "Nudge (MSN Messenger at home)",
	})
	switch {
	case errors.Is(err, mautrix.MForbidden):
		return &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("The Matrix server refused the user name or password (%s). Correct them and try again.", words(err))}
	case errors.Is(err, mautrix.MUnknown) && status(err) == http.StatusBadRequest, errors.Is(err, mautrix.MUnrecognized) && status(err) == http.StatusBadRequest:
		return &im.Lost{Class: im.Credentials, Text: "This Matrix server has no password sign-in. Make an access token there and give it in the field token."}
	case err != nil:
		return notMatrix(err, cli)
	}
	cli.UserID, cli.DeviceID, cli.AccessToken = resp.UserID, resp.DeviceID, resp.AccessToken
	s.Token, s.Device, s.Homeserver = resp.AccessToken, resp.DeviceID, cli.HomeserverURL.String()
	return s.save(ctx)
}

// notMatrix explains an answer that no homeserver gives.
func notMatrix(err error, cli *mautrix.Client) error {
	var h mautrix.HTTPError
	if st := status(err); errors.As(err, &h) && h.RespError == nil && (st == http.StatusNotFound || st == http.StatusOK || st == http.StatusMethodNotAllowed) {
		return &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("There is no Matrix server at %s. Correct the field homeserver.", cli.HomeserverURL)}
	}
	return err
}
