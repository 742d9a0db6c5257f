package stream

import (
	"context"
	"encoding/xml"
	"net/url"
	"strings"

	"gosrc.io/xmpp/stanza"
)

const (
	nsRegister        = "jabber:iq:register"
	nsRegisterFeature = "http://jabber.org/features/iq-register"
	nsData            = "jabber:x:data"
	nsOOB             = "jabber:x:oob"
)

// Register makes the account cfg.JID with cfg.Password at its server (XEP-0077), over a
// line that is encrypted and verified as for a log-in. Only a server that wants no more
// than a name and a password can be served; where it wants a person, the words say so,
// with the address of its page when it tells one. Errors are *Error.
func Register(ctx context.Context, cfg Config) error {
	cfg.fill()
	s := &Stream{cfg: cfg}
	w, err := s.reach(ctx, s.register)
	if err == nil {
		w.conn.Close()
	}
	return err
}

// register is the conversation about it, on a fresh connection.
func (s *Stream) register(ctx context.Context, w *wire, direct bool) error {
	features, err := s.greet(ctx, w, direct)
	if err != nil {
		return err
	}
	if Child(features, nsRegisterFeature, "register") == nil {
		return s.unregistered("", "it lets nobody make accounts from a chat program")
	}
	n, err := s.enquire(w, "get", "")
	if err != nil {
		return err
	}
	f := readForm(Child(n, nsRegister, "query"))
	if len(f.more) > 0 {
		return s.unregistered(f.page, "it asks for more than a name and a password ("+clip(strings.Join(f.more, ", "))+")")
	}
	_, err = s.enquire(w, "set", f.fill(s.cfg.JID.Local, s.cfg.Password))
	return err
}

// iqName is the name of an answer.
var iqName = xml.Name{Space: stanza.NSClient, Local: "iq"}

// enquire asks the server about accounts.
func (s *Stream) enquire(w *wire, kind, form string) (*stanza.Node, error) {
	err := w.send("<iq type='" + kind + "' id='register' to='" + escape(s.cfg.JID.Domain) + "'><query xmlns='" + nsRegister + "'>" + form + "</query></iq>")
	if err != nil {
		return nil, err
	}
	n, err := w.next()
	switch {
	case err != nil:
		return nil, err
	case n.XMLName == iqName && Attr(n, "type") == "result":
		return n, nil
	case n.XMLName == iqName:
		return nil, s.enrolError(n)
	case n.XMLName.Space == stanza.NSStream && n.XMLName.Local == "error":
		return nil, streamError(n)
	}
	return nil, brokenError("no answer to a registration")
}

// enrolError puts into words why the server made no account.
func (s *Stream) enrolError(n *stanza.Node) error {
	e := ErrorOf(n)
	page := readForm(Child(n, nsRegister, "query")).page
	if e.Condition == "conflict" {
		return &Error{Kind: Credentials, Condition: e.Condition, Text: "Somebody has the address " + s.cfg.JID.Bare().String() +
			" already, with another password. Choose another address, or give its password if it is yours."}
	}
	why := "it refused (" + e.Condition + ")"
	if e.Text != "" {
		why += ". It says: " + e.Text
	}
	err := s.unregistered(page, why)
	if e.Type == "wait" || e.Condition == "resource-constraint" {
		err.Kind, err.Text = Network, err.Text+" It is tried again by itself."
	}
	err.Condition = e.Condition
	return err
}

// unregistered says why there is no account, and what to do.
func (s *Stream) unregistered(page, why string) *Error {
	text := "The server " + s.cfg.JID.Domain + " made no account: " + strings.TrimSuffix(why, ".") + "."
	if page != "" {
		text += " Make it on the page " + page + " and link it then."
	} else {
		text += " Make it on the server's own page, or ask its owner, and link it then."
	}
	return &Error{Kind: Refused, Text: text}
}

// form is what a server wants to know for a new account.
type form struct {
	data bool     // it is answered as a data form (XEP-0004), with kind
	kind string   // FORM_TYPE
	more []string // what is wanted beside name and password
	page string   // where a person can do it, "" not told
}

// readForm reads XEP-0077 §3.1, with the data form of §4 and the page of §5.
func readForm(q *stanza.Node) (f form) {
	if q == nil {
		return f
	}
	x := Child(q, nsData, "x")
	f.data = x != nil
	f.page = page(Text(Child(q, nsOOB, "x"), nsOOB, "url"))
	for i := range q.Nodes {
		switch c := &q.Nodes[i]; {
		case c.XMLName.Space != nsRegister || f.data:
		case c.XMLName.Local == "instructions":
			f.suggest(c.Content)
		case c.XMLName.Local != "username" && c.XMLName.Local != "password" && c.XMLName.Local != "registered":
			f.more = append(f.more, c.XMLName.Local)
		}
	}
	if f.data {
		f.readData(x)
	}
	if f.page != "" && !f.data && Child(q, nsRegister, "username") == nil {
		f.more = append(f.more, "a visit to its page")
	}
	return f
}

func (f *form) readData(x *stanza.Node) {
	for i := range x.Nodes {
		c := &x.Nodes[i]
		name, value := Attr(c, "var"), Text(c, nsData, "value")
		switch {
		case c.XMLName.Local == "instructions":
			f.suggest(c.Content)
		case c.XMLName.Local != "field":
		case name == "FORM_TYPE":
			f.kind = value
		case name == "username" || name == "password":
		default:
			f.suggest(value)
			if Child(c, nsData, "required") != nil {
				f.more = append(f.more, name)
			}
		}
	}
}

// suggest takes the page out of words, when none is known.
func (f *form) suggest(words string) {
	for w := range strings.FieldsSeq(words) {
		if f.page == "" {
			f.page = page(strings.Trim(w, "<>()\"'.,;"))
		}
	}
}

// page is address when a browser can open it, and words can have it in their midst.
func page(address string) string {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(address) > 300 || strings.ContainsAny(u.Host, " <>\"'") {
		return ""
	}
	return u.String()
}

// fill is the answer to the form.
func (f form) fill(user, password string) string {
	if !f.data {
		return "<username>" + escape(user) + "</username><password>" + escape(password) + "</password>"
	}
	field := func(name, value string) string {
		return "<field var='" + name + "'><value>" + escape(value) + "</value></field>"
	}
	out := "<x xmlns='" + nsData + "' type='submit'>"
	if f.kind != "" {
		out += field("FORM_TYPE", f.kind)
	}
	return out + field("username", user) + field("password", password) + "</x>"
}
