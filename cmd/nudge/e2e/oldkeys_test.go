package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestOldKeys sets a box back behind what it did last, once by a restored backup
// and once by an old copy of its database, in the midst of an encrypted
// conversation with an app that has libolm. Each time the box signs in as a new
// device, lets go of the old one, says so, and the conversation goes on.
func TestOldKeys(t *testing.T) {
	end2end(t)
	s := sharedServer(t, "dendrite")
	me := newPerson(t, s, "alice")
	bob := joinMatrix(t, newPerson(t, s, "bob"))
	bob.meet(t, me, true)
	sc := &scene{test: t, version: msnclient.MSNP9, server: s, me: me, bob: bob}
	sc.house(t, s.Addr())
	sc.signIn(t, "NLN")
	sc.talk(t, "plugh-first")
	first := ownDevice(t, me)

	file := filepath.Join(t.TempDir(), "box.nudge")
	var made struct{ Passphrase string }
	check(t, json.Unmarshal([]byte(sc.box.cli(t, "backup", file, "--json")), &made))
	sc.talk(t, "plugh-second")
	sc.client.Close()
	check(t, sc.box.Stop())
	sc.box = prepareBox(t)
	_, err := feed(sc.box.Dir, nil, made.Passphrase+"\n", sc.box.binary, "restore", file, "--data", sc.box.Dir, "--passphrase-stdin")
	check(t, err)
	sc.box.run(t)
	sc.signIn(t, "NLN")
	sc.talk(t, "plugh-third")
	second := ownDevice(t, me)
	said := sc.box.cli(t, "link", "list")
	if first == second || !strings.Contains(said, "new device") {
		t.Errorf("restored: device %s after %s; the owner is told:\n%s", second, first, said)
	}

	sc.client.Close()
	check(t, sc.box.Stop())
	database := filepath.Join(sc.box.Dir, "nudge.db")
	card, err := os.ReadFile(database)
	check(t, err)
	check(t, sc.box.Start())
	sc.signIn(t, "NLN")
	sc.talk(t, "plugh-fourth")
	if d := ownDevice(t, me); d != second {
		t.Errorf("device %s after %s without a reason", d, second)
	}
	sc.client.Close()
	check(t, sc.box.Stop())
	check(t, os.WriteFile(database, card, 0o600))
	check(t, sc.box.Start())
	sc.signIn(t, "NLN")
	sc.talk(t, "plugh-fifth")
	third := ownDevice(t, me)
	said = sc.box.cli(t, "link", "list")
	if third == second || !strings.Contains(said, "new device") {
		t.Errorf("an old card: device %s after %s; the owner is told:\n%s", third, second, said)
	}
}

// ownDevice is the one device of a person's account that is a box.
func ownDevice(t testing.TB, p person) string {
	t.Helper()
	var list struct {
		Devices []struct {
			ID string `json:"device_id"`
		} `json:"devices"`
	}
	token := matrixLogin(t, p)
	check(t, matrixCall(p.server, token, "GET", "devices", nil, &list))
	check(t, matrixCall(p.server, token, "POST", "logout", struct{}{}, nil))
	devices := slices.DeleteFunc(list.Devices, func(d struct {
		ID string `json:"device_id"`
	}) bool {
		return !strings.HasPrefix(d.ID, "NUDGE")
	})
	if len(devices) != 1 {
		t.Fatalf("devices of the box: %v", devices)
	}
	return devices[0].ID
}
