package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"
)

// Medium is a USB stick or a share of another machine that is mounted here.
type Medium struct {
	Path    string     `json:"path"` // where
	Name    string     `json:"name"`
	Share   bool       `json:"share"`             // it lies on another machine
	Free    uint64     `json:"free"`              // bytes
	Newest  *time.Time `json:"newest,omitempty"`  // of this box's backups there
	Trouble string     `json:"trouble,omitempty"` // why nothing can be kept there, with what to do
}

// MediumBackup asks for a backup on a medium.
type MediumBackup struct {
	Path       string `json:"path"`
	Passphrase string `json:"passphrase"`
}

// MadeBackup is the file of a backup.
type MadeBackup struct {
	File string    `json:"file"`
	Made time.Time `json:"made"`
}

var (
	mediumList   = call[Done, []Medium]{"/medium/list", (*Box).mediumList}
	mediumBackup = call[MediumBackup, MadeBackup]{"/medium/backup", (*Box).mediumBackup}
)

// Media lists the sticks and shares where backups can be kept.
func (cl *Client) Media(ctx context.Context) ([]Medium, error) {
	return ask(ctx, cl, mediumList, Done{})
}

// BackupOnto makes a backup on a medium, which has it whole then or not at all. The
// box's last three stay there.
func (cl *Client) BackupOnto(ctx context.Context, b MediumBackup) (MadeBackup, error) {
	return ask(ctx, cl, mediumBackup, b)
}

func (b *Box) mediumList(context.Context, Done) ([]Medium, error) {
	if b.Media == nil {
		return []Medium{}, nil
	}
	all, err := b.Media()
	if err != nil {
		return nil, fmt.Errorf("it can't be found out what is mounted: %w", err)
	}
	for i := range all {
		m := &all[i]
		var st syscall.Statfs_t
		err := syscall.Statfs(m.Path, &st)
		if err != nil {
			m.Trouble = mediumTrouble(*m, err)
			continue
		}
		m.Free = st.Bavail * uint64(st.Bsize)
		backups, err := b.Store.BackupsIn(m.Path)
		if err == nil {
			const mayWrite = 2 // W_OK
			err = syscall.Access(m.Path, mayWrite)
		}
		if err != nil {
			m.Trouble = mediumTrouble(*m, err)
		}
		if len(backups) > 0 {
			newest := b.Hub.In(backups[0].Made)
			m.Newest = &newest
		}
	}
	return slices.Clip(all), nil
}

func (b *Box) mediumBackup(ctx context.Context, in MediumBackup) (MadeBackup, error) {
	all, err := b.mediumList(ctx, Done{})
	if err != nil {
		return MadeBackup{}, err
	}
	i := slices.IndexFunc(all, func(m Medium) bool { return m.Path == in.Path })
	switch {
	case i < 0:
		return MadeBackup{}, errors.New("it is not there any more: put the stick in again, or mount the share, and look again")
	case all[i].Trouble != "":
		return MadeBackup{}, errors.New(all[i].Trouble)
	}
	b.keeping.Lock()
	defer b.keeping.Unlock()
	made, err := b.Store.BackupInto(ctx, in.Path, []byte(in.Passphrase))
	if made.Path == "" {
		b.Log.Warn("a backup came to nothing", "medium", in.Path, "err", err)
		return MadeBackup{}, errors.New(mediumTrouble(all[i], err))
	}
	if err != nil {
		b.Log.Warn("old backups stay where they are", "medium", in.Path, "err", err)
	}
	b.noteBackup(ctx)
	return MadeBackup{made.Path, b.Hub.In(made.Made)}, nil
}

// mediumTrouble says what keeps a backup from being made, and what to do.
func mediumTrouble(m Medium, err error) string {
	is := func(all ...error) bool {
		return slices.ContainsFunc(all, func(e error) bool { return errors.Is(err, e) })
	}
	switch {
	case is(syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG):
		return m.Name + " is full: make room on it, or take another"
	case is(syscall.EROFS):
		return m.Name + " can only be read: it is locked or damaged, or mounted elsewhere than below /media/nudge, where the service may write; move its switch, mount it there, or take another"
	case is(fs.ErrPermission):
		return fmt.Sprintf("the box may not write to %s: mount it so that the user of the service (nudge) may", m.Path)
	case is(syscall.EIO, syscall.ENODEV, syscall.ENXIO, syscall.ESTALE, syscall.ENOTCONN, syscall.EHOSTDOWN, syscall.ETIMEDOUT, fs.ErrNotExist):
		return m.Name + " was taken away, or does not answer: put it in again, or look after the machine that has it"
	}
	return fmt.Sprintf("nothing can be kept on %s: %v; take another", m.Name, err)
}
