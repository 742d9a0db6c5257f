package matrix

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nudge/bridge/im"
)

// TestDiscovery: a server's name leads to its homeserver, and when it does not the
// owner reads why.
func TestDiscovery(t *testing.T) {
	var known string // status and body of .well-known
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/matrix/client" && known != "" {
			if known == "broken" {
				w.WriteHeader(http.StatusInternalServerError)
			}
			io.WriteString(w, known)
			return
		}
		http.NotFound(w, r)
	}))
	defer s.Close()
	name := strings.TrimPrefix(s.URL, "https://")
	for _, c := range []struct{ known, last, base, doubt string }{
		{`{"m.homeserver":{"base_url":"https://matrix.test/"}}`, "", "https://matrix.test", ""},
		{"", "", s.URL, "no such page"},
		{"", "https://old.test", s.URL, "no such page"},
		{"broken", "", s.URL, "500"},
		{"broken", "https://old.test", "https://old.test", ""},
		{"<html>", "", s.URL, "not JSON"},
		{`{"m.homeserver":{}}`, "", s.URL, "no base_url"},
		{`{"m.homeserver":{"base_url":"http://matrix.test"}}`, "", s.URL, "no https address"},
		{`{"m.homeserver":{"base_url":"https://a@matrix.test"}}`, "", s.URL, "no https address"},
	} {
		known = c.known
		base, doubt := discover(t.Context(), s.Client(), name, "", c.last)
		if base != c.base || !strings.Contains(doubt, c.doubt) || (doubt == "") != (c.doubt == "") {
			t.Errorf("%q after %q: %s (%s), want %s (%s)", c.known, c.last, base, doubt, c.base, c.doubt)
		}
	}

	ca := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	known = "<html>"
	form := map[string]string{"user": "@alice:" + name, "password": "x", "ca": ca}
	_, err := testNetwork().Connect(t.Context(), im.Login{User: account, Fields: form, Host: newTestHost(t)})
	lostBy(t, err, im.Credentials, "There is no Matrix server at "+s.URL+", and "+s.URL+"/.well-known/matrix/client names no other (it is not JSON)")
}

// FuzzSignIn reads what servers answer to who signs in.
func FuzzSignIn(f *testing.F) {
	for _, s := range []string{
		`{"issuer":"https://a.test/","token_endpoint":"https://a.test/t","grant_types_supported":["refresh_token"]}`,
		`{"device_code":"d","user_code":"U","verification_uri":"https://a.test/link","expires_in":1e9,"interval":-1}`,
		`{"access_token":"a","token_type":"bearer","refresh_token":"r","expires_in":300}`,
		`{"access_token":"a","refresh_token":"r","expires_in_ms":1e300}`,
		`{"error":"invalid_grant","error_description":"x"}`,
		`{"errcode":"M_UNKNOWN_TOKEN","error":"x","soft_logout":true}`,
		`{"m.homeserver":{"base_url":"https://a.test"}}`,
		"http://localhost/nudge?loginToken=x", "null", "[]", `"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := readAuthority(b, false); err == nil && !strings.HasPrefix(strings.ToLower(a.Token), "https://") {
			t.Errorf("tokens would go to %q", a.Token)
		}
		if in, err := readInvitation(b); err == nil && (in.Device == "" || in.Page == "" || strings.ContainsAny(in.Code, "\r\n") || in.Interval <= 0 || in.Seconds <= 0) {
			t.Errorf("%+v", in)
		}
		if p, err := readPair(b); err == nil && (p.access == "" || p.lasts < 0) {
			t.Errorf("%+v", p)
		}
		if p, err := readRenewed(b); err == nil && (p.access == "" || p.lasts < 0) {
			t.Errorf("%+v", p)
		}
		if base, err := readWellKnown(b); err == nil && !strings.HasPrefix(strings.ToLower(base), "https://") {
			t.Errorf("base %q", base)
		}
		readRefusal(b)
		loginToken(string(b))
	})
}
