package matrix

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// TestOldDisk: a box whose disk is older than what it did last gives up its
// device before it uses a key, makes a new one that the recovery key verifies,
// and reads with the account's backup what was said meanwhile.
func TestOldDisk(t *testing.T) {
	for name, tc := range map[string]struct {
		restored bool // the disk says so itself
		lives    int  // how often the box was started since then
		sends    bool // it wrote since then
		same     bool // nothing happened that would matter
	}{
		"restored backup":            {restored: true},
		"a card of former lives":     {lives: 2},
		"a card of the same life":    {sends: true},
		"a card of the same moment":  {same: true},
		"restored and went on first": {restored: true, lives: 1, sends: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, bob := newSecretWorld(t)
			v := newVault(w)
			w.form["recovery-key"] = v.recovery
			l := w.connect()
			w.mustSend(l, "m1", "before")
			bob.hears("before")
			old, disk := l.(*link).cli.DeviceID, w.host.copy()
			if tc.sends {
				w.mustSend(l, "m2", "forgotten")
				bob.hears("forgotten")
			}
			for range tc.lives {
				l = w.restart(l)
			}
			l.Close()
			bob.must(bob.mach.CryptoStore.RemoveOutboundGroupSession(t.Context(), bob.room))
			missed := bob.lock("said meanwhile", id.UserID(w.alice)) // the old device has its key
			v.phone.sync()
			v.keep(missed.SessionID)
			bob.put(missed)

			w.host, w.restored = disk, tc.restored
			l = w.revive()
			if now := l.(*link).cli.DeviceID; (now == old) != tc.same {
				t.Errorf("device %s after %s", now, old)
			}
			up := await(w.host, "link up", func(s im.LinkState) bool { return s.State == im.Up })
			if told := strings.Contains(up.Text, "new device"); told == tc.same {
				t.Errorf("told %q", up.Text)
			}
			if signed, _ := l.(*link).olm().Signed(t.Context()); !signed {
				t.Error("not verified")
			}
			w.hears("said meanwhile")
			w.mustSend(l, "m3", "after")
			bob.hears("after")
			w.restored = false
			now := l.(*link).cli.DeviceID
			if l = w.restart(l); l.(*link).cli.DeviceID != now {
				t.Error("and one more device after a restart")
			}
			w.unsaid("before", "forgotten", "after")
		})
	}
}

// TestOldDiskToken: without a password there is no new device, and nothing is
// encrypted with the old one's keys.
func TestOldDiskToken(t *testing.T) {
	w, bob := newSecretWorld(t)
	f := w.friend(w.alice, "secret-alice", "TOKEN") // only to have a token
	delete(w.of(id.UserID(w.alice)).devices, "TOKEN")
	delete(w.of(id.UserID(w.alice)).one, "TOKEN")
	w.form = map[string]string{"homeserver": w.http.URL, "user": w.alice, "token": f.cli.AccessToken}
	l := w.connect()
	w.mustSend(l, "m1", "before")
	bob.hears("before")
	for range 2 {
		l.Close()
		w.host, w.restored = w.host.copy(), true
		l = w.connect()
		up := await(w.host, "link up", func(s im.LinkState) bool { return s.State == im.Up })
		if !strings.Contains(up.Text, "Link the account again") {
			t.Errorf("told %q", up.Text)
		}
		if err := w.send(l, "m2", "plugh"); err == nil || !strings.Contains(err.Error(), "older") {
			t.Errorf("%v", err)
		}
	}
	w.unsaid("plugh")
}
