package matrix

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"nudge/bridge/im"
)

// TestQuotes: what refers to an earlier message says what that was, also after it
// was corrected, and when the user wrote it himself.
func TestQuotes(t *testing.T) {
	w := newWorld(t)
	w.encrypt()
	l := w.connect()
	bob := w.friend(w.bob, "secret-bob", "BOB1")
	put := func(kind, txn, content string) string {
		t.Helper()
		var resp struct {
			ID string `json:"event_id"`
		}
		_, err := bob.cli.MakeRequest(t.Context(), http.MethodPut, bob.cli.BuildClientURL("v3", "rooms", w.room, "send", kind, txn), json.RawMessage(content), &resp)
		bob.must(err)
		return resp.ID
	}
	quoted := func(id, quote string) {
		t.Helper()
		m := await(w.host, id, func(m im.Message) bool { return m.ID == id })
		if m.Rel.Quote != quote {
			t.Errorf("%+v, want quote %q", m, quote)
		}
	}
	const rel = `{"m.relates_to":{"rel_type":"m.annotation","event_id":%q,"key":"x"}}`
	first := put("m.room.message", "1", `{"msgtype":"m.text","body":"one\ntwo"}`)
	quoted(put("m.reaction", "2", fmt.Sprintf(rel, first)), "one two")
	put("m.room.message", "3", fmt.Sprintf(`{"msgtype":"m.text","body":"* three","m.new_content":{"msgtype":"m.text","body":"three"},"m.relates_to":{"rel_type":"m.replace","event_id":%q}}`, first))
	quoted(put("m.room.message", "4", fmt.Sprintf(`{"msgtype":"m.text","body":"yes","m.relates_to":{"m.in_reply_to":{"event_id":%q}}}`, first)), "three")
	quoted(put("m.reaction", "5", fmt.Sprintf(rel, "$unknown")), "")
	w.mustSend(l, "m1", "mine")
	mine := string(l.(*link).track.event("m1"))
	quoted(put("m.reaction", "6", fmt.Sprintf(rel, mine)), "mine")
}
