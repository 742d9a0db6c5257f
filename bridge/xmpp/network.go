// Package xmpp links an account of this box to the user's own XMPP account
// (Network), or all accounts to the owner's XMPP server (Gateway; see component).
// What follows is about own accounts.
//
// # Idea
//
// The stream (package stream) delivers stanzas in order and mends short cuts.
// convert.go and presence.go read stanzas, compose.go makes them; both are pure.
// What the server archives (XEP-0313) is the truth about messages: its ids
// tell copies apart, and the mark is a place in it. A live copy may come before
// or after the archive's; the hub drops the second.
//
// # Signing on
//
// Bind the same resource as ever, which ends an older stream of ours; roster;
// carbons; presence; then the archive from a little before the mark. What comes
// live meanwhile is held back until the archive has been read, so that
// conversations keep their order, and the mark moves only then. Own messages
// found in the archive settle what a former connection had sent. Then Up.
//
// Such an echo shows that our own server took a message. A server that is
// killed after it filed the message for us and before it passed it on loses it
// all the same; nobody can tell from here, and to send every doubtful message
// again would double nearly all of them. Only the contact's receipt is proof.
//
// # Hidden
//
// Who is hidden or not there sends no presence at all: his contacts see him
// off-line, but the server delivers nothing to him either. So the archive is
// polled, and the contacts' presence probed while somebody looks. Where the
// server has privacy lists, a list that hides presence does all that better.
//
// # Rooms
//
// The lobby (lobby.go, room*.go) is in the rooms that the account's bookmarks name
// while the account may be seen; each is entered by a goroutine of its own, which
// then reads the room's archive from a mark that is the room's. Files that somebody
// names by an address are fetched by package fetch when they are opened. Accounts on a
// component have a lobby each too, with what takes the place of bookmarks and archive
// mark (residentrooms.go).
//
// # Personal eventing
//
// What contacts publish by their servers (XEP-0163; personal.go) is laid over their
// presence: a picture, a tune, a nick. It comes with presence or before it, and is told
// with it. What the account publishes (publish.go) is what its settings allow, where its
// server has such nodes. A tune is taken back before the account is no longer seen; one
// that a link left behind which broke, by the next.
//
// # Goroutines
//
// The stream's reader calls the link in order (message, presence, iq). The
// conductor (run) signs on and does what takes time: presence changes, archive,
// probes. Handle is called by the hub's lanes. One mutex guards the link's
// maps; it is held over neither Send nor Accept.
package xmpp

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"strconv"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// Name is the network's name in addresses and commands.
const Name = "xmpp"

// Network makes links to XMPP accounts. It implements im.Network.
type Network struct {
	log *slog.Logger
	// dial replaces net.Dialer in tests.
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// New makes the network. Logs carry no message bodies and no secrets.
func New(log *slog.Logger) *Network { return &Network{log: log} }

// Fields is the log-in form of a user's own account.
func (n *Network) Fields() []im.Field {
	return []im.Field{
		{Key: "jid", Label: "Address", Help: "The XMPP (Jabber) address, such as anna@example.org.", Required: true},
		{Key: "password", Label: "Password", Help: "The password of that account.", Secret: true, Required: true},
		{Key: registerField, Label: "Make the account", Help: "yes: there is no such account yet; it is made at that server, with this password, if the server lets programs do that.", Default: "no", Choices: []string{"no", "yes"}},
		{Key: "server", Label: "Server", Help: "host or host:port, when it can't be found by the address alone."},
		{Key: "ca", Label: "CA certificate", Help: "A file in PEM with the authority that signed the server's certificate, when that is your own."},
		{Key: "tls", Label: "Encryption", Help: "How the connection is encrypted; it always is.", Default: "auto", Choices: []string{"auto", "starttls", "direct"}},
		{Key: "plain", Label: "Send the password itself", Help: "Only for servers that know no better way to log in; inside the encryption.", Default: "no", Choices: []string{"no", "yes"}},
	}
}

// Settings are the settings of one link.
func (n *Network) Settings() []im.Field {
	return []im.Field{
		{Key: "receipts", Label: "Tell contacts what arrived", Help: "Contacts who may see the account learn that their messages arrived.", Default: "yes", Choices: []string{"yes", "no"}},
		{Key: "markers", Label: "Tell contacts what was read", Help: "Contacts who may see the account learn that their messages were shown.", Default: "yes", Choices: []string{"yes", "no"}},
		tuneField, nickField, im.ShowPicture(),
		fileHostsField,
		{Key: im.History, Label: "Messages from before", Help: "How many messages of what was said in a room while you were not in it are shown at most.", Default: strconv.Itoa(roomHistory), Choices: []string{"10", "20", "50", "100", "200"}},
		im.ShowReactions(), im.ShowJoins(), im.WaitDays(), im.WhenAway(),
	}
}

// Connect signs in.
func (n *Network) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	if l.User == (im.Addr{}) {
		return nil, &im.Lost{Class: im.Forbidden, Text: "XMPP speaks for single accounts only: link it to an account of this box."}
	}
	cfg, err := n.config(l.Fields)
	if err != nil {
		return nil, err
	}
	if cfg.JID.Resource, err = resource(l.Host.KV(l.User)); err != nil {
		return nil, lost(err)
	}
	cfg.Log = n.log.With("net", Name, "account", l.User.ID)
	s, err := signIn(ctx, l, cfg)
	if err != nil {
		return nil, lost(err)
	}
	k := newLink(l, s, cfg.Log)
	k.roots = cfg.RootCAs
	k.start()
	return k, nil
}

// config reads the log-in form.
func (n *Network) config(f map[string]string) (stream.Config, error) {
	refuse := func(text string) (stream.Config, error) {
		return stream.Config{}, &im.Lost{Class: im.Forbidden, Text: text}
	}
	jid, err := stream.ParseJID(f["jid"])
	if err != nil || jid.Local == "" {
		return stream.Config{}, &im.Lost{Class: im.Credentials, Text: "The XMPP address must look like anna@example.org."}
	}
	cfg := stream.Config{JID: jid.Bare(), Password: f["password"], Server: f["server"], Dial: n.dial, AllowPlain: f["plain"] == "yes"}
	switch f["tls"] {
	case "", "auto":
	case "starttls":
		cfg.TLS = stream.StartTLS
	case "direct":
		cfg.TLS = stream.Direct
	default:
		return refuse("The encryption must be auto, starttls or direct.")
	}
	if f["ca"] == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(f["ca"])
	if err != nil {
		return refuse("The CA certificate can't be read: " + err.Error() + ".")
	}
	if cfg.RootCAs, err = x509.SystemCertPool(); err != nil {
		cfg.RootCAs = x509.NewCertPool()
	}
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return refuse("The CA certificate file " + f["ca"] + " holds no certificate in PEM.")
	}
	return cfg, nil
}

// resource is the name under which this link signs in, made once: taking the
// same one again ends our own older stream, and two boxes with the same account
// must not end each other's.
func resource(kv im.KV) (name string, err error) {
	key := []byte("resource")
	made := "nudge-" + rand.Text()[:8]
	err = kv.View(func(tx im.Tx) error {
		name = string(tx.Get(key))
		return nil
	})
	if err != nil || name != "" {
		return name, err
	}
	return made, kv.Update(func(tx im.Tx) error { return tx.Put(key, []byte(made)) })
}
