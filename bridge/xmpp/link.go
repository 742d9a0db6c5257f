package xmpp

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// patience is how long the server may take to answer one question.
const patience = 45 * time.Second

// link is one signed-in account. It implements im.Link.
type link struct {
	host  im.Host
	user  im.Addr
	log   *slog.Logger
	s     *stream.Stream
	me    stream.JID     // full
	roots *x509.CertPool // that servers of the account's owner are checked by, nil the system's
	has   features
	want  chan im.Presence // what the account is to show, latest wins
	hurry chan struct{}    // there is something for the conductor to do now
	lifetime

	mu sync.Mutex
	memory
	mark     mark
	moves    bool                      // live messages move the mark
	catching bool                      // live messages are held back
	held     []held                    // those
	pages    map[string][]*stanza.Node // archive results by query
	shown    visibility
	worn     worn
	lobby    *lobby
	uploads  uploads
}

// held is a stanza that waits until the archive has been read.
type held struct {
	n    *stanza.Node
	done func()
}

// maxHeld bounds what waits; more goes on at once, in doubtful order.
const maxHeld = 2000

func newLink(l im.Login, s *stream.Stream, log *slog.Logger) *link {
	k := &link{
		host: l.Host, user: l.User, log: log, s: s, me: s.Bound(),
		want: make(chan im.Presence, 1), hurry: make(chan struct{}, 1),
		memory: newMemory(), pages: map[string][]*stanza.Node{}, catching: true,
	}
	k.begin()
	k.lobby = newLobby(s, k.me, &k.mu, &k.memory, l.Host.KV(l.User), log)
	k.lobby.ctx, k.lobby.wg, k.lobby.wake, k.lobby.report = k.ctx, &k.wg, k.wake, k.reportRooms
	k.lobby.most, k.lobby.shelf = k.roomHistory, bookmarks{s}
	return k
}

// roomHistory is how many messages of a room are shown of what was said meanwhile.
func (l *link) roomHistory() int {
	if n, err := strconv.Atoi(l.host.Setting(l.user, im.History)); err == nil && n > 0 {
		return n
	}
	return roomHistory
}

// start sets the link going: the stream's reader, the conductor, and one
// goroutine that ends both.
func (l *link) start() {
	l.s.Start(l.receive)
	l.wg.Go(l.run)
	go func() {
		l.last(l.s)
		l.plays("")
		l.s.Close()
		l.lobby.close()
		l.wg.Wait()
		close(l.done)
	}()
}

// run is the conductor: it signs on, then does what takes time.
func (l *link) run() {
	if err := l.signOn(); err != nil {
		l.end(err)
		return
	}
	if err := l.accept(nil, im.LinkState{Net: Name, State: im.Up}); err != nil {
		return
	}
	l.conduct()
}

// signOn does what must be done before the link is up, in this order (see the
// package comment).
func (l *link) signOn() error {
	if err := l.discover(); err != nil {
		return err
	}
	if err := l.loadMark(); err != nil {
		return err
	}
	if err := l.fetchRoster(); err != nil {
		return err
	}
	if l.has.carbons {
		if _, err := l.ask(query(stanza.IQTypeSet, "", element(nsCarbons, "enable"))); err != nil && fatal(err) {
			return err
		}
	}
	now := im.Presence{}
	if a, ok := l.host.Account(l.user.ID); ok {
		now = a.Now
	}
	if err := l.show(now); err != nil {
		return err
	}
	return l.catchUp(true)
}

// ask sends an IQ and waits for the answer, within patience.
func (l *link) ask(iq *stanza.IQ) (*stanza.Node, error) {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	return l.s.Do(ctx, iq)
}

// fatal tells an error that ends the link from the server's "no".
func fatal(err error) bool {
	var e *stream.StanzaError
	return err != nil && !errors.As(err, &e)
}

// accept reports to the hub. An error has ended the link.
func (l *link) accept(settled func(error), events ...im.Event) error {
	return l.acceptBatch(im.Batch{User: l.user, Events: events}, settled)
}

func (l *link) acceptBatch(b im.Batch, settled func(error)) error {
	err := l.host.Accept(l.ctx, b, settled)
	if err != nil {
		l.fail(err)
	}
	return err
}

// reportRooms reports what happened in rooms, with the mark when it may move.
func (l *link) reportRooms(settled func(error), events ...im.Event) error {
	b := im.Batch{User: l.user, Events: events}
	l.mu.Lock()
	if l.moves {
		b.Mark = l.mark.encode()
	}
	l.mu.Unlock()
	if len(events) == 0 && b.Mark == nil {
		return nil
	}
	return l.acceptBatch(b, func(err error) {
		if err != nil {
			l.fail(err)
		}
		if settled != nil {
			settled(err)
		}
	})
}

// receive is the stream's handler.
func (l *link) receive(n *stanza.Node, done func()) {
	switch n.XMLName.Local {
	case "message":
		l.message(n, done)
		return
	case "presence":
		l.presence(n)
	case "iq":
		l.iq(n)
	}
	done()
}

// Handle carries ev out.
func (l *link) Handle(ctx context.Context, _ im.Addr, ev im.Event) error {
	if l.ctx.Err() != nil {
		return errClosed
	}
	switch ev := ev.(type) {
	case im.Message:
		if l.lobby.has(ev.Conv) {
			return l.lobby.say(ctx, ev)
		}
		return l.say(ev)
	case im.Typing:
		return l.typing(ev)
	case im.Receipt:
		return l.displayed(ev)
	case im.ContactEdit:
		return l.edit(ctx, ev)
	case im.PresenceChanged:
		select { // only the latest counts
		case <-l.want:
		default:
		}
		select {
		case l.want <- ev.Now:
		default: // another caller's is as new
		}
		return nil
	}
	return im.ErrUnsupported
}

// Find asks whether there is such an address, as far as servers tell. Most hide
// who has an account; but another domain must have a chat server at all.
func (l *link) Find(ctx context.Context, _ im.Addr, handle string) (im.Person, error) {
	j, err := stream.ParseJID(handle)
	if err != nil || j.Local == "" || j.Resource != "" {
		return im.Person{}, im.ErrNotFound
	}
	p := im.Person{Addr: addr(j)}
	l.mu.Lock()
	c := l.contacts[p.ID]
	listed := c != nil && c.listed
	if listed {
		p.Name = c.name
	}
	l.mu.Unlock()
	if listed {
		return p, nil
	}
	to := p.ID
	if j.Domain != l.me.Domain {
		to = j.Domain
	}
	n, err := l.s.Do(ctx, query(stanza.IQTypeGet, to, element(stanza.NSDiscoInfo, "query")))
	if err == nil && isConference(n) {
		_, err = l.s.Do(ctx, query(stanza.IQTypeGet, p.ID, element(stanza.NSDiscoInfo, "query")))
	}
	var e *stream.StanzaError
	if errors.As(err, &e) {
		if to == j.Domain || e.Condition == "item-not-found" || e.Condition == "jid-malformed" || e.Condition == "gone" {
			return im.Person{}, im.ErrNotFound
		}
		return p, nil
	}
	return p, err
}
