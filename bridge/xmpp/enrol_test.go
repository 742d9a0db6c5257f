package xmpp

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/xmpptest"
)

// TestEnrol: an account is made when the form says so and none fits the password, and
// only once; somebody else's is left alone.
func TestEnrol(t *testing.T) {
	srv, fields := testServer(t, xmpptest.Options{Registration: xmpptest.Registration{Form: xmpptest.PlainForm}})
	host := &desk{kv: map[string]string{}}
	n := &Network{log: slog.New(slog.DiscardHandler), dial: srv.Dial}
	sign := func(jid, password, register, want string) {
		t.Helper()
		fields["jid"], fields["password"], fields["register"] = jid, password, register
		l, err := n.Connect(t.Context(), im.Login{User: alice, Fields: fields, Host: host})
		var lost *im.Lost
		switch {
		case want == "" && err == nil:
			l.Close()
		case want == "":
			t.Errorf("%s: %v", jid, err)
		case !errors.As(err, &lost) || lost.Class != im.Credentials || !strings.Contains(lost.Text, want):
			t.Errorf("%s: %v, want %q", jid, err, want)
		}
	}
	sign("new@chat.test", "first", "no", "does not accept this password")
	sign("new@chat.test", "first", "yes", "")
	sign("new@chat.test", "first", "yes", "")
	sign("bob@chat.test", "mine", "yes", "bob@chat.test already, with another password")
	sign("bob@chat.test", "pw-bob", "yes", "")
	srv.RemoveUser("new")
	sign("new@chat.test", "first", "yes", "does not accept this password")
	sign("newer@chat.test", "second", "yes", "")
}
