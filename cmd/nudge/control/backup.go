package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

const backupPath = "/backup"

// backupRequest asks for a backup; its answer is the file.
type backupRequest struct {
	Passphrase string `json:"passphrase"`
}

// Backup writes a backup of the box to w, sealed with the passphrase. After an
// error what was written is worth nothing.
func (cl *Client) Backup(ctx context.Context, w io.Writer, passphrase string) error {
	if cl.box != nil {
		return cl.box.backup(ctx, w, passphrase)
	}
	resp, err := cl.post(ctx, backupPath, backupRequest{passphrase})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the backup broke off: %w; see the log of nudge", err)
	}
	return nil
}

func (b *Box) backup(ctx context.Context, w io.Writer, passphrase string) error {
	err := b.Store.Backup(ctx, w, []byte(passphrase))
	if err == nil {
		b.noteBackup(ctx)
	}
	return err
}

// serveBackup streams a backup. Once bytes have left, an error can only be
// told by breaking the answer off.
func (b *Box) serveBackup(w http.ResponseWriter, r *http.Request) {
	var in backupRequest
	if err := readJSON(w, r, &in); err != nil {
		writeError(w, err)
		return
	}
	out := &started{ResponseWriter: w}
	err := b.backup(r.Context(), out, in.Passphrase)
	switch {
	case err == nil:
	case !out.begun:
		writeError(w, err)
	default:
		b.Log.Error("a backup broke off", "err", err)
		panic(http.ErrAbortHandler)
	}
}

// started notices the first byte of an answer.
type started struct {
	http.ResponseWriter
	begun bool
}

func (s *started) Write(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.Header().Set("Content-Type", "application/octet-stream")
	}
	return s.ResponseWriter.Write(p)
}

// Passphrase makes a passphrase of 23 characters with about 99 random bits.
func Passphrase() string { return readableText(4, 5) }
