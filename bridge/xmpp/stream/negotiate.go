package stream

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"
)

// negotiate brings a fresh connection to the point where the account is logged
// in and the last features are read (RFC 6120 §4.3).
func (s *Stream) negotiate(ctx context.Context, w *wire, direct bool) error {
	features, err := s.greet(ctx, w, direct)
	if err != nil {
		return err
	}
	var offered []string
	if m := Child(features, nsSASL, "mechanisms"); m != nil {
		for _, c := range m.Nodes {
			offered = append(offered, strings.TrimSpace(c.Content))
		}
	}
	if err := s.logIn(w, offered); err != nil {
		return err
	}
	w.features, err = s.open(w)
	return err
}

// greet opens the stream and returns what the server offers before a log-in. There is
// no way through it without verified TLS.
func (s *Stream) greet(ctx context.Context, w *wire, direct bool) (*stanza.Node, error) {
	if direct {
		if err := s.secure(ctx, w, true); err != nil {
			return nil, err
		}
	}
	features, err := s.open(w)
	switch {
	case err != nil || direct:
		return features, err
	case Child(features, nsTLS, "starttls") == nil:
		return nil, &Error{Kind: Unsafe, Text: "The chat server offers no encryption, so the password was not sent. Ask the server's owner, or check the address."}
	}
	return s.startTLS(ctx, w)
}

// startTLS switches to TLS. What the server sent behind its go-ahead, still in
// clear, is forgotten with the old decoder.
func (s *Stream) startTLS(ctx context.Context, w *wire) (*stanza.Node, error) {
	if err := w.send("<starttls xmlns='" + nsTLS + "'/>"); err != nil {
		return nil, err
	}
	n, err := w.next()
	if err != nil {
		return nil, err
	}
	if n.XMLName != (xml.Name{Space: nsTLS, Local: "proceed"}) {
		return nil, &Error{Kind: Unsafe, Text: "The chat server refuses to encrypt, so the password was not sent. Ask the server's owner."}
	}
	if err := s.secure(ctx, w, false); err != nil {
		return nil, err
	}
	return s.open(w)
}

// open starts a stream on the wire and returns the server's features.
func (s *Stream) open(w *wire) (*stanza.Node, error) {
	w.dec = newDecoder(w.conn, s.cfg.MaxStanza, &s.last)
	err := w.send("<?xml version='1.0'?><stream:stream to='" + escape(s.cfg.JID.Domain) + "' version='1.0' xml:lang='en' xmlns='" +
		stanza.NSClient + "' xmlns:stream='" + stanza.NSStream + "'>")
	if err != nil {
		return nil, err
	}
	if err := w.dec.header(); err != nil {
		return nil, err
	}
	n, err := w.next()
	if err != nil {
		return nil, err
	}
	if n.XMLName == (xml.Name{Space: stanza.NSStream, Local: "error"}) {
		return nil, streamError(n)
	}
	if n.XMLName != (xml.Name{Space: stanza.NSStream, Local: "features"}) {
		return nil, brokenError("no features")
	}
	return n, nil
}

// bind takes our resource (RFC 6120 §7), which ends an older stream of ours,
// and turns on acknowledgements when the server has them.
func (s *Stream) bind(ctx context.Context, w *wire) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { w.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	resource := ""
	if r := s.cfg.JID.Resource; r != "" {
		resource = "<resource>" + escape(r) + "</resource>"
	}
	if err := w.send("<iq type='set' id='bind'><bind xmlns='" + stanza.NSBind + "'>" + resource + "</bind></iq>"); err != nil {
		return err
	}
	n, err := w.next()
	if err != nil {
		return err
	}
	if n.XMLName.Local == "iq" && Attr(n, "type") == "error" {
		e := ErrorOf(n)
		return &Error{Kind: Refused, Condition: e.Condition, Text: "The chat server refused the session (" + e.Error() + ")."}
	}
	if s.bound, err = ParseJID(Text(Child(n, stanza.NSBind, "bind"), stanza.NSBind, "jid")); err != nil {
		return brokenError("no session")
	}
	if s.bound.Bare() != s.cfg.JID.Bare() {
		return &Error{Kind: Refused, Text: fmt.Sprintf("The server knows this account as %s. Give that as its address.", s.bound.Bare())}
	}
	if Child(w.features, nsSM, "sm") == nil {
		return nil
	}
	if err := w.send("<enable xmlns='" + nsSM + "' resume='true'/>"); err != nil {
		return err
	}
	if n, err = w.next(); err != nil {
		return err
	}
	if n.XMLName == (xml.Name{Space: nsSM, Local: "enabled"}) {
		s.sm.enabled(n)
	}
	return nil
}

func escape(text string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(text))
	return b.String()
}
