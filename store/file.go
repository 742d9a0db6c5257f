package store

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// writeFile makes path with what fill writes: complete and durable or not at
// all, readable by its owner only. finish is place or replace.
func writeFile(path string, finish func(tmp, path string) error, fill func(io.Writer) error) error {
	tmp, err := newTemp(path)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // what is left after a failure
	err = fill(tmp)
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return finish(tmp.Name(), path)
}

// newTemp makes an empty file beside path, mode 0600. When root does it, the
// file belongs to the folder's owner: a command must not lock the daemon out.
func newTemp(path string) (*os.File, error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPattern(path))
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			err = f.Chown(int(st.Uid), int(st.Gid))
		}
	}
	if err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

func tempPattern(path string) string { return "." + filepath.Base(path) + ".*.tmp" }

// sweep removes what a crash left of newTemp. Only the owner of path's lock
// may do it.
func sweep(path string) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), tempPattern(path)))
	for _, name := range left {
		os.Remove(name)
	}
}

// place gives a finished file its name, never over another: os.ErrExist then.
func place(tmp, path string) error {
	err := os.Link(tmp, path)
	if os.IsExist(err) {
		return err
	}
	if err != nil { // a file system without hard links
		if _, e := os.Lstat(path); e == nil {
			return fmt.Errorf("%s: %w", path, os.ErrExist)
		}
		if err := os.Rename(tmp, path); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}

// replace puts a finished file in another's place.
func replace(tmp, path string) error {
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes names durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
