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
				{"published picture", (*scene).stepPublishedPicture},
				{"own picture", (*scene).stepOwnPicture},
				{"picture after a restart", func(sc *scene, t *testing.T) {
					sc.client.Close()
					check(t, sc.box.Stop())
					check(t, sc.box.Start())
					sc.signIn(sc.test, "NLN")
					sc.seesPicture(t, 0, color.RGBA{200, 200, 0, 255})
				}},
				{"tune over", (*scene).stepTuneOver},
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
	sc.bob.(interface{ wear(*testing.T, []byte) }).wear(t, avatar(t, c))
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
	uri := m.upload(t, token, picture)
	check(t, matrixCall(m.me.server, token, http.MethodPut, "profile/"+url.PathEscape(m.me.ID)+"/avatar_url", map[string]string{"avatar_url": uri}, nil))
	check(t, matrixCall(m.me.server, token, http.MethodPost, "logout", struct{}{}, nil))
}

// upload puts a picture on the server.
func (m *matrixPeer) upload(t *testing.T, token string, picture []byte) (uri string) {
	t.Helper()
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
	name, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	return "mxc://" + name
}

// seesPicture waits until bob's presence announces a picture of that colour: the
// client gets it from him.
func (sc *scene) seesPicture(t *testing.T, from int, want color.RGBA) {
	t.Helper()
	sc.seesPictureOf(t, from, sc.bob.Person(), want, func() *msnclient.Chat { return sc.chat(t) })
}

// seesPictureOf is seesPicture for anybody; window is where the client asks for it.
func (sc *scene) seesPictureOf(t *testing.T, from int, p person, want color.RGBA, window func() *msnclient.Chat) {
	t.Helper()
	ctx := waiting(t, patience)
	for {
		e, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
			who, object := e.Object()
			return is(who, p) && object != ""
		})
		check(t, err)
		from = e.N + 1
		_, object := e.Object()
		data, err := window().Picture(ctx, sc.handle(p), object)
		if errors.Is(err, msnclient.ErrDeclined) {
			continue // he has another one by now, which is announced too
		}
		check(t, err)
		have := portrait(t, data)
		if have == want {
			return
		}
		t.Logf("the picture is %v", have)
	}
}

// portrait is the colour of a picture as old clients take it.
func portrait(t *testing.T, data []byte) color.RGBA {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	check(t, err)
	if img.Bounds() != image.Rect(0, 0, 96, 96) {
		t.Fatalf("it has %v points", img.Bounds())
	}
	r, g, b, _ := img.At(48, 48).RGBA()
	return color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 255}
}

// stepPictureOut: while they talk the box asks the client for its picture, and bob
// sees it.
func (sc *scene) stepPictureOut(t *testing.T) {
	if !sc.version.Picture() {
		return
	}
	green := color.RGBA{0, 200, 0, 255}
	ctx, mark := waiting(t, 2*patience), sc.bob.Mark()
	mine := avatar(t, green)
	sum := sha1.Sum(mine)
	object := fmt.Sprintf(`<msnobj Creator="%s" Size="%d" Type="3" Location="TFR1.tmp" Friendly="AAA=" SHA1D="%s" SHA1C="AAAAAAAAAAAAAAAAAAAAAAAAAAA="/>`,
		aliceHandle, len(mine), base64.StdEncoding.EncodeToString(sum[:]))
	check(t, sc.client.Show(ctx, "NLN", 0x40000000, object))
	ch, from := sc.chat(t), sc.client.Log.Len()
	check(t, ch.Send(ctx, "look at me"))
	check(t, ch.Give(ctx, from, sc.bobHandle(), object, mine))
	switch bob := sc.bob.(type) {
	case *xmppPeer:
		var card string
		check(t, eventually(2*patience, func() error {
			e := bob.do(t, op{"op": "ask", "to": sc.me.ID, "type": "get", "xml": "<vCard xmlns='vcard-temp'/>"})
			_, rest, _ := strings.Cut(e.XML, "<BINVAL>")
			if card, _, _ = strings.Cut(rest, "</BINVAL>"); card == "" {
				return fmt.Errorf("%s has no picture: %s", sc.me.ID, e.XML)
			}
			return nil
		}))
		picture, err := base64.StdEncoding.DecodeString(card)
		check(t, err)
		check(t, sc.client.Show(ctx, "BSY", 0x40000000, object)) // slixmpp reports nothing when only the picture changes
		_, err = bob.find(ctx, mark, func(e peerEvent) bool {
			return e.Ev == "presence" && e.Frm == sc.me.ID && strings.Contains(e.XML, fmt.Sprintf(">%x</photo>", sha1.Sum(picture)))
		})
		check(t, err)
		check(t, sc.client.Show(ctx, "NLN", 0x40000000, object))
		if have := portrait(t, picture); have != green || !bytes.Equal(bob.looks(t, sc.me), picture) {
			t.Errorf("bob sees %v", have)
		}
	case *matrixPeer:
		token := matrixLogin(t, bob.me)
		var profile struct {
			Avatar string `json:"avatar_url"`
		}
		check(t, eventually(2*patience, func() error {
			err := matrixCall(bob.me.server, token, http.MethodGet, "profile/"+url.PathEscape(sc.me.ID), nil, &profile)
			if err == nil && profile.Avatar == "" {
				err = fmt.Errorf("%s has no picture", sc.me.ID)
			}
			return err
		}))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+bob.me.server.Addr()+"/_matrix/client/v1/media/download/"+strings.TrimPrefix(profile.Avatar, "mxc://"), nil)
		check(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		check(t, err)
		defer resp.Body.Close()
		picture, err := io.ReadAll(resp.Body)
		check(t, err)
		if have := portrait(t, picture); have != green {
			t.Errorf("bob sees %v", have)
		}
		check(t, matrixCall(bob.me.server, token, http.MethodPost, "logout", struct{}{}, nil))
	}
}
