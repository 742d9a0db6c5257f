package bridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// port keeps one link connected, feeds it from ordered lanes and keeps what
// the network has not confirmed yet. The hub's lock guards every field but
// order, recent, unsettled and settles. One goroutine (run) connects, one tells
// the network what was settled; a lane has one while it has something to carry, and
// so have pictures.
type port struct {
	hub      *Hub
	net      string
	user     string // canonical handle, "" for a shared link
	rec      store.Link
	state    im.LinkState
	link     im.Link   // nil while there is none
	question *question // that the link asks now
	up       bool      // caught up: events may go out
	stuck    bool      // lost in a way that trying again does not mend
	since    time.Time
	lanes    map[string]*lane
	slots    chan struct{} // at most four lanes carry at once
	sends    []*send       // not confirmed, in order
	sent     []*send       // the last few that were, for failures that come late
	wishes   []wish        // pictures; while there are any, a goroutine fetches the first
	seq      uint64
	mark     []byte       // the newest on disk
	writing  int          // batches on their way to the disk
	broken   *atomic.Bool // of this connection: a batch could not be written
	out      *outage      // nil while it is up
	resting  bool         // closed, or about to be, because nobody needs it
	sleepy   *time.Timer  // until it is closed when nobody needs it then
	running  bool
	cancel   context.CancelFunc
	abort    context.CancelFunc // ends the try to connect, nil when there is none
	dialing  bool               // it has one of the hub's turns to sign in
	done     chan struct{}
	kick     chan struct{} // dial now
	moved    chan struct{} // closed when state changes; nil when nobody waits

	order     sync.Mutex // batches enter one after the other
	recent    recent
	unsettled chan struct{} // a slot for each batch that is not settled
	settles   chan func()
}

// Redialling starts with minWait and doubles up to maxWait; a link that was up
// for steady starts again at minWait.
const (
	minWait = time.Second
	maxWait = 5 * time.Minute
	steady  = time.Minute
)

func newPort(h *Hub, rec store.Link, outs []store.Entry) *port {
	p := &port{
		hub: h, net: rec.Net, user: canonical(rec.Account), rec: rec,
		state: im.LinkState{Net: rec.Net, Text: "not connected yet"},
		lanes: map[string]*lane{}, slots: make(chan struct{}, 4),
		kick: make(chan struct{}, 1), unsettled: make(chan struct{}, maxUnsettled),
		settles: make(chan func(), maxUnsettled), broken: new(atomic.Bool),
	}
	for _, e := range outs {
		p.restore(e)
	}
	return p
}

// start begins to connect, once. The lock is held.
func (p *port) start() {
	n := p.network()
	switch {
	case p.running:
		return
	case n == nil:
		p.state.Text = fmt.Sprintf("the network %q is not in this build", p.net)
		return
	}
	ctx, cancel := context.WithCancel(p.hub.ctx)
	p.running, p.cancel, p.done = true, cancel, make(chan struct{})
	p.away()
	p.hub.wg.Go(func() {
		defer close(p.done)
		p.run(ctx, n)
	})
	p.hub.wg.Go(func() {
		for {
			select {
			case f := <-p.settles:
				f()
			case <-p.done:
				return
			}
		}
	})
}

// network is what makes the link, nil when this build has no such thing.
func (p *port) network() im.Network {
	if n := p.hub.gates[p.net]; p.user == "" && n != nil {
		return n
	}
	return p.hub.nets[p.net]
}

// stop ends the link for good and waits, without the lock.
func (p *port) stop() {
	p.hub.mu.Lock()
	cancel, done := p.cancel, p.done
	p.hub.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

// restart connects anew at once, as after new log-in data. What the link asked is asked
// no more.
func (p *port) restart() {
	p.retry()
	p.hub.mu.Lock()
	l, abort := p.link, p.abort
	p.question = nil
	p.hub.mu.Unlock()
	if l != nil {
		l.Close()
	} else if abort != nil {
		abort()
	}
}

// retry ends the pause before the next try, without the lock.
func (p *port) retry() {
	p.hub.mu.Lock()
	p.stuck = false
	p.hub.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// changed is closed at the next change of the link's state. The lock is held.
func (p *port) changed() <-chan struct{} {
	if p.moved == nil {
		p.moved = make(chan struct{})
	}
	return p.moved
}

// run keeps the link connected until ctx is done.
func (p *port) run(ctx context.Context, n im.Network) {
	p.awaitClock(ctx)
	wait := minWait
	for {
		p.rest(ctx)
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		err := p.connect(ctx, n)
		if rests := p.down(err); rests {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			wait = minWait
		}
		pause := wait/2 + rand.N(wait)
		wait = min(2*wait, maxWait)
		var lost *im.Lost
		if errors.As(err, &lost) {
			switch lost.Class {
			case im.Credentials, im.Forbidden:
				pause = -1 // see stuck
			case im.After:
				pause = max(pause, lost.After)
			}
		}
		p.wait(ctx, pause)
	}
}

// awaitClock returns when the clock can be trusted or ctx ends.
func (p *port) awaitClock(ctx context.Context) {
	if p.hub.clock == nil {
		return
	}
	select {
	case <-p.hub.clock:
		return
	default:
	}
	p.hub.mu.Lock()
	builtin := p.builtin()
	if !builtin {
		p.state.Text = "waits until the clock of this machine is set"
		p.publish()
	}
	p.hub.mu.Unlock()
	if builtin {
		return
	}
	select {
	case <-p.hub.clock:
	case <-ctx.Done():
	}
}

// builtin tells whether every account has the link by itself and nobody made it.
// The lock is held.
func (p *port) builtin() bool { return p.rec.Created.IsZero() }

// wait returns after pause (never, when negative), on a kick or when ctx ends.
func (p *port) wait(ctx context.Context, pause time.Duration) {
	var after <-chan time.Time
	if pause >= 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-after:
	case <-p.kick:
	case <-ctx.Done():
	}
}

// connect makes one link and returns when it is lost.
func (p *port) connect(ctx context.Context, n im.Network) error {
	login, err := p.login()
	if err != nil {
		return err
	}
	select {
	case p.hub.dial <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.hub.mu.Lock()
	p.link, p.up, p.broken = nil, false, new(atomic.Bool)
	p.abort, p.dialing = cancel, true
	p.hub.mu.Unlock()
	l, err := n.Connect(ctx, login)
	p.hub.mu.Lock()
	p.abort = nil
	p.yield()
	if err != nil {
		p.hub.mu.Unlock()
		return err
	}
	p.link = l
	if login.Restored {
		p.renewed()
	}
	if p.state.State != im.Down { // it caught up before Connect returned
		p.opened()
	}
	p.hub.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	err = l.Wait()
	l.Close()
	return err
}

// yield lets another link sign in. The lock is held.
func (p *port) yield() {
	if p.dialing {
		p.dialing = false
		<-p.hub.dial
	}
}

// renewed notes that a link has given up what a backup must not bring back. The
// lock is held.
func (p *port) renewed() {
	p.rec.Restored = false
	rec := p.rec
	p.hub.db.Do(store.Now, func(tx *store.Tx) error { return tx.PutLink(rec) }, p.hub.logged("link"))
}

// login opens the sealed log-in data.
func (p *port) login() (im.Login, error) {
	p.hub.mu.Lock()
	rec := p.rec
	p.hub.mu.Unlock()
	fields := map[string]string{}
	for k, v := range rec.Fields {
		fields[k] = v
	}
	for k, sealed := range rec.Secrets {
		plain, err := p.hub.db.Unseal(secretContext(rec, k), sealed)
		if err != nil {
			return im.Login{}, &im.Lost{Class: im.Credentials, Text: "The stored " + k + " can't be opened with this box's key. Link the account again."}
		}
		fields[k] = string(plain)
	}
	l := im.Login{Fields: fields, Host: &host{p}, Restored: rec.Restored}
	if p.user != "" {
		l.User = im.Addr{ID: p.user}
	}
	return l, nil
}

func secretContext(l store.Link, key string) string {
	return "link " + canonical(l.Account) + " " + l.Net + " " + key
}

// takeState is what a link says about itself. The lock is held.
func (p *port) takeState(s im.LinkState) {
	s.Net = p.net
	was := p.state.State
	p.state = s
	p.publish()
	if s.State == im.Down {
		return
	}
	if was == im.Down && p.link != nil {
		p.opened()
	}
}

// opened starts sending: first what is not confirmed, in its order, then who
// is here. The lock is held.
func (p *port) opened() {
	p.up, p.since = true, time.Now()
	p.back()
	for _, s := range p.sends {
		p.carry(s)
	}
	for _, a := range p.hub.accounts {
		if a.port(p.net) == p && (p.user != "" || len(a.sessions) > 0) {
			p.sendPresence(a.key, im.PresenceChanged{Who: a.person(), Now: a.shown()})
		}
	}
	p.drowse()
	p.hub.linkMoved(p)
	for _, a := range p.hub.accounts {
		if a.port(p.net) == p {
			a.identify()
		}
	}
}

// down is called when a link was lost or could not be made, or when it rests.
func (p *port) down(err error) (rests bool) {
	h := p.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	wasUp := p.state.State != im.Down
	p.link, p.up = nil, false
	clear(p.lanes)
	for _, s := range p.sends {
		p.shelve(s)
	}
	text := "connection lost"
	if err != nil {
		text = err.Error()
	}
	if rests = p.resting && p.unneeded(); rests {
		text = restingText
	}
	h.log.Info("link down", "net", p.net, "account", p.user, "why", text)
	var lost *im.Lost
	final := errors.As(err, &lost) && (lost.Class == im.Credentials || lost.Class == im.Forbidden)
	p.stuck = final && len(p.kick) == 0
	p.state = im.LinkState{Net: p.net, State: im.Down, Text: text}
	p.publish()
	if h.closed {
		return false
	}
	if wasUp {
		p.since = time.Now()
	}
	if rests {
		p.rested()
		return true
	}
	p.away()
	if wasUp && p.stuck || p.out.short == nil {
		p.speak()
	}
	return false
}

// note shows text as the link's state without changing it.
func (p *port) note(text string) {
	if p.state.State == im.Up {
		p.state = im.LinkState{Net: p.net, State: im.Degraded, Text: text}
		p.publish()
	}
}

// publish tells lights and status pages. The lock is held.
func (p *port) publish() {
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
	p.hub.display(p.state)
	p.hub.counted()
}

// editing says whether the user changed his list entry for addr and the network
// has not confirmed it.
func (p *port) editing(user string, addr im.Addr) bool {
	return slices.ContainsFunc(p.sends, func(s *send) bool {
		e, ok := s.ev.(im.ContactEdit)
		return ok && s.user == user && e.Who.Addr == addr
	})
}
