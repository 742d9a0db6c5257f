package xmpp

import (
	"crypto/rand"
	"sort"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// nsCommands is how clients show what a gateway can do as a menu (XEP-0050).
const nsCommands = "http://jabber.org/protocol/commands"

// whoIsHere is the one command: which accounts there are, for whom may write to them.
const (
	whoIsHere = "who"
	whoTitle  = "Who is here?"
)

// maxHere bounds the answer.
const maxHere = 200

// describe answers what the component, or one of its commands, is (XEP-0030).
func (k *component) describe(reply *stanza.IQ, node string) (condition string) {
	switch node {
	case "":
		d := reply.DiscoInfo()
		d.AddIdentity("Nudge", "gateway", "msn")
		d.AddFeatures(stanza.NSDiscoInfo, stanza.NSDiscoItems, nsCommands, nsPing, nsGateway, nsVCard)
	case nsCommands:
		reply.DiscoInfo().SetNode(node).AddIdentity("Commands", "automation", "command-list")
	case whoIsHere:
		d := reply.DiscoInfo().SetNode(node)
		d.AddIdentity(whoTitle, "automation", "command-node")
		d.AddFeatures(nsCommands, nsForm)
	default:
		return "item-not-found"
	}
	return ""
}

// command carries one out. It needs no second step: what is asked again begins anew.
func (k *component) command(reply *stanza.IQ, q *stanza.Node, from stream.JID) (condition string) {
	if stream.Attr(q, "node") != whoIsHere {
		return "item-not-found"
	}
	session, status := stream.Attr(q, "sessionid"), "completed"
	if session == "" {
		session = rand.Text()
	}
	switch stream.Attr(q, "action") {
	case "", "execute", "complete":
	case "cancel":
		status = "canceled"
	default:
		return "bad-request"
	}
	answer := element(nsCommands, "command", "node", whoIsHere, "sessionid", session, "status", status)
	if status == "completed" {
		here := k.here(from)
		if len(here) == 0 && !k.welcomes(from) {
			return "forbidden"
		}
		answer.Nodes = []stanza.Node{listOf(here, k.domain)}
	}
	reply.Any = &answer
	return ""
}

// here are the accounts that somebody may write to, by their handles.
func (k *component) here(who stream.JID) (all []im.Person) {
	for acct := range k.host.Accounts() {
		r, _, ok := k.resident(acct.ID)
		if !ok {
			continue
		}
		if may, blocked := acct.OnList(addr(who)); may && !blocked && k.mayWrite(r, who) {
			all = append(all, acct.Person)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all[:min(len(all), maxHere)]
}

// listOf shows accounts as a table (XEP-0004 §3.4).
func listOf(accounts []im.Person, domain string) stanza.Node {
	form := element(nsForm, "x", "type", "result")
	reported := element(nsForm, "reported")
	reported.Nodes = []stanza.Node{
		element(nsForm, "field", "var", "name", "label", "Name", "type", "text-single"),
		element(nsForm, "field", "var", "jid", "label", "Address", "type", "jid-single"),
	}
	form.Nodes = []stanza.Node{words(nsForm, "title", whoTitle), reported}
	for _, a := range accounts {
		item := element(nsForm, "item")
		item.Nodes = []stanza.Node{formField("name", im.OneLine(a.Name)), formField("jid", address(a.ID, domain).String())}
		form.Nodes = append(form.Nodes, item)
	}
	return form
}
