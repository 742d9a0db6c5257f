package matrix

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"maunium.net/go/mautrix/id"
)

// serviceID is the id of the application service in its registration.
const serviceID = "nudge"

// ghostPrefix begins the user names of accounts on the homeserver; botName is the
// name of the service's own user, which no account can have: handles have an @.
const (
	ghostPrefix = "msn_"
	botName     = ghostPrefix + "nudge"
)

// defaultListen is where the homeserver finds the box when both are one machine.
const defaultListen = "127.0.0.1:29331"

// Register makes the registration of the application service that the form's
// values describe, as the homeserver wants it (application service API,
// registration; MSC2409 for what is not kept: typing, receipts, presence; MSC4190 and
// MSC3202 for devices of accounts). It adds the tokens to values: those of old, a registration made before, when there is one.
func Register(values map[string]string, old []byte) ([]byte, error) {
	if values["domain"] == "" {
		return nil, fmt.Errorf("the name of the homeserver is missing: --domain example.org")
	}
	known := fileTokens(old)
	for _, key := range []string{"as-token", "hs-token"} {
		values[key] = cmp.Or(values[key], known[key], rand.Text()+rand.Text())
	}
	var b bytes.Buffer
	b.WriteString("# The box (Nudge) as an application service of this homeserver. Keep it secret: whoever has the tokens speaks for everybody on the box.\n")
	line := func(key, value string) {
		quoted, _ := json.Marshal(value) // a string, and JSON strings are YAML
		fmt.Fprintf(&b, "%s: %s\n", key, quoted)
	}
	line("id", serviceID)
	line("url", cmp.Or(values["url"], "http://"+cmp.Or(values["listen"], defaultListen)))
	line("as_token", values["as-token"])
	line("hs_token", values["hs-token"])
	line("sender_localpart", botName)
	b.WriteString("rate_limited: false\nnamespaces:\n  users:\n    - exclusive: true\n")
	line("      regex", "^@"+ghostPrefix+".*:"+regexp.QuoteMeta(values["domain"])+"$")
	b.WriteString("  aliases: []\n  rooms: []\nreceive_ephemeral: true\nde.sorunome.msc2409.push_ephemeral: true\n" +
		"io.element.msc4190: true\norg.matrix.msc3202: true\n")
	return b.Bytes(), nil
}

// fileTokens finds the tokens in a registration that Register made.
func fileTokens(registration []byte) map[string]string {
	tokens := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(registration)); lines.Scan(); {
		key, quoted, _ := strings.Cut(lines.Text(), ": ")
		var value string
		if json.Unmarshal([]byte(quoted), &value) == nil {
			tokens[strings.ReplaceAll(key, "_", "-")] = value
		}
	}
	return tokens
}

// ghostOf is the user that an account is on a homeserver (appendices, mapping from
// other character sets).
func ghostOf(handle, domain string) id.UserID {
	return id.NewUserID(ghostPrefix+id.EncodeUserLocalpart(handle), domain)
}

// handleOf is the way back. Not ok: it is nobody's.
func handleOf(u id.UserID, domain string) (handle string, ok bool) {
	local, ours := strings.CutPrefix(u.Localpart(), ghostPrefix)
	if !ours || u.Homeserver() != domain {
		return "", false
	}
	handle, err := id.DecodeUserLocalpart(local)
	return handle, err == nil && strings.Contains(handle, "@")
}
