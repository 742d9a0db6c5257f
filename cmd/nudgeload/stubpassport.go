package main

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"
)

// listenTLS listens with a certificate of its own, as large as a box has.
func listenTLS() (net.Listener, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stub"}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS10, CipherSuites: oldTLS.CipherSuites,
	})
}

// passport gives a ticket to whoever asks.
func (s *stub) passport(c net.Conn) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	header, body := "", ""
	switch {
	case strings.HasPrefix(r.URL.Path, "/rdr/"):
		header = "PassportURLs: DARealm=Passport.Net,DALogin=127.0.0.1/login2.srf,DAReg=http://127.0.0.1/,ConfigVersion=11\r\n"
	case r.Method == http.MethodPost:
		io.Copy(io.Discard, r.Body)
		body = `<wsse:BinarySecurityToken Id="PPToken1">t=canned&amp;p=</wsse:BinarySecurityToken>`
	default:
		header = "Authentication-Info: Passport1.4 da-status=success,tname=MSPAuth,from-PP='t=canned&p=',ru=http://messenger.msn.com\r\n"
	}
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", header, len(body), body)
}
