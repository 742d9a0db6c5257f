package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A folder gets whole backups of the box, the last three; what others keep there
// stays.
func TestBackupInto(t *testing.T) {
	cheapKDF(t)
	db := openTest(t, "")
	other := openTest(t, "")
	update(t, db, furnish)
	dir := t.TempDir()
	theirs, err := other.BackupInto(t.Context(), dir, pass)
	if err != nil {
		t.Fatal(err)
	}
	prefix, err := db.backupPrefix()
	if err != nil {
		t.Fatal(err)
	}
	stays := []string{filepath.Base(theirs.Path), "photo.jpg", prefix + "20200101-000000.nudge.txt", prefix + "letter.nudge"}
	old := []string{prefix + "20200101-000000.nudge", prefix + "20200102-000000.nudge", prefix + "20990101-000000.nudge"}
	broken := "." + prefix + ".123.tmp"
	for _, name := range append(append([]string{broken}, stays[1:]...), old...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := db.BackupInto(t.Context(), dir, pass)
	if err != nil {
		t.Fatal(err)
	}
	want := append(append([]string{filepath.Base(made.Path)}, stays...), old[1:]...)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(want) {
		t.Errorf("%v, want %v", files, want)
	}
	for _, name := range want {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	all, err := db.BackupsIn(dir)
	if err != nil || len(all) != 3 || all[0].Made.Year() != 2099 || time.Since(all[1].Made) > time.Hour || all[1].Path != made.Path {
		t.Errorf("%v, %v", all, err)
	}
	for _, b := range []BackupFile{made, theirs} {
		f, err := os.Open(b.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Restore(t.TempDir(), f, pass); err != nil {
			t.Error(err)
		}
		f.Close()
	}
}

// A backup that breaks off leaves nothing, and takes nothing away.
func TestBackupBreaksOff(t *testing.T) {
	cheapKDF(t)
	db := openTest(t, "")
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.BackupInto(ctx, dir, pass); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if _, err := db.BackupInto(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("without a passphrase: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("left over: %v, %v", files, err)
	}
	if _, err := db.BackupInto(t.Context(), filepath.Join(dir, "gone"), pass); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pulled out: %v", err)
	}
}
