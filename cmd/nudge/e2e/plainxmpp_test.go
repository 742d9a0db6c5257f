package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// plainXMPP is a person at a client that adds nothing of its own: what a test writes
// goes to the server as it is, in whatever order and shape, and everything that comes
// is read and kept.
type plainXMPP struct {
	me   person
	conn net.Conn
	done chan struct{} // closed when the server has ended the stream

	mu      sync.Mutex
	came    []element
	changed chan struct{}
}

// element is what came: the stanza's name and attributes, the text of its body, and
// all that is in it.
type element struct {
	XMLName xml.Name
	From    string `xml:"from,attr"`
	Type    string `xml:"type,attr"`
	ID      string `xml:"id,attr"`
	Body    string `xml:"body"`
	Inner   string `xml:",innerxml"`

	n  int
	at time.Time
}

// joinPlain signs a person in (RFC 6120, STARTTLS and PLAIN) and shows him online.
func joinPlain(t testing.TB, p person) *plainXMPP {
	t.Helper()
	conn, err := net.Dial("tcp", p.server.Addr())
	check(t, err)
	check(t, conn.SetDeadline(time.Now().Add(patience)))
	x := &plainXMPP{me: p, conn: conn, done: make(chan struct{}), changed: make(chan struct{})}
	dec := x.open(t)
	x.step(t, dec, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "proceed")
	pem, err := os.ReadFile(p.server.settings.PKI.CA)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	x.conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: p.server.Domain})
	dec = x.open(t)
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + p.User + "\x00" + p.Password))
	x.step(t, dec, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"+secret+"</auth>", "success")
	dec = x.open(t)
	x.step(t, dec, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>plain</resource></bind></iq>", "iq")
	check(t, conn.SetDeadline(time.Time{}))
	go x.read(dec)
	t.Cleanup(func() {
		conn.Close()
		<-x.done
	})
	check(t, x.write("<presence/>"))
	return x
}

// open begins a stream and reads as far as the features.
func (x *plainXMPP) open(t testing.TB) *xml.Decoder {
	t.Helper()
	dec := xml.NewDecoder(x.conn)
	x.step(t, dec, fmt.Sprintf("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='%s' version='1.0'>", x.me.server.Domain), "features")
	return dec
}

// step writes something and waits for its answer.
func (x *plainXMPP) step(t testing.TB, dec *xml.Decoder, text, answer string) {
	t.Helper()
	check(t, x.write(text))
	for {
		tok, err := dec.Token()
		check(t, err)
		start, ok := tok.(xml.StartElement)
		if !ok || start.Name.Local == "stream" {
			continue
		}
		check(t, dec.Skip())
		if start.Name.Local != answer {
			t.Fatalf("%s answers %s with <%s>", x.me.server.Kind, text, start.Name.Local)
		}
		return
	}
}

func (x *plainXMPP) write(text string) error {
	_, err := x.conn.Write([]byte(text))
	return err
}

func (x *plainXMPP) read(dec *xml.Decoder) {
	defer close(x.done)
	for {
		tok, err := dec.Token()
		if err != nil {
			return
		}
		if start, ok := tok.(xml.StartElement); ok {
			var e element
			if dec.DecodeElement(&e, &start) != nil {
				return
			}
			x.mu.Lock()
			e.at, e.n = time.Now(), len(x.came)
			x.came = append(x.came, e)
			close(x.changed)
			x.changed = make(chan struct{})
			x.mu.Unlock()
		}
	}
}

// len is the position of what comes next.
func (x *plainXMPP) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.came)
}

// find waits for the first stanza from a position on that matches.
func (x *plainXMPP) find(from int, match func(element) bool) (element, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		x.mu.Lock()
		came, changed := x.came, x.changed
		x.mu.Unlock()
		for ; from < len(came); from++ {
			if match(came[from]) {
				return came[from], nil
			}
		}
		select {
		case <-changed:
		case <-x.done:
			return element{}, fmt.Errorf("%s has ended the stream of %s", x.me.server.Kind, x.me.ID)
		case <-late.C:
			return element{}, fmt.Errorf("%s waits in vain", x.me.ID)
		}
	}
}
