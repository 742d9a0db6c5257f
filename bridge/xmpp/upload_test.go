package xmpp

import (
	"encoding/pem"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
	"nudge/bridge/xmpp/xmpptest"
)

// webShelf is a web server that keeps what is put there.
type webShelf struct {
	*httptest.Server
	mu   sync.Mutex
	kept map[string]string
	head http.Header
}

func newWebShelf(t *testing.T) *webShelf {
	s := &webShelf{kept: map[string]string{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/full":
			http.Error(w, "no", http.StatusInsufficientStorage)
		case r.Method == http.MethodPut && r.URL.Path == "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case r.Method == http.MethodPut:
			s.kept[r.URL.Path], s.head = string(b), r.Header
			w.WriteHeader(http.StatusCreated)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestUpload: a file goes to where the account's server says, if the box may go there,
// and the contact is told its address.
func TestUpload(t *testing.T) {
	files := newWebShelf(t)
	place := func(name string) string {
		return "<put url='" + files.URL + "/" + name + "'><header name='Authorization'>Basic secret</header><header name='Host'>evil</header></put><get url='" + files.URL + "/" + name + "'/>"
	}
	srv, fields := testServer(t, xmpptest.Options{Slots: func(name, size string) string {
		switch name {
		case "quota":
			return ""
		case "clear":
			return strings.ReplaceAll(place("a"), "https:", "http:")
		case "nowhere":
			return "<put/>"
		}
		return place(name)
	}})
	srv.Sub("alice", "bob", "both")
	bob := srv.Peer("bob", "pc")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: files.Certificate().Raw})
	if err := os.WriteFile(fields["ca"], append(srv.CA(), ca...), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &desk{now: im.Presence{Status: im.Online}, kv: map[string]string{}, settings: map[string]string{}}
	n := &Network{log: slog.New(slog.DiscardHandler), dial: srv.Dial}
	l, err := n.Connect(t.Context(), im.Login{User: alice, Fields: fields, Host: d})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	up := func(f im.File, text io.Reader) (string, error) {
		return l.Upload(t.Context(), alice, "bob@chat.test", f, text)
	}
	if _, err := up(im.File{Name: "a", Size: 5}, nil); err != nil {
		t.Errorf("it is not taken: %v", err)
	}
	for f, want := range map[im.File]string{
		{Name: "huge", Size: xmpptest.MaxUpload + 1}: "at most 100 kB",
		{Name: "quota", Size: 5}:                     "resource-constraint",
		{Name: "clear", Size: 5}:                     "begins with https",
		{Name: "nowhere", Size: 5}:                   "begins with https",
		{Name: "a", Size: 5}:                         "file_hosts",
	} {
		no := new(im.Refused)
		if _, err := up(f, strings.NewReader("hello")); !errors.As(err, &no) || !strings.Contains(no.Text, want) {
			t.Errorf("%s: %v, want %q", f.Name, err, want)
		}
	}
	d.mu.Lock()
	d.settings[fileHosts] = strings.TrimPrefix(files.URL, "https://")
	d.mu.Unlock()
	for name, want := range map[string]string{"full": "507", "moved": "307"} {
		no := new(im.Refused)
		if _, err := up(im.File{Name: name, Size: 5}, strings.NewReader("hello")); !errors.As(err, &no) || !strings.Contains(no.Text, want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	f := im.File{Name: "a.txt", Type: "text/plain", Size: 5}
	if f.Ref, err = up(f, strings.NewReader("hello")); err != nil || f.Ref != files.URL+"/a.txt" {
		t.Fatalf("%q, %v", f.Ref, err)
	}
	files.mu.Lock()
	if len(files.kept) != 1 || files.kept["/a.txt"] != "hello" || files.head.Get("Authorization") != "Basic secret" || files.head.Get("Content-Type") != "text/plain" {
		t.Errorf("the server has %v, by %v", files.kept, files.head)
	}
	files.mu.Unlock()
	if err := l.Handle(t.Context(), alice, im.Message{ID: "m1", Conv: "bob@chat.test", File: &f}); err != nil {
		t.Fatal(err)
	}
	for {
		m := <-bob.In
		if m.XMLName.Local != "message" {
			continue
		}
		body, got := attached(m)
		if at := stream.Text(m, stanza.NSClient, "body"); at != f.Ref || body != "" || got == nil || got.Ref != f.Ref || got.Name != "a.txt" {
			t.Errorf("bob hears %q, %+v", at, got)
		}
		return
	}
}

// TestNoUploads: a server without such a service takes none.
func TestNoUploads(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		if _, err := s.link.Upload(s.Context(), alice, "bob@chat.test", im.File{Size: 5}, nil); !errors.Is(err, im.ErrUnsupported) {
			t.Error(err)
		}
	})
}

func FuzzSlot(f *testing.F) {
	f.Add("<iq xmlns='jabber:client'><slot xmlns='urn:xmpp:http:upload:0'><put url='https://a.test/1'><header name='Cookie'>a\nb</header></put><get url='https://a.test/2'/></slot></iq>")
	f.Add("<iq xmlns='jabber:client'><slot xmlns='urn:xmpp:http:upload:0'><get url='https://a.test/2'/></slot></iq>")
	f.Add("<iq xmlns='jabber:client'><query xmlns='http://jabber.org/protocol/disco#info'><feature var='urn:xmpp:http:upload:0'/><x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>urn:xmpp:http:upload:0</value></field><field var='max-file-size'><value>-1</value></field></x></query></iq>")
	f.Fuzz(func(t *testing.T, text string) {
		n := new(stanza.Node)
		if xml.Unmarshal([]byte(text), n) != nil {
			return
		}
		if most, _ := takesFiles(n.Nodes); most < 0 {
			t.Errorf("a limit of %d", most)
		}
		s, ok := readSlot(n)
		if ok && (!strings.HasPrefix(s.put, "https://") || !strings.HasPrefix(s.get, "https://")) {
			t.Errorf("%+v", s)
		}
		for name, values := range s.header {
			if name != "Authorization" && name != "Cookie" && name != "Expires" {
				t.Errorf("%s: %q", name, values)
			}
		}
	})
}
