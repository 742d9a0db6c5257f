package passport

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// isTokens tells whether a path is that of the token service, which clients know
// under several hosts and folders.
func isTokens(path string) bool { return strings.HasSuffix(path, "/rst.srf") }

// headerTokens is where patched clients ask for a token with their password in a
// header (MSNP.md K.18).
const headerTokens = "/notrst.srf"

// headerToken answers them: without X-Token they were refused.
func (s *Server) headerToken(r Request, source net.Addr) answer {
	a := answer{status: "200 OK"}
	name, pause, ok := s.check(r.Get("X-User"), r.Get("X-Password"), source)
	switch {
	case pause > 0:
		return later(pause)
	case ok:
		a.header = []string{"X-Token: " + s.Tickets.Issue(name)}
	}
	return a
}

// service is the address of the token that stands for the sign-in itself.
// libpurple reads it whether it was asked for or not.
const service = "http://Passport.NET/tb"

// wanted is one token that a client asks for.
type wanted struct {
	number  int // of its Id, RST1 for 1
	address string
	policy  string
}

// maxTokens is how many one request gets; the largest client asks for ten.
const maxTokens = 30

// parseTokenRequest reads the request for tokens. Elements are found by their
// local names at any depth: prefixes and envelopes differ from client to client.
func parseTokenRequest(body []byte) (handle, password string, tokens []wanted, err error) {
	dec := xml.NewDecoder(bytes.NewReader(body))
	dec.Strict = false
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for err == nil {
		var tok xml.Token
		if tok, err = dec.Token(); err != nil {
			break
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		switch start.Name.Local {
		case "Username":
			err = dec.DecodeElement(&handle, &start)
		case "Password":
			err = dec.DecodeElement(&password, &start)
		case "RequestSecurityToken":
			var t struct {
				ID      string `xml:"Id,attr"`
				Address string `xml:"AppliesTo>EndpointReference>Address"`
				Policy  struct {
					URI string `xml:"URI,attr"`
				} `xml:"PolicyReference"`
			}
			err = dec.DecodeElement(&t, &start)
			if a := strings.TrimSpace(t.Address); a != "" && a != service && len(tokens) < maxTokens {
				tokens = append(tokens, wanted{tokenNumber(t.ID, len(tokens)+1), a, t.Policy.URI})
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	return strings.TrimSpace(handle), password, tokens, err
}

// tokenNumber is the number in an Id of the form RST1. What has none, or 0, is
// numbered by its place: libpurple finds a token by that number and refuses one
// beyond the end of its list (CLIENTS.md 5).
func tokenNumber(id string, place int) int {
	if n, err := strconv.Atoi(strings.TrimPrefix(id, "RST")); err == nil && n > 0 && n <= maxTokens {
		return n
	}
	return place
}

// tokens answers a request to the token service: one ticket, under every address
// that was asked for. There must be no white space between the elements
// (CLIENTS.md 4), and prefixes are matched literally (MSNP.md F).
func (s *Server) tokens(r Request, source net.Addr) answer {
	handle, password, tokens, err := parseTokenRequest(r.Body)
	name, pause, ok := "", time.Duration(0), false
	if err == nil {
		name, pause, ok = s.check(handle, password, source)
	}
	switch {
	case pause > 0:
		return later(pause)
	case !ok:
		return answer{status: "200 OK", body: tokenFault}
	}
	now := time.Now().UTC()
	ticket := "t=" + s.Tickets.Issue(name) + "&p="
	var b strings.Builder
	b.WriteString(tokenEnvelope)
	fmt.Fprintf(&b, tokenHeader, accountNumber(name), now.Format(time.RFC3339), accountNumber(name), escape(name))
	b.WriteString("<S:Body><wst:RequestSecurityTokenResponseCollection>")
	t := token{created: now, expires: now.Add(ticketLife)}
	t.write(&b, "urn:passport:legacy", service, fmt.Sprintf(encrypted, secret(64)), "urn:passport", "BinaryDAToken0")
	for _, w := range tokens {
		kind, id := "urn:passport:compact", "Compact"+strconv.Itoa(w.number)
		key := kind
		if strings.HasPrefix(w.policy, "?") { // a policy of the nexus's kind
			kind, key, id = "urn:passport:legacy", "urn:passport", "PPToken"+strconv.Itoa(w.number)
		}
		t.write(&b, kind, w.address, `<wsse:BinarySecurityToken Id="`+id+`">`+escape(ticket)+`</wsse:BinarySecurityToken>`, key, id)
	}
	b.WriteString("</wst:RequestSecurityTokenResponseCollection></S:Body></S:Envelope>")
	return answer{status: "200 OK", body: b.String()}
}

// token is what all tokens of an answer have in common.
type token struct{ created, expires time.Time }

// write writes one token: its kind, for whom, the token itself, and how it is
// referred to.
func (t token) write(b *strings.Builder, kind, address, text, key, id string) {
	fmt.Fprintf(b, `<wst:RequestSecurityTokenResponse><wst:TokenType>%s</wst:TokenType>`+
		`<wsp:AppliesTo><wsa:EndpointReference><wsa:Address>%s</wsa:Address></wsa:EndpointReference></wsp:AppliesTo>`+
		`<wst:LifeTime><wsu:Created>%s</wsu:Created><wsu:Expires>%s</wsu:Expires></wst:LifeTime>`+
		`<wst:RequestedSecurityToken>%s</wst:RequestedSecurityToken>`+
		`<wst:RequestedTokenReference><wsse:KeyIdentifier ValueType="%s"/><wsse:Reference URI="#%s"/></wst:RequestedTokenReference>`+
		`<wst:RequestedProofToken><wst:BinarySecret>%s</wst:BinarySecret></wst:RequestedProofToken></wst:RequestSecurityTokenResponse>`,
		kind, escape(address), t.created.Format(time.RFC3339), t.expires.Format(time.RFC3339), text, key, id, secret(24))
}

// secret is n random bytes in base64. Nothing signs with it before MSNP15.
func secret(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// accountNumber is an account's PUID and CID: made from its handle, so that it is
// the same every time.
func accountNumber(handle string) string {
	h := fnv.New64a()
	io.WriteString(h, strings.ToLower(handle))
	return fmt.Sprintf("%016X", h.Sum64())
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

// The parts of the answer that are always the same (MSNP.md F.2). In a refusal
// the fault is a child of the envelope: libpurple and aMSN look for it there.
const (
	tokenEnvelope = `<?xml version="1.0" encoding="utf-8"?><S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsse="http://schemas.xmlsoap.org/ws/2003/06/secext"` +
		` xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd" xmlns:wst="http://schemas.xmlsoap.org/ws/2004/04/trust"` +
		` xmlns:wsp="http://schemas.xmlsoap.org/ws/2002/12/policy" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/03/addressing"` +
		` xmlns:psf="http://schemas.microsoft.com/Passport/SoapServices/SOAPFault">`
	tokenHeader = `<S:Header><psf:pp><psf:serverVersion>1</psf:serverVersion><psf:PUID>%s</psf:PUID><psf:configVersion>16.000.26889.00</psf:configVersion>` +
		`<psf:uiVersion>3.100.2179.0</psf:uiVersion><psf:authstate>0x48803</psf:authstate><psf:reqstatus>0x0</psf:reqstatus>` +
		`<psf:serverInfo Path="Live1" RollingUpgradeState="ExclusiveNew" LocVersion="0" ServerTime="%s">X</psf:serverInfo><psf:cookies/><psf:browserCookies/>` +
		`<psf:credProperties><psf:credProperty Name="MainBrandID">MSFT</psf:credProperty><psf:credProperty Name="IsWinLiveUser">true</psf:credProperty>` +
		`<psf:credProperty Name="CID">%s</psf:credProperty><psf:credProperty Name="AuthMembername">%s</psf:credProperty></psf:credProperties>` +
		`<psf:extProperties/><psf:response/></psf:pp></S:Header>`
	encrypted = `<EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#" Id="BinaryDAToken0" Type="http://www.w3.org/2001/04/xmlenc#Element">` +
		`<EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#tripledes-cbc"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` +
		`<ds:KeyName>http://Passport.NET/STS</ds:KeyName></ds:KeyInfo><CipherData><CipherValue>%s</CipherValue></CipherData></EncryptedData>`
	tokenFault = tokenEnvelope +
		`<S:Header><psf:pp><psf:serverVersion>1</psf:serverVersion><psf:authstate>0x80048800</psf:authstate><psf:reqstatus>0x80048823</psf:reqstatus>` +
		`<psf:serverInfo Path="Live1" RollingUpgradeState="ExclusiveNew" LocVersion="0">X</psf:serverInfo><psf:cookies/><psf:response/></psf:pp></S:Header>` +
		`<S:Fault><faultcode>wsse:FailedAuthentication</faultcode><faultstring>Authentication Failure</faultstring></S:Fault></S:Envelope>`
)
