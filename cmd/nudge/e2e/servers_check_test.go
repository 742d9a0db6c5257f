package e2e

import "testing"

// TestServers shows that each server comes up, makes accounts and keeps them
// over a stop and a kill.
func TestServers(t *testing.T) {
	for _, kind := range []string{"prosody", "ejabberd", "dendrite"} {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			s := ownServer(t, kind, true)
			_, err := s.AddUser("alice")
			check(t, err)
			check(t, s.Stop())
			check(t, s.Start())
			check(t, s.Kill())
			check(t, s.Start())
			_, err = s.AddUser("bob")
			check(t, err)
			// prosodyctl sets the password of an account that exists.
			if _, err = s.AddUser("alice"); err == nil && kind != "prosody" {
				t.Error("the account was lost: it could be made a second time")
			}
		})
	}
}
