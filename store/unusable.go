package store

import (
	"errors"
	"fmt"

	berrors "go.etcd.io/bbolt/errors"
)

// Unusable is why a database can't be opened. The file is untouched.
type Unusable struct {
	Path   string
	Reason string // what is wrong
	Cure   string // what to do next
}

func (u *Unusable) Error() string {
	return fmt.Sprintf("%s can't be used: %s; %s", u.Path, u.Reason, u.Cure)
}

func damagedFile(path string, err error) error {
	u := &Unusable{Path: path, Reason: "it is damaged: " + err.Error(),
		Cure: "move it aside and restore the last backup, or put the newest of the folder " + Copies + " in its place"}
	switch {
	case errors.Is(err, errForeign):
		u.Reason = err.Error()
		u.Cure = "give another data folder, or move the file aside"
	case errors.Is(err, errEmpty):
		u.Reason = err.Error()
		u.Cure = "restore the last backup; delete the file when there never was anything in it"
	}
	return u
}

// openError explains what bbolt says when it can't open the file.
func openError(path string, err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return &Unusable{Path: path, Reason: "another process has it open",
			Cure: "stop the running nudge first"}
	}
	if errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch) {
		return damagedFile(path, err)
	}
	return fmt.Errorf("the database can't be opened: %w", err)
}
