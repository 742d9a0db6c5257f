package xmpp

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"sync"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/fetch"
	"nudge/bridge/xmpp/stream"
)

const (
	nsCaps   = "http://jabber.org/protocol/caps"
	nsPing   = "urn:xmpp:ping"
	nsVCard  = "vcard-temp"
	capsNode = "https://nudge.invalid/caps"
)

// features are what the account's server can do.
type features struct {
	archive     bool // XEP-0313
	carbons     bool // XEP-0280
	blocking    bool // XEP-0191
	privacy     bool // XEP-0016
	preapproval bool // RFC 6121 §3.4
	eventing    bool // XEP-0163
	conversion  bool // XEP-0398
}

// ours is what we tell others that we understand, sorted.
var ours = slices.Sorted(slices.Values([]string{
	stanza.NSDiscoInfo, nsCaps, nsPing, nsActive, nsReceipts, nsMarkers, nsAttention, nsCorrect, nsReactions, nsReply, nsRetract,
	nsMUC, nsConference, nsBookmarks + notify, nsAvatar + notify, nsTune + notify, nsNick + notify,
}))

// discover asks the server and the account what they can do (XEP-0030).
func (l *link) discover() error {
	l.has.preapproval = l.s.Offers("urn:xmpp:features:pre-approval", "sub")
	for _, to := range []string{l.me.Domain, addr(l.me).ID} {
		iq := &stanza.IQ{Attrs: stanza.Attrs{Type: stanza.IQTypeGet, To: to}}
		iq.DiscoInfo()
		n, err := l.ask(iq)
		if fatal(err) {
			return err
		}
		q := stream.Child(n, stanza.NSDiscoInfo, "query")
		if err != nil || q == nil {
			continue
		}
		for i := range q.Nodes {
			if stream.Attr(&q.Nodes[i], "category") == "pubsub" && stream.Attr(&q.Nodes[i], "type") == "pep" {
				l.has.eventing = true
			}
			switch stream.Attr(&q.Nodes[i], "var") {
			case nsMAM:
				l.has.archive = true
			case nsCarbons:
				l.has.carbons = true
			case nsBlocking:
				l.has.blocking = true
			case nsPrivacy:
				l.has.privacy = true
			case nsConversion:
				l.has.conversion = true
			}
		}
	}
	return nil
}

// verification is the hash of what we understand (XEP-0115 §5.1).
var verification = sync.OnceValue(func() string {
	h := sha1.Sum([]byte("client/pc//Nudge<" + strings.Join(ours, "<") + "<"))
	return base64.StdEncoding.EncodeToString(h[:])
})

// capabilities goes into presence.
func capabilities() stanza.Node {
	return element(nsCaps, "c", "hash", "sha-1", "node", capsNode, "ver", verification())
}

// iq answers what the server and contacts ask.
func (l *link) iq(n *stanza.Node) {
	typ := stream.Attr(n, "type")
	if typ != "get" && typ != "set" || len(n.Nodes) == 0 {
		return
	}
	from := stream.Attr(n, "from")
	j, err := stream.ParseJID(from)
	mine := from == "" || err == nil && (j == l.me.Bare() || j == l.me)
	server := mine || err == nil && j == stream.JID{Domain: l.me.Domain}
	q := &n.Nodes[0]
	l.mu.Lock()
	quiet := l.shown.mode != open && !server // who hides does not answer
	l.mu.Unlock()
	reply := &stanza.IQ{XMLName: xml.Name{Local: "iq"}, Attrs: stanza.Attrs{Type: stanza.IQTypeResult, Id: stream.Attr(n, "id"), To: from}}
	switch {
	case quiet:
		refuse(reply)
	case typ == "set" && mine && q.XMLName == (xml.Name{Space: stanza.NSRoster, Local: "query"}):
		l.rosterPush(q)
	case typ == "set" && mine && q.XMLName.Space == nsBlocking:
		l.blockPush(q)
	case typ == "get" && q.XMLName == (xml.Name{Space: nsPing, Local: "ping"}):
	case typ == "get" && q.XMLName == (xml.Name{Space: stanza.NSDiscoInfo, Local: "query"}):
		d := reply.DiscoInfo().SetNode(stream.Attr(q, "node"))
		d.AddIdentity("Nudge", "client", "pc")
		d.AddFeatures(ours...)
	default:
		refuse(reply)
	}
	l.s.Send(reply, nil)
}

// refuse is also what a server answers for a resource that is not there. The
// code is there because gosrc leaves an error without one out.
func refuse(iq *stanza.IQ) {
	iq.Type = stanza.IQTypeError
	iq.Error = &stanza.Err{Code: 503, Type: stanza.ErrorTypeCancel, Reason: "service-unavailable"}
}

// Open fetches a contact's picture, when ref is what his presence announced, or a
// file that somebody sent.
func (l *link) Open(ctx context.Context, _ im.Addr, ref string) (io.ReadCloser, im.File, error) {
	if fetch.Usable(ref) {
		return fetch.Get(ctx, ref, l.fetching())
	}
	l.mu.Lock()
	published := l.hasPublished(ref)
	l.mu.Unlock()
	return fetchPicture(ctx, l.s, "", ref, published)
}
