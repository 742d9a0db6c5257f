package xmpp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
	"nudge/bridge/xmpp/xmpptest"
)

var alice = im.Addr{ID: "alice@hotmail.com"}

// desk is a hub that keeps everything in memory and settles at once.
type desk struct {
	mu       sync.Mutex
	now      im.Presence
	events   []im.Event
	mark     []byte
	kv       map[string]string
	settings map[string]string
	name     string // of the account
	picture  []byte // likewise
	hold     bool
	waiting  []func(error)
	open     []im.Unsettled
}

func (d *desk) Accept(ctx context.Context, b im.Batch, settled func(error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, b.Events...)
	if b.Mark != nil {
		d.mark = b.Mark
	}
	switch {
	case settled == nil:
	case d.hold:
		d.waiting = append(d.waiting, settled)
	default:
		go settled(nil)
	}
	return nil
}

func (d *desk) Mark(im.Addr) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mark, nil
}

func (d *desk) Account(string) (im.Account, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return im.Account{Person: im.Person{Addr: alice, Name: d.name}, Now: d.now, OnList: func(im.Addr) (bool, bool) { return true, false }}, true
}

func (d *desk) Accounts() iter.Seq[im.Account]                          { return func(func(im.Account) bool) {} }
func (d *desk) Picture(im.Addr) []byte                                  { return d.picture }
func (d *desk) Unsettled(im.Addr) []im.Unsettled                        { return d.open }
func (d *desk) KV(im.Addr) im.KV                                        { return (*deskKV)(d) }
func (d *desk) Setting(_ im.Addr, key string) string                    { return d.settings[key] }
func (d *desk) Seal(_ im.Addr, plain []byte) []byte                     { return plain }
func (d *desk) Unseal(_ im.Addr, sealed []byte) ([]byte, error)         { return sealed, nil }
func (d *desk) Ask(context.Context, im.Addr, im.Prompt) (string, error) { return "", context.Canceled }

type deskKV desk

func (k *deskKV) View(fn func(im.Tx) error) error   { return k.Update(fn) }
func (k *deskKV) Sync(context.Context) error        { return nil }
func (k *deskKV) Update(fn func(im.Tx) error) error { return fn(k) }
func (k *deskKV) Get(key []byte) []byte             { return []byte(k.kv[string(key)]) }
func (k *deskKV) Put(key, v []byte) error           { k.kv[string(key)] = string(v); return nil }
func (k *deskKV) Delete(key []byte) error           { delete(k.kv, string(key)); return nil }

func (k *deskKV) Scan(prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for _, key := range slices.Sorted(maps.Keys(k.kv)) {
			if strings.HasPrefix(key, string(prefix)) && !yield([]byte(key), []byte(k.kv[key])) {
				return
			}
		}
	}
}

// scene is a server with alice's link and her contact bob, in a bubble of fake
// time.
type scene struct {
	*testing.T
	srv    *xmpptest.Server
	bob    *xmpptest.Peer
	desk   *desk
	link   im.Link
	fields map[string]string
	read   int // events read
}

// play runs fn in a bubble, with a link that shows status.
func play(t *testing.T, o xmpptest.Options, status im.Status, fn func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv, err := xmpptest.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, srv.CA(), 0o600); err != nil {
			t.Fatal(err)
		}
		srv.Sub("alice", "bob", "both")
		s := &scene{T: t, srv: srv, bob: srv.Peer("bob", "pc"), fields: map[string]string{"jid": "alice@chat.test", "password": "pw-alice", "server": "here:5222", "ca": ca},
			desk: &desk{now: im.Presence{Status: status}, kv: map[string]string{}, settings: map[string]string{}}}
		s.connect()
		fn(s)
		s.link.Close()
	})
}

func (s *scene) connect() {
	s.Helper()
	n := &Network{log: slog.New(slog.DiscardHandler), dial: s.srv.Dial}
	l, err := n.Connect(s.Context(), im.Login{User: alice, Fields: s.fields, Host: s.desk})
	if err != nil {
		s.Fatal(err)
	}
	s.link = l
	synctest.Wait()
}

func (s *scene) handle(ev im.Event) {
	s.Helper()
	if err := s.link.Handle(s.Context(), alice, ev); err != nil {
		s.Fatalf("Handle(%+v): %v", ev, err)
	}
	synctest.Wait()
}

func (s *scene) show(st im.Status) {
	s.Helper()
	s.handle(im.PresenceChanged{Who: im.Person{Addr: alice}, Now: im.Presence{Status: st}})
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// events are those of one type since the last call for any.
func (s *scene) events() []im.Event {
	synctest.Wait()
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	out := slices.Clone(s.desk.events[s.read:])
	s.read = len(s.desk.events)
	return out
}

func of[E im.Event](all []im.Event) (out []E) {
	for _, ev := range all {
		if e, is := ev.(E); is {
			out = append(out, e)
		}
	}
	return out
}

func said(all []im.Event) (out []string) {
	for _, m := range of[im.Message](all) {
		out = append(out, m.Text)
	}
	return out
}

// heard are the stanzas of that name that reached a peer since the last call.
func hears(p *xmpptest.Peer, local string) (out []*stanza.Node) {
	synctest.Wait()
	for {
		select {
		case n := <-p.In:
			if n.XMLName.Local == local {
				out = append(out, n)
			}
		default:
			return out
		}
	}
}

func (s *scene) bobSays(texts ...string) {
	for _, x := range texts {
		s.bob.Send(fmt.Sprintf("<message to='alice@chat.test' type='chat' id='id-%s'><body>%s</body><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>", x, x))
	}
	synctest.Wait()
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// last is the newest status told of bob, -1 when none was.
func last(all []im.Event) int {
	p := of[im.PresenceChanged](all)
	if len(p) == 0 {
		return -1
	}
	return int(p[len(p)-1].Now.Status)
}

// Hidden without privacy lists: contacts are shown nothing, their presence is
// probed, messages come by the archive.
func TestHidden(t *testing.T) {
	play(t, xmpptest.Options{}, im.Hidden, func(s *scene) {
		pass(2 * time.Second)
		equal(t, "bob", last(s.events()), int(im.Online))
		s.bob.Send("<presence><show>dnd</show></presence>")
		s.bobSays("one", "two")
		pass(21 * time.Second)
		equal(t, "said", said(s.events()), "[one two]")
		pass(90 * time.Second)
		s.bob.Quit()
		s.events()
		pass(2 * time.Minute)
		equal(t, "bob", last(s.events()), int(im.Offline))
		s.handle(im.Typing{Conv: "bob@chat.test", On: true})
		if n := hears(s.bob, "presence"); len(n) != 0 {
			t.Error("bob saw", len(n), "presences")
		}
		if n := hears(s.bob, "message"); len(n) != 0 {
			t.Error("bob got receipts or chat states from somebody who hides")
		}
		bob := s.srv.Peer("bob", "pc")
		bob.Send("<iq type='get' id='v' to='" + s.link.(*link).me.String() + "'><query xmlns='" + stanza.NSDiscoInfo + "'/></iq>")
		if n := hears(bob, "iq"); len(n) != 1 || stream.Attr(n[0], "type") != "error" {
			t.Error("answered while hidden")
		}
		s.show(im.Online)
		if n := hears(bob, "presence"); len(n) != 1 {
			t.Error("bob saw", len(n), "presences after hiding ended")
		}
	})
}

// Hidden with privacy lists: everything is live.
func TestVeiled(t *testing.T) {
	play(t, xmpptest.Options{Privacy: true}, im.Hidden, func(s *scene) {
		s.events()
		s.bobSays("one")
		equal(t, "said", said(s.events()), "[one]")
		s.bob.Send("<presence><show>away</show></presence>")
		equal(t, "bob", last(s.events()), int(im.Away))
		s.show(im.Online)
		equal(t, "presences", len(hears(s.bob, "presence")), 1)
		s.show(im.Hidden)
		p := hears(s.bob, "presence")
		if len(p) != 1 || stream.Attr(p[0], "type") != "unavailable" {
			t.Error("bob does not see alice leave", p)
		}
		s.bobSays("two")
		equal(t, "said", said(s.events()), "[two]")
	})
}

// Who begins to hide need not wait as long for messages as nobody would.
func TestHiddenAfterNobody(t *testing.T) {
	play(t, xmpptest.Options{}, im.Offline, func(s *scene) {
		pass(30 * time.Second)
		s.events()
		s.show(im.Hidden)
		s.bobSays("one")
		pass(pollHidden + time.Second)
		equal(t, "said", said(s.events()), "[one]")
	})
}

// A blocked contact sees the account leave and come back, and what he shows
// afterwards is known, whatever the server says by itself.
func TestPresenceOverABlock(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		edit := func(op im.EditOp) {
			s.handle(im.ContactEdit{ID: "e", Op: op, Who: im.Contact{Person: im.Person{Addr: im.Addr{Net: Name, ID: "bob@chat.test"}}}})
		}
		types := func() (out []string) {
			for _, n := range hears(s.bob, "presence") {
				out = append(out, cmp.Or(stream.Attr(n, "type"), "available"))
			}
			return out
		}
		pass(silence + time.Second)
		types()
		s.events()
		edit(im.Block)
		equal(t, "bob saw", types(), "[unavailable]")
		s.bob.Send("<presence><show>away</show></presence>")
		equal(t, "bob, blocked", last(s.events()), -1)
		edit(im.Unblock)
		equal(t, "bob saw", types(), "[available]")
		equal(t, "bob", last(s.events()), int(im.Away))
		edit(im.Block)
		s.bob.Quit()
		edit(im.Unblock)
		equal(t, "bob, not asked long ago", last(s.events()), -1)
		pass(silence + time.Second)
		equal(t, "bob", last(s.events()), int(im.Offline))
	})
}

// With nobody signed on the archive is polled; coming back doubles nothing.
func TestNobodyThere(t *testing.T) {
	play(t, xmpptest.Options{}, im.Offline, func(s *scene) {
		s.events()
		s.bobSays("one", "two")
		equal(t, "said before the poll", said(s.events()), "[]")
		pass(61 * time.Second)
		equal(t, "said", said(s.events()), "[one two]")
		s.bobSays("three", "four")
		s.show(im.Online)
		s.bobSays("five")
		equal(t, "said", said(s.events()), "[three four five]")
		s.link.Close()
		s.bobSays("six")
		s.connect()
		equal(t, "said after a reconnect", said(s.events()), "[six]")
	})
}

func TestWithoutArchive(t *testing.T) {
	play(t, xmpptest.Options{NoMAM: true}, im.Offline, func(s *scene) {
		s.bobSays("one")
		pass(5 * time.Minute)
		equal(t, "said while away", said(s.events()), "[]")
		s.show(im.Online)
		equal(t, "said", said(s.events()), "[one]")
		s.desk.mu.Lock()
		defer s.desk.mu.Unlock()
		if s.desk.mark != nil {
			t.Error("a mark without an archive")
		}
	})
}

// A server without an archive keeps what this process might lose: it is told
// only of what was settled.
func TestServerKeepsWhatIsNotSettled(t *testing.T) {
	play(t, xmpptest.Options{NoMAM: true}, im.Online, func(s *scene) {
		s.bobSays("one")
		equal(t, "said", said(s.events()), "[one]")
		s.desk.hold = true
		s.bobSays("two")
		equal(t, "said", said(s.events()), "[two]")
		s.link.Close()
		s.connect()
		equal(t, "said again", said(s.events()), "[two]")
	})
}

// The echo of a message that a former link sent lies before the mark, when much
// came in since.
func TestEchoBeforeTheMark(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.events()
		m := im.Message{ID: "o1", Conv: "bob@chat.test", Text: "was it sent?"}
		s.desk.open = []im.Unsettled{{Event: m, Mark: s.desk.mark}}
		s.handle(m)
		for i := range overlap + 20 {
			s.bobSays(fmt.Sprint(i))
			pass(time.Minute)
		}
		s.link.Close()
		s.events()
		s.connect()
		ev := s.events()
		equal(t, "receipts", of[im.Receipt](ev), "[{o1  bob@chat.test 0 <nil>}]")
		up := slices.IndexFunc(ev, func(e im.Event) bool { _, is := e.(im.LinkState); return is })
		if at := slices.IndexFunc(ev, func(e im.Event) bool { _, is := e.(im.Receipt); return is }); at > up {
			t.Error("settled after Up")
		}
	})
}

// A crash before the first mark was on disk must not send anything twice.
func TestEchoWithoutMark(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.bobSays("history")
		pass(2 * noMark)
		m := im.Message{ID: "o1", Conv: "bob@chat.test", At: time.Now(), Text: "was it sent?"}
		s.handle(m)
		s.link.Close()
		s.events()
		s.desk.mark, s.desk.open = nil, []im.Unsettled{{Event: m}}
		s.connect()
		ev := s.events()
		equal(t, "receipts", of[im.Receipt](ev), "[{o1  bob@chat.test 0 <nil>}]")
		equal(t, "said", said(ev), "[]")
		if !decodeMark(s.desk.mark).valid {
			t.Error("no mark")
		}
	})
}

// What waited at the server for the very first link comes, and once only.
func TestWaitingBeforeTheFirstMark(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.link.Close()
		s.desk.mark = nil
		s.bobSays("one", "two")
		s.events()
		s.connect()
		equal(t, "said", said(s.events()), "[one two]")
		s.bobSays("three")
		s.link.Close()
		s.events()
		s.connect()
		equal(t, "said again", said(s.events()), "[]")
	})
}

// Servers forget archive ids; one says so, another answers from the beginning.
func TestMarkIsGone(t *testing.T) {
	for _, fromStart := range []bool{false, true} {
		play(t, xmpptest.Options{UnknownAfterIsStart: fromStart}, im.Online, func(s *scene) {
			for i := range 60 {
				s.bobSays(fmt.Sprint("old", i))
			}
			s.link.Close()
			s.connect() // the mark learns the server's time
			s.link.Close()
			m := decodeMark(s.desk.mark)
			m.ID, m.Recent = "gone", []string{"gone"}
			s.desk.mark = m.encode()
			pass(time.Hour)
			s.bobSays("new")
			s.events()
			s.connect()
			got := said(s.events())
			if len(got) == 0 || got[len(got)-1] != "new" {
				t.Errorf("fromStart %v: %v", fromStart, got)
			}
			s.link.Close()
			pass(time.Hour)
			s.bobSays("newer")
			s.connect()
			if got := said(s.events()); len(got) != 1 || got[0] != "newer" {
				t.Errorf("fromStart %v: %v", fromStart, got)
			}
		})
	}
}

// A privacy list that can't be made active must not let presence out.
func TestVeilFails(t *testing.T) {
	play(t, xmpptest.Options{Privacy: true, PrivacyFails: true}, im.Hidden, func(s *scene) {
		s.events()
		s.bobSays("one")
		pass(21 * time.Second)
		equal(t, "said", said(s.events()), "[one]")
		if n := hears(s.bob, "presence"); len(n) != 0 {
			t.Error("bob saw", n)
		}
	})
}

// Silent contacts are off-line, and get it later.
func TestSilentContact(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		equal(t, "bob", last(s.events()), int(im.Online))
		s.bob.Quit()
		p := of[im.PresenceChanged](s.events())
		if len(p) != 1 || p[0].Now.Status != im.Offline || !p[0].Now.Later {
			t.Errorf("%+v", p)
		}
		s.link.Close()
		s.connect()
		s.events()
		pass(silence + time.Second)
		equal(t, "bob", last(s.events()), int(im.Offline))
	})
}

// A server that does not answer in time has not said that nobody has an address.
func TestFindUnanswered(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.srv.Stall(true)
		ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
		defer cancel()
		p, err := s.link.Find(ctx, im.Addr{}, "eve@elsewhere.test")
		if err == nil || errors.Is(err, im.ErrNotFound) {
			t.Errorf("%+v, %v", p, err)
		}
		s.srv.Stall(false)
	})
}

func TestReceiptsOut(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.desk.hold = true
		s.bobSays("one")
		if n := hears(s.bob, "message"); len(n) != 0 {
			t.Error("a receipt for what is not settled")
		}
		m := of[im.Message](s.events())[0]
		s.desk.hold = false
		s.desk.waiting[0](nil)
		n := hears(s.bob, "message")
		if len(n) != 1 || stream.Attr(stream.Child(n[0], nsReceipts, "received"), "id") != "id-one" {
			t.Error("no receipt", n)
		}
		s.handle(im.Receipt{ID: m.ID, Conv: m.Conv, State: im.Read})
		n = hears(s.bob, "message")
		if len(n) != 1 || stream.Attr(stream.Child(n[0], nsMarkers, "displayed"), "id") != "id-one" {
			t.Error("no marker", n)
		}
		s.desk.settings["receipts"], s.desk.settings["markers"] = "no", "no"
		s.bobSays("two")
		m = of[im.Message](s.events())[0]
		s.handle(im.Receipt{ID: m.ID, Conv: m.Conv, State: im.Read})
		if n := hears(s.bob, "message"); len(n) != 0 {
			t.Error("receipts although they are switched off")
		}
	})
}

func TestReceiptsIn(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.events()
		s.srv.AddUser("eve")
		eve := s.srv.Peer("eve", "x")
		s.handle(im.Message{ID: "o1", Conv: "bob@chat.test", Text: "hi"})
		eve.Send("<message to='alice@chat.test' type='chat'><received xmlns='urn:xmpp:receipts' id='o1'/></message>")
		eve.Send("<message to='alice@chat.test' type='error' id='o1'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
		s.bob.Send("<message to='alice@chat.test' type='chat'><received xmlns='urn:xmpp:receipts' id='o1'/></message>")
		s.bob.Send("<message to='alice@chat.test' type='chat'><received xmlns='urn:xmpp:receipts' id='o1'/></message>")
		equal(t, "receipts", of[im.Receipt](s.events()), "[{o1  bob@chat.test 0 <nil>} {o1  bob@chat.test 1 <nil>}]")
		s.handle(im.Message{ID: "o2", Conv: "nobody@elsewhere.test", Text: "hi"})
		r := of[im.Receipt](s.events())
		if len(r) == 0 || r[len(r)-1].State != im.Failed || r[len(r)-1].Err == nil {
			t.Errorf("%+v", r)
		}
	})
}

// Answers go to the resource that wrote last, until its presence changes or it
// is gone.
func TestResourceLock(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		lock := func() string {
			l := s.link.(*link)
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.contacts["bob@chat.test"].lock
		}
		equal(t, "lock", lock(), "")
		s.bobSays("one")
		equal(t, "lock", lock(), "bob@chat.test/pc")
		s.bob.Send("<presence><show>away</show></presence>")
		synctest.Wait()
		equal(t, "lock", lock(), "")
		s.bobSays("two")
		s.bob.Send("<message to='alice@chat.test' type='chat'><gone xmlns='http://jabber.org/protocol/chatstates'/></message>")
		synctest.Wait()
		equal(t, "lock", lock(), "")
	})
}

func TestTyping(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.events()
		states := func() (out []string) {
			for _, n := range hears(s.bob, "message") {
				if c := stream.Child(n, nsActive, ""); c != nil {
					out = append(out, c.XMLName.Local)
				}
			}
			return out
		}
		key := im.Typing{Conv: "bob@chat.test", Who: alice, On: true}
		s.handle(key)
		pass(5 * time.Second)
		s.handle(key)
		pass(8 * time.Second)
		equal(t, "states", states(), "[composing]")
		pass(3 * time.Second)
		equal(t, "states", states(), "[paused]")
		s.handle(key)
		s.handle(im.Message{ID: "o1", Conv: "bob@chat.test", Text: "hi"})
		pass(time.Minute)
		equal(t, "states", states(), "[composing active]")
		s.bob.Send("<message to='alice@chat.test' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
		s.bobSays("one")
		equal(t, "typing", of[im.Typing](s.events()), "[{bob@chat.test {xmpp bob@chat.test} true} {bob@chat.test {xmpp bob@chat.test} false}]")
	})
}

func TestNudges(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.events()
		nudge := "<message to='alice@chat.test' type='headline'><attention xmlns='urn:xmpp:attention:0'/></message>"
		s.bob.Send(nudge)
		s.bob.Send(nudge)
		pass(11 * time.Second)
		s.bob.Send(nudge)
		equal(t, "nudges in", len(of[im.Message](s.events())), 2)
		hears(s.bob, "message")
		s.handle(im.Message{ID: "n1", Conv: "bob@chat.test", Kind: im.Nudge})
		if err := s.link.Handle(t.Context(), alice, im.Message{ID: "n2", Conv: "bob@chat.test", Kind: im.Nudge}); err == nil {
			t.Error("two nudges at once")
		}
		equal(t, "nudges out", len(hears(s.bob, "message")), 1)
	})
}

func TestCarbons(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.events()
		phone := s.srv.Peer("alice", "phone")
		phone.Send("<message to='bob@chat.test' type='chat' id='c1'><body>from my phone</body></message>")
		m := of[im.Message](s.events())
		if len(m) != 1 || !m[0].Own || m[0].Conv != "bob@chat.test" || m[0].Text != "from my phone" {
			t.Fatalf("%+v", m)
		}
		s.link.Close()
		phone.Send("<message to='bob@chat.test' type='chat' id='c2'><body>again</body></message>")
		s.connect()
		m = of[im.Message](s.events())
		if len(m) != 1 || !m[0].Own || m[0].Text != "again" {
			t.Fatalf("%+v", m)
		}
	})
}

func TestRelations(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.bobSays("one")
		first := of[im.Message](s.events())[0]
		s.bob.Send("<message to='alice@chat.test' type='chat' id='e1'><body>won</body><replace xmlns='urn:xmpp:message-correct:0' id='id-one'/></message>")
		m := of[im.Message](s.events())[0]
		equal(t, "edit", m.Rel, im.Rel{Kind: im.Edit, To: first.ID})
		hears(s.bob, "message")
		s.handle(im.Message{ID: "o1", Conv: "bob@chat.test", Text: "👍", Rel: im.Rel{Kind: im.React, To: first.ID}})
		n := hears(s.bob, "message")
		equal(t, "reaction to", stream.Attr(stream.Child(n[0], nsReactions, "reactions"), "id"), "id-one")
		s.bob.Send("<message to='alice@chat.test' type='chat' id='r1'><body>no</body><reply xmlns='urn:xmpp:reply:0' id='o1'/></message>")
		m = of[im.Message](s.events())[0]
		equal(t, "reply", m.Rel, im.Rel{Kind: im.Reply, To: "o1"})
	})
}

func TestRequests(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.srv.AddUser("eve")
		eve := s.srv.Peer("eve", "x")
		s.events()
		ask := "<presence type='subscribe' to='alice@chat.test'><status>it's me</status></presence>"
		eve.Send(ask)
		eve.Send(ask)
		ev := s.events()
		edits := of[im.ContactEdit](ev)
		if len(edits) != 1 || edits[0].Op != im.Add || edits[0].Who.ID != "eve@chat.test" || edits[0].Note != "it's me" || !of[im.Roster](ev)[0].Items[0].Asked {
			t.Fatalf("%+v", ev)
		}
		s.link.Close()
		s.desk.now.Status = im.Offline
		s.connect()
		full := of[im.Roster](s.events())[0]
		if i := slices.IndexFunc(full.Items, func(c im.Contact) bool { return c.ID == "eve@chat.test" }); i < 0 || !full.Items[i].Asked || full.Items[i].Note != "it's me" {
			t.Fatalf("the request is forgotten: %+v", full)
		}
		s.handle(im.ContactEdit{ID: "x1", Op: im.Accept, Who: im.Contact{Person: im.Person{Addr: im.Addr{Net: Name, ID: "eve@chat.test"}}, Followed: true}})
		equal(t, "receipt", of[im.Receipt](s.events()), "[{x1  eve@chat.test 0 <nil>}]")
		equal(t, "roster", s.srv.Roster("alice", "eve@chat.test"), `from "" [] `)
		s.link.Close()
		s.connect()
		full = of[im.Roster](s.events())[0]
		if slices.ContainsFunc(full.Items, func(c im.Contact) bool { return c.Asked }) {
			t.Errorf("%+v", full)
		}
	})
}

func TestEdits(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.srv.AddUser("carol")
		carol := s.srv.Peer("carol", "x")
		who := im.Contact{Person: im.Person{Addr: im.Addr{Net: Name, ID: "carol@chat.test"}, Name: "Carol <3"}, Follows: true, Groups: []string{"A & B"}}
		for i := range 2 {
			s.handle(im.ContactEdit{ID: fmt.Sprint("a", i), Op: im.Add, Who: who})
		}
		equal(t, "roster", s.srv.Roster("alice", who.ID), `none "Carol <3" ["A & B"] subscribe`)
		carol.Send("<presence type='subscribed' to='alice@chat.test'/>")
		equal(t, "presence", last(s.events()), int(im.Online))
		who.Name, who.Groups = "Carla", nil
		s.handle(im.ContactEdit{ID: "b", Op: im.Rename, Who: who})
		equal(t, "roster", s.srv.Roster("alice", who.ID), `to "Carla" [] `)
		s.handle(im.ContactEdit{ID: "c", Op: im.Block, Who: who})
		if !s.srv.Blocked("alice", who.ID) {
			t.Error("not blocked")
		}
		for i := range 2 {
			s.handle(im.ContactEdit{ID: fmt.Sprint("d", i), Op: im.Remove, Who: who})
		}
		equal(t, "roster", s.srv.Roster("alice", who.ID), "")
		for _, r := range of[im.Receipt](s.events()) {
			if r.State != im.Sent {
				t.Errorf("%+v", r)
			}
		}
		// Only the server may change the list.
		s.bob.Send("<iq type='set' id='f' to='" + s.link.(*link).me.String() + "'><query xmlns='jabber:iq:roster'><item jid='evil@chat.test' subscription='both'/></query></iq>")
		if r := of[im.Roster](s.events()); len(r) != 0 {
			t.Errorf("a forged roster push: %+v", r)
		}
		if n := hears(s.bob, "iq"); len(n) != 1 || stream.Attr(n[0], "type") != "error" {
			t.Error("a forged roster push was taken")
		}
	})
}

// A short cut is not seen: no state, no loss.
func TestShortCut(t *testing.T) {
	play(t, xmpptest.Options{}, im.Online, func(s *scene) {
		s.events()
		hears(s.bob, "presence")
		s.srv.Cut()
		s.bobSays("one")
		s.handle(im.Message{ID: "o1", Conv: "bob@chat.test", Text: "two"})
		pass(time.Second)
		ev := s.events()
		equal(t, "said", said(ev), "[one]")
		equal(t, "states", len(of[im.LinkState](ev)), 0)
		equal(t, "receipts", of[im.Receipt](ev), "[{o1  bob@chat.test 0 <nil>}]")
		if n := hears(s.bob, "presence"); len(n) != 0 {
			t.Error("bob saw alice leave")
		}
	})
}

func TestConnectErrors(t *testing.T) {
	srv, fields := testServer(t, xmpptest.Options{})
	n := &Network{log: slog.New(slog.DiscardHandler), dial: srv.Dial}
	with := func(k, v string) map[string]string {
		f := maps.Clone(fields)
		f[k] = v
		return f
	}
	for _, c := range []struct {
		name   string
		fields map[string]string
		class  im.LostClass
		text   string
	}{
		{"no address", with("jid", "alice"), im.Credentials, "anna@example.org"},
		{"wrong password", with("password", "x"), im.Credentials, "password"},
		{"unknown ca", with("ca", ""), im.Forbidden, "CA certificate"},
		{"no ca file", with("ca", "/nowhere"), im.Forbidden, "can't be read"},
		{"bad mode", with("tls", "none"), im.Forbidden, "starttls"},
		{"bad server", with("server", "h:x"), im.Forbidden, "host:port"},
	} {
		_, err := n.Connect(t.Context(), im.Login{User: alice, Fields: c.fields, Host: &desk{kv: map[string]string{}}})
		l, is := err.(*im.Lost)
		if !is || l.Class != c.class || !strings.Contains(l.Text, c.text) {
			t.Errorf("%s: %+v", c.name, err)
		}
	}
	if _, err := n.Connect(t.Context(), im.Login{Fields: fields, Host: &desk{}}); err == nil {
		t.Error("a link for nobody")
	}
}
