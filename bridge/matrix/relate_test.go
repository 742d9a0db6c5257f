package matrix

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// TestRelations: what the account does to earlier messages goes out as the event for
// that, under the name from the receipt also on a later connection, and its echo is
// no news.
func TestRelations(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	room, bob := id.RoomID(w.room), id.UserID(w.bob)
	theirs := string(w.say(room, bob, "soup?"))
	w.hears("soup?")
	w.mustSend(l, "m1", "yess")
	as := await(w.host, "the receipt", func(r im.Receipt) bool { return r.ID == "m1" }).As
	l = w.restart(l)
	for i, c := range []struct {
		m    im.Message
		path string
		body []string
	}{
		{im.Message{Text: "yes", Rel: im.Rel{Kind: im.Edit, To: as}}, "/send/m.room.message/", []string{`"rel_type":"m.replace"`, as, `"m.new_content":{`}},
		{im.Message{Text: "👍", Rel: im.Rel{Kind: im.React, To: theirs}}, "/send/m.reaction/", []string{`"m.annotation"`, theirs, "👍"}},
		{im.Message{Text: "with bread", Rel: im.Rel{Kind: im.Reply, To: theirs, Quote: "soup?"}}, "/send/m.room.message/", []string{`"m.in_reply_to"`, theirs}},
		{im.Message{Text: "Now", Rel: im.Rel{Kind: im.Vote, To: theirs}, Poll: []im.Choice{{ID: "m.poll/1"}}}, "/send/m.poll.response/", []string{`"m.reference"`, theirs, `"m.selections":["1"]`}},
		{im.Message{Rel: im.Rel{Kind: im.Retract, To: as}}, "/redact/" + as, []string{`"appliance.origin"`}},
	} {
		c.m.ID, c.m.Conv = fmt.Sprint("r", i), w.bob
		if err := l.Handle(t.Context(), account, c.m); err != nil {
			t.Fatalf("%+v: %v", c.m, err)
		}
		sent := w.requests("PUT", c.path)
		if len(sent) == 0 {
			t.Fatalf("%+v made no request to %s", c.m, c.path)
		}
		for _, part := range c.body {
			if body := sent[len(sent)-1].body; !json.Valid([]byte(body)) || !strings.Contains(body, part) {
				t.Errorf("%+v went out as %s, without %s", c.m, body, part)
			}
		}
	}
	bare := evt{Type: "m.room.redaction", Redacts: id.EventID(as)} // as some servers leave it
	if msg := l.(*link).echoOf(&bare); msg != "r4" {
		t.Errorf("the redaction is the echo of %q", msg)
	}
	bare.Redacts = id.EventID(theirs)
	if msg := l.(*link).echoOf(&bare); msg != "" {
		t.Errorf("another redaction is the echo of %q", msg)
	}
	w.say(room, bob, "that was all")
	w.hears("that was all")
	for _, ev := range w.host.all() {
		if m, is := ev.(im.Message); is && m.Own {
			t.Errorf("an echo came back: %+v", m)
		}
	}
}

// TestSealedRelations: in an encrypted room all but a reaction is sealed, and only
// what it is about is for the server to see (client-server API, end-to-end
// encryption, relationships).
func TestSealedRelations(t *testing.T) {
	w, bob := newSecretWorld(t)
	l := w.connect()
	w.mustSend(l, "m1", "plugh wrong")
	bob.hears("plugh wrong")
	as := await(w.host, "the receipt", func(r im.Receipt) bool { return r.ID == "m1" }).As
	for i, m := range []im.Message{
		{Text: "plugh right", Rel: im.Rel{Kind: im.Edit, To: as}},
		{Text: "plugh", Rel: im.Rel{Kind: im.Vote, To: as}, Poll: []im.Choice{{ID: "m.poll/plugh"}}},
		{Text: "👍", Rel: im.Rel{Kind: im.React, To: as}},
	} {
		m.ID, m.Conv = fmt.Sprint("s", i), w.bob
		if err := l.Handle(t.Context(), account, m); err != nil {
			t.Fatal(err)
		}
		sent := w.requests("PUT", "/s"+fmt.Sprint(i))
		if len(sent) != 1 || !strings.Contains(sent[0].body, as) || strings.Contains(sent[0].path, "m.room.encrypted") != (m.Rel.Kind != im.React) {
			t.Errorf("%+v went out as %+v", m, sent)
		}
		if m.Rel.Kind == im.Edit {
			bob.hears("* plugh right")
		}
	}
	w.unsaid("plugh")
}
