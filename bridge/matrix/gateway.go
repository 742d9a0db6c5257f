package matrix

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// Gateway makes the one transport that speaks for all accounts of the box: an
// application service of the owner's own homeserver (see service). It implements
// im.Network.
type Gateway struct {
	net *Network
	// listen replaces net.Listen in tests.
	listen func(network, addr string) (net.Listener, error)
}

// NewGateway makes it. Logs carry no message bodies and no secrets.
func NewGateway(log *slog.Logger) *Gateway { return &Gateway{net: New(log), listen: net.Listen} }

// Fields is the form of the application service. The tokens are Register's.
func (g *Gateway) Fields() []im.Field {
	return []im.Field{
		{Key: "homeserver", Label: "Homeserver", Help: "URL at which the box reaches the homeserver, such as http://localhost:8008", Required: true},
		{Key: "domain", Label: "Server name", Help: "the homeserver's name, as in @somebody:example.org", Required: true},
		{Key: "prefix", Label: "User names begin with", Help: "each box of the same homeserver needs another one, such as msn2_", Default: defaultPrefix},
		{Key: "listen", Label: "Listen on", Help: "address and port where the box waits for the homeserver; it is not encrypted: this machine, or a network you trust", Default: defaultListen},
		{Key: "url", Label: "URL of the box", Help: "at which the homeserver reaches that port, when it is not http://ADDRESS:PORT"},
		{Key: "as-token", Label: "Token of the box", Help: "made with the registration file", Secret: true, Required: true},
		{Key: "hs-token", Label: "Token of the homeserver", Help: "made with the registration file", Secret: true, Required: true},
		{Key: "ca", Label: "CA certificate file", Help: "PEM file, only for a homeserver with a certificate of its own"},
	}
}

// Values of accept_from (DESIGN.md §6).
const (
	fromContacts   = "contacts"
	fromHomeserver = "homeserver"
	fromList       = "list"
	fromAnyone     = "anyone"
)

// Settings are the settings of the application service.
func (g *Gateway) Settings() []im.Field {
	return append([]im.Field{
		{Key: "accept_from", Label: "Who may write and ask", Help: "besides the contacts of an account: nobody, people of the same homeserver, those on accept_list, or anyone",
			Default: fromHomeserver, Choices: []string{fromContacts, fromHomeserver, fromList, fromAnyone}},
		{Key: "accept_list", Label: "Accepted people and servers", Help: "addresses and servers, with blanks or commas between them, for accept_from list"},
		{Key: im.Boxes, Label: "Other boxes", Help: "What the user names on other boxes begin with, and their homeserver, such as msn2_:example.org, with blanks or commas between them. Their people are found by the address that they have there, and may write and ask."},
	}, slices.DeleteFunc(g.net.Settings(), func(f im.Field) bool { return f.Key == im.Absence || f.Key == im.OwnPicture })...)
}

// welcome tells whether somebody who is no contact may invite accounts. domain is
// the homeserver's name.
func welcome(who id.UserID, domain, policy, list string) bool {
	switch policy {
	case fromAnyone:
		return true
	case "", fromHomeserver:
		return who.Homeserver() == domain
	case fromList:
		return slices.ContainsFunc(im.Words(list), func(entry string) bool {
			u, _ := userID(entry, "")
			return u == who || strings.EqualFold(entry, who.Homeserver())
		})
	}
	return false
}

// Connect shows the homeserver the box's token and opens the port.
func (g *Gateway) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	if l.User != (im.Addr{}) {
		return nil, &im.Lost{Class: im.Forbidden, Text: "An application service speaks for all accounts: add it with nudge gateway add matrix."}
	}
	s, err := g.newService(ctx, l)
	if err != nil {
		return nil, asLost(err)
	}
	s.start()
	return s, nil
}

func (g *Gateway) newService(ctx context.Context, l im.Login) (*service, error) {
	f := l.Fields
	domain := strings.ToLower(strings.TrimSpace(f["domain"]))
	home, err := newRealm(f["prefix"], domain)
	if err != nil {
		return nil, &im.Lost{Class: im.Forbidden, Text: fmt.Sprintf("Correct --prefix: %v.", err)}
	}
	if _, ok := userID(string(home.bot()), ""); !ok {
		return nil, &im.Lost{Class: im.Forbidden, Text: fmt.Sprintf("%q is not the name of a homeserver. Give what stands behind the colon in its users' names, such as example.org.", f["domain"])}
	}
	tr, err := g.net.transportFor(f["ca"])
	if err != nil {
		return nil, err
	}
	base, doubt := discover(ctx, &http.Client{Transport: tr}, f["homeserver"], "", "")
	s := &service{
		net: g.net, log: g.net.log.With("net", Name, "service", domain), host: l.Host, http: tr, realm: home,
		base: base, token: f["as-token"], hsToken: f["hs-token"],
		url:    cmp.Or(f["url"], "http://"+cmp.Or(f["listen"], defaultListen)),
		ghosts: map[string]*ghost{}, taking: make(chan struct{}, 1), look: make(chan struct{}, 1), places: make(chan struct{}, polls), done: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	bot, err := s.client(home.bot())
	if err != nil {
		return nil, &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("%q is not a homeserver. Give a URL such as http://localhost:8008.", f["homeserver"])}
	}
	bot.SetAppServiceUserID = false // the token says it
	s.bot = &link{net: s.net, log: s.log, cli: bot, ctx: s.ctx, cancel: s.cancel}
	if _, err := bot.Whoami(ctx); tokenRefused(err) {
		return nil, &im.Lost{Class: im.Retry, Text: "The homeserver does not know this box yet. Name the registration file in its configuration " +
			"(Synapse: app_service_config_files, Dendrite: app_service_api.config_files) and restart it; the box tries again by itself."}
	} else if err != nil {
		return nil, notMatrix(err, bot, doubt)
	}
	if s.box, err = boxMark(ctx, l.Host.KV(im.Addr{})); err != nil {
		return nil, err
	}
	if l.Restored {
		if err := s.discardAll(ctx); err != nil {
			return nil, err
		}
	}
	mark, err := l.Host.Mark(im.Addr{})
	if err != nil {
		return nil, err
	}
	s.recent = []string{string(mark)}
	if s.port, err = g.listen("tcp", cmp.Or(f["listen"], defaultListen)); err != nil {
		return nil, &im.Lost{Class: im.Retry, Text: fmt.Sprintf("The port for the homeserver can't be opened: %v. Choose another with --listen; the box tries again by itself.", err)}
	}
	return s, nil
}

// client makes a client for one user of the namespace.
func (s *service) client(u id.UserID) (*mautrix.Client, error) {
	cli, err := mautrix.NewClient(s.base, u, s.token)
	if err != nil || cli.HomeserverURL.Host == "" {
		return nil, fmt.Errorf("%q is not a URL", s.base)
	}
	cli.SetAppServiceUserID = true
	cli.Client = &http.Client{Transport: s.http, Timeout: 3 * time.Minute}
	cli.ResponseSizeLimit = 48 << 20
	cli.UserAgent = "nudge"
	return cli, nil
}

// boxKey is where the gateway keeps the mark that its events carry.
const boxKey = "box"

// boxMark is what marks events as this box's, made once.
func boxMark(ctx context.Context, kv im.KV) (box string, err error) {
	err = kv.View(func(tx im.Tx) error {
		if b := tx.Get([]byte(boxKey)); b != nil {
			return json.Unmarshal(b, &box)
		}
		return nil
	})
	if err != nil || box != "" {
		return box, err
	}
	box = rand.Text()[:10]
	if err := kv.Update(func(tx im.Tx) error { return putJSON(tx, boxKey, box) }); err != nil {
		return "", fmt.Errorf("write the mark of this box: %w", err)
	}
	return box, kv.Sync(ctx)
}
