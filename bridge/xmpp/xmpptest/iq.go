package xmpptest

import (
	"fmt"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"
)

// iq answers what clients ask the server and passes the rest on.
func (s *Server) iq(a *account, x *session, n *stanza.Node) {
	to, typ := attr(n, "to"), attr(n, "type")
	bare, res := split(to)
	if to == "upload."+s.Domain && s.Slots != nil && len(n.Nodes) > 0 {
		s.upload(x, n, &n.Nodes[0])
		return
	}
	if b := s.local(to); s.PEP && b != nil && res == "" && s.pep(a, b, x, n) {
		return
	}
	if to != "" && to != s.Domain && bare != x.bare() || res != "" {
		if b := s.local(to); b != nil && b.sessions[res] != nil {
			b.sessions[res].give(n)
		} else if s.ofComponent(to) {
			s.toComponent(n)
		} else if typ == "get" || typ == "set" {
			condition := "service-unavailable"
			if !strings.HasSuffix(bare, "@"+s.Domain) {
				condition = "remote-server-not-found"
			}
			s.fail(x, n, condition)
		}
		return
	}
	if len(n.Nodes) == 0 || typ != "get" && typ != "set" || s.PEP && to == "" && s.pep(a, a, x, n) {
		return
	}
	q := &n.Nodes[0]
	switch ns := q.XMLName.Space; {
	case ns == "jabber:iq:roster" && typ == "get":
		x.roster = true
		items := ""
		for _, jid := range sortedKeys(a.roster) {
			if i := a.roster[jid]; !i.pending || i.sub != "none" || i.name != "" {
				items += s.itemXML(a, jid)
			}
		}
		s.reply(x, n, "<query xmlns='jabber:iq:roster'>"+items+"</query>")
	case ns == "jabber:iq:roster":
		s.rosterSet(a, x, n, child(q, ns, "item"))
	case ns == nsCarbons:
		x.carbons = q.XMLName.Local == "enable"
		s.reply(x, n, "")
	case ns == "urn:xmpp:ping":
		s.reply(x, n, "")
	case ns == stanza.NSDiscoInfo:
		s.disco(x, n, to)
	case ns == stanza.NSDiscoItems && s.Slots != nil:
		s.reply(x, n, "<query xmlns='"+ns+"'><item jid='upload."+s.Domain+"'/></query>")
	case ns == nsMAM && !s.NoMAM:
		s.query(a, x, n, q)
	case ns == nsBlocking && !s.NoBlocking:
		s.blocking(a, x, n, q)
	case ns == nsPrivacy && s.Privacy:
		s.privacy(a, x, n, q)
	default:
		s.fail(x, n, "service-unavailable")
	}
}

func (s *Server) reply(x *session, n *stanza.Node, payload string) {
	from := ""
	if to := attr(n, "to"); to != "" {
		from = " from='" + to + "'"
	}
	x.give(parse(fmt.Sprintf("<iq type='result' id='%s'%s>%s</iq>", attr(n, "id"), from, payload)))
}

func (s *Server) fail(x *session, n *stanza.Node, condition string) {
	from := ""
	if to := attr(n, "to"); to != "" {
		from = " from='" + to + "'"
	}
	x.give(parse(fmt.Sprintf("<iq type='error' id='%s'%s><error type='cancel'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", attr(n, "id"), from, condition)))
}

func (s *Server) rosterSet(a *account, x *session, n, i *stanza.Node) {
	jid := attr(i, "jid")
	if attr(i, "subscription") == "remove" {
		if a.roster[jid] == nil {
			s.fail(x, n, "item-not-found")
			return
		}
		delete(a.roster, jid)
	} else {
		e := s.entry(a, jid)
		e.name, e.groups = attr(i, "name"), nil
		for k := range i.Nodes {
			e.groups = append(e.groups, i.Nodes[k].Content)
		}
	}
	s.reply(x, n, "")
	s.push(a, jid)
}

func (s *Server) disco(x *session, n *stanza.Node, to string) {
	features := []string{stanza.NSDiscoInfo, nsCarbons, "urn:xmpp:ping"}
	if !s.NoMAM {
		features = append(features, nsMAM, "urn:xmpp:sid:0")
	}
	if to == s.Domain {
		if !s.NoBlocking {
			features = append(features, nsBlocking)
		}
		if s.Privacy {
			features = append(features, nsPrivacy)
		}
	}
	text := ""
	if s.PEP {
		text = "<identity category='pubsub' type='pep'/>"
	}
	for _, f := range features {
		text += "<feature var='" + f + "'/>"
	}
	s.reply(x, n, "<query xmlns='"+stanza.NSDiscoInfo+"'>"+text+"</query>")
}

func (s *Server) blocking(a *account, x *session, n, q *stanza.Node) {
	list := ""
	switch q.XMLName.Local {
	case "block", "unblock":
		for i := range q.Nodes {
			a.blocked[attr(&q.Nodes[i], "jid")] = q.XMLName.Local == "block"
		}
	case "blocklist":
		for jid, on := range a.blocked {
			if on {
				list += "<item jid='" + jid + "'/>"
			}
		}
		list = "<blocklist xmlns='" + nsBlocking + "'>" + list + "</blocklist>"
	}
	s.reply(x, n, list)
}

// Blocked tells whether the account blocks a bare address.
func (s *Server) Blocked(user, bare string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[user].blocked[bare]
}

func (s *Server) privacy(a *account, x *session, n, q *stanza.Node) {
	for i := range q.Nodes {
		switch c := &q.Nodes[i]; c.XMLName.Local {
		case "list":
			a.lists[attr(c, "name")] = true
		case "active":
			name := attr(c, "name")
			if name != "" && (!a.lists[name] || s.PrivacyFails) {
				s.fail(x, n, "item-not-found")
				return
			}
			x.hidden = name != ""
		}
	}
	s.reply(x, n, "")
}

// query answers one archive query (XEP-0313 with XEP-0059).
func (s *Server) query(a *account, x *session, n, q *stanza.Node) {
	set := child(q, nsRSM, "set")
	limit, after := 50, ""
	if c := child(set, nsRSM, "max"); c != nil {
		limit = number(c.Content, limit)
	}
	if c := child(set, nsRSM, "after"); c != nil {
		after = c.Content
	}
	var start time.Time
	if f := child(q, "jabber:x:data", "x"); f != nil {
		for i := range f.Nodes {
			if attr(&f.Nodes[i], "var") == "start" {
				start, _ = time.Parse(time.RFC3339, f.Nodes[i].Nodes[0].Content)
			}
		}
	}
	from, known := 0, after == ""
	for i, m := range a.archive {
		if m.id == after {
			from, known = i+1, true
		}
	}
	if !known && !s.UnknownAfterIsStart {
		s.fail(x, n, "item-not-found")
		return
	}
	var found []archived
	for _, m := range a.archive[from:] {
		if !m.at.Before(start) {
			found = append(found, m)
		}
	}
	complete := len(found) <= limit
	if child(set, nsRSM, "before") != nil {
		found = found[max(0, len(found)-limit):]
	} else if !complete {
		found = found[:limit]
	}
	rsm := ""
	for _, m := range found {
		r := parse(fmt.Sprintf("<message from='%s'><result xmlns='%s' queryid='%s' id='%s'><forwarded xmlns='%s'><delay xmlns='urn:xmpp:delay' stamp='%s'/></forwarded></result></message>",
			x.bare(), nsMAM, attr(q, "queryid"), m.id, nsForward, stamp(m.at)))
		f := &r.Nodes[0].Nodes[0]
		f.Nodes = append(f.Nodes, *m.n)
		x.give(r)
		rsm = "<last>" + m.id + "</last>"
	}
	end := ""
	if complete {
		end = " complete='true'"
	}
	s.reply(x, n, strings.Join([]string{"<fin xmlns='", nsMAM, "'", end, "><set xmlns='", nsRSM, "'>", rsm, "</set></fin>"}, ""))
}
