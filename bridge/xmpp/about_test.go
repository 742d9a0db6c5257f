package xmpp

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
	"nudge/bridge/xmpp/xmpptest"
)

// TestAbout: what other messages are called in what is about them, for a person and
// in a room, now and on a later connection.
func TestAbout(t *testing.T) {
	r := newRefs()
	r.add("A1", "bob@b.test", "m1", false)
	r.add("nudge-1", "bob@b.test", "nudge-1", false)
	r.add(kitchen+"#s1", kitchen, "s1", false)
	r.saidBy(kitchen+"#s1", kitchen+"/Bob")
	r.saidBy("nobody", kitchen+"/Eve")
	r.add("nudge-2", kitchen, "s2", false)
	for _, c := range []struct {
		conv string
		kind im.RelKind
		to   string
		want target
	}{
		{"bob@b.test", im.Reply, "A1", target{"m1", "bob@b.test"}},
		{"bob@b.test", im.React, "A2", target{}},
		{"eve@b.test", im.React, "A1", target{}},
		{"bob@b.test", im.Edit, "nudge-1", target{name: "nudge-1"}},
		{"bob@b.test", im.Retract, "nudge-of-before", target{name: "nudge-of-before"}},
		{kitchen, im.Reply, kitchen + "#s1", target{"s1", kitchen + "/Bob"}},
		{kitchen, im.React, kitchen + "#of-before", target{name: "of-before"}},
		{kitchen, im.Edit, "nudge-2", target{name: "nudge-2"}},
		{kitchen, im.Retract, "nudge-2", target{name: "s2"}},
		{kitchen, im.Retract, "nudge-of-before", target{}},
		{kitchen, im.Edit, kitchen + "#s2", target{}}, // written on another device
	} {
		got := r.about(c.conv, im.Rel{Kind: c.kind, To: c.to})
		if c.conv == kitchen {
			got = r.aboutGroup(c.conv, im.Rel{Kind: c.kind, To: c.to})
		}
		if got != c.want {
			t.Errorf("%d of %s in %s is about %+v, want %+v", c.kind, c.to, c.conv, got, c.want)
		}
	}
	if len(r.by) != 1 {
		t.Errorf("authors of what is not known: %v", r.by)
	}
	m := im.Message{ID: "nudge-3", Conv: kitchen, Text: "yes", Rel: im.Rel{Kind: im.Reply, To: kitchen + "#s1", Quote: "soup?"}}
	p, err := composeGroup(m, kitchen, r.aboutGroup(kitchen, m.Rel))
	b, _ := xml.Marshal(p)
	for _, part := range []string{`type="groupchat"`, "<body>&gt; soup?&#xA;yes</body>", `<reply xmlns="urn:xmpp:reply:0" id="s1" to="` + kitchen + `/Bob">`, `start="0" end="8"`} {
		if err != nil || !strings.Contains(string(b), part) {
			t.Errorf("%s is not in %s (%v)", part, b, err)
		}
	}
}

// TestAnswered: who waits for the first receipt of a message is told, once.
func TestAnswered(t *testing.T) {
	s := newSends()
	s.add("o1", kitchen)
	if s.answered("o2") != nil {
		t.Error("nobody will tell of a message that is not known")
	}
	first, same := s.answered("o1"), s.answered("o1")
	s.furthers(im.Receipt{ID: "o1", Conv: kitchen, State: im.Sent})
	s.furthers(im.Receipt{ID: "o1", Conv: kitchen, State: im.Read})
	for _, c := range []<-chan struct{}{first, same} {
		select {
		case <-c:
		default:
			t.Error("the receipt came, and who waits is not told")
		}
	}
	if s.answered("o1") != nil {
		t.Error("there is something to wait for")
	}
}

// TestRelatedAfterReconnect: what the account says about earlier messages goes out
// over the next link too, and the copies that the archive has are no news.
func TestRelatedAfterReconnect(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.bobSays("zero", "one")
		theirs := of[im.Message](s.events())[1]
		mine := im.Message{ID: "nudge-1", Conv: theirs.Conv, Text: "yess", At: time.Now()}
		s.handle(mine)
		s.link.Close()
		s.events()
		s.connect()
		hears(s.bob, "message")
		for i, c := range []struct {
			m           im.Message
			space, elem string
			id          string
		}{
			{im.Message{Text: "👍", Rel: im.Rel{Kind: im.React, To: theirs.ID}}, nsReactions, "reactions", "id-one"},
			{im.Message{Text: "two", Rel: im.Rel{Kind: im.Reply, To: theirs.ID, Quote: "one"}}, nsReply, "reply", "id-one"},
			{im.Message{Text: "yes", Rel: im.Rel{Kind: im.Edit, To: mine.ID}}, nsCorrect, "replace", "nudge-1"},
			{im.Message{Rel: im.Rel{Kind: im.Retract, To: mine.ID}}, nsRetract, "retract", "nudge-1"},
		} {
			c.m.ID, c.m.Conv = fmt.Sprint("nudge-about-", i), theirs.Conv
			s.handle(c.m)
			n := hears(s.bob, "message")
			if len(n) != 1 || stream.Attr(stream.Child(n[0], c.space, c.elem), "id") != c.id {
				t.Errorf("%+v went out as %+v", c.m, n)
			}
		}
		s.link.Close()
		s.connect()
		equal(t, "said", said(s.events()), "[]")
	})
}
