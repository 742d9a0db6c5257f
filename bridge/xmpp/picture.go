package xmpp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// pictureUpdate goes into the presence of an account on a component: the check sum of
// the picture in its vCard (XEP-0153 §3.1). Servers do that for their own users.
func pictureUpdate(p *im.Picture) stanza.Node {
	x := element(nsPhoto, "x")
	x.Nodes = []stanza.Node{words(nsPhoto, "photo", hex.EncodeToString(p.SHA1[:]))}
	return x
}

// photo is a picture in a vCard (XEP-0054).
func photo(png []byte) stanza.Node {
	n := element(nsVCard, "PHOTO")
	n.Nodes = []stanza.Node{words(nsVCard, "TYPE", "image/png"), words(nsVCard, "BINVAL", base64.StdEncoding.EncodeToString(png))}
	return n
}

// hasPublished tells whether a picture is one that a contact published.
func (m *memory) hasPublished(ref string) bool {
	bare, _, _ := strings.Cut(ref, "#")
	c := m.contacts[bare]
	return c != nil && c.says.avatar == ref
}

// fetchPicture asks, as from, for what a contact shows: where he published it, else, or
// when it is not there any more, for his vCard.
func fetchPicture(ctx context.Context, s *stream.Stream, from, ref string, published bool) (io.ReadCloser, im.File, error) {
	bare, hash, ok := strings.Cut(ref, "#")
	if j, err := stream.ParseJID(bare); !ok || err != nil || addr(j).ID != bare {
		return nil, im.File{}, im.ErrNotFound
	}
	asks := []stanza.Node{element(nsVCard, "vCard")}
	if published {
		asks = []stanza.Node{items(nsAvatarData, hash), asks[0]}
	}
	for _, ask := range asks {
		iq := query(stanza.IQTypeGet, bare, ask)
		iq.From = from
		n, err := s.Do(ctx, iq)
		if fatal(err) {
			return nil, im.File{}, err
		}
		if b, is := picture(n); b != nil && is == hash {
			return io.NopCloser(bytes.NewReader(b)), im.File{Ref: ref, Type: http.DetectContentType(b), Size: int64(len(b))}, nil
		}
	}
	return nil, im.File{}, im.ErrNotFound
}

// picture takes the picture, and its check sum, out of an answer; nil when there is none.
func picture(n *stanza.Node) (b []byte, hash string) {
	photo := stream.Child(stream.Child(n, nsVCard, "vCard"), nsVCard, "PHOTO")
	text := cmp.Or(stream.Text(photo, nsVCard, "BINVAL"), stream.Text(item(n), nsAvatarData, "data"))
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil || len(b) == 0 {
		return nil, ""
	}
	sum := sha1.Sum(b)
	return b, hex.EncodeToString(sum[:])
}

// pictureData and metadata are a picture that is published, and what is said of it
// (XEP-0084 §4): the box's are all of one size.
func pictureData(png []byte) stanza.Node {
	return words(nsAvatarData, "data", base64.StdEncoding.EncodeToString(png))
}

func metadata(hash string, size int) stanza.Node {
	n := element(nsAvatar, "metadata")
	n.Nodes = []stanza.Node{element(nsAvatar, "info", "id", hash, "type", "image/png", "bytes", strconv.Itoa(size), "width", "96", "height", "96")}
	return n
}
