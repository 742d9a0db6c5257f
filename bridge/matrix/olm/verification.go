package olm

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/matrix/sas"
)

// Verification is the wish of another device of the account to be sure of this
// one, and the other way round, by comparing emoji (client-server API, key
// verification framework). Run does it.
type Verification struct {
	Peer  id.DeviceID
	d     *Device
	txn   string
	begun json.RawMessage     // m.key.verification.start, when it came without a request
	in    chan verifyingEvent // what the peer says next
	ctx   context.Context
	end   context.CancelCauseFunc
}

type verifyingEvent struct {
	kind    string
	content json.RawMessage
}

// The types of the events, after verifyPrefix.
const (
	verifyPrefix  = "m.key.verification."
	verifyRequest = "request"
	verifyReady   = "ready"
	verifyStart   = "start"
	verifyAccept  = "accept"
	verifyKey     = "key"
	verifyMAC     = "mac"
	verifyDone    = "done"
	verifyCancel  = "cancel"
)

// verifyingFor is how long a verification may take.
const verifyingFor = 10 * time.Minute

// Unverified is why a verification came to nothing.
type Unverified struct{ Code, Reason string }

func (e *Unverified) Error() string { return e.Reason }

// errCancelled: the peer ended it, and is not told again.
var errCancelled = errors.New("the other device ended the verification")

// verifying hands an event of a verification to the one it belongs to, or begins
// one. Only devices of the account take part, one at a time.
func (d *Device) verifying(ctx context.Context, from id.UserID, kind string, content json.RawMessage) error {
	var c struct {
		Txn  string      `json:"transaction_id"`
		From id.DeviceID `json:"from_device"`
	}
	if from != d.cli.UserID || json.Unmarshal(content, &c) != nil || c.Txn == "" || d.Verify == nil {
		return nil
	}
	d.mu.Lock()
	v := d.verification
	d.mu.Unlock()
	switch {
	case v != nil && v.txn == c.Txn && kind == verifyCancel:
		v.end(errCancelled)
	case v != nil && v.txn == c.Txn:
		select {
		case v.in <- verifyingEvent{kind, content}:
		default:
			v.end(&Unverified{"m.unexpected_message", "the other device said too much at once"})
		}
	case v == nil && (kind == verifyRequest || kind == verifyStart) && c.From != d.cli.DeviceID:
		if dev, err := d.GetDevice(ctx, from, c.From); dev == nil || err != nil {
			return err
		}
		v = &Verification{Peer: c.From, d: d, txn: c.Txn, in: make(chan verifyingEvent, 8)}
		v.ctx, v.end = context.WithCancelCause(context.Background())
		if kind == verifyStart {
			v.begun = content
		}
		d.mu.Lock()
		d.verification = v
		d.mu.Unlock()
		d.Verify(v)
	}
	return nil
}

// Run verifies: ask shows the emoji and tells whether the other device shows the
// same. It ends when both know, one of them does not agree, or ctx is done.
func (v *Verification) Run(ctx context.Context, ask func(context.Context, [7]sas.Emoji) (bool, error)) error {
	defer context.AfterFunc(ctx, func() { v.end(context.Cause(ctx)) })()
	defer func() {
		v.end(nil)
		v.d.mu.Lock()
		v.d.verification = nil
		v.d.mu.Unlock()
	}()
	timed, stop := context.WithTimeoutCause(v.ctx, verifyingFor, &Unverified{"m.timeout", "nobody answered in time"})
	defer stop()
	err := guard(func() error { return v.run(timed, ask) })
	if cause := context.Cause(timed); err != nil && cause != nil {
		err = cause
	}
	if err == nil || errors.Is(err, errCancelled) {
		return err
	}
	why := &Unverified{"m.user", "the verification was given up"}
	errors.As(err, &why)
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	return errors.Join(err, v.send(last, verifyCancel, struct {
		Txn    string `json:"transaction_id"`
		Code   string `json:"code"`
		Reason string `json:"reason"`
	}{v.txn, why.Code, why.Reason}))
}

// run is the conversation, from the side that accepts.
func (v *Verification) run(ctx context.Context, ask func(context.Context, [7]sas.Emoji) (bool, error)) error {
	begun, err := v.begin(ctx)
	if err != nil {
		return err
	}
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	commitment, err := sas.Commitment(own.PublicKey(), begun)
	if err != nil {
		return &Unverified{"m.invalid_message", "the beginning can't be read"}
	}
	err = v.send(ctx, verifyAccept, struct {
		Txn        string   `json:"transaction_id"`
		Commitment string   `json:"commitment"`
		Hash       string   `json:"hash"`
		Agreement  string   `json:"key_agreement_protocol"`
		Code       string   `json:"message_authentication_code"`
		Signs      []string `json:"short_authentication_string"`
	}{v.txn, commitment, sas.Hash, sas.Agreement, sas.Code, []string{sas.Signs}})
	if err != nil {
		return err
	}
	type keyContent struct {
		Txn string `json:"transaction_id"`
		Key string `json:"key"`
	}
	var theirs keyContent
	if err := v.next(ctx, verifyKey, &theirs); err != nil {
		return err
	}
	their, err := sas.Key(theirs.Key)
	if err != nil {
		return &Unverified{"m.invalid_message", "the key can't be read"}
	}
	if err := v.send(ctx, verifyKey, keyContent{v.txn, sas.Text(own.PublicKey())}); err != nil {
		return err
	}
	me := sas.Party{User: string(v.d.cli.UserID), Device: string(v.d.cli.DeviceID), Key: own.PublicKey()}
	them := sas.Party{User: string(v.d.cli.UserID), Device: string(v.Peer), Key: their}
	x, err := sas.New(own, them, me, v.txn)
	if err != nil {
		return &Unverified{"m.invalid_message", "the key is no good"}
	}
	signs, err := x.Emoji()
	if err != nil {
		return err
	}
	if yes, err := ask(ctx, signs); err != nil {
		return err
	} else if !yes {
		return &Unverified{"m.mismatched_sas", "the other device shows something else"}
	}
	return v.conclude(ctx, x, me, them)
}

// begin answers a request and returns the content of the start.
func (v *Verification) begin(ctx context.Context) (json.RawMessage, error) {
	begun := v.begun
	if begun == nil {
		err := v.send(ctx, verifyReady, struct {
			Txn     string      `json:"transaction_id"`
			From    id.DeviceID `json:"from_device"`
			Methods []string    `json:"methods"`
		}{v.txn, v.d.cli.DeviceID, []string{sas.Method}})
		if err != nil {
			return nil, err
		}
		if err := v.next(ctx, verifyStart, &begun); err != nil {
			return nil, err
		}
	}
	var c struct {
		Method     string   `json:"method"`
		Agreements []string `json:"key_agreement_protocols"`
		Hashes     []string `json:"hashes"`
		Codes      []string `json:"message_authentication_codes"`
		Signs      []string `json:"short_authentication_string"`
	}
	if json.Unmarshal(begun, &c) != nil || c.Method != sas.Method || !slices.Contains(c.Agreements, sas.Agreement) ||
		!slices.Contains(c.Hashes, sas.Hash) || !slices.Contains(c.Codes, sas.Code) || !slices.Contains(c.Signs, sas.Signs) {
		return nil, &Unverified{"m.unknown_method", "the other device can't compare emoji as this one does"}
	}
	return begun, nil
}

// conclude exchanges the keys that were vouched for and believes them.
func (v *Verification) conclude(ctx context.Context, x *sas.Exchange, me, them sas.Party) error {
	ed := func(name string) string { return string(id.NewKeyID(id.KeyAlgorithmEd25519, name)) }
	out, err := x.Vouch(me, map[string]string{ed(me.Device): string(v.d.mach.GetAccount().SigningKey())})
	if err != nil {
		return err
	}
	type macContent struct {
		Txn string `json:"transaction_id"`
		sas.MAC
	}
	if err := v.send(ctx, verifyMAC, macContent{v.txn, out}); err != nil {
		return err
	}
	var in macContent
	if err := v.next(ctx, verifyMAC, &in); err != nil {
		return err
	}
	dev, err := v.d.GetDevice(ctx, v.d.cli.UserID, v.Peer)
	if err != nil {
		return err
	}
	cross, err := v.d.GetCrossSigningKeys(ctx, v.d.cli.UserID)
	if err != nil {
		return err
	}
	if dev == nil {
		return &Unverified{"m.key_mismatch", "the other device is not the account's any more"}
	}
	known, master := map[string]string{ed(them.Device): string(dev.SigningKey)}, string(cross[id.XSUsageMaster].Key)
	if master != "" {
		known[ed(master)] = master
	}
	ids, err := x.Check(them, in.MAC, known)
	if err != nil || !slices.Contains(ids, ed(them.Device)) {
		return &Unverified{"m.key_mismatch", sas.ErrMismatch.Error()}
	}
	trusted := *dev
	trusted.Trust = id.TrustStateVerified
	if err := v.d.PutDevice(ctx, v.d.cli.UserID, &trusted); err != nil {
		return err
	}
	if master != "" && slices.Contains(ids, ed(master)) {
		if err := v.d.Alone(ctx, func() error { return v.d.mach.SignOwnMasterKey(ctx) }); err != nil {
			return fmt.Errorf("sign the account's master key: %w", err)
		}
	}
	if err := v.d.Flush(ctx); err != nil {
		return err
	}
	return v.send(ctx, verifyDone, struct {
		Txn string `json:"transaction_id"`
	}{v.txn})
}

// next waits for what the peer is to say next and reads it into c. The others'
// done is not waited for, so it may come in between.
func (v *Verification) next(ctx context.Context, kind string, c any) error {
	select {
	case e := <-v.in:
		if e.kind != kind {
			return &Unverified{"m.unexpected_message", "the other device said " + e.kind + " instead of " + kind}
		}
		if json.Unmarshal(e.content, c) != nil {
			return &Unverified{"m.invalid_message", "what the other device said can't be read"}
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send says something to the peer. A repeated request is the same to the server.
func (v *Verification) send(ctx context.Context, kind string, content any) error {
	_, err := v.d.cli.MakeRequest(ctx, http.MethodPut,
		v.d.cli.BuildClientURL("v3", "sendToDevice", verifyPrefix+kind, v.txn+"."+kind),
		struct {
			Messages map[id.UserID]map[id.DeviceID]any `json:"messages"`
		}{map[id.UserID]map[id.DeviceID]any{v.d.cli.UserID: {v.Peer: content}}}, nil)
	return err
}
