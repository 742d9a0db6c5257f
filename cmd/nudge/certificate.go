package main

import (
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// certificateFile holds the TLS certificate and its key (front.Store).
type certificateFile struct{ path string }

// certificateName is the file in a data folder. It goes into backups, so that PCs
// need not trust anew a box that moved to other hardware. The authority's key is
// not in it: nobody has that any more (front.Certificate).
const certificateName = "nudge-tls.pem"

func certificateIn(data string) certificateFile {
	return certificateFile{filepath.Join(data, certificateName)}
}

// Load reads the file; a missing one is nothing.
func (f certificateFile) Load() ([]byte, error) {
	pem, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return pem, err
}

// root is the authority's certificate, which comes first.
func (f certificateFile) root(context.Context) ([]byte, error) {
	saved, err := f.Load()
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(saved)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the box has no certificate yet; it makes one when it first runs with HTTPS")
	}
	return block.Bytes, nil
}

// Save writes the file, whole or not at all, readable by the owner of its
// folder only.
func (f certificateFile) Save(pem []byte) error {
	dir := filepath.Dir(f.path)
	tmp, err := os.CreateTemp(dir, ".certificate.*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // what is left after a failure
	if info, err := os.Stat(dir); err == nil && os.Geteuid() == 0 {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if err := tmp.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return errors.Join(err, tmp.Close())
			}
		}
	}
	_, err = tmp.Write(pem)
	if err = cmp.Or(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), f.path)
}
