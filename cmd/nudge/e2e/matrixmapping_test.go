package e2e

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestMatrixMappingTable holds the table of what becomes of each row of Matrix to the
// tests.
func TestMatrixMappingTable(t *testing.T) { proved(t, "matrix.txt", 3, matrixChecks) }

// matrixScene is alice at an old client, and bob, who writes events by hand.
type matrixScene struct {
	*scene
	bob          *matrixPeer
	mine, theirs string // tokens of alice's other device and of bob
	txn          int
}

// TestMatrixMapping runs the checks that testdata/matrix.txt names, with the oldest
// clients and the youngest.
func TestMatrixMapping(t *testing.T) {
	for _, v := range slices.Concat(versions, more) {
		t.Run(v.Name, func(t *testing.T) {
			end2end(t)
			sc := newScene(t, v, sharedServer(t, "dendrite"), "")
			m := &matrixScene{scene: sc, bob: sc.bob.(*matrixPeer), mine: matrixLogin(t, sc.me), theirs: matrixLogin(t, sc.bob.Person())}
			sc.signIn(t, "NLN")
			for _, name := range slices.Sorted(maps.Keys(matrixChecks)) {
				t.Run(name, func(t *testing.T) { matrixChecks[name](m, t) })
			}
		})
	}
}

// put sends an event with the token; $OLD in it is the event put before.
func (m *matrixScene) put(t *testing.T, token, kind, content string) (event string) {
	t.Helper()
	m.txn++
	var resp struct {
		ID string `json:"event_id"`
	}
	path := fmt.Sprintf("rooms/%s/send/%s/%d", url.PathEscape(m.bob.Room), kind, m.txn)
	check(t, matrixCall(m.server, token, "PUT", path, rawJSON(content), &resp))
	return resp.ID
}

// rawJSON is text that is JSON already.
type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// shows waits until the client shows the words of bob, and checks that they are
// all there is when they begin with =.
func (m *matrixScene) shows(t *testing.T, from int, words string) {
	t.Helper()
	whole, exact := strings.CutPrefix(words, "=")
	whole = strings.ReplaceAll(whole, "\n", "\r\n")
	text, err := m.hears(waiting(t, patience), from, m.bob.me, whole)
	check(t, err)
	if exact && text != whole {
		t.Errorf("the client shows %q, want %q", text, whole)
	}
}

// says is a check for which bob sends an event and the client shows something.
func says(kind, content, shown string) func(*matrixScene, *testing.T) {
	return func(m *matrixScene, t *testing.T) {
		from := m.client.Log.Len()
		m.put(t, m.theirs, kind, content)
		m.shows(t, from, shown)
	}
}

// refers is one for an event that refers to an earlier one ($OLD).
func refers(kind, content, shown string) func(*matrixScene, *testing.T) {
	return func(m *matrixScene, t *testing.T) {
		from := m.client.Log.Len()
		old := m.put(t, m.theirs, "m.room.message", `{"msgtype":"m.text","body":"what was said before"}`)
		m.shows(t, from, "=what was said before")
		from = m.client.Log.Len()
		m.put(t, m.theirs, kind, strings.ReplaceAll(content, "$OLD", old))
		m.shows(t, from, shown)
	}
}

// sends is one for which the client sends a text and the event in the room has all
// the parts.
func sends(payload, body string, parts ...string) func(*matrixScene, *testing.T) {
	return func(m *matrixScene, t *testing.T) {
		from := m.bob.Mark()
		check(t, m.chat(t).SendRaw(waiting(t, patience), payload))
		e, err := m.bob.find(waiting(t, patience), from, func(e peerEvent) bool { return e.Ev == "msg" && e.Frm == m.me.ID && e.Body == body })
		check(t, err)
		var raw rawEvent
		check(t, matrixCall(m.server, m.theirs, "GET", "rooms/"+url.PathEscape(m.bob.Room)+"/event/"+url.PathEscape(e.ID), nil, &raw))
		for _, part := range parts {
			if !strings.Contains(string(raw), part) {
				t.Errorf("%q is not in %s", part, raw)
			}
		}
	}
}

// rawEvent keeps an answer as it came.
type rawEvent string

func (r *rawEvent) UnmarshalJSON(b []byte) error { *r = rawEvent(b); return nil }

const (
	plainText = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n"
	html      = `"format":"org.matrix.custom.html","formatted_body":`
)

var matrixChecks = map[string]func(*matrixScene, *testing.T){
	"text":      says("m.room.message", `{"msgtype":"m.text","body":"plain words"}`, "=plain words"),
	"long":      says("m.room.message", `{"msgtype":"m.text","body":"`+strings.Repeat("many words ", 300)+`the end"}`, "the end"),
	"format in": says("m.room.message", `{"msgtype":"m.text","body":"**x** and y",`+html+`"<b>bold</b> and <i>italic</i>"}`, "=bold and italic"),
	"format out": sends(plainText+"X-MMS-IM-Format: FN=Arial; EF=B; CO=ff; CS=0; PF=22\r\n\r\nbold and red", "bold and red",
		"formatted_body", "strong", "#FF0000"),
	"emote in":   says("m.room.message", `{"msgtype":"m.emote","body":"waves"}`, " waves"),
	"emote out":  sends(plainText+"\r\n/me waves back", "waves back", "m.emote"),
	"notice":     says("m.room.message", `{"msgtype":"m.notice","body":"beep"}`, "=beep"),
	"correction": refers("m.room.message", `{"msgtype":"m.text","body":"* what is said now","m.new_content":{"msgtype":"m.text","body":"what is said now"},"m.relates_to":{"rel_type":"m.replace","event_id":"$OLD"}}`, "=* corrected: what is said now"),
	"reaction":   refers("m.reaction", `{"m.relates_to":{"rel_type":"m.annotation","event_id":"$OLD","key":"👍"}}`, ` reacted (Y) to "what was said before"`),
	"reply":      refers("m.room.message", `{"msgtype":"m.text","body":"> <@x:y> what was said before\n\nan answer","m.relates_to":{"m.in_reply_to":{"event_id":"$OLD"}}}`, "=> what was said before\nan answer"),
	"thread":     refers("m.room.message", `{"msgtype":"m.text","body":"aside","m.relates_to":{"rel_type":"m.thread","event_id":"$OLD","is_falling_back":true,"m.in_reply_to":{"event_id":"$OLD"}}}`, "=(thread) aside"),
	"redaction":  (*matrixScene).redaction,
	"picture":    says("m.room.message", `{"msgtype":"m.image","body":"look","filename":"a.png","url":"mxc://hs.test/none","info":{"mimetype":"image/png","size":7000}}`, "sent a picture: a.png (7 kB)"),
	"voice":      says("m.room.message", `{"msgtype":"m.audio","body":"Voice message","url":"mxc://hs.test/none","org.matrix.msc3245.voice":{}}`, "sent a sound: Voice message"),
	"sticker":    says("m.sticker", `{"body":"a cat","url":"mxc://hs.test/none","info":{}}`, "sent a picture: a cat"),
	"location":   says("m.room.message", `{"msgtype":"m.location","body":"Here","geo_uri":"geo:51.5,0.1"}`, "=Here geo:51.5,0.1"),
	"poll":       says("org.matrix.msc3381.poll.start", `{"org.matrix.msc3381.poll.start":{"question":{"org.matrix.msc1767.text":"When?"},"answers":[{"id":"1","org.matrix.msc1767.text":"Now"},{"id":"2","org.matrix.msc1767.text":"Then"}]}}`, "asks: When?"),
	"unknown":    says("m.room.message", `{"msgtype":"org.example.new","body":"its fallback"}`, "=its fallback"),
	"call":       says("m.call.invite", `{"call_id":"1","version":"1","lifetime":1000,"offer":{}}`, "is calling"),
	"elsewhere": func(m *matrixScene, t *testing.T) {
		from := m.client.Log.Len()
		m.put(t, m.mine, "m.room.message", `{"msgtype":"m.text","body":"from my phone"}`)
		_, err := m.client.Log.Wait(waiting(t, patience), from, func(e msnclient.Event) bool {
			text, _ := e.Text()
			return is(e.From(), person{Handle: aliceHandle}) && text == "(me elsewhere) from my phone"
		})
		check(t, err)
	},
	"read marker": func(m *matrixScene, t *testing.T) {
		from, mark := m.client.Log.Len(), m.bob.Mark()
		id := m.put(t, m.theirs, "m.room.message", `{"msgtype":"m.text","body":"did you read this?"}`)
		m.shows(t, from, "did you read this?")
		_, err := m.bob.find(waiting(t, patience), mark, func(e peerEvent) bool {
			return e.Ev == "receipt" && slices.ContainsFunc(e.Receipts, func(r peerReceipt) bool { return r.ID == id && r.User == m.me.ID })
		})
		check(t, err)
	},
	"receipts off":   (*matrixScene).receiptsOff,
	"upgrade":        (*matrixScene).upgrade,
	"correction out": (*matrixScene).correctionOut,
	"redaction out":  (*matrixScene).redactionOut,
	"reaction out":   (*matrixScene).reactionOut,
	"reply out":      (*matrixScene).replyOut,
	"vote":           (*matrixScene).vote,
}

// redaction takes back what was said.
func (m *matrixScene) redaction(t *testing.T) {
	from := m.client.Log.Len()
	old := m.put(t, m.theirs, "m.room.message", `{"msgtype":"m.text","body":"regretted words"}`)
	m.shows(t, from, "=regretted words")
	from = m.client.Log.Len()
	m.txn++
	path := fmt.Sprintf("rooms/%s/redact/%s/%d", url.PathEscape(m.bob.Room), url.PathEscape(old), m.txn)
	check(t, matrixCall(m.server, m.theirs, "PUT", path, struct{}{}, nil))
	m.shows(t, from, ` deleted: "regretted words"`)
}

// upgrade replaces the room; the contact stays one.
func (m *matrixScene) upgrade(t *testing.T) {
	var resp struct {
		Room string `json:"replacement_room"`
	}
	mark := m.bob.Mark()
	check(t, matrixCall(m.server, m.mine, "POST", "rooms/"+url.PathEscape(m.bob.Room)+"/upgrade", map[string]string{"new_version": "10"}, &resp))
	invite := map[string]string{"user_id": m.bob.me.ID} // Dendrite does not invite who was there
	check(t, matrixCall(m.server, m.mine, "POST", "rooms/"+url.PathEscape(resp.Room)+"/invite", invite, nil))
	_, err := m.bob.find(waiting(t, patience), mark, func(e peerEvent) bool {
		return e.Ev == "member" && e.Room == resp.Room && e.User == m.bob.me.ID && e.Membership == "join"
	})
	check(t, err)
	m.bob.Room = resp.Room
	m.talk(t, "in the new room")
}
