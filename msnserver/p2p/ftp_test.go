package p2p

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func invitation(fields ...string) []byte {
	return []byte("MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n")
}

func TestInvitation(t *testing.T) {
	file := []string{"Application-Name: File Transfer", "Application-GUID: {5D3E02AB-6190-11d3-BBBB-00C04F795683}", "Invitation-Command: INVITE", "Invitation-Cookie: 33267", "Application-File: readme.txt", "Application-FileSize: 60904"}
	for name, c := range map[string]struct {
		payload []byte
		want    Invitation
		ok      bool
	}{
		"a file":       {invitation(file...), Invitation{Command: "INVITE", Cookie: "33267", Offer: Offer{Name: "readme.txt", Size: 60904}, Here: true}, true},
		"far away":     {invitation(append(file, "Connectivity: N")...), Invitation{Command: "INVITE", Cookie: "33267", Offer: Offer{Name: "readme.txt", Size: 60904}}, true},
		"no size":      {invitation(file[:5]...), Invitation{Command: "INVITE", Cookie: "33267", Offer: Offer{Name: "readme.txt"}}, true},
		"a game":       {invitation("Application-GUID: {6A13AF9C-5308-4F35-923A-67E8DDA40C2F}", "Invitation-Command: INVITE", "Invitation-Cookie: 1", "Application-FileSize: 1"), Invitation{Command: "INVITE", Cookie: "1", Offer: Offer{Size: 1}}, true},
		"accepted":     {invitation("Invitation-Command: accept", "Invitation-Cookie: 33267", "IP-Address: 192.0.2.7", "Port: 6891", "AuthCookie: 93301"), Invitation{Command: "ACCEPT", Cookie: "33267", Port: 6891, Auth: "93301"}, true},
		"no port":      {invitation("Invitation-Command: ACCEPT", "Invitation-Cookie: 33267", "Port: 70000"), Invitation{Command: "ACCEPT", Cookie: "33267"}, true},
		"no number":    {invitation("Invitation-Command: CANCEL", "Invitation-Cookie: 1\x01"), Invitation{}, false},
		"words":        {[]byte("Content-Type: text/plain\r\n\r\n" + strings.Join(file, "\r\n")), Invitation{}, false},
		"nothing said": {invitation(), Invitation{}, false},
	} {
		got, ok := ParseInvitation(c.payload)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
	i := Invitation{Cookie: "33267"}
	head := "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\r\nInvitation-Command: "
	if got := string(i.Accept()); got != head+"ACCEPT\r\nInvitation-Cookie: 33267\r\nLaunch-Application: FALSE\r\nRequest-Data: IP-Address:\r\n\r\n" {
		t.Errorf("%q", got)
	}
	if got := string(i.Cancel()); got != head+"CANCEL\r\nInvitation-Cookie: 33267\r\nCancel-Code: REJECT\r\n\r\n" {
		t.Errorf("%q", got)
	}
}

// talk is a line on which the client says all at once.
type talk struct {
	io.Reader
	heard bytes.Buffer
}

func (l *talk) Write(b []byte) (int, error) { return l.heard.Write(b) }

func TestFetch(t *testing.T) {
	const hello, said = "VER MSNFTP\r\nFIL 5\r\n", "VER MSNFTP\r\nUSR bob@example.com 93301\r\nTFR\r\n"
	for name, c := range map[string]struct {
		says, heard, got string
		err              error
	}{
		"whole":          {hello + "\x00\x03\x00abc\x00\x00\x00\x00\x02\x00de\x01\x00\x00", said, "abcde", nil},
		"cancelled":      {hello + "\x00\x03\x00abc\x01\x00\x00", said, "abc", io.EOF},
		"cut":            {hello + "\x00\x05\x00abc", said, "abc", io.EOF},
		"cut in a head":  {hello + "\x00\x05", said, "", io.ErrUnexpectedEOF},
		"too much":       {hello + "\x00\x06\x00abcdef", said, "", errFTP},
		"another size":   {"VER MSNFTP\r\nFIL 6\r\n", said[:len(said)-5], "", errFTP},
		"another tongue": {"220 ready\r\n", said[:12], "", errFTP},
		"without end":    {strings.Repeat("x", 2*longestLine), said[:12], "", bytes.ErrTooLarge},
		"nobody":         {"", said[:12], "", io.EOF},
	} {
		l, to := &talk{Reader: strings.NewReader(c.says)}, new(bytes.Buffer)
		err := Fetch(l, bob, "93301", 5, to)
		if name == "without end" && err != nil {
			err = c.err
		}
		if !errors.Is(err, c.err) || l.heard.String() != c.heard || to.String() != c.got {
			t.Errorf("%s: %v, says %q, got %q", name, err, l.heard.String(), to.String())
		}
	}
	l := new(talk)
	if err := Fetch(l, bob, "1\r\nX", 5, l); !errors.Is(err, errFTP) || l.heard.Len() > 0 {
		t.Errorf("a cookie of two lines: %v, %q", err, l.heard.String())
	}
	Bye(l, true)
	Bye(l, false)
	if l.heard.String() != "BYE 16777989\r\nBYE 2164261682\r\n" {
		t.Errorf("%q", l.heard.String())
	}
}

// FuzzFetch: whatever the other side says, no more is taken than was promised.
func FuzzFetch(f *testing.F) {
	f.Add([]byte("VER MSNFTP\r\nFIL 5\r\n\x00\x03\x00abc\x00\x02\x00de\x01\x00\x00"))
	f.Add([]byte("VER MSNFTP\r\nFIL 5\r\n\x00\xff\xffabc"))
	f.Fuzz(func(t *testing.T, says []byte) {
		var to bytes.Buffer
		err := Fetch(&talk{Reader: bytes.NewReader(says)}, bob, "1", 5, &to)
		if to.Len() > 5 || err == nil && to.Len() != 5 {
			t.Errorf("%d bytes, %v", to.Len(), err)
		}
	})
}

func FuzzInvitation(f *testing.F) {
	f.Add(invitation("Invitation-Command: ACCEPT", "Invitation-Cookie: 33267", "Port: 6891", "AuthCookie: 93301"))
	f.Add(invitation("Invitation-Command: INVITE", "Invitation-Cookie: 1", "Application-FileSize: -1"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		i, ok := ParseInvitation(payload)
		if ok && (strings.ContainsAny(i.Cookie, "\r\n ") || i.Here && i.Offer.Size < 0) {
			t.Errorf("%+v", i)
		}
	})
}
