package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nudge/cmd/nudge/control"
	"nudge/cmd/nudge/web"
	"nudge/cmd/nudge/web/kit"
	"nudge/store"
)

// newPages makes the box's pages, and lets the box's own contact lead to them.
func (s *server) newPages(own func(host string) bool) *web.Pages {
	p := web.New(web.Config{Control: control.Local(s.box), Own: own, Kits: kit.Path, Log: s.box.Log})
	s.box.LinkPage = func(account string) string { return s.site() + p.LinkPage(account) }
	return p
}

// site is the address of the box's pages, as a browser of the home network wants
// it.
func (s *server) site() string { return s.siteAt(s.address(context.Background())) }

// siteAt is likewise for who reaches the box as host.
func (s *server) siteAt(host string) string {
	for _, l := range s.box.Listeners {
		_, port, err := net.SplitHostPort(l.Addr)
		if l.Name == "http" && err == nil && port != "80" {
			return "http://" + net.JoinHostPort(host, port)
		}
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return "http://" + host
}

// guess asks the throttle that the doors for old clients have too.
func (s *server) guess(source netip.Addr, what string) (done func(bool), wait time.Duration) {
	return s.msn.Try(&net.TCPAddr{IP: source.AsSlice()}, what)
}

// A backup that pages were given waits in restoredDir, in the data folder, for
// the next start. What was there before goes into a folder whose name begins with
// beforeDir.
const (
	restoredDir = "restored"
	beforeDir   = "before-"
)

// restore unpacks a backup and lets serve start again with it.
func (s *server) restore(_ context.Context, r io.Reader, passphrase string) error {
	beside := filepath.Join(s.conf.Data, store.KeyFile)
	if key := keyPath(s.conf.Data); key != beside {
		return fmt.Errorf("the sealing key of this box is kept in %s: a backup brings its own; stop nudge, take that key away and run nudge restore", key)
	}
	dir := filepath.Join(s.conf.Data, restoredDir)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := store.Restore(dir, r, []byte(passphrase)); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	s.box.Log.Warn("a backup was given to the pages: the box starts again with it")
	select {
	case s.again <- struct{}{}:
	default:
	}
	return nil
}

// finishRestore puts in place what restore unpacked. It does its work also when it
// was interrupted in the middle of it: the database, which comes last, is what
// counts.
func finishRestore(ctx context.Context, data string) error {
	from := filepath.Join(data, restoredDir)
	if _, err := os.Stat(filepath.Join(from, store.File)); errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(from)
	}
	if cl, err := control.Dial(ctx, data); err == nil {
		cl.Close()
		return nil // it is that box's
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	last := func(f os.DirEntry) int { return rank(f.Name() == store.File) }
	slices.SortFunc(files, func(x, y os.DirEntry) int { return last(x) - last(y) })
	aside := filepath.Join(data, beforeDir+time.Now().UTC().Format("20060102-150405"))
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	for _, to := range []struct{ from, to string }{{data, aside}, {from, data}} {
		for _, f := range files {
			err := os.Rename(filepath.Join(to.from, f.Name()), filepath.Join(to.to, f.Name()))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	os.Remove(aside) // when there was nothing to keep
	return os.RemoveAll(from)
}

// lastLines keeps the end of the log for the pages. It is written a line at a
// time.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

// keptLines is how many lines are kept, of at most keptLine bytes each.
const (
	keptLines = 200
	keptLine  = 500
)

// Write keeps one line.
func (l *lastLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == keptLines {
		l.lines = slices.Delete(l.lines, 0, 1)
	}
	l.lines = append(l.lines, string(bytes.TrimSpace(line[:min(len(line), keptLine)])))
	return len(line), nil
}

func (l *lastLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// pages answer everything on the HTTP ports that is not of old clients. names are
// those of the box.
func (s *server) pages(names []string) http.Handler {
	h := newHealth(s, names)
	s.web = s.newPages(h.own)
	h.next = s.withFiles(s.withKits(s.web))
	return h
}
