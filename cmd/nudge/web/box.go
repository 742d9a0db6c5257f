package web

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"time"

	"nudge/cmd/nudge/control"
)

func (v *visit) troubles() error {
	s, err := v.control().Status(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "troubles", "Why can't this PC sign in?", s.Troubled)
}

func (v *visit) settings() error {
	all, err := v.control().Settings(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "settings", "Settings", all)
}

func (v *visit) changeSetting() error {
	key := v.field("key")
	return v.done("settings", key+" is changed.", v.control().SetSetting(v.r.Context(), key, v.field("value")))
}

func (v *visit) health() error {
	checks, err := v.control().Doctor(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "health", "Health", checks)
}

func (v *visit) log() error {
	lines, err := v.control().Log(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "log", "Log", lines)
}

// backupData is the page about backups.
type backupData struct {
	Last       *time.Time
	Passphrase string // proposed
}

func (v *visit) backupForm() error {
	s, err := v.control().Status(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "backup", "Backup", backupData{s.Backup, control.Passphrase()})
}

// backup sends a backup. It lies in a file meanwhile, so that an error can still
// be told, and its length before it.
func (v *visit) backup() error {
	pass := v.r.PostFormValue("passphrase")
	const shortest = 8
	if len(pass) < shortest {
		return v.done("backup", "", fmt.Errorf("the passphrase is too short; use at least %d characters", shortest))
	}
	f, err := os.CreateTemp("", "nudge-backup-")
	if err != nil {
		return err
	}
	defer f.Close()
	os.Remove(f.Name()) // stays readable until closed
	if err := v.control().Backup(v.r.Context(), f, pass); err != nil {
		return v.done("backup", "", err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="nudge-`+time.Now().Format(time.DateOnly)+`.nudge"`)
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	io.Copy(v.w, f) // fails only when the browser is gone
	return nil
}

// maxBackup is how large a backup that is given back may be.
const maxBackup = 256 << 20

// restore takes a backup. The passphrase comes before the file, which is read as
// it comes.
func (v *visit) restore() error {
	back := "backup"
	if v.me == nil {
		back = "wizard"
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxBackup)
	parts, err := v.r.MultipartReader()
	if err != nil {
		v.refuse(http.StatusBadRequest, "What was sent is no form of this box.")
		return nil
	}
	pass := ""
	for {
		part, err := parts.NextPart()
		if err != nil {
			return v.done(back, "", errors.New("choose the file of the backup, and give its passphrase"))
		}
		switch part.FormName() {
		case "passphrase":
			pass, err = text(part)
		case "file":
			if err = v.control().Restore(v.r.Context(), part, pass); err == nil {
				return v.render(200, "restored", "The backup is restored", nil)
			}
		}
		if err != nil {
			return v.done(back, "", err)
		}
	}
}

// text is a short field of a form with a file.
func text(part *multipart.Part) (string, error) {
	const most = 1024
	b, err := io.ReadAll(io.LimitReader(part, most))
	return string(b), err
}
