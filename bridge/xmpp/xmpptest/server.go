// Package xmpptest is a small XMPP server for tests, in this process: TLS from
// a CA of its own, SCRAM, stream management with resumption, roster, presence,
// archive, carbons, blocking, privacy lists and an offline store, each of which
// can be turned off. It keeps to what was measured on real servers.
//
// Every connection has a reader and a writer; Close waits for them. All state
// is behind one mutex, and nothing is written to a socket under it.
package xmpptest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"

	"gosrc.io/xmpp/stanza"
)

// Options switch features off or make the server misbehave.
type Options struct {
	Domain       string   // chat.test
	Mechanisms   []string // SCRAM-SHA-256
	Iterations   int      // of SCRAM: 4096
	NoTLS        bool     // offers no STARTTLS
	DirectTLS    bool
	NoSM         bool
	NoMAM        bool
	NoBlocking   bool
	Privacy      bool // XEP-0016
	PrivacyFails bool // announced, but no list can be made active
	WrongProof   bool // signs SCRAM with a wrong key
	SeeOtherHost string
	Expired      bool // certificate
	OtherName    bool // certificate for another domain
	// UnknownAfterIsStart makes an archive query after an id that is not known start
	// from the beginning (as ejabberd does) instead of failing.
	UnknownAfterIsStart bool
	// Reluctant leaves subscriptions as they are when a component with privileges sets
	// them, and says yes.
	Reluctant bool
	// Slots makes what is in a slot for a file of that name and size, "" for none. nil:
	// there is no such service.
	Slots func(name, size string) string
	PEP   bool // XEP-0163
	Registration
}

// Server is one running server.
type Server struct {
	Options
	pool *x509.CertPool
	ca   []byte
	cert tls.Certificate
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex
	accounts map[string]*account // by local part
	conns    map[*conn]bool
	serial   int
	downs    bool // refuses connections
	stalled  bool // writes nothing
	lose     bool // cut after the next message

	loseResumed bool // cut after the next resumption

	component   *conn
	unreceipted []*stanza.Node // messages to the component without their receipt
	toRooms     []*stanza.Node
	privileged  bool   // the component sees to contact lists
	roomsRefuse string // what rooms answer, "" that there is nothing
}

// account is one user with what the server keeps for him.
type account struct {
	name, password string
	roster         map[string]*item // by bare JID
	archive        []archived
	offline        []*stanza.Node
	blocked        map[string]bool
	sessions       map[string]*session // by resource
	lists          map[string]bool     // privacy lists
	nodes          []published
	card           *stanza.Node // vCard
}

type item struct {
	name, sub, ask string
	groups         []string
	pending        bool // he asked to see the account
	approved       bool // he may when he asks
}

type archived struct {
	id   string
	at   time.Time
	with string
	n    *stanza.Node
}

// New makes a server with accounts alice and bob (and whom AddUser adds); their
// passwords are "pw-" and the name.
func New(o Options) (*Server, error) {
	if o.Domain == "" {
		o.Domain = "chat.test"
	}
	if o.Mechanisms == nil {
		o.Mechanisms = []string{"SCRAM-SHA-256"}
	}
	if o.Iterations == 0 {
		o.Iterations = 4096
	}
	s := &Server{Options: o, accounts: map[string]*account{}, conns: map[*conn]bool{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.certify(); err != nil {
		return nil, err
	}
	s.AddUser("alice")
	s.AddUser("bob")
	return s, nil
}

// AddUser adds an account.
func (s *Server) AddUser(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[name] = &account{name: name, password: "pw-" + name, roster: map[string]*item{}, blocked: map[string]bool{},
		sessions: map[string]*session{}, lists: map[string]bool{}}
}

// RemoveUser makes the server forget somebody.
func (s *Server) RemoveUser(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, name)
}

// Pool trusts the server's CA; CA is its certificate in PEM.
func (s *Server) Pool() *x509.CertPool { return s.pool }
func (s *Server) CA() []byte           { return s.ca }

func (s *Server) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "xmpptest CA"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: s.Domain}, DNSNames: []string{s.Domain},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if s.Expired {
		leaf.NotAfter = now.Add(-time.Minute)
	}
	if s.OtherName {
		leaf.DNSNames = []string{"other.test"}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, key)
	if err != nil {
		return err
	}
	s.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	s.pool = x509.NewCertPool()
	s.pool.AppendCertsFromPEM(s.ca)
	s.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: leafKey}
	return nil
}

// Dial connects to the server through this process, whatever the address: it
// is meant for stream.Config.Dial.
func (s *Server) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	mine, theirs := net.Pipe()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.downs || s.ctx.Err() != nil {
		return nil, errors.New("connection refused")
	}
	s.serve(theirs, false)
	return mine, nil
}

// Serve accepts connections until the listener is closed or the server is.
func (s *Server) Serve(l net.Listener) {
	stop := context.AfterFunc(s.ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.serve(c, false)
		s.mu.Unlock()
	}
}

func (s *Server) serve(c net.Conn, component bool) {
	k := &conn{s: s, raw: c, c: c, muted: s.stalled, component: component}
	s.conns[k] = true
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		k.run()
	}()
}

// Down makes the server refuse connections, or take them again.
func (s *Server) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.downs = down
}

// Cut breaks every connection without a word; sessions with stream management
// wait to be resumed.
func (s *Server) Cut() {
	s.mu.Lock()
	var all []*conn
	for k := range s.conns {
		all = append(all, k)
	}
	s.mu.Unlock()
	for _, k := range all {
		k.raw.Close()
		<-k.ended()
	}
}

// Stall makes the server write nothing, or go on.
func (s *Server) Stall(on bool) {
	s.mu.Lock()
	s.stalled = on
	var all []*conn
	for k := range s.conns {
		all = append(all, k)
	}
	s.mu.Unlock()
	for _, k := range all {
		k.mute(on)
	}
}

// LoseAck makes the server take the next message that a client sends, and then
// cut the line and forget the session before it acknowledges.
func (s *Server) LoseAck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = true
}

// LoseResumed makes the server resume the next session that asks for it, and
// cut the line before it says so.
func (s *Server) LoseResumed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseResumed = true
}

// Forget drops the sessions that wait to be resumed.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		for _, x := range a.sessions {
			if x.k == nil && x.peer == nil {
				s.drop(a, x)
			}
		}
	}
}

// Close stops the server and waits for its goroutines.
func (s *Server) Close() {
	s.stop()
	s.mu.Lock()
	for k := range s.conns {
		k.raw.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Archive is how many messages the account's archive has.
func (s *Server) Archive(user string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accounts[user].archive)
}

// Sub sets the subscription of two accounts to each other, as a roster knows
// it from user's side: none, to, from or both.
func (s *Server) Sub(user, contact, sub string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mirror := map[string]string{"none": "none", "to": "from", "from": "to", "both": "both"}
	s.entry(s.accounts[user], contact+"@"+s.Domain).sub = sub
	if c := s.accounts[contact]; c != nil {
		s.entry(c, user+"@"+s.Domain).sub = mirror[sub]
	}
}

func (s *Server) entry(a *account, bare string) *item {
	if a.roster[bare] == nil {
		a.roster[bare] = &item{sub: "none"}
	}
	return a.roster[bare]
}

// Roster is an account's entry for a bare address as "sub name groups ask".
func (s *Server) Roster(user, bare string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.accounts[user].roster[bare]
	if i == nil {
		return ""
	}
	return fmt.Sprintf("%s %q %q %s", i.sub, i.name, i.groups, i.ask)
}
