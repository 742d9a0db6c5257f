package media

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// spool keeps files that were fetched on the disk for a while: a page and its
// picture are two requests, and people look again. A file is in no folder, so that
// it is gone with the program however that ends.
type spool struct {
	dir      string
	space    func() int64
	slots    chan struct{} // files that are being fetched
	decoding chan struct{} // likewise; a picture takes much memory

	mu     sync.Mutex
	kept   map[string]*kept // by token
	parked int              // files on their way to a network
	used   int64            // bytes of all of them, and of those that come
	timer  *time.Timer
	closed bool
}

// kept is one file of a spool.
type kept struct {
	token, account string
	busy           chan struct{} // has room for one, who may fill in what follows

	file  *os.File // nil until it is whole
	size  int64
	kind  string // of a picture: its usual extension
	shown struct {
		tried bool
		err   error
		kind  string // MIME type
		size  int64
		w, h  int
	}

	// The spool's lock guards these.
	users    int
	last     time.Time // somebody looked
	unwanted bool      // to be dropped when it is not used any more
}

// keepTime is how long a file stays that nobody looks at; fetching is how many
// come at once.
const (
	keepTime = 30 * time.Minute
	fetching = 3
)

var (
	errTooLarge = &Refused{"This file is larger than the box has room for. Look at it in another app, or ask the owner of this box for more room for files."}
	errNoRoom   = &Refused{"The box has no room for this file while others are being looked at. Try again in a few minutes."}
	errStopped  = errors.New("the box stops")
)

func newSpool(dir string, space func() int64) *spool {
	os.RemoveAll(dir) // what is left of a program that was killed at the wrong moment
	return &spool{dir: dir, space: space, slots: make(chan struct{}, fetching), decoding: make(chan struct{}, 1), kept: map[string]*kept{}}
}

// get finds a file or fetches it. The caller releases it.
func (s *spool) get(ctx context.Context, token string, f File, open func() (io.ReadCloser, error)) (*kept, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errStopped
	}
	k := s.kept[token]
	if k == nil {
		k = &kept{token: token, account: f.Account, busy: make(chan struct{}, 1)}
		s.kept[token] = k
	}
	k.users++
	s.mu.Unlock()
	err := k.only(ctx, func() error {
		if k.file != nil {
			return nil
		}
		if f.Size > s.space() {
			return errTooLarge
		}
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-ctx.Done():
			return ctx.Err()
		}
		return s.fetch(k, open)
	})
	if err != nil {
		s.release(k)
		return nil, err
	}
	return k, nil
}

// only runs do while nobody else works on the file.
func (k *kept) only(ctx context.Context, do func() error) error {
	select {
	case k.busy <- struct{}{}:
		defer func() { <-k.busy }()
		return do()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetch fills k, all or nothing.
func (s *spool) fetch(k *kept, open func() (io.ReadCloser, error)) error {
	from, err := open()
	if err != nil {
		return err
	}
	defer from.Close()
	file, err := s.temporary()
	if err != nil {
		return err
	}
	n, err := io.Copy(&filling{s, file, s.space()}, from)
	if err != nil {
		file.Close()
		s.give(n)
		return err
	}
	k.file, k.size, k.kind = file, n, extension(file)
	return nil
}

// filling is a file that grows within the spool's space.
type filling struct {
	s     *spool
	file  *os.File
	space int64
}

// Write adds to the file.
func (f *filling) Write(b []byte) (int, error) {
	if err := f.s.take(int64(len(b)), f.space); err != nil {
		return 0, err
	}
	n, err := f.file.Write(b)
	f.s.give(int64(len(b) - n))
	return n, err
}

// take makes room for n bytes more: who was looked at longest ago goes.
func (s *spool) take(n, space int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.used+n > space {
		var oldest *kept
		for _, k := range s.kept {
			if k.users == 0 && (oldest == nil || k.last.Before(oldest.last)) {
				oldest = k
			}
		}
		switch {
		case oldest != nil:
			s.remove(oldest)
		case len(s.kept)+s.parked == 1:
			return errTooLarge
		default:
			return errNoRoom
		}
	}
	s.used += n
	return nil
}

func (s *spool) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// release ends a use of k.
func (s *spool) release(k *kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.users--
	k.last = time.Now()
	switch {
	case k.users > 0:
	case k.file == nil || k.unwanted:
		s.remove(k)
	case s.timer == nil:
		s.timer = time.AfterFunc(keepTime, s.tidy)
	}
}

// tidy drops what nobody looked at for keepTime, and comes again while there is
// more.
func (s *spool) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = nil
	now := time.Now()
	for _, k := range s.kept {
		if k.users == 0 && now.Sub(k.last) >= keepTime {
			s.remove(k)
		}
	}
	if len(s.kept) > 0 {
		s.timer = time.AfterFunc(keepTime, s.tidy)
	}
}

// drop drops the files that are; one in use goes when it is released.
func (s *spool) drop(are func(*kept) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kept {
		switch {
		case !are(k):
		case k.users > 0:
			k.unwanted = true
		default:
			s.remove(k)
		}
	}
}

// close drops every file; there will be no more.
func (s *spool) close() {
	s.drop(func(*kept) bool { return true })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// remove forgets a file that nobody uses. The lock is held.
func (s *spool) remove(k *kept) {
	delete(s.kept, k.token)
	if k.file != nil {
		k.file.Close()
		s.used -= k.size + k.shown.size
	}
}

// show makes the picture for the page, once. It stands in the same file, behind
// what was sent.
func (s *spool) show(ctx context.Context, k *kept) error {
	return k.only(ctx, func() error {
		if k.shown.tried {
			return k.shown.err
		}
		select {
		case s.decoding <- struct{}{}:
			defer func() { <-s.decoding }()
		case <-ctx.Done():
			return ctx.Err()
		}
		made, err := shrink(io.NewSectionReader(k.file, 0, k.size))
		if err != nil {
			k.shown.tried, k.shown.err = true, err
			return err
		}
		size := int64(len(made.data))
		if err := s.take(size, s.space()); err != nil {
			return err
		}
		if _, err := k.file.WriteAt(made.data, k.size); err != nil {
			s.give(size)
			return err
		}
		k.shown.tried, k.shown.size = true, size
		k.shown.kind, k.shown.w, k.shown.h = made.kind, made.w, made.h
		return nil
	})
}
