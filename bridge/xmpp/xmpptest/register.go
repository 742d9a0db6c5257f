package xmpptest

import (
	"fmt"

	"gosrc.io/xmpp/stanza"
)

const nsRegister = "jabber:iq:register"

// PlainForm is what a server asks for that wants no more than a name and a password.
const PlainForm = "<instructions>Choose a username and password.</instructions><username/><password/>"

// Registration is how somebody makes an account himself (XEP-0077): what the server asks for, ""
// when it makes none, and the condition with which it refuses all the same.
type Registration struct{ Form, Refuse string }

func (r Registration) feature() string {
	if r.Form == "" {
		return ""
	}
	return "<register xmlns='http://jabber.org/features/iq-register'/>"
}

// register answers what a client asks before it has logged in.
func (k *conn) register(n *stanza.Node) {
	id, q := attr(n, "id"), child(n, nsRegister, "query")
	fail := func(condition string) {
		k.write(fmt.Sprintf("<iq type='error' id='%s'><error type='cancel'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Says the server.</text></error></iq>", id, condition))
	}
	switch {
	case q == nil || k.s.Form == "":
		fail("service-unavailable")
	case attr(n, "type") == "get":
		k.write(fmt.Sprintf("<iq type='result' id='%s'><query xmlns='%s'>%s</query></iq>", id, nsRegister, k.s.Form))
	case k.s.Refuse != "":
		fail(k.s.Refuse)
	default:
		k.enroll(id, q, fail)
	}
}

func (k *conn) enroll(id string, q *stanza.Node, fail func(string)) {
	said := map[string]string{}
	for _, c := range q.Nodes {
		said[c.XMLName.Local] = c.Content
		for _, f := range c.Nodes { // of a data form
			if v := child(&f, "jabber:x:data", "value"); v != nil {
				said[attr(&f, "var")] = v.Content
			}
		}
	}
	name := said["username"]
	if k.account(name) != nil {
		fail("conflict")
		return
	}
	k.s.AddUser(name)
	k.s.mu.Lock()
	k.s.accounts[name].password = said["password"]
	k.s.mu.Unlock()
	k.write("<iq type='result' id='" + id + "'/>")
}
