package msnclient

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// tokenPage is where MSN Messenger 7.5 signs in.
const tokenPage = "https://loginnet.passport.com/RST.srf"

// tokenRequest asks for what MSN Messenger 7.5 asks for: the token of Passport
// itself and one for the Messenger service, under the policy of the challenge
// (MSNP.md F.2). In it stand handle, password and policy, as XML.
const tokenRequest = `<?xml version="1.0" encoding="UTF-8"?>` +
	`<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsse="http://schemas.xmlsoap.org/ws/2003/06/secext" xmlns:wsp="http://schemas.xmlsoap.org/ws/2002/12/policy" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/03/addressing" xmlns:wst="http://schemas.xmlsoap.org/ws/2004/04/trust">` +
	`<Header><wsse:Security><wsse:UsernameToken Id="user"><wsse:Username>%s</wsse:Username><wsse:Password>%s</wsse:Password></wsse:UsernameToken></wsse:Security></Header>` +
	`<Body><ps:RequestMultipleSecurityTokens xmlns:ps="http://schemas.microsoft.com/Passport/SoapServices/PPCRL" Id="RSTS">` +
	`<wst:RequestSecurityToken Id="RST0"><wst:RequestType>http://schemas.xmlsoap.org/ws/2004/04/security/trust/Issue</wst:RequestType><wsp:AppliesTo><wsa:EndpointReference><wsa:Address>http://Passport.NET/tb</wsa:Address></wsa:EndpointReference></wsp:AppliesTo></wst:RequestSecurityToken>` +
	`<wst:RequestSecurityToken Id="RST1"><wst:RequestType>http://schemas.xmlsoap.org/ws/2004/04/security/trust/Issue</wst:RequestType><wsp:AppliesTo><wsa:EndpointReference><wsa:Address>messenger.msn.com</wsa:Address></wsa:EndpointReference></wsp:AppliesTo><wsse:PolicyReference URI="?%s"></wsse:PolicyReference></wst:RequestSecurityToken>` +
	`</ps:RequestMultipleSecurityTokens></Body></Envelope>`

// tokenAnswer is the part of the answer that clients read.
type tokenAnswer struct {
	Fault struct {
		Text string `xml:"faultstring"`
	} `xml:"Fault"`
	Tokens []struct {
		Address string `xml:"AppliesTo>EndpointReference>Address"`
		Cipher  string `xml:"RequestedSecurityToken>EncryptedData>CipherData>CipherValue"`
		Token   struct {
			ID   string `xml:"Id,attr"`
			Text string `xml:",chardata"`
		} `xml:"RequestedSecurityToken>BinarySecurityToken"`
		Secret string `xml:"RequestedProofToken>BinarySecret"`
	} `xml:"Body>RequestSecurityTokenResponseCollection>RequestSecurityTokenResponse"`
}

// token signs in with RST.srf. It is as strict as libpurple: no white space
// between the tokens, each numbered as it was asked for (CLIENTS.md 4, 5).
func (c *Client) token(ctx context.Context, challenge string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	tr := c.web()
	defer tr.CloseIdleConnections()
	body := fmt.Sprintf(tokenRequest, inXML(c.cfg.Handle), inXML(c.cfg.Password), inXML(strings.ReplaceAll(challenge, ",", "&")))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenPage, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("security token: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("security token: %w", err)
	}
	return readToken(resp.Status, b)
}

func readToken(status string, b []byte) (string, error) {
	var a tokenAnswer
	if err := xml.Unmarshal(b, &a); err != nil {
		return "", fmt.Errorf("security token: %s: %w", status, err)
	}
	if a.Fault.Text != "" {
		return "", fmt.Errorf("security token: %s: %s", status, a.Fault.Text)
	}
	const end = "RequestSecurityTokenResponse>"
	for _, rest := range bytes.Split(b, []byte(end))[1:] {
		if len(bytes.TrimLeft(rest, " \t\r\n")) != len(rest) && bytes.HasPrefix(bytes.TrimSpace(rest), []byte("<")) {
			return "", fmt.Errorf("security token: white space after a token")
		}
	}
	if len(a.Tokens) != 2 || a.Tokens[0].Cipher == "" || a.Tokens[0].Secret == "" {
		return "", fmt.Errorf("security token: not the two that were asked for: %s", b)
	}
	t := a.Tokens[1]
	if t.Address != "messenger.msn.com" || t.Token.ID != "Compact1" && t.Token.ID != "PPToken1" || !strings.HasPrefix(t.Token.Text, "t=") {
		return "", fmt.Errorf("security token: not that of the Messenger: %+v", t)
	}
	return t.Token.Text, nil
}

func inXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}
