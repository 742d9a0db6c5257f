package bridge

import "nudge/bridge/im"

// Watch adds a display: lights, a status page. It is told of every link's state
// (im.LinkState), of how many are here (im.Overview, at once and whenever that
// changes), and that something was said (im.Message with nothing but its Kind).
func (h *Hub) Watch(s im.Sink) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers = append(h.watchers, s)
	for _, p := range h.ports() {
		s.Deliver(p.state, nil)
	}
	h.overview = h.count()
	s.Deliver(h.overview, nil)
}

// counted tells the displays when the numbers changed. The lock is held.
func (h *Hub) counted() {
	if len(h.watchers) == 0 {
		return
	}
	if now := h.count(); now != h.overview {
		h.overview = now
		h.display(now)
	}
}

// came tells the displays that one more account is here, or one less; to count
// them all would make a thousand sign-ins cost a million. The lock is held.
func (h *Hub) came(here bool) {
	if len(h.watchers) == 0 {
		return
	}
	if here {
		h.overview.Users++
	} else {
		h.overview.Users--
	}
	h.display(h.overview)
}

// count leaves out the links that every account has by itself: nobody made
// them, and they are always up; and those that are closed because nobody is here.
func (h *Hub) count() (o im.Overview) {
	for _, a := range h.accounts {
		if a.here {
			o.Users++
		}
	}
	for _, p := range h.ports() {
		switch {
		case p.builtin(), p.resting:
			continue
		case p.state.State != im.Down:
			o.Up++
		}
		o.Links++
	}
	return o
}

// display shows ev to the displays. The lock is held.
func (h *Hub) display(ev im.Event) {
	for _, w := range h.watchers {
		w.Deliver(ev, nil)
	}
}

// said shows the displays that there was a message, and nothing of it. The lock
// is held.
func (h *Hub) said(m im.Message) { h.display(spoken[m.Kind]) }

// spoken is all that displays are told of a message, made once.
var spoken = [...]im.Event{
	im.Text:   im.Message{Kind: im.Text},
	im.Emote:  im.Message{Kind: im.Emote},
	im.Notice: im.Message{Kind: im.Notice},
	im.Nudge:  im.Message{Kind: im.Nudge},
}
