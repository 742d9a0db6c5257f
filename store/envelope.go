package store

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// A backup file is
//
//	magic, salt 16, Argon2id time 4, memory in KiB 4, threads 1   (little-endian)
//	the sealing key, sealed with the first half of what Argon2id gives
//	the database, gzipped, and then, gzipped under their names, the files beside
//	it; all in chunks of 64 KiB, each encrypted with the second half
//	(ChaCha20-Poly1305, nonce = chunk number 8, last 1, zero 3)
//
// so that nothing in it can be read or changed without the passphrase, and a
// file cut short is noticed.
const (
	backupMagic = "nudge backup 1\r\n"
	kdfSize     = 16 + 4 + 4 + 1
	sealedKey   = chacha20poly1305.NonceSizeX + 32 + chacha20poly1305.Overhead
	chunkSize   = 64 << 10
	keyContext  = "sealing key"
)

// What making a backup costs: about 0.1 s on a PC, several seconds on a Pi Zero.
var backupKDF = kdf{time: 3, memory: 32 << 10, threads: 1}

// What a file may ask of us when it is restored.
const (
	maxTime    = 16
	maxMemory  = 128 << 10 // KiB
	maxThreads = 8
)

// The errors of a backup file.
var (
	errNotBackup  = errors.New("this is not a backup made by nudge")
	errPassphrase = errors.New("the passphrase does not open this backup")
	errCutShort   = errors.New("the backup is damaged or incomplete: use another copy")
	errNoPass     = errors.New("a backup holds the key to every stored password: give a passphrase")
)

// kdf is how a passphrase becomes two keys.
type kdf struct {
	salt         [16]byte
	time, memory uint32
	threads      uint8
}

func (k kdf) encode() []byte {
	b := append([]byte{}, k.salt[:]...)
	b = binary.LittleEndian.AppendUint32(b, k.time)
	b = binary.LittleEndian.AppendUint32(b, k.memory)
	return append(b, k.threads)
}

func decodeKDF(b []byte) (kdf, error) {
	k := kdf{salt: [16]byte(b), time: binary.LittleEndian.Uint32(b[16:]), memory: binary.LittleEndian.Uint32(b[20:]), threads: b[24]}
	if k.time < 1 || k.time > maxTime || k.threads < 1 || k.threads > maxThreads || k.memory < 8*uint32(k.threads) || k.memory > maxMemory {
		return k, errCutShort
	}
	return k, nil
}

// derive gives the AEAD that seals the key and the one for the chunks.
func (k kdf) derive(passphrase []byte) (wrap, body cipher.AEAD, err error) {
	b := argon2.IDKey(passphrase, k.salt[:], k.time, k.memory, k.threads, 64)
	if wrap, err = chacha20poly1305.NewX(b[:32]); err != nil {
		return nil, nil, err
	}
	body, err = chacha20poly1305.New(b[32:])
	return wrap, body, err
}

// writeEnvelope writes the header and returns the writer for what follows; its
// Close writes the last chunk and leaves w open.
func writeEnvelope(w io.Writer, key [32]byte, passphrase []byte) (io.WriteCloser, error) {
	if len(passphrase) == 0 {
		return nil, errNoPass
	}
	k := backupKDF
	rand.Read(k.salt[:]) // never fails
	wrap, body, err := k.derive(passphrase)
	if err != nil {
		return nil, err
	}
	header := append([]byte(backupMagic), k.encode()...)
	header = append(header, seal(wrap, keyContext, key[:])...)
	if _, err := w.Write(header); err != nil {
		return nil, err
	}
	return &chunkWriter{w: w, aead: body}, nil
}

// readEnvelope reads the header and returns the sealing key and the reader for
// what follows.
func readEnvelope(r io.Reader, passphrase []byte) (key [32]byte, body io.Reader, err error) {
	if len(passphrase) == 0 {
		return key, nil, errNoPass
	}
	header := make([]byte, len(backupMagic)+kdfSize+sealedKey)
	n, err := io.ReadFull(r, header)
	if !bytes.HasPrefix(header[:n], []byte(backupMagic)) {
		return key, nil, errNotBackup
	}
	if err != nil {
		return key, nil, cutShort(err)
	}
	header = header[len(backupMagic):]
	k, err := decodeKDF(header[:kdfSize])
	if err != nil {
		return key, nil, err
	}
	wrap, aead, err := k.derive(passphrase)
	if err != nil {
		return key, nil, err
	}
	plain, err := unseal(wrap, keyContext, header[kdfSize:])
	if err != nil {
		return key, nil, errPassphrase
	}
	return [32]byte(plain), &chunkReader{r: bufio.NewReaderSize(r, 2*chunkSize), aead: aead}, nil
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCutShort
	}
	return fmt.Errorf("the backup can't be read: %w", err)
}

func chunkNonce(n uint64, last bool) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, chacha20poly1305.NonceSize), n)
	if last {
		return append(b, 1, 0, 0, 0)
	}
	return append(b, 0, 0, 0, 0)
}

// chunkWriter holds a chunk back until it knows whether it is the last.
type chunkWriter struct {
	w    io.Writer
	aead cipher.AEAD
	n    uint64
	buf  []byte
}

func (c *chunkWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if len(c.buf) == chunkSize {
			if err := c.flush(false); err != nil {
				return total - len(p), err
			}
		}
		n := min(chunkSize-len(c.buf), len(p))
		c.buf = append(c.buf, p[:n]...)
		p = p[n:]
	}
	return total, nil
}

func (c *chunkWriter) Close() error { return c.flush(true) }

func (c *chunkWriter) flush(last bool) error {
	_, err := c.w.Write(c.aead.Seal(nil, chunkNonce(c.n, last), c.buf, nil))
	c.n++
	c.buf = c.buf[:0]
	return err
}

// chunkReader gives out a chunk only when it is authentic, and io.EOF only
// after the last.
type chunkReader struct {
	r    *bufio.Reader
	aead cipher.AEAD
	n    uint64
	done bool
	buf  []byte // what is left of the present chunk
}

func (c *chunkReader) Read(p []byte) (int, error) {
	for len(c.buf) == 0 {
		if c.done {
			return 0, io.EOF
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf)
	c.buf = c.buf[n:]
	return n, nil
}

func (c *chunkReader) fill() error {
	sealed := make([]byte, chunkSize+c.aead.Overhead())
	n, err := io.ReadFull(c.r, sealed)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return cutShort(err)
	}
	_, err = c.r.Peek(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return cutShort(err)
	}
	c.done = err != nil
	c.buf, err = c.aead.Open(sealed[:0], chunkNonce(c.n, c.done), sealed[:n], nil)
	c.n++
	if err != nil {
		return errCutShort
	}
	return nil
}
