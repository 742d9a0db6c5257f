package olm

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/olm"
	"maunium.net/go/mautrix/crypto/signatures"
	"maunium.net/go/mautrix/id"
)

// secretSigning is the name of the seeds of the account's signing keys: master,
// self-signing and user-signing key.
const secretSigning id.Secret = "appliance.signing"

// seedSize is how long one of them is, in bytes.
const seedSize = 32

// Vouch signs this device with the account's own signing keys (client-server API,
// cross-signing), which it makes when the store has none: for an account that has no
// other device, so that nobody else has made any. They are kept, so that a device
// that takes this one's place is signed by the same. It must be called right after
// Start. An error means that the device goes unsigned, and says why.
func (d *Device) Vouch(ctx context.Context) error {
	return d.Alone(ctx, func() error {
		keys, err := d.signingKeys(ctx)
		if err != nil {
			return err
		}
		there, err := d.mach.GetOwnCrossSigningPublicKeys(ctx)
		switch {
		case err != nil:
			return err
		case there == nil:
			if err := d.publish(ctx, keys); err != nil {
				return fmt.Errorf("upload signing keys: %w", err)
			}
		case *there != *keys.PublicKeys():
			return errors.New("the server knows other signing keys of the account")
		}
		d.mach.CrossSigningKeys = keys
		if _, signed, err := d.mach.GetOwnVerificationStatus(ctx); signed || err != nil {
			return err
		}
		if err := d.mach.SignOwnDevice(ctx, d.mach.OwnIdentity()); err != nil {
			return fmt.Errorf("sign this device: %w", err)
		}
		if err := d.ask(ctx, d.cli.UserID); err != nil {
			return err
		}
		return d.Flush(ctx)
	})
}

// signingKeys are the account's signing keys in the store; those that are made now
// are on disk before the server hears of them.
func (d *Device) signingKeys(ctx context.Context) (*crypto.CrossSigningKeysCache, error) {
	secret, err := d.GetSecret(ctx, secretSigning)
	if err != nil {
		return nil, err
	}
	seeds, err := base64.StdEncoding.DecodeString(secret)
	if err != nil || len(seeds) != 3*seedSize {
		seeds = make([]byte, 3*seedSize)
		rand.Read(seeds) // never fails
		if err := d.PutSecret(ctx, secretSigning, base64.StdEncoding.EncodeToString(seeds)); err != nil {
			return nil, err
		}
		if err := d.Flush(ctx); err != nil {
			return nil, err
		}
	}
	var keys crypto.CrossSigningKeysCache
	for i, key := range []*olm.PKSigning{&keys.MasterKey, &keys.SelfSigningKey, &keys.UserSigningKey} {
		if *key, err = olm.NewPKSigningFromSeed(seeds[i*seedSize : (i+1)*seedSize]); err != nil {
			return nil, err
		}
	}
	return &keys, nil
}

// publish uploads the public parts of signing keys: the master key signs the others,
// and this device the master key.
func (d *Device) publish(ctx context.Context, keys *crypto.CrossSigningKeysCache) error {
	body := map[string]mautrix.CrossSigningKeys{}
	for use, key := range map[id.CrossSigningUsage]olm.PKSigning{
		id.XSUsageMaster: keys.MasterKey, id.XSUsageSelfSigning: keys.SelfSigningKey, id.XSUsageUserSigning: keys.UserSigningKey,
	} {
		public, signer, sign := key.PublicKey(), keys.MasterKey.PublicKey().String(), keys.MasterKey.SignJSON
		if use == id.XSUsageMaster {
			signer, sign = d.cli.DeviceID.String(), d.mach.GetAccount().SignJSON
		}
		k := mautrix.CrossSigningKeys{
			UserID: d.cli.UserID, Usage: []id.CrossSigningUsage{use},
			Keys: map[id.KeyID]id.Ed25519{id.NewKeyID(id.KeyAlgorithmEd25519, public.String()): public},
		}
		signature, err := sign(k)
		if err != nil {
			return err
		}
		k.Signatures = signatures.NewSingleSignature(d.cli.UserID, id.KeyAlgorithmEd25519, signer, signature)
		body[string(use)+"_key"] = k
	}
	_, err := d.cli.MakeRequest(ctx, http.MethodPost, d.cli.BuildClientURL("v3", "keys", "device_signing", "upload"), body, nil)
	return err
}
