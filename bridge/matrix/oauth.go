package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"

	"nudge/bridge/im"
)

// maxAnswer bounds the answers of sign-in requests, which are small.
const maxAnswer = 64 << 10

// authority is the OAuth server of a homeserver, as its metadata tells (client-server
// API, OAuth 2.0 API; RFC 8414).
type authority struct {
	http *http.Client

	Issuer       string   `json:"issuer"`
	Registration string   `json:"registration_endpoint"`
	Device       string   `json:"device_authorization_endpoint"`
	Token        string   `json:"token_endpoint"`
	Revocation   string   `json:"revocation_endpoint"`
	Grants       []string `json:"grant_types_supported"`
}

// Grants of the token endpoint (RFC 8628 §3.4, RFC 6749 §6).
const (
	grantDevice  = "urn:ietf:params:oauth:grant-type:device_code"
	grantRefresh = "refresh_token"
)

// errNoOAuth: the homeserver signs in by itself.
var errNoOAuth = errors.New("the homeserver names no OAuth server")

// newAuthority asks a homeserver for its OAuth server.
func newAuthority(ctx context.Context, c *http.Client, base string) (*authority, error) {
	body, err := ask(ctx, c, http.MethodGet, base+"/_matrix/client/v1/auth_metadata", "", nil)
	switch status(err) {
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusMethodNotAllowed, http.StatusBadRequest:
		return nil, errNoOAuth
	}
	if err != nil {
		return nil, err
	}
	a, err := readAuthority(body, strings.HasPrefix(base, "http://"))
	if err != nil {
		return nil, err
	}
	a.http = c
	return a, nil
}

// readAuthority reads the metadata. Only a homeserver that is itself spoken to in
// clear may name a server that is.
func readAuthority(body []byte, clear bool) (*authority, error) {
	var a authority
	if json.Unmarshal(body, &a) != nil {
		return nil, errNoOAuth
	}
	for _, at := range []string{a.Issuer, a.Registration, a.Token, a.Device, a.Revocation} {
		u, err := url.Parse(at)
		if at != "" && (err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(clear && u.Scheme == "http")) {
			return nil, fmt.Errorf("the metadata of the OAuth server names %q, which is no https address", at)
		}
	}
	if a.Issuer == "" || a.Token == "" {
		return nil, errors.New("the metadata of the OAuth server has no issuer or token endpoint")
	}
	return &a, nil
}

// offersDevices tells whether a sign-in by device code is possible for a program
// that nobody has registered.
func (a *authority) offersDevices() bool {
	return a.Device != "" && a.Registration != "" && slices.Contains(a.Grants, grantDevice)
}

// homepage describes this kind of program to whoever signs in; servers want a public
// address (client-server API, client registration).
const homepage = "https://matrix.org/ecosystem/bridges/"

// register makes the box known and returns its client id.
func (a *authority) register(ctx context.Context) (string, error) {
	body, err := json.Marshal(struct {
		Name   string   `json:"client_name"`
		URI    string   `json:"client_uri"`
		Kind   string   `json:"application_type"`
		Auth   string   `json:"token_endpoint_auth_method"`
		Grants []string `json:"grant_types"`
	}{appName, homepage, "native", "none", []string{grantDevice, grantRefresh}})
	if err != nil {
		return "", err
	}
	var client struct {
		ID string `json:"client_id"`
	}
	err = a.post(ctx, a.Registration, "application/json", body, &client)
	if err == nil && client.ID == "" {
		err = errors.New("the OAuth server gave no client id")
	}
	return client.ID, err
}

// invitation is what a person needs to let a device in, and what the device asks
// with meanwhile (RFC 8628 §3.2).
type invitation struct {
	Device   string  `json:"device_code"`
	Code     string  `json:"user_code"`
	Page     string  `json:"verification_uri"`
	WithCode string  `json:"verification_uri_complete"` // Page with the code in it, may be ""
	Seconds  float64 `json:"expires_in"`
	Interval float64 `json:"interval"` // seconds between two questions, 5 when absent
}

// readInvitation reads the answer of the device authorization endpoint.
func readInvitation(body []byte) (invitation, error) {
	var in invitation
	if json.Unmarshal(body, &in) != nil || in.Device == "" || in.Code == "" || len(in.Code) > 64 || im.OneLine(in.Code) != in.Code {
		return in, errors.New("the OAuth server gave no code that could be shown")
	}
	for _, at := range []string{in.Page, in.WithCode} {
		u, err := url.Parse(at)
		if (at != "" || at == in.Page) && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			return in, errors.New("the OAuth server gave no page for the code")
		}
	}
	if in.Interval <= 0 {
		in.Interval = 5
	}
	in.Interval = min(in.Interval, 60)
	if in.Seconds <= 0 || in.Seconds > 3600 {
		in.Seconds = 600
	}
	return in, nil
}

// invite asks for a code for a device of the account.
func (a *authority) invite(ctx context.Context, client, device string) (invitation, error) {
	form := url.Values{"client_id": {client}, "scope": {"urn:matrix:client:api:* urn:matrix:client:device:" + device}}
	var body json.RawMessage
	if err := a.post(ctx, a.Device, formType, []byte(form.Encode()), &body); err != nil {
		return invitation{}, err
	}
	return readInvitation(body)
}

// grant asks the token endpoint for a pair.
func (a *authority) grant(ctx context.Context, form url.Values) (pair, error) {
	var body json.RawMessage
	if err := a.post(ctx, a.Token, formType, []byte(form.Encode()), &body); err != nil {
		return pair{}, err
	}
	return readPair(body)
}

// readPair reads an answer of the token endpoint (RFC 6749 §5.1).
func readPair(body []byte) (pair, error) {
	var got struct {
		Access  string  `json:"access_token"`
		Kind    string  `json:"token_type"`
		Refresh string  `json:"refresh_token"`
		Seconds float64 `json:"expires_in"`
	}
	if json.Unmarshal(body, &got) != nil || got.Access == "" || !strings.EqualFold(got.Kind, "bearer") {
		return pair{}, errors.New("the OAuth server gave no access token")
	}
	return pair{access: got.Access, refresh: got.Refresh, lasts: lifetime(got.Seconds), oauth: true}, nil
}

// lifetime is what a server says in seconds; more than a year, or less than
// nothing, says nothing.
func lifetime(seconds float64) time.Duration {
	if seconds <= 0 || seconds > 365*24*3600 {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// byDevice asks whether a person has let the device in (RFC 8628 §3.4).
func (a *authority) byDevice(ctx context.Context, client, code string) (pair, error) {
	return a.grant(ctx, url.Values{"grant_type": {grantDevice}, "device_code": {code}, "client_id": {client}})
}

// byRefresh renews a pair (RFC 6749 §6).
func (a *authority) byRefresh(ctx context.Context, client, refresh string) (pair, error) {
	return a.grant(ctx, url.Values{"grant_type": {grantRefresh}, "refresh_token": {refresh}, "client_id": {client}})
}

// revoke signs a session out (RFC 7009).
func (a *authority) revoke(ctx context.Context, client, token string) error {
	if a.Revocation == "" {
		return nil
	}
	form := url.Values{"token": {token}, "client_id": {client}}
	return a.post(ctx, a.Revocation, formType, []byte(form.Encode()), nil)
}

const formType = "application/x-www-form-urlencoded"

func (a *authority) post(ctx context.Context, at, kind string, body []byte, into any) error {
	answer, err := ask(ctx, a.http, http.MethodPost, at, kind, body)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return errors.New("the OAuth server's answer can't be read")
	}
	return nil
}

// ask does one request that carries no access token. Its errors are those of the
// Matrix client, with OAuth's error (RFC 6749 §5.2) as their code. A redirect is not
// followed: what is asked with is secret.
func ask(ctx context.Context, c *http.Client, method, at, kind string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "nudge")
	req.Header.Set("Accept", "application/json")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	once := *c
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := once.Do(req)
	if err != nil {
		return nil, mautrix.HTTPError{Request: req, Message: "request error", WrappedError: err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, mautrix.HTTPError{Request: req, Message: "request error", WrappedError: err}
	}
	if resp.StatusCode < 300 {
		return answer, nil
	}
	return nil, mautrix.HTTPError{Request: req, Response: resp, RespError: readRefusal(answer)}
}

// readRefusal reads the body of an error, of OAuth or of Matrix; nil when it is
// neither.
func readRefusal(body []byte) *mautrix.RespError {
	var why struct {
		OAuth  string `json:"error"`
		Text   string `json:"error_description"`
		Matrix string `json:"errcode"`
	}
	if json.Unmarshal(body, &why) != nil {
		return nil
	}
	switch {
	case why.Matrix != "":
		return &mautrix.RespError{ErrCode: why.Matrix, Err: why.OAuth}
	case why.OAuth != "":
		return &mautrix.RespError{ErrCode: why.OAuth, Err: why.Text}
	}
	return nil
}

// code is the error's code in a server's answer, "" when it has none.
func code(err error) string {
	var h mautrix.HTTPError
	if errors.As(err, &h) && h.RespError != nil {
		return h.RespError.ErrCode
	}
	return ""
}

// gone tells whether err means that a refresh token is good for nothing any more.
func gone(err error) bool {
	switch code(err) {
	case "invalid_grant", "invalid_client", "unauthorized_client",
		mautrix.MUnknownToken.ErrCode, mautrix.MForbidden.ErrCode, mautrix.MUnrecognized.ErrCode:
		return true
	}
	return false
}
