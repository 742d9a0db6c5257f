package media

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Parked is a file that a client of this box sends to a network, on its way there. It
// takes its room from the same space, and is in no folder either.
type Parked struct {
	filling
	size int64
}

var errTooLargeOut = &Refused{"It is larger than the box has room for. Send it in another way, or ask the owner of this box for more room for files."}

// Park makes place for a file of so many bytes. Its error is *Refused or for the log.
func (p *Pages) Park(size int64) (*Parked, error) {
	s := p.spool
	space := s.space()
	if size > space {
		return nil, errTooLargeOut
	}
	file, err := s.temporary()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parked++
	return &Parked{filling: filling{s, file, space}}, nil
}

// temporary makes a file that lasts as long as it is open.
func (s *spool) temporary() (*os.File, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("no room for files: %w", err)
	}
	file, err := os.CreateTemp(s.dir, "file-*")
	if err != nil {
		return nil, fmt.Errorf("no room for files: %w", err)
	}
	os.Remove(file.Name())
	return file, nil
}

// Write adds to the file.
func (k *Parked) Write(b []byte) (int, error) {
	n, err := k.filling.Write(b)
	k.size += int64(n)
	return n, err
}

// All is what was written, and its MIME type as far as its beginning tells.
func (k *Parked) All() (io.Reader, string) {
	head := make([]byte, 512)
	n, _ := k.file.ReadAt(head, 0)
	kind, _, _ := strings.Cut(http.DetectContentType(head[:n]), ";")
	return io.NewSectionReader(k.file, 0, k.size), kind
}

// Close gives the room back.
func (k *Parked) Close() error {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.s.used -= k.size
	k.s.parked--
	return k.file.Close()
}
