package olm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/goolm/account"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Device encrypts and decrypts for one logged-in device. Make it with New.
type Device struct {
	*Store
	cli  *mautrix.Client
	mach *crypto.OlmMachine

	// sharing is the turn for all that the machine does on the network: one at a
	// time, so that a key is never shared by a list of devices that another asker
	// has just replaced. The machine keeps what it knows of the account's own keys
	// without a lock. It learns them with the turn, from Start, Receive and Recover
	// only, which the goroutine calls that decrypts; others who read them take the
	// turn too (Alone).
	sharing chan struct{}

	// Verify is told of each verification that another device of the account begins,
	// to Run it on another goroutine. nil: none is taken up. It is set before the
	// first Receive.
	Verify func(*Verification)

	verification *Verification // the one that goes on, guarded by mu

	mu     sync.Mutex
	mended map[id.SenderKey]time.Time // when a session was last begun anew
	asked  map[id.SessionID]time.Time // when a room key was asked for
	silent map[id.UserID]time.Time    // whose devices could not be had, and when
	spare  time.Time                  // when a fallback key was last made
	upload bool                       // new one-time keys are on their way
}

// The errors of Start.
var (
	// ErrOtherKeys: the server knows other keys for this device than the store, or
	// none where there were some. Nobody could read what it encrypts; only a new
	// device helps.
	ErrOtherKeys = errors.New("the server knows other encryption keys for this device")
	// ErrNoServer: the server has no end-to-end encryption.
	ErrNoServer = errors.New("the server has no end-to-end encryption")
)

// New is the device that cli is logged in as. cli's requests must go through
// Transport with the same store.
func New(cli *mautrix.Client, s *Store) *Device {
	d := &Device{
		Store: s, cli: cli, sharing: make(chan struct{}, 1),
		mended: map[id.SenderKey]time.Time{}, asked: map[id.SessionID]time.Time{}, silent: map[id.UserID]time.Time{},
	}
	d.mach = crypto.NewOlmMachine(cli, nil, s, s)
	d.mach.DisableDecryptKeyFetching = true         // no requests while a to-device message is worked off
	d.mach.DisableRatchetTracking = true            // keys stay as they came: no write for each message
	d.mach.DisableSharedGroupSessionTracking = true // keys are passed on to own devices only
	d.mach.IgnorePostDecryptionParseErrors = true   // content is read by the caller
	d.mach.AllowKeyShare = d.mayAsk
	s.Trusted = d.mayForward
	return d
}

// guard turns a panic of do into an error: the machine trusts what servers
// answer in places where it should not.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encryption failed: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}

// unsupported tells whether the server does not know a request.
func unsupported(err error) bool {
	var h mautrix.HTTPError
	if !errors.As(err, &h) || h.Response == nil {
		return false
	}
	return h.Response.StatusCode == http.StatusNotFound || h.Response.StatusCode == http.StatusMethodNotAllowed || errors.Is(err, mautrix.MUnrecognized)
}

// Start loads the device's keys, or makes and uploads them.
func (d *Device) Start(ctx context.Context) error {
	return guard(func() error { return d.start(ctx) })
}

func (d *Device) start(ctx context.Context) error {
	if err := d.mach.Load(ctx); err != nil {
		return err
	}
	resp, err := d.cli.QueryKeys(ctx, &mautrix.ReqQueryKeys{DeviceKeys: mautrix.DeviceKeysRequest{d.cli.UserID: {}}, Timeout: 10_000})
	if unsupported(err) {
		return ErrNoServer
	}
	if err != nil {
		return err
	}
	mine, known := resp.DeviceKeys[d.cli.UserID][d.cli.DeviceID]
	a := d.mach.GetAccount()
	switch same := mine.Keys.GetEd25519(d.cli.DeviceID) == a.SigningKey() && mine.Keys.GetCurve25519(d.cli.DeviceID) == a.IdentityKey(); {
	case known && same && !a.Shared:
		a.Shared = true // the answer to the upload was lost
	case known != a.Shared, known && !same:
		return ErrOtherKeys
	}
	if err := d.ask(ctx, d.cli.UserID); err != nil {
		return err
	}
	if err := d.share(ctx, -1); err != nil {
		return err
	}
	return d.Flush(ctx)
}

// Unsure notes that anything may have happened without being told: every device
// list and every room's members are asked for before they are used.
func (d *Device) Unsure(ctx context.Context) error {
	users, err := d.Tracked()
	if err == nil {
		err = d.MarkTrackedUsersOutdated(ctx, users)
	}
	if err != nil {
		return err
	}
	rows, err := d.scan(path(kindRoom, ""))
	if err != nil {
		return err
	}
	for k := range rows {
		if err := d.Gap(ctx, id.RoomID(last(k))); err != nil {
			return err
		}
	}
	return nil
}

// share uploads the device's keys if they are not there, and one-time keys if
// there are few. count is how many there are, negative to ask.
func (d *Device) share(ctx context.Context, count int) error {
	if count < 0 && !d.mach.GetAccount().Shared {
		count = 0
	}
	err := d.mach.ShareKeys(ctx, count)
	var h mautrix.HTTPError
	switch {
	case unsupported(err):
		return ErrNoServer
	case errors.As(err, &h) && h.RespError != nil && strings.Contains(h.RespError.Err, "already exists"):
		return ErrOtherKeys // the store is older than the server: a card was rolled back
	}
	return err
}

// fallback uploads a new fallback key: what others begin sessions with when the
// one-time keys have run out. The one before it still opens what is on its way.
func (d *Device) fallback(ctx context.Context) error {
	a, ok := d.mach.GetAccount().Internal.(*account.Account)
	if !ok {
		return nil
	}
	if len(a.FallbackKeyUnpublished()) == 0 {
		if err := a.GenFallbackKey(); err != nil {
			return err
		}
	}
	keys := map[id.KeyID]mautrix.OneTimeKey{}
	for name, key := range a.FallbackKeyUnpublished() {
		k := mautrix.OneTimeKey{Key: key, Fallback: true, IsSigned: true}
		sig, err := d.mach.GetAccount().SignJSON(&k)
		if err != nil {
			return err
		}
		k.Signatures = map[id.UserID]map[id.KeyID]string{
			d.cli.UserID: {id.NewKeyID(id.KeyAlgorithmEd25519, string(d.cli.DeviceID)): sig},
		}
		keys[id.NewKeyID(id.KeyAlgorithmSignedCurve25519, name)] = k
	}
	if err := d.PutAccount(ctx, d.mach.GetAccount()); err != nil {
		return err
	}
	_, err := d.cli.MakeRequest(ctx, http.MethodPost, d.cli.BuildClientURL("v3", "keys", "upload"), struct {
		Keys map[id.KeyID]mautrix.OneTimeKey `json:"fallback_keys"`
	}{keys}, nil)
	if err != nil {
		return err
	}
	a.CurrentFallbackKey.Published = true
	return d.PutAccount(ctx, d.mach.GetAccount())
}

// askAgain is how long devices that could not be had are not asked for again.
const askAgain = time.Minute

// ask asks for the devices of users, whatever is known of them. Whose server
// does not answer is left as he was.
func (d *Device) ask(ctx context.Context, users ...id.UserID) error {
	if len(users) == 0 {
		return nil
	}
	answered := d.Asking(users)
	if _, err := d.mach.FetchKeys(ctx, users, true); err != nil {
		return err
	}
	if slices.Contains(users, d.cli.UserID) { // so that no reader has to
		if _, _, err := d.standing(ctx); err != nil {
			return err
		}
	}
	stale, err := d.Stale(users)
	if err != nil {
		return err
	}
	for _, u := range stale {
		if row, err := d.devicesOf(u); err != nil {
			return err
		} else if row == nil { // without any list the machine would ask by itself, each time
			if err := errors.Join(d.PutDevices(ctx, u, map[id.DeviceID]*id.Device{}), d.MarkTrackedUsersOutdated(ctx, []id.UserID{u})); err != nil {
				return err
			}
		}
	}
	d.mu.Lock()
	for _, u := range users {
		if delete(d.silent, u); slices.Contains(stale, u) {
			d.silent[u] = time.Now()
		}
	}
	d.mu.Unlock()
	return answered(ctx)
}

// mayAsk decides who gets a room key that he asks for: the account's own
// verified devices.
func (d *Device) mayAsk(ctx context.Context, dev *id.Device, _ event.RequestedKeyInfo) *crypto.KeyShareRejection {
	if dev.UserID != d.cli.UserID {
		return &crypto.KeyShareRejectOtherUser
	}
	if dev.DeviceID == d.cli.DeviceID {
		return &crypto.KeyShareRejectNoResponse
	}
	if !d.verified(ctx, dev) {
		return &crypto.KeyShareRejectUnverified
	}
	return nil
}

// mayForward decides whose word counts about a room key of somebody else: that
// of the account's own verified devices, when it was asked for.
func (d *Device) mayForward(ctx context.Context, from id.UserID, g *crypto.InboundGroupSession) bool {
	d.mu.Lock()
	_, asked := d.asked[g.ID()]
	d.mu.Unlock()
	if from != d.cli.UserID || !asked || len(g.ForwardingChains) == 0 {
		return false
	}
	dev, err := d.FindDeviceByKey(ctx, from, id.IdentityKey(g.ForwardingChains[len(g.ForwardingChains)-1]))
	return err == nil && dev != nil && d.verified(ctx, dev)
}

// verified tells whether a device is the account's and this device's owner has
// said so, by the recovery key or by comparing emoji.
func (d *Device) verified(ctx context.Context, dev *id.Device) bool {
	trust, err := d.mach.ResolveTrustContext(ctx, dev)
	return err == nil && (trust == id.TrustStateVerified || trust == id.TrustStateCrossSignedVerified)
}

// Signed tells whether this device is signed by the account, so that friends
// whose apps write only to signed devices reach it, and whether the account can
// sign at all.
func (d *Device) Signed(ctx context.Context) (signed, can bool) {
	err := d.Alone(ctx, func() (err error) {
		signed, can, err = d.standing(ctx)
		return err
	})
	return err == nil && signed, err == nil && can
}

// standing is Signed for who has the turn. The machine takes an account that can't
// sign yet for one that never will, so it is asked only when there are keys.
func (d *Device) standing(ctx context.Context) (signed, can bool, err error) {
	keys, err := d.GetCrossSigningKeys(ctx, d.cli.UserID)
	if err != nil || keys[id.XSUsageMaster].Key == "" {
		return false, false, err
	}
	can, signed, err = d.mach.GetOwnVerificationStatus(ctx)
	return signed, can, err
}
