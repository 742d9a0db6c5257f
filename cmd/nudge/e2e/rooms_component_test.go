package e2e

import (
	"context"
	"fmt"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestComponentRooms takes accounts on a component into a room of the same server:
// what an own account does (TestRooms), and over a cut of the line between the box and
// the server, a removal by the room's owner, with a second account of the box that would
// have the same name, and with one of another box.
func TestComponentRooms(t *testing.T) {
	for _, c := range []struct {
		kind    string
		version msnclient.Version
	}{{"prosody", msnclient.MSNP8}, {"ejabberd", msnclient.MSNP12}} {
		t.Run(c.kind+"/"+c.version.Name, func(t *testing.T) {
			end2end(t)
			walk(t, newTenants(t, ownServer(t, c.kind, true), c.version), []step[*tenants]{
				{"invited and accepted", (*tenants).stepInvited},
				{"everybody is there", (*tenants).stepThere},
				{"chat", (*tenants).stepChat},
				{"come and go", (*tenants).stepComeAndGo},
				{"called", (*tenants).stepCalled},
				{"while away", (*tenants).stepWhileAway},
				{"killed", (*tenants).stepKilled},
				{"line cut", (*tenants).stepLineCut},
				{"put out", (*tenants).stepPutOut},
				{"together", (*tenants).stepTogether},
				{"added and removed", (*tenants).stepAdded},
			})
		})
	}
}

// tenants is a room scene whose account is on a component.
type tenants struct {
	*roomScene
	via *proxy // between the box and its server
}

func newTenants(t *testing.T, s *server, v msnclient.Version) *tenants {
	x := &tenants{via: newProxy(t, loopback(s.settings.Component))}
	x.roomScene = &roomScene{scene: newComponentScene(t, s, v, x.via.Addr)}
	x.me.User = "alice" // in the room
	x.roomScene.bob = x.scene.bob.(*xmppPeer)
	x.room = newRoom(t, x.roomScene.bob)
	check(t, eventually(patience, x.box.upAgain))
	return x
}

// stepLineCut cuts the line while the room talks, and the client too: everything comes,
// once and in order.
func (x *tenants) stepLineCut(t *testing.T) {
	ctx, bob, mark := waiting(t, 3*patience), x.roomScene.bob, x.roomScene.bob.Mark()
	x.again(t, "NLN")
	check(t, x.sees(ctx, 0, x.room, "NLN"))
	ch, err := x.client.Invite(ctx, x.handle(x.room))
	check(t, err)
	var texts []string
	for i := range 9 {
		texts = append(texts, fmt.Sprintf("fork number %02d", i))
		check(t, bob.tellAll(ctx, x.room, texts[i]))
		switch i {
		case 3:
			x.via.Cut()
		case 5:
			_, err := ch.Post("is anybody there", msnclient.Acknowledged)
			check(t, err)
		}
	}
	x.via.Mend()
	check(t, bob.hearsAll(ctx, mark, x.room, x.me.User, "is anybody there"))
	x.once(t, ctx, texts...)
	n := 0
	events, _ := bob.since(mark)
	for _, e := range events {
		if e.Ev == "group" && e.Body == "is anybody there" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the room heard the client %d times", n)
	}
}

// stepPutOut lets bob remove the account, who reads why and stays out, until bob invites
// it again.
func (x *tenants) stepPutOut(t *testing.T) {
	ctx, bob, from := waiting(t, 2*patience), x.roomScene.bob, x.client.Log.Len()
	bob.do(t, op{"op": "raw", "xml": fmt.Sprintf(
		"<iq type='set' id='put-out' to='%s'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='%s' role='none'><reason>no soup</reason></item></query></iq>", x.room.ID, x.me.User)})
	_, err := x.hears(ctx, from, x.room, "removed from the room (no soup)")
	check(t, err)
	check(t, x.invite(t, x.me.ID)(ctx, x.me.User))
}

// invite lets bob invite somebody directly (XEP-0249). The result waits until he comes,
// under a name.
func (x *tenants) invite(t *testing.T, jid string) func(ctx context.Context, nick string) error {
	t.Helper()
	mark := x.roomScene.bob.Mark()
	x.roomScene.bob.do(t, op{"op": "raw", "xml": fmt.Sprintf("<message to='%s' id='inv%d'><x xmlns='jabber:x:conference' jid='%s'/></message>", jid, people.Add(1), x.room.ID)})
	return func(ctx context.Context, nick string) error {
		_, err := x.roomScene.bob.find(ctx, mark, func(e peerEvent) bool {
			return e.Ev == "occupant" && e.Room == x.room.ID && e.Frm == nick && e.Type == "available"
		})
		return err
	}
}

// guest is an account's client in the room, by bob's invitation, with its window open.
func (x *tenants) guest(t *testing.T, b *box, v msnclient.Version, handle, jid, nick string) *roomScene {
	t.Helper()
	ctx := waiting(t, 2*patience)
	b.AddUser(t, handle, v)
	g := &roomScene{scene: &scene{test: x.test, box: b, version: v, server: x.server}, bob: x.roomScene.bob, room: x.room}
	g.me = person{server: x.server, User: nick, ID: jid, Handle: handle}
	g.client, g.lists = b.SignIn(t, v, handle, "NLN")
	from := g.client.Log.Len()
	comes := x.invite(t, jid)
	check(t, g.accept(ctx, from, x.room))
	check(t, comes(ctx, nick))
	_, err := g.client.Invite(ctx, g.handle(x.room))
	check(t, err)
	return g
}

// stepTogether has three accounts in the room, of two boxes: each hears the others by
// their names.
func (x *tenants) stepTogether(t *testing.T) {
	other := newBox(t)
	other.cli(t, "gateway", "add", "xmpp", "--jid", "msn2."+x.server.Domain, "--server", loopback(x.server.settings.Component), "--secret", x.server.settings.Secret)
	check(t, eventually(patience, other.upAgain))
	all := []*roomScene{
		x.roomScene,
		x.guest(t, x.box, msnclient.MSNP12, "alice@second.test", `alice\40second.test@msn.`+x.server.Domain, "alice_"),
		x.guest(t, other, msnclient.MSNP8, carlHandle, `carl\40other.test@msn2.`+x.server.Domain, "carl"),
	}
	ctx := waiting(t, 2*patience)
	if x.window() == nil {
		_, err := x.client.Invite(ctx, x.handle(x.room))
		check(t, err)
	}
	for _, g := range all {
		text := "this is " + g.me.Handle
		from := map[*roomScene]int{}
		for _, o := range all {
			from[o] = o.client.Log.Len()
		}
		check(t, g.window().Send(ctx, text))
		for _, o := range all {
			if o != g {
				_, err := o.hears(ctx, from[o], x.in(g.me), text)
				check(t, err)
			}
		}
	}
}
