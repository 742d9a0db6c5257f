package xmpp

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

const (
	nsIdle  = "urn:xmpp:idle:1"
	nsNick  = "http://jabber.org/protocol/nick"
	nsPhoto = "vcard-temp:x:update"
	// nsMSN is our own: the exact state, for another box.
	nsMSN = "urn:nudge:msn-presence:0"
	// nsPassed, likewise: somebody else's words, which no box repeats (im.Message.Passed).
	nsPassed = "urn:nudge:passed:0"
)

// codes are the states as the protocol of the clients writes them.
var codes = map[im.Status]string{
	im.Online: "NLN", im.Busy: "BSY", im.Idle: "IDL", im.BeRightBack: "BRB", im.Away: "AWY", im.Phone: "PHN", im.Lunch: "LUN",
}

// shows narrows a state to what XMPP knows (MAPPING.md §2).
var shows = map[im.Status]stanza.PresenceShow{
	im.Busy: stanza.PresenceShowDND, im.Phone: stanza.PresenceShowDND, im.Idle: stanza.PresenceShowAway,
	im.BeRightBack: stanza.PresenceShowAway, im.Away: stanza.PresenceShowAway, im.Lunch: stanza.PresenceShowXA,
}

// available tells whether contacts are to see the account at all.
func available(s im.Status) bool { return s != im.Offline && s != im.Hidden }

// composePresence makes the account's presence; now is when it went idle.
func composePresence(p im.Presence, now time.Time) stanza.Presence {
	out := stanza.NewPresence(stanza.Attrs{})
	out.Show, out.Status = shows[p.Status], im.Plain(p.Note)
	if out.Status == "" && p.Media != "" {
		out.Status = "♫ " + im.Plain(p.Media)
	}
	exact := element(nsMSN, "msn", "status", codes[p.Status])
	if p.Media != "" {
		exact.Nodes = append(exact.Nodes, words(nsMSN, "media", p.Media))
	}
	if p.Note != "" {
		exact.Nodes = append(exact.Nodes, words(nsMSN, "note", p.Note))
	}
	out.Extensions = []stanza.PresExtension{capabilities(), exact}
	if p.Status == im.Idle {
		out.Extensions = append(out.Extensions, element(nsIdle, "idle", "since", now.UTC().Format(time.RFC3339)))
	}
	return out
}

// seen is the presence of one resource of a contact.
type seen struct {
	im.Presence
	nick     string
	priority int
	at       time.Time
}

// readPresence reads an available presence.
func readPresence(n *stanza.Node, from stream.JID, now time.Time) seen {
	s := seen{at: now}
	s.Status = im.Online
	switch strings.TrimSpace(stream.Text(n, stanza.NSClient, "show")) {
	case "away", "xa":
		s.Status = im.Away
		if stream.Child(n, nsIdle, "idle") != nil {
			s.Status = im.Idle
		}
	case "dnd":
		s.Status = im.Busy
	}
	s.Note = im.Plain(strings.TrimSpace(stream.Text(n, stanza.NSClient, "status")))
	if exact := stream.Child(n, nsMSN, "msn"); exact != nil {
		for st, code := range codes {
			if code == stream.Attr(exact, "status") {
				s.Status = st
			}
		}
		s.Note, s.Media = im.Plain(stream.Text(exact, nsMSN, "note")), im.Plain(stream.Text(exact, nsMSN, "media"))
	}
	s.nick = im.Plain(stream.Text(n, nsNick, "nick"))
	if p, err := strconv.ParseInt(strings.TrimSpace(stream.Text(n, stanza.NSClient, "priority")), 10, 8); err == nil {
		s.priority = int(p)
	}
	if hash := strings.TrimSpace(stream.Text(stream.Child(n, nsPhoto, "x"), nsPhoto, "photo")); len(hash) == 40 {
		s.Avatar = addr(from).ID + "#" + hash
	}
	return s
}

// rank orders states by how available they are.
var rank = map[im.Status]int{im.Online: 5, im.Busy: 4, im.Phone: 4, im.BeRightBack: 3, im.Idle: 2, im.Away: 2, im.Lunch: 1}

// best is what a contact with these resources shows: the highest priority that
// is not negative, ties to the most available and then the latest. Servers
// keep messages for whom they can't reach.
func best(resources map[string]seen) seen {
	offline := seen{Presence: im.Presence{Status: im.Offline, Later: true}}
	out, found := offline, false
	for _, s := range resources {
		if s.priority < 0 {
			continue
		}
		if !found || cmp.Or(cmp.Compare(s.priority, out.priority), cmp.Compare(rank[s.Status], rank[out.Status]), s.at.Compare(out.at)) > 0 {
			out, found = s, true
		}
	}
	if found && out.Avatar == "" {
		out.Avatar = newestPicture(resources)
	}
	return out
}

// newestPicture is what the latest of the clients that know of pictures shows: not
// every one does.
func newestPicture(resources map[string]seen) (ref string) {
	var at time.Time
	for _, s := range resources {
		if s.Avatar != "" && (ref == "" || s.at.After(at)) {
			ref, at = s.Avatar, s.at
		}
	}
	return ref
}
