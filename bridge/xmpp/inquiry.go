package xmpp

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"strings"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// nsGateway is how clients ask a gateway for the address of somebody on its
// other side (XEP-0100 §4.9).
const (
	nsGateway  = "jabber:iq:gateway"
	nsRegister = "jabber:iq:register"
)

// iq answers what is asked of accounts on a component, and of the component.
// There is no registration: accounts are the owner's business.
func (k *component) iq(n *stanza.Node, from, to stream.JID) {
	typ := stream.Attr(n, "type")
	if typ != "get" && typ != "set" || len(n.Nodes) == 0 {
		return
	}
	reply := &stanza.IQ{XMLName: xml.Name{Local: "iq"}, Attrs: stanza.Attrs{
		Type: stanza.IQTypeResult, Id: stream.Attr(n, "id"), From: stream.Attr(n, "to"), To: stream.Attr(n, "from")}}
	condition := ""
	if to.Local == "" {
		condition = k.asksGateway(reply, typ, &n.Nodes[0], from)
	} else {
		condition = k.asksResident(reply, typ, &n.Nodes[0], from, to)
	}
	if no, ok := refusals[condition]; ok {
		reply.Type, reply.Error, reply.Payload, reply.Any = stanza.IQTypeError, &no, nil, nil
	}
	k.s.Send(reply, nil)
}

// asksGateway answers for the component; what it can't is the condition of the
// error.
func (k *component) asksGateway(reply *stanza.IQ, typ string, q *stanza.Node, from stream.JID) (condition string) {
	answer := func(space, local string, nodes ...stanza.Node) string {
		a := element(space, local)
		a.Nodes = nodes
		reply.Any = &a
		return ""
	}
	switch space := q.XMLName.Space; {
	case typ == "get" && space == nsPing:
		return ""
	case typ == "get" && space == stanza.NSDiscoInfo:
		return k.describe(reply, stream.Attr(q, "node"))
	case typ == "get" && space == stanza.NSDiscoItems && stream.Attr(q, "node") == nsCommands:
		return answer(stanza.NSDiscoItems, "query", element(stanza.NSDiscoItems, "item", "jid", k.domain, "node", whoIsHere, "name", whoTitle))
	case typ == "get" && space == stanza.NSDiscoItems:
		return answer(stanza.NSDiscoItems, "query")
	case typ == "set" && space == nsCommands && q.XMLName.Local == "command":
		return k.command(reply, q, from)
	case space == nsRegister:
		return "not-allowed"
	case typ == "get" && space == nsVCard:
		return answer(nsVCard, "vCard", words(nsVCard, "FN", "Nudge"), words(nsVCard, "DESC", "The way to people with MSN Messenger."))
	case typ == "get" && space == nsGateway:
		return answer(nsGateway, "query", words(nsGateway, "desc", "Give the MSN address of the person, such as alice@hotmail.com."), words(nsGateway, "prompt", "MSN address"))
	case typ == "set" && space == nsGateway:
		acct, ok := k.host.Account(strings.TrimSpace(stream.Text(q, nsGateway, "prompt")))
		if !ok || !k.welcomes(from) {
			return "item-not-found"
		}
		return answer(nsGateway, "query", words(nsGateway, "jid", address(acct.ID, k.domain).String()))
	}
	return "service-unavailable"
}

// asksResident answers for an account, to those who may write to it.
func (k *component) asksResident(reply *stanza.IQ, typ string, q *stanza.Node, from, to stream.JID) (condition string) {
	r, acct, ok := k.resident(handle(to))
	if !ok {
		return "item-not-found"
	}
	if may, blocked := acct.OnList(addr(from)); !may || blocked || typ != "get" || !k.mayWrite(r, from) {
		return "service-unavailable"
	}
	space := q.XMLName.Space
	if (space == nsVCard || space == nsPubSub) && r.lobby.has(addr(from).ID) {
		return "service-unavailable" // who is in a room need not know whom he meets there
	}
	switch space {
	case nsPing:
		return ""
	case nsPubSub:
		return onNode(reply, q, k.wears(r, acct))
	case stanza.NSDiscoInfo:
		d := reply.DiscoInfo().SetNode(stream.Attr(q, "node"))
		if to.Resource == "" {
			d.AddIdentity("", "account", "registered")
		} else {
			d.AddIdentity("Nudge", "client", "pc")
		}
		d.AddFeatures(ours...)
		return ""
	case nsVCard:
		card := element(nsVCard, "vCard")
		card.Nodes = []stanza.Node{words(nsVCard, "FN", im.OneLine(acct.Name)), words(nsVCard, "NICKNAME", im.OneLine(acct.Name)), words(nsVCard, "JABBERID", r.jid.Bare().String())}
		if png := k.wears(r, acct); png != nil {
			card.Nodes = append(card.Nodes, photo(png))
		}
		reply.Any = &card
		return ""
	}
	return "service-unavailable"
}

// wears is the picture that an account shows now, nil when it is none.
func (k *component) wears(r *resident, acct im.Account) []byte {
	if acct.Now.Picture == nil {
		return nil
	}
	png := k.host.Picture(r.user)
	if sha1.Sum(png) != acct.Now.Picture.SHA1 {
		return nil
	}
	return png
}

// onNode answers who asks for what an account publishes: its picture, for clients that
// know no vCards. That there is another one its presence says (XEP-0153).
func onNode(reply *stanza.IQ, q *stanza.Node, png []byte) (condition string) {
	all := stream.Child(q, nsPubSub, "items")
	sum := sha1.Sum(png)
	hash := hex.EncodeToString(sum[:])
	what := metadata(hash, len(png))
	node, id := stream.Attr(all, "node"), stream.Attr(stream.Child(all, nsPubSub, "item"), "id")
	switch {
	case png == nil || id != "" && id != hash:
		return "item-not-found"
	case node == nsAvatarData:
		what = pictureData(png)
	case node != nsAvatar:
		return "item-not-found"
	}
	answer := items(node, hash)
	answer.Nodes[0].Nodes[0].Nodes = []stanza.Node{what}
	reply.Any = &answer
	return ""
}
