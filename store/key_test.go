package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), KeyFile)
	k, created, err := LoadKey(path)
	if err != nil || !created || k == [32]byte{} {
		t.Fatal(created, err)
	}
	again, created, err := LoadKey(path)
	if err != nil || created || again != k {
		t.Fatal("loaded another key", created, err)
	}
	mode := func(m os.FileMode, gid int) error {
		t.Helper()
		if os.Getuid() == 0 {
			if err := os.Chown(path, 0, gid); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(path, m); err != nil {
			t.Fatal(err)
		}
		_, _, err := LoadKey(path)
		return err
	}
	for _, m := range []os.FileMode{0o640, 0o604, 0o644, 0o620} {
		if err := mode(m, 1); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", m, err)
		}
	}
	if err := mode(0o400, 1); err != nil {
		t.Error(err)
	}
	if os.Getuid() == 0 {
		if err := mode(0o440, 0); err != nil { // as a systemd credential
			t.Error(err)
		}
	}
	for _, text := range []string{"", "abc", strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("x", 64)} {
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadKey(path); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("key %q: %v", text, err)
		}
	}
	if _, _, err := LoadKey(filepath.Join(path, "x")); err == nil {
		t.Error("a key inside a file")
	}
}

func TestSeal(t *testing.T) {
	db := openTest(t, "")
	a, b := db.Seal("ctx", []byte("secret")), db.Seal("ctx", []byte("secret"))
	if bytes.Equal(a, b) || bytes.Contains(a, []byte("secret")) {
		t.Error("not sealed")
	}
	if p, err := db.Unseal("ctx", a); err != nil || string(p) != "secret" {
		t.Error(p, err)
	}
	a[len(a)-1]++
	for _, tc := range []struct {
		ctx    string
		sealed []byte
	}{{"ctx", a}, {"other", b}, {"ctx", nil}, {"ctx", b[:20]}} {
		if _, err := db.Unseal(tc.ctx, tc.sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("%q %x: %v", tc.ctx, tc.sealed, err)
		}
	}
}
