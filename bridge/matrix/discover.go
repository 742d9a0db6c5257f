package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// discover finds the base URL of the homeserver a person named: a URL counts as it
// is, a server name is looked up by /.well-known/matrix/client and otherwise taken
// as a host (client-server API, server discovery). last is what was found before:
// it counts when nothing can be looked up now. doubt says why the name itself was
// taken, for a person whose server is not found there.
func discover(ctx context.Context, c *http.Client, named, user, last string) (base, doubt string) {
	if named == "" {
		_, named, _ = strings.Cut(user, ":")
	}
	if strings.Contains(named, "://") {
		return strings.TrimRight(named, "/"), ""
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	at := "https://" + named + "/.well-known/matrix/client"
	base, err := wellKnown(ctx, c, at)
	switch {
	case err == nil:
		return base, ""
	case last != "" && !errors.Is(err, errNotThere):
		return last, ""
	}
	return "https://" + named, fmt.Sprintf("%s names no other (%v)", at, err)
}

// errNotThere: the server says that its name is its address.
var errNotThere = errors.New("there is no such page")

// wellKnown asks a server's name for its base URL.
func wellKnown(ctx context.Context, c *http.Client, at string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "nudge")
	resp, err := c.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address is in the words around it
		}
		return "", err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return "", errNotThere
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("it answers %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", err
	}
	return readWellKnown(body)
}

// readWellKnown reads the base URL in a .well-known file.
func readWellKnown(body []byte) (string, error) {
	var known struct {
		Homeserver struct {
			Base string `json:"base_url"`
		} `json:"m.homeserver"`
	}
	if json.Unmarshal(body, &known) != nil {
		return "", errors.New("it is not JSON")
	}
	base := strings.TrimRight(strings.TrimSpace(known.Homeserver.Base), "/")
	u, err := url.Parse(base)
	switch {
	case base == "":
		return "", errors.New("it has no base_url of a homeserver")
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("its base_url %q is no https address", base)
	}
	return base, nil
}
