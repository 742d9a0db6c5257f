package front

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"nudge/msnserver/passport"
)

// tlsConfig answers hellos with TLS 1.0 to 1.2: in TLS 1.3 it can't be read why
// some clients leave, which the owner is to be told. What Windows before Vista offers, RC4
// and 3DES with RSA key exchange (SERVERS.md 3c), Go has only when it is named.
//
// A client that does not offer signatures with SHA-256 gets the certificate old,
// and at most TLS 1.1: in TLS 1.2 Go would sign for it with SHA-1 only after a
// GODEBUG setting, which would weaken the links' connections too.
func tlsConfig(modern, old tls.Certificate) *tls.Config {
	suites := []uint16{
		tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	}
	for _, s := range tls.CipherSuites() {
		suites = append(suites, s.ID)
	}
	forOld := &tls.Config{
		Certificates: []tls.Certificate{old},
		MinVersion:   tls.VersionTLS10,
		MaxVersion:   tls.VersionTLS11,
		CipherSuites: suites,
	}
	return &tls.Config{
		Certificates: []tls.Certificate{modern},
		MinVersion:   tls.VersionTLS10,
		MaxVersion:   tls.VersionTLS12,
		CipherSuites: suites,
		NextProtos:   []string{"http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			hello.Conn.(*caller).listen(hello, suites)
			if slices.Contains(hello.SignatureSchemes, tls.PKCS1WithSHA256) {
				return nil, nil
			}
			return forOld, nil
		},
	}
}

// caller is a connection to port 443, and what its first hello tells.
type caller struct {
	net.Conn
	br      *bufio.Reader
	said    time.Time // the time its hello gives
	heard   bool      // a TLS hello was read
	ancient bool      // it is one as Windows before Vista sends it: said is its clock
	browser bool      // it is one as today's browsers send it
	weak    bool      // it shares no cipher suite with us
}

// NetConn is the connection below, for who asks the kernel about it.
func (c *caller) NetConn() net.Conn { return c.Conn }

func (c *caller) Read(b []byte) (int, error) { return c.br.Read(b) }

// helloSize is how much of a hello must be seen to know what it is: the headers
// of record and message, the version and the time.
const helloSize = 5 + 4 + 2 + 4

// peek looks at the hello. One that Go can't answer (MSNP.md K.22) has a
// refusal, in its own form, and is read to its end: closing a connection with
// unread input would make the kernel throw the refusal away.
func (c *caller) peek() (refusal []byte, err error) {
	b, err := c.br.Peek(5)
	if err != nil {
		return nil, err
	}
	const clientHello = 1
	length := 0
	switch {
	case b[0]&0x80 != 0 && b[2] == clientHello:
		length = 2 + int(b[0]&0x7f)<<8 + int(b[1])
		refusal = []byte{21, b[3], b[4], 0, 2, 2, 70} // SSL 3 or TLS in the frame of SSL 2: alert, protocol version
		if b[3] == 0 {
			refusal = []byte{0x80, 3, 0, 0, 1} // SSL 2 and nothing else: error, no cipher
		}
	case b[0] == 22:
		length = 5 + int(b[3])<<8 + int(b[4])
		if b, err = c.br.Peek(helloSize); err != nil {
			return nil, err
		}
		c.said = time.Unix(int64(binary.BigEndian.Uint32(b[11:])), 0)
		if b[5] == clientHello && b[9] == 3 && b[10] == 0 {
			refusal = []byte{21, 3, 0, 0, 2, 2, 40} // SSL 3: alert, handshake failure
		}
	}
	if refusal != nil {
		_, err = io.CopyN(io.Discard, c, int64(length))
	}
	return refusal, err
}

// listen notes what a TLS hello tells. ours are the cipher suites we have.
func (c *caller) listen(hello *tls.ClientHelloInfo, ours []uint16) {
	const renegotiation = 0xff01 // came as an update to Windows XP
	c.heard = true
	c.ancient = !slices.ContainsFunc(hello.SupportedVersions, func(v uint16) bool { return v > tls.VersionTLS10 }) &&
		!slices.ContainsFunc(hello.Extensions, func(id uint16) bool { return id != renegotiation })
	c.browser = len(hello.SupportedProtos) > 0
	c.weak = !slices.ContainsFunc(ours, func(id uint16) bool { return slices.Contains(hello.CipherSuites, id) })
}

// secure shakes hands with a client, or closes the connection; it waits for the
// certificate, which may be in the making. It tells the owner about a PC that
// can't or won't.
func (s *Server) secure(raw net.Conn) (t net.Conn, err error) {
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	c := &caller{Conn: raw, br: bufio.NewReaderSize(raw, helloSize+1)}
	c.SetDeadline(time.Now().Add(helloTime))
	refusal, err := c.peek()
	if refusal != nil {
		s.passport.Witness.Saw(passport.Peer(c.RemoteAddr()), "", passport.OldHello)
		c.Write(refusal)
		return nil, errors.New("a hello of SSL 2 or 3")
	}
	if err != nil {
		return nil, err
	}
	conf, err := s.cert.config(s.ctx)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(helloTime))
	server := tls.Server(c, conf)
	if err := server.HandshakeContext(s.ctx); err != nil {
		s.doubt(c, err)
		return nil, err
	}
	return server, nil
}

// left tells the owner about a client that shook hands and went without asking
// for anything. Windows looks at a certificate only then. Today's browsers open
// connections that they don't use; from them only an alert says something.
func (s *Server) left(t *tls.Conn, err error) {
	c := t.NetConn().(*caller)
	if !c.browser || !hungUp(err) {
		s.doubt(c, err)
	}
}

// hungUp tells whether the client closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// doubt tells the owner why a client gave up when it saw our hello, if that
// shows.
func (s *Server) doubt(c *caller, err error) {
	var why passport.Trouble
	switch {
	case !c.heard:
		return
	case c.weak:
		why = passport.WeakHello
	case isAlert(err, 45): // certificate expired
		why = passport.WrongClock
	case hungUp(err), isAlert(err, 42, 43, 44, 46, 48, 49): // bad, unsupported, revoked, unknown certificate; unknown authority; access denied
		why = passport.Untrusted
		if c.ancient && (c.said.Before(validFrom) || c.said.After(validUntil)) {
			why = passport.WrongClock
		}
	default:
		return
	}
	s.passport.Witness.Saw(passport.Peer(c.RemoteAddr()), "", why)
}

// isAlert tells whether err is one of these alerts of the client. crypto/tls
// gives it in a type of its own, but with the same words.
func isAlert(err error, numbers ...tls.AlertError) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" &&
		slices.ContainsFunc(numbers, func(n tls.AlertError) bool { return n.Error() == op.Err.Error() })
}
