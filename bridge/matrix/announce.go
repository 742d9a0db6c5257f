package matrix

import (
	"context"
	"sync"
	"time"
)

// announcer does the requests of which only the latest of a kind counts
// (presence, typing, read markers), one after the other and apart from
// everything else: whoever asks for them never waits.
type announcer struct {
	mu    sync.Mutex
	order []string
	jobs  map[string]func(context.Context) error
	wake  chan struct{}
}

func newAnnouncer() *announcer {
	return &announcer{jobs: map[string]func(context.Context) error{}, wake: make(chan struct{}, 1)}
}

// announceFor is how long one request may take before the next has its turn.
const announceFor = 20 * time.Second

// ask queues do in place of an older one with the same key.
func (a *announcer) ask(key string, do func(context.Context) error) {
	a.mu.Lock()
	if a.jobs[key] == nil {
		a.order = append(a.order, key)
	}
	a.jobs[key] = do
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *announcer) take() func(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.order) == 0 {
		return nil
	}
	key := a.order[0]
	do := a.jobs[key]
	a.order = a.order[1:]
	delete(a.jobs, key)
	return do
}

// announce works off what was asked for. A failure is nobody's concern: not
// every server takes presence, and the next one is on its way.
func (l *link) announce(ctx context.Context) error {
	for {
		do := l.soon.take()
		if do == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-l.soon.wake:
			}
			continue
		}
		one, cancel := context.WithTimeout(ctx, announceFor)
		if err := l.retry(one, func() error { return do(one) }); err != nil && ctx.Err() == nil {
			l.log.Debug("announcement failed", "err", words(err))
		}
		cancel()
	}
}
