package store

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Backups in a folder on another medium are called nudge-BOX-TIME.nudge. BOX is made
// of the database's epoch, so that two boxes can share a stick; TIME is in UTC.
const (
	backupTime   = "20060102-150405"
	backupSuffix = ".nudge"
	keepBackups  = 3
)

// BackupFile is a backup of this box in a folder.
type BackupFile struct {
	Path string
	Made time.Time
}

// BackupInto makes a backup in a folder: under its name when it is whole and on the
// medium, or not at all. Then the oldest of this box's backups there go, but for
// three. Other files are left alone.
func (db *DB) BackupInto(ctx context.Context, dir string, passphrase []byte) (BackupFile, error) {
	mine, err := db.backupPrefix()
	if err != nil {
		return BackupFile{}, err
	}
	made := BackupFile{Made: time.Now().UTC().Truncate(time.Second)}
	made.Path = filepath.Join(dir, mine+made.Made.Format(backupTime)+backupSuffix)
	sweep(filepath.Join(dir, mine)) // what was left by one that broke off
	if err := db.backupFile(ctx, dir, mine, made.Path, passphrase); err != nil {
		return BackupFile{}, err
	}
	all, err := db.BackupsIn(dir)
	if err != nil {
		return made, err
	}
	all = slices.DeleteFunc(all, func(b BackupFile) bool { return b.Path == made.Path }) // also when the clock went back
	for _, old := range all[min(len(all), keepBackups-1):] {
		err = cmp.Or(err, os.Remove(old.Path))
	}
	return made, err
}

func (db *DB) backupFile(ctx context.Context, dir, mine, path string, passphrase []byte) error {
	tmp, err := newTemp(filepath.Join(dir, mine))
	if err != nil {
		return err
	}
	err = db.Backup(ctx, tmp, passphrase)
	err = cmp.Or(err, tmp.Sync())
	err = cmp.Or(err, tmp.Close())
	if err == nil {
		err = replace(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// BackupsIn lists this box's backups in a folder, the newest first.
func (db *DB) BackupsIn(dir string) (all []BackupFile, err error) {
	mine, err := db.backupPrefix()
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		stamp, is := strings.CutPrefix(f.Name(), mine)
		stamp, ends := strings.CutSuffix(stamp, backupSuffix)
		made, err := time.Parse(backupTime, stamp)
		if is && ends && err == nil && f.Type().IsRegular() {
			all = append(all, BackupFile{filepath.Join(dir, f.Name()), made})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Made.After(all[j].Made) })
	return all, nil
}

func (db *DB) backupPrefix() (prefix string, err error) {
	err = db.View(func(tx *Tx) error {
		prefix = "nudge-" + strconv.FormatUint(tx.Epoch(), 36) + "-"
		return nil
	})
	return prefix, err
}
