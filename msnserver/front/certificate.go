package front

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"
)

// Store keeps the certificate and its key between starts, as PEM. Load returns
// nothing and no error when there is none yet.
type Store interface {
	Load() (pem []byte, err error)
	Save(pem []byte) error
}

// Certificate is the one that every TLS client is shown: clients of Windows XP
// send no server name, so it carries all names (SERVERS.md 3c). It is made at
// the first need, which takes seconds on a small board; Prepare does that
// earlier.
type Certificate struct {
	get  func() (*tls.Certificate, error)
	once func() *tls.Config
}

// hosts are the names that clients look for on port 443 (SERVERS.md 3d).
var hosts = []string{
	"nexus.passport.com", "login.passport.com", "loginnet.passport.com", "login.passport.net", "login.live.com",
	"messenger.hotmail.com", "*.messenger.hotmail.com", "*.messenger.msn.com", "*.messenger.live.com",
	"contacts.msn.com", "*.contacts.msn.com", "*.omega.contacts.msn.com", "storage.msn.com", "*.storage.msn.com", "storage.live.com",
	"rsi.hotmail.com", "ows.messenger.msn.com", "sup.live.com", "*.mobile.msn.com", "*.mobile.live.com",
	"svcs.microsoft.com", "g.msn.com", "rad.msn.com", "account.live.com", "nudge", "nudge.local",
}

// NewCertificate makes a certificate that lives in st, which may be nil, and
// also carries the box's own names and addresses.
func NewCertificate(st Store, names []string, ips []net.IP, log *slog.Logger) *Certificate {
	c := &Certificate{}
	c.get = sync.OnceValues(func() (*tls.Certificate, error) {
		cert, err := loadOrMake(st, names, ips, log)
		if err != nil {
			log.Error("no TLS certificate: clients that sign in over HTTPS can't", "err", err)
		}
		return cert, err
	})
	c.once = sync.OnceValue(func() *tls.Config { return tlsConfig(c.get) })
	return c
}

// Prepare loads or makes the certificate now.
func (c *Certificate) Prepare() error {
	_, err := c.get()
	return err
}

func (c *Certificate) config() *tls.Config { return c.once() }

// tlsConfig takes every cipher suite Go has: Windows XP offers only RC4 and 3DES
// with RSA key exchange under TLS 1.0 (SERVERS.md 3c).
func tlsConfig(get func() (*tls.Certificate, error)) *tls.Config {
	var suites []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, s.ID)
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS10,
		CipherSuites:   suites,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return get() },
		NextProtos:     []string{"http/1.1"},
	}
}

func loadOrMake(st Store, names []string, ips []net.IP, log *slog.Logger) (*tls.Certificate, error) {
	if st != nil {
		saved, err := st.Load()
		if err != nil {
			return nil, fmt.Errorf("loading the certificate: %w", err)
		}
		if saved != nil {
			cert, err := tls.X509KeyPair(saved, saved)
			if err != nil {
				return nil, fmt.Errorf("the saved certificate is damaged; remove it and a new one is made: %w", err)
			}
			return &cert, nil
		}
	}
	start := time.Now()
	made, err := selfSigned(slices.Concat(names, hosts), ips)
	if err != nil {
		return nil, err
	}
	log.Info("made a TLS certificate", "took", time.Since(start).Round(time.Millisecond))
	if st != nil {
		if err := st.Save(made); err != nil {
			return nil, fmt.Errorf("saving the certificate: %w", err)
		}
	}
	cert, err := tls.X509KeyPair(made, made)
	return &cert, err
}

// selfSigned makes a certificate and its key as PEM. It is valid for as long as
// old clocks can be wrong.
func selfSigned(names []string, ips []net.IP) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: names[0], Organization: []string{"Nudge"}},
		NotBefore:             time.Date(1998, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		SignatureAlgorithm:    x509.SHA256WithRSA,
		DNSNames:              names,
		IPAddresses:           ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})...), nil
}
