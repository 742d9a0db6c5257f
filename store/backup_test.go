package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var pass = []byte("correct horse")

// cheapKDF makes deriving the key cost nothing, for tests that do it often.
func cheapKDF(t testing.TB) {
	old := backupKDF
	backupKDF.time, backupKDF.memory = 1, 8
	t.Cleanup(func() { backupKDF = old })
}

func backup(t testing.TB, db *DB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := db.Backup(t.Context(), &b, pass); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBackupAndRestore(t *testing.T) {
	db := openTest(t, "")
	update(t, db, furnish)
	secret := db.Seal("x", []byte("hunter2"))
	db.Do(Lazy, func(tx *Tx) error { return tx.KV("", "n").Put([]byte("secret"), secret) }, nil)
	file := backup(t, db)
	if left, _ := os.ReadDir(filepath.Dir(db.path)); len(left) != 1 {
		t.Error("left over:", left)
	}
	if bytes.Contains(file, []byte("user0@x")) || len(file) > 100_000 {
		t.Errorf("the backup is not encrypted or not compressed: %d bytes", len(file))
	}

	dir := filepath.Join(t.TempDir(), "new", "folder")
	if err := Restore(dir, bytes.NewReader(file), pass); err != nil {
		t.Fatal(err)
	}
	key, created, err := LoadKey(filepath.Join(dir, KeyFile))
	if err != nil || created || key != testKey {
		t.Fatal("the key was not restored", err)
	}
	got, err := Open(dir, Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	view(t, got, func(tx *Tx) {
		if plain, err := got.Unseal("x", tx.KV("", "n").Get([]byte("secret"))); err != nil || string(plain) != "hunter2" {
			t.Error("what was queued before the backup is not in it", err)
		}
		n := 0
		for a := range tx.Accounts() {
			if n++; a.Version != fullAccount.Version+restoreJump {
				t.Errorf("version %d", a.Version)
			}
		}
		for l := range tx.Links() {
			if !l.Restored {
				t.Error("a link is not marked")
			}
		}
		if since := time.Since(tx.Restored()); n != 40 || since < 0 || since > time.Hour {
			t.Errorf("%d accounts, restored %v ago", n, since)
		}
		var want uint64
		view(t, db, func(tx *Tx) { want = tx.Epoch() })
		if tx.Epoch() != want {
			t.Error("another epoch")
		}
	})

	if err := Restore(dir, bytes.NewReader(file), pass); err == nil || !strings.Contains(err.Error(), "already") {
		t.Error("restored over a database:", err)
	}
	other := t.TempDir()
	if _, _, err := LoadKey(filepath.Join(other, KeyFile)); err != nil {
		t.Fatal(err)
	}
	if err := Restore(other, bytes.NewReader(file), pass); err == nil || !strings.Contains(err.Error(), "another sealing key") {
		t.Error("restored over a key:", err)
	}
}

// TestBackupOfFilesBeside: they come back, never over another of that name, and
// their names can't lead out of the folder.
func TestBackupOfFilesBeside(t *testing.T) {
	cheapKDF(t)
	db := openTest(t, "")
	there := filepath.Join(filepath.Dir(db.path), "there")
	db.beside = []string{there, filepath.Join(filepath.Dir(db.path), "missing")}
	if err := os.WriteFile(there, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := backup(t, db)
	if bytes.Contains(file, []byte("there")) {
		t.Error("the name is in clear")
	}
	dir := t.TempDir()
	old := filepath.Join(dir, "there")
	if err := os.WriteFile(old, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Restore(dir, bytes.NewReader(file), pass); err == nil || !strings.Contains(err.Error(), "another "+old+" already") {
		t.Error("restored over a file:", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Error("left over:", left)
	}
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	if err := Restore(dir, bytes.NewReader(file), pass); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(old)
	if got, _ := os.ReadFile(old); err != nil || string(got) != "content" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v, %v", got, info, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 {
		t.Error("in the folder:", left)
	}
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/b", File, KeyFile} {
		var z bytes.Buffer
		if err := errors.Join(zipTo(&z, "", strings.NewReader("database")), zipTo(&z, name, strings.NewReader("x"))); err != nil {
			t.Fatal(err)
		}
		if _, err := unzip(io.Discard, &z); !errors.Is(err, errCutShort) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestRestoreRefusesBadFiles(t *testing.T) {
	cheapKDF(t)
	db := openTest(t, "")
	update(t, db, furnish)
	update(t, db, func(tx *Tx) error { // more than one chunk
		for i := range 40 {
			b := make([]byte, 4096)
			for j := range b {
				b[j] = byte(i*j + j>>3*i)
			}
			if err := tx.KV("", "n").Put([]byte{byte(i)}, db.Seal("", b)); err != nil {
				return err
			}
		}
		return nil
	})
	file := backup(t, db)
	if len(file) < 2*chunkSize {
		t.Fatalf("only %d bytes", len(file))
	}
	flip := func(at int) []byte {
		b := slices.Clone(file)
		b[at] ^= 1
		return b
	}
	header := len(backupMagic) + kdfSize + sealedKey
	for name, tc := range map[string]struct {
		file []byte
		pass string
		want error
	}{
		"empty":           {nil, "x", errNotBackup},
		"text":            {bytes.Repeat([]byte("x"), 1000), "x", errNotBackup},
		"a database":      {furnished(t), "x", errNotBackup},
		"wrong pass":      {file, "Correct horse", errPassphrase},
		"no pass":         {file, "", errNoPass},
		"salt":            {flip(len(backupMagic)), string(pass), errPassphrase},
		"costly":          {flip(len(backupMagic) + 19), string(pass), errCutShort},
		"key":             {flip(header - 1), string(pass), errPassphrase},
		"first chunk":     {flip(header), string(pass), errCutShort},
		"last byte":       {flip(len(file) - 1), string(pass), errCutShort},
		"header only":     {file[:header], string(pass), errCutShort},
		"in header":       {file[:header-1], string(pass), errCutShort},
		"whole chunks":    {file[:header+chunkSize+16], string(pass), errCutShort},
		"one byte short":  {file[:len(file)-1], string(pass), errCutShort},
		"one byte more":   {append(slices.Clone(file), 0), string(pass), errCutShort},
		"chunk repeated":  {slices.Concat(file[:header+chunkSize+16], file[header:]), string(pass), errCutShort},
		"chunk left out":  {slices.Concat(file[:header], file[header+chunkSize+16:]), string(pass), errCutShort},
		"reading stopped": {file, string(pass), io.ErrClosedPipe},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var r io.Reader = bytes.NewReader(tc.file)
			if tc.want == io.ErrClosedPipe {
				r = io.MultiReader(bytes.NewReader(file[:len(file)/2]), broken{})
			}
			if err := Restore(dir, r, []byte(tc.pass)); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Error("left over:", left, err)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error)  { return 0, io.ErrClosedPipe }
func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestRestoreMigrates(t *testing.T) {
	cheapKDF(t)
	step := func(tx *bbolt.Tx) error { return tx.Bucket(settingsBucket).Put(under("step"), []byte("1")) }
	file := backup(t, openTest(t, ""))
	dir := t.TempDir()
	if err := restore(dir, bytes.NewReader(file), pass, []migration{step}); err != nil {
		t.Fatal(err)
	}
	db, err := open(dir, Options{Key: testKey}, []migration{step})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if get(t, db, "step") != "1" {
		t.Error("not migrated")
	}
	var u *Unusable
	if err := Restore(t.TempDir(), bytes.NewReader(backup(t, db)), pass); !errors.As(err, &u) || !strings.Contains(u.Error(), "newer") || u.Path != "the backup" {
		t.Error(err)
	}
}

func TestBackupErrors(t *testing.T) {
	cheapKDF(t)
	db := openTest(t, "")
	if err := db.Backup(t.Context(), io.Discard, nil); !errors.Is(err, errNoPass) {
		t.Error(err)
	}
	if err := db.Backup(t.Context(), broken{}, pass); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Backup(ctx, io.Discard, pass); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzRestore(f *testing.F) {
	cheapKDF(f)
	file := backup(f, openTest(f, ""))
	f.Add(file)
	f.Add(file[:len(file)-5])
	f.Add([]byte(backupMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := Restore(dir, bytes.NewReader(b), pass); err != nil {
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Error("left over:", left)
			}
			return
		}
		db, err := Open(dir, Options{Key: testKey})
		if err != nil {
			t.Fatal(err)
		}
		use(db)
	})
}

// What comes out of an envelope is checked again: fuzz that as well.
func FuzzUnzip(f *testing.F) {
	cheapKDF(f)
	name := filepath.Join(f.TempDir(), "beside")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		f.Fatal(err)
	}
	var z bytes.Buffer
	if err := encryptTo(&z, strings.NewReader("hello"), []string{name}, testKey, pass); err != nil {
		f.Fatal(err)
	}
	_, body, err := readEnvelope(&z, pass)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := io.ReadAll(body)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		beside, err := unzip(io.Discard, bytes.NewReader(b))
		for name := range beside {
			if err != nil || name != filepath.Base(name) || name == "." || name == ".." || name == File || name == KeyFile {
				t.Fatalf("%q, %v", name, err)
			}
		}
	})
}
