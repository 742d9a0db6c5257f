package e2e

import (
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestEnrol makes an account on a server (XEP-0077) by linking to it, and talks as that
// one; a server that makes none says so, and the box what to do.
func TestEnrol(t *testing.T) {
	for _, kind := range []string{"prosody", "ejabberd"} {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			s := sharedServer(t, kind)
			b := newBox(t)
			b.AddUser(t, aliceHandle, msnclient.MSNP9)
			link := func(jid string) (string, error) {
				return b.try("link", "add", aliceHandle, "xmpp", "--jid", jid, "--register", "--password", "made-by-the-box", "--server", s.Addr(), "--ca", s.settings.PKI.CA)
			}
			if kind == "prosody" {
				said, err := link("alice@closed." + s.Domain)
				if err == nil || !strings.Contains(said, "The server closed."+s.Domain+" made no account") {
					t.Errorf("%v: %s", err, said)
				}
			}
			bob := joinXMPP(t, newPerson(t, s, "bob"))
			if said, err := link(bob.me.ID); err == nil || !strings.Contains(said, "already, with another password") {
				t.Errorf("%v: %s", err, said)
			}
			me := person{server: s, User: "made" + bob.me.User, Password: "made-by-the-box"}
			me.ID = me.User + "@" + s.Domain
			me.Handle = me.ID
			said, err := link(me.ID)
			check(t, err)
			if !strings.Contains(said, "is linked to xmpp.") {
				t.Errorf("the command says %q", said)
			}
			other := joinXMPP(t, me) // the account is there for other programs too
			other.friend = bob.me
			mark := other.Mark()
			bob.friend = me
			check(t, bob.Say(t.Context(), "welcome"))
			check(t, other.Heard(waiting(t, patience), mark, "welcome"))
		})
	}
}
