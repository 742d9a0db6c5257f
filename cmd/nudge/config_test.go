package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nudge/bridge"
	"nudge/msnserver"
)

func TestConfigFiles(t *testing.T) {
	for _, c := range []struct {
		name, text string
		err        string // "" : good
	}{
		{"empty", "", ""},
		{"example", exampleConfig, ""},
		{"example with every key in force", uncomment(exampleConfig), ""},
		{"all", "data='/d'\nmsn=':1'\nhttp='127.0.0.1:2'\nhttps='off'\nnames='off'\nlog='debug'", ""},
		{"unknown key", "mns=':1863'", "mns: there is no such key; there are data, msn, http, https, names, log, limits, lights"},
		{"unknown table", "[links]\na='b'", "links: there is no such key"},
		{"unknown limit", "[limits]\nlines=1", "limits.lines: there is no such key; there are line, payload, queue,"},
		{"limit too low", "[limits]\nline=10", "limits.line: 10 is not between 1024 and 65536"},
		{"limit too high", "[limits]\nconnections=1000000", "limits.connections: 1000000 is not between 1 and 100000"},
		{"time too short", "[limits]\nsign_in_time='1ms'", "limits.sign_in_time: 1ms is not between 1s and 1h0m0s"},
		{"time without unit", "[limits]\nlongest_pause='300'", "longest_pause"},
		{"unknown light", "[lights]\nredy='GPIO17'", "lights.redy: there is no such key; there are show, ready,"},
		{"lights that nothing shows", "[lights]\nready='GPIO5'", `lights.ready: "GPIO5" needs show = "wired"`},
		{"bad show", "[lights]\nshow='bright'", `lights.show: "bright" is nothing`},
		{"bad line", "[lights]\nshow='wired'\nready='gpiochip0:x'", `lights.ready: "gpiochip0:x" has no number`},
		{"one line twice", "[lights]\nshow='wired'\nusers='GPIO17'", `lights.users: "GPIO17" is also that of lights.ready`},
		{"bad quiet hours", "[lights]\nquiet='22-7'", `lights.quiet: "22-7" is no part of a day`},
		{"bad address", "msn='1863'", `msn: "1863" is no address; it must look like :1863 or 192.168.1.20:1863`},
		{"bad port", "http=':70000'", `http: ":70000" has no port between 0 and 65535`},
		{"msn off", "msn='off'", `msn: "off" is no address`},
		{"bad names", "names='on'", `names: "on" is no address`},
		{"bad level", "log='loud'", `log: "loud" is no level`},
		{"wrong type", "msn=1863", `line 1 (last key "msn"): incompatible types`},
		{"not TOML", "msn :1863", "line 1"},
		{"twice", "msn=':1'\nmsn=':2'", "msn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "nudge.toml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := load(file, config{Data: "d"})
			switch {
			case c.err == "" && err != nil:
				t.Fatal(err)
			case c.err == "":
				return
			case err == nil:
				t.Fatal("no error")
			}
			text := err.Error()
			if !strings.HasPrefix(text, file+": ") || !strings.Contains(text, c.err) || strings.Contains(text, "\n") {
				t.Errorf("the error is %q; want one line with the file and %q", text, c.err)
			}
		})
	}
}

// uncomment puts every line of the example in force that looks like a key.
func uncomment(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# "); ok && (strings.Contains(rest, " = ") || strings.HasPrefix(rest, "[")) {
			line = rest
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

func TestExampleNamesEveryKey(t *testing.T) {
	var c config
	for _, k := range slices.Concat(keysBeside(nil), c.Limits.keys(), c.Lights.keys()) {
		if k != limitsTable && k != lightsTable && !strings.Contains(exampleConfig, "\n# "+k+" = ") {
			t.Errorf("nudge.toml does not show %s", k)
		}
	}
	file := filepath.Join(t.TempDir(), "nudge.toml")
	if err := os.WriteFile(file, []byte(uncomment(exampleConfig)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(file, config{})
	if err != nil || c.Limits != defaultLimits() {
		t.Errorf("the limits that nudge.toml shows are not the defaults: %+v, %v", c.Limits, err)
	}
	if !reflect.DeepEqual(c.Lights.hardware(), lights{}.hardware()) {
		t.Errorf("the lights that nudge.toml shows are not the defaults: %+v", c.Lights)
	}
}

func TestLimitsReachTheServer(t *testing.T) {
	l := defaultLimits()
	if l.server() != msnserver.DefaultLimits() || l.hub() != bridge.DefaultLimits() {
		t.Errorf("the defaults become %+v and %+v", l.server(), l.hub())
	}
	file := filepath.Join(t.TempDir(), "nudge.toml")
	if err := os.WriteFile(file, []byte("[limits]\ncommands_per_second=7\nmembers_per_conversation=3"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(file, config{})
	if err != nil || c.Limits.server().NS.PerSecond != 7 || c.Limits.hub().Members != 3 || c.Limits.Line != l.Line {
		t.Errorf("%+v, %v", c.Limits, err)
	}
}

func TestFlagsWinOverTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nudge.toml")
	if err := os.WriteFile(file, []byte("data='/file'\nmsn=':1'\nhttp=':2'"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(file, config{MSN: ":3"})
	if err != nil || c.MSN != ":3" || c.HTTP != ":2" || c.Data != "/file" {
		t.Fatalf("got %+v, %v", c, err)
	}
	_, err = load(file, config{HTTP: "80"})
	if err == nil || !strings.HasPrefix(err.Error(), `--http: "80" is no address`) {
		t.Fatalf("a bad flag gives %v", err)
	}
}

func TestDefaultDataFollowsSystemd(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
	if dir, err := defaultData(); err != nil || dir != "/var/lib/a" {
		t.Fatalf("got %s, %v", dir, err)
	}
}
