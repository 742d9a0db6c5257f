package stream

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/xmpp/xmpptest"
)

// dataForm asks for a name and a password as a data form, and for what is in it.
func dataForm(more string) string {
	return "<instructions>Fill in the form.</instructions><x xmlns='jabber:x:data' type='form'><instructions>See &lt;https://chat.test/help&gt;.</instructions>" +
		"<field type='hidden' var='FORM_TYPE'><value>jabber:iq:register</value></field><field type='text-single' var='username'><required/></field>" +
		"<field type='text-private' var='password'><required/></field>" + more + "</x>"
}

func TestRegister(t *testing.T) {
	for _, c := range []struct {
		name, user string
		o          xmpptest.Options
		kind       Kind
		text       string // with "|" between what must be in it; "": the account is made
	}{
		{name: "plain", o: xmpptest.Options{Registration: xmpptest.Registration{Form: xmpptest.PlainForm}}},
		{name: "direct", o: xmpptest.Options{DirectTLS: true, Registration: xmpptest.Registration{Form: xmpptest.PlainForm}}},
		{name: "data form", o: xmpptest.Options{Registration: xmpptest.Registration{Form: dataForm("<field var='nick'/>")}}},
		{name: "not offered", kind: Refused, text: "chat.test made no account|server's own page"},
		{name: "e-mail", o: xmpptest.Options{Registration: xmpptest.Registration{Form: xmpptest.PlainForm + "<email/>"}}, kind: Refused, text: "(email)|server's own page"},
		{name: "captcha", o: xmpptest.Options{Registration: xmpptest.Registration{Form: dataForm("<field var='captcha-fallback-url'><value>https://chat.test/captcha/7</value></field><field var='ocr'><required/></field>")}},
			kind: Refused, text: "(ocr)|https://chat.test/"},
		{name: "page", o: xmpptest.Options{Registration: xmpptest.Registration{Form: "<instructions>Go there.</instructions><x xmlns='jabber:x:oob'><url>https://chat.test/new</url></x>"}},
			kind: Refused, text: "on the page https://chat.test/new"},
		{name: "no page", o: xmpptest.Options{Registration: xmpptest.Registration{Form: "<instructions>Go to javascript:alert(1)</instructions><email/>"}}, kind: Refused, text: "server's own page"},
		{name: "taken", user: "bob", o: xmpptest.Options{Registration: xmpptest.Registration{Form: xmpptest.PlainForm}}, kind: Credentials, text: "bob@chat.test already"},
		{name: "refused", o: xmpptest.Options{Registration: xmpptest.Registration{Form: xmpptest.PlainForm, Refuse: "not-acceptable"}}, kind: Refused, text: "(not-acceptable)|Says the server."},
		{name: "later", o: xmpptest.Options{Registration: xmpptest.Registration{Form: xmpptest.PlainForm, Refuse: "resource-constraint"}}, kind: Network, text: "tried again by itself"},
		{name: "in clear", o: xmpptest.Options{NoTLS: true, Registration: xmpptest.Registration{Form: xmpptest.PlainForm}}, kind: Unsafe, text: "no encryption"},
		{name: "unknown authority", user: "?", o: xmpptest.Options{Registration: xmpptest.Registration{Form: xmpptest.PlainForm}}, kind: Unverified, text: "authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(server(t, c.o))
			cfg.JID.Local, cfg.Password = "newcomer", "pw <&>"
			if c.o.DirectTLS {
				cfg.TLS = Direct
			}
			switch c.user {
			case "":
			case "?":
				cfg.RootCAs = nil
			default:
				cfg.JID.Local = c.user
			}
			err := Register(t.Context(), cfg)
			if c.text == "" {
				if err != nil {
					t.Fatal(err)
				}
				s, err := Dial(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Kind != c.kind {
				t.Fatalf("got %#v, want kind %d", err, c.kind)
			}
			for part := range strings.SplitSeq(c.text, "|") {
				if !strings.Contains(e.Text, part) {
					t.Errorf("it says %q, without %q", e.Text, part)
				}
			}
		})
	}
}

// FuzzForm: whatever a server asks for, the page is one that a browser opens and the
// answer is XML.
func FuzzForm(f *testing.F) {
	for _, form := range []string{xmpptest.PlainForm, dataForm("<field var='ocr'><required/></field>"), "<x xmlns='jabber:x:oob'><url>http://h/ x</url></x>", "<instructions>https://[ http://a</instructions>"} {
		f.Add("<query xmlns='jabber:iq:register'>" + form + "</query>")
	}
	f.Fuzz(func(t *testing.T, text string) {
		var n stanza.Node
		if xml.Unmarshal([]byte(text), &n) != nil {
			return
		}
		form := readForm(&n)
		if form.page != "" && (!strings.HasPrefix(form.page, "http") || strings.ContainsAny(form.page, " <>\"\n")) {
			t.Errorf("the page is %q", form.page)
		}
		if err := xml.Unmarshal([]byte("<q>"+form.fill("a&b", "c<d")+"</q>"), new(stanza.Node)); err != nil {
			t.Errorf("%v: %s", err, form.fill("a&b", "c<d"))
		}
	})
}
