package stream

import (
	"errors"
	"strings"

	"golang.org/x/text/secure/precis"
)

// JID is an XMPP address in canonical spelling (RFC 7622): comparing two of
// them is comparing structs. Local is empty for servers and gateways, Resource
// for bare addresses.
type JID struct{ Local, Domain, Resource string }

// ErrJID means that a text is no XMPP address.
var ErrJID = errors.New("this is not an XMPP address: it looks like name@server")

// ParseJID reads an address and brings it to canonical spelling. Parts longer
// than 1023 bytes and characters that RFC 7622 forbids are errors.
func ParseJID(text string) (JID, error) {
	bare, resource, slash := strings.Cut(text, "/")
	local, domain, at := strings.Cut(bare, "@")
	if !at {
		local, domain = "", bare
	}
	j := JID{Local: local, Domain: strings.ToLower(strings.TrimSuffix(domain, ".")), Resource: resource}
	if at && local == "" || slash && resource == "" || !validDomain(j.Domain) {
		return JID{}, ErrJID
	}
	if local != "" {
		l, err := precis.UsernameCaseMapped.String(local)
		if err != nil || l == "" || strings.ContainsAny(l, "\"&'/:<>@") {
			return JID{}, ErrJID
		}
		j.Local = l
	}
	if resource != "" {
		r, err := precis.OpaqueString.String(resource)
		if err != nil {
			return JID{}, ErrJID
		}
		j.Resource = r
	}
	if len(j.Local) > 1023 || len(j.Domain) > 1023 || len(j.Resource) > 1023 {
		return JID{}, ErrJID
	}
	return j, nil
}

func validDomain(d string) bool {
	if d == "" {
		return false
	}
	for _, r := range d {
		if r <= ' ' || r == 0x7f || strings.ContainsRune("\"&'/<>@\\", r) {
			return false
		}
	}
	return true
}

// Bare is the address without its resource.
func (j JID) Bare() JID { return JID{Local: j.Local, Domain: j.Domain} }

// IsZero tells whether j is no address at all.
func (j JID) IsZero() bool { return j == JID{} }

func (j JID) String() string {
	s := j.Domain
	if j.Local != "" {
		s = j.Local + "@" + s
	}
	if j.Resource != "" {
		s += "/" + j.Resource
	}
	return s
}
