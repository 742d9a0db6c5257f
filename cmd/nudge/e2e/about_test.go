package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// What the old client does to earlier messages, on both networks.

// matrixAbout is a conversation of the client with bob in a room of Matrix.
type matrixAbout struct {
	*scene
	bob         *matrixPeer
	chat        *msnclient.Chat
	room, token string // of bob
}

func (m *matrixScene) about(t *testing.T) *matrixAbout {
	return &matrixAbout{m.scene, m.bob, m.chat(t), m.bob.Room, m.theirs}
}

func (m *matrixScene) correctionOut(t *testing.T) { m.about(t).corrects(t) }
func (m *matrixScene) redactionOut(t *testing.T)  { m.about(t).redacts(t) }
func (m *matrixScene) reactionOut(t *testing.T)   { m.about(t).reacts(t) }
func (m *matrixScene) replyOut(t *testing.T)      { m.about(t).replies(t) }

// stepAbout is the same in a room.
func (sc *matrixRooms) stepAbout(t *testing.T) {
	a := &matrixAbout{sc.scene, sc.bob, sc.window(), sc.room.ID, sc.theirs}
	a.corrects(t)
	a.reacts(t)
	a.replies(t)
	a.redacts(t)
}

// stepGhostAbout is the same for who has no account of his own there.
func (sc *scene) stepGhostAbout(t *testing.T) {
	bob := sc.bob.(*matrixPeer)
	a := &matrixAbout{sc, bob, sc.chat(t), bob.Room, matrixLogin(t, bob.me)}
	a.corrects(t)
	a.reacts(t)
	a.replies(t)
	a.redacts(t)
}

// put lets bob send an event, and returns its id.
func (a *matrixAbout) put(t *testing.T, kind, content string) string {
	t.Helper()
	var resp struct {
		ID string `json:"event_id"`
	}
	path := fmt.Sprintf("rooms/%s/send/%s/about%d", url.PathEscape(a.room), kind, people.Add(1))
	check(t, matrixCall(a.server, a.token, "PUT", path, rawJSON(content), &resp))
	return resp.ID
}

// asks lets bob say something that the client shows, and returns its id.
func (a *matrixAbout) asks(t *testing.T, text string) string {
	t.Helper()
	from := a.client.Log.Len()
	id := a.put(t, "m.room.message", `{"msgtype":"m.text","body":"`+text+`"}`)
	_, err := a.hears(waiting(t, patience), from, a.bob.me, text)
	check(t, err)
	return id
}

// says lets the client say something, and returns the id of what bob gets.
func (a *matrixAbout) says(t *testing.T, text, body string) peerEvent {
	t.Helper()
	ctx, mark := waiting(t, patience), a.bob.Mark()
	check(t, a.chat.Send(ctx, text))
	e, err := a.bob.find(ctx, mark, func(e peerEvent) bool {
		return e.Ev == "msg" && e.Room == a.room && e.Frm == a.me.ID && e.Body == body
	})
	check(t, err)
	return e
}

// event is an event of the room as the homeserver has it.
func (a *matrixAbout) event(t *testing.T, id string) (raw rawEvent) {
	t.Helper()
	check(t, matrixCall(a.server, a.token, "GET", "rooms/"+url.PathEscape(a.room)+"/event/"+url.PathEscape(id), nil, &raw))
	return raw
}

// keeps waits until the room has an event of the account with all the parts.
func (a *matrixAbout) keeps(t *testing.T, parts ...string) {
	t.Helper()
	check(t, eventually(patience, func() error {
		var page struct{ Chunk []json.RawMessage }
		if err := matrixCall(a.server, a.token, "GET", "rooms/"+url.PathEscape(a.room)+"/messages?dir=b&limit=20", nil, &page); err != nil {
			return err
		}
		for _, e := range page.Chunk {
			missing := 0
			for _, part := range append(parts, a.me.ID) {
				if !strings.Contains(string(e), part) {
					missing++
				}
			}
			if missing == 0 {
				return nil
			}
		}
		return fmt.Errorf("no event with %q", parts)
	}))
}

func (a *matrixAbout) corrects(t *testing.T) {
	from := a.client.Log.Len()
	said := a.says(t, "what I sed", "what I sed")
	if e := a.says(t, "s/sed/said/", "* what I said"); e.Edit != said.ID {
		t.Errorf("%s is corrected, not %s", e.Edit, said.ID)
	}
	a.silent(t, from)
}

func (a *matrixAbout) redacts(t *testing.T) {
	from := a.client.Log.Len()
	said := a.says(t, "words to regret", "words to regret")
	check(t, a.chat.Send(waiting(t, patience), "/del"))
	check(t, eventually(patience, func() error {
		if raw := a.event(t, said.ID); strings.Contains(string(raw), "words to regret") {
			return fmt.Errorf("the room still has %s", raw)
		}
		return nil
	}))
	a.silent(t, from)
}

func (a *matrixAbout) reacts(t *testing.T) {
	ctx, id, mark := waiting(t, patience), a.asks(t, "soup today?"), a.bob.Mark()
	check(t, a.chat.Send(ctx, "+(Y)"))
	_, err := a.bob.find(ctx, mark, func(e peerEvent) bool {
		return e.Ev == "reaction" && e.Frm == a.me.ID && e.Key == "👍" && e.To == id
	})
	check(t, err)
}

func (a *matrixAbout) replies(t *testing.T) {
	id := a.asks(t, "and bread?")
	e := a.says(t, "/reply rather cake", "rather cake")
	if raw := string(a.event(t, e.ID)); !strings.Contains(raw, "m.in_reply_to") || !strings.Contains(raw, id) {
		t.Errorf("%s does not answer %s", raw, id)
	}
}

// silent checks that the client was shown nothing of what it did itself.
func (a *matrixAbout) silent(t *testing.T, from int) {
	t.Helper()
	a.asks(t, fmt.Sprintf("so much for that %d", people.Add(1)))
	quiet(t, a.client, from)
}

// quiet checks that the client was told of nothing that somebody did to a message.
func quiet(t *testing.T, c *msnclient.Client, from int) {
	t.Helper()
	for _, e := range c.Log.Since(from) {
		text, _ := e.Text()
		for _, word := range []string{"corrected", "deleted", "me elsewhere", "reacted"} {
			if strings.Contains(text, word) {
				t.Errorf("the client shows %q", text)
			}
		}
	}
}

// vote answers polls as they come, and tells who picks no answer what to do.
func (m *matrixScene) vote(t *testing.T) {
	a := m.about(t)
	for kind, c := range map[string][2]string{
		"org.matrix.msc3381.poll": {`{"org.matrix.msc3381.poll.start":{"kind":"org.matrix.msc3381.poll.disclosed","max_selections":1,"question":{"org.matrix.msc1767.text":"When?"},` +
			`"answers":[{"id":"one","org.matrix.msc1767.text":"Now"},{"id":"two","org.matrix.msc1767.text":"Then"}]}}`, `"org.matrix.msc3381.poll.response":{"answers":["two"]}`},
		"m.poll": {`{"m.text":[{"body":"When?"}],"m.poll":{"kind":"m.disclosed","max_selections":1,"question":{"m.text":[{"body":"When?"}]},` +
			`"answers":[{"m.id":"uno","m.text":[{"body":"Now"}]},{"m.id":"due","m.text":[{"body":"Then"}]}]}}`, `"m.selections":["due"]`},
	} {
		from := a.client.Log.Len()
		id := a.put(t, kind+".start", c[0])
		m.shows(t, from, "=asks: When?\n1. Now\n2. Then\n(to vote, write /vote and the number, as in: /vote 2)")
		from = a.client.Log.Len()
		check(t, a.chat.Send(waiting(t, patience), "/vote 3"))
		m.shows(t, from, "=Write the number of an answer after /vote, from 1 to 2.")
		check(t, a.chat.Send(waiting(t, patience), "/vote 2"))
		a.keeps(t, kind+".response", id, c[1])
	}
}

// sentChat lets the client say something, and returns what bob's client calls it.
func (sc *scene) sentChat(t *testing.T, text string) string {
	t.Helper()
	ctx, mark := waiting(t, patience), sc.bob.Mark()
	check(t, sc.chat(t).Send(ctx, text))
	e, err := sc.bob.(*xmppPeer).find(ctx, mark, func(e peerEvent) bool { return e.Ev == "msg" && e.Frm == sc.me.ID && e.Body == text })
	check(t, err)
	return e.ID
}

// writes lets the client write something, and waits until bob gets a message with
// all the parts.
func (sc *scene) writes(t *testing.T, text string, parts ...string) {
	t.Helper()
	ctx, mark := waiting(t, patience), sc.bob.Mark()
	check(t, sc.chat(t).Send(ctx, text))
	_, err := sc.bob.(*xmppPeer).find(ctx, mark, func(e peerEvent) bool { return e.Ev == "msg" && e.Frm == sc.me.ID && holds(e.XML, parts) })
	if err != nil {
		t.Fatalf("for %q bob gets nothing with %q: %v", text, parts, err)
	}
}

func holds(xml string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(xml, part) {
			return false
		}
	}
	return true
}

// bobAsks lets bob say something under an id, and waits until the client shows it.
func (sc *scene) bobAsks(t *testing.T, id, text string) {
	t.Helper()
	from := sc.client.Log.Len()
	sc.bob.(*xmppPeer).do(t, op{"op": "raw", "xml": fmt.Sprintf("<message type='chat' to='%s' id='%s'><body>%s</body></message>", sc.me.ID, id, text)})
	_, err := sc.hears(waiting(t, patience), from, sc.bob.Person(), text)
	check(t, err)
}

func (sc *roomScene) correctionOut(t *testing.T) {
	from := sc.client.Log.Len()
	id := sc.sentChat(t, "what I sed")
	sc.writes(t, "s/sed/said/", "what I said", "urn:xmpp:message-correct:0", `id="`+id+`"`)
	sc.bobAsks(t, "co1", "so much for that")
	quiet(t, sc.client, from)
}

func (sc *roomScene) retractionOut(t *testing.T) {
	from := sc.client.Log.Len()
	id := sc.sentChat(t, "words to regret")
	sc.writes(t, "/del", "urn:xmpp:message-retract:1", "urn:xmpp:fallback:0", `id="`+id+`"`)
	sc.bobAsks(t, "ro1", "it is gone")
	quiet(t, sc.client, from)
}

func (sc *roomScene) reactionOut(t *testing.T) {
	sc.bobAsks(t, "re1", "soup today?")
	sc.writes(t, "+(Y)", "urn:xmpp:reactions:0", `id="re1"`, "👍")
	sc.writes(t, "/react (L)", "urn:xmpp:reactions:0", `id="re1"`, "❤")
}

func (sc *roomScene) replyOut(t *testing.T) {
	sc.bobAsks(t, "rp1", "and bread?")
	sc.writes(t, "/reply rather cake", "urn:xmpp:reply:0", `id="rp1"`, "&gt; and bread?\nrather cake", "urn:xmpp:fallback:0")
}

// stepAboutAtComponent is the same on a component.
func (sc *scene) stepAboutAtComponent(t *testing.T) {
	from := sc.client.Log.Len()
	id := sc.sentChat(t, "what I sed")
	sc.writes(t, "s/sed/said/", "what I said", "urn:xmpp:message-correct:0", `id="`+id+`"`)
	sc.writes(t, "/del", "urn:xmpp:message-retract:1", `id="`+id+`"`)
	sc.bobAsks(t, "component-1", "soup today?")
	sc.writes(t, "+(Y)", "urn:xmpp:reactions:0", `id="component-1"`, "👍")
	sc.writes(t, "/reply with bread", "urn:xmpp:reply:0", `id="component-1"`)
	quiet(t, sc.client, from)
}

// roomAbout is the same in a room, which gives what is said there names of its own.
func (sc *roomScene) roomAbout(t *testing.T) {
	ch := sc.join(t)
	from := sc.client.Log.Len()
	inRoom := func(nick, text string, parts ...string) peerEvent {
		t.Helper()
		ctx, mark := waiting(t, patience), sc.bob.Mark()
		if nick == sc.me.User {
			check(t, ch.Send(ctx, text))
		} else {
			check(t, sc.bob.tellAll(ctx, sc.room, text))
		}
		e, err := sc.bob.find(ctx, mark, func(e peerEvent) bool {
			return e.Ev == "group" && e.Room == sc.room.ID && e.Frm == nick && holds(e.XML, parts)
		})
		if err != nil {
			t.Fatalf("for %q the room gets nothing with %q: %v", text, parts, err)
		}
		return e
	}
	said := inRoom(sc.me.User, "what we sed", "what we sed")
	inRoom(sc.me.User, "s/sed/said/", "what we said", "urn:xmpp:message-correct:0", `id="`+said.ID+`"`)
	asked := inRoom(sc.bob.me.User, "soup for all?", "soup for all?")
	_, err := sc.hears(waiting(t, patience), from, sc.in(sc.bob.me), "soup for all?")
	check(t, err)
	inRoom(sc.me.User, "+(Y)", "urn:xmpp:reactions:0", `id="`+filedAs(t, asked)+`"`, "👍")
	answer := inRoom(sc.me.User, "/reply with bread", "&gt; soup for all?\nwith bread", "urn:xmpp:reply:0", `id="`+filedAs(t, asked)+`"`, `to="`+sc.room.ID+"/"+sc.bob.me.User+`"`)
	inRoom(sc.me.User, "/del", "urn:xmpp:message-retract:1", `id="`+filedAs(t, answer)+`"`)
	quiet(t, sc.client, from)
}

var stanzaIDs = regexp.MustCompile(`<stanza-id [^>]*\bid="([^"]+)"`)

// filedAs is what a room calls what was said in it.
func filedAs(t *testing.T, e peerEvent) string {
	t.Helper()
	m := stanzaIDs.FindStringSubmatch(e.XML)
	if m == nil {
		t.Fatalf("the room gave no name to %s", e.XML)
	}
	return m[1]
}
