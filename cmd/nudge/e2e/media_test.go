package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// thisPC is where the clients of the tests come from; the network of the loopback has
// room for others.
const (
	thisPC  = "127.0.0.1"
	otherPC = "127.0.0.2"
)

// TestMedia: people on Matrix and XMPP send pictures, and an old browser opens the
// links that the client shows.
func TestMedia(t *testing.T) {
	t.Run("matrix", matrixMedia)
	for _, kind := range []string{"prosody", "ejabberd"} {
		t.Run(kind, func(t *testing.T) { xmppMedia(t, kind) })
	}
}

// photo is a picture of which a page shows a smaller one.
func photo(t testing.TB) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 1200, 300))
	for x := range 1200 {
		img.Set(x, x%300, color.RGBA{uint8(x), 0, 99, 255})
	}
	var b bytes.Buffer
	check(t, png.Encode(&b, img))
	return b.Bytes()
}

// secretAndOpen is a box with two contacts on Matrix: bob in an encrypted conversation,
// dave in one that is not.
func secretAndOpen(t *testing.T, v msnclient.Version) (sc *scene, bob, dave *matrixPeer) {
	t.Helper()
	s := sharedServer(t, "dendrite")
	me := newPerson(t, s, "alice")
	bob = joinMatrix(t, newPerson(t, s, "bob"))
	bob.meet(t, me, true)
	dave = joinMatrix(t, newPerson(t, s, "dave"))
	dave.meet(t, me, false)
	sc = &scene{test: t, version: v, server: s, me: me, bob: bob}
	sc.house(t, "")
	sc.box.Knows(t, aliceHandle, dave.me.Handle)
	sc.signIn(t, "NLN")
	return sc, bob, dave
}

func matrixMedia(t *testing.T) {
	end2end(t)
	sc, bob, dave := secretAndOpen(t, msnclient.MSNP8)

	send := func(t *testing.T, p *matrixPeer, name string, data []byte, altered bool) string {
		t.Helper()
		from := sc.client.Log.Len()
		p.do(t, op{"op": "picture", "room": p.Room, "name": name, "data": base64.StdEncoding.EncodeToString(data), "altered": fmt.Sprint(altered)})
		return sc.linkTo(t, from, p.me, "sent a picture: "+name)
	}
	cat := photo(t)
	for _, c := range []struct {
		name string
		from *matrixPeer
	}{{"plain", dave}, {"encrypted", bob}} {
		t.Run(c.name, func(t *testing.T) {
			sc.box.showsPhoto(t, send(t, c.from, c.name+".png", cat, false), c.name+".png", cat)
		})
	}
	t.Run("altered", func(t *testing.T) {
		path := send(t, bob, "altered.png", cat, true)
		for _, at := range []string{path, path + "/small", path + "/altered.png"} {
			if head, text := sc.box.browse(t, thisPC, at); head.StatusCode == 200 || !strings.Contains(text, "check sum is wrong") {
				t.Errorf("%s: %s\n%s", at, head.Status, text)
			}
		}
	})
	t.Run("bomb", func(t *testing.T) {
		bomb := bytes.Clone(cat)
		copy(bomb[16:], "\x00\x00\xc3\x50\x00\x00\xc3\x50") // 50000 by 50000
		binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
		if _, text := sc.box.browse(t, thisPC, send(t, dave, "bomb.png", bomb, false)); strings.Contains(text, "<img") || !strings.Contains(text, "too large to be shown") {
			t.Errorf("the page is\n%s", text)
		}
	})
	t.Run("space", func(t *testing.T) {
		path := send(t, bob, "large.png", append(bytes.Clone(cat), make([]byte, 1<<20)...), false)
		sc.box.cli(t, "setting", "file-space", "1")
		if _, text := sc.box.browse(t, thisPC, path); !strings.Contains(text, "larger than the box has room for") {
			t.Errorf("the page is\n%s", text)
		}
	})
}

// xmppMedia: a file on a server at home is fetched only when the owner says so.
func xmppMedia(t *testing.T, kind string) {
	end2end(t)
	sc := newRoomScene(t, msnclient.MSNP8, sharedServer(t, kind))
	sc.signIn(t, "NLN")
	cat := photo(t)
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(cat) }))
	defer files.Close()
	t.Run("file", func(t *testing.T) {
		from := sc.client.Log.Len()
		at := files.URL + "/up/cat.png"
		sc.raw(t, "<message type='chat' to='$ME' id='f1'><body>"+at+"</body><x xmlns='jabber:x:oob'><url>"+at+"</url></x></message>")
		path := sc.linkTo(t, from, sc.bob.me, "sent a picture: cat.png")
		if head, text := sc.box.browse(t, thisPC, path); head.StatusCode == 200 || !strings.Contains(text, "file_hosts") {
			t.Errorf("a stranger leads the box into the home network: %s\n%s", head.Status, text)
		}
		sc.box.cli(t, "link", "set", aliceHandle, "xmpp", "file_hosts", strings.TrimPrefix(files.URL, "http://"))
		sc.box.showsPhoto(t, path, "cat.png", cat)
	})
}

// linkTo waits until the client shows words of p with a link, and returns its path.
func (sc *scene) linkTo(t *testing.T, from int, p person, words string) (path string) {
	t.Helper()
	text, err := sc.hears(waiting(t, patience), from, p, words)
	check(t, err)
	before := "http://" + sc.box.HTTP
	for _, line := range strings.Split(text, "\r\n") {
		if path, ok := strings.CutPrefix(line, before); ok && strings.HasPrefix(path, "/m/") && len(line) <= 64 {
			return path
		}
	}
	t.Fatalf("there is no link in %q", text)
	return ""
}

// showsPhoto checks what a link to a photo shows, and to whom.
func (b *box) showsPhoto(t *testing.T, path, name string, photo []byte) {
	t.Helper()
	for _, at := range []string{path, path + "/small", path + "/" + name} {
		if head, text := b.browse(t, otherPC, at); head.StatusCode == 200 || !strings.Contains(text, "made for another PC") {
			t.Errorf("%s from another PC: %s\n%s", at, head.Status, text)
		}
	}
	head, text := b.browse(t, thisPC, path)
	if head.StatusCode != 200 || !strings.Contains(text, `<img src="`+path+`/small" width="600" height="150"`) || !strings.Contains(text, `href="`+path+"/"+name+`"`) {
		t.Errorf("the page: %s\n%s", head.Status, text)
	}
	head, text = b.browse(t, thisPC, path+"/small")
	if conf, err := jpeg.DecodeConfig(strings.NewReader(text)); err != nil || conf.Width != 600 || head.Header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("the picture: %v, %+v, %v", head.Header, conf, err)
	}
	head, text = b.browse(t, thisPC, path+"/"+name)
	if text != string(photo) || !strings.HasPrefix(head.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("the file: %v, %d bytes of %d", head.Header, len(text), len(photo))
	}
}

// browse makes one request of HTTP/1.0 from a PC.
func (b *box) browse(t *testing.T, pc, path string) (*http.Response, string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(pc)}}
	c, err := d.DialContext(waiting(t, patience), "tcp", b.HTTP)
	check(t, err)
	defer c.Close()
	_, err = fmt.Fprintf(c, "GET %s HTTP/1.0\r\nUser-Agent: Mozilla/4.0 (compatible; MSIE 5.0; Windows 98)\r\n\r\n", path)
	check(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	check(t, err)
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp, string(text)
}
