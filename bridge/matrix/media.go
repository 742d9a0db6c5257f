package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/attachment"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// refOf is what Open is to be given for the file of a message: its mxc URI, or the
// whole description of an encrypted one, keys and all. "" when there is nothing that
// could be opened.
func refOf(c *event.MessageEventContent) string {
	if c.File == nil || c.File.URL == "" {
		return string(c.URL)
	}
	b, err := json.Marshal(c.File)
	if err != nil || len(b) > maxRef {
		return ""
	}
	if _, sealed, err := locate(string(b)); err != nil || sealed == nil {
		return ""
	}
	return string(b)
}

// isSealed tells whether a file that is meant is encrypted where it is kept.
func isSealed(ref string) bool { return strings.HasPrefix(ref, "{") }

// maxRef is the longest description of an encrypted file that is kept, in bytes; an
// honest one has about 400.
const maxRef = 4 << 10

// locate is where a file is kept and, when it is encrypted there, what opens it.
func locate(ref string) (uri id.ContentURI, sealed *attachment.EncryptedFile, err error) {
	if isSealed(ref) {
		f, ok := decode[event.EncryptedFileInfo]([]byte(ref))
		if !ok {
			return uri, nil, errNoFile
		}
		if err := f.PrepareForDecryption(); err != nil {
			return uri, nil, err
		}
		ref, sealed = string(f.URL), &f.EncryptedFile
	}
	uri, err = id.ParseContentURI(ref)
	if err == nil && uri.IsEmpty() {
		err = errNoFile
	}
	return uri, sealed, err
}

var errNoFile = errors.New("it names no Matrix file")

// Why there is nothing to get, for a person.
const (
	textFileGone    = "The Matrix server does not have this file any more. Ask for it again."
	textFileAltered = "This file is not what was sent: its check sum is wrong. So it is not shown. Ask for it again."

	textFileTooLarge = "It is larger than the Matrix server takes. Send it in another way, or in parts."
	textFileInClear  = "This conversation has become end-to-end encrypted since the file was taken. Send the file again."
)

// Open streams a file from the homeserver and decrypts it where it is encrypted
// there (im.Link). The caller closes it.
func (l *link) Open(ctx context.Context, _ im.Addr, ref string) (io.ReadCloser, im.File, error) {
	f := im.File{Ref: ref}
	uri, sealed, err := locate(ref)
	if err != nil {
		return nil, f, fmt.Errorf("a file can't be opened: %w", err)
	}
	_, resp, err := l.cli.MakeFullRequestWithResp(ctx, mautrix.FullRequest{
		Method:           http.MethodGet,
		URL:              l.cli.BuildClientURL("v1", "media", "download", uri.Homeserver, uri.FileID),
		DontReadResponse: true,
		Client:           l.media,
	})
	if errors.Is(err, mautrix.MNotFound) {
		return nil, f, &im.Refused{Text: textFileGone}
	}
	if err != nil {
		return nil, f, fmt.Errorf("fetch the file: %s", words(err))
	}
	f.Size = max(resp.ContentLength, 0)
	if sealed != nil {
		return &opened{sealed.DecryptStream(resp.Body), resp.Body}, f, nil
	}
	f.Type = resp.Header.Get("Content-Type")
	if _, p, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err == nil {
		f.Name = p["filename"]
	}
	return resp.Body, f, nil
}

// opened is a file that is decrypted on its way. Its end is reported only when the
// hash of what came is the one that the sender gave (client-server API, encrypted
// attachments).
type opened struct {
	plain io.ReadCloser // its Close checks the hash
	body  io.Closer
}

// Read reads on.
func (o *opened) Read(b []byte) (int, error) {
	n, err := o.plain.Read(b)
	if err == io.EOF && errors.Is(o.plain.Close(), attachment.ErrHashMismatch) {
		err = &im.Refused{Text: textFileAltered}
	}
	return n, err
}

// Close may come before the end.
func (o *opened) Close() error { return o.body.Close() }

// Upload streams a file to the homeserver and returns its mxc URI, or the description
// of an encrypted one (im.Link). The room it is meant for is settled first: nothing
// meant for an encrypted one leaves in clear. It can't be repeated by itself, r is
// read once.
func (l *link) Upload(ctx context.Context, _ im.Addr, conv string, f im.File, r io.Reader) (string, error) {
	ctx, done := l.bound(ctx)
	defer done()
	if r == nil {
		return "", l.admits(ctx, f.Size)
	}
	room, err := l.roomFor(ctx, im.Message{Conv: conv}, "")
	if err != nil {
		return "", err
	}
	if err := l.mustKnow(ctx, room); err != nil {
		return "", err
	}
	encrypted, _ := l.mem.secrecy(room)
	var sealed *sealing
	if encrypted {
		sealed = seal(r)
		r, f.Type, f.Name = sealed, "", ""
	}
	uri, err := l.upload(ctx, f, r)
	switch {
	case errors.Is(err, mautrix.MTooLarge):
		return "", &im.Refused{Text: textFileTooLarge}
	case err != nil && (ctx.Err() != nil || tokenRefused(err) || passing(err)):
		return "", err
	case err != nil:
		return "", &im.Refused{Text: fmt.Sprintf("The Matrix server refused it (%s).", words(err))}
	case encrypted:
		return sealed.ref(uri)
	}
	return uri.String(), nil
}

// admits tells whether the homeserver takes files of that size, as far as it says.
func (l *link) admits(ctx context.Context, size int64) error {
	conf, err := l.cli.GetMediaConfig(ctx)
	if err == nil && conf.UploadSize > 0 && size > conf.UploadSize {
		return &im.Refused{Text: textFileTooLarge}
	}
	return nil // one that does not say may take it
}

// sealing is a file that is encrypted on its way out (client-server API, encrypted
// attachments). The server may answer while it is still read, so a lock keeps its
// check sum in order.
type sealing struct {
	mu   sync.Mutex
	info event.EncryptedFileInfo
	from io.ReadSeekCloser
	done bool // all of it was read
}

func seal(r io.Reader) *sealing {
	s := &sealing{info: event.EncryptedFileInfo{EncryptedFile: *attachment.NewEncryptedFile()}}
	s.from = s.info.EncryptStream(r)
	return s
}

// Read reads on.
func (s *sealing) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.from.Read(b)
	s.done = s.done || err == io.EOF
	return n, err
}

// ref describes the file, for refOf's readers.
func (s *sealing) ref(at id.ContentURI) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		return "", errors.New("the server took only a part of the file")
	}
	if err := s.from.Close(); err != nil {
		return "", err
	}
	s.info.URL = at.CUString()
	b, err := json.Marshal(s.info)
	return string(b), err
}

// upload streams a file to the homeserver.
func (l *link) upload(ctx context.Context, f im.File, r io.Reader) (id.ContentURI, error) {
	var resp mautrix.RespMediaUpload
	size := f.Size
	if size <= 0 {
		size = -1
	}
	headers := http.Header{"Content-Type": {"application/octet-stream"}}
	if f.Type != "" {
		headers.Set("Content-Type", f.Type)
	}
	_, err := l.cli.MakeFullRequest(ctx, mautrix.FullRequest{
		Method:        http.MethodPost,
		URL:           l.cli.BuildURLWithQuery(mautrix.MediaURLPath{"v3", "upload"}, map[string]string{"filename": f.Name}),
		Headers:       headers,
		RequestBody:   r,
		RequestLength: size,
		ResponseJSON:  &resp,
		Client:        l.media,
		MaxAttempts:   1,
	})
	return resp.ContentURI, err
}
