package xmpp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/fetch"
	"nudge/bridge/xmpp/stream"
)

// device is the resource that accounts have on a component.
const device = "nudge"

// component is the transport of all accounts. It implements im.Link.
//
// No server keeps a contact list for a component, so it keeps who may see whom
// itself, in its KV (residents.go). Nor does it keep messages: a sender's own
// client is told by a receipt that a message is on disk here, and that is the only
// acknowledgement there is (DESIGN.md §3).
//
// The stream's reader calls receive in order, Handle is called by the hub's
// lanes, the conductor greets at the start and does what is due later. mu guards
// the maps; it is held over neither Send nor Accept nor the KV.
type component struct {
	host   im.Host
	log    *slog.Logger
	s      *stream.Stream
	domain string
	hurry  chan struct{} // the conductor is to look whether somebody stopped typing, is silent, or owes a receipt
	saving chan struct{} // a token: one writes to the KV at a time
	lifetime

	mu        sync.Mutex
	residents map[string]*resident // by account
	lists     bool                 // the server lets us see to its people's contact lists
	unsaved   []change
}

func newComponent(host im.Host, s *stream.Stream, log *slog.Logger) *component {
	k := &component{
		host: host, log: log, s: s, domain: s.Bound().Domain, residents: map[string]*resident{},
		hurry: make(chan struct{}, 1), saving: make(chan struct{}, 1),
	}
	k.begin()
	return k
}

// start sets the component going, as link.start does.
func (k *component) start() {
	ready := make(chan struct{})
	k.s.Start(func(n *stanza.Node, done func()) {
		<-ready // who may see whom is known
		k.receive(n)
		done()
	})
	k.wg.Go(func() { k.run(ready) })
	go func() {
		k.last(k.s)
		k.closeRooms()
		k.wg.Wait()
		k.signOff()
		k.s.Close()
		close(k.done)
	}()
}

// run is the conductor.
func (k *component) run(ready chan struct{}) {
	err := k.load()
	close(ready)
	if err == nil {
		k.enterRooms()
		err = k.accept(im.Addr{}, nil, im.LinkState{Net: Name, State: im.Up})
	}
	if err == nil {
		err = k.greet()
	}
	if err != nil {
		k.end(err)
		return
	}
	k.conduct()
}

// conduct does what is due until the component ends.
func (k *component) conduct() {
	t := time.NewTimer(probeSilence)
	defer t.Stop()
	for due := time.Now().Add(probeSilence); ; { // zero: nothing is
		select {
		case <-k.ctx.Done():
			return
		case <-k.hurry:
			soon := time.Now().Add(min(probeSilence, typingEnds))
			if next := k.roomChores(time.Now()); next > 0 && next < time.Until(soon) {
				soon = time.Now().Add(next)
			}
			if due.IsZero() || soon.Before(due) {
				due = soon
				t.Reset(time.Until(due))
			}
		case <-t.C:
			k.sweep()
			due = time.Time{}
			now := time.Now()
			for _, next := range []time.Duration{k.stopTyping(now), k.remind(now), k.roomChores(now)} {
				if at := now.Add(next); next > 0 && (due.IsZero() || at.Before(due)) {
					due = at
				}
			}
			if !due.IsZero() {
				t.Reset(time.Until(due))
			}
		}
	}
}

// wake makes the conductor look in a while.
func (k *component) wake() {
	select {
	case k.hurry <- struct{}{}:
	default:
	}
}

// accept reports to the hub. An error has ended the link.
func (k *component) accept(user im.Addr, settled func(error), events ...im.Event) error {
	return k.acceptBatch(im.Batch{User: user, Events: events}, settled)
}

func (k *component) acceptBatch(b im.Batch, settled func(error)) error {
	err := k.host.Accept(k.ctx, b, settled)
	if err != nil {
		k.fail(err)
	}
	return err
}

// receive is the stream's handler.
func (k *component) receive(n *stanza.Node) {
	from, err := stream.ParseJID(stream.Attr(n, "from"))
	to, err2 := stream.ParseJID(stream.Attr(n, "to"))
	if err != nil || err2 != nil || to.Domain != k.domain || from.Domain == k.domain {
		return
	}
	switch n.XMLName.Local {
	case "message":
		k.message(n, from, to)
	case "presence":
		k.presence(n, from, to)
	case "iq":
		k.iq(n, from, to)
	}
}

// Handle carries ev out for user.
func (k *component) Handle(ctx context.Context, user im.Addr, ev im.Event) error {
	if k.ctx.Err() != nil {
		return errClosed
	}
	r, acct, ok := k.resident(user.ID)
	if !ok {
		if _, is := ev.(im.PresenceChanged); is {
			return k.moveOut(ctx, user)
		}
		return &im.Refused{Text: "The account is not on the gateway any more."}
	}
	switch ev := ev.(type) {
	case im.Message:
		if r.lobby.has(ev.Conv) {
			return r.lobby.say(ctx, ev)
		}
		return k.say(r, ev)
	case im.Typing:
		return k.typing(r, ev)
	case im.Receipt:
		return k.displayed(r, ev)
	case im.ContactEdit:
		return k.edit(ctx, r, acct, ev)
	case im.PresenceChanged:
		k.show(r, acct, ev.Now)
		return nil
	}
	return im.ErrUnsupported
}

// Find asks the other boxes who has the address there, and whether there is such an
// address, as far as servers tell. Accounts of this box are found without.
func (k *component) Find(ctx context.Context, _ im.Addr, who string) (im.Person, error) {
	p, unsure := k.findInBoxes(ctx, who)
	if unsure == nil {
		return p, nil
	}
	j, err := stream.ParseJID(who)
	if err != nil || j.Local == "" || j.Resource != "" || j.Domain == k.domain {
		return im.Person{}, im.ErrNotFound
	}
	iq := query(stanza.IQTypeGet, j.Domain, element(stanza.NSDiscoInfo, "query"))
	iq.From = k.domain
	_, err = k.s.Do(ctx, iq)
	var e *stream.StanzaError
	if errors.As(err, &e) {
		return im.Person{}, unsure
	}
	return im.Person{Addr: addr(j)}, err
}

// Open fetches a contact's picture, when ref is what his presence announced, or a
// file that somebody sent.
func (k *component) Open(ctx context.Context, user im.Addr, ref string) (io.ReadCloser, im.File, error) {
	if fetch.Usable(ref) {
		return fetch.Get(ctx, ref, fetch.Config{Hosts: im.Words(k.host.Setting(im.Addr{}, fileHosts))})
	}
	k.mu.Lock()
	r := k.residents[user.ID]
	published := r != nil && r.hasPublished(ref)
	k.mu.Unlock()
	return fetchPicture(ctx, k.s, address(user.ID, k.domain).String(), ref, published)
}

// Upload is not offered: who gives a file is told that it can't go there.
func (k *component) Upload(context.Context, im.Addr, string, im.File, io.Reader) (string, error) {
	return "", im.ErrUnsupported
}
