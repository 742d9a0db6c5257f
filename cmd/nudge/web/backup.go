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

// backupData is the page about backups.
type backupData struct {
	Last       *time.Time
	Passphrase string // proposed
	Media      []control.Medium
}

func (v *visit) backupForm() error {
	s, err := v.control().Status(v.r.Context())
	if err != nil {
		return err
	}
	media, err := v.control().Media(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "backup", "Backup", backupData{s.Backup, control.Passphrase(), media})
}

// passphrase is that of the form.
func (v *visit) passphrase() (string, error) {
	const shortest = 8
	pass := v.r.PostFormValue("passphrase")
	if len(pass) < shortest {
		return "", fmt.Errorf("the passphrase is too short; use at least %d characters", shortest)
	}
	return pass, nil
}

// keepBackup makes a backup on a stick or share. The passphrase is shown once more:
// the form proposes another one the next time.
func (v *visit) keepBackup() error {
	pass, err := v.passphrase()
	if err != nil {
		return v.done("backup", "", err)
	}
	made, err := v.control().BackupOnto(v.r.Context(), control.MediumBackup{Path: v.r.PostFormValue("to"), Passphrase: pass})
	return v.done("backup", fmt.Sprintf("The backup is made: %s. Its passphrase is %s - write it down. A stick can be pulled out when its light rests.", made.File, pass), err)
}

// backup sends a backup. It lies in a file meanwhile, so that an error can still
// be told, and its length before it.
func (v *visit) backup() error {
	pass, err := v.passphrase()
	if err != nil {
		return v.done("backup", "", err)
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
