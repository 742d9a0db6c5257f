package olm

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/matrix/sas"
)

// meeting is a verification after both sides know each other's key.
type meeting struct {
	*sas.Exchange
	me, them sas.Party
}

// startContent is what the device that starts offers; this one offers the only way
// that it knows.
type startContent struct {
	Txn        string      `json:"transaction_id"`
	From       id.DeviceID `json:"from_device"`
	Method     string      `json:"method"`
	Agreements []string    `json:"key_agreement_protocols"`
	Hashes     []string    `json:"hashes"`
	Codes      []string    `json:"message_authentication_codes"`
	Signs      []string    `json:"short_authentication_string"`
}

// acceptContent is what the other one chose.
type acceptContent struct {
	Txn        string   `json:"transaction_id"`
	Commitment string   `json:"commitment"`
	Hash       string   `json:"hash"`
	Agreement  string   `json:"key_agreement_protocol"`
	Code       string   `json:"message_authentication_code"`
	Signs      []string `json:"short_authentication_string"`
}

type readyContent struct {
	Txn     string      `json:"transaction_id"`
	From    id.DeviceID `json:"from_device"`
	Methods []string    `json:"methods"`
}

type keyContent struct {
	Txn string `json:"transaction_id"`
	Key string `json:"key"`
}

// Propose asks the account's other devices to verify this one. It is the caller's to
// Run; nil when there is nobody to ask, or a verification goes on.
func (d *Device) Propose(ctx context.Context) (*Verification, error) {
	devices, err := d.GetDevices(ctx, d.cli.UserID)
	if err != nil {
		return nil, err
	}
	v := d.newVerification(rand.Text())
	for name := range devices {
		if name != d.cli.DeviceID {
			v.asked = append(v.asked, name)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.asked == nil || d.verification != nil {
		return nil, nil
	}
	slices.Sort(v.asked)
	d.verification = v
	return v, nil
}

// lead asks, starts with the first that is ready, and meets it.
func (v *Verification) lead(ctx context.Context) (*meeting, error) {
	err := v.send(ctx, verifyRequest, struct {
		Txn     string      `json:"transaction_id"`
		From    id.DeviceID `json:"from_device"`
		Methods []string    `json:"methods"`
		At      int64       `json:"timestamp"` // ms
	}{v.txn, v.d.cli.DeviceID, []string{sas.Method}, time.Now().UnixMilli()}, v.asked...)
	if err != nil {
		return nil, err
	}
	var ready readyContent
	if err := v.next(ctx, verifyReady, &ready); err != nil {
		return nil, err
	}
	peer := v.peer()
	if others := slices.DeleteFunc(slices.Clone(v.asked), func(d id.DeviceID) bool { return d == peer }); len(others) > 0 {
		if err := v.cancel(ctx, &Unverified{codeAccepted, "another device has taken it up"}, others); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(ready.Methods, sas.Method) {
		return nil, &Unverified{codeMethod, "the other device can't compare emoji"}
	}
	start, err := json.Marshal(startContent{v.txn, v.d.cli.DeviceID, sas.Method,
		[]string{sas.Agreement}, []string{sas.Hash}, []string{sas.Code}, []string{sas.Signs}})
	if err != nil {
		return nil, err
	}
	if err := v.send(ctx, verifyStart, json.RawMessage(start)); err != nil {
		return nil, err
	}
	e, err := v.hear(ctx)
	if err == nil && e.kind == verifyStart { // both did: that of the lesser device counts
		if peer < v.d.cli.DeviceID {
			return v.accept(ctx, e.content)
		}
		e, err = v.hear(ctx)
	}
	if err != nil {
		return nil, err
	}
	return v.reveal(ctx, start, e)
}

// reveal is the part of the device that started: it shows its key first, and the
// peer's must be the one that the peer has committed itself to.
func (v *Verification) reveal(ctx context.Context, start json.RawMessage, answer verifyingEvent) (*meeting, error) {
	var c acceptContent
	if err := answer.read(verifyAccept, &c); err != nil {
		return nil, err
	}
	if c.Agreement != sas.Agreement || c.Hash != sas.Hash || c.Code != sas.Code || !slices.Contains(c.Signs, sas.Signs) {
		return nil, errOtherWay
	}
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := v.send(ctx, verifyKey, keyContent{v.txn, sas.Text(own.PublicKey())}); err != nil {
		return nil, err
	}
	m, err := v.meet(ctx, own)
	if err != nil {
		return nil, err
	}
	if promised, err := sas.Commitment(m.them.Key, start); err != nil || promised != c.Commitment {
		return nil, &Unverified{codeCommitment, "the other device's key is not the one it promised"}
	}
	return v.exchange(m, own, m.me, m.them)
}

// follow meets a peer that asked, or that started at once.
func (v *Verification) follow(ctx context.Context) (*meeting, error) {
	begun := v.begun
	if begun == nil {
		if err := v.send(ctx, verifyReady, readyContent{v.txn, v.d.cli.DeviceID, []string{sas.Method}}); err != nil {
			return nil, err
		}
		if err := v.next(ctx, verifyStart, &begun); err != nil {
			return nil, err
		}
	}
	return v.accept(ctx, begun)
}

// errOtherWay: emoji can be compared in more than one way, of which only one is spoken.
var errOtherWay = &Unverified{codeMethod, "the other device can't compare emoji as this one does"}

// accept is the part of the device that did not start: it commits itself to its key
// before it sees the peer's.
func (v *Verification) accept(ctx context.Context, begun json.RawMessage) (*meeting, error) {
	var c startContent
	if json.Unmarshal(begun, &c) != nil || c.Method != sas.Method || !slices.Contains(c.Agreements, sas.Agreement) ||
		!slices.Contains(c.Hashes, sas.Hash) || !slices.Contains(c.Codes, sas.Code) || !slices.Contains(c.Signs, sas.Signs) {
		return nil, errOtherWay
	}
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	commitment, err := sas.Commitment(own.PublicKey(), begun)
	if err != nil {
		return nil, &Unverified{codeInvalid, "the beginning can't be read"}
	}
	err = v.send(ctx, verifyAccept, acceptContent{v.txn, commitment, sas.Hash, sas.Agreement, sas.Code, []string{sas.Signs}})
	if err != nil {
		return nil, err
	}
	m, err := v.meet(ctx, own)
	if err != nil {
		return nil, err
	}
	if err := v.send(ctx, verifyKey, keyContent{v.txn, sas.Text(own.PublicKey())}); err != nil {
		return nil, err
	}
	return v.exchange(m, own, m.them, m.me)
}

// meet waits for the peer's key.
func (v *Verification) meet(ctx context.Context, own *ecdh.PrivateKey) (*meeting, error) {
	var theirs keyContent
	if err := v.next(ctx, verifyKey, &theirs); err != nil {
		return nil, err
	}
	key, err := sas.Key(theirs.Key)
	if err != nil {
		return nil, &Unverified{codeInvalid, "the key can't be read"}
	}
	user := string(v.d.cli.UserID)
	return &meeting{
		me:   sas.Party{User: user, Device: string(v.d.cli.DeviceID), Key: own.PublicKey()},
		them: sas.Party{User: user, Device: string(v.peer()), Key: key},
	}, nil
}

// exchange completes a meeting.
func (v *Verification) exchange(m *meeting, own *ecdh.PrivateKey, starter, other sas.Party) (*meeting, error) {
	var err error
	if m.Exchange, err = sas.New(own, starter, other, v.txn); err != nil {
		return nil, &Unverified{codeInvalid, "the key is no good"}
	}
	return m, nil
}
