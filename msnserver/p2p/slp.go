package p2p

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"nudge/msnserver/wire"
)

// Content types of MSNSLP (MSNP.md D.6).
const (
	bodySession   = "application/x-msnmsgr-sessionreqbody"
	bodyTransport = "application/x-msnmsgr-transreqbody"
	bodyOffer     = "application/x-msnmsgr-transrespbody"
	bodyClose     = "application/x-msnmsgr-sessionclosebody"
)

// objects is the EUF-GUID of sessions for MSNObjects.
const objects = "{A4268EEC-FEC5-49E5-95C3-F126696BDBF6}"

// slp is a message of MSNSLP.
type slp struct {
	start string       // the line before the fields
	head  wire.Message // its Body is that of body with what stands behind
	body  wire.Message
}

// parseSLP reads leniently, as wire.ParseMessage does.
func parseSLP(b []byte) slp {
	start, rest, _ := bytes.Cut(b, []byte("\n"))
	m := slp{start: strings.TrimSpace(string(start))}
	m.head, _ = wire.ParseMessage(rest)
	m.body, _ = wire.ParseMessage(bytes.TrimRight(m.head.Body, "\x00"))
	return m
}

// is tells whether it is a request of that method.
func (m slp) is(method string) bool { return strings.HasPrefix(m.start, method+" ") }

// number is a number in the body, 0 when it is none.
func (m slp) number(field string) uint32 {
	n, err := strconv.ParseUint(m.body.Get(field), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// object is the MSNObject that an INVITE asks for, "" when it asks for none.
func (m slp) object() string {
	if !strings.EqualFold(m.body.Get("EUF-GUID"), objects) {
		return ""
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(m.body.Get("Context"), "= "))
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b), "\x00")
}

// sumOf is the check sum of the data that an MSNObject stands for (its SHA1D,
// MSNP.md B.10.2).
func sumOf(object string) (sum [sha1.Size]byte, ok bool) {
	_, rest, _ := strings.Cut(object, ` SHA1D="`)
	value, _, _ := strings.Cut(rest, `"`)
	b, err := base64.StdEncoding.DecodeString(value)
	ok = copy(sum[:], b) == len(sum) && len(b) == len(sum) && err == nil
	return sum, ok
}

// reply answers the request m of the client for a contact.
func (m slp) reply(status, client, contact, kind, body string) []byte {
	seq, _ := strconv.Atoi(strings.TrimSpace(m.head.Get("CSeq")))
	return compose("MSNSLP/1.0 "+status, client, contact, m.head.Get("Via"), seq+1, m.head.Get("Call-ID"), kind, body)
}

// compose writes a message from a contact to the client. Its length counts the NUL
// at its end.
func compose(start, client, contact, via string, seq int, call, kind, body string) []byte {
	body += "\r\n\x00"
	return fmt.Appendf(nil, "%s\r\nTo: <msnmsgr:%s>\r\nFrom: <msnmsgr:%s>\r\nVia: %s\r\nCSeq: %d \r\nCall-ID: %s\r\nMax-Forwards: 0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		start, client, contact, via, seq, call, kind, len(body), body)
}
