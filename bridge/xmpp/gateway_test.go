package xmpp

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/im/imtest"
	"nudge/bridge/xmpp/stream"
	"nudge/bridge/xmpp/xmpptest"
)

func gateway(srv *xmpptest.Server) *Gateway {
	return &Gateway{log: slog.New(slog.DiscardHandler), dial: srv.DialComponent}
}

func componentFields() map[string]string {
	return map[string]string{"jid": "msn.chat.test", "secret": xmpptest.Secret, "server": "here"}
}

// componentRig is the component with contacts at its server. Nobody keeps messages
// for a component: the peer sends again what he got no receipt for, as careful
// clients do, and the contacts' clients show a message that comes again with its
// id once.
func componentRig(t *testing.T) imtest.Rig {
	srv, _ := testServer(t, xmpptest.Options{})
	alice := im.Addr{ID: "alice@hotmail.com"}
	const jid = `alice\40hotmail.com@msn.chat.test`
	heard := make(chan *stanza.Node, 10_000)
	contact := func(name string) im.Addr {
		srv.AddUser(name)
		srv.PeerInto(name, "pc", heard)
		return im.Addr{Net: Name, ID: name + "@chat.test"}
	}
	others := []im.Addr{contact("carol"), contact("dave"), contact("erin")}
	srv.AddUser("eve")
	bob := srv.PeerInto("bob", "pc", heard)
	eve := srv.Peer("eve", "pc")
	said, seen := 0, map[string]bool{}
	bad := componentFields()
	bad["secret"] = "wrong"
	return imtest.Rig{
		Network: gateway(srv), Name: Name, Fields: componentFields(), Settings: map[string]string{},
		Account: alice, Shared: true, Contact: im.Addr{Net: Name, ID: "bob@chat.test"}, Others: others,
		Say: func(text string) error {
			said++
			bob.Send(fmt.Sprintf("<message type='chat' to='%s' id='message-%d'><body>%s</body><request xmlns='%s'/></message>", jid, said, escape(text), nsReceipts))
			return nil
		},
		Hear: func(ctx context.Context) (string, error) {
			for {
				select {
				case n := <-heard:
					b, id := stream.Child(n, stanza.NSClient, "body"), stream.Attr(n, "to")+stream.Attr(n, "id")
					if n.XMLName.Local != "message" || b == nil || seen[id] {
						continue
					}
					seen[id] = true
					return b.Content, nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
		},
		Ask: func(note string) (im.Addr, error) {
			eve.Send("<presence type='subscribe' to='" + jid + "'><status>" + escape(note) + "</status></presence>")
			return im.Addr{Net: Name, ID: "eve@chat.test"}, nil
		},
		Cut:     func() error { srv.Cut(); return nil },
		LoseAck: func() error { srv.LoseAck(); return nil },
		Stall:   func(on bool) error { srv.Stall(on); return nil },
		Nobody:  "nobody@nowhere.invalid",
		Known:   "known@chat.test",
		Denied:  bad,
		Absent:  map[string]string{"Answers": "a person does not answer by himself"},
	}
}

func TestComponentConformance(t *testing.T) {
	imtest.Run(t, componentRig)
}

func TestAddresses(t *testing.T) {
	for h, local := range map[string]string{
		"alice@hotmail.com": `alice\40hotmail.com`, "o'brien@x.y": `o\27brien\40x.y`, "a/b:c&d@e": `a\2fb\3ac\26d\40e`, "plain": "plain",
	} {
		j := address(h, "msn.x")
		if j.Local != local || handle(j) != h {
			t.Errorf("%s: %s, back %s", h, j, handle(j))
		}
		if p, err := stream.ParseJID(j.String()); err != nil || p != j {
			t.Errorf("%s is not an address: %v %v", j, p, err)
		}
	}
}

func TestWelcome(t *testing.T) {
	for _, c := range []struct {
		from, policy, list string
		ok                 bool
	}{
		{"bob@chat.test", "", "", true}, {"bob@chat.test", fromContacts, "", false}, {"bob@other.test", fromHomeserver, "", false},
		{"bob@evilchat.test", fromHomeserver, "", false}, {"bob@other.test", fromAnyone, "", true}, {"bob@sub.chat.test", "", "", false},
		{"bob@chat.test/pc", fromList, "eve@x, bob@chat.test", true}, {"eve@chat.test", fromList, "bob@chat.test", false},
		{"eve@chat.test", fromList, "other.test chat.test", true}, {"eve@chat.test", fromList, "", false}, {"eve@chat.test", "nonsense", "", false},
	} {
		j, err := stream.ParseJID(c.from)
		if err != nil {
			t.Fatal(err)
		}
		if welcome(j, "msn.chat.test", c.policy, c.list) != c.ok {
			t.Errorf("%+v", c)
		}
	}
}

func TestComponentErrors(t *testing.T) {
	srv, _ := testServer(t, xmpptest.Options{})
	for _, c := range []struct {
		key, value string
		class      im.LostClass
		says       string
	}{
		{"secret", "wrong", im.Credentials, "secret"},
		{"jid", "other.test", im.Forbidden, "no component of the name"},
		{"jid", "a@b", im.Forbidden, "must look like"},
		{"server", "x:y", im.Forbidden, "host:port"},
	} {
		f := componentFields()
		f[c.key] = c.value
		_, err := gateway(srv).Connect(t.Context(), im.Login{Fields: f})
		if l := lost(err); l.Class != c.class || !strings.Contains(l.Text, c.says) {
			t.Errorf("%s %s: %d %s", c.key, c.value, l.Class, l.Text)
		}
	}
	srv.Down(true)
	if _, err := gateway(srv).Connect(t.Context(), im.Login{Fields: componentFields()}); lost(err).Class != im.Retry {
		t.Error(err)
	}
}
