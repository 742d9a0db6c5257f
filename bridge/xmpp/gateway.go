package xmpp

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// Gateway makes the one transport that speaks for all accounts of the box: a
// component of the owner's own XMPP server (XEP-0114). It implements im.Network.
type Gateway struct {
	log *slog.Logger
	// dial replaces net.Dialer in tests.
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// NewGateway makes it. Logs carry no message bodies and no secrets.
func NewGateway(log *slog.Logger) *Gateway { return &Gateway{log: log} }

// Fields is the log-in form of the component.
func (g *Gateway) Fields() []im.Field {
	return []im.Field{
		{Key: "jid", Label: "Name of the component", Help: "As the server's configuration has it, such as msn.example.org. Accounts are below it: alice\\40hotmail.com@msn.example.org.", Required: true},
		{Key: "secret", Label: "Secret", Help: "The secret (password) of the component in the server's configuration.", Secret: true, Required: true},
		{Key: "server", Label: "Server", Help: "host or host:port where the server waits for components. The line is not encrypted: this machine, or a network you trust.", Default: "localhost:5347"},
	}
}

// Settings are the settings of the component.
func (g *Gateway) Settings() []im.Field {
	return []im.Field{
		{Key: "accept_from", Label: "Who may write and ask", Help: "Besides the contacts of an account: nobody, people of the server that the component belongs to, those on accept_list, or anyone.",
			Default: fromHomeserver, Choices: []string{fromContacts, fromHomeserver, fromList, fromAnyone}},
		{Key: "accept_list", Label: "Accepted people and servers", Help: "Addresses and servers, with blanks or commas between them, for accept_from list."},
		rosterField,
		{Key: im.Boxes, Label: "Other boxes", Help: "Names of the components of other boxes, such as msn2.example.org, with blanks or commas between them. Their people are found by the address that they have there, and may write and ask."},
		{Key: "receipts", Label: "Tell contacts what arrived", Help: "Contacts learn that this box has their messages; without, they can't know.", Default: "yes", Choices: []string{"yes", "no"}},
		{Key: "markers", Label: "Tell contacts what was read", Help: "Contacts who may see the account learn that their messages were shown.", Default: "yes", Choices: []string{"yes", "no"}},
		fileHostsField,
		im.ShowReactions(), im.ShowJoins(), im.WaitDays(),
	}
}

// Connect connects the component.
func (g *Gateway) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	if l.User != (im.Addr{}) {
		return nil, &im.Lost{Class: im.Forbidden, Text: "A component speaks for all accounts: add it with nudge gateway add xmpp."}
	}
	jid, err := stream.ParseJID(l.Fields["jid"])
	if err != nil || jid.Local != "" || jid.Resource != "" {
		return nil, &im.Lost{Class: im.Forbidden, Text: "The name of the component must look like msn.example.org."}
	}
	cfg := stream.Config{JID: jid, Password: l.Fields["secret"], Server: l.Fields["server"], Dial: g.dial, Log: g.log.With("net", Name, "component", jid.Domain)}
	s, err := stream.DialComponent(ctx, cfg)
	if err != nil {
		return nil, lost(err)
	}
	k := newComponent(l.Host, s, cfg.Log)
	k.start()
	return k, nil
}

// Values of accept_from (DESIGN.md §6).
const (
	fromContacts   = "contacts"
	fromHomeserver = "homeserver"
	fromList       = "list"
	fromAnyone     = "anyone"
)

// welcome tells whether somebody who is no contact may write to accounts and ask
// for their acquaintance. domain is the component's.
func welcome(from stream.JID, domain, policy, list string) bool {
	switch policy {
	case fromAnyone:
		return true
	case "", fromHomeserver:
		return from.Domain == home(domain)
	case fromList:
		return listed(from, list)
	}
	return false
}

// listed tells whether a list has an address or its server.
func listed(who stream.JID, list string) bool {
	return slices.ContainsFunc(addresses(list), func(j stream.JID) bool {
		return j == who.Bare() || j == stream.JID{Domain: who.Domain}
	})
}

// addresses reads a list of addresses and servers; what is none is left out.
func addresses(list string) (all []stream.JID) {
	for _, entry := range im.Words(list) {
		if j, err := stream.ParseJID(entry); err == nil {
			all = append(all, j)
		}
	}
	return all
}

// home is the server that a component belongs to: the domain above its own.
func home(domain string) string {
	_, above, _ := strings.Cut(domain, ".")
	return above
}

// XEP-0106: what a local part can't have. Handles of accounts have no backslash.
var (
	escapes   = strings.NewReplacer(" ", `\20`, `"`, `\22`, "&", `\26`, "'", `\27`, "/", `\2f`, ":", `\3a`, "<", `\3c`, ">", `\3e`, "@", `\40`)
	unescapes = strings.NewReplacer(`\20`, " ", `\22`, `"`, `\26`, "&", `\27`, "'", `\2f`, "/", `\3a`, ":", `\3c`, "<", `\3e`, ">", `\40`, "@", `\5c`, `\`)
)

// address is the address of an account on a component, handle the way back.
func address(handle, domain string) stream.JID {
	return stream.JID{Local: escapes.Replace(handle), Domain: domain}
}

func handle(j stream.JID) string { return unescapes.Replace(j.Local) }
