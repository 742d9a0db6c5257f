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
)

// serviceName is the id of the application service in its registration, and what the
// name of its own user ends in. No account can have that: handles have an @.
const serviceName = "nudge"

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
	home, err := newRealm(values["prefix"], values["domain"])
	if err != nil {
		return nil, err
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
	line("id", home.service())
	line("url", cmp.Or(values["url"], "http://"+cmp.Or(values["listen"], defaultListen)))
	line("as_token", values["as-token"])
	line("hs_token", values["hs-token"])
	line("sender_localpart", home.bot().Localpart())
	b.WriteString("rate_limited: false\nnamespaces:\n  users:\n    - exclusive: true\n")
	line("      regex", "^@"+home.prefix+".*:"+regexp.QuoteMeta(values["domain"])+"$")
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
