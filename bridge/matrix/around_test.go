package matrix

import (
	"encoding/json"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// older makes what is on disk as a former version left it, which knew neither topics
// and pictures nor push rules; keep says that it is in today's form nevertheless.
func (w *world) older(r id.RoomID, keep bool) {
	w.t.Helper()
	err := w.host.Update(func(tx im.Tx) error {
		if !keep {
			tx.Delete([]byte(formKey))
		}
		tx.Delete([]byte(hushKey))
		key := roomKey + string(r)
		var rm room
		if err := json.Unmarshal(tx.Get([]byte(key)), &rm); err != nil {
			return err
		}
		rm.Topic, rm.Avatar = "", ""
		return putJSON(tx, key, rm)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestFormerVersion: a link whose position is from a former version asks once for
// what that one did not ask for.
func TestFormerVersion(t *testing.T) {
	w := newWorld(t)
	r, carol := w.party("Party")
	w.setState(r, carol, "m.room.topic", map[string]string{"topic": "cake"})
	w.setState(r, carol, "m.room.avatar", map[string]string{"url": "mxc://hs.test/cake"})
	w.setAccount(id.UserID(w.alice), "m.push_rules", map[string]any{"global": map[string]any{"override": []any{map[string]any{
		"rule_id": r, "enabled": true, "actions": []any{}, "conditions": []any{map[string]any{"kind": "event_match", "key": "room_id", "pattern": r}},
	}}}})
	w.say(r, carol, "before")
	l := w.connect()
	cake := func(r im.Room) bool { return strings.HasPrefix(r.Topic, "cake") }
	hears := func(text string, quiet bool) {
		t.Helper()
		w.say(r, carol, text)
		if m := await(w.host, "message", func(m im.Message) bool { return m.Text == text }); m.Quiet != quiet {
			t.Errorf("%q is quiet: %v", text, m.Quiet)
		}
	}
	w.host.crowd(r, cake)
	l.Close()
	w.older(r, false)
	l = w.restart(l)
	w.host.crowd(r, cake)
	await(w.host, "the room's picture", func(p im.PresenceChanged) bool {
		return p.Who.ID == string(r) && p.Now.Avatar == "mxc://hs.test/cake"
	})
	hears("one", true)
	l.Close()
	w.older(r, true)
	w.restart(l)
	hears("two", false)
	if room := w.host.crowd(r, func(im.Room) bool { return true }); cake(room) {
		t.Errorf("it asks at each start: %+v", room)
	}
}
