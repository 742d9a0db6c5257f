package control

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// The code makes an owner once; wrong ones wear it out; a pairing is worth it.
func TestClaimBox(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		ctx := t.Context()
		code := h.box.ClaimCode()
		if len(code) != 9 || h.box.ClaimCode() != code {
			t.Fatalf("the code is %q, then %q", code, h.box.ClaimCode())
		}
		wantErr(t, cl.ClaimBox(ctx, Claim{Code: "aaaa-aaaa"}), "not the code")
		if err := cl.ClaimBox(ctx, Claim{Code: " " + strings.ToUpper(code)}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, cl.ClaimBox(ctx, Claim{Code: code}), "not the code")
		next := h.box.ClaimCode()
		for range mostWrong {
			wantErr(t, cl.ClaimBox(ctx, Claim{Code: "bbbb-bbbb"}), "not the code")
		}
		wantErr(t, cl.ClaimBox(ctx, Claim{Code: next}), "not the code")
		must[Pairing](t)(cl.OpenPairing(ctx))
		if err := cl.ClaimBox(ctx, Claim{}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, cl.ClaimBox(ctx, Claim{}), "not the code")
		must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: "alice@hotmail.com", Password: "sesame", Owner: true}))
		wantErr(t, cl.ClaimBox(ctx, Claim{Code: h.box.ClaimCode()}), "has an owner already")
		if s := must[Status](t)(cl.Status(ctx)); !s.Owned || s.SignUp || h.box.ClaimCode() != "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestCheckUser(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		ctx := t.Context()
		must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: "Alice@hotmail.com", Password: "sesame", Owner: true}))
		must[NewPassword](t)(cl.AddUser(ctx, NewUser{Handle: "carol@hotmail.com", Password: "sesame", Parent: "alice@hotmail.com"}))
		from := netip.MustParseAddr("192.168.1.30")
		tries := 0
		h.box.Try = func(source netip.Addr, what string) (func(bool), time.Duration) {
			if tries++; tries > 2 {
				return nil, time.Minute
			}
			return func(right bool) {
				if right != (tries == 1) || source != from || what == "" {
					t.Errorf("try %d of %v for %q was right: %v", tries, source, what, right)
				}
			}, 0
		}
		u := must[User](t)(cl.CheckUser(ctx, SignIn{"alice@HOTMAIL.com", "sesame", from}))
		if u.Handle != "Alice@hotmail.com" || !u.Owner {
			t.Errorf("%+v", u)
		}
		_, err := cl.CheckUser(ctx, SignIn{"nobody@hotmail.com", "sesame", from})
		wantErr(t, err, "is wrong")
		_, err = cl.CheckUser(ctx, SignIn{"alice@hotmail.com", "sesame", from})
		wantErr(t, err, "wait 1m1s")
		if users := must[[]User](t)(cl.Users(ctx)); users[1].Parent != "Alice@hotmail.com" {
			t.Errorf("%+v", users)
		}
		nobody, off := "", false
		if err := cl.SetUser(ctx, UserChange{Handle: "carol@hotmail.com", Parent: &nobody}); err != nil {
			t.Error(err)
		}
		wantErr(t, cl.SetUser(ctx, UserChange{Handle: "alice@hotmail.com", Owner: &off}), "only owner")
	})
}

func TestJoin(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		ctx := t.Context()
		_, err := cl.JoinUser(ctx, NewUser{Handle: "eve@hotmail.com"})
		wantErr(t, err, "nobody can sign up")
		must[Pairing](t)(cl.OpenPairing(ctx))
		must[NewPassword](t)(cl.JoinUser(ctx, NewUser{Handle: "eve@hotmail.com", Owner: true, Parent: "x"}))
		if users := must[[]User](t)(cl.Users(ctx)); len(users) != 1 || users[0].Owner || users[0].Parent != "" {
			t.Errorf("%+v", users)
		}
	})
}

// What is not asked of a running box in this process can't be done.
func TestOnlyHere(t *testing.T) {
	h := newHouse(t, t.TempDir())
	cl := h.dial(t)
	wantErr(t, cl.Restore(t.Context(), strings.NewReader("x"), "x"), "nudge restore")
	h.box.Config.Restore = nil
	wantErr(t, Local(h.box).Restore(t.Context(), strings.NewReader("x"), "x"), "nudge restore")
	h.box.LogTail = func() []string { return []string{"one"} }
	if lines, err := cl.Log(t.Context()); err != nil || len(lines) != 1 {
		t.Errorf("%v, %v", lines, err)
	}
	if today, err := cl.Today(t.Context(), netip.MustParseAddr("192.168.1.30")); err != nil || len(today) != 0 {
		t.Errorf("%v, %v", today, err)
	}
}

func TestBackupIsRemembered(t *testing.T) {
	h := newHouse(t, t.TempDir())
	cl := Local(h.box)
	must[NewPassword](t)(cl.AddUser(t.Context(), NewUser{Handle: "alice@hotmail.com", Password: "sesame", Owner: true}))
	h.box.RemindBackup(t.Context())
	asked := h.box.Hub.Setting(backupAsked)
	if asked == "" || !h.box.LastBackup().IsZero() {
		t.Errorf("asked %q, last %v", asked, h.box.LastBackup())
	}
	h.box.RemindBackup(t.Context())
	if err := cl.Backup(t.Context(), failing{}, "a passphrase"); err == nil || !h.box.LastBackup().IsZero() {
		t.Errorf("a backup that failed counts: %v", err)
	}
	if err := cl.Backup(t.Context(), new(strings.Builder), "a passphrase"); err != nil {
		t.Fatal(err)
	}
	if s := must[Status](t)(cl.Status(t.Context())); s.Backup == nil || time.Since(*s.Backup) > time.Hour || h.box.Hub.Setting(backupAsked) != asked {
		t.Errorf("%+v", s.Backup)
	}
}

// failing is a full disk.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }
