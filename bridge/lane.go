package bridge

import (
	"context"
	"errors"
	"time"

	"nudge/bridge/im"
)

// lane carries the events of one conversation out, in order. It has a
// goroutine while its queue is not empty. The hub's lock guards it.
type lane struct {
	link  im.Link
	queue []job
	busy  bool
}

// job is one event for a link; send is set for what has to be confirmed.
type job struct {
	user string
	ev   im.Event
	send *send
}

// handleLimit is how long a network may take over one event before the link
// counts as dead.
const handleLimit = 30 * time.Second

// carry queues s in its conversation's lane. The lock is held, the link is up.
func (p *port) carry(s *send) {
	conv := ""
	switch ev := s.ev.(type) {
	case im.Message:
		conv = ev.Conv
	case im.ContactEdit:
		conv = ev.Who.ID
	}
	p.enqueue(s.user+" "+conv, job{s.user, s.ev, s}, false)
}

// sendPresence shows the account's presence on the network; only the latest
// counts. The lock is held.
func (p *port) sendPresence(user string, ev im.PresenceChanged) {
	if p.up {
		p.enqueue(user, job{user: user, ev: ev}, true)
	}
}

// sendTyping is dropped when the conversation is busy anyway.
func (p *port) sendTyping(user string, ev im.Typing) {
	if l := p.lanes[user+" "+ev.Conv]; p.up && (l == nil || len(l.queue) == 0) {
		p.enqueue(user+" "+ev.Conv, job{user: user, ev: ev}, false)
	}
}

// sendRead says that the user got a message; the latest covers the ones before.
func (p *port) sendRead(user string, r im.Receipt) {
	if p.up {
		p.enqueue(user+" "+r.Conv, job{user: user, ev: r}, true)
	}
}

// enqueue adds j to a lane. With latest it takes the place of a job of the same
// kind that waits at the end. The lock is held.
func (p *port) enqueue(key string, j job, latest bool) {
	l := p.lanes[key]
	if l == nil {
		l = &lane{link: p.link}
		p.lanes[key] = l
	}
	if n := len(l.queue); latest && n > 0 && sameKind(l.queue[n-1].ev, j.ev) {
		l.queue[n-1] = j
	} else {
		l.queue = append(l.queue, j)
	}
	if !l.busy {
		l.busy = true
		p.hub.wg.Go(func() { p.work(key, l) })
	}
}

func sameKind(x, y im.Event) bool {
	switch x.(type) {
	case im.PresenceChanged:
		_, ok := y.(im.PresenceChanged)
		return ok
	case im.Receipt:
		_, ok := y.(im.Receipt)
		return ok
	}
	return false
}

// work empties a lane. It ends with its link: what was not confirmed goes out
// again on the next one.
func (p *port) work(key string, l *lane) {
	for {
		p.hub.mu.Lock()
		if p.link != l.link || !p.up || len(l.queue) == 0 {
			l.busy = false
			if p.lanes[key] == l {
				delete(p.lanes, key)
			}
			p.hub.mu.Unlock()
			return
		}
		j := l.queue[0]
		l.queue = l.queue[1:]
		skip := j.send != nil && j.send.over
		p.hub.mu.Unlock()
		if skip {
			continue
		}
		p.slots <- struct{}{}
		ctx, cancel := context.WithTimeout(p.hub.ctx, handleLimit)
		err := l.link.Handle(ctx, im.Addr{ID: j.user}, j.ev)
		if errors.Is(err, im.ErrUnsupported) {
			if m, can := inWords(j.ev); can {
				err = l.link.Handle(ctx, im.Addr{ID: j.user}, m)
			}
		}
		cancel()
		<-p.slots
		if err != nil {
			p.refused(l, j, err)
		}
	}
}

// refused decides what an error of Handle means: final for the event, or the
// end of the link.
func (p *port) refused(l *lane, j job, err error) {
	var no *im.Refused
	final := errors.As(err, &no) || errors.Is(err, im.ErrUnsupported)
	if final && j.send == nil {
		return
	}
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	switch {
	case final && errors.Is(err, im.ErrUnsupported) && isEdit(j.ev):
		p.finish(j.send) // the network has no such list: what the box keeps is all there is
	case final:
		p.fail(j.send, err)
	case j.send == nil:
		p.hub.log.Debug("not carried out", "net", p.net, "account", j.user, "err", err)
	default:
		p.hub.log.Info("link does not answer; connecting anew", "net", p.net, "account", p.user, "err", err)
		l.queue = nil
		if p.link == l.link {
			p.up = false
		}
		p.hub.wg.Go(func() { l.link.Close() })
	}
}

func isEdit(ev im.Event) bool {
	_, ok := ev.(im.ContactEdit)
	return ok
}
