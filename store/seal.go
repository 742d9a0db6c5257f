package store

import (
	"crypto/cipher"
	"crypto/rand"
)

// seal puts a random nonce before the ciphertext; 24 bytes are enough never to
// meet the same twice.
func seal(a cipher.AEAD, context string, plain []byte) []byte {
	nonce := make([]byte, a.NonceSize(), a.NonceSize()+len(plain)+a.Overhead())
	rand.Read(nonce) // never fails
	return a.Seal(nonce, nonce, plain, []byte(context))
}

func unseal(a cipher.AEAD, context string, sealed []byte) ([]byte, error) {
	if len(sealed) < a.NonceSize() {
		return nil, ErrSealed
	}
	plain, err := a.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], []byte(context))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
