package e2e

import (
	"context"
	"fmt"
	markup "html"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestRooms takes one old client into a room (XEP-0045) of each server: invited,
// together with two people, over a change of what it shows, and over a kill of the
// box. The steps share one scene and build on each other.
func TestRooms(t *testing.T) {
	each(t, []string{"prosody", "ejabberd"}, func(t *testing.T, v msnclient.Version, kind string) {
		sc := newRoomScene(t, v, sharedServer(t, kind))
		walk(t, sc, []step[*roomScene]{
			{"invited and accepted", (*roomScene).stepInvited},
			{"everybody is there", (*roomScene).stepThere},
			{"chat", (*roomScene).stepChat},
			{"come and go", (*roomScene).stepComeAndGo},
			{"called", (*roomScene).stepCalled},
			{"while away", (*roomScene).stepWhileAway},
			{"killed", (*roomScene).stepKilled},
			{"added and removed", (*roomScene).stepAdded},
		})
	})
}

// roomScene is a scene with a room in it, which bob made.
type roomScene struct {
	*scene
	bob  *xmppPeer
	room person
}

func newRoomScene(t testing.TB, v msnclient.Version, s *server) *roomScene {
	t.Helper()
	sc := &roomScene{scene: newScene(t, v, s, "")}
	sc.bob = sc.scene.bob.(*xmppPeer)
	sc.room = newRoom(t, sc.bob)
	return sc
}

// newRoom makes a room and puts the person into it under his name.
func newRoom(t testing.TB, x *xmppPeer) person {
	t.Helper()
	p := person{server: x.me.server, User: fmt.Sprintf("kitchen%d", people.Add(1))}
	p.Handle = p.User + "@muc." + p.server.Domain
	p.ID = p.Handle
	x.enter(t, p)
	x.do(t, op{"op": "furnish", "room": p.ID})
	return p
}

// enter takes the person into a room.
func (x *xmppPeer) enter(t testing.TB, room person) {
	t.Helper()
	from := x.len()
	x.do(t, op{"op": "join", "room": room.ID, "nick": x.me.User})
	x.wait(t, from, "being in the room", func(e peerEvent) bool {
		return e.Ev == "occupant" && e.Room == room.ID && e.Frm == x.me.User
	})
}

// tellAll says something to all in a room, and waits until the room has said it.
func (x *xmppPeer) tellAll(ctx context.Context, room person, text string) error {
	from := x.len()
	raw := fmt.Sprintf("<message type='groupchat' to='%s' id='g%d'><body>%s</body></message>", room.ID, people.Add(1), markup.EscapeString(text))
	if _, err := x.try(ctx, op{"op": "raw", "xml": raw}); err != nil {
		return err
	}
	return x.hearsAll(ctx, from, room, x.me.User, text)
}

// hearsAll waits until somebody says something to all in a room.
func (x *xmppPeer) hearsAll(ctx context.Context, from int, room person, nick, part string) error {
	_, err := x.find(ctx, from, func(e peerEvent) bool {
		return e.Ev == "group" && e.Room == room.ID && e.Frm == nick && strings.Contains(e.Body, part)
	})
	return err
}

// in is somebody in the room as the client knows him.
func (sc *roomScene) in(p person) person {
	return person{server: p.server, Handle: p.User + "." + sc.room.Handle}
}

// window is the open conversation with the room, nil when there is none.
func (sc *roomScene) window() *msnclient.Chat {
	for _, ch := range slices.Backward(sc.client.Chats()) {
		if others, open := ch.Others(); open && slices.Contains(others, strings.ToLower(sc.handle(sc.room))) {
			return ch
		}
	}
	return nil
}

// accept answers a request by a contact's address as old clients do.
func (sc *roomScene) accept(ctx context.Context, from int, who person) error {
	e, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		_, list, asker, ok := e.Listed()
		return ok && list == msnclient.RL && is(asker.Handle, who)
	})
	if err != nil {
		return err
	}
	_, _, asker, _ := e.Listed()
	if err := sc.client.Add(ctx, msnclient.AL, asker.Handle); err != nil {
		return err
	}
	err = sc.client.Add(ctx, msnclient.FL, asker.Handle)
	if msnclient.Code(err) == "215" { // the yes has put it there
		err = nil
	}
	return err
}

func (sc *roomScene) stepInvited(t *testing.T) {
	ctx := waiting(t, 2*patience)
	sc.again(t, "NLN")
	from := sc.client.Log.Len()
	sc.bob.do(t, op{"op": "raw", "xml": fmt.Sprintf(
		"<message to='%s'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='%s'><reason>soup</reason></invite></x></message>", sc.room.ID, sc.me.ID)})
	check(t, sc.accept(ctx, from, sc.room))
	check(t, sc.sees(ctx, from, sc.room, "NLN"))
	check(t, eventually(patience, func() error {
		_, err := sc.bob.find(waiting(t, patience/10), 0, func(e peerEvent) bool {
			return e.Ev == "occupant" && e.Room == sc.room.ID && e.Frm == sc.me.User
		})
		return err
	}))
}

// arrives waits until the client sees somebody come into a conversation.
func (sc *roomScene) arrives(ctx context.Context, from int, who person, cmds ...string) error {
	_, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		for _, cmd := range cmds {
			if e.Cmd == cmd && strings.Contains(strings.ToLower(e.Line), strings.ToLower(who.Handle)) ||
				e.Cmd == cmd && strings.Contains(strings.ToLower(e.Line), strings.ToLower(who.alias())) {
				return true
			}
		}
		return false
	})
	if err != nil {
		err = fmt.Errorf("%v of %s: %w", cmds, who.Handle, err)
	}
	return err
}

// stepThere signs in anew: the room is on the list, and who is in it joins.
func (sc *roomScene) stepThere(t *testing.T) {
	ctx := waiting(t, patience)
	sc.again(t, "NLN")
	if c := sc.lists.Contacts[sc.handle(sc.room)]; c.On&msnclient.FL == 0 {
		t.Fatalf("the room is not on the list: %+v", sc.lists)
	}
	check(t, sc.sees(ctx, 0, sc.room, "NLN"))
	from := sc.client.Log.Len()
	_, err := sc.client.Invite(ctx, sc.handle(sc.room))
	check(t, err)
	check(t, sc.arrives(ctx, from, sc.room, "JOI"))
	check(t, sc.arrives(ctx, from, sc.in(sc.bob.me), "JOI"))
}

func (sc *roomScene) stepChat(t *testing.T) {
	ctx, mark, from := waiting(t, patience), sc.bob.Mark(), sc.client.Log.Len()
	ch := sc.window()
	check(t, ch.Send(ctx, "hello <all>"))
	check(t, sc.bob.hearsAll(ctx, mark, sc.room, sc.me.User, "hello <all>"))
	check(t, sc.bob.tellAll(ctx, sc.room, "welcome & eat"))
	text, err := sc.hears(ctx, from, sc.in(sc.bob.me), "welcome & eat")
	check(t, err)
	if text != "welcome & eat" {
		t.Errorf("the client shows %q", text)
	}
	for _, e := range sc.client.Log.Since(from) {
		if text, ok := e.Text(); ok && strings.Contains(text, "hello <all>") {
			t.Errorf("the client's own words came back: %v", e)
		}
	}
}

func (sc *roomScene) stepComeAndGo(t *testing.T) {
	ctx, from := waiting(t, patience), sc.client.Log.Len()
	carol := joinXMPP(t, newPerson(t, sc.server, "carol"))
	carol.enter(t, sc.room)
	check(t, sc.arrives(ctx, from, sc.in(carol.me), "JOI"))
	check(t, carol.tellAll(ctx, sc.room, "what is there"))
	_, err := sc.hears(ctx, from, sc.in(carol.me), "what is there")
	check(t, err)
	carol.do(t, op{"op": "part", "room": sc.room.ID, "nick": carol.me.User})
	check(t, sc.arrives(ctx, from, sc.in(carol.me), "BYE"))
}

// stepCalled closes the window: what is said then calls the client, and those who are
// in the room are there already.
func (sc *roomScene) stepCalled(t *testing.T) {
	ctx := waiting(t, patience)
	sc.window().Leave()
	from := sc.client.Log.Len()
	check(t, sc.bob.tellAll(ctx, sc.room, "dinner"))
	_, err := sc.hears(ctx, from, sc.in(sc.bob.me), "dinner")
	check(t, err)
	check(t, sc.arrives(ctx, from, sc.room, "IRO"))
	check(t, sc.arrives(ctx, from, sc.in(sc.bob.me), "IRO"))
}

// stepWhileAway signs off: the account leaves the room, and reads what was said when
// it is back.
func (sc *roomScene) stepWhileAway(t *testing.T) {
	ctx, mark := waiting(t, 2*patience), sc.bob.Mark()
	sc.client.Close()
	_, err := sc.bob.find(ctx, mark, func(e peerEvent) bool {
		return e.Ev == "occupant" && e.Room == sc.room.ID && e.Frm == sc.me.User && e.Type == "unavailable"
	})
	check(t, err)
	for i := range 3 {
		check(t, sc.bob.tellAll(ctx, sc.room, fmt.Sprintf("left over %d", i)))
	}
	sc.again(t, "NLN")
	sc.once(t, ctx, "left over 0", "left over 1", "left over 2")
}

// once waits for texts in the room, and for each to be shown once, in order.
func (sc *roomScene) once(t *testing.T, ctx context.Context, texts ...string) {
	t.Helper()
	for _, text := range texts {
		_, err := sc.client.Log.Wait(ctx, 0, func(e msnclient.Event) bool {
			got, ok := e.Text()
			return ok && strings.Contains(got, text)
		})
		check(t, err)
	}
	check(t, sc.bob.tellAll(ctx, sc.room, "that was all"))
	_, err := sc.hears(ctx, 0, sc.in(sc.bob.me), "that was all")
	check(t, err)
	next := 0
	for _, e := range sc.client.Log.Since(0) {
		got, _ := e.Text()
		for i, text := range texts {
			if strings.Contains(got, text) && i == next {
				next++
			} else if strings.Contains(got, text) {
				t.Errorf("%q came again, or out of order", got)
			}
		}
	}
}

// stepKilled kills the box while the room talks.
func (sc *roomScene) stepKilled(t *testing.T) {
	ctx := waiting(t, 2*patience)
	var texts []string
	for i := range 12 {
		texts = append(texts, fmt.Sprintf("spoon number %02d", i))
		check(t, sc.bob.tellAll(ctx, sc.room, texts[i]))
		if i == 4 {
			check(t, sc.box.Kill())
		}
	}
	heard := map[string]bool{}
	for _, e := range sc.client.Log.Since(0) {
		text, _ := e.Text()
		heard[text] = true
	}
	check(t, sc.box.Start())
	sc.again(t, "NLN")
	sc.once(t, ctx, texts[5:]...)
	check(t, sc.sees(ctx, 0, sc.room, "NLN"))
	from := sc.client.Log.Len()
	mark := sc.bob.Mark()
	if sc.window() == nil {
		_, err := sc.client.Invite(ctx, sc.handle(sc.room))
		check(t, err)
		check(t, sc.arrives(ctx, from, sc.room, "JOI"))
	}
	check(t, sc.window().Send(ctx, "still here"))
	check(t, sc.bob.hearsAll(ctx, mark, sc.room, sc.me.User, "still here"))
}

// stepAdded removes the room, which the account leaves, and adds it by its address.
func (sc *roomScene) stepAdded(t *testing.T) {
	ctx, mark := waiting(t, 2*patience), sc.bob.Mark()
	check(t, sc.client.Remove(ctx, msnclient.FL, sc.handle(sc.room)))
	_, err := sc.bob.find(ctx, mark, func(e peerEvent) bool {
		return e.Ev == "occupant" && e.Room == sc.room.ID && e.Frm == sc.me.User && e.Type == "unavailable"
	})
	check(t, err)
	sc.again(t, "NLN")
	from := sc.client.Log.Len()
	mark = sc.bob.Mark()
	check(t, sc.client.Add(ctx, msnclient.FL, sc.room.Handle))
	_, err = sc.bob.find(ctx, mark, func(e peerEvent) bool {
		return e.Ev == "occupant" && e.Room == sc.room.ID && e.Frm == sc.me.User && e.Type != "unavailable"
	})
	check(t, err)
	check(t, sc.sees(ctx, from, sc.room, "NLN"))
	sc.client.Close()
}
