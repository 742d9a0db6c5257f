package xmpp

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
	"nudge/bridge/xmpp/xmpptest"
)

const kitchen = "kitchen@muc.example.org"

// TestOccupancy reads what rooms say of who is in them.
func TestOccupancy(t *testing.T) {
	const x = "<x xmlns='http://jabber.org/protocol/muc#user'>"
	for in, want := range map[string]string{
		"<presence from='" + kitchen + "/bob'>" + x + "<item affiliation='none' role='participant'/></x></presence>":                                                       "bob",
		"<presence from='" + kitchen + "/anna'>" + x + "<item/><status code='110'/><status code='201'/></x></presence>":                                                    "anna self made",
		"<presence from='" + kitchen + "/bob' type='unavailable'>" + x + "<item nick='robert'/><status code='303'/></x></presence>":                                        "bob gone robert",
		"<presence from='" + kitchen + "/anna' type='unavailable'>" + x + "<item><reason>tea\nonly</reason></item><status code='110'/><status code='307'/></x></presence>": "anna gone self You were removed from the room (tea only).",
		"<presence from='" + kitchen + "/anna' type='unavailable'>" + x + "<item/><status code='110'/><status code='332'/></x></presence>":                                 "anna gone self",
		"<presence from='" + kitchen + "/anna' type='error'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>":               "anna conflict",
		"<presence from='" + kitchen + "/bob'><x xmlns='urn:evil'><status code='110'/></x></presence>":                                                                     "bob",
	} {
		n := tree(t, in)
		from, _ := stream.ParseJID(stream.Attr(n, "from"))
		o := readOccupancy(n, from)
		got := o.nick
		for _, part := range []struct {
			on   bool
			text string
		}{{o.gone, "gone"}, {o.self, "self"}, {o.has("201"), "made"}, {o.newNick != "", o.newNick}, {o.err != nil, ""}, {o.removal() != "", o.removal()}} {
			if part.on && part.text == "" {
				part.text = o.err.Condition
			}
			if part.on {
				got += " " + part.text
			}
		}
		if got != want {
			t.Errorf("%s\n\tread as %q, want %q", in, got, want)
		}
	}
}

// TestManySilentRooms: a room that has to wait for others which do not answer has
// its own time to be entered all the same.
func TestManySilentRooms(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		y := s.link.(*link).lobby
		for range atDoors {
			y.doors <- struct{}{}
		}
		j, _ := stream.ParseJID(kitchen)
		y.have(j, bookmark{})
		pass(2 * patience)
		for range atDoors {
			<-y.doors
		}
		pass(2 * patience)
		y.mu.Lock()
		defer y.mu.Unlock()
		if r := y.rooms[kitchen]; r.stage != outside || r.why == "" || r.again.IsZero() {
			t.Errorf("the room is left at %+v", r)
		}
	})
}

// TestInvitations: by the room and directly; nobody else speaks for a room.
func TestInvitations(t *testing.T) {
	for in, want := range map[string]string{
		"<message from='" + kitchen + "'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='bob@example.org/pc'><reason>soup</reason></invite><password>pw</password></x></message>": kitchen + " bob@example.org invites you to this room. soup pw true",
		"<message from='" + kitchen + "'><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>":                                                                               kitchen + " You are invited to this room.  true",
		"<message from='bob@example.org/pc'><x xmlns='jabber:x:conference' jid='" + kitchen + "' reason='soup'/></message>":                                                                    kitchen + " bob@example.org invites you to this room. soup  false",
		"<message from='" + kitchen + "/bob'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='x@y'/></x></message>":                                                                "",
		"<message from='" + kitchen + "' type='error'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='x@y'/></x></message>":                                                       "",
		"<message from='bob@example.org'><x xmlns='jabber:x:conference' jid='example.org'/></message>":                                                                                         "",
		"<message from='bob@example.org' type='groupchat'><x xmlns='jabber:x:conference' jid='" + kitchen + "'/></message>":                                                                    "",
	} {
		v, ok := readInvitation(tree(t, in))
		got := ""
		if ok {
			got = fmt.Sprint(v.room, " ", v.note(), " ", v.password, " ", v.mediated)
		}
		if got != want {
			t.Errorf("%s\n\tread as %q, want %q", in, got, want)
		}
	}
}

// TestBookmarks: what is written reads back, in the old form and the new, and what
// other clients keep in one stays.
func TestBookmarks(t *testing.T) {
	room, _ := stream.ParseJID(kitchen)
	ext := element(nsBookmarks, "extensions")
	ext.Nodes = append(ext.Nodes, words("urn:other", "colour", "red"))
	for _, b := range []bookmark{{}, {name: "Küche & Bad", nick: "anna", password: "p<w"}, {name: "K", extensions: &ext}, {name: "K", nick: "a", old: true}} {
		c := b.conference(kitchen)
		text, err := xml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		back, got, ok := readBookmark(kitchen, tree(t, string(text)))
		if !ok || back != room || got.name != b.name || got.nick != b.nick || got.password != b.password || got.old != b.old || (got.extensions == nil) != (b.extensions == nil) {
			t.Errorf("%+v became %s, which reads as %+v", b, text, got)
		}
	}
	for _, in := range []string{
		"<conference xmlns='urn:xmpp:bookmarks:1'/>", "<conference xmlns='urn:xmpp:bookmarks:1' autojoin='false'/>", "<conference xmlns='urn:evil'/>",
	} {
		if _, b, ok := readBookmark(kitchen, tree(t, in)); ok {
			t.Errorf("%s is to be entered: %+v", in, b)
		}
	}
}

// TestGroupMessages: what is said in rooms, under which ids.
func TestGroupMessages(t *testing.T) {
	r := newRoom(stream.JID{Local: "kitchen", Domain: "muc.example.org"})
	read := func(in string) (heard, bool) {
		n := tree(t, in)
		h, ok := listener{me: testMe, now: testNow}.group(n)
		return h, ok && r.mayChange(n, &h)
	}
	sid := func(by, id string) string {
		return "<stanza-id xmlns='urn:xmpp:sid:0' by='" + by + "' id='" + id + "'/>"
	}
	who := func(id string) string { return "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='" + id + "'/>" }
	h, ok := read("<message type='groupchat' id='m1' from='" + kitchen + "/Bob'><body>hi</body>" + who("o1") + sid(kitchen, "s1") + sid("evil@example.org", "s9") + "</message>")
	if !ok || h.msg == nil || h.msg.ID != kitchen+"#s1" || h.msg.Conv != kitchen || h.msg.From.ID != kitchen+"/Bob" || h.msg.Name != "Bob" || h.wants || h.mark {
		t.Errorf("a message: %+v %+v", h, h.msg)
	}
	edit := "<message type='groupchat' id='m2' from='" + kitchen + "/%s'><body>ho</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/>%s</message>"
	if h, ok := read(fmt.Sprintf(edit, "Bob", who("o1"))); !ok || h.msg.Rel.Kind != im.Edit {
		t.Errorf("his own correction: %v %+v", ok, h.msg)
	}
	if _, ok := read(fmt.Sprintf(edit, "Bob", who("o2"))); ok {
		t.Error("somebody else under his name corrected him")
	}
	for _, in := range []string{
		"<message type='chat' from='" + kitchen + "/Bob'><body>hi</body></message>", "<message type='groupchat' from='muc.example.org'><body>hi</body></message>",
		"<message type='groupchat' from='@'><body>hi</body></message>",
	} {
		if h, ok := read(in); ok {
			t.Errorf("%s was read as %+v", in, h)
		}
	}
}

// FuzzRooms: whatever a room sends is read without harm, and says nothing in the name
// of another room.
func FuzzRooms(f *testing.F) {
	for _, s := range []string{
		"<presence xmlns='jabber:client' from='" + kitchen + "/bob'><x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/></x></presence>",
		"<message xmlns='jabber:client' type='groupchat' from='" + kitchen + "/bob' id='1'><body>x</body><reply xmlns='urn:xmpp:reply:0' id='s1'/></message>",
		"<message xmlns='jabber:client' from='" + kitchen + "'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='b@c'/></x></message>",
		"<message xmlns='jabber:client' from='a@b'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:bookmarks:1'><item id='" + kitchen + "'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='1'/></item></items></event></message>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := new(stanza.Node)
		if xml.Unmarshal([]byte(s), n) != nil {
			return
		}
		from, _ := stream.ParseJID(stream.Attr(n, "from"))
		readOccupancy(n, from).removal()
		if v, ok := readInvitation(n); ok && (v.room.Local == "" || v.room.Resource != "" || strings.ContainsAny(v.note(), "\r\n")) {
			t.Errorf("invitation %+v", v)
		}
		in, _, _ := readBookmarkEvent(n)
		for room := range in {
			if room.Local == "" || room.Resource != "" {
				t.Errorf("bookmark of %v", room)
			}
		}
		h, ok := listener{me: testMe, now: testNow}.group(n)
		if !ok {
			return
		}
		newRoom(from.Bare()).mayChange(n, &h)
		if h.conv() != from.Bare().String() || h.msg != nil && (h.msg.ID == "" || !strings.HasPrefix(h.msg.From.ID, h.conv())) {
			t.Errorf("%+v from %v", h, from)
		}
	})
}
