package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nudge/bridge/im"
	"nudge/cmd/nudge/control"
	"nudge/store"
)

// result is what one command left.
type result struct {
	code     int
	out, err string
}

// nudge runs a command line as main does.
func nudge(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return result{code, out.String(), errs.String()}
}

// want checks the exit code and that each text is in what was printed.
func (r result) want(t *testing.T, code int, texts ...string) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	for _, s := range texts {
		if !strings.Contains(r.out+r.err, s) {
			t.Fatalf("%q is not in\n%s%s", s, r.out, r.err)
		}
	}
	return r
}

func TestAccountsWithoutABox(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	nudge(t, "", "user", "list", "--data", dir).want(t, exitFailed, "there is no box in "+dir)
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("a command that only looks made the folder")
	}
	nudge(t, "", "--data", dir, "user", "add", "alice@hotmail.com", "--name", "Alice").want(t, exitOK, "alice@hotmail.com was added.\nPassword: ")
	nudge(t, "sesame\n", "--data", dir, "user", "add", "bob@home.lan", "--password-stdin", "--md5").want(t, exitOK, "MSN 1.0 wants @hotmail.com")
	nudge(t, "", "--data", dir, "user", "add", "bob@home.lan").want(t, exitFailed, "nudge: the account bob@home.lan exists already")
	nudge(t, "", "--data", dir, "user", "add", "carol@home.lan", "--password", "0123456789abcdefg").want(t, exitFailed, "longer than 16")
	nudge(t, "\n", "--data", dir, "user", "add", "carol@home.lan", "--password-stdin").want(t, exitUsage, "the password is missing")
	nudge(t, "", "--data", dir, "user", "add", "carol@home.lan", "--password", "a", "--password-stdin").want(t, exitUsage)
	nudge(t, "", "--data", dir, "user", "list").want(t, exitOK, "alice@hotmail.com  Alice  offline  -       0         0        off")
	var users []control.User
	r := nudge(t, "", "--data", dir, "user", "list", "--json").want(t, exitOK)
	if err := json.Unmarshal([]byte(r.out), &users); err != nil || len(users) != 2 || !users[1].MD5 {
		t.Fatalf("%v: %s", err, r.out)
	}
	nudge(t, "", "--data", dir, "user", "set", "bob@home.lan", "md5", "off").want(t, exitOK)
	nudge(t, "", "--data", dir, "user", "set", "bob@home.lan", "md5", "on").want(t, exitUsage, "--password-stdin")
	nudge(t, "", "--data", dir, "user", "set", "bob@home.lan", "md5", "on", "--password", "sesame").want(t, exitOK)
	nudge(t, "", "--data", dir, "user", "set", "bob@home.lan", "md5", "maybe").want(t, exitUsage)
	nudge(t, "", "--data", dir, "user", "set", "bob@home.lan", "name", "Bob B.").want(t, exitOK)
	nudge(t, "", "--data", dir, "user", "set", "bob@home.lan", "code-page", "windows-1251").want(t, exitOK, "windows-1251")
	nudge(t, "", "--data", dir, "user", "set", "bob@home.lan", "code-page", "latin-99").want(t, exitFailed, "koi8-r")
	nudge(t, "", "--data", dir, "user", "passwd", "bob@home.lan").want(t, exitOK, "Password: ")
	nudge(t, "", "--data", dir, "contact", "add", "bob@home.lan", "alice@hotmail.com").want(t, exitOK)
	nudge(t, "", "--data", dir, "contact", "list", "bob@home.lan").want(t, exitOK, "alice@hotmail.com  Alice  -        FL AL")
	nudge(t, "", "--data", dir, "contact", "remove", "bob@home.lan", "alice@hotmail.com").want(t, exitOK)
	nudge(t, "", "--data", dir, "user", "remove", "bob@home.lan").want(t, exitOK)
	nudge(t, "", "--data", dir, "user", "remove", "bob@home.lan").want(t, exitFailed, "no such account")
	nudge(t, "", "--data", dir, "setting", "address", "192.168.1.20").want(t, exitOK)
	nudge(t, "", "--data", dir, "setting", "address").want(t, exitOK, "192.168.1.20\n")
	nudge(t, "", "--data", dir, "setting", "colour").want(t, exitFailed, "there is no setting")
	nudge(t, "", "--data", dir, "status").want(t, exitOK, "is not running", "1, 0 signed in")
	nudge(t, "", "--data", dir, "doctor").want(t, exitOK, "the box is not running")
}

func TestGatewayWithoutABox(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	nudge(t, "", "gateway", "add", "--help").want(t, exitOK, "--secret", "--jid")
	nudge(t, "", "--data", dir, "gateway", "add", "irc").want(t, exitFailed, "there are matrix, xmpp")
	nudge(t, "", "--data", dir, "gateway", "add", "xmpp", "--jid", "msn.example.org").want(t, exitFailed, "--secret")
	nudge(t, "s3cret\n", "--data", dir, "gateway", "add", "xmpp", "--jid", "msn.example.org", "--secret-stdin").want(t, exitOK, "connects when nudge runs")
	r := nudge(t, "", "--data", dir, "gateway", "list").want(t, exitOK, "msn.example.org", "homeserver (default)")
	nudge(t, "", "--data", dir, "gateway", "set", "xmpp", "accept_from", "everybody").want(t, exitFailed, "choose one of")
	nudge(t, "", "--data", dir, "gateway", "set", "xmpp", "accept_from", "anyone").want(t, exitOK)
	nudge(t, "s3cret\n", "--data", dir, "gateway", "add", "xmpp", "--jid", "other.example.org", "--secret-stdin").want(t, exitOK)
	r = nudge(t, "", "--data", dir, "gateway", "list", "--json").want(t, exitOK, "other.example.org", `"accept_from": "anyone"`)
	if strings.Contains(r.out, "s3cret") {
		t.Error("the secret is shown")
	}
	nudge(t, "", "--data", dir, "status").want(t, exitOK, "gateway xmpp")
	nudge(t, "", "--data", dir, "gateway", "remove", "xmpp").want(t, exitOK)
	nudge(t, "", "--data", dir, "gateway", "remove", "xmpp").want(t, exitFailed, "no gateway to xmpp")
	nudge(t, "", "--data", dir, "link", "remove", "", "xmpp").want(t, exitFailed, "no such account")
}

func TestRegistration(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	file := filepath.Join(t.TempDir(), "nudge.yaml")
	add := func(more ...string) result {
		return nudge(t, "", append([]string{"--data", dir, "gateway", "add", "matrix", "--homeserver", "http://localhost:8008", "--registration", file}, more...)...)
	}
	add().want(t, exitFailed, "--domain")
	add("--domain", "example.org", "--listen", "127.0.0.1:9999").want(t, exitOK, "connects when nudge runs")
	read := func(more ...string) (tokens []string) {
		t.Helper()
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range append(more, `sender_localpart: "msn_nudge"`, `regex: "^@msn_.*:example\\.org$"`, "exclusive: true", "receive_ephemeral: true", "de.sorunome.msc2409.push_ephemeral: true", "io.element.msc4190: true") {
			if !strings.Contains(string(b), part) {
				t.Errorf("the registration has no %s:\n%s", part, b)
			}
		}
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, "_token: ") {
				tokens = append(tokens, line)
			}
		}
		return tokens
	}
	tokens := read(`url: "http://127.0.0.1:9999"`)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || len(tokens) != 2 || tokens[0] == tokens[1] {
		t.Errorf("%v %v %q", info, err, tokens)
	}
	add("--domain", "example.org", "--url", "http://box.lan:29331").want(t, exitOK)
	if again := read(`url: "http://box.lan:29331"`); !slices.Equal(tokens, again) {
		t.Errorf("the tokens were %q, now %q", tokens, again)
	}
	r := nudge(t, "", "--data", dir, "gateway", "list", "--json").want(t, exitOK, "example.org")
	for _, token := range tokens {
		if _, secret, _ := strings.Cut(strings.TrimSpace(token), " "); strings.Contains(r.out, strings.Trim(secret, `"`)) {
			t.Error("a token is shown")
		}
	}
	nudge(t, "", "--data", dir, "gateway", "set", "matrix", "accept_from", "anyone").want(t, exitOK)
	nudge(t, "", "--data", dir, "gateway", "remove", "matrix").want(t, exitOK)
}

func TestImportLines(t *testing.T) {
	dir := t.TempDir()
	lines := `{"handle":"alice@hotmail.com","password":"sesame","contacts":["bob@hotmail.com"]}
{"handle":"bob@hotmail.com"}
`
	nudge(t, lines, "--data", dir, "user", "import", "-").want(t, exitOK, "2 accounts and 2 contacts were made.", "bob@hotmail.com  password ")
	nudge(t, lines+"{", "--data", dir, "user", "import", "-").want(t, exitFailed, "entry 3")
	nudge(t, `{"handel":"x"}`, "--data", dir, "user", "import", "-").want(t, exitFailed, "entry 1", "handel")
	nudge(t, `{"handle":"nonsense"}`, "--data", dir, "user", "import", "-").want(t, exitFailed, "0 accounts", "1 entries failed")
}

func TestLinkArgs(t *testing.T) {
	for _, c := range []struct{ line, rest, fields string }{
		{"user add a --name x", "user add a --name x", ""},
		{"--data d link list --json", "--data d link list --json", ""},
		{"link add a xmpp --jid=a@b --password p --data d", "link add a xmpp --data d", "--jid=a@b --password=p"},
		{"--data=d link add a xmpp --password-stdin --jid a@b --json", "--data=d link add a xmpp --json", "--password-stdin --jid=a@b"},
		{"--data d link add a xmpp --wait 5s --help", "--data d link add a xmpp --wait 5s --help", ""},
		{"link add a xmpp --register --jid a@b --wait 5s", "link add a xmpp --wait 5s", "--register --jid=a@b"},
		{"link add a xmpp --register", "link add a xmpp", "--register"},
		{"link add", "link add", ""},
		{"gateway add xmpp --secret-stdin --jid msn.x --wait 1s", "gateway add xmpp --wait 1s", "--secret-stdin --jid=msn.x"},
		{"gateway set xmpp a b", "gateway set xmpp a b", ""},
		{"link --x y", "link --x y", ""},
	} {
		rest, fields := splitLinkArgs(strings.Fields(c.line))
		if got := strings.Join(rest, " "); got != c.rest {
			t.Errorf("%s: rest is %q", c.line, got)
		}
		if got := strings.Join(fields, " "); got != c.fields {
			t.Errorf("%s: fields are %q", c.line, got)
		}
	}
	form := []im.Field{{Key: "register", Choices: []string{"no", "yes"}}, {Key: "user"}}
	values, err := readLinkArgs([]string{"--token-stdin", "--user=a=b", "--register", "--password-stdin"}, form, newLineReader(strings.NewReader("t1\np1\n")))
	if err != nil || !reflect.DeepEqual(values, map[string]string{"token": "t1", "user": "a=b", "password": "p1", "register": "yes"}) {
		t.Fatalf("got %v, %v", values, err)
	}
	for _, bad := range [][]string{{"--user"}, {"--user=a", "--user=b"}, {"--password-stdin"}} {
		if _, err := readLinkArgs(bad, form, newLineReader(strings.NewReader(""))); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestLinkWithoutABox(t *testing.T) {
	dir := t.TempDir()
	nudge(t, "", "--data", dir, "user", "add", "alice@hotmail.com").want(t, exitOK)
	nudge(t, "", "--data", dir, "link", "list").want(t, exitOK, "There are no links yet")
	nudge(t, "secret\n", "link", "add", "alice@hotmail.com", "matrix", "--user", "@a:example.org", "--password-stdin", "--data", dir).
		want(t, exitOK, "connects when nudge runs")
	nudge(t, "", "--data", dir, "link", "add", "alice@hotmail.com", "matrix", "--color=red").want(t, exitFailed, "nudge: ")
	nudge(t, "", "--data", dir, "link", "add", "alice@hotmail.com", "icq").want(t, exitFailed, "there is no network")
	show := nudge(t, "", "--data", dir, "link", "show", "alice@hotmail.com", "matrix").want(t, exitOK, "@a:example.org", "receipts")
	if strings.Contains(show.out, "secret") {
		t.Fatal("a secret is shown")
	}
	nudge(t, "", "--data", dir, "link", "set", "alice@hotmail.com", "matrix", "receipts", "off").want(t, exitOK)
	nudge(t, "", "--data", dir, "link", "test", "alice@hotmail.com", "matrix").want(t, exitFailed, "while the box runs")
	nudge(t, "", "--data", dir, "link", "remove", "alice@hotmail.com", "matrix").want(t, exitOK)
	nudge(t, "", "--data", dir, "link", "show", "alice@hotmail.com", "matrix").want(t, exitFailed, "has no link to matrix")
}

func TestBackupAndRestore(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "box.nudge")
	nudge(t, "", "--data", dir, "user", "add", "alice@hotmail.com").want(t, exitOK)
	const certificate = "what the PCs trust"
	if err := certificateIn(dir).Save([]byte(certificate)); err != nil {
		t.Fatal(err)
	}
	nudge(t, "opensesame\n", "--data", dir, "backup", file, "--passphrase-stdin").want(t, exitOK, "The backup is in "+file)
	nudge(t, "opensesame\n", "--data", dir, "backup", file, "--passphrase-stdin").want(t, exitFailed, "exists already")
	nudge(t, "", "--data", dir, "backup", file+"2").want(t, exitOK, "Passphrase: ")
	nudge(t, "", "--data", dir, "backup", "-").want(t, exitUsage)
	nudge(t, "opensesame\n", "--data", dir, "restore", file, "--passphrase-stdin").want(t, exitFailed, "there is a database already")
	fresh := filepath.Join(t.TempDir(), "fresh")
	nudge(t, "wrong\n", "--data", fresh, "restore", file, "--passphrase-stdin").want(t, exitFailed, "the passphrase does not open this backup")
	nudge(t, "opensesame\n", "--data", fresh, "restore", file).want(t, exitOK, "Passphrase: ", "is restored")
	nudge(t, "", "--data", fresh, "user", "list").want(t, exitOK, "alice@hotmail.com")
	nudge(t, "", "check", fresh).want(t, exitOK, "is whole")
	if got, err := certificateIn(fresh).Load(); err != nil || string(got) != certificate {
		t.Errorf("the certificate is %q, %v", got, err)
	}
}

// What can't be used is refused with one line and exit code 78, and stays as it
// is.
func TestUnusableDatabase(t *testing.T) {
	for name, text := range map[string]string{"garbage": strings.Repeat("garbage ", 2000), "nothing": "", "short": "bolt"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, store.File)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"user", "list", "--data", dir}, {"check", dir}, {"check", file}} {
				r := nudge(t, "", args...).want(t, exitConfig, "nudge: "+file)
				if strings.Count(r.err, "\n") != 1 {
					t.Errorf("%v says more than one line: %s", args, r.err)
				}
			}
			if now, err := os.ReadFile(file); err != nil || string(now) != text {
				t.Error("the file was changed")
			}
		})
	}
}

func TestBadKeyFile(t *testing.T) {
	dir := t.TempDir()
	nudge(t, "", "--data", dir, "user", "add", "alice@hotmail.com").want(t, exitOK)
	if err := os.Chmod(filepath.Join(dir, store.KeyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	nudge(t, "", "--data", dir, "user", "list").want(t, exitConfig, "chmod 600")
}

// Every command runs: what kind of struct it is only shows when it does.
func TestCommandsRun(t *testing.T) {
	var check func(reflect.Type)
	check = func(c reflect.Type) {
		group := false
		for i := range c.NumField() {
			if _, ok := c.Field(i).Tag.Lookup("cmd"); ok {
				group = true
				check(c.Field(i).Type)
			}
		}
		if runs := reflect.PointerTo(c).Implements(reflect.TypeFor[runner]()); runs == group {
			t.Errorf("%v: runs %v, has commands below it %v", c, runs, group)
		}
	}
	check(reflect.TypeFor[cli]())
}

func TestUsageAndHelp(t *testing.T) {
	nudge(t, "", "--help").want(t, exitOK, "Usage: nudge <command> [flags]", defaultConfig, "Exit codes: 0 done")
	nudge(t, "", "dance").want(t, exitUsage, "nudge --help")
	nudge(t, "", "user", "add").want(t, exitUsage, "<handle>")
	nudge(t, "", "--data", t.TempDir(), "gateway", "add", "irc", "--url=x").want(t, exitFailed, "there are matrix, xmpp")
	nudge(t, "", "led", "test", "--data", t.TempDir()).want(t, exitFailed, "there is nothing to light: none: this board has no LED")
	nudge(t, "", "led", "off", "--data", t.TempDir()).want(t, exitOK, "Dark: none")
	nudge(t, "", "version").want(t, exitOK, "nudge ")
	nudge(t, "", "logs").want(t, exitOK, "journalctl")
	nudge(t, "", "user", "list", "--config", "/no/such/file").want(t, exitConfig, "/no/such/file")
	for _, words := range []string{"user add", "user list", "user passwd", "user set", "user remove", "user import", "link add",
		"link list", "link show", "link set", "link test", "link remove", "contact add", "contact list", "contact remove",
		"setting", "status", "doctor", "logs", "backup", "restore", "check", "version",
		"serve", "demo", "gateway add", "gateway list", "gateway set", "gateway remove", "led test", "led off"} {
		nudge(t, "", append(strings.Fields(words), "--help")...).want(t, exitOK, "nudge "+words, "Example")
	}
	nudge(t, "", "link", "add", "--help").want(t, exitOK, "--homeserver", "--password")
}
