package olm

import (
	"context"
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
// verification framework); or the wish of this one (Propose). Run does it.
type Verification struct {
	Peer  id.DeviceID // "" until one of asked has taken it up; d.mu guards it until Run has ended
	d     *Device
	txn   string
	begun json.RawMessage     // m.key.verification.start, when it came without a request
	asked []id.DeviceID       // whom this device has asked, nil when it was asked
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

// Codes of m.key.verification.cancel.
const (
	codeAccepted   = "m.accepted"
	codeInvalid    = "m.invalid_message"
	codeKeys       = "m.key_mismatch"
	codeCommitment = "m.mismatched_commitment"
	codeMismatch   = "m.mismatched_sas"
	codeTimeout    = "m.timeout"
	codeUnexpected = "m.unexpected_message"
	codeMethod     = "m.unknown_method"
	codeUser       = "m.user"
)

// verifyingFor is how long a verification may take.
const verifyingFor = 10 * time.Minute

// Unverified is why a verification came to nothing.
type Unverified struct{ Code, Reason string }

func (e *Unverified) Error() string { return e.Reason }

var (
	// errCancelled: the peer ended it, and is not told again.
	errCancelled = errors.New("the other device ended the verification")
	// errOvertaken: a device that was asked has asked by itself.
	errOvertaken = errors.New("the other device began another verification")
)

// cancelled is why the peer ended it. That another device was quicker is no news.
func cancelled(content json.RawMessage) error {
	var c struct{ Code string }
	json.Unmarshal(content, &c) // without a code there was no reason
	switch c.Code {
	case codeAccepted:
		return errCancelled
	case codeMismatch:
		return errors.Join(errCancelled, &Unverified{c.Code, "there the pictures were said to be others"})
	case codeTimeout:
		return errors.Join(errCancelled, &Unverified{c.Code, "it took too long there"})
	}
	return errors.Join(errCancelled, &Unverified{c.Code, "it was ended there"})
}

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
	if v != nil && v.txn == c.Txn && v.Peer == "" && kind == verifyReady && slices.Contains(v.asked, c.From) {
		v.Peer = c.From
	}
	waits := v == nil || v.Peer == ""
	late := v != nil && kind == verifyReady && c.From != v.Peer
	d.mu.Unlock()
	switch {
	case late: // another was ready before
	case v != nil && v.txn == c.Txn && kind == verifyCancel:
		v.end(cancelled(content))
	case v != nil && v.txn == c.Txn:
		select {
		case v.in <- verifyingEvent{kind, content}:
		default:
			v.end(&Unverified{codeUnexpected, "the other device said too much at once"})
		}
	case waits && (kind == verifyRequest || kind == verifyStart) && c.From != d.cli.DeviceID:
		if dev, err := d.GetDevice(ctx, from, c.From); dev == nil || err != nil {
			return err
		}
		if v != nil {
			v.end(errOvertaken)
		}
		v = d.newVerification(c.Txn)
		v.Peer = c.From
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

func (d *Device) newVerification(txn string) *Verification {
	v := &Verification{d: d, txn: txn, in: make(chan verifyingEvent, 8)}
	v.ctx, v.end = context.WithCancelCause(context.Background())
	return v
}

// Run verifies: ask shows the emoji and tells whether the other device shows the
// same. It ends when both know, one of them does not agree, or ctx is done.
func (v *Verification) Run(ctx context.Context, ask func(context.Context, [7]sas.Emoji) (bool, error)) error {
	defer context.AfterFunc(ctx, func() { v.end(context.Cause(ctx)) })()
	defer func() {
		v.end(nil)
		v.d.mu.Lock()
		if v.d.verification == v {
			v.d.verification = nil
		}
		v.d.mu.Unlock()
	}()
	timed, stop := context.WithTimeoutCause(v.ctx, verifyingFor, &Unverified{codeTimeout, "nobody answered in time"})
	defer stop()
	err := guard(func() error { return v.run(timed, ask) })
	if cause := context.Cause(timed); err != nil && cause != nil {
		err = cause
	}
	to := v.asked // while none has taken it up
	if v.peer() != "" {
		to = nil
	}
	if err == nil || errors.Is(err, errCancelled) && len(to) < 2 {
		return err
	}
	why := &Unverified{codeUser, "the verification was given up"}
	errors.As(err, &why)
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	return errors.Join(err, v.cancel(last, why, to))
}

// cancel tells the peer, or others, that it is over.
func (v *Verification) cancel(ctx context.Context, why *Unverified, others []id.DeviceID) error {
	return v.send(ctx, verifyCancel, struct {
		Txn    string `json:"transaction_id"`
		Code   string `json:"code"`
		Reason string `json:"reason"`
	}{v.txn, why.Code, why.Reason}, others...)
}

func (v *Verification) peer() id.DeviceID {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	return v.Peer
}

// run is the conversation.
func (v *Verification) run(ctx context.Context, ask func(context.Context, [7]sas.Emoji) (bool, error)) error {
	meet := v.follow
	if v.asked != nil {
		meet = v.lead
	}
	m, err := meet(ctx)
	if err != nil {
		return err
	}
	signs, err := m.Emoji()
	if err != nil {
		return err
	}
	if yes, err := ask(ctx, signs); err != nil {
		return err
	} else if !yes {
		return &Unverified{codeMismatch, "the other device shows something else"}
	}
	return v.conclude(ctx, m)
}

// conclude exchanges the keys that were vouched for and believes them.
func (v *Verification) conclude(ctx context.Context, m *meeting) error {
	ed := func(name string) string { return string(id.NewKeyID(id.KeyAlgorithmEd25519, name)) }
	out, err := m.Vouch(m.me, map[string]string{ed(m.me.Device): string(v.d.mach.GetAccount().SigningKey())})
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
	dev, err := v.d.GetDevice(ctx, v.d.cli.UserID, id.DeviceID(m.them.Device))
	if err != nil {
		return err
	}
	cross, err := v.d.GetCrossSigningKeys(ctx, v.d.cli.UserID)
	if err != nil {
		return err
	}
	if dev == nil {
		return &Unverified{codeKeys, "the other device is not the account's any more"}
	}
	known, master := map[string]string{ed(m.them.Device): string(dev.SigningKey)}, string(cross[id.XSUsageMaster].Key)
	if master != "" {
		known[ed(master)] = master
	}
	ids, err := m.Check(m.them, in.MAC, known)
	if err != nil || !slices.Contains(ids, ed(m.them.Device)) {
		return &Unverified{codeKeys, sas.ErrMismatch.Error()}
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

// next waits for what the peer is to say next and reads it into c.
func (v *Verification) next(ctx context.Context, kind string, c any) error {
	e, err := v.hear(ctx)
	if err != nil {
		return err
	}
	return e.read(kind, c)
}

// hear waits for what the peer says next. The others' done is not waited for, so it
// may come in between.
func (v *Verification) hear(ctx context.Context) (verifyingEvent, error) {
	select {
	case e := <-v.in:
		return e, nil
	case <-ctx.Done():
		return verifyingEvent{}, context.Cause(ctx)
	}
}

func (e verifyingEvent) read(kind string, c any) error {
	if e.kind != kind {
		return &Unverified{codeUnexpected, "the other device said " + e.kind + " instead of " + kind}
	}
	if json.Unmarshal(e.content, c) != nil {
		return &Unverified{codeInvalid, "what the other device said can't be read"}
	}
	return nil
}

// send says something to the peer, or to others. A repeated request is the same to
// the server.
func (v *Verification) send(ctx context.Context, kind string, content any, others ...id.DeviceID) error {
	name, to := v.txn+"."+kind, map[id.DeviceID]any{}
	for _, d := range others {
		to[d] = content
	}
	if len(others) == 0 {
		to[v.peer()] = content
	} else {
		name += ".others"
	}
	_, err := v.d.cli.MakeRequest(ctx, http.MethodPut, v.d.cli.BuildClientURL("v3", "sendToDevice", verifyPrefix+kind, name),
		struct {
			Messages map[id.UserID]map[id.DeviceID]any `json:"messages"`
		}{map[id.UserID]map[id.DeviceID]any{v.d.cli.UserID: to}}, nil)
	return err
}
