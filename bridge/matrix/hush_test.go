package matrix

import (
	"encoding/json"
	"testing"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

const rules = `{"global":{
"override":[
 {"rule_id":".m.rule.master","enabled":true,"conditions":[],"actions":[]},
 {"rule_id":"!muted:x","enabled":true,"conditions":[{"kind":"event_match","key":"room_id","pattern":"!muted:x"}],"actions":["dont_notify"]},
 {"rule_id":"!off:x","enabled":false,"conditions":[{"kind":"event_match","key":"room_id","pattern":"!off:x"}],"actions":[]},
 {"rule_id":"!loud:x","enabled":true,"conditions":[{"kind":"event_match","key":"room_id","pattern":"!loud:x"}],"actions":["notify",{"set_tweak":"sound"}]}],
"room":[{"rule_id":"!calm:x","enabled":true,"actions":[]},{"rule_id":"!all:x","enabled":true,"actions":["notify"]}],
"content":[{"rule_id":".m.rule.contains_user_name","enabled":true,"pattern":"alice","actions":["notify"]},
 {"rule_id":"c","enabled":true,"pattern":"Cake","actions":["notify"]},{"rule_id":"d","enabled":true,"pattern":"bread","actions":[]}]}}`

// TestHush: which events open no window, by the rules about their room.
func TestHush(t *testing.T) {
	m, err := loadMemory(newTestHost(t), "@alice:hs.test")
	if err != nil {
		t.Fatal(err)
	}
	m.accountData(evts{{Type: "m.push_rules", Content: json.RawMessage(rules)}})
	for _, c := range []struct {
		room    id.RoomID
		content string
		quiet   bool
	}{
		{"!muted:x", `{"body":"alice","m.mentions":{"user_ids":["@alice:hs.test"]}}`, true},
		{"!off:x", `{"body":"hi"}`, false},
		{"!loud:x", `{"body":"hi"}`, false},
		{"!all:x", `{"body":"hi"}`, false},
		{"!other:x", `{"body":"hi"}`, false},
		{"!calm:x", `{"body":"hi"}`, true},
		{"!calm:x", `{"body":"hi","m.mentions":{"user_ids":["@alice:hs.test"]}}`, false},
		{"!calm:x", `{"body":"hi","m.mentions":{"room":true}}`, false},
		{"!calm:x", `{"body":"Alice: hi"}`, false},
		{"!calm:x", `{"body":"alice and bob","m.mentions":{"user_ids":["@bob:hs.test"]}}`, true},
		{"!calm:x", `{"body":"malice"}`, true},
		{"!calm:x", `{"body":"malice and ALICE"}`, false},
		{"!calm:x", `{"body":"there is cake","m.mentions":{}}`, false},
		{"!calm:x", `{"body":"cakes and bread"}`, true},
		{"!calm:x", `[]`, true},
	} {
		if got := m.quiet(c.room, &evt{Content: json.RawMessage(c.content)}); got != c.quiet {
			t.Errorf("%s %s: quiet is %v", c.room, c.content, got)
		}
	}
}

// TestMutedRoom: the rule is kept over a restart, and taken back.
func TestMutedRoom(t *testing.T) {
	w := newWorld(t)
	r, carol := w.party("Party")
	mute := func(on bool) {
		w.setAccount(id.UserID(w.alice), "m.push_rules", map[string]any{"global": map[string]any{"override": []any{map[string]any{
			"rule_id": r, "enabled": on, "actions": []any{}, "conditions": []any{map[string]any{"kind": "event_match", "key": "room_id", "pattern": r}},
		}}}})
	}
	mute(true)
	l := w.connect()
	hears := func(text string, quiet bool) {
		t.Helper()
		w.say(r, carol, text)
		if m := await(w.host, "message", func(m im.Message) bool { return m.Text == text }); m.Quiet != quiet {
			t.Errorf("%q is quiet: %v", text, m.Quiet)
		}
	}
	hears("one", true)
	w.restart(l)
	hears("two", true)
	mute(false)
	hears("three", false)
}

func FuzzHush(f *testing.F) {
	f.Add([]byte(rules), []byte(`{"body":"alice cake","m.mentions":{"room":true}}`))
	f.Fuzz(func(t *testing.T, rules, content []byte) {
		m := &memory{me: "@alice:hs.test", hush: readHush(rules)}
		m.hush.Mentions = append(m.hush.Mentions, "!r:x")
		m.quiet("!r:x", &evt{Content: content})
	})
}
