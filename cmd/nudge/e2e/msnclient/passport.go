package msnclient

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// nexus is where a client of MSNP8 asks for the login server.
const nexus = "https://nexus.passport.com/rdr/pprdr.asp"

// web is what reaches the Passport hosts.
func (c *Client) web() *http.Transport {
	tr := &http.Transport{
		TLSClientConfig:   c.cfg.TLS,
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, c.cfg.HTTPS)
		},
	}
	if c.cfg.Web != nil {
		tr.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.cfg.Web(ctx) }
	}
	return tr
}

// ticket signs in at the Passport services (MSNP.md F.1): the nexus names the
// login server, which gives a ticket for handle, password and challenge.
func (c *Client) ticket(ctx context.Context, challenge string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	tr := c.web()
	defer tr.CloseIdleConnections()

	resp, err := get(ctx, tr, nexus, "")
	if err != nil {
		return "", fmt.Errorf("nexus: %w", err)
	}
	login := field(resp.Header.Get("PassportURLs"), "DALogin=")
	if login == "" {
		return "", fmt.Errorf("nexus: %s without DALogin", resp.Status)
	}
	resp, err = get(ctx, tr, "https://"+strings.TrimPrefix(login, "https://"), fmt.Sprintf(
		"Passport1.4 OrgVerb=GET,OrgURL=http%%3A%%2F%%2Fmessenger%%2Emsn%%2Ecom,sign-in=%s,pwd=%s,%s",
		escape(c.cfg.Handle), escape(c.cfg.Password), challenge))
	if err != nil {
		return "", fmt.Errorf("login: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("login: %s: %s", resp.Status, resp.Header.Get("WWW-Authenticate"))
	}
	ticket := strings.Trim(field(resp.Header.Get("Authentication-Info"), "from-PP="), "'")
	if ticket == "" {
		return "", fmt.Errorf("login: no ticket in %q", resp.Header.Get("Authentication-Info"))
	}
	return ticket, nil
}

func get(ctx context.Context, tr *http.Transport, target, authorization string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return resp, resp.Body.Close()
}

// field finds key in a comma separated list and returns what follows it.
func field(list, key string) string {
	for f := range strings.SplitSeq(list, ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(f), key); ok {
			return v
		}
	}
	return ""
}
