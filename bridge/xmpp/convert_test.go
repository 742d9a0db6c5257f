package xmpp

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

var (
	testMe  = stream.JID{Local: "alice", Domain: "a.test", Resource: "box"}
	testNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

func tree(t testing.TB, text string) *stanza.Node {
	t.Helper()
	n := new(stanza.Node)
	d := xml.NewDecoder(strings.NewReader(text))
	d.DefaultSpace = stanza.NSClient
	if err := d.Decode(n); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return n
}

// line writes what was heard in one line.
func line(h heard, ok bool) string {
	if !ok {
		return "nothing"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s", h.peer)
	if h.own {
		b.WriteString(" own/" + h.device)
	}
	if h.archive != "" {
		b.WriteString(" @" + h.archive)
	}
	if h.state != "" {
		b.WriteString(" " + h.state)
	}
	for _, r := range h.about {
		fmt.Fprintf(&b, " receipt(%s %d %v)", r.ID, r.State, r.Err)
	}
	if m := h.msg; m != nil {
		fmt.Fprintf(&b, " says kind %d %q", m.Kind, m.Text)
		if m.Rel.Kind != im.NoRel {
			fmt.Fprintf(&b, " rel %d %s", m.Rel.Kind, m.Rel.To)
		}
		if f := m.File; f != nil {
			fmt.Fprintf(&b, " file %q %q %s %d", f.Ref, f.Name, f.Type, f.Size)
		}
		if h.late {
			b.WriteString(" at " + m.At.UTC().Format("15:04:05"))
		}
	}
	if h.wants {
		b.WriteString(" wants " + h.ref)
	}
	if h.mark {
		b.WriteString(" markable")
	}
	return b.String()
}

const (
	fromBob = "<message from='Bob@b.test/pc' to='alice@a.test' type='chat' id='m1'>"
	sid     = "<stanza-id xmlns='urn:xmpp:sid:0' by='alice@a.test' id='A1'/>"
	fwd     = "<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-11-21T10:00:00Z'/>"
)

func oob(at string) string {
	return "<x xmlns='jabber:x:oob'><url>" + at + "</url></x></message>"
}

func TestLive(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"text", fromBob + "<body>hi &lt;you&gt;</body>" + sid + "</message>", `bob@b.test/pc @A1 says kind 0 "hi <you>"`},
		{"wants", fromBob + "<body>x</body><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/><active xmlns='http://jabber.org/protocol/chatstates'/></message>", `bob@b.test/pc active says kind 0 "x" wants m1 markable`},
		{"normal type", "<message from='bob@b.test' id='1'><body>x</body></message>", `bob@b.test says kind 0 "x"`},
		{"offline store", fromBob + "<body>x</body>" + sid + "<delay xmlns='urn:xmpp:delay' stamp='2026-11-20T08:07:06Z'/></message>", `bob@b.test/pc @A1 says kind 0 "x" at 08:07:06`},
		{"from the future", fromBob + "<body>x</body><delay xmlns='urn:xmpp:delay' stamp='2030-01-01T00:00:00Z'/></message>", `bob@b.test/pc says kind 0 "x" at 12:00:00`},
		{"emote", fromBob + "<body>/me waves</body></message>", `bob@b.test/pc says kind 1 "waves"`},
		{"nudge", fromBob + "<attention xmlns='urn:xmpp:attention:0'/></message>", `bob@b.test/pc says kind 3 ""`},
		{"nudge headline", "<message from='bob@b.test/pc' type='headline'><attention xmlns='urn:xmpp:attention:0'/></message>", `bob@b.test/pc says kind 3 ""`},
		{"headline", "<message from='b.test' type='headline'><body>news</body></message>", "nothing"},
		{"room", "<message from='r@muc.b.test/Bob' type='groupchat'><body>x</body></message>", "nothing"},
		{"room private", "<message from='r@muc.b.test/Bob' type='chat'><body>x</body><x xmlns='http://jabber.org/protocol/muc#user'/></message>", "nothing"},
		{"typing", fromBob + "<composing xmlns='http://jabber.org/protocol/chatstates'/></message>", "bob@b.test/pc composing"},
		{"correction", fromBob + "<body>fixed</body><replace id='m0' xmlns='urn:xmpp:message-correct:0'/></message>", `bob@b.test/pc says kind 0 "fixed" rel 2 m0`},
		{"reaction", fromBob + "<reactions id='m0' xmlns='urn:xmpp:reactions:0'><reaction>👍</reaction><reaction>❤</reaction></reactions></message>", `bob@b.test/pc says kind 0 "👍 ❤" rel 4 m0`},
		{"reaction taken back", fromBob + "<reactions id='m0' xmlns='urn:xmpp:reactions:0'/></message>", "bob@b.test/pc"},
		{"reply", fromBob + "<body>&gt; q\nanswer</body><reply id='m0' to='x' xmlns='urn:xmpp:reply:0'/><fallback for='urn:xmpp:reply:0' xmlns='urn:xmpp:fallback:0'><body start='0' end='4'/></fallback></message>", `bob@b.test/pc says kind 0 "answer" rel 1 m0`},
		{"reply, wild range", fromBob + "<body>ä</body><reply id='m0' xmlns='urn:xmpp:reply:0'/><fallback for='urn:xmpp:reply:0' xmlns='urn:xmpp:fallback:0'><body start='5' end='2'/></fallback></message>", `bob@b.test/pc says kind 0 "ä" rel 1 m0`},
		{"retraction", fromBob + "<body>This person…</body><retract id='m0' xmlns='urn:xmpp:message-retract:1'/></message>", `bob@b.test/pc says kind 0 "" rel 3 m0`},
		{"old retraction", fromBob + "<apply-to id='m0' xmlns='urn:xmpp:fasten:0'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to></message>", `bob@b.test/pc says kind 0 "" rel 3 m0`},
		{"file", fromBob + "<body>https://up.test/x/cat%20one.jpg?a=b</body>" + oob("https://up.test/x/cat%20one.jpg?a=b"), `bob@b.test/pc says kind 0 "" file "https://up.test/x/cat%20one.jpg?a=b" "cat one.jpg" image/* 0`},
		{"file alone", fromBob + oob("http://up.test/notes.zip"), `bob@b.test/pc says kind 0 "" file "http://up.test/notes.zip" "notes.zip"  0`},
		{"file with words", fromBob + "<body>look: https://up.test/a.ogg</body>" + oob("https://up.test/a.ogg"), `bob@b.test/pc says kind 0 "look:" file "https://up.test/a.ogg" "a.ogg" audio/* 0`},
		{"file described", fromBob + "<body>https://up.test/7f</body><file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'><media-type>image/png</media-type><name>a\nb.png</name><size>700</size></file>" +
			"<sources><url-data xmlns='http://jabber.org/protocol/url-data' target='https://up.test/7f'/></sources></file-sharing></message>", `bob@b.test/pc says kind 0 "" file "https://up.test/7f" "a b.png" image/png 700`},
		{"file of no name", fromBob + oob("https://up.test/"), `bob@b.test/pc says kind 0 "" file "https://up.test/" ""  0`},
		{"no file", fromBob + oob("xmpp:room@muc.test?join"), `bob@b.test/pc says kind 0 "xmpp:room@muc.test?join"`},
		{"no file, with words", fromBob + "<body>x</body>" + oob("file:///etc/passwd"), `bob@b.test/pc says kind 0 "x"`},
		{"reply with a file", fromBob + "<body>https://up.test/a.jpg</body><reply id='m0' xmlns='urn:xmpp:reply:0'/>" + oob("https://up.test/a.jpg"), `bob@b.test/pc says kind 0 "" file "https://up.test/a.jpg" "a.jpg" image/* 0`},
		{"correction with a file", fromBob + "<body>https://up.test/a.jpg</body><replace id='m0' xmlns='urn:xmpp:message-correct:0'/>" + oob("https://up.test/a.jpg"), `bob@b.test/pc says kind 0 "" rel 2 m0 file "https://up.test/a.jpg" "a.jpg" image/* 0`},
		{"omemo", fromBob + "<encrypted xmlns='eu.siacs.conversations.axolotl'><header/><payload>x</payload></encrypted><body>I sent you an OMEMO message</body></message>", `bob@b.test/pc says kind 2 "(a message with OMEMO encryption, which this box can't read: ask to switch encryption off for this chat)"`},
		{"omemo keys", fromBob + "<encrypted xmlns='eu.siacs.conversations.axolotl'><header/></encrypted></message>", "bob@b.test/pc"},
		{"eme", fromBob + "<encryption xmlns='urn:xmpp:eme:0' namespace='x'/><body>?OTR</body></message>", `bob@b.test/pc says kind 2 "(a message with end-to-end encryption, which this box can't read: ask to switch encryption off for this chat)"`},
		{"delivered", fromBob + "<received xmlns='urn:xmpp:receipts' id='o1'/></message>", "bob@b.test/pc receipt(o1 1 <nil>)"},
		{"displayed", fromBob + "<displayed xmlns='urn:xmpp:chat-markers:0' id='o1'/></message>", "bob@b.test/pc receipt(o1 2 <nil>)"},
		{"error", "<message from='bob@b.test' type='error' id='o1'><body>x</body><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>", "bob@b.test receipt(o1 3 there is nobody of that address)"},

		{"sent carbon", "<message from='alice@a.test'><sent xmlns='urn:xmpp:carbons:2'>" + fwd + "<message xmlns='jabber:client' from='alice@a.test/phone' to='bob@b.test' id='c1'><body>from my phone</body>" + sid + "</message></forwarded></sent></message>", `bob@b.test own/phone @A1 says kind 0 "from my phone"`},
		{"received carbon", "<message from='alice@a.test'><received xmlns='urn:xmpp:carbons:2'>" + fwd + "<message xmlns='jabber:client' from='bob@b.test/pc' to='alice@a.test/phone' id='c1'><body>x</body>" + sid + "</message></forwarded></received></message>", `bob@b.test/pc @A1 says kind 0 "x"`},
		{"forged carbon", "<message from='eve@e.test'><sent xmlns='urn:xmpp:carbons:2'>" + fwd + "<message xmlns='jabber:client' from='alice@a.test/phone' to='bob@b.test'><body>x</body></message></forwarded></sent></message>", "nothing"},
		{"forged carbon of another resource", "<message from='alice@a.test/phone'><received xmlns='urn:xmpp:carbons:2'>" + fwd + "<message xmlns='jabber:client' from='bob@b.test/pc'><body>x</body></message></forwarded></received></message>", "nothing"},
		{"received carbon of own", "<message from='alice@a.test'><received xmlns='urn:xmpp:carbons:2'>" + fwd + "<message xmlns='jabber:client' from='alice@a.test/x' to='bob@b.test'><body>x</body></message></forwarded></received></message>", "nothing"},

		{"two ids, the first forged", fromBob + "<body>x</body><stanza-id xmlns='urn:xmpp:sid:0' by='alice@a.test' id='FORGED'/>" + sid + "</message>", `bob@b.test/pc @A1 says kind 0 "x"`},
		{"another's id", fromBob + "<body>x</body><stanza-id xmlns='urn:xmpp:sid:0' by='room@b.test' id='R'/></message>", `bob@b.test/pc says kind 0 "x"`},
		{"foreign body", fromBob + "<x xmlns='urn:evil'><body>spoof</body></x><body xmlns='urn:evil'>spoof</body></message>", "bob@b.test/pc"},
		{"from oneself", "<message from='alice@a.test/phone' to='bob@b.test'><body>x</body></message>", "nothing"},
		{"from nobody", "<message><body>x</body></message>", "nothing"},
		{"bad address", "<message from='@x'><body>x</body></message>", "nothing"},
		{"controls", fromBob + "<body>a\u0085\u007fb&#13;\nc</body></message>", "bob@b.test/pc says kind 0 \"ab\\nc\""},
	} {
		h, ok := listener{me: testMe, archive: true, now: testNow}.live(tree(t, c.in))
		if g := line(h, ok); strings.ReplaceAll(g, `\u0085`, "\u0085") != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, g, c.want)
		}
	}
}

// Whatever way a message comes, it has the same id.
func TestSameID(t *testing.T) {
	inner := "<message xmlns='jabber:client' from='bob@b.test/pc' to='alice@a.test' type='chat' id='m1'><body>x</body>"
	for _, archive := range []bool{true, false} {
		l := listener{me: testMe, archive: archive, now: testNow}
		live, _ := l.live(tree(t, inner+sid+"</message>"))
		flood, _ := l.live(tree(t, inner+sid+"<delay xmlns='urn:xmpp:delay' stamp='2026-11-20T08:07:06Z'/></message>"))
		if live.id != flood.id || live.msg.ID != live.id {
			t.Error(archive, live.id, flood.id)
		}
		if !archive {
			continue
		}
		// The archive may keep what a sender forged.
		old, ok := l.archived(tree(t, "<result xmlns='urn:xmpp:mam:2' id='A1'>"+fwd+inner+"<stanza-id xmlns='urn:xmpp:sid:0' by='alice@a.test' id='FORGED'/></message></forwarded></result>"))
		if !ok || old.id != live.id || old.archive != "A1" || old.msg.ID != "A1" || !old.msg.At.Equal(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v %+v", old, old.msg)
		}
	}
	l := listener{me: testMe, now: testNow}
	a, _ := l.live(tree(t, inner+"</message>"))
	b, _ := l.live(tree(t, strings.Replace(inner, ">x<", ">y<", 1)+"</message>"))
	if a.id == b.id {
		t.Error("two texts under one reused id are one message")
	}
}

func TestCompose(t *testing.T) {
	msg := func(f func(*im.Message)) im.Message {
		m := im.Message{ID: "o1", Conv: "bob@b.test", Text: "hi"}
		f(&m)
		return m
	}
	tail := `<origin-id xmlns="urn:xmpp:sid:0" id="o1"></origin-id><request xmlns="urn:xmpp:receipts"></request></message>`
	chat := `<active xmlns="http://jabber.org/protocol/chatstates"></active><markable xmlns="urn:xmpp:chat-markers:0"></markable>` + tail
	head := `<message type="chat" id="o1" to="bob@b.test">`
	for _, c := range []struct {
		name  string
		m     im.Message
		known bool
		want  string
	}{
		{"text", msg(func(m *im.Message) { m.Text = "a\r\n<b>\x00\xff\ufffe😀" }), false, head + "<body>a&#xA;&lt;b&gt;\ufffd😀</body>" + chat},
		{"emote", msg(func(m *im.Message) { m.Kind = im.Emote }), false, head + "<body>/me hi</body>" + chat},
		{"nudge", msg(func(m *im.Message) { m.Kind, m.Text = im.Nudge, "" }), false, head + `<attention xmlns="urn:xmpp:attention:0"></attention><store xmlns="urn:xmpp:hints"></store>` + tail},
		{"edit", msg(func(m *im.Message) { m.Rel.Kind = im.Edit }), true, head + `<body>hi</body><replace xmlns="urn:xmpp:message-correct:0" id="t1"></replace>` + chat},
		{"reply", msg(func(m *im.Message) { m.Rel.Kind = im.Reply }), true, head + `<body>hi</body><reply xmlns="urn:xmpp:reply:0" id="t1" to="bob@b.test"></reply>` + chat},
		{"reply with a quote", msg(func(m *im.Message) { m.Rel = im.Rel{Kind: im.Reply, Quote: "söup\n?"} }), true, head + `<body>&gt; söup ?&#xA;hi</body><reply xmlns="urn:xmpp:reply:0" id="t1" to="bob@b.test"></reply>` +
			`<fallback xmlns="urn:xmpp:fallback:0" for="urn:xmpp:reply:0"><body xmlns="urn:xmpp:fallback:0" start="0" end="9"></body></fallback>` + chat},
		{"retraction", msg(func(m *im.Message) { m.Rel.Kind, m.Text = im.Retract, "" }), true, head + `<body>(took back an earlier message)</body><retract xmlns="urn:xmpp:message-retract:1" id="t1"></retract>` +
			`<fallback xmlns="urn:xmpp:fallback:0" for="urn:xmpp:message-retract:1"></fallback><store xmlns="urn:xmpp:hints"></store>` + tail},
		{"edit of what is not known", msg(func(m *im.Message) { m.Rel.Kind = im.Edit }), false, "unsupported"},
		{"retraction of what is not known", msg(func(m *im.Message) { m.Rel.Kind, m.Text = im.Retract, "" }), false, "unsupported"},
		{"reply to what is not known", msg(func(m *im.Message) { m.Rel.Kind = im.Reply }), false, "unsupported"},
		{"vote", msg(func(m *im.Message) { m.Rel.Kind = im.Vote }), true, "unsupported"},
		{"reaction", msg(func(m *im.Message) { m.Rel.Kind, m.Text = im.React, "👍" }), true, head + `<reactions xmlns="urn:xmpp:reactions:0" id="t1"><reaction xmlns="urn:xmpp:reactions:0">👍</reaction></reactions><store xmlns="urn:xmpp:hints"></store>` + tail},
		{"reaction to what is not known", msg(func(m *im.Message) { m.Rel.Kind, m.Text = im.React, "👍" }), false, "unsupported"},
		{"only bytes", im.Message{ID: "o1", Conv: "bob@b.test", Raw: []byte("x")}, false, "unsupported"},
		{"file", msg(func(m *im.Message) { m.File = &im.File{Ref: "x"} }), false, head + `<body>x</body><x xmlns="jabber:x:oob"><url xmlns="jabber:x:oob">x</url></x>` + chat},
	} {
		about := target{}
		if c.known {
			about = target{"t1", c.m.Conv}
		}
		p, err := compose(c.m, c.m.Conv, about)
		b, _ := xml.Marshal(p)
		g := string(b)
		if err == im.ErrUnsupported {
			g = "unsupported"
		}
		if g != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, g, c.want)
		}
	}
}

func FuzzLive(f *testing.F) {
	for _, s := range []string{
		fromBob + "<body>hi</body>" + sid + "</message>",
		"<message from='alice@a.test'><sent xmlns='urn:xmpp:carbons:2'>" + fwd + "<message xmlns='jabber:client' from='alice@a.test/p' to='b@c'><body>x</body></message></forwarded></sent></message>",
		fromBob + "<body>q</body><reply id='0' xmlns='urn:xmpp:reply:0'/><fallback for='urn:xmpp:reply:0' xmlns='urn:xmpp:fallback:0'><body start='1' end='1'/></fallback></message>",
		fromBob + "<body>https://b/c.png x</body><file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'><name>d</name><size>-1</size></file></file-sharing>" + oob("https://b/c.png"),
		"<result xmlns='urn:xmpp:mam:2' id='1'>" + fwd + fromBob + "</message></forwarded></result>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := new(stanza.Node)
		d := xml.NewDecoder(strings.NewReader(s))
		d.DefaultSpace = stanza.NSClient
		if d.Decode(n) != nil {
			return
		}
		l := listener{me: testMe, archive: true, now: testNow}
		a, aok := l.live(n)
		b, bok := l.archived(n)
		for _, x := range []struct {
			heard
			ok bool
		}{{a, aok}, {b, bok}} {
			if !x.ok || x.msg == nil {
				continue
			}
			m := x.msg
			if !utf8.ValidString(m.Text) || m.Conv == "" || m.ID == "" || m.At.IsZero() || m.At.After(testNow) {
				t.Errorf("%+v", m)
			}
			if m.Own != (m.From == im.Addr{}) {
				t.Errorf("%+v", m)
			}
		}
		readPresence(n, testMe, testNow)
		readItem(n)
		blockedIn(n)
	})
}

func FuzzCompose(f *testing.F) {
	f.Add("hi", "to", uint8(0), uint8(0))
	f.Add("\x00\xff<&\ufffe\r\n", "a<b", uint8(1), uint8(2))
	f.Fuzz(func(t *testing.T, text, name string, kind, rel uint8) {
		m := im.Message{ID: "o", Conv: "b@c", Text: text, Kind: im.Kind(kind % 4), Rel: im.Rel{Kind: im.RelKind(rel % 7), Quote: text}}
		p, err := compose(m, "b@c", target{name, name})
		if err != nil {
			return
		}
		b, err := xml.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range string(b) {
			if r < ' ' && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
				t.Fatalf("%q holds what XML forbids", b)
			}
		}
		tree(t, string(b))
	})
}

// FuzzNames: whatever stands in a name, a note or a group leaves as XML that
// reads as the same.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"Bob", "\x00\x1b\xff<&\ufffe\r\n", "]]></presence>", "\xed\xa0\x80'\"\u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range []any{
			composePresence(im.Presence{Status: im.Phone, Note: s, Media: s}, testNow),
			query("set", "b@c", element("jabber:iq:roster", "query", "name", s)), words(nsNick, "nick", s),
		} {
			b, err := xml.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			tree(t, string(b))
			if string(b) != im.Plain(string(b)) {
				t.Fatalf("%q holds what XML forbids", b)
			}
		}
		if got := readPresence(tree(t, marshal(t, composePresence(im.Presence{Status: im.Away, Note: s}, testNow))), testMe, testNow); im.OneLine(got.Note) != im.OneLine(s) {
			t.Fatalf("the note %q came back as %q", s, got.Note)
		}
	})
}

func marshal(t *testing.T, v any) string {
	b, err := xml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPresence(t *testing.T) {
	for st, code := range codes {
		b, err := xml.Marshal(composePresence(im.Presence{Status: st, Note: "n & m", Media: "a – b"}, testNow))
		if err != nil {
			t.Fatal(err)
		}
		s := readPresence(tree(t, string(b)), testMe, testNow)
		if s.Status != st || s.Note != "n & m" || s.Media != "a – b" {
			t.Errorf("%s: %+v", code, s)
		}
	}
	for _, c := range []struct {
		in   string
		want im.Status
	}{
		{"<presence/>", im.Online}, {"<presence><show>chat</show></presence>", im.Online}, {"<presence><show>dnd</show></presence>", im.Busy},
		{"<presence><show>xa</show></presence>", im.Away}, {"<presence><show>away</show></presence>", im.Away},
		{"<presence><show>away</show><idle xmlns='urn:xmpp:idle:1' since='x'/></presence>", im.Idle},
		{"<presence><msn xmlns='urn:nudge:msn-presence:0' status='HDN'/></presence>", im.Online},
	} {
		if s := readPresence(tree(t, c.in), testMe, testNow); s.Status != c.want {
			t.Errorf("%s: %v", c.in, s.Status)
		}
	}
}

func TestBest(t *testing.T) {
	res := func(st im.Status, prio int, at int) seen {
		return seen{Presence: im.Presence{Status: st}, priority: prio, at: testNow.Add(time.Duration(at))}
	}
	for _, c := range []struct {
		name string
		in   map[string]seen
		want im.Status
	}{
		{"nobody", nil, im.Offline},
		{"priority", map[string]seen{"a": res(im.Online, 0, 0), "b": res(im.Away, 5, 0)}, im.Away},
		{"availability", map[string]seen{"a": res(im.Away, 0, 9), "b": res(im.Busy, 0, 0)}, im.Busy},
		{"latest", map[string]seen{"a": res(im.Away, 0, 0), "b": res(im.Idle, 0, 1)}, im.Idle},
		{"negative", map[string]seen{"a": res(im.Online, -1, 0)}, im.Offline},
	} {
		if g := best(c.in); g.Status != c.want || g.Later != (c.want == im.Offline) {
			t.Errorf("%s: %+v", c.name, g)
		}
	}
}

// TestBestPicture: a picture is that of the client that counts, else of the latest
// that knows of pictures.
func TestBestPicture(t *testing.T) {
	res := func(avatar string, prio, at int) seen {
		return seen{Presence: im.Presence{Status: im.Online, Avatar: avatar}, priority: prio, at: testNow.Add(time.Duration(at))}
	}
	for want, in := range map[string]map[string]seen{
		"":      {"a": res("", 1, 0), "b": res("", 0, 0)},
		"own":   {"a": res("own", 1, 0), "b": res("other", 0, 1)},
		"later": {"a": res("", 1, 9), "b": res("early", 0, 1), "c": res("later", -1, 2)},
	} {
		if g := best(in); g.Avatar != want {
			t.Errorf("%q instead of %q", g.Avatar, want)
		}
	}
}

func TestMark(t *testing.T) {
	var m mark
	for i := range 100 {
		m.advance(fmt.Sprint(i), testNow.Add(time.Duration(i)))
		m.advance(fmt.Sprint(i), testNow)
	}
	m = decodeMark(m.encode())
	if !m.valid || m.ID != "99" || len(m.Recent) != overlap || !m.has("60") || m.has("59") || !m.Stamp.Equal(testNow.Add(99)) {
		t.Errorf("%+v", m)
	}
	if q := m.from(); q.after != "60" || !q.start.Equal(testNow.Add(99-overlapTime)) {
		t.Errorf("%+v", q)
	}
	if m := decodeMark([]byte("{")); m.valid {
		t.Error("a broken mark is valid")
	}
}

func TestFromEcho(t *testing.T) {
	m := mark{ID: "9", Recent: []string{"8", "9"}, Stamp: testNow, valid: true}
	older := mark{ID: "5", Recent: []string{"4", "5"}, Stamp: testNow.Add(-time.Hour), valid: true}
	sent := func(mark []byte, at time.Time) *im.Unsettled {
		return &im.Unsettled{Mark: mark, Event: im.Message{ID: "o", At: at}}
	}
	for _, c := range []struct {
		name string
		m    mark
		u    *im.Unsettled
		want archiveQuery
	}{
		{"with a mark", m, sent(older.encode(), testNow), older.from()},
		{"long before", m, sent(nil, testNow.Add(-24*time.Hour)), archiveQuery{start: testNow.Add(-24*time.Hour - noMark)}},
		{"after a long absence", m, sent(nil, testNow.Add(24*time.Hour)), m.from()},
		{"no time known", mark{ID: "9", valid: true}, sent(nil, testNow), archiveQuery{}},
	} {
		if g := c.m.fromEcho(c.u); g != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, g, c.want)
		}
	}
}
