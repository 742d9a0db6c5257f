package matrix

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

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
	Token      string      `json:"-"`                    // access token; not that of the form
	Sealed     []byte      `json:"sealed,omitempty"`     // Token, sealed by the box
	Plain      string      `json:"token,omitempty"`      // Token as former versions kept it
	Renewal    renewal     `json:"-"`                    // of Token
	Resealed   []byte      `json:"renewal,omitempty"`    // Renewal, sealed by the box
	Issuer     string      `json:"issuer,omitempty"`     // OAuth server that knows this box as Client
	Client     string      `json:"client,omitempty"`
	Fresh      bool        `json:"fresh,omitempty"` // Device was never used: the keys on disk are another's
	Box        string      `json:"box"`             // marks events this box wrote

	login im.Login
}

// renewal is how an access token that does not last is renewed.
type renewal struct {
	Refresh string    `json:"refresh,omitempty"` // "": it lasts, or can't be renewed
	Before  string    `json:"before,omitempty"`  // the refresh token that Refresh came for, in case the server has lost that
	OAuth   bool      `json:"oauth,omitempty"`   // Refresh is for the OAuth server, not for Matrix's own /refresh
	Due     time.Time `json:"due,omitzero"`      // renew from then on; zero: when it is refused
	Over    time.Time `json:"over,omitzero"`     // it is refused from then on
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
	s = &session{For: form, Device: anyDevice(), Box: rand.Text()[:10], login: login}
	err = kv.Update(func(tx im.Tx) error {
		if err := wipe(tx); err != nil {
			return err
		}
		return putJSON(tx, sessionKey, s)
	})
	if err != nil {
		return nil, fmt.Errorf("write the Matrix session: %w", err)
	}
	return s, kv.Sync(ctx)
}

// wipe forgets all that is in a KV.
func wipe(tx im.Tx) error {
	var old [][]byte
	for k := range tx.Scan(nil) {
		old = append(old, append([]byte(nil), k...))
	}
	for _, k := range old {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// anyDevice is a new name for a device, of the letters and the length that OAuth
// scopes allow (client-server API, OAuth 2.0 scopes).
func anyDevice() id.DeviceID { return id.DeviceID("NUDGE" + rand.Text()[:8]) }

// open unseals the tokens. Those that can't be opened are none: the user signs in
// again. One that lies in clear, from a former version, is sealed.
func (s *session) open(ctx context.Context) error {
	if s.Plain != "" {
		s.Token = s.Plain
		return s.save(ctx)
	}
	if len(s.Sealed) == 0 {
		return nil
	}
	token, err := s.login.Host.Unseal(s.login.User, s.Sealed)
	if err != nil {
		return nil
	}
	s.Token = string(token)
	if len(s.Resealed) == 0 {
		return nil
	}
	b, err := s.login.Host.Unseal(s.login.User, s.Resealed)
	if err != nil {
		return nil
	}
	return json.Unmarshal(b, &s.Renewal)
}

// save puts the session on disk before it is used.
func (s *session) save(ctx context.Context) error {
	host, user := s.login.Host, s.login.User
	if s.Plain, s.Sealed, s.Resealed = "", nil, nil; s.Token != "" {
		s.Sealed = host.Seal(user, []byte(s.Token))
	}
	if s.Renewal.Refresh != "" {
		b, err := json.Marshal(s.Renewal)
		if err != nil {
			return err
		}
		s.Resealed = host.Seal(user, b)
	}
	kv := host.KV(user)
	if err := kv.Update(func(tx im.Tx) error { return putJSON(tx, sessionKey, s) }); err != nil {
		return fmt.Errorf("write the Matrix session: %w", err)
	}
	return kv.Sync(ctx)
}

// byHand tells whether a person has to be there for a sign-in: the form has
// nothing that would do without.
func (s *session) byHand() bool {
	return s.login.Fields["password"] == "" && s.login.Fields["token"] == ""
}

// end forgets tokens that the server has refused. soft: it keeps the device for
// the next sign-in (client-server API, soft logout). Else it has most likely
// forgotten the device's keys too; where a person signs in it is a new device then,
// so that he has to do it only once.
func (s *session) end(ctx context.Context, soft bool) error {
	s.Token, s.Renewal = "", renewal{}
	if s.byHand() && !soft {
		s.Device, s.Fresh = anyDevice(), true
	}
	return s.save(ctx)
}

func putJSON(tx im.Tx, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Put([]byte(key), b)
}
