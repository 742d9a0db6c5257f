package control

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// SignIn is what somebody gives to enter the box's pages.
type SignIn struct {
	Handle   string     `json:"handle"`
	Password string     `json:"password"`
	Source   netip.Addr `json:"source"` // from where, for who guesses
}

// Claim makes whoever has the one-time code the owner of a box that has none. An
// open pairing is worth the code.
type Claim struct {
	Code   string     `json:"code"`
	Source netip.Addr `json:"source"`
}

// SettingSignUp is the key of the setting that lets people of the home network
// make accounts for themselves.
const SettingSignUp = "sign-up"

var (
	userCheck = call[SignIn, User]{"/user/check", (*Box).userCheck}
	userJoin  = call[NewUser, NewPassword]{"/user/join", (*Box).userJoin}
	boxClaim  = call[Claim, Done]{"/claim", (*Box).boxClaim}
)

// Errors that pages answer with a page of their own.
var (
	ErrWrongPassword = errors.New("address or password is wrong")
	ErrWrongCode     = errors.New("that is not the code; it stands where nudge was started, in its journal (journalctl -u nudge)")
	ErrOwned         = errors.New("this box has an owner already")
	ErrNoSignUp      = errors.New("nobody can sign up here now; the owner can allow it with the setting sign-up, or press the button of the box")
)

// CheckUser tells who somebody is. Guessing is slowed down together with that at
// the doors for old clients.
func (cl *Client) CheckUser(ctx context.Context, s SignIn) (User, error) {
	return ask(ctx, cl, userCheck, s)
}

// JoinUser makes an account for somebody who asks for it himself: while the
// setting allows it or pairing is open.
func (cl *Client) JoinUser(ctx context.Context, u NewUser) (NewPassword, error) {
	return ask(ctx, cl, userJoin, u)
}

// ClaimBox checks the code of a box that nobody owns yet. The caller must make
// somebody its owner then.
func (cl *Client) ClaimBox(ctx context.Context, c Claim) error {
	_, err := ask(ctx, cl, boxClaim, c)
	return err
}

// claimCode is the one-time code of a box without an owner.
type claimCode struct {
	mu    sync.Mutex
	code  string
	wrong int
}

// mostWrong is how many wrong codes end a code's life: then it is another one.
const mostWrong = 20

// ClaimCode is the code that makes somebody the owner, "" when there is one.
func (b *Box) ClaimCode() string {
	if b.Hub.HasOwner() {
		return ""
	}
	b.claim.mu.Lock()
	defer b.claim.mu.Unlock()
	if b.claim.code == "" {
		b.claim.code, b.claim.wrong = readableText(2, 4), 0
	}
	return b.claim.code
}

// matches spends the code when it is right, and after too many wrong ones.
func (c *claimCode) matches(given string) (right, spent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bare := func(s string) []byte { return []byte(strings.NewReplacer("-", "", " ", "").Replace(fold(s))) }
	right = c.code != "" && subtle.ConstantTimeCompare(bare(given), bare(c.code)) == 1
	if !right {
		c.wrong++
	}
	if spent = right || c.wrong >= mostWrong; spent {
		c.code = ""
	}
	return right, spent
}

func (b *Box) boxClaim(_ context.Context, c Claim) (Done, error) {
	if b.Hub.HasOwner() {
		return Done{}, ErrOwned
	}
	if !b.PairingUntil().IsZero() {
		b.pairing.Store(nil)
		return Done{}, nil
	}
	done, err := b.try(c.Source, "the code of the pages")
	if err != nil {
		return Done{}, err
	}
	b.ClaimCode()
	right, spent := b.claim.matches(c.Code)
	done(right)
	if spent {
		// For whoever reads the journal: the one before is worth nothing now.
		b.Log.Info("the pages of this box belong to nobody yet", "code", b.ClaimCode())
	}
	if !right {
		return Done{}, ErrWrongCode
	}
	return Done{}, nil
}

// try asks whether a guess from source may be looked at now.
func (b *Box) try(source netip.Addr, what string) (done func(right bool), err error) {
	if b.Try == nil {
		return func(bool) {}, nil
	}
	done, wait := b.Try(source, what)
	if wait > 0 {
		return nil, fmt.Errorf("too many wrong tries; wait %s", wait.Round(time.Second)+time.Second)
	}
	return done, nil
}

func (b *Box) userCheck(ctx context.Context, s SignIn) (User, error) {
	done, err := b.try(s.Source, s.Handle)
	if err != nil {
		return User{}, err
	}
	_, right := b.Hub.CheckPassword(s.Handle, s.Password)
	done(right)
	if !right {
		return User{}, ErrWrongPassword
	}
	return b.userNamed(ctx, s.Handle)
}

func (b *Box) userNamed(ctx context.Context, handle string) (User, error) {
	all, err := b.userList(ctx, Done{})
	for _, u := range all {
		if fold(u.Handle) == fold(handle) {
			return u, nil
		}
	}
	if err == nil {
		err = ErrWrongPassword
	}
	return User{}, err
}

// SignUpOpen tells whether people may make accounts for themselves now.
func (b *Box) SignUpOpen() bool {
	return b.Hub.Setting(SettingSignUp) == On || !b.PairingUntil().IsZero()
}

func (b *Box) userJoin(ctx context.Context, u NewUser) (NewPassword, error) {
	if !b.SignUpOpen() {
		return NewPassword{}, ErrNoSignUp
	}
	u.Owner, u.Parent = false, ""
	return b.userAdd(ctx, u)
}
