package xmpp

import (
	"encoding/xml"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
	"nudge/bridge/xmpp/xmpptest"
)

// household is a desk with several accounts.
type household struct {
	*desk
	people  map[string]im.Presence // by handle
	blocked map[string]bool
	kvs     map[im.Addr]*desk
}

func (h *household) Account(handle string) (im.Account, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, ok := h.people[strings.ToLower(handle)]
	return im.Account{
		Person: im.Person{Addr: im.Addr{ID: strings.ToLower(handle)}, Name: "Alice <A>"}, Now: now,
		OnList: func(who im.Addr) (allow, block bool) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return !h.blocked[who.ID], h.blocked[who.ID]
		},
	}, ok
}

func (h *household) Accounts() iter.Seq[im.Account] {
	return func(yield func(im.Account) bool) {
		for name := range h.people {
			if a, ok := h.Account(name); ok && !yield(a) {
				return
			}
		}
	}
}

func (h *household) KV(user im.Addr) im.KV {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kvs[user] == nil {
		h.kvs[user] = &desk{kv: map[string]string{}}
	}
	return (*deskKV)(h.kvs[user])
}

func (h *household) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

const aliceThere = `alice\40hotmail.com@msn.chat.test`

// parlour is a server with its component, in a bubble of fake time.
type parlour struct {
	scene
	home *household
}

func host(t *testing.T, status im.Status, fn func(p *parlour)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv, err := xmpptest.New(xmpptest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		d := &desk{kv: map[string]string{}, settings: map[string]string{}}
		p := &parlour{scene: scene{T: t, srv: srv, bob: srv.Peer("bob", "pc"), desk: d},
			home: &household{desk: d, people: map[string]im.Presence{"alice@hotmail.com": {Status: status}, "carl@hotmail.com": {}}, blocked: map[string]bool{}, kvs: map[im.Addr]*desk{}}}
		p.connect()
		fn(p)
		p.link.Close()
	})
}

func (p *parlour) connect() {
	p.Helper()
	l, err := gateway(p.srv).Connect(p.Context(), im.Login{Fields: componentFields(), Host: p.home})
	if err != nil {
		p.Fatal(err)
	}
	p.link = l
	synctest.Wait()
}

func (p *parlour) handle(ev im.Event) {
	p.Helper()
	if err := p.link.Handle(p.Context(), im.Addr{ID: "alice@hotmail.com"}, ev); err != nil {
		p.Fatalf("Handle(%+v): %v", ev, err)
	}
	synctest.Wait()
}

// bobs is bob on the account's list; follows says whether the user has him there.
func bobs(op im.EditOp, follows bool) im.ContactEdit {
	return im.ContactEdit{ID: fmt.Sprint("edit", op), Op: op, Who: im.Contact{Person: im.Person{Addr: im.Addr{Net: Name, ID: "bob@chat.test"}}, Follows: follows, Groups: []string{"Friends"}}}
}

// types lists the presence that reached bob: its type, or show, note and name.
func (p *parlour) types() (out []string) {
	for _, n := range hears(p.bob, "presence") {
		text := stream.Attr(n, "type")
		if text == "" {
			text = strings.TrimSpace("available " + stream.Text(n, stanza.NSClient, "show") + stream.Text(n, stanza.NSClient, "status"))
		}
		out = append(out, text+stream.Text(n, nsNick, "nick"))
	}
	return out
}

// befriend makes bob and alice see each other.
func (p *parlour) befriend() {
	p.Helper()
	p.bob.Send("<presence type='subscribe' to='" + aliceThere + "'/>")
	synctest.Wait()
	p.handle(bobs(im.Accept, false))
	p.handle(bobs(im.Add, true))
	p.bob.Send("<presence type='subscribed' to='" + aliceThere + "'/>")
	synctest.Wait()
	p.events()
	p.types()
}

// errors lists the conditions of the errors that reached bob.
func (p *parlour) errors(local string) (out []string) {
	for _, n := range hears(p.bob, local) {
		if stream.Attr(n, "type") == "error" {
			out = append(out, stream.ErrorOf(n).Condition)
		}
	}
	return out
}

func TestComponentSubscriptions(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Online, Note: "hi"}})
		p.events()
		for range 2 {
			p.bob.Send("<presence type='subscribe' to='" + aliceThere + "'><status>it's me</status></presence>")
		}
		edits := of[im.ContactEdit](p.events())
		if len(edits) != 1 || edits[0].Op != im.Add || !edits[0].Who.Asked || edits[0].Note != "" {
			t.Fatalf("%+v", edits)
		}
		equal(t, "before the answer", p.types(), "[]")
		p.handle(bobs(im.Accept, false))
		equal(t, "accepted", p.types(), "[subscribed available hi]")
		p.handle(bobs(im.Add, true))
		equal(t, "added", p.types(), "[subscribeAlice <A>]")
		p.bob.Send("<presence type='subscribed' to='" + aliceThere + "'/>")
		equal(t, "his presence", last(p.events()), int(im.Online))
		equal(t, "his list", p.srv.Roster("bob", aliceThere), `both "" [] `)

		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Away}})
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Hidden}})
		equal(t, "status", p.types(), "[available away unavailable]")
		p.bob.Send("<presence type='unavailable'/>")
		equal(t, "he goes", last(p.events()), int(im.Offline))
		p.bob.Send("<presence/>")
		p.events()
		p.types()
		p.bob.Send("<presence type='unsubscribe' to='" + aliceThere + "'/>")
		edits = of[im.ContactEdit](p.events())
		if len(edits) != 1 || edits[0].Op != im.Remove {
			t.Fatalf("%+v", edits)
		}
		equal(t, "he left", p.types(), "[unavailable unsubscribed]")
		p.bob.Send("<presence type='subscribe' to='" + aliceThere + "'/>") // alice still has him on her list
		r := of[im.Roster](p.events())
		if len(r) != 1 || !r[0].Items[0].Followed || !r[0].Items[0].Follows || !slices.Equal(r[0].Items[0].Groups, []string{"Friends"}) {
			t.Fatalf("%+v", r)
		}
		equal(t, "he came back", p.types(), "[subscribed unavailable]")
		p.handle(bobs(im.Remove, false))
		p.handle(bobs(im.Remove, false))
		equal(t, "removed", p.types(), "[unsubscribe]")
	})
}

// What was agreed outlives the connection, and who went meanwhile is not shown as
// there.
func TestComponentRemembers(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Online}})
		p.befriend()
		p.link.Close()
		equal(t, "signed off", p.types(), "[unavailable]")
		p.home.set(func() { p.home.people["alice@hotmail.com"] = im.Presence{} })
		p.connect()
		equal(t, "presence", last(p.events()), int(im.Online))
		equal(t, "told bob", p.types(), "[unavailable]")
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Busy}})
		equal(t, "status", p.types(), "[available dnd]")
		p.bob.Send("<presence type='probe' to='" + aliceThere + "'/>")
		equal(t, "probed", p.types(), "[available dnd]")
		p.bob.Quit()
		p.link.Close()
		p.connect()
		p.events()
		pass(probeSilence + time.Second)
		equal(t, "silent", last(p.events()), int(im.Offline))
	})
}

func TestComponentStrangers(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Online}})
		say := func() {
			p.bob.Send("<message type='chat' id='m' to='" + aliceThere + "'><body>x</body></message>")
			synctest.Wait()
		}
		p.bob.Send("<presence type='probe' to='" + aliceThere + "'/>")
		equal(t, "probe of a stranger", p.types(), "[unsubscribed]")
		p.home.set(func() { p.home.settings["accept_from"] = fromContacts })
		say()
		equal(t, "contacts only", p.errors("message"), "[subscription-required]")
		p.bob.Send("<presence type='subscribe' to='" + aliceThere + "'/>")
		equal(t, "contacts only", p.types(), "[unsubscribed]")
		p.bob.Send("<message type='chat' to='" + aliceThere + "'><composing xmlns='" + nsActive + "'/></message>")
		equal(t, "typing of a stranger", len(of[im.Typing](p.events())), 0)
		p.home.set(func() { p.home.settings["accept_from"] = fromList; p.home.settings["accept_list"] = "chat.test" })
		say()
		equal(t, "on the list", said(p.events()), "[x]")
		p.home.set(func() { p.home.blocked["bob@chat.test"] = true })
		say()
		equal(t, "blocked", p.errors("message"), "[service-unavailable]")
		p.bob.Send("<presence type='subscribe' to='" + aliceThere + "'/>")
		equal(t, "blocked", p.types(), "[unsubscribed]")
		const nobody = `nobody\40hotmail.com@msn.chat.test`
		for _, typ := range []string{"probe", "subscribe"} {
			p.bob.Send("<presence type='" + typ + "' to='" + nobody + "'/>")
			equal(t, typ, p.types(), "[unsubscribed]")
		}
		p.bob.Send("<message type='chat' id='m' to='" + nobody + "'><body>x</body></message>")
		p.bob.Send("<message type='error' id='m' to='" + nobody + "'><body>x</body></message>")
		p.bob.Send("<message type='groupchat' id='m' to='" + aliceThere + "'><body>x</body></message>")
		equal(t, "nobody", p.errors("message"), "[item-not-found service-unavailable]")
		equal(t, "no more", said(p.events()), "[]")
	})
}

// A receipt says that a message is on disk, not before.
func TestComponentReceipts(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Online}})
		p.befriend()
		p.home.set(func() { p.home.hold = true })
		p.bob.Send("<message type='chat' id='message-1' to='" + aliceThere + "'><body>one</body><request xmlns='" + nsReceipts + "'/><markable xmlns='" + nsMarkers + "'/></message>")
		m := of[im.Message](p.events())
		if len(m) != 1 || m[0].Text != "one" || m[0].Conv != "bob@chat.test" {
			t.Fatalf("%+v", m)
		}
		equal(t, "before the disk", len(hears(p.bob, "message")), 0)
		p.home.waiting[0](nil)
		got := hears(p.bob, "message")
		if len(got) != 1 || stream.Attr(stream.Child(got[0], nsReceipts, "received"), "id") != "message-1" || stream.Attr(got[0], "from") != aliceThere+"/"+device {
			t.Fatalf("%+v", got)
		}
		p.handle(im.Receipt{ID: m[0].ID, Conv: m[0].Conv, State: im.Read})
		got = hears(p.bob, "message")
		if len(got) != 1 || stream.Attr(stream.Child(got[0], nsMarkers, "displayed"), "id") != "message-1" {
			t.Errorf("%+v", got)
		}
		p.handle(im.Message{ID: "out-1", Conv: "bob@chat.test", Text: "two"})
		equal(t, "sent", of[im.Receipt](p.events()), "[{out-1  bob@chat.test 0 <nil>}]")
		p.bob.Send("<message to='" + aliceThere + "'><received xmlns='" + nsReceipts + "' id='out-1'/></message>")
		equal(t, "delivered", of[im.Receipt](p.events()), "[{out-1  bob@chat.test 1 <nil>}]")
		p.handle(im.Typing{Conv: "bob@chat.test", On: true})
		pass(2 * typingEnds)
		var states []string
		for _, n := range hears(p.bob, "message") {
			if c := stream.Child(n, nsActive, ""); c != nil {
				states = append(states, c.XMLName.Local)
			}
		}
		equal(t, "typing", states, "[active composing paused]")
	})
}

// Clients that count from 1 do not repeat their first message; those that name
// theirs do, when they got no receipt.
func TestComponentRepeats(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		for id, once := range map[string]bool{"1": false, "": false, "a-name-for-this-one": true} {
			var ids []string
			for range 2 {
				p.bob.Send("<message type='chat' id='" + id + "' to='" + aliceThere + "'><body>ok</body></message>")
				for _, m := range of[im.Message](p.events()) {
					ids = append(ids, m.ID)
				}
				pass(time.Second)
			}
			if len(ids) != 2 || (ids[0] == ids[1]) != once {
				t.Errorf("%q: %q", id, ids)
			}
		}
	})
}

func TestComponentInquiries(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		ask := func(typ, to, payload string) *stanza.Node {
			t.Helper()
			p.bob.Send("<iq type='" + typ + "' id='q' to='" + to + "'>" + payload + "</iq>")
			got := hears(p.bob, "iq")
			if len(got) != 1 || stream.Attr(got[0], "from") != to {
				t.Fatalf("%s: %+v", payload, got)
			}
			return got[0]
		}
		const gate = "msn.chat.test"
		info := stream.Child(ask("get", gate, "<query xmlns='"+stanza.NSDiscoInfo+"'/>"), stanza.NSDiscoInfo, "query")
		if id := stream.Child(info, stanza.NSDiscoInfo, "identity"); stream.Attr(id, "category") != "gateway" || stream.Attr(id, "type") != "msn" {
			t.Errorf("%+v", info)
		}
		prompt := ask("get", gate, "<query xmlns='"+nsGateway+"'/>")
		if stream.Text(stream.Child(prompt, nsGateway, "query"), nsGateway, "prompt") == "" {
			t.Errorf("%+v", prompt)
		}
		jid := ask("set", gate, "<query xmlns='"+nsGateway+"'><prompt> Alice@Hotmail.com </prompt></query>")
		equal(t, "address", stream.Text(stream.Child(jid, nsGateway, "query"), nsGateway, "jid"), aliceThere)
		card := ask("get", aliceThere, "<vCard xmlns='vcard-temp'/>")
		equal(t, "vCard", stream.Text(stream.Child(card, nsVCard, "vCard"), nsVCard, "FN"), "Alice <A>")
		equal(t, "ping", stream.Attr(ask("get", aliceThere+"/nudge", "<ping xmlns='urn:xmpp:ping'/>"), "type"), "result")
		for _, c := range []struct{ typ, to, payload, want string }{
			{"set", gate, "<query xmlns='" + nsGateway + "'><prompt>nobody@x</prompt></query>", "item-not-found"},
			{"get", `nobody\40x@msn.chat.test`, "<vCard xmlns='vcard-temp'/>", "item-not-found"},
			{"get", gate, "<query xmlns='jabber:iq:register'/>", "not-allowed"},
			{"set", gate, "<query xmlns='jabber:iq:register'/>", "not-allowed"},
			{"set", gate, "<command xmlns='" + nsCommands + "' node='stop'/>", "item-not-found"},
			{"set", gate, "<command xmlns='" + nsCommands + "' node='who' action='next'/>", "bad-request"},
			{"get", gate, "<query xmlns='" + stanza.NSDiscoInfo + "' node='stop'/>", "item-not-found"},
			{"set", aliceThere, "<vCard xmlns='vcard-temp'/>", "service-unavailable"},
			{"get", aliceThere, "<query xmlns='jabber:iq:roster'/>", "service-unavailable"},
		} {
			equal(t, c.payload, stream.ErrorOf(ask(c.typ, c.to, c.payload)).Condition, c.want)
		}
		p.home.set(func() { p.home.settings["accept_from"] = fromContacts })
		equal(t, "a stranger", stream.ErrorOf(ask("get", aliceThere, "<vCard xmlns='vcard-temp'/>")).Condition, "service-unavailable")
	})
}

// TestComponentPrivilege: whom an account adds is asked, unless the owner wants that he
// is not and the server allows it.
func TestComponentPrivilege(t *testing.T) {
	for _, c := range []struct {
		setting string
		granted bool
		revoked bool // and another server claims the same
		refuses bool // without saying so
		list    string
	}{
		{rosterSet, true, false, false, `both "Alice <A>" [] `}, {"", true, false, false, `none "" [] `}, {rosterSet, false, false, false, `none "" [] `},
		{rosterSet, true, true, false, `none "" [] `}, {rosterSet, true, false, true, `none "Alice <A>" [] `},
	} {
		host(t, im.Online, func(p *parlour) {
			p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Online, Note: "hi"}})
			p.home.set(func() { p.home.settings[rosterKey] = c.setting })
			p.srv.Reluctant = c.refuses
			if c.granted {
				p.srv.Privilege(true)
			}
			if c.revoked {
				p.srv.PushComponent("<message from='far.test' to='msn.chat.test'><privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='both'/></privilege></message>")
				p.srv.Privilege(false)
			}
			p.events()
			p.handle(bobs(im.Add, true))
			want := "[subscribeAlice <A>]"
			if strings.HasPrefix(c.list, "both") {
				want = "[available hi]"
			}
			equal(t, "what bob gets", p.types(), want)
			equal(t, "his list", p.srv.Roster("bob", aliceThere), c.list)
			r := of[im.Roster](p.events())
			if known := len(r) == 1 && r[0].Items[0].Followed && r[0].Items[0].Follows; known != strings.HasPrefix(c.list, "both") {
				t.Errorf("%+v: the hub is told %+v", c, r)
			}
		})
	}
}

// TestComponentCommands asks who is here: whom one may write to.
func TestComponentCommands(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		ask := func(typ, payload string) *stanza.Node {
			p.bob.Send("<iq type='" + typ + "' id='q' to='msn.chat.test'>" + payload + "</iq>")
			return hears(p.bob, "iq")[0]
		}
		items := stream.Child(ask("get", "<query xmlns='"+stanza.NSDiscoItems+"' node='"+nsCommands+"'/>"), stanza.NSDiscoItems, "query")
		equal(t, "commands", stream.Attr(stream.Child(items, stanza.NSDiscoItems, "item"), "node"), "who")
		equal(t, "without a node", len(stream.Child(ask("get", "<query xmlns='"+stanza.NSDiscoItems+"'/>"), stanza.NSDiscoItems, "query").Nodes), 0)
		const who = "<command xmlns='" + nsCommands + "' node='who' action='execute'/>"
		here := func() (all []string) {
			form := stream.Child(stream.Child(ask("set", who), nsCommands, "command"), nsForm, "x")
			for _, n := range form.Nodes {
				if n.XMLName.Local == "item" {
					all = append(all, stream.Text(&n.Nodes[0], nsForm, "value")+" "+stream.Text(&n.Nodes[1], nsForm, "value"))
				}
			}
			return all
		}
		equal(t, "here", here(), `[Alice <A> alice\40hotmail.com@msn.chat.test Alice <A> carl\40hotmail.com@msn.chat.test]`)
		p.home.set(func() { p.home.settings["accept_from"] = fromContacts })
		equal(t, "a stranger", stream.ErrorOf(ask("set", who)).Condition, "forbidden")
		p.home.set(func() { p.home.settings["accept_from"] = fromHomeserver })
		p.befriend()
		p.home.set(func() { p.home.settings["accept_from"] = fromContacts })
		equal(t, "a contact of alice", here(), `[Alice <A> alice\40hotmail.com@msn.chat.test]`)
		p.home.set(func() { p.home.blocked["bob@chat.test"] = true })
		equal(t, "blocked", stream.ErrorOf(ask("set", who)).Condition, "forbidden")
		cancel := stream.Child(ask("set", "<command xmlns='"+nsCommands+"' node='who' action='cancel' sessionid='s1'/>"), nsCommands, "command")
		equal(t, "cancelled", stream.Attr(cancel, "status")+stream.Attr(cancel, "sessionid"), "canceleds1")
	})
}

// Who is no account any more leaves nothing behind.
func TestComponentMovesOut(t *testing.T) {
	host(t, im.Online, func(p *parlour) {
		p.handle(im.PresenceChanged{Now: im.Presence{Status: im.Online}})
		p.befriend()
		p.home.set(func() { delete(p.home.people, "alice@hotmail.com") })
		p.handle(im.PresenceChanged{})
		equal(t, "told bob", p.types(), "[unavailable unsubscribed unsubscribe]")
		equal(t, "on disk", len(p.home.kvs[im.Addr{ID: "alice@hotmail.com"}].kv), 0)
		if err := p.link.Handle(t.Context(), im.Addr{ID: "alice@hotmail.com"}, im.Message{ID: "m", Conv: "bob@chat.test", Text: "x"}); err == nil {
			t.Error("a message of nobody was taken")
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"alice@hotmail.com", "o'brien@x", `a\40b`, "", "a/b&c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, h string) {
		if j := address(h, "msn.x"); !strings.Contains(h, `\`) && handle(j) != h {
			t.Errorf("%q: %q, back %q", h, j, handle(j))
		}
		handle(stream.JID{Local: h})
	})
}

func FuzzPrivilege(f *testing.F) {
	for _, s := range []string{
		"<message xmlns='jabber:client'><privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='both'/></privilege></message>",
		"<message xmlns='jabber:client'><privilege xmlns='urn:evil'><perm access='roster' type='both'/></privilege></message>",
		"<message xmlns='jabber:client'><privilege xmlns='urn:xmpp:privilege:1'><perm access='roster' type='get'/><perm/></privilege></message>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := new(stanza.Node)
		if xml.Unmarshal([]byte(s), n) != nil {
			return
		}
		again := &stanza.Node{Nodes: slices.DeleteFunc(slices.Clone(n.Nodes), func(c stanza.Node) bool { return strings.HasPrefix(c.XMLName.Space, nsPrivilege) })}
		if may, told := readPrivilege(again); may || told {
			t.Errorf("%q tells of a privilege without one", s)
		}
		if may, told := readPrivilege(n); may && !told {
			t.Errorf("%q lets us change lists", s)
		}
	})
}
