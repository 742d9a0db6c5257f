package matrix

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// lookSoon makes the conductor look who is online.
func (s *service) lookSoon() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// lookAround asks for the presence of contacts, on behalf of the ghosts that are
// there: all of them on a homeserver that does not tell by itself (Dendrite),
// else those of whom it has told nothing yet.
func (s *service) lookAround(ctx context.Context) {
	watched := map[id.UserID][]*ghost{}
	for _, g := range s.all() {
		if g.saying() == event.PresenceOffline {
			continue
		}
		for _, u := range g.mem.watched(s.pushes.Load()) {
			watched[u] = append(watched[u], g)
		}
	}
	for _, u := range slices.Sorted(maps.Keys(watched)) {
		content, err := watched[u][0].presenceOf(ctx, u)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.log.Debug("presence could not be asked for", "err", words(err))
			if passing(err) {
				return // the next round finds it better
			}
			continue
		}
		for _, g := range watched[u] {
			g.mem.tell(evts{{Type: event.EphemeralEventPresence.Type, Sender: u, Content: content}})
			g.poke()
		}
	}
}

// presenceOf asks what somebody shows.
func (g *ghost) presenceOf(ctx context.Context, u id.UserID) (content json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, announceFor)
	defer cancel()
	_, err = g.cli.MakeFullRequest(ctx, mautrix.FullRequest{
		Method: http.MethodGet, URL: g.cli.BuildClientURL("v3", "presence", u, "status"), ResponseJSON: &content, MaxAttempts: 1,
	})
	return content, err
}

// watched are the people on the list, or those of whom nothing is told.
func (m *memory) watched(untold bool) (users []id.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for u := range m.direct {
		if p := m.people[u]; u != m.me && !m.ignored[u] && (!untold || p == nil || p.told == nil) {
			users = append(users, u)
		}
	}
	return users
}
