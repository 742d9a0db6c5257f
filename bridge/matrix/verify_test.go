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
	help  *verificationhelper.VerificationHelper
	agree bool
	seen  string         // the pictures
	over  string         // how it ended
	todo  []func() error // after the response: callbacks come with a lock held
}

func newComparer(f *friend) *comparer {
	c := &comparer{friend: f, agree: true}
	f.cli.Crypto = struct{ mautrix.CryptoHelper }{} // encrypts nothing here
	f.cli.Syncer = mautrix.NewDefaultSyncer()
	c.help = verificationhelper.NewVerificationHelper(f.cli, f.mach, nil, c, false, false, true)
	f.must(c.help.Init(f.t.Context()))
	return c
}

func (c *comparer) VerificationRequested(context.Context, id.VerificationTransactionID, id.UserID, id.DeviceID) {
}

func (c *comparer) VerificationReady(ctx context.Context, txn id.VerificationTransactionID, _ id.DeviceID, sas, _ bool, _ *verificationhelper.QRCode) {
	if !sas {
		c.t.Error("the box can't compare emoji")
	}
	c.todo = append(c.todo, func() error { return c.help.StartSAS(ctx, txn) })
}

func (c *comparer) ShowSAS(ctx context.Context, txn id.VerificationTransactionID, _ []rune, names []string, _ []int) {
	c.seen = strings.Join(names, ",")
	if c.agree {
		c.todo = append(c.todo, func() error { return c.help.ConfirmSAS(ctx, txn) })
	}
}

func (c *comparer) VerificationCancelled(_ context.Context, _ id.VerificationTransactionID, code event.VerificationCancelCode, reason string) {
	c.over = string(code)
}

func (c *comparer) VerificationDone(context.Context, id.VerificationTransactionID, event.VerificationMethod) {
	c.over = "done"
}

// sync looks once for what is new and takes part in verifications.
func (c *comparer) sync() {
	c.t.Helper()
	resp, err := c.cli.FullSyncRequest(c.t.Context(), mautrix.ReqSync{Since: c.next})
	c.must(err)
	c.mach.ProcessSyncResponse(c.t.Context(), resp, c.next)
	c.must(c.cli.Syncer.(*mautrix.DefaultSyncer).ProcessResponse(c.t.Context(), resp, c.next))
	c.next = resp.NextBatch
	todo := c.todo
	c.todo = nil
	for _, do := range todo {
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
	_, err := phone.help.StartVerification(t.Context(), id.UserID(w.alice))
	phone.must(err)
	if got := phone.ends(); got != "done" {
		t.Fatal(got)
	}
	text := <-asked
	for _, name := range strings.Split(phone.seen, ",") {
		if !strings.Contains(text, name) {
			t.Errorf("the phone shows %s, the box %q", phone.seen, text)
		}
	}
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
			_, err := phone.help.StartVerification(t.Context(), id.UserID(w.alice))
			phone.must(err)
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
	_, err := c.help.StartVerification(t.Context(), id.UserID(w.alice))
	c.must(err)
	bob.say("the end")
	w.hears("the end")
	if n := len(w.requests(http.MethodPut, "/sendToDevice/m.key.verification.ready/")); n != 0 {
		t.Errorf("%d answers", n)
	}
}
