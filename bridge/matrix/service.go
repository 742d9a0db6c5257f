package matrix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"

	"nudge/bridge/im"
)

// service is the transport of all accounts: the box as an application service of a
// homeserver. It implements im.Link.
//
// Every account is a user of the homeserver there, its ghost: a link like that of
// an own account, but for that it follows no /sync. The homeserver brings what
// happens to any ghost in transactions, in order, and repeats one until it is
// answered with 200; that is when the hub has everything on disk (DESIGN.md §3).
// Which transactions were taken is the gateway's mark.
//
// In encrypted rooms a ghost reads and writes with a device of its own, which it has
// from the first of them on (ghostdevice.go). Where the homeserver gives it none,
// what it is sent encrypted becomes a line that says so, and it does not write there.
//
// The service owns, and waits for: the HTTP server and the requests in hand (one
// transaction at a time: taking is the turn), the conductor (run), and four
// goroutines for every ghost that is in use. mu guards the map, and is held over
// nothing that takes time.
type service struct {
	net     *Network
	log     *slog.Logger
	host    im.Host
	http    *http.Transport
	base    string // URL of the homeserver
	url     string // of the box, for the homeserver
	realm          // of this box
	box     string
	token   string // the box's, for the homeserver
	hsToken string // the homeserver's, for the box
	bot     *link  // for what no ghost in particular asks
	port    net.Listener

	taking    chan struct{} // the turn to take a transaction
	recent    []string      // keys of those taken, the newest last; of whose turn it is
	pushes    atomic.Bool   // the homeserver tells of typing and presence by itself
	brings    atomic.Bool   // and of what is for the ghosts' devices
	places    chan struct{} // for ghosts that wait in a /sync
	attending atomic.Int64  // ghosts that want one of them
	look      chan struct{} // the conductor is to look who is online

	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	done   chan struct{} // closed when nothing of it runs
	closed sync.Once

	mu     sync.Mutex
	ghosts map[string]*ghost // by handle
	ended  bool              // nothing new may begin
}

// start sets the service going. The port is open already: what comes before the
// service is up waits.
func (s *service) start() {
	server := s.server()
	s.taking <- struct{}{} // until up
	s.wg.Go(func() {
		if err := server.Serve(s.port); !errors.Is(err, http.ErrServerClosed) {
			s.cancel(fmt.Errorf("the port for the homeserver: %w", err))
		}
	})
	s.wg.Go(func() {
		if err := s.run(s.ctx); err != nil {
			s.cancel(err)
		}
	})
	go func() {
		<-s.ctx.Done()
		server.Close()
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		s.wg.Wait()
		if s.http != s.net.transport {
			s.http.CloseIdleConnections()
		}
		close(s.done)
	}()
}

// Presence is told again every refresh, because servers take back the presence of
// who has no /sync after half a minute (Synapse), and asked for every glance, where
// the homeserver does not tell it by itself.
const (
	glance  = 10 * time.Second
	refresh = 2 * glance
)

// run is the conductor.
func (s *service) run(ctx context.Context) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	if err := s.awaitEchoes(ctx); err != nil {
		return err
	}
	if err := s.host.Accept(ctx, im.Batch{Events: []im.Event{s.state(ctx)}}, nil); err != nil {
		return err
	}
	<-s.taking
	t := time.NewTicker(glance)
	defer t.Stop()
	told := time.Now()
	for {
		s.lookAround(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-s.look:
		case now := <-t.C:
			if now.Sub(told) < refresh {
				continue
			}
			told = now
			for _, g := range s.all() {
				g.remind()
			}
		}
	}
}

// state is what the service says of itself once it has caught up. A homeserver
// that can't reach the box would keep everything to itself (application service
// API, ping; not every server has it).
func (s *service) state(ctx context.Context) im.LinkState {
	up := im.LinkState{Net: Name, State: im.Up, Text: "speaks for this box's accounts at " + s.domain}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	_, err := s.bot.cli.MakeFullRequest(ctx, mautrix.FullRequest{
		Method: http.MethodPost, URL: s.bot.cli.BuildClientURL("v1", "appservice", s.service(), "ping"),
		RequestJSON: struct{}{}, MaxAttempts: 1,
	})
	if st := status(err); st == http.StatusBadGateway || st == http.StatusGatewayTimeout {
		up.State, up.Text = im.Degraded, fmt.Sprintf("The homeserver can't reach the box at %s (%s). Correct --url or --listen, or open the port.", s.url, words(err))
	}
	return up
}

// Wait returns when the service has ended.
func (s *service) Wait() error {
	<-s.done
	if err := context.Cause(s.ctx); !errors.Is(err, errClosed) {
		lost := asLost(err)
		s.log.Info("matrix gateway ended", "class", lost.Class, "why", lost.Text)
		return lost
	}
	return nil
}

// Close signs all ghosts off and ends the service.
func (s *service) Close() error {
	s.closed.Do(func() {
		ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
		for _, g := range s.all() {
			if ctx.Err() == nil && g.saying() != event.PresenceOffline {
				if err := g.putPresence(ctx, event.PresenceOffline, nil); err != nil {
					s.log.Debug("presence at sign-off", "err", words(err))
				}
			}
		}
		cancel()
		s.cancel(errClosed)
	})
	<-s.done
	return nil
}

// all lists the ghosts in use.
func (s *service) all() []*ghost {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*ghost
	for _, g := range s.ghosts {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *ghost) int { return strings.Compare(a.user.ID, b.user.ID) })
	return all
}

// Handle carries one event of an account out (im.Link).
func (s *service) Handle(ctx context.Context, user im.Addr, ev im.Event) error {
	if s.ctx.Err() != nil {
		return errEnded
	}
	acct, ok := s.host.Account(user.ID)
	now, isPresence := ev.(im.PresenceChanged)
	switch {
	case !ok && isPresence:
		return s.moveOut(ctx, user)
	case !ok:
		return &im.Refused{Text: "The account is not on the gateway any more."}
	case isPresence:
		s.appear(acct, now.Now)
		return nil
	}
	g, err := s.ghost(acct)
	if err != nil {
		return err
	}
	switch ev := ev.(type) {
	case im.Message:
		if err := g.enrol(ctx, acct); err != nil {
			return g.notSent(ctx, ev.ID, "", err)
		}
	case im.ContactEdit:
		if u, ok := userID(ev.Who.ID, s.domain); ok && s.ours(u) {
			return &im.Refused{Text: "This is an account of this box: add it by its own address."}
		}
		if err := g.enrol(ctx, acct); err != nil {
			return err
		}
	}
	if _, edit := ev.(im.ContactEdit); edit {
		defer s.lookSoon()
	}
	return g.Handle(ctx, user, ev)
}

// Find asks the other boxes who has the address there, and then the homeserver who is
// meant (im.Link). Accounts of this box are found without.
func (s *service) Find(ctx context.Context, user im.Addr, handle string) (im.Person, error) {
	there, unsure := s.findInBoxes(ctx, handle)
	if unsure == nil {
		return there, nil
	}
	if u, ok := userID(handle, s.domain); ok && s.ours(u) {
		return im.Person{}, im.ErrNotFound
	}
	p, err := s.bot.Find(ctx, user, handle)
	if errors.Is(err, im.ErrNotFound) {
		err = unsure
	}
	return p, err
}

// Open streams a file from the homeserver (im.Link).
func (s *service) Open(ctx context.Context, user im.Addr, ref string) (io.ReadCloser, im.File, error) {
	acct, ok := s.host.Account(user.ID)
	if !ok {
		return nil, im.File{}, fmt.Errorf("%s is not on the gateway", user.ID)
	}
	g, err := s.ghost(acct)
	if err != nil {
		return nil, im.File{}, err
	}
	return g.Open(ctx, user, ref)
}

// Upload streams a file to the homeserver (im.Link).
func (s *service) Upload(ctx context.Context, user im.Addr, conv string, f im.File, r io.Reader) (string, error) {
	acct, ok := s.host.Account(user.ID)
	if !ok {
		return "", &im.Refused{Text: "The account is not on the gateway any more."}
	}
	g, err := s.ghost(acct)
	if err != nil {
		return "", err
	}
	if err := g.enrol(ctx, acct); err != nil {
		return "", err
	}
	return g.Upload(ctx, user, conv, f, r)
}
