package msnserver

import (
	"fmt"
	"testing"
	"testing/synctest"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestWaysIn signs in with every version in every way: a hash up to MSNP8
// (MSNP.md K.4), a ticket from there on, of either service: msn-pecan asks the
// nexus in MSNP12, BitlBee for a token in MSNP8 (MSNP.md H).
func TestWaysIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		if err := b.hub.CreateAccount(t.Context(), "Alice@example.com", "Alice", "with % & <>", true); err != nil {
			t.Fatal(err)
		}
		for i, v := range msnclient.Versions {
			number := i + 2
			for auth, can := range map[msnclient.Auth]bool{
				msnclient.ByMD5: number <= 8, msnclient.ByNexus: number >= 8, msnclient.ByToken: number >= 8,
			} {
				for _, password := range []string{"with % & <>", "wrong"} {
					cfg := clientConfig(b, t, v, "alice@EXAMPLE.com")
					cfg.Auth, cfg.Password = auth, password
					c, err := msnclient.SignIn(t.Context(), cfg)
					what := fmt.Sprintf("%s, way %d, password %q", v.Name, auth, password)
					if (err == nil) != (can && password != "wrong") {
						t.Errorf("%s: %v", what, err)
					}
					if err == nil {
						if _, err := c.Sync(t.Context()); err != nil || c.Name != "Alice" {
							t.Errorf("%s: the name is %q, %v", what, c.Name, err)
						}
						c.Kill()
					}
				}
			}
		}
	})
}
