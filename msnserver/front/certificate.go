package front

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"
)

// Store keeps the certificates and their key between starts, as PEM. Load
// returns nothing and no error when there is none yet.
type Store interface {
	Load() (pem []byte, err error)
	Save(pem []byte) error
}

// Certificate is what TLS clients are shown: one certificate with all names,
// because clients of Windows XP name no server (SERVERS.md 3c), signed with
// SHA-256 and, for those that do not ask for that, with SHA-1.
//
// An authority of the box's own signs both; PCs are to trust it (Root). Its key
// lives only until it has signed, so that nobody who takes over the box can make
// certificates of other sites that these PCs believe (DESIGN.md §6). It needs no
// name constraints then, for which Windows before XP would refuse it. To issue
// anew, remove what is stored: PCs must then trust the new authority.
type Certificate struct {
	store Store
	names []string
	ips   func() []net.IP
	log   *slog.Logger

	once sync.Once
	done chan struct{} // closed when Prepare has ended; then the rest is constant
	err  error
	root []byte // DER
	leaf *x509.Certificate
	conf *tls.Config
}

// NewCertificate makes a certificate that lives in st and also carries the box's
// own names and addresses. ips tells the addresses as they are when it is made,
// and later those to be missed. Clients wait for Prepare.
func NewCertificate(st Store, names []string, ips func() []net.IP, log *slog.Logger) *Certificate {
	return &Certificate{store: st, names: names, ips: ips, log: log, done: make(chan struct{})}
}

// Prepare loads the certificate or makes it, which takes many seconds on a small
// board: call it once clients are let in. When ctx ends it gives up, at the
// latest after the key it is at. It does its work once; more calls wait for the
// first and return the same.
func (c *Certificate) Prepare(ctx context.Context) error {
	c.once.Do(func() {
		if c.err = c.loadOrMake(ctx); c.err != nil && ctx.Err() == nil {
			c.log.Error("no TLS certificate: clients that sign in over HTTPS can't", "err", c.err)
		}
		close(c.done)
		c.missing()
	})
	return c.err
}

// Root waits for Prepare and is the authority's certificate (DER).
func (c *Certificate) Root(ctx context.Context) ([]byte, error) {
	if _, err := c.config(ctx); err != nil {
		return nil, err
	}
	return c.root, nil
}

// State is how a Certificate is.
type State struct {
	Ended     bool     // Prepare has
	Err       error    // with this
	Authority string   // the name of the root, when it succeeded
	Lacks     []string // names and addresses that the box has now and the certificate does not
}

// State tells at once how the certificate is.
func (c *Certificate) State() State {
	select {
	case <-c.done:
	default:
		return State{}
	}
	if c.err != nil {
		return State{Ended: true, Err: c.err}
	}
	names := slices.Clone(c.names)
	for _, ip := range c.ips() {
		names = append(names, ip.String())
	}
	return State{Ended: true, Authority: c.leaf.Issuer.CommonName,
		Lacks: slices.DeleteFunc(names, func(n string) bool { return c.leaf.VerifyHostname(n) == nil })}
}

// config waits for Prepare.
func (c *Certificate) config(ctx context.Context) (*tls.Config, error) {
	select {
	case <-c.done:
		return c.conf, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Certificate) loadOrMake(ctx context.Context) error {
	saved, err := c.store.Load()
	if err != nil {
		return fmt.Errorf("loading the certificate: %w", err)
	}
	if saved == nil {
		start := time.Now()
		if saved, err = issue(ctx, slices.Concat(c.names, hosts), c.ips); err != nil {
			return err
		}
		if err := c.store.Save(saved); err != nil {
			return fmt.Errorf("saving the certificate: %w", err)
		}
		c.log.Info("made a TLS certificate", "took", time.Since(start).Round(time.Millisecond))
	}
	if err := c.read(saved); err != nil {
		return fmt.Errorf("the saved certificate is damaged; remove it and a new one is made, which the PCs must be told to trust: %w", err)
	}
	return nil
}

// read takes what issue made: the certificates of the authority and, with
// SHA-256 and SHA-1, of the server, and the server's key.
func (c *Certificate) read(saved []byte) error {
	var certs [][]byte
	var key *rsa.PrivateKey
	for block, rest := pem.Decode(saved); block != nil; block, rest = pem.Decode(rest) {
		var err error
		switch block.Type {
		case "CERTIFICATE":
			certs = append(certs, block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		}
		if err != nil {
			return err
		}
	}
	if len(certs) != 3 || key == nil {
		return errors.New("it is not three certificates and a key")
	}
	var server [2]tls.Certificate
	for i, der := range certs[1:] {
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		if !key.PublicKey.Equal(leaf.PublicKey) {
			return errors.New("the key is another certificate's")
		}
		if i == 0 {
			c.leaf = leaf
		}
		server[i] = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	}
	c.root, c.conf = certs[0], tlsConfig(server[0], server[1])
	return nil
}

// missing warns of names and addresses that the box did not have when its
// certificate was made.
func (c *Certificate) missing() {
	for _, name := range c.State().Lacks {
		c.log.Info("the TLS certificate does not have this name of the box: a PC that was pointed to it can't sign in over HTTPS. Point it to another, "+
			"or remove the certificate and let every PC trust the new one", "name", name)
	}
}

// Certificates are valid for as long as old clocks can be wrong.
var (
	validFrom  = time.Date(1998, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC)
)

// issue makes an authority and certificates of it, as PEM. The first certificate
// is the authority's.
func issue(ctx context.Context, names []string, own func() []net.IP) ([]byte, error) {
	authority, err := rsa.GenerateKey(rand.Reader, 2048)
	if err = errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	ips := own() // only now: where the keys take long, the network comes up meanwhile
	root := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Nudge " + rand.Text()[:6], Organization: []string{"Nudge"}},
		NotBefore:             validFrom,
		NotAfter:              validUntil,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// Nobody checks how a root signs itself, but the oldest must be able
		// to read it.
		SignatureAlgorithm: x509.SHA1WithRSA,
	}
	server := &x509.Certificate{
		// The oldest look only here, and this is what they call.
		Subject:               pkix.Name{CommonName: "nexus.passport.com", Organization: []string{"Nudge"}},
		NotBefore:             validFrom,
		NotAfter:              validUntil,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              slices.Clone(names),
		IPAddresses:           ips,
	}
	for _, ip := range ips {
		server.DNSNames = append(server.DNSNames, ip.String()) // where old Windows looks for an address
	}
	var out []byte
	sign := func(cert *x509.Certificate, alg x509.SignatureAlgorithm, public crypto.PublicKey) error {
		cert.SignatureAlgorithm = alg
		if cert.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
			return err
		}
		der, err := x509.CreateCertificate(rand.Reader, cert, root, public, authority)
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		return err
	}
	err = errors.Join(sign(root, x509.SHA1WithRSA, &authority.PublicKey),
		sign(server, x509.SHA256WithRSA, &key.PublicKey), sign(server, x509.SHA1WithRSA, &key.PublicKey))
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})...), err
}

// hosts are the names that clients look for on port 443, and on port 80 where
// somebody may try 443 (SERVERS.md 3d, MSNP.md F.2). A * stands for one word.
var hosts = []string{
	"nexus.passport.com", "login.passport.com", "loginnet.passport.com", "login.passport.net", "memberservices.passport.net",
	"login.live.com", "msnia.login.live.com", "account.live.com",
	"messenger.hotmail.com", "*.messenger.hotmail.com", "rsi.hotmail.com",
	"messenger.msn.com", "*.messenger.msn.com", "*.voice.messenger.msn.com", "*.sip.messenger.msn.com",
	"messenger.live.com", "*.messenger.live.com", "*.edge.messenger.live.com", "*.messenger.services.live.com", "*.services.live.com",
	"contacts.msn.com", "*.contacts.msn.com", "*.omega.contacts.msn.com",
	"storage.msn.com", "*.storage.msn.com", "storage.live.com", "*.users.storage.live.com", "livefilestore.com",
	"sup.live.com", "home.live.com", "spaces.live.com", "support.live.com", "*.profile.live.com",
	"*.mobile.msn.com", "*.mobile.live.com",
	"www.msn.com", "g.msn.com", "rad.msn.com", "c.msn.com", "ads.msn.com", "ads1.msn.com",
	"svcs.microsoft.com", "nudge", "nudge.local",
	// Where PCs go that were patched for Escargot or CrossTalk.
	"m1.escargot.log1p.xyz", "escargot.log1p.xyz", "msnmsgr.escargot.chat", "conf.escargot.chat", "ds.escargot.nina.chat",
	"ms.msgrsvcs.ctsrv.gay", "*.ms.msgrsvcs.ctsrv.gay", "conf.msgrsvcs.ctsrv.gay", "pp.login.ugnet.gay", "ctas.login.ugnet.gay",
	"ctsvcs.addressbook.ugnet.gay", "cts.storage.ugnet.gay",
}
