package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestFilesOut: old clients give files to people on Matrix and XMPP, who get every
// byte of them; what does not go is said in the conversation.
func TestFilesOut(t *testing.T) {
	t.Run("matrix", matrixFilesOut)
	for _, kind := range []string{"prosody", "ejabberd"} {
		for _, v := range []msnclient.Version{msnclient.MSNP4, msnclient.MSNP10} {
			t.Run(kind+"/"+v.Name, func(t *testing.T) { xmppFilesOut(t, kind, v) })
		}
	}
}

// give gives somebody a file, in the way of the client's version, or in the older.
func (sc *scene) give(t *testing.T, to person, name string, data []byte, old bool) error {
	t.Helper()
	ctx := waiting(t, patience)
	ch := sc.client.Chat(sc.handle(to))
	if ch == nil {
		var err error
		ch, err = sc.client.Invite(ctx, sc.handle(to))
		check(t, err)
	}
	if old || !sc.version.Picture() {
		return ch.GiveFileOld(ctx, sc.handle(to), name, data)
	}
	return ch.GiveFile(ctx, sc.handle(to), name, data)
}

func matrixFilesOut(t *testing.T) {
	end2end(t)
	sc, bob, dave := secretAndOpen(t, msnclient.MSNP11)
	for _, c := range []struct {
		step string
		to   *matrixPeer
		old  bool
	}{{"in clear", dave, false}, {"encrypted", bob, false}, {"encrypted, by MSNFTP", bob, true}} {
		t.Run(c.step, func(t *testing.T) {
			cat, mark := photo(t), c.to.Mark()
			check(t, sc.give(t, c.to.me, `C:\My Documents\cat & mouse.png`, cat, c.old))
			e := c.to.wait(t, mark, "the file", func(e peerEvent) bool { return e.Ev == "msg" && e.Body == "cat & mouse.png" })
			got := c.to.do(t, op{"op": "file", "id": e.ID})
			data, err := base64.StdEncoding.DecodeString(got.Body)
			check(t, err)
			if string(data) != string(cat) || got.Type != "m.image" || got.Show != "image/png" || got.Decrypted != (c.to == bob) || e.Decrypted != got.Decrypted {
				t.Errorf("%d bytes of %d, %s, %s, encrypted %v", len(data), len(cat), got.Type, got.Show, got.Decrypted)
			}
		})
	}
	t.Run("too large", func(t *testing.T) { sc.refusesFile(t, 10<<20+1, "larger than the Matrix server takes") })
}

func xmppFilesOut(t *testing.T, kind string, v msnclient.Version) {
	end2end(t)
	sc := newRoomScene(t, v, sharedServer(t, kind))
	sc.signIn(t, "NLN")
	t.Run("to a person", func(t *testing.T) {
		cat, mark := photo(t), sc.bob.Mark()
		check(t, sc.give(t, sc.bob.me, "cat.png", cat, false))
		e := sc.bob.wait(t, mark, "the file", func(e peerEvent) bool { return e.Ev == "msg" && strings.HasSuffix(e.Body, "/cat.png") })
		if !strings.Contains(e.XML, "<url>"+e.Body+"</url>") {
			t.Errorf("no address beside the words: %s", e.XML)
		}
		if got := sc.server.download(t, e.Body); string(got) != string(cat) {
			t.Errorf("%d bytes of %d", len(got), len(cat))
		}
	})
	t.Run("too large", func(t *testing.T) { sc.refusesFile(t, 3_000_001, "files of at most 3000 kB") })
	t.Run("no room", func(t *testing.T) {
		sc.box.cli(t, "setting", "file-space", "1")
		sc.refusesFile(t, 1_000_001, "larger than the box has room for")
	})
}

// refusesFile gives bob a file of that size in vain: why is said.
func (sc *scene) refusesFile(t *testing.T, size int, why string) {
	t.Helper()
	from := sc.client.Log.Len()
	if err := sc.give(t, sc.bob.Person(), "large.bin", make([]byte, size), false); !errors.Is(err, msnclient.ErrDeclined) {
		t.Errorf("%v, want a refusal", err)
	}
	text, err := sc.hears(waiting(t, patience), from, sc.bob.Person(), "Not delivered: the file large.bin")
	check(t, err)
	if !strings.Contains(text, why) {
		t.Errorf("it is said: %s", text)
	}
}

// download gets a file that was put to the server.
func (s *server) download(t *testing.T, at string) []byte {
	t.Helper()
	pem, err := os.ReadFile(s.settings.PKI.CA)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	check(t, err)
	resp, err := client.Do(req)
	check(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", at, resp.Status)
	}
	return b
}
