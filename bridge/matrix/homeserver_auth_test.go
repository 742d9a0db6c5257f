package matrix

import (
	"net/http"
	"testing"

	"nudge/bridge/matrix/authtest"
)

// ssoToken is what the sign-on page of a homeserver whose auth has no OAuth hands out
// to alice's browser; it is good once.
const ssoToken = "login-token"

// flows tells how one can sign in. A server that has auth knows no passwords.
func (h *homeserver) flows(w http.ResponseWriter) {
	type flow struct {
		Type string `json:"type"`
	}
	flows := []flow{{"m.login.password"}}
	if h.auth != nil {
		flows = []flow{{"m.login.sso"}, {"m.login.token"}}
	}
	answer(w, map[string]any{"flows": flows})
}

// tokenLogin signs alice in with the token of the sign-on page. mu is held.
func (h *homeserver) tokenLogin(w http.ResponseWriter, token, device string, refresh bool) {
	if h.auth == nil || token != ssoToken || h.signedOn {
		refuse(w, 403, "M_FORBIDDEN", "Invalid login token")
		return
	}
	h.signedOn = true
	user := "@alice:" + h.name
	p := h.auth.Open(user, device)
	out := map[string]any{"user_id": user, "access_token": p.Access, "device_id": device}
	if refresh {
		out["refresh_token"], out["expires_in_ms"] = p.Refresh, h.auth.Lifetime.Milliseconds()
	}
	answer(w, out)
}

// newAuthWorld is a world whose accounts sign in by hand.
func newAuthWorld(t *testing.T) *world {
	w := newWorld(t)
	w.auth = authtest.New()
	delete(w.form, "password")
	return w
}
