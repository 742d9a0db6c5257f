package xmpptest

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gosrc.io/xmpp/stanza"
)

// conn is one connection; its reader is run.
type conn struct {
	s    *Server
	raw  net.Conn
	c    net.Conn // raw, or TLS over it
	dec  *xml.Decoder
	user string
	x    *session

	component bool

	writer sync.WaitGroup

	once  sync.Once
	end   chan struct{}
	mu    sync.Mutex // guards what follows
	out   []string
	busy  bool
	muted bool
	over  bool // no writer starts any more
}

var errQuit = errors.New("over")

func (k *conn) ended() chan struct{} {
	k.once.Do(func() { k.end = make(chan struct{}) })
	return k.end
}

func (k *conn) run() {
	defer close(k.ended())
	err := k.talk()
	if errors.Is(err, errQuit) { // the last words are still being written
		k.raw.SetWriteDeadline(time.Now().Add(time.Second))
	} else {
		k.raw.Close()
	}
	k.mu.Lock()
	k.over = true
	k.mu.Unlock()
	k.writer.Wait()
	k.s.mu.Lock()
	delete(k.s.conns, k)
	if k.s.component == k {
		k.s.component = nil
	}
	if x := k.x; x != nil && x.k == k {
		x.k = nil
		if errors.Is(err, errQuit) || !x.sm {
			k.s.drop(k.s.accounts[x.user], x)
		}
	}
	k.s.mu.Unlock()
	k.raw.Close()
}

// write queues text; a goroutine of its own writes it, so that two ends of a
// pipe never wait for each other.
func (k *conn) write(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.out = append(k.out, text)
	k.flush()
}

func (k *conn) mute(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.muted = on
	k.flush()
}

// flush starts the writer. Caller holds k.mu.
func (k *conn) flush() {
	if k.busy || k.muted || k.over || len(k.out) == 0 {
		return
	}
	k.busy = true
	k.writer.Add(1)
	go func() {
		defer k.writer.Done()
		for {
			k.mu.Lock()
			text := strings.Join(k.out, "")
			if !k.muted {
				k.out = nil
			}
			if text == "" || k.muted {
				k.busy = false
				k.mu.Unlock()
				return
			}
			c := k.c
			k.mu.Unlock()
			if _, err := c.Write([]byte(text)); err != nil {
				return
			}
		}
	}()
}

func (k *conn) next() (*stanza.Node, error) {
	for {
		t, err := k.dec.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			n := new(stanza.Node)
			return n, k.dec.DecodeElement(n, &t)
		case xml.EndElement:
			return nil, errQuit
		}
	}
}

func (k *conn) open(features string) error {
	k.dec = xml.NewDecoder(k.c)
	if _, err := stanza.InitStream(k.dec); err != nil {
		return err
	}
	k.write("<?xml version='1.0'?><stream:stream id='s' version='1.0' from='" + k.s.Domain + "' xmlns='jabber:client' xmlns:stream='" + stanza.NSStream + "'>")
	if h := k.s.SeeOtherHost; h != "" {
		k.write("<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>" + h + "</see-other-host></stream:error></stream:stream>")
		return errQuit
	}
	k.write("<stream:features>" + features + "</stream:features>")
	return nil
}

func (k *conn) tls() error {
	t := tls.Server(k.raw, &tls.Config{Certificates: []tls.Certificate{k.s.cert}, NextProtos: []string{"xmpp-client"}})
	if err := t.HandshakeContext(k.s.ctx); err != nil {
		return err
	}
	k.mu.Lock()
	k.c = t
	k.mu.Unlock()
	return nil
}

func (k *conn) talk() error {
	if k.component {
		return k.talkComponent()
	}
	if err := k.encrypt(); err != nil {
		return err
	}
	mechs := ""
	for _, m := range k.s.Mechanisms {
		mechs += "<mechanism>" + m + "</mechanism>"
	}
	if err := k.open("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + mechs + "</mechanisms>" + k.s.feature()); err != nil {
		return err
	}
	if err := k.auth(); err != nil {
		return err
	}
	sm := ""
	if !k.s.NoSM {
		sm = "<sm xmlns='urn:xmpp:sm:3'/>"
	}
	if err := k.open("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sub xmlns='urn:xmpp:features:pre-approval'/>" + sm); err != nil {
		return err
	}
	for {
		n, err := k.next()
		if err != nil {
			return err
		}
		if err := k.stanza(n); err != nil {
			return err
		}
	}
}

func (k *conn) encrypt() error {
	if k.s.DirectTLS {
		return k.tls()
	}
	features := "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
	if k.s.NoTLS {
		features = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
	}
	if err := k.open(features); err != nil {
		return err
	}
	n, err := k.next()
	if err != nil || n.XMLName.Local != "starttls" {
		return errQuit
	}
	// Written before TLS begins: the client may not see it in the clear stream's decoder only.
	if _, err := k.raw.Write([]byte("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")); err != nil {
		return err
	}
	return k.tls()
}

func sasl(name, data string) string {
	return "<" + name + " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + data + "</" + name + ">"
}

func (k *conn) auth() error {
	n, err := k.next()
	for err == nil && n.XMLName.Local == "iq" {
		k.register(n)
		n, err = k.next()
	}
	if err != nil {
		return err
	}
	data, _ := base64.StdEncoding.DecodeString(n.Content)
	mech := attr(n, "mechanism")
	if !slices.Contains(k.s.Mechanisms, mech) {
		k.write(sasl("failure", "<invalid-mechanism/>"))
		return errQuit
	}
	if mech == "PLAIN" {
		p := strings.Split(string(data), "\x00")
		if a := k.account(p[1]); len(p) == 3 && a != nil && a.password == p[2] {
			k.user = p[1]
			k.write(sasl("success", ""))
			return nil
		}
		k.write(sasl("failure", "<not-authorized/><text>Wrong.</text>"))
		return errQuit
	}
	return k.scram(map[string]func() hash.Hash{"SCRAM-SHA-1": sha1.New, "SCRAM-SHA-256": sha256.New, "SCRAM-SHA-512": sha512.New}[mech], string(data))
}

func (k *conn) account(name string) *account {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	return k.s.accounts[name]
}

func (k *conn) scram(h func() hash.Hash, first string) error {
	bare := strings.TrimPrefix(first, "n,,")
	parts := strings.Split(bare, ",")
	user, nonce := strings.TrimPrefix(parts[0], "n="), strings.TrimPrefix(parts[1], "r=")+rand.Text()
	password := "no such account"
	if a := k.account(user); a != nil {
		password = a.password
	}
	salt := []byte("salt of " + user)
	challenge := "r=" + nonce + ",s=" + base64.StdEncoding.EncodeToString(salt) + ",i=" + strconv.Itoa(k.s.Iterations)
	k.write(sasl("challenge", base64.StdEncoding.EncodeToString([]byte(challenge))))
	n, err := k.next()
	if err != nil {
		return err
	}
	data, _ := base64.StdEncoding.DecodeString(n.Content)
	final, proof, _ := strings.Cut(string(data), ",p=")
	salted, err := pbkdf2.Key(h, password, salt, k.s.Iterations, h().Size())
	if err != nil {
		return err
	}
	mac := func(key []byte, text string) []byte { m := hmac.New(h, key); m.Write([]byte(text)); return m.Sum(nil) }
	key := mac(salted, "Client Key")
	stored := h()
	stored.Write(key)
	auth := bare + "," + challenge + "," + final
	want := mac(stored.Sum(nil), auth)
	for i := range want {
		want[i] ^= key[i]
	}
	if proof != base64.StdEncoding.EncodeToString(want) {
		k.write(sasl("failure", "<not-authorized/>"))
		return errQuit
	}
	if k.s.WrongProof {
		salted[0]++
	}
	k.user = user
	k.write(sasl("success", base64.StdEncoding.EncodeToString([]byte("v="+base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), auth))))))
	return nil
}

// stanza handles one element after log-in.
func (k *conn) stanza(n *stanza.Node) error {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	a := k.s.accounts[k.user]
	switch {
	case n.XMLName.Space == nsSM && (k.x != nil || n.XMLName.Local == "resume"):
		k.managed(a, n)
	case k.x == nil:
		b := child(n, "urn:ietf:params:xml:ns:xmpp-bind", "bind")
		if b == nil {
			return errQuit
		}
		res := "r"
		if c := child(b, b.XMLName.Space, "resource"); c != nil {
			res = c.Content
		}
		if old := a.sessions[res]; old != nil {
			if old.k != nil {
				old.k.write("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
				old.k.x = nil
			}
			k.s.drop(a, old)
		}
		k.x = &session{s: k.s, user: k.user, res: res, k: k, prio: -128}
		a.sessions[res] = k.x
		k.write(fmt.Sprintf("<iq type='result' id='%s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>%s</jid></bind></iq>", attr(n, "id"), k.x.full()))
	default:
		k.x.in++
		n.Attrs = set(n.Attrs, "from", k.x.full())
		k.s.handle(a, k.x, n)
		if k.s.lose && n.XMLName.Local == "message" && child(n, stanza.NSClient, "body") != nil {
			k.s.lose, k.x.sm = false, false
			k.lose()
		}
	}
	return nil
}

// lose cuts the line before what was not written yet.
func (k *conn) lose() {
	k.mu.Lock()
	k.muted = true
	k.mu.Unlock()
	k.raw.Close()
}

func (k *conn) managed(a *account, n *stanza.Node) {
	switch n.XMLName.Local {
	case "enable":
		k.s.serial++
		k.x.sm, k.x.id = true, fmt.Sprint("sm", k.s.serial)
		k.write("<enabled xmlns='urn:xmpp:sm:3' resume='true' id='" + k.x.id + "'/>")
	case "r":
		k.write(fmt.Sprintf("<a xmlns='urn:xmpp:sm:3' h='%d'/>", k.x.in))
	case "a":
		h, _ := strconv.Atoi(attr(n, "h"))
		k.x.ack(h)
	case "resume":
		for _, x := range a.sessions {
			if x.sm && x.id == attr(n, "previd") {
				h, _ := strconv.Atoi(attr(n, "h"))
				if h < x.acked {
					k.raw.Close() // as Prosody does
					return
				}
				if x.k != nil { // nothing that it still reads may count once h is told
					x.k.raw.Close()
					x.k.x = nil
				}
				x.k, k.x = k, x
				x.ack(h)
				if k.s.loseResumed {
					k.s.loseResumed = false
					k.lose()
					return
				}
				k.write(fmt.Sprintf("<resumed xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>", x.id, x.in))
				for _, o := range x.unacked {
					k.write(o)
				}
				return
			}
		}
		k.write("<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>")
	}
}
