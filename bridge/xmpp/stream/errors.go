package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"gosrc.io/xmpp/stanza"
)

// Kind says what sort of trouble ended or prevented a stream.
type Kind uint8

// Kinds. Network: the connection failed or broke; Unverified: the certificate
// can't be trusted; Unsafe: the server offers no encryption or no acceptable
// way to log in; Credentials: wrong name or password; Conflict: somebody else
// signed in with our resource; Refused: the server said no and will say so
// again; Protocol: it broke the rules.
const (
	Network Kind = iota
	Unverified
	Unsafe
	Credentials
	Conflict
	Refused
	Protocol
)

// Error is why a stream ended. Text is for a person and says what to do next.
type Error struct {
	Kind      Kind
	Condition string // the server's own word, "" when it gave none
	Text      string
	Err       error
	redirect  string // see-other-host
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// ErrClosed is returned for anything asked of a stream that has ended.
var ErrClosed = errors.New("the connection to the chat server is closed")

// ErrBusy is returned when the server acknowledges too little of what was sent.
var ErrBusy = errors.New("the chat server does not take messages fast enough")

// StanzaError is the error that a server or contact answered with
// (RFC 6120 §8.3).
type StanzaError struct{ Type, Condition, Text string }

func (e *StanzaError) Error() string {
	if e.Text != "" {
		return e.Condition + ": " + e.Text
	}
	return e.Condition
}

// ErrorOf reads the error child of a stanza of type error.
func ErrorOf(n *stanza.Node) *StanzaError {
	c := Child(n, n.XMLName.Space, "error")
	e := &StanzaError{Type: Attr(c, "type"), Condition: "undefined-condition"}
	if c == nil {
		return e
	}
	for i := range c.Nodes {
		switch k := &c.Nodes[i]; {
		case k.XMLName.Space != nsStanzas:
		case k.XMLName.Local == "text":
			e.Text = clip(k.Content)
		default:
			e.Condition = clip(k.XMLName.Local)
		}
	}
	return e
}

// clip bounds what a server can make us show or log.
func clip(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

func networkError(host string, err error) *Error {
	return &Error{Kind: Network, Err: err,
		Text: fmt.Sprintf("The connection to the chat server %s failed (%v). It is tried again by itself.", host, short(err))}
}

// short takes the addresses out of a network error: people need the reason.
func short(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func brokenError(what string) *Error {
	return &Error{Kind: Protocol, Text: "The chat server answered something unexpected (" + what + "). It is tried again by itself."}
}

// tlsError tells a certificate that can't be trusted from a broken line.
func tlsError(domain string, err error) *Error {
	var (
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	text := ""
	switch {
	case errors.As(err, &unknown):
		text = "it is signed by an authority that this box does not know. If the server is your own, give its CA certificate as \"ca\""
	case errors.As(err, &name):
		text = "it is made out for another name. Check the address, or ask the server's owner"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		text = "it has expired or is not valid yet. Check the clock of this box, or ask the server's owner"
	case errors.As(err, &verify):
		text = verify.Err.Error()
	default:
		return networkError(domain, err)
	}
	return &Error{Kind: Unverified, Err: err,
		Text: "The certificate of " + domain + " can't be trusted: " + text + ". No password was sent."}
}

// streamError puts a stream error (RFC 6120 §4.9.3) into words.
func streamError(n *stanza.Node) *Error {
	e := &Error{Kind: Network, Condition: "undefined-condition"}
	said := ""
	for i := range n.Nodes {
		switch k := &n.Nodes[i]; {
		case k.XMLName.Space != nsStreams:
		case k.XMLName.Local == "text":
			said = clip(k.Content)
		default:
			e.Condition = clip(k.XMLName.Local)
			if e.Condition == "see-other-host" {
				e.redirect = clip(k.Content)
			}
		}
	}
	switch e.Condition {
	case "conflict":
		e.Kind, e.Text = Conflict, "Another program signed in with the same account and the same resource name."
	case "host-unknown", "host-gone":
		e.Kind, e.Text = Refused, "This server does not serve the domain of the account any more. Check the address and the server."
	case "not-authorized":
		e.Kind, e.Text = Credentials, "The chat server does not let the account in any more. Check the account and its password."
	case "policy-violation":
		e.Text = "The chat server ended the connection because of its rules."
	case "system-shutdown":
		e.Text = "The chat server is being shut down or restarted."
	case "resource-constraint":
		e.Text = "The chat server is overloaded."
	case "connection-timeout":
		e.Text = "The chat server gave the connection up."
	case "see-other-host":
		e.Text = "The chat server sends us to another machine."
	default:
		e.Kind, e.Text = Protocol, "The chat server ended the connection ("+e.Condition+")."
	}
	if said != "" {
		e.Text += " It says: " + said
	}
	return e
}

// authError puts a SASL failure (RFC 6120 §6.5) into words.
func authError(jid JID, n *stanza.Node) *Error {
	e := &Error{Kind: Credentials, Condition: "not-authorized"}
	said := ""
	for i := range n.Nodes {
		if k := &n.Nodes[i]; k.XMLName.Local == "text" {
			said = clip(k.Content)
		} else {
			e.Condition = clip(k.XMLName.Local)
		}
	}
	switch e.Condition {
	case "account-disabled":
		e.Kind, e.Text = Refused, "The account "+jid.Bare().String()+" is disabled on its server. Ask the server's owner."
	case "credentials-expired":
		e.Text = "The password of " + jid.Bare().String() + " has expired. Set a new one at the server, then here."
	case "temporary-auth-failure":
		e.Kind, e.Text = Network, "The chat server can't check passwords at the moment. It is tried again by itself."
	case "not-authorized", "invalid-authzid":
		e.Text = "The server does not accept this password for " + jid.Bare().String() + ". Check the address and give the password again."
	default:
		e.Kind, e.Text = Refused, "The chat server refused the log-in ("+e.Condition+")."
	}
	if said != "" {
		e.Text += " It says: " + said
	}
	return e
}
