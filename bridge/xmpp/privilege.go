package xmpp

import (
	"context"
	"slices"
	"strings"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// nsPrivilege is how a server tells a component what it may do for the server's people
// (XEP-0356); a number follows.
const nsPrivilege = "urn:xmpp:privilege:"

// Values of the setting roster: who asks people of the server whether an account may have
// them on its list.
const (
	rosterKey = "roster"
	rosterAsk = "ask"
	rosterSet = "set"
)

var rosterField = im.Field{
	Key: rosterKey, Label: "Contact lists of the server's people", Help: "Whom an account adds is asked, or, with set, has it on his own list at once, where the server lets the component do that (XEP-0356).",
	Default: rosterAsk, Choices: []string{rosterAsk, rosterSet},
}

// granted notes what a server lets the component do: to the lists of its own people.
func (k *component) granted(n *stanza.Node, from stream.JID) {
	if may, told := readPrivilege(n); told && from == (stream.JID{Domain: home(k.domain)}) {
		k.mu.Lock()
		k.lists = may
		k.mu.Unlock()
	}
}

// readPrivilege reads whether contact lists may be read and changed; false when nothing is
// told.
func readPrivilege(n *stanza.Node) (may, told bool) {
	for i := range n.Nodes {
		p := &n.Nodes[i]
		if p.XMLName.Local != "privilege" || !strings.HasPrefix(p.XMLName.Space, nsPrivilege) {
			continue
		}
		told = true
		for j := range p.Nodes {
			perm := &p.Nodes[j]
			may = may || perm.XMLName.Local == "perm" && stream.Attr(perm, "access") == rosterKey && stream.Attr(perm, "type") == "both"
		}
	}
	return may, told
}

// introduce puts an account on the list of somebody whom it adds, where that may be done,
// so that nobody is asked: his server then says yes to the account's request. Where
// it can't be done he is asked as ever.
func (k *component) introduce(ctx context.Context, r *resident, acct im.Account, to stream.JID) {
	if to.Domain != home(k.domain) || k.host.Setting(im.Addr{}, rosterKey) != rosterSet {
		return
	}
	bare := addr(to).ID
	k.mu.Lock()
	c := r.contact(bare)
	may := k.lists && !c.seenBy() // else he has it there, in his own order
	k.mu.Unlock()
	if !may {
		return
	}
	if on, err := k.enlist(ctx, bare, element(stanza.NSRoster, "item", "jid", r.jid.Bare().String(), "subscription", "both", "name", im.OneLine(acct.Name))); !on {
		k.log.Info("an account can't be put on a contact list; the person is asked", "account", r.user.ID, "err", err)
		return
	}
	k.mu.Lock()
	c.asked, c.sub = false, with(c.sub, "from")
	k.changed(r, bare)
	who := c.listing(bare)
	k.mu.Unlock()
	if k.save(ctx) == nil && k.accept(r.user, nil, im.Roster{Items: []im.Contact{who}}) == nil {
		k.showTo(r, acct, bare)
	}
}

// enlist puts an item on somebody's list, and tells whether it is there as it was meant:
// some servers say yes, and leave who may see whom as it was.
func (k *component) enlist(ctx context.Context, bare string, item stanza.Node) (on bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q := element(stanza.NSRoster, "query")
	q.Nodes = []stanza.Node{item}
	var n *stanza.Node
	for _, iq := range []*stanza.IQ{query(stanza.IQTypeSet, bare, q), query(stanza.IQTypeGet, bare, element(stanza.NSRoster, "query"))} {
		iq.From = k.domain
		if n, err = k.s.Do(ctx, iq); err != nil {
			return false, err
		}
	}
	list := stream.Child(n, stanza.NSRoster, "query")
	return list != nil && slices.ContainsFunc(list.Nodes, func(c stanza.Node) bool {
		return stream.Attr(&c, "jid") == stream.Attr(&item, "jid") && stream.Attr(&c, "subscription") == stream.Attr(&item, "subscription")
	}), nil
}
