package stream

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync/atomic"

	"gosrc.io/xmpp/stanza"
)

// Limits on one stanza. What has more bytes (see sieve), is nested deeper or has more
// elements than a person's chat needs is read and left out, so that no contact can end
// the stream with a message that the archive would bring back at every sign-in.
const (
	defaultMaxStanza = 2 << 20
	maxDepth         = 24
	maxElements      = 60_000
)

var (
	errTooBig   = errors.New("a stanza is too big")
	errEnd      = errors.New("the server closed the stream")
	errXML      = errors.New("XML that XMPP forbids")
	errNoStream = errors.New("this is not an XMPP server")
)

// decoder reads one XML stream: its header, then top-level elements.
type decoder struct {
	in  *sieve
	dec *xml.Decoder
	id  string // of the stream
}

func newDecoder(r io.Reader, maxStanza int64, last *atomic.Int64) *decoder {
	in := newSieve(r, maxStanza, last)
	return &decoder{in: in, dec: xml.NewDecoder(in)}
}

// header reads the opening tag of the stream.
func (d *decoder) header() error {
	for {
		t, err := d.dec.Token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if t.Name.Space != stanza.NSStream || t.Name.Local != "stream" {
				return errNoStream
			}
			d.id = Attr(element(t), "id")
			return nil
		case xml.ProcInst, xml.CharData:
		default:
			return errNoStream
		}
	}
}

// next reads one complete top-level element as a tree: nothing inside it can
// desynchronise the stream. Of one that was too big there is only the name: half of
// what somebody said may say something else.
func (d *decoder) next() (*stanza.Node, error) {
	for {
		d.in.cut = false
		t, err := d.dec.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			n, err := d.tree(t)
			if err == nil && d.in.cut {
				n = &stanza.Node{XMLName: n.XMLName}
			}
			return n, err
		case xml.EndElement:
			return nil, errEnd
		case xml.CharData:
			if len(strings.TrimSpace(string(t))) != 0 {
				return nil, errXML
			}
		default: // comments, instructions and directives: RFC 6120 §11.1
			return nil, errXML
		}
	}
}

// tree reads the rest of the element that start opens.
func (d *decoder) tree(start xml.StartElement) (*stanza.Node, error) {
	type level struct {
		n    *stanza.Node
		text []byte
	}
	root := element(start)
	open := []level{{n: root}}
	skipped, count := 0, 1
	for len(open) > 0 {
		t, err := d.dec.Token()
		if err != nil {
			return nil, err
		}
		top := &open[len(open)-1]
		switch t := t.(type) {
		case xml.StartElement:
			if skipped > 0 || len(open) >= maxDepth || count >= maxElements {
				skipped++
				continue
			}
			count++
			top.n.Nodes = append(top.n.Nodes, *element(t))
			open = append(open, level{n: &top.n.Nodes[len(top.n.Nodes)-1]})
		case xml.EndElement:
			if skipped > 0 {
				skipped--
				continue
			}
			top.n.Content = string(top.text)
			open = open[:len(open)-1]
		case xml.CharData:
			if skipped == 0 {
				top.text = append(top.text, t...)
			}
		default:
			return nil, errXML
		}
	}
	return root, nil
}

// element makes a node. What a component gets is read like what a client gets.
func element(t xml.StartElement) *stanza.Node {
	n := &stanza.Node{XMLName: t.Name}
	if n.XMLName.Space == stanza.NSComponent {
		n.XMLName.Space = stanza.NSClient
	}
	for _, a := range t.Attr {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
			n.Attrs = append(n.Attrs, a)
		}
	}
	return n
}

// Child is n's first child of that name, nil when there is none. An empty
// local name matches any. It stands in so many places that the binary has 50 kB less
// when it is called there.
//
//go:noinline
func Child(n *stanza.Node, space, local string) *stanza.Node {
	if n == nil {
		return nil
	}
	for i := range n.Nodes {
		c := &n.Nodes[i]
		if c.XMLName.Space == space && (local == "" || c.XMLName.Local == local) {
			return c
		}
	}
	return nil
}

// Attr is the value of n's attribute without name space, "" when missing. For it the same
// holds.
//
//go:noinline
func Attr(n *stanza.Node, name string) string {
	if n != nil {
		for _, a := range n.Attrs {
			if a.Name.Local == name && a.Name.Space == "" {
				return a.Value
			}
		}
	}
	return ""
}

// Text is the character data of the child of that name, "" when missing.
func Text(n *stanza.Node, space, local string) string {
	if c := Child(n, space, local); c != nil {
		return c.Content
	}
	return ""
}
