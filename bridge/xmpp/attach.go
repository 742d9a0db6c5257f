package xmpp

import (
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/fetch"
	"nudge/bridge/xmpp/stream"
)

// Name spaces of files: shared without a session (XEP-0447), what they are
// (XEP-0446), and where (XEP-0103).
const (
	nsFiles    = "urn:xmpp:sfs:0"
	nsMetadata = "urn:xmpp:file:metadata:0"
	nsURLData  = "http://jabber.org/protocol/url-data"
)

// fileHosts is the key of a setting.
const fileHosts = "file_hosts"

var fileHostsField = im.Field{Key: fileHosts, Label: "File servers at home", Help: "Servers that are not on the Internet and whose files may be fetched, such as upload.example.org or 192.168.1.5:5443, with blanks or commas between them."}

// attached is the words and the file of a message. What can't be fetched stays
// words. For clients that show only words the body mostly repeats the address: here
// it is left out.
func attached(n *stanza.Node) (body string, file *im.File) {
	body = im.Plain(stream.Text(n, stanza.NSClient, "body"))
	link := stream.Child(n, nsOOB, "x")
	at, desc := strings.TrimSpace(stream.Text(link, nsOOB, "url")), im.Plain(stream.Text(link, nsOOB, "desc"))
	share := stream.Child(n, nsFiles, "file-sharing")
	if at == "" {
		at = strings.TrimSpace(stream.Attr(stream.Child(stream.Child(share, nsFiles, "sources"), nsURLData, "url-data"), "target"))
	}
	switch {
	case at == "":
		return body, nil
	case !fetch.Usable(at):
		if strings.TrimSpace(body) == "" {
			body = strings.TrimSpace(desc + "\n" + im.Plain(at))
		}
		return body, nil
	}
	if body = strings.TrimSpace(strings.Replace(body, at, "", 1)); body == "" {
		body = strings.TrimSpace(desc)
	}
	return body, described(at, stream.Child(share, nsMetadata, "file"))
}

// described is the file at an address with what the sender says of it.
func described(at string, meta *stanza.Node) *im.File {
	f := &im.File{Ref: at, Name: im.OneLine(stream.Text(meta, nsMetadata, "name")), Type: strings.TrimSpace(stream.Text(meta, nsMetadata, "media-type"))}
	if u, err := url.Parse(at); f.Name == "" && err == nil {
		f.Name = im.OneLine(strings.Trim(path.Base(u.Path), "./"))
	}
	if f.Type == "" {
		f.Type = kindOf(strings.ToLower(path.Ext(f.Name)))
	}
	if size, err := strconv.ParseUint(strings.TrimSpace(stream.Text(meta, nsMetadata, "size")), 10, 63); err == nil {
		f.Size = int64(size)
	}
	return f
}

// kindOf is the kind of file that has the extension, "" for any other.
func kindOf(ext string) string {
	for kind, exts := range map[string][]string{
		"image/*": {".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg", ".avif", ".heic"},
		"audio/*": {".mp3", ".ogg", ".oga", ".opus", ".m4a", ".wav", ".amr", ".flac"},
		"video/*": {".mp4", ".webm", ".mov", ".3gp", ".mkv", ".avi"},
	} {
		if slices.Contains(exts, ext) {
			return kind
		}
	}
	return ""
}
