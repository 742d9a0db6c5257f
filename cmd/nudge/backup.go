package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"nudge/cmd/nudge/control"
	"nudge/store"
)

// backupCmd writes a backup.
type backupCmd struct {
	File            string `arg:"" help:"The file to make; it must not exist. - is standard output."`
	PassphraseStdin bool   `help:"Read the passphrase from standard input."`
}

// Help is the example.
func (backupCmd) Help() string {
	return "Without --passphrase-stdin a passphrase is made and shown: nobody can restore the backup without it. Example:\n\n" +
		"\tnudge backup box.nudge --passphrase-stdin < passphrase.txt"
}

// Run writes a backup: whole or not at all.
func (c backupCmd) Run(e *env) error {
	pass, made := "", ""
	var err error
	if c.PassphraseStdin {
		if pass, err = e.stdin.secret("the passphrase"); err != nil {
			return err
		}
	} else if c.File == "-" {
		return usage("a backup to standard output needs --passphrase-stdin")
	} else {
		made = control.Passphrase()
		pass = made
	}
	return e.with(mustBe, func(cl *control.Client) error {
		if c.File == "-" {
			return cl.Backup(e.ctx, e.stdout, pass)
		}
		if err := writeNew(c.File, func(w *os.File) error { return cl.Backup(e.ctx, w, pass) }); err != nil {
			return err
		}
		done := struct {
			File       string `json:"file"`
			Passphrase string `json:"passphrase,omitempty"`
		}{c.File, made}
		return e.show(done, func(w io.Writer) {
			fmt.Fprintf(w, "The backup is in %s.\n", c.File)
			if made != "" {
				fmt.Fprintf(w, "Passphrase: %s\nWrite it down: nobody can restore the backup without it.\n", made)
			}
		})
	})
}

// writeNew makes a file that only its owner can read, complete or not at all.
func writeNew(path string, fill func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already; choose another name or move it aside", path)
	}
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	err = cmp.Or(err, f.Close())
	if err != nil {
		os.Remove(path)
	}
	return err
}

// restoreCmd makes a data folder out of a backup.
type restoreCmd struct {
	File            string `arg:"" help:"The backup."`
	PassphraseStdin bool   `help:"Read the passphrase from standard input without asking for it."`
}

// Help is the example.
func (restoreCmd) Help() string {
	return "The data folder must hold no database. Example:\n\n\tnudge restore box.nudge --data /var/lib/nudge --passphrase-stdin < passphrase.txt"
}

// Run restores a backup.
func (c restoreCmd) Run(e *env) error {
	conf, cl, err := e.running()
	if err != nil {
		return err
	}
	if cl != nil {
		cl.Close()
		return fmt.Errorf("a box runs in %s; a backup can only be restored into a folder of its own", conf.Data)
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	if !c.PassphraseStdin {
		fmt.Fprint(e.stderr, "Passphrase: ")
	}
	pass, err := e.stdin.secret("the passphrase")
	if err != nil {
		return err
	}
	if err := store.Restore(conf.Data, f, []byte(pass)); err != nil {
		return err
	}
	return e.say(control.Done{}, "The backup is restored in %s. Start nudge to use it.", conf.Data)
}

// checkCmd checks a database.
type checkCmd struct {
	File string `arg:"" help:"The database, or the data folder it lies in."`
}

// Help is the example.
func (checkCmd) Help() string {
	return "The exit code is 78 when the database can't be used. Example:\n\n\tnudge check /var/lib/nudge"
}

// Run checks a database.
func (c checkCmd) Run(e *env) error {
	path := c.File
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, store.File)
	}
	if err := store.Check(path); err != nil {
		return err
	}
	return e.say(control.Done{}, "%s is whole.", path)
}
