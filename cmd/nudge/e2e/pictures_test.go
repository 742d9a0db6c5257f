package e2e

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestPictures: what friends on XMPP and Matrix look like is seen in clients that
// know pictures, at once and after a change, a restart included.
func TestPictures(t *testing.T) {
	for _, c := range []struct {
		kind string
		v    msnclient.Version
	}{
		{"prosody", msnclient.MSNP9}, {"prosody", msnclient.MSNP12}, {"ejabberd", msnclient.MSNP12},
		{"dendrite", msnclient.MSNP9}, {"dendrite", msnclient.MSNP12},
	} {
		t.Run(c.v.Name+"/"+c.kind, func(t *testing.T) {
			end2end(t)
			sc := newScene(t, c.v, sharedServer(t, c.kind), "")
			walk(t, sc, []step[*scene]{
				{"picture seen", func(sc *scene, t *testing.T) {
					sc.signIn(sc.test, "NLN")
					sc.wears(t, color.RGBA{200, 0, 0, 255})
				}},
				{"another picture", func(sc *scene, t *testing.T) {
					sc.wears(t, color.RGBA{0, 0, 200, 255})
				}},
				{"picture after a restart", func(sc *scene, t *testing.T) {
					sc.client.Close()
					check(t, sc.box.Stop())
					check(t, sc.box.Start())
					sc.signIn(sc.test, "NLN")
					sc.seesPicture(t, 0, color.RGBA{0, 0, 200, 255})
				}},
			})
		})
	}
}

// avatar is a picture of one colour that old clients would not take.
func avatar(t testing.TB, c color.Color) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 300, 200))
	for x := range 300 {
		for y := range 200 {
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	check(t, png.Encode(&b, img))
	return b.Bytes()
}

// wears gives bob a picture and waits until the client shows it.
func (sc *scene) wears(t *testing.T, c color.RGBA) {
	t.Helper()
	from := sc.client.Log.Len()
	picture := avatar(t, c)
	switch bob := sc.bob.(type) {
	case *xmppPeer:
		bob.wear(t, picture)
	case *matrixPeer:
		bob.wear(t, picture)
	}
	sc.seesPicture(t, from, c)
}

// wear puts a picture into the vCard, whose check sum goes into presence (XEP-0153).
func (x *xmppPeer) wear(t *testing.T, picture []byte) {
	t.Helper()
	x.do(t, op{"op": "raw", "xml": "<iq type='set' id='" + fmt.Sprintf("%x", sha1.Sum(picture)) + "'><vCard xmlns='vcard-temp'><FN>Bob</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>" +
		base64.StdEncoding.EncodeToString(picture) + "</BINVAL></PHOTO></vCard></iq>"})
	x.do(t, op{"op": "raw", "xml": fmt.Sprintf("<presence><x xmlns='vcard-temp:x:update'><photo>%x</photo></x></presence>", sha1.Sum(picture))})
}

// wear uploads a picture and makes it that of the profile.
func (m *matrixPeer) wear(t *testing.T, picture []byte) {
	t.Helper()
	token := matrixLogin(t, m.me)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+m.me.server.Addr()+"/_matrix/media/v3/upload", bytes.NewReader(picture))
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "image/png")
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	_, rest, _ := strings.Cut(string(text), `"mxc://`)
	uri, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	check(t, matrixCall(m.me.server, token, http.MethodPut, "profile/"+url.PathEscape(m.me.ID)+"/avatar_url", map[string]string{"avatar_url": "mxc://" + uri}, nil))
	check(t, matrixCall(m.me.server, token, http.MethodPost, "logout", struct{}{}, nil))
}

// seesPicture waits until bob's presence announces a picture of that colour: the
// client gets it from him.
func (sc *scene) seesPicture(t *testing.T, from int, want color.RGBA) {
	t.Helper()
	ctx := waiting(t, patience)
	for {
		e, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
			who, object := e.Object()
			return is(who, sc.bob.Person()) && object != ""
		})
		check(t, err)
		from = e.N + 1
		_, object := e.Object()
		data, err := sc.chat(t).Picture(ctx, sc.bobHandle(), object)
		if errors.Is(err, msnclient.ErrDeclined) {
			continue // he has another one by now, which is announced too
		}
		check(t, err)
		img, err := png.Decode(bytes.NewReader(data))
		check(t, err)
		if img.Bounds() != image.Rect(0, 0, 96, 96) {
			t.Fatalf("it has %v points", img.Bounds())
		}
		r, g, b, _ := img.At(48, 48).RGBA()
		if (color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 255}) == want {
			return
		}
		t.Logf("the picture is %d %d %d", r>>8, g>>8, b>>8)
	}
}
