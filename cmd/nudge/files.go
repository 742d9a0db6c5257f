package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/cmd/nudge/control"
	"nudge/cmd/nudge/web/media"
)

// filesDir, in the data folder, is where files from networks lie while a browser
// gets them, and those that clients send there.
const filesDir = "files"

// withFiles serves what people on networks sent before other pages.
func (s *server) withFiles(next http.Handler) http.Handler {
	s.media = media.New(media.Config{
		Dir: filepath.Join(s.conf.Data, filesDir), Log: s.box.Log, Space: s.fileSpace,
		About: func(token string, from netip.Addr) (media.File, error) {
			f, err := s.box.Hub.LinkedFile(token, from)
			return media.File{Name: f.Name, Type: f.Type, Size: f.Size, From: f.From, Account: f.Account}, refused(err)
		},
		Open: func(ctx context.Context, token string, from netip.Addr) (io.ReadCloser, error) {
			r, err := s.box.Hub.OpenFile(ctx, token, from)
			if err != nil {
				return nil, refused(err)
			}
			return fromNetwork{r}, nil
		},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, media.Path) {
			s.media.ServeHTTP(w, r)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}

// room makes place for a file that a client sends to a network.
func (s *server) room(size int64) (bridge.Room, error) {
	k, err := s.media.Park(size)
	if err != nil {
		return nil, forPerson(err)
	}
	return parked{k}, nil
}

// parked is a file whose errors the hub understands.
type parked struct{ *media.Parked }

func (p parked) Write(b []byte) (int, error) {
	n, err := p.Parked.Write(b)
	return n, forPerson(err)
}

// forPerson tells the hub what of an error of the pages is for a person.
func forPerson(err error) error {
	var no *media.Refused
	if errors.As(err, &no) {
		return &im.Refused{Text: no.Text}
	}
	return err
}

// filesAt is what links to files begin with for a client that came in on local: at
// the address that the owner set, else at the one it found.
func (s *server) filesAt(local string) string {
	host := s.box.Hub.Setting(control.SettingAddress)
	if host == "" {
		host, _, _ = net.SplitHostPort(local)
	}
	if host == "" {
		return ""
	}
	return s.siteAt(host) + media.Path
}

// fileSpace is the setting in bytes.
func (s *server) fileSpace() int64 {
	mb, err := strconv.ParseInt(s.box.Hub.Setting(control.SettingFileSpace), 10, 64)
	if err != nil {
		mb = control.DefaultFileSpace
	}
	return mb * 1e6
}

// fromNetwork is a file whose errors the pages understand.
type fromNetwork struct{ io.ReadCloser }

func (f fromNetwork) Read(b []byte) (int, error) {
	n, err := f.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		err = refused(err)
	}
	return n, err
}

// refused tells the pages what of an error is for a person.
func refused(err error) error {
	var no *im.Refused
	if errors.As(err, &no) {
		return &media.Refused{Text: no.Text}
	}
	for _, e := range []error{bridge.ErrFileGone, bridge.ErrFileElsewhere, bridge.ErrFileAway} {
		if errors.Is(err, e) {
			return &media.Refused{Text: strings.ToUpper(e.Error()[:1]) + e.Error()[1:] + "."}
		}
	}
	return err
}
