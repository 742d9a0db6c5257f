package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"image/color"
	"net/url"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestMatrixRooms takes old clients into a Matrix room, together with two people at
// matrix-nio: as TestRooms, and over an upgrade of the room. The steps share one
// scene and build on each other.
func TestMatrixRooms(t *testing.T) {
	for _, v := range slices.Concat(versions, more) {
		t.Run(v.Name, func(t *testing.T) {
			end2end(t)
			sc := newMatrixRooms(t, v)
			walk(t, sc, []step[*matrixRooms]{
				{"invited and accepted", (*matrixRooms).stepInvited},
				{"everybody is there", (*matrixRooms).stepThere},
				{"topic", (*matrixRooms).stepTopic},
				{"chat", (*matrixRooms).stepChat},
				{"picture", (*matrixRooms).stepPicture},
				{"about words", (*matrixRooms).stepAbout},
				{"come and go", (*matrixRooms).stepComeAndGo},
				{"put out", (*matrixRooms).stepPutOut},
				{"called", (*matrixRooms).stepCalled},
				{"muted", (*matrixRooms).stepMuted},
				{"space", (*matrixRooms).stepSpace},
				{"ignored elsewhere", (*matrixRooms).stepIgnored},
				{"killed", (*matrixRooms).stepKilled},
				{"upgraded", (*matrixRooms).stepUpgraded},
				{"removed and added", (*matrixRooms).stepAdded},
				{"thrown out", (*matrixRooms).stepThrownOut},
			})
		})
	}
}

// matrixRooms is a scene with a room in it, which bob made.
type matrixRooms struct {
	*roomScene
	bob          *matrixPeer
	mine, theirs string // tokens of alice's other device and of bob
}

func newMatrixRooms(t testing.TB, v msnclient.Version) *matrixRooms {
	t.Helper()
	s := sharedServer(t, "dendrite")
	sc := &matrixRooms{roomScene: &roomScene{scene: newScene(t, v, s, "")}}
	sc.bob = sc.scene.bob.(*matrixPeer)
	sc.mine, sc.theirs = matrixLogin(t, sc.me), matrixLogin(t, sc.bob.me)
	sc.room = sc.bob.found(t, sc.theirs)
	return sc
}

// found makes a room, with its name for an alias. Anybody may enter it.
func (m *matrixPeer) found(t testing.TB, token string) person {
	t.Helper()
	p := person{server: m.me.server, User: fmt.Sprintf("kitchen%d", people.Add(1))}
	p.Handle = p.User + "@" + p.server.Domain
	var room struct {
		ID string `json:"room_id"`
	}
	check(t, matrixCall(p.server, token, "POST", "createRoom", map[string]any{
		"preset": "public_chat", "name": p.User, "topic": "soup", "room_alias_name": p.User,
	}, &room))
	p.ID = room.ID
	return p
}

// call is one request about the room with bob's token.
func (sc *matrixRooms) call(t testing.TB, method, what string, body, answer any) {
	t.Helper()
	check(t, matrixCall(sc.server, sc.theirs, method, "rooms/"+url.PathEscape(sc.room.ID)+"/"+what, body, answer))
}

// tellAll says something in the room.
func (m *matrixPeer) tellAll(ctx context.Context, room person, text string) error {
	_, err := m.try(ctx, op{"op": "send", "room": room.ID, "body": text})
	return err
}

// hearsAll waits until somebody says something in the room.
func (m *matrixPeer) hearsAll(ctx context.Context, from int, room, who person, part string) error {
	_, err := m.find(ctx, from, func(e peerEvent) bool {
		return e.Ev == "msg" && e.Room == room.ID && e.Frm == who.ID && strings.Contains(e.Body, part)
	})
	return err
}

// seesMember waits until somebody's membership of the room is so.
func (m *matrixPeer) seesMember(ctx context.Context, from int, room, who person, membership string) error {
	_, err := m.find(ctx, from, func(e peerEvent) bool {
		return e.Ev == "member" && e.Room == room.ID && e.User == who.ID && e.Membership == membership
	})
	return err
}

func (sc *matrixRooms) stepInvited(t *testing.T) {
	ctx, mark := waiting(t, 2*patience), sc.bob.Mark()
	sc.again(t, "NLN")
	from := sc.client.Log.Len()
	sc.call(t, "POST", "invite", map[string]string{"user_id": sc.me.ID}, nil)
	check(t, sc.accept(ctx, from, sc.room))
	check(t, sc.sees(ctx, from, sc.room, "NLN"))
	check(t, sc.bob.seesMember(ctx, mark, sc.room, sc.me, "join"))
}

// stepThere signs in anew: the room is on the list, and who is in it joins.
func (sc *matrixRooms) stepThere(t *testing.T) {
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
	check(t, sc.arrives(ctx, from, sc.bob.me, "JOI"))
}

// stepTopic looks for what the room shows as its personal message.
func (sc *matrixRooms) stepTopic(t *testing.T) {
	if !sc.version.Note() {
		return
	}
	_, err := sc.client.Log.Wait(waiting(t, patience), 0, func(e msnclient.Event) bool {
		who, note, _, ok := e.Note()
		return ok && is(who, sc.room) && note == "soup · 2 members"
	})
	check(t, err)
}

// stepPicture gives the room a picture.
func (sc *matrixRooms) stepPicture(t *testing.T) {
	if !sc.version.Picture() {
		return
	}
	from, green := sc.client.Log.Len(), color.RGBA{0, 200, 0, 255}
	sc.call(t, "PUT", "state/m.room.avatar/", map[string]string{"url": sc.bob.upload(t, sc.theirs, avatar(t, green))}, nil)
	sc.seesPictureOf(t, from, sc.room, green, sc.window)
}

func (sc *matrixRooms) stepChat(t *testing.T) {
	ctx, mark, from := waiting(t, patience), sc.bob.Mark(), sc.client.Log.Len()
	check(t, sc.window().Send(ctx, "hello <all>"))
	check(t, sc.bob.hearsAll(ctx, mark, sc.room, sc.me, "hello <all>"))
	check(t, sc.bob.tellAll(ctx, sc.room, "welcome & eat"))
	text, err := sc.hears(ctx, from, sc.bob.me, "welcome & eat")
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

// guest is somebody who comes into the room by an invitation.
func (sc *matrixRooms) guest(t *testing.T, name string) *matrixPeer {
	t.Helper()
	ctx, from := waiting(t, patience), sc.client.Log.Len()
	p := joinMatrix(t, newPerson(t, sc.server, name))
	sc.call(t, "POST", "invite", map[string]string{"user_id": p.me.ID}, nil)
	check(t, sc.arrives(ctx, from, p.me, "JOI"))
	return p
}

func (sc *matrixRooms) stepComeAndGo(t *testing.T) {
	ctx := waiting(t, 2*patience)
	carol := sc.guest(t, "carol")
	from := sc.client.Log.Len()
	check(t, carol.tellAll(ctx, sc.room, "what is there"))
	_, err := sc.hears(ctx, from, carol.me, "what is there")
	check(t, err)
	carol.do(t, op{"op": "leave", "room": sc.room.ID})
	check(t, sc.arrives(ctx, from, carol.me, "BYE"))
}

// stepPutOut has somebody put out of the room: he goes, and it is said why.
func (sc *matrixRooms) stepPutOut(t *testing.T) {
	ctx := waiting(t, 2*patience)
	dave := sc.guest(t, "dave")
	from := sc.client.Log.Len()
	sc.call(t, "POST", "ban", map[string]string{"user_id": dave.me.ID, "reason": "spam"}, nil)
	check(t, sc.arrives(ctx, from, dave.me, "BYE"))
	_, err := sc.hears(ctx, from, sc.bob.me, "from this room (spam)")
	check(t, err)
}

// stepCalled closes the window: what is said then calls the client, and those who are
// in the room are there already.
func (sc *matrixRooms) stepCalled(t *testing.T) {
	ctx := waiting(t, patience)
	sc.window().Leave()
	from := sc.client.Log.Len()
	check(t, sc.bob.tellAll(ctx, sc.room, "dinner"))
	_, err := sc.hears(ctx, from, sc.bob.me, "dinner")
	check(t, err)
	check(t, sc.arrives(ctx, from, sc.room, "IRO"))
	check(t, sc.arrives(ctx, from, sc.bob.me, "IRO"))
}

// stepMuted has alice's other device mute the room: it opens no window then, and what
// was said waits for the next. bob's direct words, which come after, show when it
// would have.
func (sc *matrixRooms) stepMuted(t *testing.T) {
	path := "pushrules/global/override/" + url.PathEscape(sc.room.ID)
	shown := func(text string) bool {
		return slices.ContainsFunc(sc.client.Log.Since(0), func(e msnclient.Event) bool {
			got, ok := e.Text()
			return ok && strings.Contains(got, text)
		})
	}
	check(t, matrixCall(sc.server, sc.mine, "PUT", path, map[string]any{
		"conditions": []any{map[string]string{"kind": "event_match", "key": "room_id", "pattern": sc.room.ID}}, "actions": []string{"dont_notify"},
	}, nil))
	check(t, eventually(patience, func() error {
		sc.again(t, "NLN")
		whisper, after := fmt.Sprintf("psst %d.", people.Add(1)), fmt.Sprintf("and now %d.", people.Add(1))
		check(t, sc.bob.tellAll(t.Context(), sc.room, whisper))
		check(t, sc.bob.Say(t.Context(), after))
		if _, err := sc.hears(waiting(t, patience), 0, sc.bob.me, after); err != nil {
			return err
		}
		if shown(whisper) {
			return fmt.Errorf("a muted room opened a window")
		}
		return nil
	}))
	check(t, matrixCall(sc.server, sc.mine, "DELETE", path, struct{}{}, nil))
	check(t, eventually(patience, func() error {
		sc.again(t, "NLN")
		check(t, sc.bob.tellAll(t.Context(), sc.room, "aloud"))
		_, err := sc.hears(waiting(t, patience/10), 0, sc.bob.me, "aloud")
		return err
	}))
	if !shown("psst") {
		t.Error("what was said while the room was muted did not come with the next window")
	}
}

// stepSpace puts the room into a space: from the next sign-in on it is in the group
// of that name.
func (sc *matrixRooms) stepSpace(t *testing.T) {
	if sc.version == msnclient.MSNP2 {
		return // it has no groups
	}
	var space struct {
		ID string `json:"room_id"`
	}
	check(t, matrixCall(sc.server, sc.mine, "POST", "createRoom", map[string]any{
		"preset": "private_chat", "name": "Household", "creation_content": map[string]string{"type": "m.space"},
	}, &space))
	path := "rooms/" + url.PathEscape(space.ID) + "/state/m.space.child/" + url.PathEscape(sc.room.ID)
	check(t, matrixCall(sc.server, sc.mine, "PUT", path, map[string][]string{"via": {sc.server.Domain}}, nil))
	check(t, eventually(patience, func() error {
		sc.again(t, "NLN")
		for _, id := range sc.lists.Contacts[sc.handle(sc.room)].Groups {
			if sc.lists.Groups[id] == "Household" {
				return nil
			}
		}
		return fmt.Errorf("the room is in no group of its space: %+v", sc.lists)
	}))
}

// stepIgnored has alice's other device ignore bob and take that back.
func (sc *matrixRooms) stepIgnored(t *testing.T) {
	for _, on := range []bool{true, false} {
		users := map[string]any{}
		if on {
			users[sc.bob.me.ID] = struct{}{}
		}
		path := "user/" + url.PathEscape(sc.me.ID) + "/account_data/m.ignored_user_list"
		check(t, matrixCall(sc.server, sc.mine, "PUT", path, map[string]any{"ignored_users": users}, nil))
		check(t, eventually(patience, func() error {
			sc.again(t, "NLN")
			if c := sc.lists.Contacts[sc.handle(sc.bob.me)]; (c.On&msnclient.BL != 0) != on || on == (c.On&msnclient.AL != 0) {
				return fmt.Errorf("bob is on the lists %v while ignored is %v", c.On, on)
			}
			return nil
		}))
	}
}

// stepKilled kills the box while the room talks.
func (sc *matrixRooms) stepKilled(t *testing.T) {
	ctx := waiting(t, 2*patience)
	var texts []string
	for i := range 12 {
		texts = append(texts, fmt.Sprintf("spoon number %02d", i))
		check(t, sc.bob.tellAll(ctx, sc.room, texts[i]))
		if i == 4 {
			check(t, sc.box.Kill())
		}
	}
	check(t, sc.box.Start())
	sc.again(t, "NLN")
	sc.once(t, ctx, texts[5:]...)
	check(t, sc.sees(ctx, 0, sc.room, "NLN"))
	sc.enter(t, ctx)
	mark := sc.bob.Mark()
	check(t, sc.window().Send(ctx, "still here"))
	check(t, sc.bob.hearsAll(ctx, mark, sc.room, sc.me, "still here"))
}

// enter opens the window of the room if there is none.
func (sc *matrixRooms) enter(t *testing.T, ctx context.Context) {
	t.Helper()
	if sc.window() == nil {
		from := sc.client.Log.Len()
		_, err := sc.client.Invite(ctx, sc.handle(sc.room))
		check(t, err)
		check(t, sc.arrives(ctx, from, sc.room, "JOI"))
	}
}

// once waits for texts in the room, and for each to be shown once, in order.
func (sc *matrixRooms) once(t *testing.T, ctx context.Context, texts ...string) {
	t.Helper()
	check(t, sc.bob.tellAll(ctx, sc.room, "that was all"))
	_, err := sc.client.Log.Wait(ctx, 0, func(e msnclient.Event) bool {
		text, ok := e.Text()
		return ok && strings.Contains(text, "that was all")
	})
	check(t, err)
	var heard []string
	for _, e := range sc.client.Log.Since(0) {
		text, _ := e.Text()
		for _, want := range texts {
			if strings.Contains(text, want) {
				heard = append(heard, want)
			}
		}
	}
	if !slices.Equal(heard, texts) {
		t.Errorf("the client heard %q, want %q", heard, texts)
	}
}

// stepUpgraded replaces the room while the box is away: what is said in the new one
// comes under the old address, and what the client says there goes to the new one.
func (sc *matrixRooms) stepUpgraded(t *testing.T) {
	ctx := waiting(t, 3*patience)
	check(t, sc.box.Kill())
	check(t, sc.bob.tellAll(ctx, sc.room, "we are moving"))
	var next struct {
		ID string `json:"replacement_room"`
	}
	sc.call(t, "POST", "upgrade", map[string]string{"new_version": "10"}, &next)
	sc.room.ID = next.ID
	check(t, sc.bob.tellAll(ctx, sc.room, "here we are"))
	check(t, sc.box.Start())
	sc.again(t, "NLN")
	mark := sc.bob.Mark()
	for _, text := range []string{"we are moving", "here we are"} {
		_, err := sc.client.Log.Wait(ctx, 0, func(e msnclient.Event) bool {
			got, ok := e.Text()
			return ok && strings.Contains(got, text)
		})
		check(t, err)
	}
	sc.enter(t, ctx)
	check(t, sc.window().Send(ctx, "so am I"))
	check(t, sc.bob.hearsAll(ctx, mark, sc.room, sc.me, "so am I"))
	rooms := 0
	for handle := range sc.lists.Contacts {
		if strings.HasPrefix(handle, "kitchen") {
			rooms++
		}
	}
	if rooms != 1 {
		t.Errorf("%d rooms are on the list: %+v", rooms, sc.lists)
	}
}

// stepAdded removes the room, which the account leaves, and adds it by its address.
func (sc *matrixRooms) stepAdded(t *testing.T) {
	ctx, mark := waiting(t, 2*patience), sc.bob.Mark()
	check(t, sc.client.Remove(ctx, msnclient.FL, sc.handle(sc.room)))
	check(t, sc.bob.seesMember(ctx, mark, sc.room, sc.me, "leave"))
	sc.again(t, "NLN")
	from := sc.client.Log.Len()
	mark = sc.bob.Mark()
	check(t, sc.client.Add(ctx, msnclient.FL, sc.room.Handle))
	check(t, sc.bob.seesMember(ctx, mark, sc.room, sc.me, "join"))
	check(t, sc.sees(ctx, from, sc.room, "NLN"))
}

// stepThrownOut has bob put alice out: she reads what was said before and who did it,
// and the room stays on her list, off-line.
func (sc *matrixRooms) stepThrownOut(t *testing.T) {
	ctx, from := waiting(t, 2*patience), sc.client.Log.Len()
	check(t, sc.bob.tellAll(ctx, sc.room, "no more soup"))
	sc.call(t, "POST", "kick", map[string]string{"user_id": sc.me.ID, "reason": "closed"}, nil)
	for _, text := range []string{"no more soup", "you from this room (closed)"} {
		_, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
			got, ok := e.Text()
			return ok && strings.Contains(got, text)
		})
		check(t, err)
	}
	sc.again(t, "NLN")
	if c := sc.lists.Contacts[sc.handle(sc.room)]; c.On&msnclient.FL == 0 {
		t.Errorf("the room is not on the list: %+v", sc.lists)
	}
	if state := sc.client.Status(sc.handle(sc.room)); state != "" && state != "FLN" {
		t.Errorf("the room is shown as %s", state)
	}
	sc.client.Close()
}

// TestMatrixRoomKeys reads what the box sends to the homeserver while people come
// into an encrypted room and go: a key goes to those who are in it, and to nobody
// who left or was banned.
func TestMatrixRoomKeys(t *testing.T) {
	sc, via, bob, _ := watched(t)
	theirs := matrixLogin(t, bob.me)
	room := bob.found(t, theirs)
	bob.do(t, op{"op": "encrypt", "room": room.ID})
	rs := &matrixRooms{roomScene: &roomScene{scene: sc, room: room}, bob: bob, theirs: theirs}
	ctx, mark, from := waiting(t, 4*patience), bob.Mark(), sc.client.Log.Len()
	rs.call(t, "POST", "invite", map[string]string{"user_id": sc.me.ID}, nil)
	check(t, rs.accept(ctx, from, room))
	check(t, bob.seesMember(ctx, mark, room, sc.me, "join"))
	check(t, sc.sees(ctx, from, room, "NLN"))
	rs.enter(t, ctx)
	carol, dave := rs.guest(t, "carol"), rs.guest(t, "dave")

	all := []*matrixPeer{bob, carol, dave}
	say := func(text string, hear ...*matrixPeer) {
		t.Helper()
		var marks []int
		for _, p := range all {
			marks = append(marks, p.Mark())
		}
		check(t, rs.window().Send(ctx, text))
		for i, p := range all {
			if slices.Contains(hear, p) {
				check(t, p.hearsAll(ctx, marks[i], room, sc.me, text))
			}
		}
	}
	keys := func() (to []string) {
		for _, stream := range via.Sent() {
			to = append(to, keyed(stream)...)
		}
		return to
	}
	sent := func(to []string, p *matrixPeer) (n int) {
		for _, u := range to {
			if u == p.me.ID {
				n++
			}
		}
		return n
	}
	say("xyzzy-all", bob, carol, dave)
	first := keys()
	for _, p := range all {
		if sent(first, p) == 0 {
			t.Errorf("%s got no key: %q", p.me.ID, first)
		}
	}
	gone := sc.client.Log.Len()
	carol.do(t, op{"op": "leave", "room": room.ID})
	check(t, rs.arrives(ctx, gone, carol.me, "BYE"))
	rs.call(t, "POST", "ban", map[string]string{"user_id": dave.me.ID}, nil)
	check(t, rs.arrives(ctx, gone, dave.me, "BYE"))
	say("xyzzy-without", bob)
	then := keys()
	for _, p := range all {
		if more := sent(then, p) - sent(first, p); (more > 0) != (p == bob) {
			t.Errorf("%s was sent %d keys after two had gone", p.me.ID, more)
		}
	}
	unsaid(t, via.Sent(), "xyzzy")
}

// keyed lists whom the requests in a stream send room keys to.
func keyed(stream []byte) (users []string) {
	for req, body := range requests(stream) {
		if !strings.Contains(req.URL.Path, "/sendToDevice/m.room.encrypted/") {
			continue
		}
		var to struct {
			Messages map[string]json.RawMessage `json:"messages"`
		}
		if json.Unmarshal(body, &to) == nil {
			for u := range to.Messages {
				users = append(users, u)
			}
		}
	}
	return users
}
