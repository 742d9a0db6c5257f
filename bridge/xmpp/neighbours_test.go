package xmpp

import (
	"testing"
	"testing/synctest"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// TestNeighbourAway: what another box can't take now waits, one message asks whether
// it is back, and what was said meanwhile follows in order, once that is there.
func TestNeighbourAway(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.home.set(func() { p.home.settings[im.Boxes] = "chat.test" })
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Online}})
		p.befriend()
		say := func(text string) { p.handle(im.Message{ID: "out-" + text, Conv: "bob@chat.test", Text: text}) }
		heard := func() (texts []string) {
			for _, n := range hears(p.bob, "message") {
				if text := stream.Text(n, stanza.NSClient, "body"); text != "" {
					texts = append(texts, text)
				}
			}
			return texts
		}
		refuse := func(text string) {
			p.bob.Send("<message type='error' id='out-" + text + "' to='" + aliceThere + "'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
			synctest.Wait()
		}
		take := func(text string) {
			p.bob.Send("<message to='" + aliceThere + "'><received xmlns='" + nsReceipts + "' id='out-" + text + "'/></message>")
			synctest.Wait()
		}
		say("1")
		say("2")
		say("3")
		equal(t, "before anything is known", heard(), "[1]")
		take("1")
		equal(t, "it is there", heard(), "[2 3]")
		refuse("2")
		say("4")
		equal(t, "the second did not arrive", heard(), "[]")
		take("3")
		for range 3 { // asks in vain
			pass(2 * overdue)
			equal(t, "the first that is owed", heard(), "[2]")
			refuse("2")
			equal(t, "failed", len(of[im.Message](p.events())), 0)
		}
		say("5")
		pass(2 * overdue)
		equal(t, "again", heard(), "[2]")
		take("2")
		equal(t, "all that waited", heard(), "[4 5]")
		take("4")
		say("6")
		equal(t, "nothing stands against it any more", heard(), "[6]")
		take("5")
		take("6")
		pass(3 * overdue)
		equal(t, "nothing is owed", heard(), "[]")
	})
}
