package matrix

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// Open streams a file that is kept unencrypted on the homeserver (im.Link).
// The caller closes it.
func (l *link) Open(ctx context.Context, _ im.Addr, ref string) (io.ReadCloser, im.File, error) {
	f := im.File{Ref: ref}
	uri, err := id.ParseContentURI(ref)
	if err != nil || uri.IsEmpty() {
		return nil, f, fmt.Errorf("%q is not a Matrix file", ref)
	}
	_, resp, err := l.cli.MakeFullRequestWithResp(ctx, mautrix.FullRequest{
		Method:           http.MethodGet,
		URL:              l.cli.BuildClientURL("v1", "media", "download", uri.Homeserver, uri.FileID),
		DontReadResponse: true,
		Client:           l.media,
	})
	if err != nil {
		return nil, f, fmt.Errorf("fetch the file: %w", err)
	}
	f.Type, f.Size = resp.Header.Get("Content-Type"), max(resp.ContentLength, 0)
	if _, p, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err == nil {
		f.Name = p["filename"]
	}
	return resp.Body, f, nil
}

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
	var resp mautrix.RespMediaUpload
	size := f.Size
	if size <= 0 {
		size = -1
	}
	headers := http.Header{"Content-Type": {"application/octet-stream"}}
	if f.Type != "" {
		headers.Set("Content-Type", f.Type)
	}
	_, err = l.cli.MakeFullRequest(ctx, mautrix.FullRequest{
		Method:        http.MethodPost,
		URL:           l.cli.BuildURLWithQuery(mautrix.MediaURLPath{"v3", "upload"}, map[string]string{"filename": f.Name}),
		Headers:       headers,
		RequestBody:   r,
		RequestLength: size,
		ResponseJSON:  &resp,
		Client:        l.media,
		MaxAttempts:   1,
	})
	if err != nil {
		return "", fmt.Errorf("send the file: %w", err)
	}
	return resp.ContentURI.String(), nil
}
