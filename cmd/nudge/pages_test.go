package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nudge/store"
)

// A restored backup takes its place also when the machine goes off in the middle.
func TestFinishRestore(t *testing.T) {
	put := func(dir, name, text string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ data, restored, want string }{
		"nothing to do": {"db key", "", "old old"},
		"incomplete":    {"db key", "key", "old old"},
		"whole":         {"db key", "key db", "new new"},
		"blank box":     {"", "key db", "new new"},
		"interrupted":   {"newkey", "db", "new new"},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			from := filepath.Join(data, restoredDir)
			for f := range strings.FieldsSeq(c.data) {
				switch f {
				case "db":
					put(data, store.File, "old")
				case "key":
					put(data, store.KeyFile, "old")
				case "newkey":
					put(data, store.KeyFile, "new")
				}
			}
			for f := range strings.FieldsSeq(c.restored) {
				put(from, map[string]string{"db": store.File, "key": store.KeyFile}[f], "new")
			}
			if err := finishRestore(t.Context(), data); err != nil {
				t.Fatal(err)
			}
			db, _ := os.ReadFile(filepath.Join(data, store.File))
			key, _ := os.ReadFile(filepath.Join(data, store.KeyFile))
			if got := fmt.Sprintf("%s %s", db, key); got != c.want {
				t.Errorf("the folder has %s, want %s", got, c.want)
			}
			if _, err := os.Stat(from); err == nil {
				t.Error("the unpacked backup is still there")
			}
			aside, _ := filepath.Glob(filepath.Join(data, beforeDir+"*", store.File))
			if (len(aside) == 1) != (name == "whole") {
				t.Errorf("kept aside: %v", aside)
			}
		})
	}
}

func TestLastLines(t *testing.T) {
	var l lastLines
	for i := range keptLines + 5 {
		fmt.Fprintf(&l, "line %d\n", i)
	}
	fmt.Fprint(&l, strings.Repeat("x", 2*keptLine))
	all := l.all()
	if len(all) != keptLines || all[0] != "line 6" || len(all[keptLines-1]) != keptLine {
		t.Errorf("%d lines from %q", len(all), all[0])
	}
}

func TestFamilyOnTheCommandLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	for _, h := range []string{"alice@hotmail.com", "carol@hotmail.com"} {
		nudge(t, "", "--data", dir, "user", "add", h).want(t, exitOK)
	}
	nudge(t, "", "--data", dir, "user", "set", "alice@hotmail.com", "owner", "maybe").want(t, exitUsage, "owner can't be")
	nudge(t, "", "--data", dir, "user", "set", "alice@hotmail.com", "owner", "on").want(t, exitOK)
	nudge(t, "", "--data", dir, "user", "set", "carol@hotmail.com", "parent", "alice@hotmail.com").want(t, exitOK)
	nudge(t, "", "--data", dir, "user", "set", "alice@hotmail.com", "owner", "off").want(t, exitFailed, "only owner")
	nudge(t, "", "--data", dir, "user", "list", "--json").want(t, exitOK, `"parent": "alice@hotmail.com"`, `"owner": true`)
	nudge(t, "", "--data", dir, "setting", "time-zone", "Mars/Olympus").want(t, exitFailed, "must be a time zone")
	r := serve(t, dir)
	nudge(t, "", "--data", dir, "setting", "address", "msn.home").want(t, exitOK)
	for host, code := range map[string]int{"msn.home": 200, "evil.example": 403, "nudge": 200} {
		if got, text := get(t, r.ports["http"], "/", host); got != code || code == 200 && !strings.Contains(text, `action="/in"`) {
			t.Errorf("as %s: %d\n%s", host, got, text)
		}
	}
	if out := r.stop().out; strings.Contains(out, "Nobody owns this box") {
		t.Error(out)
	}
}
