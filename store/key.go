package store

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ErrSealed means that sealed bytes can't be opened: they were sealed with
// another key or for another context, or they are damaged.
var ErrSealed = errors.New("a stored secret can't be opened with this key; it has to be entered again")

// LoadKey reads the sealing key from path, 64 hexadecimal digits. A missing
// file is made, readable by its owner only, and created is true. A file that
// others than its owner and root may read is refused.
func LoadKey(path string) (k [32]byte, created bool, err error) {
	k, err = readKey(path)
	if !errors.Is(err, os.ErrNotExist) {
		return k, false, err
	}
	rand.Read(k[:]) // never fails
	if err = writeKey(path, k); errors.Is(err, os.ErrExist) {
		k, err = readKey(path) // another process was faster
		return k, false, err
	}
	return k, err == nil, err
}

func readKey(path string) (k [32]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return k, fmt.Errorf("the sealing key can't be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return k, fmt.Errorf("the sealing key can't be read: %w", err)
	}
	if exposed(info) {
		return k, fmt.Errorf("the sealing key %s may be read by others (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return k, fmt.Errorf("the sealing key can't be read: %w", err)
	}
	text = bytes.TrimSpace(text)
	if n, err := hex.Decode(k[:], text[:min(len(text), 2*len(k))]); err != nil || n != len(k) || len(text) != 2*len(k) {
		return [32]byte{}, fmt.Errorf("the sealing key %s is damaged: it must be 64 hexadecimal digits; put it back from a copy or restore a backup", path)
	}
	return k, nil
}

// exposed tells whether anybody but the owner and root may touch the file.
// Group root is allowed, because a systemd credential can look like that: its
// reader is named in an access list, which shows as group bits.
func exposed(info os.FileInfo) bool {
	p := info.Mode().Perm()
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Gid == 0 {
		p &^= 0o070
	}
	return p&0o077 != 0
}

func writeKey(path string, k [32]byte) error {
	err := writeFile(path, place, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%x\n", k)
		return err
	})
	if err != nil {
		return fmt.Errorf("the sealing key can't be written: %w", err)
	}
	return nil
}

// Seal encrypts a secret (XChaCha20-Poly1305). The same context, for instance
// "link alice@home xmpp password", must be given to open it, so that one
// secret can't be passed off as another.
func (db *DB) Seal(context string, plain []byte) []byte {
	return seal(db.seal, context, plain)
}

// Unseal opens what Seal made. The error is ErrSealed.
func (db *DB) Unseal(context string, sealed []byte) ([]byte, error) {
	return unseal(db.seal, context, sealed)
}
