package e2e

import (
	"fmt"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestComponent walks one old client through a day on a component (XEP-0114) of
// each server: nobody has linked an account, and people find the account at the
// component's own address. The steps share one scene and build on each other.
func TestComponent(t *testing.T) {
	for _, c := range []struct {
		kind    string
		version msnclient.Version
	}{{"prosody", msnclient.MSNP8}, {"ejabberd", msnclient.MSNP9}, {"prosody", msnclient.MSNP2}, {"prosody", msnclient.MSNP12}} {
		t.Run(c.kind+"/"+c.version.Name, func(t *testing.T) {
			end2end(t)
			sc := newComponentScene(t, ownServer(t, c.kind, true), c.version, "")
			walk(t, sc, []step[*scene]{
				{"asked and accepted", (*scene).stepAcquaint},
				{"chat both ways", (*scene).stepChat},
				{"receipt", (*scene).stepReceipt},
				{"typing", (*scene).stepTyping},
				{"nudge", (*scene).stepNudge},
				{"about words", (*scene).stepAboutAtComponent},
				{"status", (*scene).stepStatus},
				{"picture", (*scene).stepPictureOut},
				{"published nick", (*scene).stepNick},
				{"called by a contact", (*scene).stepCalled},
				{"offline message", (*scene).stepOfflineAtComponent},
				{"nobody of that name", (*scene).stepNobody},
				{"inquiries", (*scene).stepInquiries},
				{"restarts", (*scene).stepRestarts},
				{"block and unblock", (*scene).stepBlockAtComponent},
				{"part", (*scene).stepPart},
			})
		})
	}
}

// TestComponentPrivilege: where the server lets the component see to contact lists
// (XEP-0356) and the owner wants it, whom an account adds is not asked.
func TestComponentPrivilege(t *testing.T) {
	end2end(t)
	sc := newComponentScene(t, ownServer(t, "prosody", true), msnclient.MSNP8, "")
	sc.box.cli(t, "gateway", "set", "xmpp", "roster", "set")
	check(t, eventually(patience, sc.box.upAgain))
	bob := sc.bob.(*xmppPeer)
	bob.do(t, op{"op": "accept", "on": ""})
	ctx, mark := waiting(t, 2*patience), bob.Mark()
	sc.again(t, "NLN")
	check(t, sc.client.Add(ctx, msnclient.FL, bob.me.Handle))
	check(t, sc.sees(ctx, 0, bob.me, "NLN"))
	check(t, bob.Sees(ctx, mark, "online"))
	if e := bob.do(t, op{"op": "roster"}); e.Roster[sc.me.ID] != "both" {
		t.Errorf("bob has the list %v", e.Roster)
	}
	sc.talk(t, "unasked")
	sc.client.Close()
}

// newComponentScene makes a box that is the server's component, and bob, who knows
// the account's address there. via is where the box finds the server, "" for the
// server itself.
func newComponentScene(t testing.TB, s *server, v msnclient.Version, via string) *scene {
	if via == "" {
		via = loopback(s.settings.Component)
	}
	sc := &scene{test: t, server: s, version: v}
	sc.box = newBox(t)
	sc.box.AddUser(t, aliceHandle, v)
	domain := "msn." + s.Domain
	sc.box.cli(t, "gateway", "add", "xmpp", "--jid", domain, "--server", via, "--secret", s.settings.Secret)
	sc.me = person{server: s, ID: strings.ReplaceAll(aliceHandle, "@", `\40`) + "@" + domain, Handle: aliceHandle}
	bob := joinXMPP(t, newPerson(t, s, "bob"))
	bob.friend = sc.me
	sc.bob = bob
	return sc
}

// stepAcquaint lets bob ask, and accepts him; he accepts in turn.
func (sc *scene) stepAcquaint(t *testing.T) {
	ctx, bob := waiting(t, 2*patience), sc.bob.(*xmppPeer)
	sc.again(t, "NLN")
	mark, from := bob.Mark(), sc.client.Log.Len()
	asked := bob.Ask(t)
	e, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		_, list, who, ok := e.Listed()
		return ok && list == msnclient.RL && is(who.Handle, bob.me)
	})
	check(t, err)
	_, _, asker, _ := e.Listed()
	check(t, sc.client.Add(ctx, msnclient.AL, asker.Handle))
	check(t, asked(ctx))
	check(t, sc.client.Add(ctx, msnclient.FL, asker.Handle))
	check(t, bob.Sees(ctx, mark, "online"))
	check(t, eventually(patience, func() error {
		e, err := bob.try(ctx, op{"op": "roster"})
		if err == nil && e.Roster[sc.me.ID] != "both" {
			err = fmt.Errorf("bob has the list %v", e.Roster)
		}
		return err
	}))
	sc.again(t, "NLN")
	check(t, sc.sees(ctx, 0, bob.me, "NLN"))
}

func (sc *scene) stepReceipt(t *testing.T) {
	check(t, visitor{sc.bob.(*xmppPeer)}.Say(waiting(t, patience), "did you get this"))
}

func (sc *scene) stepOfflineAtComponent(t *testing.T) {
	ctx, mark := waiting(t, patience), sc.bob.Mark()
	sc.client.Close()
	check(t, sc.bob.Sees(ctx, mark, "offline"))
	check(t, visitor{sc.bob.(*xmppPeer)}.Say(ctx, "read this tomorrow"))
	check(t, sc.box.Kill())
	check(t, sc.box.Start())
	mark = sc.bob.Mark()
	sc.again(t, "NLN")
	_, err := sc.hears(ctx, 0, sc.bob.Person(), "read this tomorrow")
	check(t, err)
	check(t, sc.bob.Sees(ctx, mark, "online"))
	sc.talk(t, "morning")
}

func (sc *scene) stepNobody(t *testing.T) {
	bob := sc.bob.(*xmppPeer)
	mark := bob.Mark()
	bob.do(t, op{"op": "msg", "to": `nobody\40nudge.test@msn.` + sc.server.Domain, "body": "is anybody there"})
	e, err := bob.find(waiting(t, patience), mark, func(e peerEvent) bool { return e.Ev == "error" })
	check(t, err)
	if e.Condition != "item-not-found" {
		t.Errorf("the condition is %q", e.Condition)
	}
}

// stepInquiries asks the gateway and the account what they are.
func (sc *scene) stepInquiries(t *testing.T) {
	bob, gate := sc.bob.(*xmppPeer), "msn."+sc.server.Domain
	for _, c := range []struct{ typ, to, xml, part string }{
		{"get", gate, "<query xmlns='http://jabber.org/protocol/disco#info'/>", `category="gateway"`},
		{"get", gate, "<query xmlns='jabber:iq:register'/>", "not-allowed"},
		{"set", gate, "<query xmlns='jabber:iq:gateway'><prompt>" + aliceHandle + "</prompt></query>", sc.me.ID},
		{"set", gate, "<command xmlns='http://jabber.org/protocol/commands' node='who' action='execute'/>", sc.me.ID},
		{"get", sc.me.ID, "<vCard xmlns='vcard-temp'/>", "<FN>"},
		{"get", sc.me.ID, "<query xmlns='http://jabber.org/protocol/disco#info'/>", `category="account"`},
	} {
		e := bob.do(t, op{"op": "ask", "to": c.to, "type": c.typ, "xml": c.xml})
		if !strings.Contains(e.XML, c.part) {
			t.Errorf("%s to %s: %s is not in %s", c.xml, c.to, c.part, e.XML)
		}
	}
}

// stepRestarts ends box and server, politely and not. Afterwards both sides see
// each other and talk.
func (sc *scene) stepRestarts(t *testing.T) {
	for _, r := range []struct {
		name  string
		end   func() error
		start func() error
	}{
		{"box stopped", sc.box.Stop, sc.box.Start}, {"box killed", sc.box.Kill, sc.box.Start}, {"server stopped", sc.server.Stop, sc.server.Start},
	} {
		ctx, mark := waiting(t, 2*patience), sc.bob.Mark()
		sc.bob.Show(t, "away")
		check(t, r.end())
		if r.name == "box stopped" {
			check(t, sc.bob.Sees(ctx, mark, "offline"))
		}
		check(t, r.start())
		mark = sc.bob.Mark()
		sc.again(t, "BSY") // as before would be no news where nobody said that the account was gone
		check(t, sc.bob.Sees(ctx, mark, "dnd"))
		mark = sc.bob.Mark()
		check(t, sc.client.SetStatus(ctx, "NLN"))
		check(t, sc.bob.Sees(ctx, mark, "online"))
		if r.name != "server stopped" { // then the peer has signed in anew, online
			check(t, sc.sees(ctx, 0, sc.bob.Person(), "AWY", "IDL"))
		}
		sc.bob.Show(t, "online")
		check(t, sc.sees(ctx, 0, sc.bob.Person(), "NLN"))
		sc.talk(t, r.name)
	}
}

func (sc *scene) stepBlockAtComponent(t *testing.T) {
	ctx, mark, bob := waiting(t, 2*patience), sc.bob.Mark(), sc.bobHandle()
	check(t, sc.client.Remove(ctx, msnclient.AL, bob))
	check(t, sc.client.Add(ctx, msnclient.BL, bob))
	check(t, sc.bob.Sees(ctx, mark, "offline"))
	mark = sc.bob.Mark()
	sc.bob.(*xmppPeer).do(t, op{"op": "msg", "to": sc.me.ID, "body": "can you read this"})
	_, err := sc.bob.(*xmppPeer).find(ctx, mark, func(e peerEvent) bool { return e.Ev == "error" && e.Condition == "service-unavailable" })
	check(t, err)
	mark = sc.bob.Mark()
	check(t, sc.client.Remove(ctx, msnclient.BL, bob))
	check(t, sc.client.Add(ctx, msnclient.AL, bob))
	check(t, sc.bob.Sees(ctx, mark, "online"))
	sc.talk(t, "again")
}

// stepPart lets bob take the account off his list, and the account him.
func (sc *scene) stepPart(t *testing.T) {
	ctx, from, bob := waiting(t, 2*patience), sc.client.Log.Len(), sc.bob.(*xmppPeer)
	check(t, sc.client.Remove(ctx, msnclient.FL, sc.bobHandle()))
	check(t, eventually(patience, func() error { return bob.not(sc.me, "both", "from") }))
	bob.do(t, op{"op": "remove", "to": sc.me.ID})
	_, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		return e.Cmd == "REM" && strings.Contains(e.Line, "RL")
	})
	check(t, err)
	sc.client.Close()
}
