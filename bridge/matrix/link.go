package matrix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
)

// link is one logged-in account. It implements im.Link.
type link struct {
	net      *Network
	log      *slog.Logger
	user     im.Addr // the account of this box
	host     im.Host
	kv       im.KV
	http     *http.Transport
	door     *entrance
	cli      *mautrix.Client
	media    *http.Client // without a time limit: streams
	box      string       // session.Box
	keys     atomic.Pointer[olm.Device]
	plain    string                      // why it can't, or is not verified, for a person
	news     string                      // what happened to its keys at the start, for a person
	resolved atomic.Bool                 // what waited for keys was looked through
	form     map[string]string           // the log-in form
	ghost    bool                        // of an application service: no /sync, and no account data worth keeping
	equip    func(context.Context) error // makes a ghost's keys, if it can have any
	near     func(id.UserID) bool        // of a ghost: whether somebody is on another box

	mem   *memory
	track *tracker
	soon  *announcer
	trail trail

	out     chan delivery // to the emitter
	changed chan struct{} // memory changed without a delivery: look again
	errands chan func(context.Context) error
	account chan struct{} // the turn to read, change and write account data

	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // sync loop, emitter, announcer, errands
	done   chan struct{}  // closed when all of them are gone
	closed sync.Once

	mu       sync.Mutex
	presence event.Presence // what /sync is to say of us
}

// delivery is what the emitter hands to the hub in one Batch. Changes of the
// contact list go ahead of the events, or with first behind them: an edit must
// be confirmed before the list that it led to, else the hub takes its own.
type delivery struct {
	events []im.Event
	mark   []byte
	first  bool
	read   []olm.Waiting // events of former responses that events resolve
	fate   chan<- error  // nil, or with room for two: what Accept said, and what became of the batch
}

// errClosed is the cause of a link that Close ended.
var errClosed = errors.New("closed")

// newLink signs in. ctx is for signing in only.
func (n *Network) newLink(ctx context.Context, login im.Login) (*link, error) {
	f := login.Fields
	kv := login.Host.KV(login.User)
	s, err := loadSession(ctx, login)
	if err != nil {
		return nil, err
	}
	tr, err := n.transportFor(f["ca"])
	if err != nil {
		return nil, err
	}
	base, doubt := discover(ctx, &http.Client{Transport: tr}, f["homeserver"], f["user"], s.Homeserver)
	cli, err := mautrix.NewClient(base, "", "")
	if err != nil || cli.HomeserverURL.Host == "" {
		return nil, &im.Lost{Class: im.Credentials, Text: fmt.Sprintf("%q is not a homeserver. Give a server name such as example.org, or a URL.", f["homeserver"])}
	}
	cli.ResponseSizeLimit = 48 << 20
	cli.UserAgent = "nudge"
	log := n.log.With("net", Name, "account", login.User.ID)
	door := newEntrance(cli, tr, s, log, n.pause)
	door.doubt = doubt
	if err := door.signIn(ctx); err != nil {
		return nil, err
	}
	mem, err := loadMemory(kv, cli.UserID)
	if err != nil {
		return nil, err
	}
	l := &link{
		net: n, log: log, user: login.User, host: login.Host, kv: kv,
		http: tr, door: door, cli: cli, media: &http.Client{Transport: door.held}, box: s.Box, form: f,
		mem: mem, track: newTracker(), soon: newAnnouncer(),
		out: make(chan delivery, 16), changed: make(chan struct{}, 1),
		errands: make(chan func(context.Context) error, 64), account: make(chan struct{}, 1),
		done: make(chan struct{}), presence: event.PresenceOffline,
	}
	if err := l.openKeys(ctx, login.Restored); err != nil {
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if a, ok := login.Host.Account(login.User.ID); ok {
		l.presence, _ = presenceOut(a.Now)
	}
	return l, nil
}

// start sets the goroutines going. The first that fails ends the link.
func (l *link) start() {
	for _, run := range []func(context.Context) error{l.follow, l.emit, l.announce, l.runErrands} {
		l.wg.Go(func() {
			if err := run(l.ctx); err != nil {
				l.cancel(err)
			}
		})
	}
	go func() {
		l.wg.Wait()
		if l.http != l.net.transport {
			l.http.CloseIdleConnections()
		}
		close(l.done)
	}()
}

// Wait returns when the link has ended.
func (l *link) Wait() error {
	<-l.done
	if err := context.Cause(l.ctx); !errors.Is(err, errClosed) {
		lost := asLost(err)
		l.log.Info("matrix link ended", "class", lost.Class, "why", lost.Text)
		return lost
	}
	return nil
}

// Close signs off and ends the link.
func (l *link) Close() error {
	l.closed.Do(func() {
		if context.Cause(l.ctx) == nil && l.saying() != event.PresenceOffline {
			ctx, cancel := context.WithTimeout(l.ctx, 2*time.Second)
			if err := l.putPresence(ctx, event.PresenceOffline, nil); err != nil {
				l.log.Debug("presence at sign-off", "err", words(err))
			}
			cancel()
		}
		l.cancel(errClosed)
	})
	<-l.done
	return nil
}

// bound is ctx that also ends with the link.
func (l *link) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(errEnded) })
	return ctx, func() { stop(); cancel(nil) }
}

// Handle carries one event of the user out (im.Link).
func (l *link) Handle(ctx context.Context, _ im.Addr, ev im.Event) error {
	ctx, done := l.bound(ctx)
	defer done()
	if l.ctx.Err() != nil {
		return errEnded
	}
	switch ev := ev.(type) {
	case im.Message:
		return l.send(ctx, ev)
	case im.ContactEdit:
		return l.edit(ctx, ev)
	case im.PresenceChanged:
		l.show(ev.Now)
		l.wear(ev.Now.Picture)
	case im.Typing:
		l.typing(ev)
	case im.Receipt:
		l.markRead(ev)
	default:
		return im.ErrUnsupported
	}
	return nil
}

// olm is the device's encryption, nil when it can't encrypt.
func (l *link) olm() *olm.Device { return l.keys.Load() }

// deliver queues events for the hub, in order.
func (l *link) deliver(ctx context.Context, d delivery) error {
	select {
	case l.out <- d:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.ctx.Done():
		return errEnded
	}
}

// poke makes the emitter look for changes of roster and presence.
func (l *link) poke() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// emit is the emitter: the one place that calls Inbox.Accept.
func (l *link) emit(ctx context.Context) error {
	var seen view
	if l.ghost {
		seen.contacts = map[string]im.Contact{} // no server has a list that could be whole
	}
	for {
		var d delivery
		select {
		case <-ctx.Done():
			return nil
		case d = <-l.out:
		case <-l.changed:
		}
		events := slices.Concat(seen.update(l.mem, time.Now(), l.window()), d.events)
		if d.first {
			events = slices.Concat(d.events, events[:len(events)-len(d.events)])
		}
		if len(events) == 0 && d.mark == nil {
			continue
		}
		err := l.host.Accept(ctx, im.Batch{User: l.user, Events: events, Mark: d.mark}, func(err error) {
			if l.settled(err); err == nil && len(d.read) > 0 {
				l.olm().Done(d.read)
			}
			if d.fate != nil {
				d.fate <- err
			}
		})
		if d.fate != nil {
			d.fate <- err
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("hand over events: %w", err)
		}
	}
}

// settled ends the link when the hub kept nothing of a batch: the next link
// starts from the mark on disk and brings it again.
func (l *link) settled(err error) {
	if err != nil {
		l.cancel(&im.Lost{Class: im.Retry, Text: "The box could not store what Matrix brought. It fetches it again by itself."})
	}
}

// runErrands does what nobody waits for, one after the other.
func (l *link) runErrands(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case do := <-l.errands:
			err := l.retry(ctx, func() error { return do(ctx) })
			if errors.Is(err, olm.ErrOtherKeys) {
				return l.renounce()
			}
			if err != nil && ctx.Err() == nil {
				l.log.Warn("matrix errand failed", "err", words(err))
			}
		}
	}
}

// errand queues do for runErrands.
func (l *link) errand(ctx context.Context, do func(context.Context) error) {
	select {
	case l.errands <- do:
	case <-ctx.Done():
	}
}

// number is a setting that counts something.
func (l *link) number(key string, standard int) int {
	if n, err := strconv.Atoi(l.host.Setting(l.user, key)); err == nil && n >= 0 {
		return n
	}
	return standard
}

func (l *link) window() time.Duration {
	return time.Duration(l.number("presence-window", 5)) * time.Minute
}
