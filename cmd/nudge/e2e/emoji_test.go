package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"nudge/bridge/matrix/phonetest"
	"nudge/cmd/nudge/e2e/msnclient"
)

// phoneArgs is in the environment of the process that is another app of an account:
// the homeserver, the user and the password.
const phoneArgs = "NUDGE_E2E_PHONE"

// runPhone is that process: this program once more.
func runPhone(args []string) int {
	if err := phonetest.Run(context.Background(), args[0], args[1], args[2], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// joinPhone signs a person in at an app with mautrix's own encryption, which sets up
// cross-signing for the account.
func joinPhone(t testing.TB, p person) *lines {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), phoneArgs+"="+strings.Join([]string{"http://" + p.server.Addr(), p.User, p.Password}, " "))
	return startLines(t, p.User+"'s phone", cmd)
}

// emojiScene is a box and an account, with another app of the account.
type emojiScene struct {
	test  testing.TB // the whole test, for what outlives one step
	box   *box
	me    person
	phone *lines
	id    string // the box's device
}

// TestVerifiedByEmoji: the box and an app of the account, in a process of its own
// and with mautrix's own verification, compare pictures. After "no" nothing is signed
// and both say why; after "yes" the account has signed the box's device, and the
// device the account's master key.
func TestVerifiedByEmoji(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []step[*emojiScene]
	}{
		{"the app begins", []step[*emojiScene]{
			{"linked", (*emojiScene).stepLink},
			{"the app comes", (*emojiScene).stepPhone},
			{"other pictures here", func(sc *emojiScene, t *testing.T) { sc.differsHere(t, sc.appBegins(t)) }},
			{"the same pictures", func(sc *emojiScene, t *testing.T) { sc.agree(t, sc.appBegins(t)) }},
		}},
		{"the box begins", []step[*emojiScene]{
			{"the app comes", (*emojiScene).stepPhone},
			{"linked, other pictures there", func(sc *emojiScene, t *testing.T) { sc.differsThere(t, sc.boxBegins(t)) }},
			{"linked again, the same pictures", func(sc *emojiScene, t *testing.T) {
				sc.box.cli(t, "link", "remove", aliceHandle, "matrix")
				sc.agree(t, sc.boxBegins(t))
			}},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			end2end(t)
			sc := &emojiScene{test: t, box: newBox(t), me: newPerson(t, sharedServer(t, "dendrite"), "alice")}
			sc.box.AddUser(t, aliceHandle, msnclient.MSNP8)
			walk(t, sc, test.steps)
		})
	}
}

func (sc *emojiScene) stepLink(t *testing.T) {
	sc.box.Link(t, aliceHandle, sc.me, sc.me.server.Addr())
}

func (sc *emojiScene) stepPhone(*testing.T) { sc.phone = joinPhone(sc.test, sc.me) }

// appBegins lets the app ask, and returns the verification's name.
func (sc *emojiScene) appBegins(t *testing.T) string {
	t.Helper()
	sc.id = ownDevice(t, sc.me)
	return sc.phone.do(t, op{"op": "verify"}).ID
}

// boxBegins links the box, which asks by itself, and lets the app be ready.
func (sc *emojiScene) boxBegins(t *testing.T) string {
	t.Helper()
	from := sc.phone.len()
	sc.stepLink(t)
	asked := sc.phone.wait(t, from, "being asked", func(e peerEvent) bool { return e.Ev == "asked" })
	sc.id = asked.Frm
	sc.phone.do(t, op{"op": "accept", "id": asked.ID})
	return asked.ID
}

// compare looks whether both show the same pictures.
func (sc *emojiScene) compare(t *testing.T, txn string) {
	t.Helper()
	shown := sc.phone.wait(t, 0, "the pictures", func(e peerEvent) bool { return e.Ev == "signs" && e.ID == txn })
	var asks string
	check(t, eventually(patience, func() error {
		if asks = sc.box.cli(t, "link", "show", aliceHandle, "matrix"); !strings.Contains(asks, "\nasks") {
			return fmt.Errorf("the box asks nothing:\n%s", asks)
		}
		return nil
	}))
	if got := signs.FindAllString(asks, -1); len(got) != 7 || strings.Join(got, "") != strings.Join(shown.Signs, "") {
		t.Errorf("the app shows %q, the box %q:\n%s", shown.Signs, got, asks)
	}
}

func (sc *emojiScene) answer(t *testing.T, word string) {
	t.Helper()
	sc.box.cli(t, "link", "answer", aliceHandle, "matrix", word)
}

// differsHere: the user says at the box that the pictures are others.
func (sc *emojiScene) differsHere(t *testing.T, txn string) {
	t.Helper()
	sc.compare(t, txn)
	sc.answer(t, "no")
	e := sc.phone.wait(t, 0, "the end", func(e peerEvent) bool { return e.Ev == "cancelled" && e.ID == txn })
	if e.Condition != "m.mismatched_sas" || !strings.Contains(e.Err, "shows something else") {
		t.Errorf("the app is told %s: %s", e.Condition, e.Err)
	}
	sc.unsigned(t, "shows something else")
}

// differsThere: he says it at the app.
func (sc *emojiScene) differsThere(t *testing.T, txn string) {
	t.Helper()
	sc.compare(t, txn)
	sc.phone.do(t, op{"op": "refuse", "id": txn})
	sc.unsigned(t, "there the pictures were said to be others")
}

// unsigned waits until the link says words, and then nothing is signed.
func (sc *emojiScene) unsigned(t *testing.T, words string) {
	t.Helper()
	sc.told(t, words)
	if signed, signs := sc.signatures(t); signed || signs {
		t.Errorf("signed %v, signs %v", signed, signs)
	}
}

// agree says at both that they are the same.
func (sc *emojiScene) agree(t *testing.T, txn string) {
	t.Helper()
	sc.compare(t, txn)
	sc.phone.do(t, op{"op": "agree", "id": txn})
	sc.answer(t, "yes")
	sc.phone.wait(t, 0, "the end", func(e peerEvent) bool { return e.Ev == "verified" && e.ID == txn })
	sc.told(t, "have verified each other")
	if signed, signs := sc.signatures(t); !signed || !signs {
		t.Errorf("signed %v, signs %v", signed, signs)
	}
}

// told waits until the link says words.
func (sc *emojiScene) told(t *testing.T, words string) {
	t.Helper()
	check(t, eventually(patience, func() error {
		if said := sc.box.cli(t, "link", "show", aliceHandle, "matrix"); !strings.Contains(said, words) {
			return fmt.Errorf("the link does not say %q:\n%s", words, said)
		}
		return nil
	}))
}

// signatures asks the server whether the box's device is signed by the account's
// self-signing key, and whether the device has signed the account's master key.
func (sc *emojiScene) signatures(t *testing.T) (signed, signs bool) {
	t.Helper()
	type signedKey struct {
		Keys       map[string]string
		Signatures map[string]map[string]string
	}
	var keys struct {
		Devices map[string]map[string]signedKey `json:"device_keys"`
		Masters map[string]signedKey            `json:"master_keys"`
		Signing map[string]signedKey            `json:"self_signing_keys"`
	}
	me, token := sc.me.ID, matrixLogin(t, sc.me)
	check(t, matrixCall(sc.me.server, token, "POST", "keys/query", map[string]any{"device_keys": map[string][]string{me: {}}}, &keys))
	check(t, matrixCall(sc.me.server, token, "POST", "logout", struct{}{}, nil))
	for key := range keys.Signing[me].Keys {
		signed = keys.Devices[me][sc.id].Signatures[me][key] != ""
	}
	return signed, keys.Masters[me].Signatures[me]["ed25519:"+sc.id] != ""
}
