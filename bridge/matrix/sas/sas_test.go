package sas

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
)

// pair are both ends of one exchange.
func pair(t testing.TB) (a, b *Exchange, alice, bob Party) {
	t.Helper()
	one, err := ecdh.X25519().GenerateKey(rand.Reader)
	two, err2 := ecdh.X25519().GenerateKey(rand.Reader)
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	alice, bob = Party{"@a:x", "A", one.PublicKey()}, Party{"@a:x", "B", two.PublicKey()}
	a, err = New(one, alice, bob, "txn")
	b, err2 = New(two, alice, bob, "txn")
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return a, b, alice, bob
}

func TestBothEndsAgree(t *testing.T) {
	a, b, alice, bob := pair(t)
	one, err := a.Emoji()
	two, err2 := b.Emoji()
	if err != nil || err2 != nil || one != two {
		t.Errorf("%v, %v (%v, %v)", one, two, err, err2)
	}
	m, err := a.Vouch(alice, map[string]string{"ed25519:A": "key", "ed25519:master": "other"})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := b.Check(alice, m, map[string]string{"ed25519:A": "key", "ed25519:B": "mine"})
	if err != nil || !slices.Equal(ids, []string{"ed25519:A"}) {
		t.Errorf("%v, %v", ids, err)
	}
	for name, known := range map[string]map[string]string{
		"another key": {"ed25519:A": "forged"}, "another's master key": {"ed25519:A": "key", "ed25519:master": "forged"},
	} {
		if ids, err := b.Check(alice, m, known); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
	}
	if _, err := b.Check(bob, m, map[string]string{"ed25519:A": "key"}); !errors.Is(err, ErrMismatch) {
		t.Errorf("sent back: %v", err)
	}
	delete(m.Codes, "ed25519:master")
	if _, err := b.Check(alice, m, map[string]string{"ed25519:A": "key"}); !errors.Is(err, ErrMismatch) {
		t.Errorf("a code left out: %v", err)
	}
}

// FuzzPeer feeds what the other device says.
func FuzzPeer(f *testing.F) {
	f.Add([]byte(`{"method":"m.sas.v1","transaction_id":"t"}`), "ed25519:A", "code", "keys")
	f.Add([]byte(`{"a":[1e400,"\ud800"]}`), "", "", "")
	f.Add([]byte(`[`), "KEY_IDS", "====", "=")
	f.Fuzz(func(t *testing.T, start []byte, name, code, keys string) {
		a, _, _, bob := pair(t)
		Commitment(bob.Key, start) // must not panic; an error is fine
		if k, err := Key(code); err == nil && len(k.Bytes()) != 32 {
			t.Errorf("%q is a key", code)
		}
		if ids, err := a.Check(bob, MAC{map[string]string{name: code}, keys}, map[string]string{name: "known"}); err == nil {
			t.Errorf("%q was believed for %v", code, ids)
		}
	})
}
