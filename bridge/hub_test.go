package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// box is a hub on a store of its own that can be closed and opened again.
type box struct {
	*Hub
	t    *testing.T
	dir  string
	db   *store.DB
	wire *wire
	gate *wire // the same network for all accounts at once

	clock chan struct{} // nil: the clock is set
}

func newBox(t *testing.T) *box {
	b := &box{t: t, dir: t.TempDir(), wire: newWire(), gate: newWire()}
	b.open()
	t.Cleanup(b.close)
	return b
}

func (b *box) open() {
	b.t.Helper()
	log := slog.New(slog.NewTextHandler(b.t.Output(), nil))
	db, err := store.Open(b.dir, store.Options{Log: log})
	if err != nil {
		b.t.Fatal(err)
	}
	b.db = db
	h, err := New(Config{Store: db, Networks: map[string]im.Network{"wire": b.wire}, Gateways: map[string]im.Network{"wire": b.gate}, Log: log, Clock: b.clock})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Hub = h
	h.Start()
}

func (b *box) close() {
	if b.Hub == nil {
		return
	}
	if err := b.Close(context.Background()); err != nil {
		b.t.Error(err)
	}
	if err := b.db.Close(); err != nil {
		b.t.Error(err)
	}
	b.Hub = nil
}

func (b *box) restart() { b.close(); b.open() }

func (b *box) user(handle string) {
	b.t.Helper()
	if err := b.CreateAccount(b.t.Context(), handle, "", "secret", false); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) signOn(handle string) (*Session, *sink) {
	b.t.Helper()
	k := &sink{proves: true}
	s, err := b.SignOn(handle, Client{Proto: "test"}, k)
	if err != nil {
		b.t.Fatal(err)
	}
	s.SetPresence(im.Presence{Status: im.Online}, "1")
	return s, k
}

// sink is a client that writes down what it gets.
type sink struct {
	mu     sync.Mutex
	events []im.Event
	held   []func(bool)
	proves bool // says at once that a message arrived

	settling sync.Mutex
}

func (k *sink) Deliver(ev im.Event, settle func(bool)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, ev)
	if settle != nil {
		k.held = append(k.held, settle)
		if k.proves {
			go k.settle(true)
		}
	}
}

// settle says of every message that is not settled, in order, whether it
// arrived: it did not when the client's machine is cut off.
func (k *sink) settle(ok bool) {
	k.settling.Lock()
	defer k.settling.Unlock()
	k.mu.Lock()
	held := k.held
	k.held = nil
	k.mu.Unlock()
	for _, f := range held {
		f(ok)
	}
}

// rest lets everything that is under way happen, commits included.
func rest() {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

// take returns what came since the last call, once everything is at rest.
func (k *sink) take() []im.Event {
	rest()
	k.mu.Lock()
	defer k.mu.Unlock()
	evs := k.events
	k.events = nil
	return evs
}

func (k *sink) texts() (out []string) {
	for _, ev := range k.take() {
		if m, ok := ev.(im.Message); ok {
			out = append(out, m.Text)
		}
	}
	return out
}

func of[T im.Event](evs []im.Event) (out []T) {
	for _, ev := range evs {
		if e, ok := ev.(T); ok {
			out = append(out, e)
		}
	}
	return out
}

// wire is a network inside the test: what the hub sends out lies in got, and
// the test plays the server.
type wire struct {
	mu    sync.Mutex
	down  bool
	mute  bool         // takes messages and says nothing
	plain bool         // knows nothing that relates to another message
	known []im.Contact // the contact list as the server has it
	links []*wireLink
	got   []im.Event
	err   error

	opened []string      // files
	shut   error         // why there are none
	hold   chan struct{} // until it is closed they are on their way, and then lost

	upload func(ctx context.Context, f im.File, r io.Reader) (ref string, err error) // nil: files can't be sent
}

type wireLink struct {
	w    *wire
	host im.Host
	user im.Addr
	end  chan struct{}
	once sync.Once
}

func newWire() *wire { return &wire{} }

func (w *wire) Fields() []im.Field {
	return []im.Field{{Key: "name", Label: "Name"}, {Key: "password", Label: "Password", Secret: true}}
}
func (w *wire) Settings() []im.Field {
	return []im.Field{im.ShowReactions(), im.ShowJoins(), im.WaitDays(), im.WhenAway(), im.ShowPicture()}
}

func (w *wire) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, &im.Lost{Text: "the server is away"}
	}
	k := &wireLink{w: w, host: l.Host, user: l.User, end: make(chan struct{})}
	w.links = append(w.links, k)
	var evs []im.Event
	if w.known != nil {
		evs = append(evs, im.Roster{Full: true, Items: w.known})
	}
	return k, k.host.Accept(ctx, im.Batch{User: l.User, Events: append(evs, im.LinkState{State: im.Up})}, nil)
}

func (w *wire) link() *wireLink {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.links) == 0 {
		return nil
	}
	return w.links[len(w.links)-1]
}

func (w *wire) set(f func(*wire)) { w.mu.Lock(); f(w); w.mu.Unlock() }

func (w *wire) sent() (out []im.Event) {
	rest()
	w.mu.Lock()
	defer w.mu.Unlock()
	out, w.got = w.got, nil
	return out
}

func (k *wireLink) Handle(ctx context.Context, user im.Addr, ev im.Event) error {
	k.w.mu.Lock()
	k.w.got = append(k.w.got, ev)
	mute, plain, err := k.w.mute, k.w.plain, k.w.err
	k.w.mu.Unlock()
	if m, is := ev.(im.Message); is && plain && m.Rel.Kind != im.NoRel {
		return im.ErrUnsupported
	}
	if err != nil || mute {
		return err
	}
	id := ""
	switch ev := ev.(type) {
	case im.Message:
		id = ev.ID
	case im.ContactEdit:
		id = ev.ID
	default:
		return nil
	}
	return k.host.Accept(ctx, im.Batch{User: user, Events: []im.Event{im.Receipt{ID: id, State: im.Sent}}}, nil)
}

func (k *wireLink) in(ctx context.Context, evs ...im.Event) error {
	return k.host.Accept(ctx, im.Batch{User: k.user, Events: evs}, nil)
}

func (k *wireLink) Find(_ context.Context, _ im.Addr, handle string) (im.Person, error) {
	if id := strings.TrimPrefix(handle, "also."); strings.HasSuffix(id, "@wire.test") {
		return im.Person{Addr: im.Addr{Net: "wire", ID: id}, Name: "found"}, nil
	}
	return im.Person{}, im.ErrNotFound
}

func (k *wireLink) Open(_ context.Context, _ im.Addr, ref string) (io.ReadCloser, im.File, error) {
	k.w.mu.Lock()
	k.w.opened = append(k.w.opened, ref)
	hold, err := k.w.hold, k.w.shut
	k.w.mu.Unlock()
	if hold != nil {
		<-hold
		err = errors.New("cut")
	}
	if err != nil {
		return nil, im.File{}, err
	}
	return io.NopCloser(strings.NewReader("bytes of " + ref)), im.File{}, nil
}

// Upload keeps what it is given.
func (k *wireLink) Upload(ctx context.Context, _ im.Addr, _ string, f im.File, r io.Reader) (string, error) {
	k.w.mu.Lock()
	take := k.w.upload
	k.w.mu.Unlock()
	if take == nil {
		return "", im.ErrUnsupported
	}
	return take(ctx, f, r)
}
func (k *wireLink) Wait() error  { <-k.end; return &im.Lost{Text: "cut"} }
func (k *wireLink) Close() error { k.once.Do(func() { close(k.end) }); return nil }

func (b *box) linked(handle string) {
	b.t.Helper()
	if err := b.AddLink(b.t.Context(), handle, "wire", map[string]string{"name": "x", "password": "y"}); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *box) in(evs ...im.Event) {
	b.t.Helper()
	if err := b.wire.link().in(b.t.Context(), evs...); err != nil {
		b.t.Fatal(err)
	}
}

func wirePerson(id string) im.Person { return im.Person{Addr: im.Addr{Net: "wire", ID: id}} }

func says(id, from, text string) im.Message {
	return im.Message{ID: id, Conv: from, From: im.Addr{Net: "wire", ID: from}, At: time.Now(), Text: text}
}

func on(t *testing.T, f func(t *testing.T, b *box)) {
	synctest.Test(t, func(t *testing.T) { b := newBox(t); f(t, b); b.close() })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestTwoAccountsSeeEachOther(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("Alice@hotmail.com")
		b.user("bob@hotmail.com")
		alice, ak := b.signOn("alice@HOTMAIL.com")
		_, bk := b.signOn("bob@hotmail.com")
		must(alice.Add(t.Context(), FL, "BOB@hotmail.com", 0))
		alice.Announce("bob@hotmail.com", "7")
		if got := of[im.PresenceChanged](ak.take()); len(got) != 1 || got[0].Re != "7" || got[0].Now.Status != im.Online {
			t.Fatalf("alice sees %+v", got)
		}
		if got := of[im.ListChanged](bk.take()); len(got) != 1 || got[0].List != "RL" || got[0].Who.ID != "Alice@hotmail.com" {
			t.Fatalf("bob is told %+v", got)
		}
		bob2, _ := b.signOn("bob@hotmail.com")
		if got := of[im.SignedOff](bk.take()); len(got) != 1 || got[0].Why != im.Elsewhere {
			t.Fatalf("the older session is told %+v", got)
		}
		ak.take()
		must(bob2.Add(t.Context(), BL, "alice@hotmail.com", 0))
		if got := of[im.PresenceChanged](ak.take()); len(got) != 1 || got[0].Now.Status != im.Offline {
			t.Fatalf("blocked alice sees %+v", got)
		}
		if _, err := bob2.Add(t.Context(), AL, "alice@hotmail.com", 0); err != ErrOpposite {
			t.Errorf("on both lists: %v", err)
		}
		must(bob2.Remove(t.Context(), BL, "alice@hotmail.com", 0, false))
		if got := of[im.PresenceChanged](ak.take()); len(got) != 1 || got[0].Now.Status != im.Online {
			t.Fatalf("alice sees %+v", got)
		}
		before := alice.Lists()
		b.restart()
		alice, _ = b.signOn("alice@hotmail.com")
		after := alice.Lists()
		if after.Version <= before.Version || len(after.On(FL)) != 1 {
			t.Errorf("after a restart: %+v", after)
		}
	})
}

// converse brings two signed-on clients into one session.
func converse(t *testing.T, b *box, from *Session, to *sink, handle string) (a, c *Seat, ak, ck *sink) {
	t.Helper()
	ak, ck = &sink{proves: true}, &sink{}
	cookie := must(from.Cookie())
	a = must(b.Open(cookie, from.Person().ID, ak, func(im.Person) {}))
	to.take()
	if err := a.Call(handle, func(uint32) {}); err != nil {
		t.Fatal(err)
	}
	inv := of[im.Invitation](to.take())[0]
	c = must(b.Answer(inv.Cookie, handle, inv.Session, ck, func(_ im.Person, present []im.Membership) {
		if len(present) != 1 {
			t.Errorf("present: %v", present)
		}
	}))
	return a, c, ak, ck
}

func TestUnprovedMessageComesBackAtTheNextSignOn(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("bob@hotmail.com")
		alice, _ := b.signOn("alice@hotmail.com")
		bob, bk := b.signOn("bob@hotmail.com")
		a, c, _, ck := converse(t, b, alice, bk, "bob@hotmail.com")
		for i := range 3 {
			a.Send(im.Message{Text: fmt.Sprint("m", i), Raw: []byte("raw")}, func(err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if got := ck.texts(); len(got) != 3 {
			t.Fatalf("bob got %q", got)
		}
		bob.Close()
		ck.settle(false)
		c.Leave(false)
		b.restart()
		time.Sleep(2 * time.Minute)
		_, bk = b.signOn("bob@hotmail.com")
		inv := of[im.Invitation](bk.take())
		if len(inv) != 1 || inv[0].From.ID != "alice@hotmail.com" {
			t.Fatalf("rung by %+v", inv)
		}
		ck = &sink{proves: true}
		must(b.Answer(inv[0].Cookie, "bob@hotmail.com", inv[0].Session, ck, func(im.Person, []im.Membership) {}))
		got := of[im.Message](ck.take())
		if len(got) != 3 || got[0].Text != "m0" || got[2].Text != "m2" || !got[0].Late {
			t.Fatalf("late messages: %+v", got)
		}
		time.Sleep(2 * time.Second)
		if in := b.AccountList()[1]; in.Waiting != 0 {
			t.Errorf("%d still wait", in.Waiting)
		}
	})
}

func TestSigningOnElsewhereEndsTheConversations(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("bob@hotmail.com")
		alice, _ := b.signOn("alice@hotmail.com")
		_, bk := b.signOn("bob@hotmail.com")
		a, _, ak, ck := converse(t, b, alice, bk, "bob@hotmail.com")
		ak.take()
		b.signOn("bob@hotmail.com")
		if got := of[im.SignedOff](ck.take()); len(got) != 1 {
			t.Errorf("the old seat is told %+v", got)
		}
		if got := of[im.Membership](ak.take()); len(got) != 1 || got[0].Joined {
			t.Errorf("alice is told %+v", got)
		}
		var nak error
		a.Send(im.Message{Text: "anybody?"}, func(err error) { nak = err })
		if nak != ErrAlone {
			t.Errorf("a message to nobody: %v", nak)
		}
	})
}

func TestForeignMessageRingsWaitsAndIsNotDoubled(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		bob := wirePerson("bob@wire.test")
		b.in(im.Roster{Full: true, Items: []im.Contact{{Person: bob, Follows: true, Followed: true}}})
		b.in(says("1", bob.ID, "while away"))
		time.Sleep(time.Second)
		_, k := b.signOn("alice@hotmail.com")
		b.in(says("2", bob.ID, "two"), says("1", bob.ID, "while away"))
		evs := k.take()
		inv := of[im.Invitation](evs)
		if len(inv) != 1 || len(of[im.PresenceChanged](evs)) != 1 {
			t.Fatalf("sign-on brought %+v", evs)
		}
		time.Sleep(ringTime + time.Second) // nobody answers
		if _, err := b.Answer(inv[0].Cookie, "alice@hotmail.com", inv[0].Session, k, func(im.Person, []im.Membership) {}); err != ErrCookie {
			t.Errorf("a call that was given up can be answered: %v", err)
		}
		b.in(says("3", bob.ID, "three"))
		inv = of[im.Invitation](k.take())
		if len(inv) != 1 {
			t.Fatalf("the next message rings %d times", len(inv))
		}
		seat := &sink{proves: true}
		must(b.Answer(inv[0].Cookie, "alice@hotmail.com", inv[0].Session, seat, func(im.Person, []im.Membership) {}))
		got := of[im.Message](seat.take())
		if len(got) != 3 || got[0].Text != "while away" || got[1].Text != "two" || got[2].Text != "three" {
			t.Fatalf("delivered %+v", got)
		}
		if !got[0].Late || got[1].Late || got[2].Late {
			t.Errorf("only what was said before signing on is late: %+v", got)
		}
		if got := of[im.Receipt](b.wire.sent()); len(got) == 0 || got[len(got)-1].ID != "3" || got[len(got)-1].State != im.Read {
			t.Errorf("read markers: %+v", got)
		}
		b.restart()
		synctest.Wait()
		b.in(says("2", bob.ID, "two"))
		_, k = b.signOn("alice@hotmail.com")
		if inv := of[im.Invitation](k.take()); len(inv) != 0 {
			t.Errorf("a message that was delivered rings again")
		}
	})
}

// A client that has died is noticed late: what it was given and did not prove
// must not be overtaken by what comes for the next one.
func TestNewMessageDoesNotOvertakeUnprovedOnes(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		first, dead := guestSeat(t, b)
		dead.proves = false
		b.in(says("1", "bob@wire.test", "one"), says("2", "bob@wire.test", "two"))
		if got := dead.texts(); !slices.Equal(got, []string{"one", "two"}) {
			t.Fatalf("delivered %q", got)
		}
		k := &sink{proves: true}
		next := must(b.Open(must(first.session.Cookie()), "alice@hotmail.com", k, func(im.Person) {}))
		if err := next.Call("bob@wire.test", func(uint32) {}); err != nil {
			t.Fatal(err)
		}
		b.in(says("3", "bob@wire.test", "three"))
		if got := k.texts(); len(got) != 0 {
			t.Errorf("%q overtake what the first client has not proved", got)
		}
		first.Leave(false)
		dead.settle(false)
		if got := k.texts(); !slices.Equal(got, []string{"one", "two", "three"}) {
			t.Errorf("the next client gets %q", got)
		}
	})
}

// guestSeat signs alice on and calls bob, a contact on the network.
func guestSeat(t *testing.T, b *box) (*Seat, *sink) {
	t.Helper()
	b.user("alice@hotmail.com")
	b.linked("alice@hotmail.com")
	b.in(im.Roster{Full: true, Items: []im.Contact{{Person: wirePerson("bob@wire.test"), Follows: true}}})
	s, _ := b.signOn("alice@hotmail.com")
	k := &sink{proves: true}
	seat := must(b.Open(must(s.Cookie()), "alice@hotmail.com", k, func(im.Person) {}))
	if err := seat.Call("bob@wire.test", func(uint32) {}); err != nil {
		t.Fatal(err)
	}
	if got := of[im.Membership](k.take()); len(got) != 1 || !got[0].Joined {
		t.Fatalf("bob joins: %+v", got)
	}
	b.wire.sent()
	return seat, k
}

func TestOutgoingSurvivesALostLink(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		seat, _ := guestSeat(t, b)
		acks := map[string]error{}
		send := func(text string) {
			seat.Send(im.Message{Text: text}, func(err error) { acks[text] = err })
		}
		b.wire.set(func(w *wire) { w.mute = true })
		send("unconfirmed")
		first := of[im.Message](b.wire.sent())
		if len(first) != 1 || len(acks) != 0 {
			t.Fatalf("sent %+v, acks %v", first, acks)
		}
		b.wire.set(func(w *wire) { w.down = true })
		b.wire.link().Close()
		synctest.Wait()
		send("while down")
		time.Sleep(time.Second)
		synctest.Wait()
		if err, ok := acks["unconfirmed"]; !ok || err != nil {
			t.Error("not acknowledged from disk")
		}
		if err, ok := acks["while down"]; !ok || err != nil {
			t.Error("not acknowledged from disk while down")
		}
		b.restart()
		b.wire.set(func(w *wire) { w.down, w.mute = false, false })
		time.Sleep(time.Minute)
		got := of[im.Message](b.wire.sent())
		if len(got) != 2 || got[0].ID != first[0].ID || got[1].Text != "while down" {
			t.Fatalf("after the restart: %+v", got)
		}
		b.restart()
		time.Sleep(time.Minute)
		if got := of[im.Message](b.wire.sent()); len(got) != 0 {
			t.Errorf("confirmed messages go out again: %+v", got)
		}
	})
}

// A link that is up and does not answer, as after a cut that nobody noticed yet.
func TestUnansweredMessageIsAcknowledgedFromDisk(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		seat, _ := guestSeat(t, b)
		b.wire.set(func(w *wire) { w.mute = true })
		var acked atomic.Int32
		seat.Send(im.Message{Text: "hello"}, func(err error) {
			if acked.Add(1); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(answerWithin - time.Second)
		if acked.Load() != 0 {
			t.Error("acknowledged before it is anywhere")
		}
		time.Sleep(2 * time.Second)
		if n := acked.Load(); n != 1 {
			t.Errorf("acknowledged %d times", n)
		}
		first := of[im.Message](b.wire.sent())
		b.restart()
		b.wire.set(func(w *wire) { w.mute = false })
		time.Sleep(time.Minute)
		if got := of[im.Message](b.wire.sent()); len(first) != 1 || len(got) != 1 || got[0].ID != first[0].ID {
			t.Errorf("first %+v, after a restart %+v", first, got)
		}
	})
}

func TestRefusedMessageComesBackWithTheReason(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		seat, k := guestSeat(t, b)
		b.wire.set(func(w *wire) { w.err = &im.Refused{Text: "the room is encrypted"} })
		var nak error
		seat.Send(im.Message{Text: "hello"}, func(err error) { nak = err })
		if got := k.texts(); len(got) != 1 || got[0] != `Not delivered (the room is encrypted): "hello"` {
			t.Errorf("alice reads %q", got)
		}
		if nak == nil {
			t.Error("acknowledged")
		}
	})
}

func TestContactRemovedWhileTheLinkIsDownStaysRemoved(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		roster := im.Roster{Full: true, Items: []im.Contact{{Person: wirePerson("bob@wire.test"), Follows: true, Groups: []string{"Pals"}}}}
		b.in(roster)
		s, _ := b.signOn("alice@hotmail.com")
		if ls := s.Lists(); len(ls.On(FL)) != 1 || len(ls.Groups) != 1 || ls.Groups[0].Name != "Pals" {
			t.Fatalf("lists: %+v", ls)
		}
		b.wire.set(func(w *wire) { w.down = true })
		b.wire.link().Close()
		synctest.Wait()
		must(s.Remove(t.Context(), FL, "bob@wire.test", 0, false))
		b.restart()
		b.wire.set(func(w *wire) { w.down, w.mute = false, true })
		time.Sleep(time.Minute)
		b.in(roster)
		s, _ = b.signOn("alice@hotmail.com")
		if got := s.Lists().On(FL); len(got) != 0 {
			t.Errorf("the older snapshot brought %+v back", got)
		}
		if got := of[im.ContactEdit](b.wire.sent()); len(got) != 1 || got[0].Op != im.Remove {
			t.Errorf("the network was told %+v", got)
		}
	})
}

// What the network says of a contact while the user blocks and unblocks him as
// old clients do, in two steps each, must not get in between.
func TestRosterLeavesTheAllowListToTheUser(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		bob := im.Contact{Person: wirePerson("bob@wire.test"), Follows: true, Followed: true}
		roster := func() {
			b.in(im.Roster{Full: true, Items: []im.Contact{bob}})
			synctest.Wait()
		}
		roster()
		s, _ := b.signOn("alice@hotmail.com")
		for _, step := range []struct {
			l    List
			add  bool
			want List
		}{{AL, false, FL | RL}, {BL, true, FL | RL | BL}, {BL, false, FL | RL}, {AL, true, FL | RL | AL}} {
			if step.add {
				must(s.Add(t.Context(), step.l, bob.ID, 0))
			} else {
				must(s.Remove(t.Context(), step.l, bob.ID, 0, false))
			}
			roster()
			if got := s.Lists().Contacts[0].Lists; got != step.want {
				t.Fatalf("after %+v bob is on %b", step, got)
			}
		}
	})
}

func TestRosterThatLosesMoreThanHalfIsKept(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		var items []im.Contact
		for i := range 10 {
			items = append(items, im.Contact{Person: wirePerson(fmt.Sprintf("u%d@wire.test", i)), Follows: true})
		}
		b.in(im.Roster{Full: true, Items: items})
		b.in(im.Roster{Full: true, Items: items[:4]})
		s, _ := b.signOn("alice@hotmail.com")
		if n := len(s.Lists().On(FL)); n != 10 {
			t.Errorf("%d left", n)
		}
		b.in(im.Roster{Full: true, Items: items[:8]})
		if n := len(s.Lists().On(FL)); n != 8 {
			t.Errorf("%d left after losing two", n)
		}
	})
}

func TestHandles(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.user("bob@wire.test")
		a := b.accounts["alice@hotmail.com"]
		b.shared["xmpp"] = &port{rec: store.Link{Settings: map[string]string{im.Boxes: "msn2.example.org, msn3.example.org"}}}
		b.shared["matrix"] = &port{rec: store.Link{Settings: map[string]string{im.Boxes: "msn2_:example.org;MSN3_:example.org:8448"}}}
		defer func() { delete(b.shared, "xmpp"); delete(b.shared, "matrix") }()
		for _, c := range []struct{ net, id, name, want string }{
			{"wire", "carol@wire.test", "", "carol@wire.test"},
			{"wire", "bob@wire.test", "", "bob@wire.test.wire"},
			{"matrix", "@dave:example.org", "", "dave@example.org"},
			{"matrix", "@dave:example.org:8448", "", "dave@example.org"},
			{"matrix", "!abc:example.org", "The Pub", "The-Pub@example.org"},
			{"xmpp", `carl\40hotmail.com@msn2.example.org`, "", "carl@hotmail.com"},
			{"matrix", "@msn2_carl=40hotmail.com:example.org", "", "carl@hotmail.com"},
			{"matrix", "@msn3_big__carl=40hotmail.com:example.org:8448", "", "big_carl@hotmail.com"},
			{"matrix", "@msn3_carl=40hotmail.com:example.org", "", "msn3_carl=40hotmail.com@example.org"},
			{"matrix", "@msn_carl=40hotmail.com:example.org", "", "msn_carl=40hotmail.com@example.org"},
			{"matrix", "@msn2_nudge:example.org", "", "msn2_nudge@example.org"},
			{"matrix", "@msn2_a=40b=40c:example.org", "", "msn2_a=40b=40c@example.org"},
			{"xmpp", `dora\40hotmail.com@liar.example.org`, "", "dora-40hotmail.com@liar.example.org"},
		} {
			if got := a.handleFor(im.Addr{Net: c.net, ID: c.id}, c.name); got != c.want {
				t.Errorf("%s %s: %q, want %q", c.net, c.id, got, c.want)
			}
		}
		c := a.acquaint(im.Addr{Net: "wire", ID: "carol@wire.test"}, "")
		if a.find("carol.wire.test@hotmail.com") != c {
			t.Error("the alias does not find the contact")
		}
		long := a.handleFor(im.Addr{Net: "wire", ID: strings.Repeat("x", 200) + "@wire.test"}, "")
		if len(long) > maxHandle {
			t.Errorf("a handle of %d bytes", len(long))
		}
	})
}

// Somebody wrote and then went off the list: his words are still delivered.
func TestMessageOfSomebodyGoneIsDelivered(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		bob := wirePerson("bob@wire.test")
		b.in(im.Roster{Full: true, Items: []im.Contact{{Person: bob, Follows: true}}})
		b.in(says("1", bob.ID, "farewell"))
		b.in(im.Roster{Gone: []im.Addr{bob.Addr}})
		b.restart()
		rest()
		_, k := b.signOn("alice@hotmail.com")
		inv := of[im.Invitation](k.take())
		if len(inv) != 1 || inv[0].From.ID != bob.ID {
			t.Fatalf("rung by %+v", inv)
		}
		seat := &sink{proves: true}
		must(b.Answer(inv[0].Cookie, "alice@hotmail.com", inv[0].Session, seat, func(im.Person, []im.Membership) {}))
		if got := seat.texts(); len(got) != 1 || got[0] != "farewell" {
			t.Errorf("delivered %q", got)
		}
	})
}
