package stream

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/text/secure/precis"
)

// maxIterations bounds the work a server can make us do for one log-in: about
// a second on the smallest board, and forty times what servers use.
const maxIterations = 400_000

var errChallenge = errors.New("a bad SCRAM challenge")

// mechanism is one flavour of SCRAM.
type mechanism struct {
	name string
	hash func() hash.Hash
}

// scrams is in order of preference (RFC 5802, RFC 7677).
var scrams = []mechanism{
	{"SCRAM-SHA-512", sha512.New},
	{"SCRAM-SHA-256", sha256.New},
	{"SCRAM-SHA-1", sha1.New},
}

// scram is the client's side of one SCRAM exchange.
type scram struct {
	mechanism
	password string
	nonce    string
	first    string // client-first-message-bare
	verifier []byte // what the server must prove to know
}

func newSCRAM(m mechanism, user, password, nonce string) *scram {
	if p, err := precis.OpaqueString.String(password); err == nil {
		password = p
	}
	user = strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
	return &scram{mechanism: m, password: password, nonce: nonce, first: "n=" + user + ",r=" + nonce}
}

// begin is the first message, without channel binding.
func (c *scram) begin() []byte { return []byte("n,," + c.first) }

// answer computes the proof for the server's challenge.
func (c *scram) answer(challenge []byte) ([]byte, error) {
	kv := map[byte]string{}
	for _, p := range strings.Split(string(challenge), ",") {
		if len(p) > 1 && p[1] == '=' {
			kv[p[0]] = p[2:]
		}
	}
	_, mandatory := kv['m'] // an extension that we must understand, and don't
	salt, err := base64.StdEncoding.DecodeString(kv['s'])
	iterations, err2 := strconv.Atoi(kv['i'])
	nonce := kv['r']
	if err != nil || err2 != nil || mandatory || len(salt) == 0 || iterations < 1 || iterations > maxIterations ||
		!strings.HasPrefix(nonce, c.nonce) || nonce == c.nonce {
		return nil, errChallenge
	}
	salted, err := pbkdf2.Key(c.hash, c.password, salt, iterations, c.hash().Size())
	if err != nil {
		return nil, err
	}
	final := "c=biws,r=" + nonce
	auth := c.first + "," + string(challenge) + "," + final
	clientKey := c.mac(salted, "Client Key")
	stored := c.hash()
	stored.Write(clientKey)
	proof := c.mac(stored.Sum(nil), auth)
	subtle.XORBytes(proof, proof, clientKey)
	c.verifier = c.mac(c.mac(salted, "Server Key"), auth)
	return []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// verify checks the server's signature: only a server that knows the password
// can make it.
func (c *scram) verify(final []byte) error {
	want := "v=" + base64.StdEncoding.EncodeToString(c.verifier)
	if c.verifier == nil || !hmac.Equal(final, []byte(want)) {
		return &Error{Kind: Unsafe, Text: "The chat server can't prove that it knows the password: it may be an impostor. Check the server's address."}
	}
	return nil
}

func (c *scram) mac(key []byte, text string) []byte {
	m := hmac.New(c.hash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// logIn authenticates with the best mechanism offered (RFC 6120 §6).
func (s *Stream) logIn(w *wire, offered []string) error {
	has := map[string]bool{}
	for _, m := range offered {
		has[m] = true
	}
	for _, m := range scrams {
		if has[m.name] {
			return s.logInSCRAM(w, newSCRAM(m, s.cfg.JID.Local, s.cfg.Password, rand.Text()))
		}
	}
	if !has["PLAIN"] {
		return &Error{Kind: Unsafe, Text: "The chat server offers no way to log in that this box knows (it offers: " + clip(strings.Join(offered, ", ")) + ")."}
	}
	if !s.cfg.AllowPlain || !w.secure {
		return &Error{Kind: Unsafe, Text: "The chat server wants the password itself (PLAIN). Allow it with \"plain\" when you trust the server."}
	}
	in, err := s.saslStep(w, "auth", "PLAIN", []byte("\x00"+s.cfg.JID.Local+"\x00"+s.cfg.Password))
	if err == nil && !in.success {
		err = brokenError("one challenge too many")
	}
	return err
}

func (s *Stream) logInSCRAM(w *wire, c *scram) error {
	in, err := s.saslStep(w, "auth", c.name, c.begin())
	if err != nil {
		return err
	}
	out, err := c.answer(in.data)
	if err != nil || in.success {
		return brokenError("a bad SCRAM challenge")
	}
	if in, err = s.saslStep(w, "response", "", out); err != nil {
		return err
	}
	if err := c.verify(in.data); err != nil {
		return err
	}
	if !in.success { // older servers: signature as a challenge, then success
		if in, err = s.saslStep(w, "response", "", nil); err == nil && !in.success {
			err = brokenError("one challenge too many")
		}
	}
	return err
}

// saslReply is a challenge, or success with its data.
type saslReply struct {
	data    []byte
	success bool
}

func (s *Stream) saslStep(w *wire, element, mechanism string, data []byte) (saslReply, error) {
	x := "<" + element + " xmlns='" + nsSASL + "'"
	if mechanism != "" {
		x += " mechanism='" + mechanism + "'"
	}
	if err := w.send(x + ">" + base64.StdEncoding.EncodeToString(data) + "</" + element + ">"); err != nil {
		return saslReply{}, err
	}
	n, err := w.next()
	if err != nil {
		return saslReply{}, err
	}
	if n.XMLName.Space != nsSASL {
		return saslReply{}, brokenError("no log-in answer")
	}
	switch n.XMLName.Local {
	case "failure":
		return saslReply{}, authError(s.cfg.JID, n)
	case "success", "challenge":
		text := strings.TrimSpace(n.Content)
		if text == "=" {
			text = ""
		}
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return saslReply{}, brokenError("no log-in answer")
		}
		return saslReply{data, n.XMLName.Local == "success"}, nil
	}
	return saslReply{}, brokenError("no log-in answer")
}
