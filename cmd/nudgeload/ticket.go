package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// oldTLS is what Windows XP offers: no server name, RSA key exchange, no
// resumption here.
var oldTLS = &tls.Config{
	InsecureSkipVerify: true, // the certificate is not what is measured
	MinVersion:         tls.VersionTLS10,
	MaxVersion:         tls.VersionTLS10,
	CipherSuites:       []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_RC4_128_SHA},
}

// fetch sends one request over a TLS connection of its own.
func fetch(addr, request string) (*http.Response, string, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, oldTLS)
	if err != nil {
		return nil, "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		return nil, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%.40q is answered %s", request, resp.Status)
	}
	return resp, string(body), err
}

// nexusTicket signs in as MSN 5.0 to 7.0 do: two connections (MSNP.md F.1).
func nexusTicket(addr, handle, challenge string) (string, error) {
	if _, _, err := fetch(addr, "GET /rdr/pprdr.asp HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	resp, _, err := fetch(addr, "GET /login2.srf HTTP/1.1\r\nAuthorization: Passport1.4 OrgVerb=GET,OrgURL=http%3A%2F%2Fmessenger%2Emsn%2Ecom,sign-in="+
		url.QueryEscape(handle)+",pwd="+password+","+challenge+"\r\nHost: login.passport.com\r\nConnection: close\r\n\r\n")
	if err != nil {
		return "", err
	}
	return between(resp.Header.Get("Authentication-Info"), "from-PP='", "'")
}

// rstTicket signs in as MSN 7.5 does (MSNP.md F.2).
func rstTicket(addr, handle string) (string, error) {
	body := `<?xml version="1.0" encoding="UTF-8"?>` +
		`<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsse="http://schemas.xmlsoap.org/ws/2003/06/secext" ` +
		`xmlns:wsp="http://schemas.xmlsoap.org/ws/2002/12/policy" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/03/addressing" ` +
		`xmlns:wst="http://schemas.xmlsoap.org/ws/2004/04/trust" xmlns:ps="http://schemas.microsoft.com/Passport/SoapServices/PPCRL">` +
		`<Header><wsse:Security><wsse:UsernameToken Id="user"><wsse:Username>` + handle + `</wsse:Username><wsse:Password>` + password +
		`</wsse:Password></wsse:UsernameToken></wsse:Security></Header><Body><ps:RequestMultipleSecurityTokens Id="RSTS">` +
		tokenRequest("RST0", "http://Passport.NET/tb", "") + tokenRequest("RST1", "messenger.msn.com", `<wsse:PolicyReference URI="?id=507"/>`) +
		`</ps:RequestMultipleSecurityTokens></Body></Envelope>`
	_, answer, err := fetch(addr, fmt.Sprintf("POST /RST.srf HTTP/1.1\r\nHost: loginnet.passport.com\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body))
	if err != nil {
		return "", err
	}
	ticket, err := between(answer, "<wsse:BinarySecurityToken", "</wsse:BinarySecurityToken>")
	_, ticket, _ = strings.Cut(ticket, ">")
	return strings.ReplaceAll(ticket, "&amp;", "&"), err
}

func tokenRequest(id, address, policy string) string {
	return `<wst:RequestSecurityToken Id="` + id + `"><wst:RequestType>http://schemas.xmlsoap.org/ws/2004/04/security/trust/Issue</wst:RequestType>` +
		`<wsp:AppliesTo><wsa:EndpointReference><wsa:Address>` + address + `</wsa:Address></wsa:EndpointReference></wsp:AppliesTo>` + policy + `</wst:RequestSecurityToken>`
}

func between(s, before, after string) (string, error) {
	_, s, found := strings.Cut(s, before)
	s, _, ended := strings.Cut(s, after)
	if !found || !ended {
		return "", fmt.Errorf("the log-in server gave no ticket")
	}
	return s, nil
}
