package matrix

import (
	"context"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
)

// lookAround asks for what /sync does not tell from a kept position on, because it
// tells changes only: who is online, each time, and once after an upgrade of the box
// what former versions did not ask for. That is one large answer at most, and one at a
// time for all links. It is worth one try, before the position is followed: what has
// changed since comes after it.
func (l *link) lookAround(ctx context.Context) error {
	filter, formed := filterPresence, l.mem.isFormed()
	if !formed {
		filter = filterForm
		select {
		case l.net.firstSync <- struct{}{}:
			defer func() { <-l.net.firstSync }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	resp, err := syncOnce(ctx, l.cli, mautrix.ReqSync{FilterID: filter, SetPresence: l.saying()})
	if err != nil {
		l.log.Debug("presence could not be asked for", "err", words(err))
		return nil
	}
	l.mem.tell(resp.Presence.Events)
	if !formed {
		l.catchForm(resp)
	}
	return nil
}

// catchForm adds to the rooms that are known what was not asked for before.
func (l *link) catchForm(resp *syncResponse) {
	for r, j := range resp.Rooms.Join {
		if !l.mem.in(r) {
			continue // news, which follow
		}
		for _, part := range []evts{j.State.Events, j.Timeline.Events} {
			for i := range part {
				if part[i].Type != event.StateMember.Type {
					l.mem.change(r, &part[i])
				}
			}
		}
	}
	for _, e := range resp.AccountData.Events {
		if e.Type == event.AccountDataPushRules.Type {
			l.mem.accountData(evts{e})
		}
	}
	l.mem.formed()
}

// isFormed tells whether all was asked for that is asked for now.
func (m *memory) isFormed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.form >= form
}

// formed notes that it was, or is just being.
func (m *memory) formed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	set(m, formKey, &m.form, form)
}
