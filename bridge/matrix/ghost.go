package matrix

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// ghost is one account on the application service.
type ghost struct {
	*link
	bot       *link
	gone      context.CancelFunc // ends its goroutines
	enrolling chan struct{}      // the turn to tell the homeserver who it is
	enrolled  bool               // on this connection; of whose turn it is
	known     identity           // what the homeserver knows; of whose turn it is
	bare      bool               // it can't have a device; of whose turn it is

	equipped chan struct{}   // closed when it has a device (link.olm)
	device   *mautrix.Client // which then is set
	kept     ghostDevice     // as it is on disk; of the turn to take, from then on
	since    string          // position of its /sync; likewise
}

// ghostKey is where a ghost's identity is kept in the account's KV.
const ghostKey = "ghost"

// identity is what the homeserver was told of a ghost.
type identity struct {
	User    id.UserID `json:"user"`
	Name    string    `json:"name,omitempty"`
	Picture []byte    `json:"picture,omitempty"` // its check sum
}

// noKeys is what a person reads about encrypted conversations.
const noKeys = "this box's gateway has no keys for it; that needs the own-account mode, a link to a Matrix account of your own"

// load wakes the ghosts that the homeserver knows from before, so that their
// contacts are shown and they show what their accounts do.
func (s *service) load(ctx context.Context) error {
	for acct := range s.host.Accounts() {
		known, err := s.identity(acct.Addr)
		if err != nil {
			return err
		}
		if known.User != s.userOf(acct.ID) {
			continue
		}
		g, err := s.ghost(acct)
		if err != nil {
			return err
		}
		if err := s.catchUp(ctx, g); err != nil {
			return err
		}
		g.soon.ask("enrol", func(ctx context.Context) error { return g.enrol(ctx, acct) })
		g.show(acct.Now)
		g.poke()
	}
	return nil
}

func (s *service) identity(user im.Addr) (known identity, err error) {
	err = s.host.KV(user).View(func(tx im.Tx) error {
		if b := tx.Get([]byte(ghostKey)); b != nil {
			return json.Unmarshal(b, &known)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("read who %s is on Matrix: %w", user.ID, err)
	}
	return known, err
}

// awake is the ghost of an account if it is in use, else nil.
func (s *service) awake(user im.Addr) *ghost {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ghosts[user.ID]
}

// ghost is the ghost of an account.
func (s *service) ghost(acct im.Account) (*ghost, error) {
	user := im.Addr{ID: acct.ID}
	if g := s.awake(user); g != nil {
		return g, nil
	}
	g, err := s.newGhost(user)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return nil, errEnded
	case s.ghosts[user.ID] != nil: // somebody was faster
		g.gone()
		return s.ghosts[user.ID], nil
	}
	s.ghosts[user.ID] = g
	for _, run := range []func(context.Context) error{g.emit, g.announce, g.runErrands, func(ctx context.Context) error { return s.attend(ctx, g) }} {
		s.wg.Go(func() {
			if err := run(g.ctx); err != nil {
				s.cancel(err)
			}
		})
	}
	return g, nil
}

func (s *service) newGhost(user im.Addr) (*ghost, error) {
	me, kv := s.userOf(user.ID), s.host.KV(user)
	known, err := s.identity(user)
	if err == nil && known.User != me {
		err = kv.Update(func(tx im.Tx) error { return claim(tx, me) })
	}
	if err != nil {
		return nil, err
	}
	mem, err := loadMemory(kv, me)
	if err != nil {
		return nil, err
	}
	mem.complete()
	cli, err := s.client(me)
	if err != nil {
		return nil, err
	}
	l := &link{
		net: s.net, log: s.log.With("account", user.ID), user: user, host: s.host, kv: kv,
		http: s.http, cli: cli, media: &http.Client{Transport: s.http}, box: s.box, plain: noKeys, ghost: true, near: s.neighbour,
		mem: mem, track: newTracker(), soon: newAnnouncer(),
		out: make(chan delivery, 16), changed: make(chan struct{}, 1),
		errands: make(chan func(context.Context) error, 64), account: make(chan struct{}, 1),
		cancel: s.cancel, presence: event.PresenceOffline,
	}
	g := &ghost{link: l, bot: s.bot, enrolling: make(chan struct{}, 1), equipped: make(chan struct{})}
	l.equip = func(ctx context.Context) error { return s.equip(ctx, g) }
	g.known.User = me
	if known.User == me {
		g.known = known
	}
	l.ctx, g.gone = context.WithCancel(s.ctx)
	return g, nil
}

// claim clears an account's KV of what is of a link that it had, or of another
// homeserver, and says whose the rest is: no later than that is on disk, and once,
// also when two make the ghost at a time.
func claim(tx im.Tx, me id.UserID) error {
	var known identity
	if b := tx.Get([]byte(ghostKey)); b != nil && json.Unmarshal(b, &known) == nil && known.User == me {
		return nil
	}
	return errors.Join(wipe(tx), putJSON(tx, ghostKey, identity{User: me}))
}

// enrol makes the ghost a user of the homeserver, with the account's name, once
// per connection: nobody is one before somebody asks for him, or he for somebody.
func (g *ghost) enrol(ctx context.Context, acct im.Account) error {
	return g.inTurn(ctx, func() error {
		if g.enrolled {
			return nil
		}
		err := g.retry(ctx, func() error {
			_, err := g.bot.cli.MakeRequest(ctx, http.MethodPost, g.bot.cli.BuildClientURL("v3", "register"), struct {
				Type     string `json:"type"`
				Username string `json:"username"`
				NoLogin  bool   `json:"inhibit_login"`
			}{"m.login.application_service", g.cli.UserID.Localpart(), true}, nil)
			return err
		})
		if err != nil && !errors.Is(err, mautrix.MUserInUse) {
			return err
		}
		if err := g.introduce(ctx, cmp.Or(acct.Name, acct.ID)); err != nil {
			return err
		}
		g.enrolled = true
		g.show(acct.Now)
		g.wear(acct.Now.Picture)
		return nil
	})
}

// rename tells the homeserver another name of the account.
func (g *ghost) rename(ctx context.Context, name string) error {
	return g.inTurn(ctx, func() error {
		if !g.enrolled {
			return nil
		}
		return g.introduce(ctx, name)
	})
}

// inTurn does what only one may do at a time.
func (g *ghost) inTurn(ctx context.Context, do func() error) error {
	select {
	case g.enrolling <- struct{}{}:
		defer func() { <-g.enrolling }()
		return do()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-g.ctx.Done():
		return errEnded
	}
}

// introduce tells the homeserver the account's name.
func (g *ghost) introduce(ctx context.Context, name string) error {
	if name == g.known.Name {
		return nil
	}
	if err := g.retry(ctx, func() error { return g.cli.SetDisplayName(ctx, name) }); err != nil {
		return err
	}
	g.known.Name = name
	return g.remember()
}

// remember writes what the homeserver knows.
func (g *ghost) remember() error {
	known := g.known
	return g.kv.Update(func(tx im.Tx) error { return putJSON(tx, ghostKey, known) })
}

// wear makes what the account shows the picture of the ghost's profile. One that is
// not there any more stays: the next client may only not know of pictures.
func (g *ghost) wear(p *im.Picture) {
	if p == nil {
		return
	}
	g.soon.ask("picture", func(ctx context.Context) error {
		return g.inTurn(ctx, func() error {
			png := g.host.Picture(g.user)
			sum := sha1.Sum(png)
			if !g.enrolled || sum != p.SHA1 || bytes.Equal(g.known.Picture, sum[:]) {
				return nil
			}
			if err := g.portray(ctx, png); err != nil {
				return err
			}
			g.known.Picture = sum[:]
			return g.remember()
		})
	})
}

// appear shows what an account does, to those who know it here.
func (s *service) appear(acct im.Account, now im.Presence) {
	g := s.awake(acct.Addr)
	if g == nil {
		return
	}
	g.show(now)
	g.wear(now.Picture)
	g.soon.ask("name", func(ctx context.Context) error { return g.rename(ctx, cmp.Or(acct.Name, acct.ID)) })
	if now.Status != im.Offline {
		s.lookSoon()
	}
}

// remind tells the homeserver again that the ghost is there, and the hub what
// changes with time: presence that is inferred.
func (g *ghost) remind() {
	if acct, ok := g.host.Account(g.user.ID); ok && g.saying() != event.PresenceOffline {
		g.show(acct.Now)
	}
	g.poke()
}

// moveOut ends what somebody had here who was removed, or has an address of his
// own now: the account's KV belongs to that, and is left alone.
func (s *service) moveOut(ctx context.Context, user im.Addr) error {
	s.mu.Lock()
	g := s.ghosts[user.ID]
	if g != nil {
		g.gone()
		delete(s.ghosts, user.ID)
	}
	s.mu.Unlock()
	if g != nil && g.olm() != nil {
		if err := signOut(ctx, g.device); err != nil {
			s.log.Info("a device could not be signed out", "account", user.ID, "err", words(err))
		}
	}
	cli, err := s.client(s.userOf(user.ID))
	if err != nil {
		return err
	}
	l := &link{net: s.net, log: s.log, cli: cli, ctx: s.ctx}
	var in *mautrix.RespJoinedRooms
	err = l.retry(ctx, func() (err error) {
		in, err = cli.JoinedRooms(ctx)
		return err
	})
	if errors.Is(err, mautrix.MForbidden) || status(err) >= 400 && !passing(err) {
		return nil // the homeserver never heard of him
	} else if err != nil {
		return err
	}
	for _, r := range in.JoinedRooms {
		if err := l.retry(ctx, func() error { _, err := cli.LeaveRoom(ctx, r); return err }); err != nil {
			s.log.Warn("a room could not be left", "account", user.ID, "room", r, "err", words(err))
		}
	}
	return l.putPresence(ctx, event.PresenceOffline, nil)
}
