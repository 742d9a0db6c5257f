package matrix

import (
	"crypto/sha1"
	"strings"
	"testing"

	"nudge/bridge/im"
)

// TestWear: the profile gets what the client shows when the user wants that, each
// picture once, also over a restart.
func TestWear(t *testing.T) {
	w := newWorld(t)
	l := w.connect()
	worn := func() int { return len(w.requests("PUT", "/avatar_url")) }
	shows := func(png string) {
		t.Helper()
		w.host.mu.Lock()
		w.host.picture = []byte(png)
		w.host.mu.Unlock()
		now := im.Presence{Status: im.Online, Picture: &im.Picture{SHA1: sha1.Sum([]byte(png)), Size: len(png)}}
		if err := l.Handle(t.Context(), account, im.PresenceChanged{Now: now}); err != nil {
			t.Fatal(err)
		}
	}
	shows("one")
	l.Close()
	w.host.settings[im.OwnPicture] = "yes"
	l = w.restart(l)
	shows("two")
	w.until(func() bool { return worn() == 1 })
	l = w.restart(l)
	shows("two")
	shows("three")
	w.until(func() bool { return worn() > 1 })
	if got := w.requests("PUT", "/avatar_url"); len(got) != 2 || !strings.Contains(got[1].body, "mxc://hs.test/1") {
		t.Errorf("the profile was given %+v", got)
	}
}
