package stream

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"net"
	"strings"

	"gosrc.io/xmpp/stanza"
)

// portComponent is where servers wait for components, by custom.
const portComponent = "5347"

// DialComponent connects a component (XEP-0114): cfg.JID is its domain,
// cfg.Password the secret that it shares with the server. The line is not
// encrypted; the secret does not go over it. A component's stream is never mended
// after a cut, and its server acknowledges nothing by itself: acked of Send runs
// when a ping to ourselves, sent behind the stanza, came back. Every stanza needs
// a from within the domain, else the server ends the stream. Stanzas come to
// Handle as those of a client do, in the name space jabber:client. Errors are
// *Error.
func DialComponent(ctx context.Context, cfg Config) (*Stream, error) {
	cfg.fill()
	s := &Stream{cfg: cfg, component: true, bound: cfg.JID, done: make(chan struct{}), waiting: map[string]waiter{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	t, err := cfg.componentTarget()
	if err == nil {
		s.wire, err = s.connect(ctx, t, func(_ context.Context, w *wire) error { return s.handshake(w) }, s.explain)
	}
	if err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// componentTarget is where the server waits for components.
func (c Config) componentTarget() (target, error) {
	if _, _, err := net.SplitHostPort(c.Server); err != nil {
		c.Server = net.JoinHostPort(strings.Trim(c.Server, "[]"), portComponent)
	}
	ts, err := c.configured()
	if err != nil {
		return target{}, err
	}
	return ts[0], nil
}

// handshake is XEP-0114 §3.
func (s *Stream) handshake(w *wire) error {
	w.dec = newDecoder(w.conn, s.cfg.MaxStanza, &s.last)
	err := w.send("<?xml version='1.0'?><stream:stream to='" + escape(s.cfg.JID.Domain) + "' xmlns='" + stanza.NSComponent +
		"' xmlns:stream='" + stanza.NSStream + "'>")
	if err != nil {
		return err
	}
	if err := w.dec.header(); err != nil {
		return err
	}
	proof := sha1.Sum([]byte(w.dec.id + s.cfg.Password))
	sent := w.send("<handshake>" + hex.EncodeToString(proof[:]) + "</handshake>")
	n, err := w.next() // a server that knows no such component may have said so already
	switch {
	case err != nil:
		return errors.Join(sent, err)
	case n.XMLName.Space == stanza.NSStream && n.XMLName.Local == "error":
		return streamError(n)
	case n.XMLName.Local != "handshake":
		return brokenError("no handshake")
	}
	return sent
}

// explain puts the end of the stream into words; a component's server means
// other things by some of its own.
func (s *Stream) explain(err error) error {
	err = explain(s.cfg.JID.Domain, err)
	var e *Error
	if !s.component || !errors.As(err, &e) {
		return err
	}
	domain := s.cfg.JID.Domain
	switch e.Condition {
	case "not-authorized":
		e.Kind, e.Text = Credentials, "The chat server does not accept this secret for "+domain+". Compare it with the one in the server's configuration and give it again."
	case "host-unknown", "host-gone":
		e.Kind, e.Text = Refused, "The chat server has no component of the name "+domain+". Add it to the server's configuration."
	case "conflict":
		e.Kind, e.Text = Network, "Another program is connected to the chat server as "+domain+". It is tried again by itself."
	}
	return e
}
