package msnserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"nudge/bridge"
	"nudge/cmd/nudge/e2e/msnclient"
)

// tray is where files lie in tests.
type tray struct{ bytes.Buffer }

func (m *tray) All() (io.Reader, string) { return bytes.NewReader(m.Bytes()), "text/plain" }
func (m *tray) Close() error             { return nil }

// giver is a client whose contacts on a network can be given files.
type giver struct {
	t *testing.T
	b *box
	c *msnclient.Client
}

func newGiver(t *testing.T, v msnclient.Version) *giver {
	ctx, b := t.Context(), newBox(t)
	b.hub.TakeFiles(func(int64) (bridge.Room, error) { return new(tray), nil })
	g := &giver{t: t, b: b}
	g.must(b.hub.CreateAccount(ctx, "alice@hotmail.com", "Alice", "123456", true))
	up := make(chan struct{}, 9)
	b.hub.Watch(watcher(up))
	g.must(b.hub.AddLink(ctx, "alice@hotmail.com", "echo", nil))
	<-up
	g.must(errors.Join(b.hub.AddContact(ctx, "alice@hotmail.com", "bob@echo.test"), b.hub.AddContact(ctx, "alice@hotmail.com", "carol@echo.test")))
	var err error
	g.c, err = msnclient.SignIn(ctx, clientConfig(b, t, v, "alice@hotmail.com"))
	g.must(err)
	t.Cleanup(g.c.Kill)
	_, err = g.c.Sync(ctx)
	g.must(err)
	g.must(g.c.SetStatus(ctx, "NLN"))
	return g
}

func (g *giver) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// hears waits until the client is told something with those words in it.
func (g *giver) hears(from int, words string) {
	g.t.Helper()
	_, err := g.c.Log.Wait(g.t.Context(), from, func(e msnclient.Event) bool { return strings.Contains(string(e.Body), words) })
	if err != nil {
		g.t.Fatalf("it is not said %q: %v", words, err)
	}
}

// TestFiles: every version gives a contact on a network a file of any size, in its own
// way, and those after Messenger 6 in the old way too.
func TestFiles(t *testing.T) {
	for _, v := range msnclient.Versions {
		t.Run(v.Name, func(t *testing.T) {
			g := newGiver(t, v)
			bob := "bob@echo.test"
			if v == msnclient.MSNP2 || v == msnclient.MSNP3 {
				bob = "bob.echo.test@hotmail.com"
			}
			ch, err := g.c.Invite(t.Context(), bob)
			g.must(err)
			ways := map[string]func(context.Context, string, string, []byte) error{"old": ch.GiveFileOld}
			if v.Picture() {
				ways["new"] = ch.GiveFile
			}
			for way, give := range ways {
				for size, text := range map[int]string{1: `1 bytes of "a.txt": x`, 1202: "1202 bytes of", 5000: "5000 bytes of"} {
					from := g.c.Log.Len()
					if err := give(t.Context(), bob, `C:\a.txt`, []byte(strings.Repeat("x", size))); err != nil {
						t.Fatalf("%s, %d bytes: %v", way, size, err)
					}
					g.hears(from, text)
				}
				from := g.c.Log.Len()
				if err := give(t.Context(), bob, "no", []byte("x")); !errors.Is(err, msnclient.ErrDeclined) {
					t.Errorf("%s, a file that the network does not take: %v", way, err)
				}
				g.hears(from, "Not delivered: the file no can't go to")
			}
		})
	}
}

// TestFilesInTheOldWay: what can't be had, and who does not want to give it.
func TestFilesInTheOldWay(t *testing.T) {
	g := newGiver(t, msnclient.MSNP7)
	ctx := t.Context()
	ch, err := g.c.Invite(ctx, "bob@echo.test")
	g.must(err)
	say := func(fields ...string) (from int) {
		t.Helper()
		from = g.c.Log.Len()
		g.must(ch.SendRaw(ctx, "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\r\n"+strings.Join(fields, "\r\n")+"\r\n\r\n"))
		return from
	}
	offer := func(cookie string, more ...string) (from int) {
		t.Helper()
		return say(append([]string{"Application-GUID: {5D3E02AB-6190-11d3-BBBB-00C04F795683}", "Invitation-Command: INVITE", "Invitation-Cookie: " + cookie, "Application-File: a" + cookie, "Application-FileSize: 5"}, more...)...)
	}
	accepted := func(cookie string) {
		t.Helper()
		g.hears(offer(cookie), "Invitation-Command: ACCEPT\r\nInvitation-Cookie: "+cookie+"\r\n")
	}
	accept := func(cookie, port string) (from int) {
		return say("Invitation-Command: ACCEPT", "Invitation-Cookie: "+cookie, "IP-Address: 192.0.2.99", "Port: "+port, "AuthCookie: 1")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	g.must(err)
	defer l.Close()
	_, open, _ := net.SplitHostPort(l.Addr().String())

	accepted("1")
	g.hears(accept("1", "0"), "the file a1. Reason: This PC can't be connected to.")
	accepted("8")
	g.hears(accept("8", "80"), "the file a8. Reason: This PC can't be connected to.")
	accepted("2")
	g.hears(say("Invitation-Command: CANCEL", "Invitation-Cookie: 2", "Cancel-Code: OUTBANDCANCEL"), "Invitation-Command: CANCEL\r\nInvitation-Cookie: 2\r\n")
	accepted("3")
	from := accept("3", open)
	line, err := l.Accept()
	g.must(err)
	io.WriteString(line, "220 hello\r\n")
	g.hears(from, "the file a3. Reason: MSN Messenger on this PC did not send it.")
	if b, err := io.ReadAll(line); string(b) != "VER MSNFTP\r\nBYE 2164261682\r\n" || err != nil {
		t.Errorf("the box says %q, %v", b, err)
	}
	line.Close()
	g.hears(offer("4", "Connectivity: N"), "Not delivered: the file a4 can't go to")
	say("Invitation-Command: ACCEPT", "Invitation-Cookie: 77", "Port: "+open, "AuthCookie: 1")

	// Who leaves gives up: the box hangs up.
	accepted("5")
	accept("5", open)
	line, err = l.Accept()
	g.must(err)
	defer line.Close()
	io.WriteString(line, "VER MSNFTP\r\nFIL 5\r\n\x00\x02\x00ab")
	want := "VER MSNFTP\r\nUSR bob@echo.test 1\r\nTFR\r\n"
	b := make([]byte, len(want))
	if _, err := io.ReadFull(line, b); string(b) != want {
		t.Errorf("the box says %q, %v", b, err)
	}
	ch.Leave()
	io.ReadAll(line)

	ch, err = g.c.Invite(ctx, "bob@echo.test")
	g.must(err)
	g.must(ch.Call(ctx, "carol@echo.test"))
	g.hears(offer("6"), "Not delivered: the file a6 can't go to")
}
