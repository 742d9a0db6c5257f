package xmpp

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
	"nudge/bridge/xmpp/xmpptest"
)

// told is a message in which a server tells of a node.
func told(node, inside string) string {
	return "<message type='headline' from='bob@b.test'><event xmlns='" + nsPubSubEvent + "'><items node='" + node + "'>" + inside + "</items></event></message>"
}

func holds(payload string) string { return "<item id='current'>" + payload + "</item>" }

const (
	red  = "0123456789012345678901234567890123456789"
	blue = "abcdefabcdefabcdefabcdefabcdefabcdefabcd"
)

// TestReadEvent: what people publish, and what is none of that.
func TestReadEvent(t *testing.T) {
	info := func(id, typ, more string) string {
		return "<info bytes='1' id='" + id + "' type='" + typ + "' " + more + "/>"
	}
	meta := func(infos ...string) string {
		return told(nsAvatar, holds("<metadata xmlns='"+nsAvatar+"'>"+strings.Join(infos, "")+"</metadata>"))
	}
	song := func(inside string) string { return told(nsTune, holds("<tune xmlns='"+nsTune+"'>"+inside+"</tune>")) }
	was := published{"song", "nick", "bob@b.test#" + red}
	with := func(change func(*published)) published {
		p := was
		change(&p)
		return p
	}
	hears := func(s string) published { return with(func(p *published) { p.tune = s }) }
	wears := func(s string) published { return with(func(p *published) { p.avatar = s }) }
	for text, want := range map[string]published{
		song("<artist>Yes</artist><title>Heart of the\nSunrise</title><length>686</length>"): hears("Yes – Heart of the Sunrise"),
		song("<title>Silence</title>"):                           hears("Silence"),
		song("<artist>Cage</artist>"):                            hears("Cage"),
		song("<artist>Yes</artist><source>Fragile</source>"):     hears("Yes – Fragile"),
		song("<title>" + strings.Repeat("la", 999) + "</title>"): hears(strings.Repeat("la", longTune/2-1) + "l…"),
		song(""):                                                                              hears(""),
		song("<title xmlns='x'>evil</title>"):                                                 hears(""),
		told(nsTune, "<retract id='current'/>"):                                               hears(""),
		told(nsTune, holds("<tune xmlns='x'><title/></tune>")):                                hears(""),
		told(nsTune, "<item id='current'/>"):                                                  was,
		told("urn:other", holds("<x/>")):                                                      was,
		told(nsNick, holds("<nick xmlns='"+nsNick+"'> Bobby\t</nick>")):                       with(func(p *published) { p.nick = "Bobby" }),
		told(nsNick, "<retract id='1'/>"):                                                     with(func(p *published) { p.nick = "" }),
		meta(info(blue, "image/png", "")):                                                     wears("bob@b.test#" + blue),
		meta(info(red, "image/jpeg", ""), info(blue, "image/png", "")):                        wears("bob@b.test#" + blue),
		meta(info(blue, "image/gif", "")):                                                     wears("bob@b.test#" + blue),
		meta(info(blue, "image/png", "url='https://evil.test/'"), info(red, "image/png", "")): was,
		meta(info(strings.ToUpper(blue), "image/png", ""), info("12", "image/png", "")):       wears(""),
		meta("<info xmlns='x' id='" + blue + "' type='image/png'/>"):                          wears(""),
		meta(): wears(""),
		"<message from='bob@b.test'><event xmlns='" + nsPubSubEvent + "'><delete node='" + nsAvatar + "'/></event></message>": wears(""),
		"<message from='bob@b.test'><event xmlns='" + nsPubSubEvent + "'><purge node='" + nsTune + "'/></event></message>":    hears(""),
		"<message type='error'" + strings.TrimPrefix(song(""), "<message type='headline'"):                                    was,
		"<message from='bob@b.test'><body>hi</body></message>":                                                                was,
	} {
		p := was
		if e, ok := readEvent(tree(t, text)); ok {
			p.take("bob@b.test", e)
		}
		if p != want {
			t.Errorf("%s\n made %+v\n want %+v", text, p, want)
		}
	}
}

func FuzzPersonal(f *testing.F) {
	f.Add(told(nsTune, holds("<tune xmlns='"+nsTune+"'><artist>a</artist><title>b</title></tune>")))
	f.Add(told(nsNick, holds("<nick xmlns='"+nsNick+"'>x</nick>")))
	f.Add(told(nsAvatar, holds("<metadata xmlns='"+nsAvatar+"'><info id='"+blue+"' type='image/png'/></metadata>")))
	f.Fuzz(func(t *testing.T, s string) {
		n := new(stanza.Node)
		d := xml.NewDecoder(strings.NewReader(s))
		d.DefaultSpace = stanza.NSClient
		if d.Decode(n) != nil {
			return
		}
		e, ok := readEvent(n)
		if !ok {
			return
		}
		var p published
		p.take("bob@b.test", e)
		if p != (published{}) && !e.personal() {
			t.Errorf("%q is kept of %s", p, e.node)
		}
		for s, most := range map[string]int{p.tune: longTune, p.nick: longNick, p.avatar: len("bob@b.test#") + 40} {
			if utf8.RuneCountInString(s) > most || s != im.OneLine(s) {
				t.Errorf("%q is kept", s)
			}
		}
		if back := readTune(ptr(tune(p.tune))); strings.Count(p.tune, between) < 2 && back != p.tune {
			t.Errorf("%q goes out as %q", p.tune, back)
		}
	})
}

func ptr[T any](v T) *T { return &v }

func (s *scene) bobPublishes(node, payload string) {
	s.bob.Send("<iq type='set' id='p'><pubsub xmlns='" + nsPubSub + "'><publish node='" + node + "'><item id='current'>" + payload + "</item></publish></pubsub></iq>")
}

func song(artist, title string) string {
	return "<tune xmlns='" + nsTune + "'><artist>" + artist + "</artist><title>" + title + "</title></tune>"
}

// shown is what the hub was told of bob, in order.
func (s *scene) shown() (out []string) {
	for _, ev := range of[im.PresenceChanged](s.events()) {
		out = append(out, fmt.Sprint(ev.Now.Status, " ", ev.Who.Name, " ", ev.Now.Media))
	}
	return out
}

// TestPersonal: what a contact hears and how he calls himself, from his own server only,
// and together with his presence, not before.
func TestPersonal(t *testing.T) {
	play(t, xmpptest.Options{PEP: true}, im.Online, func(s *scene) {
		pass(silence)
		s.events()
		s.bobPublishes(nsTune, song("Yes", "Roundabout"))
		equal(t, "a tune", s.shown(), "[1  Yes – Roundabout]")
		for _, from := range []string{"bob@chat.test/x", "eve@evil.test", "chat.test", "", "alice@chat.test/y", "a b@@"} {
			s.srv.Push("alice", strings.Replace(told(nsTune, holds(song("evil", "evil"))), "bob@b.test", from, 1))
		}
		equal(t, "forged", s.shown(), "[]")
		s.bobPublishes(nsNick, "<nick xmlns='"+nsNick+"'>Bobby</nick>")
		equal(t, "a nick", s.shown(), "[1 Bobby Yes – Roundabout]")
		s.bob.Send("<presence><show>dnd</show></presence>")
		equal(t, "busy", s.shown(), "[2 Bobby Yes – Roundabout]")
		s.link.Close()
		s.connect()
		pass(silence)
		equal(t, "signed in again", s.shown(), "[2 Bobby Yes – Roundabout]")
		s.bobPublishes(nsTune, "<tune xmlns='"+nsTune+"'/>")
		equal(t, "over", s.shown(), "[2 Bobby ]")
		s.bobPublishes(nsTune, song("Yes", "Roundabout"))
		s.bob.Quit()
		equal(t, "gone", s.shown(), "[2 Bobby Yes – Roundabout 0 Bobby ]")
		s.link.Close()
		s.connect()
		pass(silence)
		s.bob = s.srv.Peer("bob", "pc")
		equal(t, "back without it", s.shown(), "[0 Bobby  1 Bobby ]")
	})
}

// TestPublishedPicture: a picture that a contact published is fetched where he published
// it, that of his vCard there, and the newer one counts.
func TestPublishedPicture(t *testing.T) {
	play(t, xmpptest.Options{PEP: true}, im.Online, func(s *scene) {
		hash := func(b string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(b))) }
		data := func(b string) string {
			return "<data xmlns='" + nsAvatarData + "'>" + base64.StdEncoding.EncodeToString([]byte(b)) + "</data>"
		}
		ref := func(b string) string { return "bob@chat.test#" + hash(b) }
		shows := func(what, b string) {
			t.Helper()
			all := of[im.PresenceChanged](s.events())
			if len(all) != 1 || all[0].Now.Avatar != ref(b) {
				t.Errorf("%s: bob shows %+v", what, all)
			}
		}
		opens := func(b string, want error) {
			t.Helper()
			r, _, err := s.link.Open(s.Context(), alice, ref(b))
			if !errors.Is(err, want) || err == nil && string(must(io.ReadAll(r))) != b {
				t.Errorf("%s opens with %v", b, err)
			}
		}
		pass(silence)
		s.events()
		s.srv.Publish("bob", nsAvatarData, hash("one"), data("one"))
		s.srv.Publish("bob", nsAvatar, hash("one"), xmlOf(t, metadata(hash("one"), 3)))
		shows("published", "one")
		opens("one", nil)
		opens("two", im.ErrNotFound)
		s.srv.SetCard("bob", "<vCard xmlns='vcard-temp'><PHOTO><BINVAL>"+base64.StdEncoding.EncodeToString([]byte("card"))+"</BINVAL></PHOTO></vCard>")
		opens("card", nil)
		photo := func(b string) string {
			return "<presence><x xmlns='" + nsPhoto + "'><photo>" + hash(b) + "</photo></x></presence>"
		}
		s.bob.Send(photo("old"))
		equal(t, "what was known before", len(of[im.PresenceChanged](s.events())), 0)
		s.bob.Send(photo("card"))
		shows("a new vCard", "card")
		s.srv.Publish("bob", nsAvatarData, hash("lie"), data("truth"))
		s.srv.Publish("bob", nsAvatar, hash("lie"), xmlOf(t, metadata(hash("lie"), 3)))
		shows("published anew", "lie")
		opens("lie", im.ErrNotFound)
		s.srv.Publish("bob", nsAvatar, hash("card"), xmlOf(t, metadata(hash("card"), 4)))
		shows("published, and only in the vCard", "card")
		opens("card", nil)
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func xmlOf(t *testing.T, n stanza.Node) string {
	t.Helper()
	return string(must(xml.Marshal(n)))
}

// plays shows what is playing.
func (s *scene) plays(st im.Status, media string) {
	s.Helper()
	s.handle(im.PresenceChanged{Who: im.Person{Addr: alice}, Now: im.Presence{Status: st, Media: media}})
}

// TestTuneOut: what is playing is published while the account may be seen, and over when it
// is over, whichever way that came.
func TestTuneOut(t *testing.T) {
	play(t, xmpptest.Options{PEP: true}, im.Online, func(s *scene) {
		has := func(what, want string) {
			t.Helper()
			synctest.Wait()
			_, payload := s.srv.Item("alice", nsTune)
			got := "none"
			if payload != "" {
				got = readTune(tree(t, payload))
			}
			equal(t, what, got, want)
		}
		has("nothing playing", "none")
		s.plays(im.Online, "Yes – Roundabout")
		has("playing", "Yes – Roundabout")
		s.plays(im.Busy, "Silence")
		has("without artist", "Silence")
		s.plays(im.Busy, "")
		has("stopped", "")
		for _, st := range []im.Status{im.Hidden, im.Offline} {
			s.plays(im.Online, "Yes – Roundabout")
			s.plays(st, "Yes – Roundabout")
			has("not seen", "")
		}
		s.plays(im.Online, "Yes – Fragile")
		s.link.Close()
		has("signed off", "")
		s.desk.settings[tuneKey] = "no"
		s.connect()
		s.plays(im.Online, "Yes – Roundabout")
		has("not wanted", "")

		mine, _ := s.srv.Item("alice", nsTune)
		s.srv.Publish("alice", nsTune, "current", song("Ella", "on the telephone"))
		pass(time.Second)
		has("of another device", "Ella – on the telephone")
		s.srv.Publish("alice", nsTune, mine, song("Yes", "before it crashed"))
		has("of a link that broke", "")
	})
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.plays(im.Online, "Yes – Roundabout")
		if _, payload := s.srv.Item("alice", nsTune); payload != "" {
			t.Error("published at a server that has no such thing")
		}
	})
}

// TestNickOut: the name of the account is its nickname when that is wished, and told once.
func TestNickOut(t *testing.T) {
	play(t, xmpptest.Options{PEP: true}, im.Online, func(s *scene) {
		nicks := func() (out []string) {
			for _, n := range hears(s.bob, "message") {
				if e, ok := readEvent(n); ok && e.node == nsNick {
					out = append(out, e.payload.Content)
				}
			}
			return out
		}
		s.desk.name = "Alice (L)"
		s.show(im.Busy)
		equal(t, "not wished", nicks(), "[]")
		s.desk.settings[nickKey] = "yes"
		s.show(im.Online)
		s.show(im.Busy)
		equal(t, "wished", nicks(), "[Alice (L)]")
		s.link.Close()
		s.connect()
		equal(t, "after a reconnect", nicks(), "[]")
		s.desk.name = "Alice"
		s.show(im.Hidden)
		equal(t, "hidden", nicks(), "[]")
		s.show(im.Online)
		equal(t, "another", nicks(), "[Alice]")
	})
}

// TestPictureOut: the picture of the account is published and put into the vCard when that
// is wished, once, and what else the vCard has stays.
func TestPictureOut(t *testing.T) {
	play(t, xmpptest.Options{PEP: true}, im.Online, func(s *scene) {
		s.srv.SetCard("alice", "<vCard xmlns='vcard-temp'><FN>Alice</FN><TEL><CELL/><NUMBER>1</NUMBER></TEL><PHOTO><TYPE>image/gif</TYPE></PHOTO></vCard>")
		s.desk.picture = []byte("a picture")
		sum := sha1.Sum(s.desk.picture)
		hash := hex.EncodeToString(sum[:])
		shows := func(st im.Status) string {
			hears(s.bob, "")
			s.handle(im.PresenceChanged{Now: im.Presence{Status: st, Picture: &im.Picture{SHA1: sum, Size: 9}}})
			id, meta := s.srv.Item("alice", nsAvatar)
			seen := ""
			for _, n := range hears(s.bob, "presence") {
				seen = readPresence(n, testMe, testNow).Avatar
			}
			_, in := picture(tree(t, "<iq>"+s.srv.Card("alice")+"</iq>"))
			if meta != "" && readMetadata(tree(t, meta)) != id {
				t.Error(meta)
			}
			return fmt.Sprint(id == hash, in == hash, strings.HasSuffix(seen, "#"+hash))
		}
		equal(t, "not wished", shows(im.Busy), "false false false")
		s.desk.settings[im.OwnPicture] = "yes"
		equal(t, "hidden", shows(im.Hidden), "false false false")
		equal(t, "wished", shows(im.Online), "true true true")
		if card := s.srv.Card("alice"); strings.Count(card, "PHOTO") != 2 || !strings.Contains(card, "NUMBER") || strings.Contains(card, "gif") {
			t.Errorf("the vCard is %s", card)
		}
		_, data := s.srv.Item("alice", nsAvatarData)
		if b, _ := base64.StdEncoding.DecodeString(tree(t, data).Content); string(b) != "a picture" {
			t.Errorf("published is %s", data)
		}
		s.link.Close()
		hears(s.bob, "")
		s.connect()
		equal(t, "after a reconnect", shows(im.Busy), "true true true")
		for _, n := range hears(s.bob, "message") {
			t.Errorf("bob is told again: %v", n)
		}
	})
}

// TestComponentPersonal: what contacts publish counts on a component too, and the pictures
// of its accounts can be had in this way.
func TestComponentPersonal(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.befriend()
		pass(probeSilence)
		p.events()
		tells := func(from string, payload string) []string {
			p.srv.PushComponent(strings.Replace(told(nsTune, holds(payload)), "from='bob@b.test'", "from='"+from+"' to='"+aliceThere+"/nudge'", 1))
			return p.shown()
		}
		equal(t, "a tune", tells("bob@chat.test", song("Yes", "Roundabout")), "[1  Yes – Roundabout]")
		for _, from := range []string{"bob@chat.test/pc", "eve@evil.test", "chat.test"} {
			equal(t, "forged by "+from, tells(from, song("evil", "evil")), "[]")
		}
		equal(t, "over", tells("bob@chat.test", "<tune xmlns='"+nsTune+"'/>"), "[1  ]")

		ask := func(node, id string) *stanza.Node {
			p.bob.Send("<iq type='get' id='q' to='" + aliceThere + "'>" + xmlOf(t, items(node, id)) + "</iq>")
			return hears(p.bob, "iq")[0]
		}
		equal(t, "no picture", stream.ErrorOf(ask(nsAvatar, "")).Condition, "item-not-found")
		p.home.picture = []byte("a picture")
		sum := sha1.Sum(p.home.picture)
		hash := hex.EncodeToString(sum[:])
		p.home.set(func() {
			p.home.people["alice@hotmail.com"] = im.Presence{Status: im.Online, Picture: &im.Picture{SHA1: sum, Size: 9}}
		})
		equal(t, "metadata", readMetadata(stream.Child(item(ask(nsAvatar, "")), nsAvatar, "metadata")), hash)
		b, is := picture(ask(nsAvatarData, hash))
		equal(t, "data", string(b)+is, "a picture"+hash)
		equal(t, "another", stream.ErrorOf(ask(nsAvatarData, red)).Condition, "item-not-found")
		equal(t, "another node", stream.ErrorOf(ask(nsTune, "")).Condition, "item-not-found")
	})
}
