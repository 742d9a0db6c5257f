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

// maxRef is the longest description of an encrypted file that is kept, in bytes; an
// honest one has about 400.
const maxRef = 4 << 10

// locate is where a file is kept and, when it is encrypted there, what opens it.
func locate(ref string) (uri id.ContentURI, sealed *attachment.EncryptedFile, err error) {
	if strings.HasPrefix(ref, "{") {
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

// Upload streams a file to the homeserver and returns its mxc URI (im.Link).
// The room it is meant for is settled first: nothing meant for an encrypted
// one leaves in clear. It can't be repeated by itself, r is read once.
func (l *link) Upload(ctx context.Context, _ im.Addr, conv string, f im.File, r io.Reader) (string, error) {
	ctx, done := l.bound(ctx)
	defer done()
	room, err := l.roomFor(ctx, im.Message{Conv: conv}, "")
	if err != nil {
		return "", err
	}
	if err := l.mustKnow(ctx, room); err != nil {
		return "", err
	}
	if encrypted, _ := l.mem.secrecy(room); encrypted {
		return "", &im.Refused{Text: "This conversation is end-to-end encrypted and this box can't send files there yet. Use another Matrix app for them."}
	}
	uri, err := l.upload(ctx, f, r)
	if err != nil {
		return "", fmt.Errorf("send the file: %w", err)
	}
	return uri.String(), nil
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
