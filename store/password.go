package store

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
)

// passwordRounds is what a Pi Zero can pay at each sign-in (about 0.2 s).
const passwordRounds = 20000

// clientChars is how much of a password some clients send (MSNP.md K.20).
const clientChars = 16

// Password is a salted hash (PBKDF2-HMAC-SHA256) of a password and, when that
// has more than 16 characters, of the first 16, which is all that some clients
// send. The zero Password matches nothing.
type Password struct {
	rounds int
	salt   []byte
	whole  []byte
	short  []byte
}

// HashPassword makes a Password. It takes a fifth of a second on a Pi Zero.
func HashPassword(pw string) Password {
	p := Password{rounds: passwordRounds, salt: make([]byte, 16)}
	rand.Read(p.salt) // never fails
	p.whole = p.hash(pw)
	if cut := cutPassword(pw); cut != pw {
		p.short = p.hash(cut)
	}
	return p
}

// Matches tells whether pw is the password or, when that is longer, its first
// 16 characters. The time it takes depends on pw's length only.
func (p Password) Matches(pw string) bool {
	if p.rounds <= 0 {
		return false
	}
	h := p.hash(pw)
	return subtle.ConstantTimeCompare(h, p.whole)|subtle.ConstantTimeCompare(h, p.short) == 1
}

// IsZero tells whether no password was ever set.
func (p Password) IsZero() bool { return p.rounds == 0 }

func (p Password) hash(pw string) []byte {
	h, err := pbkdf2.Key(sha256.New, pw, p.salt, p.rounds, sha256.Size)
	if err != nil { // only for parameters that FIPS mode forbids
		panic(err)
	}
	return h
}

func cutPassword(pw string) string {
	n := 0
	for i := range pw {
		if n == clientChars {
			return pw[:i]
		}
		n++
	}
	return pw
}

func (p Password) encode() []byte {
	var e encoder
	e.uint(1, uint64(p.rounds))
	e.bytes(2, p.salt)
	e.bytes(3, p.whole)
	e.bytes(4, p.short)
	return e
}

func decodePassword(d *decoder) Password {
	var p Password
	in := decoder{rest: d.val}
	for in.next() {
		switch in.tag {
		case 1:
			p.rounds = int(min(in.uint(), 10_000_000))
		case 2:
			p.salt = in.bytes()
		case 3:
			p.whole = in.bytes()
		case 4:
			p.short = in.bytes()
		}
	}
	if in.err != nil {
		d.err = in.err
	}
	return p
}
