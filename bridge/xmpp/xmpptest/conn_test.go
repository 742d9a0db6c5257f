package xmpptest

import (
	"errors"
	"io"
	"net"
	"testing"
)

// A connection whose session was resumed on another one, or that lost its
// resource, does nothing more with what it has still in its buffers: the count
// that the other was told would be wrong.
func TestTakenOver(t *testing.T) {
	for _, by := range []string{
		"<resume xmlns='urn:xmpp:sm:3' previd='sm1' h='0'/>",
		"<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>box</resource></bind></iq>",
	} {
		s, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		bob := s.Peer("bob", "pc")
		open := func() *conn {
			mine, theirs := net.Pipe()
			go io.Copy(io.Discard, mine)
			t.Cleanup(func() { theirs.Close() })
			return &conn{s: s, raw: theirs, c: theirs, user: "alice"}
		}
		give := func(k *conn, text string) error { return k.stanza(parse(text)) }
		old, now := open(), open()
		for _, text := range []string{
			"<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>box</resource></bind></iq>",
			"<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
			"<message to='bob@chat.test/pc' id='1'><body>before</body></message>",
		} {
			if err := give(old, text); err != nil {
				t.Fatal(err)
			}
		}
		if err := give(now, by); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{
			"<message to='bob@chat.test/pc' id='2'><body>after</body></message>",
			"<a xmlns='urn:xmpp:sm:3' h='0'/>",
		} {
			if err := give(old, text); !errors.Is(err, errQuit) {
				t.Errorf("%s on the old connection, taken over by %s: %v", text, by, err)
			}
		}
		if n := len(bob.In); n != 1 {
			t.Errorf("taken over by %s: %d messages arrived, want 1", by, n)
		}
		s.Close()
	}
}
