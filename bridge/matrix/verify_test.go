package matrix

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/verificationhelper"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// comparer is the user at another device of the account, with mautrix's own
// verification.
type comparer struct {
	*friend
	help     *verificationhelper.VerificationHelper
	takes    bool // it is ready when it is asked
	declines bool // it is not
	starts   bool // it starts when both are ready
	agree    bool // the pictures are the same
	refuse   bool // they are others
	txn      id.VerificationTransactionID
	seen     string         // the pictures
	over     string         // how it ended
	todo     []func() error // after the response: callbacks come with a lock held
}

func newComparer(f *friend) *comparer {
	c := &comparer{friend: f, agree: true, starts: true}
	f.cli.Crypto = struct{ mautrix.CryptoHelper }{} // encrypts nothing here
	f.cli.Syncer = mautrix.NewDefaultSyncer()
	c.help = verificationhelper.NewVerificationHelper(f.cli, f.mach, nil, c, false, false, true)
	f.must(c.help.Init(f.t.Context()))
	return c
}

// ask asks the user's other devices.
func (c *comparer) ask(u string) {
	c.t.Helper()
	txn, err := c.help.StartVerification(c.t.Context(), id.UserID(u))
	c.must(err)
	c.txn = txn
}

func (c *comparer) VerificationRequested(ctx context.Context, txn id.VerificationTransactionID, _ id.UserID, _ id.DeviceID) {
	if c.txn != "" {
		return // it has asked by itself
	}
	c.txn = txn
	switch {
	case c.takes:
		c.todo = append(c.todo, func() error { return c.help.AcceptVerification(ctx, txn) })
	case c.declines:
		c.todo = append(c.todo, func() error {
			return c.help.CancelVerification(ctx, txn, event.VerificationCancelCodeUser, "not now")
		})
	}
}

func (c *comparer) VerificationReady(ctx context.Context, txn id.VerificationTransactionID, _ id.DeviceID, sas, _ bool, _ *verificationhelper.QRCode) {
	if !sas {
		c.t.Error("the box can't compare emoji")
	}
	if c.starts {
		c.todo = append(c.todo, func() error { return c.help.StartSAS(ctx, txn) })
	}
}

func (c *comparer) ShowSAS(ctx context.Context, txn id.VerificationTransactionID, _ []rune, names []string, _ []int) {
	c.seen = strings.Join(names, ",")
	switch {
	case c.agree:
		c.todo = append(c.todo, func() error { return c.help.ConfirmSAS(ctx, txn) })
	case c.refuse:
		c.todo = append(c.todo, func() error {
			return c.help.CancelVerification(ctx, txn, event.VerificationCancelCodeSASMismatch, "others")
		})
	}
}

func (c *comparer) VerificationCancelled(_ context.Context, txn id.VerificationTransactionID, code event.VerificationCancelCode, reason string) {
	if txn == c.txn {
		c.over = string(code)
	}
}

func (c *comparer) VerificationDone(_ context.Context, txn id.VerificationTransactionID, _ event.VerificationMethod) {
	if txn == c.txn {
		c.over = "done"
	}
}

// sync looks once for what is new and takes part in verifications.
func (c *comparer) sync() {
	c.t.Helper()
	resp, err := c.cli.FullSyncRequest(c.t.Context(), mautrix.ReqSync{Since: c.next})
	c.must(err)
	c.mach.ProcessSyncResponse(c.t.Context(), resp, c.next)
	c.must(c.cli.Syncer.(*mautrix.DefaultSyncer).ProcessResponse(c.t.Context(), resp, c.next))
	c.next = resp.NextBatch
	for len(c.todo) > 0 { // which may leave more to do
		do := c.todo[0]
		c.todo = c.todo[1:]
		c.must(do())
	}
}

// ends syncs until the verification is over, and says how.
func (c *comparer) ends() string {
	c.t.Helper()
	for c.over == "" {
		c.sync()
		if c.t.Context().Err() != nil {
			c.t.Fatal("the verification does not end")
		}
	}
	return c.over
}

// saw looks whether the box shows the same pictures.
func (c *comparer) saw(text string) {
	c.t.Helper()
	for _, name := range strings.Split(c.seen, ",") {
		if c.seen == "" || !strings.Contains(text, name) {
			c.t.Errorf("the phone shows %q, the box %q", c.seen, text)
		}
	}
}

// TestVerified: another device of the account and the box compare emoji. Then the
// account vouches for the box, and the box believes what that device says.
func TestVerified(t *testing.T) {
	w, bob := newSecretWorld(t)
	v := newVault(w)
	asked := make(chan string, 1)
	w.host.answer = func(q im.Prompt) string { asked <- q.Text; return "yes" }
	l := w.connect()
	phone := newComparer(v.phone)
	phone.sync()
	phone.ask(w.alice)
	if got := phone.ends(); got != "done" {
		t.Fatal(got)
	}
	phone.saw(<-asked)
	await(w.host, "the end", func(s im.LinkState) bool { return strings.Contains(s.Text, "have verified each other") })
	w.until(func() bool { signed, _ := l.(*link).olm().Signed(t.Context()); return signed })

	// A key that only the phone has is taken from it now.
	w.homeserver.mu.Lock()
	w.of(id.UserID(w.alice)).version = nil
	w.homeserver.mu.Unlock()
	secret := bob.lock("passed on")
	bob.sendKey(id.UserID(w.alice), "PHONE")
	bob.put(secret)
	w.hears("its key has not come")
	w.until(func() bool { return len(w.requests(http.MethodPut, "/sendToDevice/m.room_key_request/")) == 1 })
	phone.sync()
	w.hears("passed on")
}

// TestSigningSetUpLater: the account could not sign when the box came, and can when
// the two compare emoji.
func TestSigningSetUpLater(t *testing.T) {
	w, _ := newSecretWorld(t)
	w.host.answer = func(im.Prompt) string { return "yes" }
	l := w.connect()
	await(w.host, "being up", func(s im.LinkState) bool { return s.State == im.Up })
	phone := newComparer(newVault(w).phone)
	phone.sync()
	phone.ask(w.alice)
	if got := phone.ends(); got != "done" {
		t.Fatal(got)
	}
	w.until(func() bool { signed, _ := l.(*link).olm().Signed(t.Context()); return signed })
}

// TestProposed: the box, which is new, asks the account's other devices, and the
// first that is ready compares emoji with it, whoever of the two starts.
func TestProposed(t *testing.T) {
	for name, tc := range map[string]struct {
		device string
		starts bool
	}{
		"the box starts":                         {"PHONE", false},
		"both start, and the box's start counts": {"PHONE", true},
		"both start, and the other's counts":     {"APP", true},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newSecretWorld(t)
			asked := make(chan string, 1)
			w.host.answer = func(q im.Prompt) string { asked <- q.Text; return "yes" }
			phone := newComparer(vaultOn(w, tc.device).phone)
			phone.takes, phone.starts = true, tc.starts
			old := newComparer(w.friend(w.alice, "secret-alice", "TABLET"))
			l := w.connect()
			if got := phone.ends(); got != "done" {
				t.Fatal(got)
			}
			phone.saw(<-asked)
			await(w.host, "the end", func(s im.LinkState) bool { return strings.Contains(s.Text, "have verified each other") })
			w.until(func() bool { signed, _ := l.(*link).olm().Signed(t.Context()); return signed })
			if got := old.ends(); got != "m.accepted" {
				t.Errorf("the other device is told %s", got)
			}
			l = w.restart(l)
			if n := len(w.requests(http.MethodPut, "/sendToDevice/m.key.verification.request/")); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestRefusedThere: at the other device the pictures are said to be others.
func TestRefusedThere(t *testing.T) {
	w, _ := newSecretWorld(t)
	w.host.asked = func(ctx context.Context, _ im.Prompt) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	phone := newComparer(newVault(w).phone)
	phone.takes, phone.starts, phone.agree, phone.refuse = true, false, false, true
	l := w.connect()
	w.until(func() bool { phone.sync(); return phone.seen != "" })
	await(w.host, "the end", func(s im.LinkState) bool { return strings.Contains(s.Text, "said to be others") })
	if signed, _ := l.(*link).olm().Signed(t.Context()); signed {
		t.Error("verified")
	}
}

// TestDeclined: one of the devices that the box asks will not, and the others are
// told that it is over.
func TestDeclined(t *testing.T) {
	w, _ := newSecretWorld(t)
	phone, tablet := newComparer(newVault(w).phone), newComparer(w.friend(w.alice, "secret-alice", "TABLET"))
	phone.declines = true
	w.connect()
	w.until(func() bool { phone.sync(); return phone.txn != "" })
	if got := tablet.ends(); got != "m.user" {
		t.Errorf("it ends with %s", got)
	}
}

// TestNotVerified is what must not lead to a verified device.
func TestNotVerified(t *testing.T) {
	for name, tc := range map[string]struct {
		answer, ends, told string
	}{
		"other pictures": {"no", "m.mismatched_sas", "shows something else"},
		"nobody answers": {"", "m.user", "nobody compared"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newSecretWorld(t)
			v := newVault(w)
			w.host.answer = func(im.Prompt) string { return tc.answer }
			l := w.connect()
			phone := newComparer(v.phone)
			phone.agree = false
			phone.sync()
			phone.ask(w.alice)
			if got := phone.ends(); got != tc.ends {
				t.Errorf("it ends with %s", got)
			}
			await(w.host, "the end", func(s im.LinkState) bool { return strings.Contains(s.Text, tc.told) })
			if signed, _ := l.(*link).olm().Signed(t.Context()); signed {
				t.Error("verified")
			}
		})
	}
}

// TestVerificationOfStrangers: only the account's own devices may ask.
func TestVerificationOfStrangers(t *testing.T) {
	w, bob := newSecretWorld(t)
	w.host.answer = func(im.Prompt) string { t.Error("asked"); return "yes" }
	w.connect()
	c := newComparer(bob)
	c.sync()
	c.ask(w.alice)
	bob.say("the end")
	w.hears("the end")
	if n := len(w.requests(http.MethodPut, "/sendToDevice/m.key.verification.ready/")); n != 0 {
		t.Errorf("%d answers", n)
	}
}
