package xmpp

import (
	"context"
	"encoding/xml"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/im/imtest"
	"nudge/bridge/xmpp/stream"
	"nudge/bridge/xmpp/xmpptest"
)

func testServer(t *testing.T, o xmpptest.Options) (*xmpptest.Server, map[string]string) {
	t.Helper()
	srv, err := xmpptest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, srv.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv, map[string]string{"jid": "Alice@chat.test", "password": "pw-alice", "server": "here:5222", "ca": ca}
}

func rig(t *testing.T, o xmpptest.Options) imtest.Rig {
	srv, fields := testServer(t, o)
	heard := make(chan *stanza.Node, 10_000)
	contact := func(name string) im.Addr {
		srv.AddUser(name)
		srv.Sub("alice", name, "both")
		srv.PeerInto(name, "pc", heard)
		return im.Addr{Net: Name, ID: name + "@chat.test"}
	}
	others := []im.Addr{contact("carol"), contact("dave"), contact("erin")}
	srv.AddUser("eve")
	srv.AddUser("known")
	srv.Sub("alice", "bob", "both")
	bob := srv.PeerInto("bob", "pc", heard)
	eve := srv.Peer("eve", "pc")
	said := 0
	return imtest.Rig{
		Network:  &Network{log: slog.New(slog.DiscardHandler), dial: srv.Dial},
		Name:     Name,
		Fields:   fields,
		Settings: map[string]string{},
		Account:  im.Addr{ID: "alice@hotmail.com"},
		Contact:  im.Addr{Net: Name, ID: "bob@chat.test"},
		Others:   others,
		Say: func(text string) error {
			said++
			bob.Send("<message type='chat' to='alice@chat.test' id='s" + string(rune('a'+said%26)) + "'><body>" + escape(text) + "</body></message>")
			return nil
		},
		Hear: func(ctx context.Context) (string, error) {
			for {
				select {
				case n := <-heard:
					if b := stream.Child(n, stanza.NSClient, "body"); n.XMLName.Local == "message" && b != nil {
						return b.Content, nil
					}
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
		},
		Ask: func(note string) (im.Addr, error) {
			eve.Send("<presence type='subscribe' to='alice@chat.test'><status>" + escape(note) + "</status></presence>")
			return im.Addr{Net: Name, ID: "eve@chat.test"}, nil
		},
		Cut:     func() error { srv.Cut(); return nil },
		LoseAck: func() error { srv.LoseAck(); return nil },
		Stall:   func(on bool) error { srv.Stall(on); return nil },
		Nobody:  "nobody@nowhere.invalid",
		Known:   "known@chat.test",
		Denied:  map[string]string{"jid": "alice@chat.test", "password": "wrong", "server": "here:5222", "ca": fields["ca"]},
		Absent:  map[string]string{"Answers": "a person does not answer by himself"},
	}
}

func escape(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text))
	return b.String()
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]xmpptest.Options{
		"all":           {},
		"privacy lists": {Privacy: true},
		"no sm":         {NoSM: true},
		"unknown after": {UnknownAfterIsStart: true},
	} {
		t.Run(name, func(t *testing.T) {
			imtest.Run(t, func(t *testing.T) imtest.Rig { return rig(t, o) })
		})
	}
}
