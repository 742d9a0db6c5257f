package matrix

import (
	"context"
	"net/http"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
)

// What a ghost must know to read and write, room keys above all, is for its device
// alone. Few homeservers put that into transactions (pushed.go), so each ghost with
// a device follows a /sync that lets nothing else through. What comes is worked off
// with the turn to take: nothing is decrypted while keys are learned.

const (
	// polls is how many ghosts wait in a /sync at a time. When there are more, each
	// waits shorter, so that nobody is out of touch for longer than pollFor.
	polls = 8
	// keysAnyway is how often it is asked for nevertheless where transactions bring
	// it: the homeserver keeps what nobody fetched.
	keysAnyway = 10 * time.Minute
	// keyFor is how long a transaction waits for keys that may be a moment behind
	// their messages. Those that come later follow by themselves.
	keyFor = time.Second
	// equipFor bounds the making of a device while a transaction waits.
	equipFor = 5 * time.Second
)

// attend follows what comes for the ghost's device, from when it has one.
func (s *service) attend(ctx context.Context, g *ghost) error {
	select {
	case <-g.equipped:
	case <-ctx.Done():
		return nil
	}
	s.attending.Add(1)
	defer s.attending.Add(-1)
	for failed := 0; ; {
		err := s.follow(ctx, g)
		pause := time.Duration(0)
		switch {
		case ctx.Err() != nil:
			return nil
		case tokenRefused(err):
			return &im.Lost{Class: im.Retry, Text: "The homeserver has ended the session of an account of this box. The box makes another by itself."}
		case err != nil:
			g.log.Debug("what is for the device did not come", "err", words(err))
			pause = waitFor(err, failed, s.net.pause)
			failed++
		case s.brings.Load():
			pause, failed = keysAnyway, 0
		default:
			failed = 0
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// follow waits for what comes next and takes it in.
func (s *service) follow(ctx context.Context, g *ghost) error {
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	var since string
	err := s.inTurn(ctx, func() error { since = g.since; return nil })
	var resp *syncResponse
	if err == nil {
		resp, err = g.keysSince(ctx, since, pollFor*polls/max(polls, time.Duration(s.attending.Load())))
	}
	<-s.places
	afresh := since != "" && status(err) == http.StatusBadRequest
	if err != nil && !afresh {
		return err
	}
	return s.inTurn(ctx, func() error {
		switch {
		case g.since != since: // a transaction was in a hurry, and has it
			return nil
		case afresh:
			g.log.Warn("the homeserver refuses the kept position of a device; starting afresh", "err", words(err))
			g.since = ""
			return nil
		}
		return g.takeIn(ctx, resp)
	})
}

// inTurn does what may not be done while a transaction is taken.
func (s *service) inTurn(ctx context.Context, do func() error) error {
	select {
	case s.taking <- struct{}{}:
		defer func() { <-s.taking }()
		return do()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// keysSince does one /sync of the ghost's device. wait is how long the homeserver
// may hold it.
func (g *ghost) keysSince(ctx context.Context, since string, wait time.Duration) (*syncResponse, error) {
	return syncOnce(ctx, g.device, mautrix.ReqSync{
		Since: since, FilterID: filterKeys, Timeout: int(wait.Milliseconds()), SetPresence: g.saying(),
	})
}

// learn takes in a response for the device, and returns what can be read only now.
// Its position counts when all of it is on disk. The caller has the turn to take.
func (g *ghost) learn(ctx context.Context, resp *syncResponse) (late []im.Event, read []olm.Waiting, err error) {
	news := g.since == "" || len(resp.ToDevice.Events)+len(resp.DeviceLists.Changed)+len(resp.DeviceLists.Left) > 0
	if err = g.receiveKeys(ctx, resp, g.since); err == nil {
		late, read, err = g.resolve(ctx)
	}
	if err == nil {
		err = g.keep(ctx)
	}
	if err == nil && news {
		g.kept.Since = resp.NextBatch
		err = g.kv.Update(func(tx im.Tx) error { return putJSON(tx, ghostDeviceKey, g.kept) })
	}
	if err == nil {
		g.since = resp.NextBatch
	}
	return late, read, err
}

// takeIn is learn, with what can be read handed over.
func (g *ghost) takeIn(ctx context.Context, resp *syncResponse) error {
	late, read, err := g.learn(ctx, resp)
	if err != nil || len(late) == 0 {
		return err
	}
	return g.deliver(ctx, delivery{events: late, read: read})
}

// catchUp equips a ghost that is in an encrypted room, and takes in what came for it
// while the box was away, before the messages.
func (s *service) catchUp(ctx context.Context, g *ghost) error {
	if len(g.mem.secrets()) == 0 {
		return nil
	}
	if err := s.equip(ctx, g); err != nil || g.olm() == nil {
		return err
	}
	resp, err := g.keysSince(ctx, g.since, 0)
	if err != nil && !passing(err) && ctx.Err() == nil {
		g.log.Warn("what is for a device did not come", "err", words(err))
		return nil // attend goes on trying
	}
	if err != nil {
		return err
	}
	return g.takeIn(ctx, resp)
}

// ready sees to it that the ghost can read e, as far as that is possible, and knows
// what e says of who can read the room. The caller has the turn to take.
func (s *service) ready(ctx context.Context, g *ghost, r id.RoomID, e *evt, h *harvest) error {
	if err := g.newcomer(ctx, e); err != nil {
		return err
	}
	if err := g.readers(ctx, r, e); err != nil {
		return err
	}
	secret := e.Type == event.EventEncrypted.Type
	if e.Sender == g.cli.UserID || !secret && e.Type != event.StateEncryption.Type {
		return nil
	}
	if g.olm() != nil {
		if secret {
			return s.awaitKey(ctx, g, r, e, h)
		}
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, equipFor)
	defer cancel()
	if err := s.equip(soon, g); err != nil && ctx.Err() == nil {
		g.log.Warn("no encryption for a user of the gateway yet", "err", words(err)) // what can't be read now never can
	}
	return ctx.Err()
}

// newcomer notes that what is known of the devices of somebody who joins a room may
// be old: the homeserver tells changes only to those who share a room.
func (g *ghost) newcomer(ctx context.Context, e *evt) error {
	if g.olm() == nil || e.Type != event.StateMember.Type || e.StateKey == nil {
		return nil
	}
	if c, _ := decode[event.MemberEventContent](e.Content); c.Membership != event.MembershipJoin {
		return nil
	}
	return g.olm().MarkTrackedUsersOutdated(ctx, []id.UserID{id.UserID(*e.StateKey)})
}

// awaitKey fetches the key of a message if it is not there; once for each key, and
// not for longer than a transaction may wait.
func (s *service) awaitKey(ctx context.Context, g *ghost, r id.RoomID, e *evt, h *harvest) error {
	for !s.brings.Load() {
		wanted, err := g.olm().Wanting(r, e.Content)
		if !wanted || err != nil {
			return err
		}
		if h.until.IsZero() {
			h.until = time.Now().Add(keyFor)
		}
		left := time.Until(h.until)
		if left <= 0 {
			return nil
		}
		resp, err := g.keysSince(ctx, g.since, left)
		if err != nil {
			g.log.Debug("a key can't be fetched now", "err", words(err))
			return nil
		}
		late, read, err := g.learn(ctx, resp)
		h.late(g, late, read)
		if err != nil {
			return err
		}
	}
	return nil
}

// secrets are the encrypted rooms that the ghost is in, or asked into.
func (m *memory) secrets() (rooms []id.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r, rm := range m.rooms {
		if rm.Encrypted && rm.Membership.IsInviteOrJoin() {
			rooms = append(rooms, r)
		}
	}
	return rooms
}
