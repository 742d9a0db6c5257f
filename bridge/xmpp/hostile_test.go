package xmpp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/xmpptest"
)

// spoof is what a stanza carries that is meant to be taken for another's.
const spoof = "<message xmlns='jabber:client' from='carl@chat.test' to='%[2]s' type='chat'><body>evil</body></message>"

const large = 100_000

// hostile are what a stranger can make others receive: %[1]s is who he says that he is
// and whom he writes to, %[2]s the address of the latter. No word of it is to be heard.
var hostile = map[string]string{
	"a foreign child":         "<message %[1]s><x xmlns='urn:evil'><body>evil</body></x><body xmlns='urn:evil'>evil</body></message>",
	"a nested stanza":         "<message %[1]s><x xmlns='urn:any'>" + spoof + "</x>" + spoof + "</message>",
	"nested in its own space": "<message %[1]s><x xmlns='urn:any'><message xmlns='jabber:component:accept'><body>evil</body></message></x></message>",
	"deep":                    "<message %[1]s>" + strings.Repeat("<a>", 5000) + "evil" + strings.Repeat("</a>", 5000) + "</message>",
	"many":                    "<message %[1]s>" + strings.Repeat("<b/>evil", 70_000) + "</message>",
	"10 MB":                   "<message %[1]s><body>evil" + strings.Repeat("x", 10<<20) + "</body></message>",
	"2 MB of attributes":      "<message " + strings.Repeat("evil='x' ", 1<<18) + "%[1]s><body>evil</body></message>",
	"a sent carbon":           "<message %[1]s><sent xmlns='" + nsCarbons + "'><forwarded xmlns='" + nsForward + "'><message xmlns='jabber:client' from='%[2]s' to='bob@chat.test'><body>evil</body></message></forwarded></sent></message>",
	"a received carbon":       "<message %[1]s><received xmlns='" + nsCarbons + "'><forwarded xmlns='" + nsForward + "'>" + spoof + "</forwarded></received></message>",
	"an archive result":       "<message %[1]s><result xmlns='" + nsMAM + "' queryid='1' id='1'><forwarded xmlns='" + nsForward + "'>" + spoof + "</forwarded></result></message>",
	"forwarded":               "<message %[1]s><forwarded xmlns='" + nsForward + "'>" + spoof + "</forwarded></message>",
	"a roster push":           "<iq type='set' id='p1' %[1]s><query xmlns='jabber:iq:roster'><item jid='eve@evil.test' subscription='both'/></query></iq>",
	"a block push":            "<iq type='set' id='p2' %[1]s><block xmlns='" + nsBlocking + "'><item jid='bob@chat.test'/></block></iq>",
	"a bookmark":              "<message %[1]s><event xmlns='" + nsPubSubEvent + "'><items node='" + nsBookmarks + "'><item id='trap@muc.evil.test'><conference xmlns='" + nsBookmarks + "' autojoin='true'/></item></items></event></message>",
	"a tune":                  "<message type='headline' %[1]s><body>evil</body><event xmlns='" + nsPubSubEvent + "'><items node='" + nsTune + "'><item><tune xmlns='" + nsTune + "'><title>evil</title></tune></item></items></event></message>",
	"a picture":               "<message %[1]s><event xmlns='" + nsPubSubEvent + "'><delete node='" + nsAvatar + "'/><items node='" + nsAvatar + "'/></event></message>",
	"an answer":               "<iq type='result' id='x' %[1]s/>",
	"no payload":              "<iq type='get' %[1]s/>",
	"a presence":              "<presence %[1]s><show>dnd</show></presence>",
	"a room's presence":       "<presence %[1]s><x xmlns='" + nsMUCUser + "'><status code='110'/></x></presence>",
	"a room's message":        "<message type='groupchat' %[1]s><body>evil</body></message>",
	"a failure":               "<message type='error' id='nudge-0' %[1]s><body>evil</body><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
	"no stanza":               "<what xmlns='urn:x' %[1]s/>",
	"a sequence":              "<a xmlns='urn:xmpp:sm:3' h='4000000000' %[1]s/>",
}

// TestHostile sends all that to an own account, by which it ends no stream and puts
// nothing into another's mouth.
func TestHostile(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.events()
		for _, name := range slices.Sorted(maps.Keys(hostile)) {
			text := hostile[name]
			if name == "a sequence" {
				continue // what counts stanzas comes from the server only, and ends the stream
			}
			for _, from := range []string{"eve@evil.test/x", "evil.test", "eve@chat.test/x"} {
				if len(text) > large && from != "eve@evil.test/x" {
					continue // once will do
				}
				s.srv.Push("alice", fmt.Sprintf(text, "from='"+from+"' to='alice@chat.test'", "alice@chat.test"))
			}
			s.bobSays("still here")
			unmoved(s, name)
		}
	})
}

// TestComponentHostile sends it to an account on a component, and what has no address
// or another's: servers see to that, but the stream has to live on.
func TestComponentHostile(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.befriend()
		for _, name := range slices.Sorted(maps.Keys(hostile)) {
			text := hostile[name]
			for _, from := range []string{"from='eve@evil.test/x' to='" + aliceThere + "'", "to='" + aliceThere + "'", "from='bob@chat.test'", "from='a b@@' to='" + aliceThere + "'",
				"from='eve@evil.test' to='alice@other.test'", "from='eve@evil.test' to='msn.chat.test'", "from='bob@msn.chat.test' to='" + aliceThere + "'"} {
				if len(text) > large && !strings.HasPrefix(from, "from='eve@evil.test/x'") {
					continue
				}
				p.srv.PushComponent(fmt.Sprintf(text, from, aliceThere))
			}
			p.bob.Send("<message type='chat' to='" + aliceThere + "'><body>still here</body></message>")
			unmoved(&p.scene, name)
		}
	})
}

// unmoved looks whether nothing but bob's words came of it. The liar may say of himself
// what he wants: he is no contact, and was sent nothing.
func unmoved(s *scene, name string) {
	s.Helper()
	ev := slices.DeleteFunc(s.events(), func(ev im.Event) bool {
		who := ""
		switch ev := ev.(type) {
		case im.PresenceChanged:
			who = ev.Who.ID
		case im.Receipt:
			who = ev.Conv
		}
		return strings.HasSuffix(who, "evil.test") || who == "eve@chat.test"
	})
	if got := said(ev); fmt.Sprint(got) != "[still here]" || len(ev) != 1 {
		s.Errorf("%s: %q among %+v", name, got, ev)
	}
}

// TestImpostor cuts the line of a link whose server takes the password itself, and lets
// somebody else answer who would like to have it.
func TestImpostor(t *testing.T) {
	const (
		hello   = "<?xml version='1.0'?><stream:stream id='1' from='chat.test' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
		plain   = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
		offer   = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
		proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
		failed  = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	)
	for name, script := range map[string][]string{
		"offers no encryption": {hello + plain}, "refuses to encrypt": {hello + offer, failed + plain}, "goes on in clear": {hello + offer, proceed + hello + plain},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, err := xmpptest.New(xmpptest.Options{Mechanisms: []string{"PLAIN"}})
				if err != nil {
					t.Fatal(err)
				}
				defer srv.Close()
				ca := filepath.Join(t.TempDir(), "ca.pem")
				if err := os.WriteFile(ca, srv.CA(), 0o600); err != nil {
					t.Fatal(err)
				}
				srv.Peer("alice", "pc")
				evil := &impostor{script: script}
				dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
					if c := evil.answer(); c != nil {
						return c, nil
					}
					return srv.Dial(ctx, network, addr)
				}
				n := &Network{log: slog.New(slog.DiscardHandler), dial: dial}
				login := im.Login{User: alice, Host: &desk{kv: map[string]string{}, settings: map[string]string{}},
					Fields: map[string]string{"jid": "alice@chat.test", "password": "pw-alice", "server": "here:5222", "ca": ca, "plain": "yes"}}
				l, err := n.Connect(t.Context(), login)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				evil.begin()
				srv.Cut()
				var lost *im.Lost
				if err := l.Wait(); !errors.As(err, &lost) {
					t.Fatalf("the link ended with %v", err)
				}
				if _, err := n.Connect(t.Context(), login); !errors.As(err, &lost) {
					t.Errorf("connected anew: %v", err)
				}
				evil.wg.Wait()
				secret := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00pw-alice"))
				if heard := evil.heard.String(); evil.calls < 2 || strings.Contains(heard, "pw-alice") || strings.Contains(heard, secret) || strings.Contains(heard, "<auth") {
					t.Errorf("in %d calls the impostor heard %q", evil.calls, heard)
				}
			})
		})
	}
}

// impostor answers in a server's place, each time with the same script: a part of it
// after each piece that it hears.
type impostor struct {
	script []string

	mu    sync.Mutex
	on    bool
	calls int
	heard bytes.Buffer
	wg    sync.WaitGroup
}

func (e *impostor) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.on = true
}

// answer is nil until it begins.
func (e *impostor) answer() net.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.on {
		return nil
	}
	e.calls++
	mine, theirs := net.Pipe()
	e.wg.Go(func() { e.talk(theirs) })
	return mine
}

func (e *impostor) talk(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 64<<10)
	for i := 0; ; i++ {
		n, err := c.Read(buf)
		e.mu.Lock()
		e.heard.Write(buf[:n])
		e.mu.Unlock()
		if err != nil {
			return
		}
		if i < len(e.script) {
			if _, err := c.Write([]byte(e.script[i])); err != nil {
				return
			}
		}
	}
}
