package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
)

// A ghost that comes into an encrypted room gets a device of its own, signed by
// signing keys of its own: whoever else has a key of the box reads nothing that is
// meant for this account. Before that it has none, so that apps that encrypt
// wherever they can leave its rooms as they are.

// ghostDevice is what is kept of it.
type ghostDevice struct {
	ID     id.DeviceID `json:"id"`               // chosen by us, and on disk, before it is made
	Lent   bool        `json:"lent,omitempty"`   // the service's token speaks for it (MSC4190)
	Sealed []byte      `json:"sealed,omitempty"` // else its own, sealed by the box
	Since  string      `json:"since,omitempty"`  // position of its /sync
}

// ghostDeviceKey is where it is kept in the account's KV.
const ghostDeviceKey = "device"

// errNoDevice: the homeserver lets no service have devices.
var errNoDevice = errors.New("the homeserver gives the gateway's users no devices")

// equip gives a ghost a device with keys, where the homeserver lets it have one: else
// what it is asked to read or write is refused, with words. An error may pass.
func (s *service) equip(ctx context.Context, g *ghost) error {
	return g.inTurn(ctx, func() error { return s.equipNow(ctx, g) })
}

func (s *service) equipNow(ctx context.Context, g *ghost) error {
	if g.olm() != nil || g.bare {
		return nil
	}
	err := s.unlock(ctx, g)
	if err != nil && (ctx.Err() != nil || passing(err)) {
		return err
	}
	if err != nil {
		g.bare = status(err) < http.StatusInternalServerError
		g.log.Warn("no encryption for a user of the gateway", "err", words(err))
	}
	return nil
}

// unlock starts the ghost's device, or makes one. Where the disk is older than what
// the device did, or the homeserver knows others of its keys or does not know it any
// more, another takes its place (see life.go).
func (s *service) unlock(ctx context.Context, g *ghost) error {
	there, older, err := g.outlived(ctx)
	if err != nil {
		return err
	}
	d, err := loadDevice(g.kv)
	if err == nil && older && d.ID != "" {
		err = s.discard(ctx, g.user, &d)
	}
	if err != nil {
		return err
	}
	keys, err := s.startDevice(ctx, g, &d)
	if err == nil {
		err = g.lastWords(ctx, keys)
	}
	if errors.Is(err, olm.ErrOtherKeys) || tokenRefused(err) {
		g.log.Warn("the homeserver does not know the device of a user of the gateway as it is; making another")
		if err := s.discard(ctx, g.user, &d); err != nil {
			return err
		}
		keys, err = s.startDevice(ctx, g, &d)
	}
	if err != nil {
		return err
	}
	if err := keys.Vouch(ctx); err != nil {
		if ctx.Err() != nil || passing(err) {
			return err
		}
		g.log.Warn("the device of a user of the gateway is not signed", "err", words(err))
	}
	if err := g.live(ctx, there); err != nil {
		return err
	}
	g.kept, g.since = d, d.Since
	g.keys.Store(keys)
	close(g.equipped)
	return nil
}

// recently is how many events of a room are looked at for the ghost's own.
const recently = 20

// lastWords looks whether the disk knows what the ghost said last in its encrypted
// rooms: transactions do not bring it again. If not, the error is olm.ErrOtherKeys.
func (g *ghost) lastWords(ctx context.Context, keys *olm.Device) error {
	for _, r := range g.mem.secrets() {
		var p historyPage
		if err := g.history(ctx, r, "", "", recently, &p); err != nil {
			if passing(err) || ctx.Err() != nil {
				return err
			}
			continue // it is not in the room yet
		}
		for _, e := range p.Chunk {
			if e.Type != event.EventEncrypted.Type || e.Sender != g.cli.UserID {
				continue
			}
			if behind, err := keys.Behind(ctx, r, e.Content); err != nil || behind {
				return cmp.Or(err, olm.ErrOtherKeys)
			}
		}
	}
	return nil
}

// startDevice makes the device if there is none, and loads or uploads its keys.
func (s *service) startDevice(ctx context.Context, g *ghost, d *ghostDevice) (*olm.Device, error) {
	if d.ID == "" {
		d.ID = anyDevice()
		if err := d.save(ctx, g.kv); err != nil {
			return nil, err
		}
	}
	if !d.Lent && len(d.Sealed) == 0 {
		if err := s.makeDevice(ctx, g, d); err != nil {
			return nil, err
		}
	}
	cli, err := s.deviceClient(g.user, d)
	if err != nil {
		return nil, err
	}
	key, err := g.storeKey(ctx)
	if err != nil {
		return nil, err
	}
	store := olm.Open(g.kv, key)
	cli.Client = &http.Client{Transport: olm.Transport{Store: store, Next: s.http}, Timeout: cli.Client.Timeout}
	g.device = cli
	keys := olm.New(cli, store)
	return keys, keys.Start(ctx)
}

// makeDevice makes the device: by the service's own token where the homeserver has
// that (MSC4190), else by signing in for the ghost (client-server API, appservice
// login).
func (s *service) makeDevice(ctx context.Context, g *ghost, d *ghostDevice) error {
	_, err := g.cli.MakeRequest(ctx, http.MethodPut, g.cli.BuildClientURL("v3", "devices", d.ID), struct {
		Name string `json:"display_name"`
	}{appName}, nil)
	if err == nil {
		lent, err := s.lent(g.user, d.ID)
		if err != nil {
			return err
		}
		if who, err := lent.Whoami(ctx); err != nil {
			return err
		} else if d.Lent = who.DeviceID == d.ID; d.Lent {
			return d.save(ctx, g.kv)
		}
	} else if !declined(err) {
		return err
	}
	var resp struct {
		Token string      `json:"access_token"`
		ID    id.DeviceID `json:"device_id"`
	}
	_, err = s.bot.cli.MakeRequest(ctx, http.MethodPost, s.bot.cli.BuildClientURL("v3", "login"), mautrix.ReqLogin{
		Type:       mautrix.AuthTypeAppservice,
		Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: string(g.cli.UserID)},
		DeviceID:   d.ID, InitialDeviceDisplayName: appName,
	}, &resp)
	switch {
	case err == nil && resp.Token != "" && resp.ID == d.ID:
		d.Sealed = s.host.Seal(g.user, []byte(resp.Token))
		return d.save(ctx, g.kv)
	case err == nil, declined(err):
		return errors.Join(errNoDevice, err)
	}
	return err
}

// declined tells whether the homeserver says that it does not do such a thing.
func declined(err error) bool {
	return status(err) >= 400 && status(err) < http.StatusInternalServerError && !passing(err)
}

// lent is a client for a device that the service's token speaks for.
func (s *service) lent(user im.Addr, device id.DeviceID) (*mautrix.Client, error) {
	cli, err := s.client(s.userOf(user.ID))
	if err != nil {
		return nil, err
	}
	cli.DeviceID, cli.SetAppServiceDeviceID = device, true
	return cli, nil
}

// deviceClient is a client for the device.
func (s *service) deviceClient(user im.Addr, d *ghostDevice) (*mautrix.Client, error) {
	cli, err := s.lent(user, d.ID)
	if err != nil || d.Lent {
		return cli, err
	}
	token, err := s.host.Unseal(user, d.Sealed)
	if err != nil {
		return nil, errors.Join(olm.ErrOtherKeys, err)
	}
	cli.SetAppServiceUserID, cli.SetAppServiceDeviceID = false, false
	cli.AccessToken = string(token)
	return cli, nil
}

// discardFor bounds the attempt to tell the homeserver that a device is no more.
const discardFor = 5 * time.Second

// discard gives the device up, with its keys, on disk and then at the homeserver:
// friends are not to send keys there any more. What it could read stays readable.
func (s *service) discard(ctx context.Context, user im.Addr, d *ghostDevice) error {
	kv, old := s.host.KV(user), *d
	if err := olm.Renounce(kv); err != nil {
		return err
	}
	*d = ghostDevice{}
	if err := d.save(ctx, kv); err != nil {
		return err
	}
	cli, err := s.deviceClient(user, &old)
	if err == nil {
		err = signOut(ctx, cli)
	}
	if err != nil {
		s.log.Info("a device of a user of the gateway could not be signed out", "account", user.ID, "err", words(err))
	}
	return nil
}

// signOut ends a device.
func signOut(ctx context.Context, cli *mautrix.Client) error {
	ctx, cancel := context.WithTimeout(ctx, discardFor)
	defer cancel()
	method, path := http.MethodPost, mautrix.ClientURLPath{"v3", "logout"}
	if cli.SetAppServiceDeviceID {
		method, path = http.MethodDelete, mautrix.ClientURLPath{"v3", "devices", cli.DeviceID}
	}
	_, err := cli.MakeRequest(ctx, method, cli.BuildURL(path), struct{}{}, nil)
	return err
}

// discardAll gives up what a restored backup brought back (im.Login.Restored).
func (s *service) discardAll(ctx context.Context) error {
	for acct := range s.host.Accounts() {
		d, err := loadDevice(s.host.KV(acct.Addr))
		if err == nil && d.ID != "" {
			err = s.discard(ctx, acct.Addr, &d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func loadDevice(kv im.KV) (d ghostDevice, err error) {
	err = kv.View(func(tx im.Tx) error {
		if b := tx.Get([]byte(ghostDeviceKey)); b != nil {
			return json.Unmarshal(b, &d)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("read the device of a user of the gateway: %w", err)
	}
	return d, err
}

// save puts the device on disk before it is used.
func (d *ghostDevice) save(ctx context.Context, kv im.KV) error {
	if err := kv.Update(func(tx im.Tx) error { return putJSON(tx, ghostDeviceKey, d) }); err != nil {
		return fmt.Errorf("write the device of a user of the gateway: %w", err)
	}
	return kv.Sync(ctx)
}
