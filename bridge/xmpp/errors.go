package xmpp

import (
	"context"
	"errors"
	"time"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// conflictPause is how long another program that took our resource keeps it:
// two that fight for it would only throw each other out.
const conflictPause = 2 * time.Minute

// lost says what to do about the end of a stream.
func lost(err error) *im.Lost {
	var l *im.Lost
	if errors.As(err, &l) {
		return l
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &im.Lost{Class: im.Retry, Text: "The chat server does not answer. It is tried again by itself."}
	}
	var e *stream.Error
	if !errors.As(err, &e) {
		return &im.Lost{Class: im.Retry, Text: "The connection to the chat server failed (" + err.Error() + "). It is tried again by itself."}
	}
	l = &im.Lost{Class: im.Retry, Text: e.Text}
	switch e.Kind {
	case stream.Credentials:
		l.Class = im.Credentials
	case stream.Unverified, stream.Unsafe, stream.Refused:
		l.Class = im.Forbidden
	case stream.Conflict:
		l.Class, l.After = im.After, conflictPause
		l.Text += " This box waits for two minutes and signs in again."
	}
	return l
}

// failures says why a message did not arrive (RFC 6120 §8.3.3).
var failures = map[string]string{
	"item-not-found":          "there is nobody of that address",
	"jid-malformed":           "the address is not possible",
	"service-unavailable":     "the contact can't be reached, or does not exist",
	"recipient-unavailable":   "the contact can't be reached at the moment",
	"remote-server-not-found": "the contact's server does not exist",
	"remote-server-timeout":   "the contact's server does not answer",
	"forbidden":               "the contact's server does not allow it",
	"not-allowed":             "the contact's server does not allow it",
	"not-acceptable":          "the contact is blocked, or does not take messages like this",
	"policy-violation":        "it is against the server's rules",
	"resource-constraint":     "the server is overloaded or the contact's mailbox is full",
	"gone":                    "the contact has moved to another address",
	"subscription-required":   "the contact takes messages only from people on the contact list",
	"not-authorized":          "the contact's server does not allow it",
}

// failure puts a stanza error into words for the person who sent it.
func failure(e *stream.StanzaError) error {
	words := failures[e.Condition]
	if words == "" {
		words = "the server refused it (" + e.Condition + ")"
	}
	if e.Text != "" {
		words += ". It says: " + im.Plain(e.Text)
	}
	return errors.New(words)
}
