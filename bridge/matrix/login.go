package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
)

// appName is how the box shows among an account's devices.
const appName = "Nudge (MSN Messenger at home)"

// entrance signs an account in: with the session that was kept, else with what the
// form has, an access token or a password, else by the hand of a person, with a
// device code (OAuth) or by single sign-on, whichever the server has.
type entrance struct {
	cli   *mautrix.Client
	plain *http.Client // for requests without an access token
	s     *session
	held  *tokens
	log   *slog.Logger
	pause time.Duration // first wait after a failed request
	doubt string        // what is odd about the address of the homeserver, for a person

	oauth *authority // once asked for
}

// newEntrance makes cli send its requests by way of the session's tokens.
func newEntrance(cli *mautrix.Client, tr http.RoundTripper, s *session, log *slog.Logger, pause time.Duration) *entrance {
	e := &entrance{cli: cli, plain: &http.Client{Transport: tr, Timeout: time.Minute}, s: s, log: log, pause: pause}
	e.held = newTokens(tr, log, s)
	e.held.renew = e.renew
	cli.Client = &http.Client{Transport: e.held, Timeout: 3 * time.Minute}
	return e
}

// signIn makes cli a logged-in client. A session that is made anew is on disk before
// it is used.
func (e *entrance) signIn(ctx context.Context) error {
	if e.s.Token != "" {
		err := e.whoAmI(ctx, e.s.Token)
		if err == nil && e.s.byHand() {
			return e.arrive(ctx)
		}
		if err == nil || !tokenRefused(err) {
			return e.explain(err)
		}
		if err := e.held.end(ctx); err != nil {
			return err
		}
	}
	token := e.s.login.Fields["token"]
	if token != "" {
		e.held.use(token, renewal{}, true)
		err := e.whoAmI(ctx, token)
		if err == nil || !tokenRefused(err) {
			return e.explain(err)
		}
	}
	return e.signInAnew(ctx)
}

// signInAnew makes a new session of the device.
func (e *entrance) signInAnew(ctx context.Context) error {
	e.cli.AccessToken = ""
	if e.s.Fresh { // now, and not when the session ended: the link of then may have written some more
		if err := olm.Renounce(e.s.login.Host.KV(e.s.login.User)); err != nil {
			return err
		}
		e.s.Fresh = false
	}
	fields := e.s.login.Fields
	if fields["password"] != "" {
		err := e.byPassword(ctx)
		if !errors.Is(err, errNoPassword) {
			return err
		}
	} else if fields["token"] != "" {
		return &im.Lost{Class: im.Credentials, Text: "The Matrix server does not accept the access token any more. Give a new one, or the password."}
	}
	err := e.byDevice(ctx)
	if errors.Is(err, errNoOAuth) {
		err = e.bySingleSignOn(ctx)
	}
	switch {
	case errors.Is(err, errNoSingleSignOn) && fields["password"] != "":
		return &im.Lost{Class: im.Credentials, Text: "This Matrix server has no password sign-in. Make an access token there and give it in the field token."}
	case errors.Is(err, errNoSingleSignOn):
		return &im.Lost{Class: im.Credentials, Text: "A password or an access token is needed to sign in to this Matrix server."}
	}
	return err
}

// whoAmI makes cli the account and device that a token is for.
func (e *entrance) whoAmI(ctx context.Context, token string) error {
	e.cli.AccessToken = token // what goes out is up to e.held
	who, err := e.cli.Whoami(ctx)
	if err == nil {
		e.cli.UserID, e.cli.DeviceID = who.UserID, who.DeviceID
	}
	return err
}

// errNoPassword: the server has no password sign-in.
var errNoPassword = errors.New("no password sign-in")

// byPassword asks for a token that lasts: with the password there is always another,
// and what has to be renewed has to be written each time.
func (e *entrance) byPassword(ctx context.Context) error {
	fields := e.s.login.Fields
	err := e.login(ctx, &mautrix.ReqLogin{
		Type:       mautrix.AuthTypePassword,
		Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: strings.TrimSpace(fields["user"])},
		Password:   fields["password"],
	})
	switch {
	case errors.Is(err, mautrix.MForbidden):
		return &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("The Matrix server refused the user name or password (%s). Correct them and try again.", words(err))}
	case errors.Is(err, mautrix.MUnknown) && status(err) == http.StatusBadRequest,
		errors.Is(err, mautrix.MUnrecognized) && (status(err) == http.StatusBadRequest || status(err) == http.StatusNotFound):
		return errNoPassword
	}
	return e.explain(err)
}

// login does Matrix's own sign-in (client-server API, login) with the session's
// device, and puts what comes of it on disk.
func (e *entrance) login(ctx context.Context, req *mautrix.ReqLogin) error {
	began := time.Now()
	req.DeviceID, req.InitialDeviceDisplayName = e.s.Device, appName
	resp, err := e.cli.Login(ctx, req)
	if err != nil {
		return err
	}
	e.s.Device, e.s.Homeserver = resp.DeviceID, e.cli.HomeserverURL.String()
	p := pair{access: resp.AccessToken, refresh: resp.RefreshToken, lasts: lifetime(float64(resp.ExpiresInMS) / 1000)}
	if err := e.held.adopt(ctx, p, began, ""); err != nil {
		return err
	}
	e.cli.UserID, e.cli.DeviceID, e.cli.AccessToken = resp.UserID, resp.DeviceID, resp.AccessToken
	return nil
}

// renew asks for a new pair, of the OAuth server or of the homeserver (client-server
// API, refreshing access tokens).
func (e *entrance) renew(ctx context.Context, r renewal) (pair, error) {
	if r.OAuth {
		a, err := e.authority(ctx)
		if err != nil {
			return pair{}, err
		}
		return a.byRefresh(ctx, e.s.Client, r.Refresh)
	}
	body, err := json.Marshal(struct {
		Refresh string `json:"refresh_token"`
	}{r.Refresh})
	if err != nil {
		return pair{}, err
	}
	answer, err := ask(ctx, e.plain, http.MethodPost, e.at("v3", "refresh"), "application/json", body)
	if err != nil {
		return pair{}, err
	}
	return readRenewed(answer)
}

// readRenewed reads an answer of /refresh.
func readRenewed(answer []byte) (pair, error) {
	var got struct {
		Access  string  `json:"access_token"`
		Refresh string  `json:"refresh_token"`
		Millis  float64 `json:"expires_in_ms"`
	}
	if json.Unmarshal(answer, &got) != nil || got.Access == "" {
		return pair{}, errors.New("the Matrix server gave no access token")
	}
	return pair{access: got.Access, refresh: got.Refresh, lasts: lifetime(got.Millis / 1000)}, nil
}

// at is an address of the client-server API.
func (e *entrance) at(path ...any) string { return e.cli.BuildClientURL(path...) }

// another signs the device out and in as a new one.
func (e *entrance) another(ctx context.Context) error {
	e.retired(ctx)
	e.s.Token, e.s.Renewal, e.s.Device = "", renewal{}, anyDevice()
	e.held.use("", renewal{}, false)
	return e.signInAnew(ctx)
}

// retired signs the device out, in the way that it was signed in.
func (e *entrance) retired(ctx context.Context) {
	var err error
	if r := e.s.Renewal; r.OAuth {
		var a *authority
		if a, err = e.authority(ctx); err == nil {
			err = a.revoke(ctx, e.s.Client, r.Refresh)
		}
	} else {
		_, err = e.cli.Logout(ctx)
	}
	if err != nil {
		e.log.Warn("the device could not be signed out", "err", words(err))
	}
}

// theirs is the account the form means, as far as it says so: "@alice:example.org"
// or "alice".
func (e *entrance) theirs(who id.UserID) bool {
	user := strings.TrimSpace(e.s.login.Fields["user"])
	if strings.HasPrefix(user, "@") {
		return strings.EqualFold(user, string(who))
	}
	return strings.EqualFold(user, who.Localpart())
}

// arrive ends a sign-in by hand: it was for the account that the form names, and for
// this device. Else it is undone.
func (e *entrance) arrive(ctx context.Context) error {
	who, device := e.cli.UserID, e.cli.DeviceID
	if e.theirs(who) && (device == e.s.Device || device == "") {
		return nil
	}
	e.retired(ctx)
	if err := e.held.end(ctx); err != nil {
		return err
	}
	return &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("Somebody signed in as %s, but this link is for %s. Link the account again and sign in as that one.", who, e.s.login.Fields["user"])}
}

// explain says what is wrong when an answer is none that a homeserver gives.
func (e *entrance) explain(err error) error { return notMatrix(err, e.cli, e.doubt) }

// notMatrix is explain without an entrance. doubt is what is odd about the address of
// the homeserver.
func notMatrix(err error, cli *mautrix.Client, doubt string) error {
	var h mautrix.HTTPError
	if st := status(err); errors.As(err, &h) && h.RespError == nil && (st == http.StatusNotFound || st == http.StatusOK || st == http.StatusMethodNotAllowed) {
		text := fmt.Sprintf("There is no Matrix server at %s", cli.HomeserverURL)
		if doubt != "" {
			text += ", and " + doubt
		}
		return &im.Lost{Class: im.Credentials, Text: text + ". Correct the field homeserver."}
	}
	return err
}

// authority is the homeserver's OAuth server.
func (e *entrance) authority(ctx context.Context) (*authority, error) {
	if e.oauth != nil {
		return e.oauth, nil
	}
	base := strings.TrimRight(e.cli.HomeserverURL.String(), "/")
	a, err := newAuthority(ctx, e.plain, base)
	if err == nil {
		e.oauth = a
	}
	return a, err
}
