package xmpp

import (
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
)

// element makes an element for a stanza; attrs are names and values in turn.
func element(space, local string, attrs ...string) stanza.Node {
	n := stanza.Node{XMLName: xml.Name{Space: space, Local: local}}
	for i := 0; i+1 < len(attrs); i += 2 {
		n.Attrs = append(n.Attrs, xml.Attr{Name: xml.Name{Local: attrs[i]}, Value: im.Plain(attrs[i+1])})
	}
	return n
}

// words makes an element that holds text.
func words(space, local, content string) stanza.Node {
	n := element(space, local)
	n.Content = im.Plain(content)
	return n
}

// composeGroup makes the stanza for m to all in a room. Nobody is asked for a
// receipt, and a nudge, which would shake everybody's window, is told in words.
func composeGroup(m im.Message, room string, about target) (stanza.Message, error) {
	if m.Kind == im.Nudge {
		m.Kind, m.Text = im.Emote, "sends a nudge"
	}
	p, err := compose(m, room, about)
	p.Type = stanza.MessageTypeGroupchat
	p.Extensions = slices.DeleteFunc(p.Extensions, func(e stanza.MsgExtension) bool {
		n, is := e.(stanza.Node)
		return is && (n.XMLName.Space == nsReceipts || n.XMLName.Space == nsMarkers)
	})
	return p, err
}

// compose makes the stanza for m, which is about another message when m.Rel says so.
// ErrUnsupported: the hub says it in plain text instead.
func compose(m im.Message, to string, about target) (stanza.Message, error) {
	p := stanza.NewMessage(stanza.Attrs{Type: stanza.MessageTypeChat, To: to, Id: m.ID})
	add := func(n ...stanza.Node) {
		for _, n := range n {
			p.Extensions = append(p.Extensions, n)
		}
	}
	body := im.Plain(m.Text)
	switch {
	case m.Kind == im.Nudge:
		// The hint makes servers keep it, so that it can be settled and caught up.
		add(element(nsAttention, "attention"), element(nsHints, "store"))
	case m.Rel.Kind != im.NoRel && about.name == "", m.Rel.Kind == im.Vote:
		return p, im.ErrUnsupported
	case m.File != nil:
		// The same address as words: that is how clients know that it is all (XEP-0066 §3).
		p.Body = m.File.Ref
		x := element(nsOOB, "x")
		x.Nodes = []stanza.Node{words(nsOOB, "url", m.File.Ref)}
		add(x, element(nsActive, "active"), element(nsMarkers, "markable"))
	case m.Rel.Kind == im.React:
		r := element(nsReactions, "reactions", "id", about.name)
		for _, e := range strings.Fields(body) {
			r.Nodes = append(r.Nodes, words(nsReactions, "reaction", e))
		}
		add(r, element(nsHints, "store"))
	case m.Rel.Kind == im.Retract:
		add(element(nsRetract, "retract", "id", about.name), element(nsFallback, "fallback", "for", nsRetract), element(nsHints, "store"))
		p.Body = "(took back an earlier message)"
	case strings.TrimSpace(body) == "":
		return p, im.ErrUnsupported
	default:
		p.Body = body
		if m.Kind == im.Emote {
			p.Body = slashMe + body
		}
		switch {
		case m.Rel.Kind == im.Edit:
			add(element(nsCorrect, "replace", "id", about.name))
		case m.Rel.Kind == im.Reply:
			add(composeReply(&p, m, about)...)
		}
		if m.Passed {
			add(element(nsPassed, "passed"))
		}
		add(element(nsActive, "active"), element(nsMarkers, "markable"))
	}
	add(element(nsSID, "origin-id", "id", m.ID), element(nsReceipts, "request"))
	return p, nil
}

// composeReply makes what says that p answers another message, and puts that into
// words for clients that don't know such a thing (XEP-0461 §3.2, XEP-0428).
func composeReply(p *stanza.Message, m im.Message, about target) []stanza.Node {
	reply := element(nsReply, "reply", "id", about.name)
	if about.author != "" {
		reply = element(nsReply, "reply", "id", about.name, "to", about.author)
	}
	if m.Rel.Quote == "" || m.Kind != im.Text {
		return []stanza.Node{reply}
	}
	quote := "> " + im.OneLine(m.Rel.Quote) + "\n"
	p.Body = quote + p.Body
	fallback := element(nsFallback, "fallback", "for", nsReply)
	fallback.Nodes = []stanza.Node{element(nsFallback, "body", "start", "0", "end", strconv.Itoa(utf8.RuneCountInString(quote)))}
	return []stanza.Node{reply, fallback}
}

// composeState makes a chat state; it is worth nothing later.
func composeState(to, state string) stanza.Message {
	p := stanza.NewMessage(stanza.Attrs{Type: stanza.MessageTypeChat, To: to})
	p.Extensions = []stanza.MsgExtension{element(nsActive, state), element(nsHints, "no-store")}
	return p
}

// composeReceipt tells a sender's client that its message ref has arrived or
// was read.
func composeReceipt(to, space, local, ref string) stanza.Message {
	p := stanza.NewMessage(stanza.Attrs{Type: stanza.MessageTypeChat, To: to})
	p.Extensions = []stanza.MsgExtension{element(space, local, "id", ref), element(nsHints, "store")}
	return p
}

// query makes an IQ with one payload.
func query(typ stanza.StanzaType, to string, payload stanza.Node) *stanza.IQ {
	return &stanza.IQ{XMLName: xml.Name{Local: "iq"}, Attrs: stanza.Attrs{Type: typ, To: to}, Any: &payload}
}
