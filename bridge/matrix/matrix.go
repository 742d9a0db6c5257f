// Package matrix makes a user's own Matrix account a network of the box (Network),
// or all accounts users of the owner's homeserver (Gateway; see service). What
// follows is about own accounts.
//
// # Idea
//
// A Link is one logged-in device that follows /sync by itself. Each response
// is first written into the link's memory (which rooms there are, who is in
// them, which are encrypted), then turned into im events by convert.go, which
// is pure, and handed over as one Batch whose Mark is the position after it.
// The position on disk is the hub's; nothing here stores one. When a response
// leaves a gap, the gap is fetched before the response counts.
//
// What the box knows of rooms is private to the link and kept in its im.KV; it
// is put on disk before the mark that passed it, so it may run ahead of the
// mark but never behind, and reading the same changes twice does no harm.
//
// # Signing in
//
// Once (login.go): by password or access token where the form has one, else by the
// hand of a person, with a device code or single sign-on (byhand.go); Host.Ask shows
// him what to do. After that the box has a session of its own, sealed. Access tokens
// that do not last are renewed below the Matrix client (tokens.go), and a new pair is
// on disk before its first use. A session that the server ended costs a few requests;
// then the link waits for a person.
//
// # Rooms
//
// A room that is not a direct one is a contact, with its topic and the number of
// its members as its note, and its picture. Who is in a small one is known (crowd.go). A room keeps
// its address when it is upgraded (upgrade.go), and stays on the list when somebody
// puts the account out of it (farewell.go). Spaces are groups (space.go), and push
// rules about a room say whether it opens windows (hush.go).
//
// # Encryption
//
// A room once known as encrypted stays so for ever, on disk too. That a room is
// not encrypted is never believed from disk: it is asked of the server once per
// connection before the first message, and no answer means no message.
//
// The device's keys are in package olm. The sync loop gives it what a response
// says of encryption before the rooms of that response are looked at, and puts
// it on disk before the next request: the server then forgets to-device
// messages. What can't be read becomes a placeholder and is kept; when the key
// comes the text follows as a Resolve, and nothing waits for it. Without keys of
// its own (the server has no encryption, or knows other keys for this device)
// the link refuses to write into encrypted rooms. Keys that are older than what
// the device did last, after a restore or on a card that was set back, are given
// up before the link is up (life.go). The account vouches for the device by its
// recovery key, or after another of its devices and the user compared emoji.
//
// # Goroutines
//
// A link owns four, and Close waits for all of them: the sync loop (the only
// one that reads /sync), the emitter (the only caller of Inbox.Accept, so that
// order is one), the announcer (presence, typing and read markers, of which
// only the latest counts) and the errands (joins and profile look-ups that
// nothing waits for). While another device of the account verifies this one there
// is a fifth, which waits for the user. Messages, edits, Find, Open and Upload run
// on the caller's goroutine. memory has one mutex, never held across I/O.
//
// # Caveats
//
// Matrix rate limits with 429 and answers either a Retry-After header or
// retry_after_ms in the body; both are obeyed. An answer lost on the way is
// repeated with the same transaction id, which the server knows to be the same
// event. Because not every server shows transaction ids in history, each event
// also carries the field appliance.origin: the box and the message's own id.
package matrix

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"nudge/bridge/im"
)

// Name is the network's name in im.Addr.Net.
const Name = "matrix"

// Network is the Matrix network; make it with New. It holds only what all
// links share: the connection pool, the turn for big first syncs, and which
// messages a server stumbled over.
type Network struct {
	log       *slog.Logger
	transport *http.Transport
	firstSync chan struct{} // one at a time: a first sync may be 48 MiB
	pause     time.Duration // first wait after a failed request, doubled each time
	stumbles  stumbles
}

// New makes the network. Logs carry no message bodies and no secrets.
func New(log *slog.Logger) *Network {
	return &Network{
		log:       log,
		transport: newTransport(nil),
		firstSync: make(chan struct{}, 1),
		pause:     time.Second,
	}
}

func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout:   15 * time.Second,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 45 * time.Second, PingTimeout: 15 * time.Second},
		MaxIdleConnsPerHost:   64, // each link pins one connection with its long poll
		IdleConnTimeout:       90 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute, // long polls end after 30 s, first syncs may take long
	}
}

// Fields is the log-in form of an own account.
func (n *Network) Fields() []im.Field {
	return []im.Field{
		{Key: "homeserver", Label: "Homeserver", Help: "server name or URL, for example example.org or https://matrix.example.org; empty: taken from the user name"},
		{Key: "user", Label: "User", Help: "for example @alice:example.org or alice", Required: true},
		{Key: "password", Label: "Password", Help: "used once; the box keeps its own session afterwards. Empty: you sign in on a page of the server and confirm a code, or bring an address from there", Secret: true},
		{Key: "recovery-key", Label: "Recovery key", Help: "of the account's encryption; the box verifies itself with it and reads the backup of older messages", Secret: true},
		{Key: "token", Label: "Access token", Help: "instead of a password, when nothing else works", Secret: true},
		{Key: "ca", Label: "CA certificate file", Help: "PEM file, only for a homeserver with a certificate of its own"},
	}
}

// Settings is what may be changed per link later.
func (n *Network) Settings() []im.Field {
	return []im.Field{
		{Key: "receipts", Label: "Read receipts", Help: "whether contacts see that a message reached you", Default: "public", Choices: []string{"public", "private", "off"}},
		{Key: "presence-window", Label: "Presence window", Help: "minutes somebody counts as online after he wrote, where the server tells no presence", Default: "5"},
		{Key: im.History, Label: "Messages from before", Help: "how many messages of a conversation are fetched at most after a long absence", Default: "500",
			Choices: []string{"10", "50", "100", "200", "500", "1000", "5000"}},
		im.ShowReactions(), im.ShowJoins(), im.WaitDays(), im.WhenAway(), im.ShowPicture(),
	}
}

// Connect signs in, with the kept session if there is one, and starts to follow the
// account. While a person has to do something for that it waits. The error is
// *im.Lost.
func (n *Network) Connect(ctx context.Context, login im.Login) (im.Link, error) {
	if login.User == (im.Addr{}) {
		return nil, &im.Lost{Class: im.Forbidden, Text: "This is for single accounts: link each by itself, or add a gateway with nudge gateway add matrix."}
	}
	l, err := n.newLink(ctx, login)
	if err != nil {
		return nil, asLost(err)
	}
	l.start()
	return l, nil
}

// transportFor is the shared pool, or a separate one that trusts the CA in
// the PEM file.
func (n *Network) transportFor(caFile string) (*http.Transport, error) {
	if caFile == "" {
		return n.transport, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("The CA certificate file can't be read: %v. Correct the field ca.", err)}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("%s holds no PEM certificate. Correct the field ca.", caFile)}
	}
	return newTransport(roots), nil
}
