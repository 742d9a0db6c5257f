package xmpp

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

const den = "den@muc.chat.test"

// room says something to alice in the name of a room.
func (p *parlour) room(stanzas ...string) {
	for _, s := range stanzas {
		p.srv.PushComponent(strings.NewReplacer("$DEN", den, "$ME", aliceThere+"/"+device, "$USER", "<x xmlns='"+nsMUCUser+"'>").Replace(s))
	}
	synctest.Wait()
}

// admit lets alice into the den, where bob is.
func (p *parlour) admit() {
	p.room("<presence from='$DEN/bob' to='$ME'>$USER<item role='participant'/></x></presence>",
		"<presence from='$DEN/alice' to='$ME'>$USER<item role='participant'/><status code='110'/></x></presence>")
}

// toRoom lists what went to rooms: the address, and the type or what it is.
func (p *parlour) toRoom() (out []string) {
	synctest.Wait()
	for _, n := range p.srv.ToRooms() {
		what := stream.Attr(n, "type")
		switch x := stream.Child(n, nsMUC, "x"); {
		case x != nil:
			what = "enters" + stream.Text(x, nsMUC, "password")
		case stream.Child(n, stanza.NSClient, "body") != nil:
			what += " " + stream.Text(n, stanza.NSClient, "body")
		}
		if stream.Attr(n, "from") != aliceThere+"/"+device {
			what += " from " + stream.Attr(n, "from")
		}
		out = append(out, stream.Attr(n, "to")+" "+strings.TrimSpace(what+" "+stream.Text(n, stanza.NSClient, "show")))
	}
	return out
}

func denEdit(op im.EditOp) im.ContactEdit {
	return im.ContactEdit{ID: "den", Op: op, Who: im.Contact{Person: im.Person{Addr: im.Addr{Net: Name, ID: den}}, Room: true}}
}

// moveIn has alice in the den by bob's invitation.
func (p *parlour) moveIn() {
	p.Helper()
	p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Online}})
	p.bob.Send("<message to='" + aliceThere + "'><x xmlns='" + nsConference + "' jid='" + den + "' reason='soup' password=' pw'/></message>")
	if e := of[im.ContactEdit](p.events()); len(e) != 1 || !e[0].Who.Room || !e[0].Who.Asked || e[0].Note != "bob@chat.test invites you to this room. soup" {
		p.Fatalf("%+v", e)
	}
	p.handle(denEdit(im.Accept))
	equal(p.T, "she enters", p.toRoom(), "["+den+"/alice enters pw]")
	p.admit()
	var state []string
	for _, ev := range p.events() {
		switch ev := ev.(type) {
		case im.Room:
			for _, m := range ev.Members {
				state = append(state, m.ID)
			}
		case im.PresenceChanged:
			state = append(state, ev.Who.ID)
		}
	}
	equal(p.T, "who is there", state, "["+den+"/bob "+den+"]")
}

func TestComponentRooms(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.moveIn()
		p.room("<message type='groupchat' id='m1' from='$DEN/bob' to='$ME'><body>hello</body></message>")
		equal(t, "bob", said(p.events()), "[hello]")
		p.handle(im.Message{ID: "nudge-1", Conv: den, Text: "hi"})
		equal(t, "she", p.toRoom(), "["+den+" groupchat hi]")
		equal(t, "before the room has it", of[im.Receipt](p.events()), "[]")
		p.room("<message type='groupchat' id='nudge-1' from='$DEN/alice' to='$ME'><body>hi</body></message>")
		equal(t, "sent", of[im.Receipt](p.events()), "[{nudge-1  den@muc.chat.test 0 <nil>}]")
		p.handle(im.Message{ID: "nudge-2", Conv: den, Text: "no"})
		p.room("<message type='error' id='nudge-2' from='$DEN' to='$ME'><error type='modify'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
		if r := of[im.Receipt](p.events()); len(r) != 1 || r[0].State != im.Failed {
			t.Errorf("refused by the room: %+v", r)
		}
		p.toRoom()

		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Away}})
		equal(t, "away", p.toRoom(), "["+den+"/alice away]")
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Hidden}})
		equal(t, "hidden", p.toRoom(), "["+den+"/alice unavailable]")
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Online}})
		equal(t, "back", p.toRoom(), "["+den+"/alice enters pw]")
		p.admit()
		p.events()
		p.room("<presence type='unavailable' from='$DEN/alice' to='$ME'>$USER<item><reason>tea</reason></item><status code='110'/><status code='307'/></x></presence>")
		equal(t, "put out", said(p.events()), "[You were removed from the room (tea).]")
		pass(2 * silent)
		equal(t, "she stays out", p.toRoom(), "[]")
	})
}

// What is on the list outlives the connection, and who was in a room comes back before
// what waits is sent; leaving is told.
func TestComponentRoomsLast(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.moveIn()
		p.srv.Cut()
		p.link.Wait()
		p.home.set(func() { p.home.open = []im.Unsettled{{Event: im.Message{ID: "nudge-1", Conv: den, Text: "hi"}}} })
		p.events()
		p.connect()
		equal(t, "back", p.toRoom(), "["+den+"/alice enters pw]")
		p.admit()
		p.room("<message type='groupchat' id='nudge-1' from='$DEN/alice' to='$ME'><delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/><body>hi</body></message>")
		equal(t, "the room had it", of[im.Receipt](p.events()), "[{nudge-1  den@muc.chat.test 0 <nil>}]")
		p.handle(im.Message{ID: "nudge-1", Conv: den, Text: "hi"})
		equal(t, "not again", p.toRoom(), "[]")
		for what, answer := range map[string]string{"<vCard xmlns='vcard-temp'/>": "error", "<ping xmlns='urn:xmpp:ping'/>": "result"} {
			p.room("<iq type='get' id='q' from='$DEN/bob' to='$ME'>" + what + "</iq>")
			equal(t, what, p.toRoom(), "["+den+"/bob "+answer+"]")
		}
		p.link.Close()
		equal(t, "signed off", p.toRoom(), "["+den+"/alice unavailable]")
		p.connect()
		p.admit()
		p.toRoom()
		p.handle(denEdit(im.Remove))
		equal(t, "removed", p.toRoom(), "["+den+"/alice unavailable]")
		p.link.Close()
		p.connect()
		equal(t, "off the list", p.toRoom(), "[]")
		p.handle(denEdit(im.Add))
		p.toRoom()
		p.home.set(func() { delete(p.home.people, "alice@hotmail.com") })
		p.handle(im.PresenceChanged{})
		equal(t, "moved out", p.toRoom(), "["+den+"/alice unavailable]")
		equal(t, "on disk", len(p.home.kvs[im.Addr{ID: "alice@hotmail.com"}].kv), 0)
	})
}

// Whom nobody put out comes back at once, a few times, and says again what the room did
// not take; what it did take is not said twice.
func TestComponentRoomsComeBack(t *testing.T) {
	const refused = "<message type='error' id='%s' from='$DEN' to='$ME'><error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
	const putOut = "<presence type='unavailable' from='$DEN/alice' to='$ME'>$USER<item role='none'/><status code='110'/></x></presence>"
	host(t, im.Online, func(p *parlour) {
		p.moveIn()
		p.handle(im.Message{ID: "nudge-1", Conv: den, Text: "one"})
		p.handle(im.Message{ID: "nudge-2", Conv: den, Text: "two"})
		p.toRoom()
		p.room("<message type='groupchat' id='nudge-1' from='$DEN/alice' to='$ME'><body>one</body></message>", putOut)
		equal(t, "put out", p.toRoom(), "["+den+"/alice enters pw]")
		p.room(strings.Replace(refused, "%s", "nudge-2", 1))
		p.room(putOut) // of the seat before, late
		equal(t, "nothing failed", of[im.Receipt](p.events()), "[{nudge-1  den@muc.chat.test 0 <nil>}]")
		p.admit()
		equal(t, "said again", p.toRoom(), "["+den+" groupchat two]")
		p.room("<message type='groupchat' id='nudge-2' from='$DEN/alice' to='$ME'><body>two</body></message>")
		equal(t, "the room has it", of[im.Receipt](p.events()), "[{nudge-2  den@muc.chat.test 0 <nil>}]")

		for range maxHasty - 1 {
			p.room(putOut)
			equal(t, "again", p.toRoom(), "["+den+"/alice enters pw]")
			p.admit()
		}
		p.handle(im.Message{ID: "nudge-3", Conv: den, Text: "three"})
		p.toRoom()
		p.room(strings.Replace(refused, "%s", "nudge-3", 1))
		equal(t, "once too often", p.toRoom(), "[]")
		pass(comeBack + time.Second)
		equal(t, "after a while", p.toRoom(), "["+den+"/alice enters pw]")
		p.room("<presence type='error' from='$DEN/alice' to='$ME'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>")
		if r := of[im.Receipt](p.events()); len(r) != 1 || r[0].ID != "nudge-3" || r[0].State != im.Failed {
			t.Errorf("not let in: %+v", r)
		}
	})
}

// A silent room is asked whether she is still there (XEP-0410).
func TestComponentRoomsSilent(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.moveIn()
		p.srv.RoomsRefuse("not-acceptable")
		pass(silent + 2*typingEnds)
		equal(t, "not there any more", p.toRoom(), "["+den+"/alice enters pw]")
		p.srv.RoomsRefuse("item-not-found")
		p.admit()
		pass(silent + 2*typingEnds)
		equal(t, "there", p.toRoom(), "[]")
		p.handle(im.Typing{Conv: den, On: true})
		equal(t, "typing is not told to a room", p.toRoom(), "[]")
	})
}

// Strangers invite as little as they write, and rooms of other servers speak for their
// own people only.
func TestComponentInvitations(t *testing.T) {
	const by = "<message from='%s' to='" + aliceThere + "'><x xmlns='" + nsMUCUser + "'><invite%s/></x></message>"
	invite := func(room, who string) string {
		if who != "" {
			who = " from='" + who + "'"
		}
		return strings.Replace(strings.Replace(by, "%s", room, 1), "%s", who, 1)
	}
	direct := func(who string) string {
		return "<message from='" + who + "' to='" + aliceThere + "'><x xmlns='" + nsConference + "' jid='" + den + "'/></message>"
	}
	for _, c := range []struct {
		policy, stanza string
		asked          bool
	}{
		{fromHomeserver, direct("eve@chat.test/pc"), true},
		{fromHomeserver, direct("eve@far.test/pc"), false},
		{fromHomeserver, invite(den, "eve@chat.test"), true},
		{fromHomeserver, invite(den, "bob@chat.test/pc"), true},
		{fromHomeserver, invite(den, ""), true},
		{fromHomeserver, invite(den, den+"/eve"), true},
		{fromHomeserver, invite(den, "eve@far.test"), false},
		{fromHomeserver, invite("x@muc.far.test", "bob@chat.test"), false},
		{fromHomeserver, invite("x@muc.far.test", ""), false},
		{fromContacts, invite(den, "eve@chat.test"), false},
		{fromContacts, invite(den, ""), false},
		{fromContacts, invite(den, "bob@chat.test"), true},
		{fromContacts, direct("bob@chat.test/pc"), true},
		{fromContacts, invite("x@muc.far.test", "bob@chat.test"), false},
		{fromList, invite("x@muc.far.test", ""), false},
		{fromList, invite("x@muc.list.test", ""), true},
		{fromAnyone, invite("x@muc.far.test", "eve@evil.test"), true},
		{fromAnyone, invite(den, "ann@chat.test"), false},
		{fromAnyone, invite("shut@muc.chat.test", "bob@chat.test"), false},
	} {
		host(t, im.Online, func(p *parlour) {
			p.befriend()
			p.home.set(func() {
				p.home.settings["accept_from"], p.home.settings["accept_list"] = c.policy, "list.test"
				p.home.blocked["ann@chat.test"], p.home.blocked["shut@muc.chat.test"] = true, true
			})
			p.room(c.stanza)
			if asked := len(of[im.ContactEdit](p.events())) == 1; asked != c.asked {
				t.Errorf("%s: %s: asked %v", c.policy, c.stanza, asked)
			}
		})
	}
}

// TestRoomMarks: what is written reads back, and a link of the account's own takes it for
// nothing.
func TestRoomMarks(t *testing.T) {
	b := encodeRoomMarks(map[string]string{den: "a1", kitchen: ""})
	equal(t, "read back", decodeRoomMarks(b), "map[den@muc.chat.test:a1 kitchen@muc.example.org:]")
	if decodeMark(b).valid {
		t.Error("it is taken for a place in an account's archive")
	}
	own := mark{ID: "x", Stamp: time.Unix(1, 0)}
	equal(t, "an own account's", len(decodeRoomMarks(own.encode())), 0)
}
