package matrix

import (
	"context"
	"time"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// awaitEchoes finds out what a former connection sent whose answer never came: it
// is in the history of the room. As long as the homeserver may still be busy with
// it (see link.awaitEchoes) it is looked for again.
func (s *service) awaitEchoes(ctx context.Context) error {
	began := time.Now()
	for {
		var open []string
		for acct := range s.host.Accounts() {
			missing, err := s.findEchoes(ctx, acct)
			if err != nil {
				return err
			}
			open = append(open, missing...)
		}
		end := began.Add(echoSoon * s.net.pause)
		if late := s.net.stumbles.latest(open).Add(echoLate * s.net.pause); late.After(end) {
			end = late
		}
		if len(open) == 0 || !time.Now().Before(end) {
			return nil
		}
		if err := sleep(ctx, s.net.pause); err != nil {
			return err
		}
	}
}

// clockSkew is how far the clocks of box and homeserver may be apart.
const clockSkew = 10 * time.Minute

// findEchoes looks for an account's unsettled messages and returns those that are
// not there.
func (s *service) findEchoes(ctx context.Context, acct im.Account) (missing []string, err error) {
	g := s.awake(acct.Addr)
	if g == nil {
		return nil, nil // it never said anything
	}
	oldest := map[id.RoomID]time.Time{}
	for _, u := range s.host.Unsettled(acct.Addr) {
		m, ok := u.Event.(im.Message)
		if !ok || !g.track.pend(m) {
			continue
		}
		r := g.mem.place(m.Conv)
		if at, known := oldest[r]; r != "" && (!known || m.At.Before(at)) {
			oldest[r] = m.At
		}
	}
	for r, at := range oldest {
		if err := g.ownSince(ctx, r, at.Add(-clockSkew)); err != nil {
			return nil, err
		}
	}
	return g.track.open(), nil
}

// ownSince takes in what the ghost itself said in a room.
func (g *ghost) ownSince(ctx context.Context, r id.RoomID, since time.Time) error {
	from := ""
	for range pages {
		var p historyPage
		err := g.retry(ctx, func() error {
			p = historyPage{}
			return g.history(ctx, r, from, "", page, &p)
		})
		switch {
		case err != nil && (ctx.Err() != nil || passing(err)):
			return err
		case err != nil:
			g.log.Warn("history refused", "room", r, "err", words(err))
			return nil
		}
		for i := range p.Chunk {
			if err := g.echo(ctx, &p.Chunk[i]); err != nil {
				return err
			}
		}
		last := len(p.Chunk) - 1
		if p.End == "" || p.End == from || last >= 0 && time.UnixMilli(p.Chunk[last].At).Before(since) {
			return nil
		}
		from = p.End
	}
	return nil
}

// echo settles the message of a former connection that e is. It returns when the
// hub has been told: only then may it be told that the service is up.
func (g *ghost) echo(ctx context.Context, e *evt) error {
	msg := g.echoOf(e)
	if e.Sender != g.cli.UserID || msg == "" {
		return nil
	}
	g.track.named(msg, e.ID)
	receipt, ok := g.settle(msg)
	if !ok {
		return nil
	}
	fate := make(chan error, 2)
	if err := g.deliver(ctx, delivery{events: []im.Event{receipt}, fate: fate}); err != nil {
		return err
	}
	return eachOf(ctx, fate)
}
