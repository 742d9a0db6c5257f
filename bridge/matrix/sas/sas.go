// Package sas computes what two devices of a Matrix account compare to be sure of
// each other (client-server API, short authentication string verification): the
// commitment to a key, the seven emoji that both show, and the codes that vouch
// for the devices' own keys. It is pure; package olm does the talking.
package sas

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"maunium.net/go/mautrix/crypto/canonicaljson"
)

// The only methods spoken; every app of the last years has them.
const (
	Method    = "m.sas.v1"
	Agreement = "curve25519-hkdf-sha256"
	Hash      = "sha256"
	Code      = "hkdf-hmac-sha256.v2"
	Signs     = "emoji"
)

// Commitment binds the device that accepts to its key before it sees the other's:
// start is the content of m.key.verification.start as it came.
func Commitment(key *ecdh.PublicKey, start json.RawMessage) (string, error) {
	if !json.Valid(start) { // Canonicalize takes that for granted
		return "", errors.New("the start of the verification is no JSON")
	}
	canonical := slices.Clone(start)
	if err := canonicaljson.Canonicalize(&canonical); err != nil {
		return "", err
	}
	h := sha256.Sum256(append([]byte(Text(key)), canonical...))
	return base64.RawStdEncoding.EncodeToString(h[:]), nil
}

// Text is a public key as events carry it.
func Text(key *ecdh.PublicKey) string { return base64.RawStdEncoding.EncodeToString(key.Bytes()) }

// Key reads a public key of an event.
func Key(text string) (*ecdh.PublicKey, error) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, err
	}
	return ecdh.X25519().NewPublicKey(b)
}

// Party is one of the two devices.
type Party struct {
	User, Device string
	Key          *ecdh.PublicKey // made for this exchange
}

// Exchange is one verification after both keys are known.
type Exchange struct {
	starter, other Party
	txn            string
	secret         []byte
}

// New makes the exchange out of one side's private key. The starter is who sent
// m.key.verification.start.
func New(own *ecdh.PrivateKey, starter, other Party, txn string) (*Exchange, error) {
	peer := starter.Key
	if peer.Equal(own.PublicKey()) {
		peer = other.Key
	}
	secret, err := own.ECDH(peer)
	if err != nil {
		return nil, err
	}
	return &Exchange{starter, other, txn, secret}, nil
}

// Emoji are the seven signs that both devices show.
func (x *Exchange) Emoji() (signs [7]Emoji, err error) {
	info := strings.Join([]string{
		"MATRIX_KEY_VERIFICATION_SAS", x.starter.User, x.starter.Device, Text(x.starter.Key),
		x.other.User, x.other.Device, Text(x.other.Key), x.txn,
	}, "|")
	b, err := hkdf.Key(sha256.New, x.secret, nil, info, 6)
	if err != nil {
		return signs, err
	}
	var bits uint64
	for _, c := range b {
		bits = bits<<8 | uint64(c)
	}
	for i := range signs {
		signs[i] = table[bits>>(42-6*i)&63]
	}
	return signs, nil
}

// MAC vouches for keys, by key id.
type MAC struct {
	Codes map[string]string `json:"mac"`
	Keys  string            `json:"keys"` // for the list of ids
}

// Vouch makes the codes with which from vouches for keys to the other.
func (x *Exchange) Vouch(from Party, keys map[string]string) (MAC, error) {
	m := MAC{Codes: map[string]string{}}
	for id, key := range keys {
		code, err := x.code(from, id, key)
		if err != nil {
			return m, err
		}
		m.Codes[id] = code
	}
	var err error
	m.Keys, err = x.code(from, "KEY_IDS", strings.Join(slices.Sorted(maps.Keys(keys)), ","))
	return m, err
}

func (x *Exchange) code(from Party, id, text string) (string, error) {
	to := x.other
	if from == x.other {
		to = x.starter
	}
	info := "MATRIX_KEY_VERIFICATION_MAC" + from.User + from.Device + to.User + to.Device + x.txn + id
	key, err := hkdf.Key(sha256.New, x.secret, nil, info, 32)
	if err != nil {
		return "", err
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil)), nil
}

// ErrMismatch: the codes do not belong to the keys that are known.
var ErrMismatch = errors.New("the keys are not the ones that the other device vouches for")

// Check compares the codes that from sent with the keys known of it, and returns
// the ids of those that it vouches for. Codes for other keys are left aside; one
// that is wrong for a known key fails all.
func (x *Exchange) Check(from Party, m MAC, known map[string]string) (ids []string, err error) {
	list, err := x.code(from, "KEY_IDS", strings.Join(slices.Sorted(maps.Keys(m.Codes)), ","))
	if err != nil {
		return nil, err
	}
	if !same(list, m.Keys) {
		return nil, ErrMismatch
	}
	for id, got := range m.Codes {
		key, ok := known[id]
		if !ok {
			continue
		}
		want, err := x.code(from, id, key)
		if err != nil {
			return nil, err
		}
		if !same(want, got) {
			return nil, ErrMismatch
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

func same(a, b string) bool {
	return hmac.Equal([]byte(a), []byte(strings.TrimRight(b, "=")))
}
