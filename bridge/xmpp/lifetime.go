package xmpp

import (
	"context"
	"errors"
	"sync"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

var errClosed = errors.New("the link to the chat server is closed")

// lifetime is from when a link, or the component, is made until nothing of it runs
// any more. It ends with the stream, with an error, or by Close.
type lifetime struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // conductor, and what the lobby does
	done   chan struct{}  // closed when the link has ended and nothing of it runs
}

func (l *lifetime) begin() {
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.done = make(chan struct{})
}

// last returns when the link is to end.
func (l *lifetime) last(s *stream.Stream) {
	select {
	case <-s.Done():
		if err := s.Wait(); err != nil {
			l.cancel(lost(err))
		}
	case <-l.ctx.Done():
	}
	l.cancel(errClosed)
}

// Wait returns when the link has ended.
func (l *lifetime) Wait() error {
	<-l.done
	if err := context.Cause(l.ctx); !errors.Is(err, errClosed) {
		return lost(err)
	}
	return nil
}

// Close signs off: one account, or all of the component's.
func (l *lifetime) Close() error {
	l.cancel(errClosed)
	<-l.done
	return nil
}

// end ends the link because of err, unless it is ending: the stream knows
// better why then.
func (l *lifetime) end(err error) {
	if !errors.Is(err, stream.ErrClosed) && l.ctx.Err() == nil {
		l.cancel(lost(err))
	}
}

// fail ends the link because something could not be kept.
func (l *lifetime) fail(err error) {
	l.cancel(&im.Lost{Class: im.Retry, Text: "Messages could not be stored (" + err.Error() + "). It is tried again by itself."})
}
