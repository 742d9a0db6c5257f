package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A backup goes onto what is there now and nowhere else; what goes wrong is said in
// words, and counts as no backup.
func TestBackupOnto(t *testing.T) {
	h := newHouse(t, t.TempDir())
	cl := h.dial(t)
	stick, gone := t.TempDir(), filepath.Join(t.TempDir(), "gone")
	if all := must[[]Medium](t)(cl.Media(t.Context())); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	h.box.Media = func() ([]Medium, error) {
		return []Medium{{Path: stick, Name: "KINGSTON"}, {Path: gone, Name: "OLD"}}, nil
	}
	all := must[[]Medium](t)(cl.Media(t.Context()))
	if len(all) != 2 || all[0].Free == 0 || all[0].Trouble != "" || all[0].Newest != nil || !strings.Contains(all[1].Trouble, "OLD was taken away") {
		t.Fatalf("%+v", all)
	}
	for path, want := range map[string]string{gone: "OLD was taken away", t.TempDir(): "not there any more", h.box.Data: "not there any more", "": "not there"} {
		_, err := cl.BackupOnto(t.Context(), MediumBackup{path, "a passphrase"})
		wantErr(t, err, want)
	}
	_, err := cl.BackupOnto(t.Context(), MediumBackup{stick, ""})
	wantErr(t, err, "passphrase")
	if !h.box.LastBackup().IsZero() {
		t.Error("a backup that failed counts")
	}
	made := must[MadeBackup](t)(cl.BackupOnto(t.Context(), MediumBackup{stick, "a passphrase"}))
	if info, err := os.Stat(made.File); err != nil || filepath.Dir(made.File) != stick || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if newest := must[[]Medium](t)(cl.Media(t.Context()))[0].Newest; newest == nil || !newest.Equal(made.Made) || time.Since(h.box.LastBackup()) > time.Hour {
		t.Errorf("newest %v, made %v, last %v", newest, made.Made, h.box.LastBackup())
	}
	h.box.Media = func() ([]Medium, error) { return nil, errors.New("no list") }
	_, err = cl.Media(t.Context())
	wantErr(t, err, "no list")
}

func TestMediumTrouble(t *testing.T) {
	m := Medium{Name: "KINGSTON", Path: "/media/nudge/KINGSTON"}
	for err, want := range map[error]string{
		syscall.ENOSPC: "make room", syscall.EROFS: "only be read", syscall.EACCES: "may not write", syscall.EIO: "taken away", syscall.ESTALE: "taken away",
		errors.New("odd"): "odd; take another",
	} {
		if got := mediumTrouble(m, &os.PathError{Op: "write", Path: "x", Err: err}); !strings.Contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}
