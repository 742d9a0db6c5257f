package sb

import (
	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/msnserver/p2p"
	"nudge/msnserver/wire"
)

// play answers what the client's program says to that of somebody on a network, who
// has none that understands it (MSNP.md D.7), and tells the maker of an offer that
// nobody can take up.
func (s *Seat) play(payload []byte, offer string) {
	to := p2p.Addressee(payload)
	if to == "" && s.invited(payload) {
		return
	}
	played := s.Dialect().Pictures && to != "" && s.seat.Stands(to)
	if offer != "" && !(played && p2p.OffersFile(payload)) {
		s.seat.Decline(offer)
	}
	if played {
		s.converse(func(h *p2p.Host) []p2p.Message { return h.Take(payload) })
	}
}

// askPicture lets somebody on a network ask the client, once in a conversation, for
// what it shows of itself (MSNP.md D.8).
func (s *Seat) askPicture() {
	if s.asked {
		return
	}
	object, by, ok := s.seat.Wanted()
	if s.asked = ok; ok {
		const app = 1 // of Messenger up to 7.5
		s.converse(func(h *p2p.Host) []p2p.Message { return h.Ask(by, wire.Unescape(object), app, s.seat.Wear) })
	}
}

// converse tells the client what those who are played say then. The reader does that,
// and files that went their way.
func (s *Seat) converse(then func(*p2p.Host) []p2p.Message) {
	s.playing.Lock()
	defer s.playing.Unlock()
	if s.p2p == nil {
		s.p2p = p2p.New(s.seat.Person().ID, s.seat.Picture, s.takeFile)
	}
	for _, m := range then(s.p2p) {
		s.seat.Hear(m.From, m.Payload)
	}
}

// takeFile takes a file for somebody on a network.
func (s *Seat) takeFile(o p2p.Offer) p2p.File {
	ready := func(f *bridge.Handover) {
		s.converse(func(h *p2p.Host) []p2p.Message { return h.Want(f) })
	}
	over := func(f *bridge.Handover, taken bool) {
		s.converse(func(h *p2p.Host) []p2p.Message { return h.Settle(f, taken) })
	}
	if f := s.seat.HandOver(o.To, im.File{Name: o.Name, Size: o.Size}, ready, over); f != nil {
		return f
	}
	return nil
}

// stopPlaying ends what the client can't go on with, because it is gone.
func (s *Seat) stopPlaying() {
	s.playing.Lock()
	defer s.playing.Unlock()
	if s.p2p != nil {
		s.p2p.Close()
	}
	for _, x := range s.fetches {
		if !x.file.Whole() {
			x.file.GiveUp()
		}
		x.stop()
	}
}
