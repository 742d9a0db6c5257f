package bridge

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// A file that somebody on a network sent stays there. A client is given a link of
// this box instead, good for a time and for the PC that it was made for (DESIGN.md
// §6): the box fetches the file when it is opened.

// FileHours is the key of the setting that says for how many hours such a link is
// good; DefaultFileHours when it is not set.
const (
	FileHours        = "file-hours"
	DefaultFileHours = 24
)

// Why a link to a file does not open, for the person at the browser.
var (
	ErrFileGone      = errors.New("this link is not good any more, or never was: links to files last for a day, unless the owner of this box chose another time. Ask for the file again")
	ErrFileElsewhere = errors.New("this link was made for another PC: open it on the one where the message came")
	ErrFileAway      = errors.New("the network that keeps this file can't be reached now. Try again in a few minutes")
)

// File is what a link leads to.
type File struct {
	im.File
	Account string // whose client got the link: its canonical handle
	From    string // who sent it
	At      time.Time
}

// fileLink is one link, as it lies on disk. The hub's lock guards it.
type fileLink struct {
	File
	Owner string // the account whose link to Net opens the file
	Net   string
	Peer  netip.Addr // of the PC
	Until time.Time
}

// fileSpace is where an account's links to files lie in the store, beside what its
// links to networks keep: no network has that name.
const fileSpace = ".files"

// maxFileLinks is how many links an account may have: one more ends the oldest.
const maxFileLinks = 500

// OfferFiles begins to give clients links. at makes the first part of one out of
// the address on which the client came in; it is called without the lock. Call it
// before clients are let in.
func (h *Hub) OfferFiles(at func(local string) string) { h.fileSite = at }

// SetFileHours is told when the setting has changed.
func (h *Hub) SetFileHours(value string) {
	hours, err := strconv.Atoi(value)
	if err != nil || hours <= 0 {
		hours = DefaultFileHours
	}
	h.fileLife.Store(int64(time.Duration(hours) * time.Hour))
}

// withLink is m as this seat is to get it: with a link to the file that came in it
// from who over the owner's link to the network. The lock is held.
func (s *Seat) withLink(m im.Message, owner *account, who im.Person) im.Message {
	h := s.hub
	if m.File == nil || s.session.site == "" {
		return m
	}
	token := strings.ToLower(rand.Text()[:16]) // 80 bits
	l := &fileLink{
		File:  File{File: *m.File, Account: s.acct.key, From: who.Name, At: m.At},
		Owner: owner.key, Net: who.Net, Peer: peerOf(s.session.client.Remote), Until: time.Now().Add(time.Duration(h.fileLife.Load())).UTC(),
	}
	h.tidyFiles(s.acct.key)
	h.files[token] = l
	b, err := json.Marshal(l)
	if err != nil {
		h.log.Error("a link to a file can't be kept", "err", err)
	}
	h.db.Do(store.Lazy, func(tx *store.Tx) error { return tx.KV(l.Account, fileSpace).Put([]byte(token), b) }, h.logged("link to a file"))
	m.Text = strings.TrimRight(s.session.site+token+"\n"+m.Text, "\n")
	return m
}

// tidyFiles forgets links that are over, and the account's oldest when it has too
// many. The lock is held.
func (h *Hub) tidyFiles(account string) {
	now := time.Now()
	h.dropFiles(func(l *fileLink) bool { return now.After(l.Until) })
	oldest, n := "", 0
	for token, l := range h.files {
		if l.Account != account {
			continue
		}
		if n++; oldest == "" || l.Until.Before(h.files[oldest].Until) {
			oldest = token
		}
	}
	if n >= maxFileLinks {
		last := h.files[oldest]
		h.dropFiles(func(l *fileLink) bool { return l == last })
	}
}

// dropFiles forgets the links that are. The lock is held.
func (h *Hub) dropFiles(are func(*fileLink) bool) {
	maps.DeleteFunc(h.files, func(token string, l *fileLink) bool {
		if !are(l) {
			return false
		}
		account := l.Account
		h.db.Do(store.Lazy, func(tx *store.Tx) error { return tx.KV(account, fileSpace).Delete([]byte(token)) }, h.logged("link to a file"))
		return true
	})
}

// loadFiles reads an account's links to files.
func (h *Hub) loadFiles(tx *store.Tx, account string) {
	for token, b := range tx.KV(account, fileSpace).Scan(nil) {
		l := new(fileLink)
		if err := json.Unmarshal(b, l); err != nil {
			h.log.Warn("a link to a file can't be read", "account", account, "err", err)
			continue
		}
		h.files[string(token)] = l
	}
}

// LinkedFile tells what a link leads to for a PC at from: ErrFileGone or
// ErrFileElsewhere when nothing. The PC may also be one on which the account is
// signed on now, for addresses change.
func (h *Hub) LinkedFile(token string, from netip.Addr) (File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := h.linkedFile(token, from)
	if err != nil {
		return File{}, err
	}
	return l.File, nil
}

func (h *Hub) linkedFile(token string, from netip.Addr) (*fileLink, error) {
	l := h.files[token]
	if l == nil || time.Now().After(l.Until) {
		return nil, ErrFileGone
	}
	here := l.Peer == from
	if a := h.accounts[l.Account]; a != nil {
		for _, s := range a.sessions {
			here = here || peerOf(s.client.Remote) == from
		}
	}
	if !here || !from.IsValid() {
		return nil, ErrFileElsewhere
	}
	return l, nil
}

// OpenFile opens what a link leads to (im.Link.Open). ctx must last until the file
// is closed, which the caller does.
func (h *Hub) OpenFile(ctx context.Context, token string, from netip.Addr) (io.ReadCloser, error) {
	h.mu.Lock()
	l, err := h.linkedFile(token, from)
	var link im.Link
	var user im.Addr
	if err == nil {
		if a := h.accounts[l.Owner]; a != nil {
			user = a.addr()
			if p := a.port(l.Net); p != nil {
				link = p.link
			}
		}
	}
	h.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case link == nil:
		return nil, ErrFileAway
	}
	r, _, err := link.Open(ctx, user, l.Ref)
	if err != nil {
		return nil, fmt.Errorf("open a file of %s: %w", l.Net, err)
	}
	return r, nil
}

// peerOf is the address without a port in what a connection says of its peer.
func peerOf(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}
