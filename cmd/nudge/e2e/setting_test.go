package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// set changes a setting of the box's link.
func (sc *scene) set(t *testing.T, network, key, value string) {
	t.Helper()
	sc.box.cli(t, "link", "set", aliceHandle, network, key, value)
}

// settled waits until the client has proved all it was given: what the network is told
// of that is on its way then. Setting something puts on disk what is not there yet.
func (sc *scene) settled(t *testing.T, network string) {
	t.Helper()
	sc.set(t, network, "reactions", "yes")
	check(t, eventually(patience, func() error {
		var users []struct{ Waiting int }
		check(t, json.Unmarshal([]byte(sc.box.cli(t, "user", "list", "--json")), &users))
		if users[0].Waiting != 0 {
			return fmt.Errorf("%d messages wait", users[0].Waiting)
		}
		return nil
	}))
}

// receiptsOff asks for receipt and marker twice, and gets those of the second message
// only: for the first they were turned off.
func (sc *roomScene) receiptsOff(t *testing.T) {
	mark := sc.bob.Mark()
	ask := func(id string) {
		t.Helper()
		from := sc.client.Log.Len()
		sc.raw(t, "<message type='chat' to='$ME' id='"+id+"'><body>answer to "+id+"</body><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>")
		_, err := sc.hears(waiting(t, patience), from, sc.bob.me, "answer to "+id)
		check(t, err)
	}
	sc.set(t, "xmpp", "receipts", "no")
	sc.set(t, "xmpp", "markers", "no")
	ask("off1")
	sc.settled(t, "xmpp")
	sc.set(t, "xmpp", "receipts", "yes")
	sc.set(t, "xmpp", "markers", "yes")
	ask("off2")
	_, err := sc.bob.find(waiting(t, patience), mark, func(e peerEvent) bool { return e.Ev == "receipt" && e.ID == "off2" })
	check(t, err)
	check(t, sc.gets(waiting(t, patience), mark, "urn:xmpp:chat-markers:0", "off2"))
	events, _ := sc.bob.since(mark)
	for _, e := range events {
		if e.Ev == "receipt" && e.ID == "off1" || strings.Contains(e.XML, "off1") && strings.Contains(e.XML, "<displayed") {
			t.Errorf("bob gets %s %s", e.Ev, e.XML)
		}
	}
}

// receiptsOff lets bob see a read marker for the second message only: for the first
// they were turned off.
func (m *matrixScene) receiptsOff(t *testing.T) {
	mark := m.bob.Mark()
	say := func(text string) string {
		t.Helper()
		from := m.client.Log.Len()
		id := m.put(t, m.theirs, "m.room.message", `{"msgtype":"m.text","body":"`+text+`"}`)
		m.shows(t, from, text)
		return id
	}
	read := func(e peerEvent, id string) bool {
		return e.Ev == "receipt" && slices.ContainsFunc(e.Receipts, func(r peerReceipt) bool { return r.ID == id && r.User == m.me.ID })
	}
	m.set(t, "matrix", "receipts", "off")
	first := say("read in secret")
	m.settled(t, "matrix")
	m.set(t, "matrix", "receipts", "public")
	second := say("read for all to see")
	_, err := m.bob.find(waiting(t, patience), mark, func(e peerEvent) bool { return read(e, second) })
	check(t, err)
	events, _ := m.bob.since(mark)
	if slices.ContainsFunc(events, func(e peerEvent) bool { return read(e, first) }) {
		t.Error("bob is told that the first was read")
	}
}

// roomHistory says more in a room, while the account is not in it, than its setting
// lets through.
func (sc *roomScene) roomHistory(t *testing.T) {
	sc.join(t)
	ctx, mark, from := waiting(t, 2*patience), sc.bob.Mark(), sc.client.Log.Len()
	sc.set(t, "xmpp", "history", "10")
	check(t, sc.client.SetStatus(ctx, "HDN"))
	_, err := sc.bob.find(ctx, mark, func(e peerEvent) bool {
		return e.Ev == "occupant" && e.Room == sc.room.ID && e.Frm == sc.me.User && e.Type == "unavailable"
	})
	check(t, err)
	for i := range 13 {
		check(t, sc.bob.tellAll(ctx, sc.room, fmt.Sprintf("meanwhile %d.", i)))
	}
	check(t, sc.client.SetStatus(ctx, "NLN"))
	var texts []string
	_, err = sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		text, _ := e.Text()
		if strings.Contains(text, "meanwhile ") || strings.Contains(text, "more was said here before this") {
			texts = append(texts, text)
		}
		return strings.Contains(text, "meanwhile 12.")
	})
	check(t, err)
	if len(texts) != 11 || !strings.Contains(texts[0], "more was said") || !strings.Contains(texts[1], "meanwhile 3.") {
		t.Errorf("the client shows %q", texts)
	}
	sc.set(t, "xmpp", "history", "50")
}
