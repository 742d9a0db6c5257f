package matrix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
)

// transaction is what the homeserver brings at a time (application service API,
// pushing events; MSC2409 for the ephemeral part).
type transaction struct {
	key       string
	events    []pushed
	ephemeral []pushed
	devices   deviceNews
}

// pushed is an event with the room it happened in, and what is told of a room to
// somebody who is invited.
type pushed struct {
	evt
	room  id.RoomID
	state evts
}

// readTransaction reads a transaction. What in it is not an event is left out:
// brought again it would be none either.
func readTransaction(name string, body []byte) (*transaction, error) {
	var raw struct {
		Events    []json.RawMessage `json:"events"`
		Ephemeral []json.RawMessage `json:"ephemeral"`
		Unstable  []json.RawMessage `json:"de.sorunome.msc2409.ephemeral"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, err
	}
	t := &transaction{ephemeral: readPushed(raw.Ephemeral)}
	t.devices, _ = decode[deviceNews](body)
	if len(t.ephemeral) == 0 {
		t.ephemeral = readPushed(raw.Unstable)
	}
	t.events = slices.DeleteFunc(readPushed(raw.Events), func(e pushed) bool {
		return e.ID == "" || e.room == "" || e.Sender == "" || e.Type == ""
	})
	// A homeserver that was set back, or that adds to what it could not deliver
	// (Dendrite), uses a name again for something else.
	sum := sha256.New()
	for _, e := range t.events {
		sum.Write([]byte(e.ID + " "))
	}
	t.key = im.Short(name, 64) + " " + hex.EncodeToString(sum.Sum(nil)[:8])
	return t, nil
}

func readPushed(raw []json.RawMessage) (events []pushed) {
	for _, r := range raw {
		e, ok := decode[evt](r)
		more, ok2 := decode[struct {
			Room     id.RoomID `json:"room_id"`
			State    evts      `json:"invite_room_state"`
			Unsigned struct {
				State evts `json:"invite_room_state"`
			} `json:"unsigned"`
		}](r)
		if ok && ok2 {
			events = append(events, pushed{e, more.Room, slices.Concat(more.State, more.Unsigned.State)})
		}
	}
	return events
}

// harvest is what a transaction means for the ghosts it touches, by the order in
// which they come up.
type harvest struct {
	ghosts []*ghost
	events map[*ghost][]im.Event
	read   map[*ghost][]olm.Waiting // events of former transactions that are among them now
	until  time.Time                // how long keys are waited for; zero: none was
}

func (h *harvest) add(g *ghost, events ...im.Event) {
	if _, known := h.events[g]; !known {
		h.ghosts = append(h.ghosts, g)
	}
	h.events[g] = append(h.events[g], events...)
}

// late adds what can be read only now.
func (h *harvest) late(g *ghost, events []im.Event, read []olm.Waiting) {
	h.add(g, events...)
	h.read[g] = append(h.read[g], read...)
}

// take takes a transaction, after those before it. It returns nil when everything
// in it is delivered or on disk.
func (s *service) take(ctx context.Context, t *transaction) error {
	return s.inTurn(ctx, func() error { return s.taken(ctx, t) })
}

// taken is take with the turn.
func (s *service) taken(ctx context.Context, t *transaction) error {
	if slices.Contains(s.recent, t.key) && len(t.events) > 0 {
		return nil
	}
	h := &harvest{events: map[*ghost][]im.Event{}, read: map[*ghost][]olm.Waiting{}}
	if err := s.inform(ctx, &t.devices, h); err != nil {
		return err
	}
	for i := range t.events {
		if err := s.route(ctx, &t.events[i], h); err != nil {
			return s.fatal(err)
		}
	}
	for i := range t.ephemeral {
		s.pushes.Store(true)
		s.passing(&t.ephemeral[i], h)
	}
	for _, g := range h.ghosts {
		late, read, err := g.resolve(ctx)
		h.late(g, late, read)
		if err == nil {
			err = g.keep(ctx)
		}
		if err != nil {
			return err
		}
	}
	if err := s.handOver(ctx, t.key, h); err != nil {
		return err
	}
	if s.recent = append(s.recent, t.key); len(s.recent) > 16 {
		s.recent = s.recent[1:]
	}
	return nil
}

// fatal ends the service when an error means that a device has to be given up, which
// the next one does; the homeserver brings the transaction again.
func (s *service) fatal(err error) error {
	if lost := (*im.Lost)(nil); errors.As(err, &lost) {
		s.cancel(lost)
	}
	return err
}

// handOver gives the hub what a transaction brought, and waits until it is kept.
func (s *service) handOver(ctx context.Context, key string, h *harvest) error {
	var fates []<-chan error
	said := false
	for _, g := range h.ghosts {
		if len(h.events[g]) == 0 {
			g.poke()
			continue
		}
		fate := make(chan error, 2)
		if err := g.deliver(ctx, delivery{events: h.events[g], read: h.read[g], fate: fate}); err != nil {
			if g.ctx.Err() != nil && s.ctx.Err() == nil {
				continue // the account has left
			}
			return err
		}
		fates = append(fates, fate)
		said = said || slices.ContainsFunc(h.events[g], func(ev im.Event) bool { _, is := ev.(im.Message); return is })
	}
	if err := eachOf(ctx, fates...); err != nil || !said {
		return err
	}
	if err := s.host.Accept(ctx, im.Batch{Mark: []byte(key)}, s.bot.settled); err != nil {
		return err
	}
	// The homeserver waits for its answer, so the commit must not wait for others.
	if err := s.host.KV(im.Addr{}).Sync(ctx); err != nil {
		return err
	}
	return eachOf(ctx, fates...)
}

// eachOf takes one value from each channel; an error is the end of it.
func eachOf(ctx context.Context, fates ...<-chan error) error {
	for _, fate := range fates {
		select {
		case err := <-fate:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// route gives an event to the ghosts that it concerns: those in its room, and the
// one whose membership it is.
func (s *service) route(ctx context.Context, e *pushed, h *harvest) error {
	whose := ""
	if e.Type == event.StateMember.Type && e.StateKey != nil {
		if handle, ok := s.handleOf(id.UserID(*e.StateKey)); ok {
			whose = handle
			if acct, known := s.host.Account(handle); known {
				g, err := s.ghost(acct)
				if err == nil {
					err = s.membership(ctx, g, acct, e, h)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	for _, g := range s.all() {
		if g.user.ID == whose || !g.mem.in(e.room) {
			continue
		}
		if e.Type == event.StateMember.Type {
			g.count(e.room)
		}
		if err := s.heard(ctx, g, e.room, &e.evt, h); err != nil {
			return err
		}
	}
	return nil
}

// heard takes in an event of a room that the ghost is in.
func (s *service) heard(ctx context.Context, g *ghost, r id.RoomID, e *evt, h *harvest) error {
	g.mem.change(r, e)
	h.add(g)
	if err := s.ready(ctx, g, r, e, h); err != nil {
		return err
	}
	m, ok, err := g.message(ctx, r, e, false)
	if ok && err == nil {
		h.add(g, m)
	}
	return err
}

// passing takes in typing, receipts and presence.
func (s *service) passing(e *pushed, h *harvest) {
	for _, g := range s.all() {
		switch {
		case e.Type == event.EphemeralEventPresence.Type && g.mem.knows(e.Sender):
			g.mem.tell(evts{e.evt})
			h.add(g)
		case e.room != "" && g.mem.in(e.room):
			h.add(g, g.ephemeral(e.room, evts{e.evt})...)
		}
	}
}
