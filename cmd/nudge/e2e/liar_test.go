package e2e

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// lies are what a stranger on the same server sends: $ME is the account that he sends
// it to, $BOB its contact, $DEVICE the address of the box's own stream, $ID a message
// that the account sent to bob. No word of it is to be heard, nothing is to come of it.
// What else the package tests send (bridge/xmpp, TestHostile), no server lets through:
// stanzas in another's name, with none, or of no kind.
var lies = map[string]string{
	"foreign child":     "<message type='chat' to='$ME'><x xmlns='urn:evil'><body>evil</body></x><body xmlns='urn:evil'>evil</body></message>",
	"nested stanza":     "<message type='chat' to='$ME'><x xmlns='urn:any'>" + spoof + "</x>" + spoof + "</message>",
	"deep":              "<message type='chat' to='$ME'>" + strings.Repeat("<a xmlns='urn:a'>", 500) + "evil" + strings.Repeat("</a>", 500) + "</message>",
	"many":              "<message type='chat' to='$ME'>" + strings.Repeat("<b xmlns='b'/>evil", 5000) + "</message>",
	"sent carbon":       "<message to='$ME'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' from='$ME' to='$BOB'><body>evil</body></message></forwarded></sent></message>",
	"received carbon":   "<message to='$DEVICE'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>" + spoof + "</forwarded></received></message>",
	"archive result":    "<message to='$DEVICE'><result xmlns='urn:xmpp:mam:2' queryid='1' id='1'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>" + spoof + "</forwarded></result></message>",
	"forwarded":         "<message type='chat' to='$ME'><forwarded xmlns='urn:xmpp:forward:0'>" + spoof + "</forwarded></message>",
	"roster push":       "<iq type='set' id='p1' to='$DEVICE'><query xmlns='jabber:iq:roster'><item jid='eve@evil.test' subscription='both'/><item jid='$BOB' subscription='remove'/></query></iq>",
	"block push":        "<iq type='set' id='p2' to='$DEVICE'><block xmlns='urn:xmpp:blocking'><item jid='$BOB'/></block></iq>",
	"bookmark":          "<message to='$ME'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:bookmarks:1'><item id='trap@muc.evil.test'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'/></item></items></event></message>",
	"answer":            "<iq type='result' id='x' to='$DEVICE'/>",
	"question":          "<iq type='get' id='q' to='$DEVICE'><query xmlns='urn:evil'/></iq>",
	"presence":          "<presence to='$ME'><show>dnd</show><status>evil</status></presence>",
	"room's presence":   "<presence to='$ME'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='none'/><status code='110'/></x></presence>",
	"room's message":    "<message type='groupchat' to='$DEVICE'><body>evil</body></message>",
	"failure":           "<message type='error' id='$ID' to='$DEVICE'><body>evil</body><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
	"receipt":           "<message to='$ME'><received xmlns='urn:xmpp:receipts' id='$ID'/></message>",
	"correction":        "<message type='chat' to='$ME'><replace xmlns='urn:xmpp:message-correct:0' id='$ID'/></message>",
	"10 MB":             "<message type='chat' to='$ME'><x xmlns='urn:evil'>" + strings.Repeat("evil", 10<<18) + "</x></message>",
	"another's message": "<message type='chat' from='$BOB' to='$ME'><x xmlns='urn:evil'/></message>",
}

const spoof = "<message xmlns='jabber:client' from='$BOB/phone' to='$ME' type='chat'><body>evil</body></message>"

// TestLiar has somebody at the server tell the account lies, by way of real servers:
// the client hears and sees nothing of it, its lists stay as they are, and no stream
// ends but the liar's. What the server keeps of it does no harm later. A witness gets
// the same first, to show that it arrives.
func TestLiar(t *testing.T) {
	for _, kind := range []string{"prosody", "ejabberd"} {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			s := ownServer(t, kind, true)
			t.Run("own account", func(t *testing.T) {
				line := newProxy(t, s.Addr())
				sc := newScene(t, msnclient.MSNP8, s, line.Addr)
				sc.again(t, "NLN")
				sc.lied(t, line)
			})
			t.Run("component", func(t *testing.T) {
				line := newProxy(t, loopback(s.settings.Component))
				sc := newComponentScene(t, s, msnclient.MSNP12, line.Addr)
				sc.box.cli(t, "gateway", "set", "xmpp", "accept_from", "anyone")
				sc.stepAcquaint(t)
				sc.lied(t, line)
			})
		})
	}
}

// lied tells all the lies. line is what the box has to its server.
func (sc *scene) lied(t *testing.T, line *proxy) {
	ctx, bob := waiting(t, 4*patience), sc.bob.(*xmppPeer)
	mark := bob.Mark()
	check(t, sc.chat(t).Send(ctx, "do you believe that"))
	asked, err := bob.find(ctx, mark, func(e peerEvent) bool { return e.Ev == "msg" && e.Frm == sc.me.ID })
	check(t, err)
	device := regexp.MustCompile(`from="([^"]*)"`).FindStringSubmatch(asked.XML)
	if device == nil || !strings.Contains(device[1], "/") {
		t.Fatalf("no full address in %s", asked.XML)
	}
	fill := strings.NewReplacer("$ME", sc.me.ID, "$BOB", bob.me.ID, "$DEVICE", device[1], "$ID", asked.ID)
	streams, lists := len(line.Sent()), sc.lists
	liar, witness := newPerson(t, sc.server, "eve"), joinPlain(t, newPerson(t, sc.server, "will"))
	toWitness := strings.NewReplacer("$ME", witness.me.ID, "$BOB", bob.me.ID, "$DEVICE", witness.me.ID+"/plain", "$ID", asked.ID)
	eve, n := joinPlain(t, liar), 0
	for _, name := range slices.Sorted(maps.Keys(lies)) {
		n++
		at := witness.len()
		stopped := eve.tell(toWitness.Replace(lies[name]), fmt.Sprint("to the witness ", n)) != nil
		if stopped {
			eve = joinPlain(t, liar)
		}
		check(t, witness.tell("", fmt.Sprint("witness ", n)))
		if came := witness.len() - at - 1; stopped == (came > 0) {
			t.Errorf("%s: the server lets %d through, and ends the stream: %v", name, came, stopped)
		}
		if eve.tell(fill.Replace(lies[name]), fmt.Sprint("after", n)) != nil {
			t.Logf("%s: %s ends the liar's stream", name, sc.server.Kind)
			eve = joinPlain(t, liar)
		}
		from, text := sc.client.Log.Len(), fmt.Sprintf("honest %d", n)
		check(t, bob.Say(ctx, text))
		_, err := sc.hears(ctx, from, bob.me, text)
		check(t, err)
		if len(line.Sent()) != streams {
			t.Fatalf("%s: the box had to connect anew", name)
		}
	}
	sc.unmoved(t, 0)
	sc.again(t, "NLN")
	check(t, sc.sees(ctx, 0, bob.me, "NLN"))
	for who, c := range sc.lists.Contacts {
		if was := lists.Contacts[who]; !reflect.DeepEqual(c, was) && who != "assistant@nudge.local" { // which may have come since
			t.Errorf("%s became %+v, was %+v", who, c, was)
		}
	}
	check(t, sc.box.Kill())
	check(t, sc.box.Start())
	sc.again(t, "NLN")
	sc.talk(t, "after all")
	sc.unmoved(t, 0)
	sc.client.Close()
}

// unmoved looks whether the client was told anything that a lie says.
func (sc *scene) unmoved(t *testing.T, from int) {
	t.Helper()
	for _, e := range sc.client.Log.Since(from) {
		if s := e.Line + string(e.Body); strings.Contains(s, "evil") || strings.Contains(s, "Not delivered") {
			t.Errorf("the client is told %s\n%s", e.Line, e.Body)
		}
	}
}

// tell sends a stanza and returns when the server has dealt with it; an error is the
// end of the stream.
func (x *plainXMPP) tell(stanza, id string) error {
	from := x.len()
	if err := x.write(stanza + "<iq type='get' id='" + id + "' to='" + x.me.server.Domain + "'><ping xmlns='urn:xmpp:ping'/></iq>"); err != nil {
		return err
	}
	_, err := x.find(from, func(e element) bool { return e.ID == id })
	return err
}
