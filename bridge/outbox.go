package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// send is a Message or ContactEdit that the network has not confirmed. A
// message goes to disk only when the link is down or does not answer (its
// sender gets his ACK then); an edit always. The hub's lock guards it.
type send struct {
	user    string
	id      string
	ev      im.Event
	seq     uint64
	mark    []byte      // the link's mark on disk when it was first handed over
	ack     func(error) // nil once called, or when nobody waits
	shelved bool        // on its way to the outbox, or in it
	over    bool        // confirmed or failed
	limit   *time.Timer // until it is shelved although the link is up
}

// answerWithin is how long a network may take to confirm a message before it
// goes to disk, so that its sender need not wait longer.
const answerWithin = 5 * time.Second

// keepSent is how many confirmed messages are remembered for failures that the
// network reports late.
const keepSent = 64

// submit takes ev for the network. ack (may be nil) runs once, with the lock
// held: nil when the network's server took it or it is on disk because the
// link is down. The lock is held.
func (p *port) submit(user string, ev im.Event, ack func(error)) {
	p.seq++
	s := &send{user: user, ev: ev, seq: p.seq, mark: p.mark, ack: ack}
	edit := false
	switch ev := ev.(type) {
	case im.Message:
		s.id = ev.ID
	case im.ContactEdit:
		s.id, edit = ev.ID, true
	}
	p.sends = append(p.sends, s)
	if edit || !p.up {
		p.shelve(s)
	}
	if p.up {
		p.carry(s)
	} else {
		p.wake()
		p.tellWaiting(s)
		p.expire()
	}
	if !s.shelved {
		s.limit = time.AfterFunc(answerWithin, func() {
			p.hub.mu.Lock()
			defer p.hub.mu.Unlock()
			if !s.over && !p.hub.closed {
				p.shelve(s)
			}
		})
	}
}

// restore takes a send from the outbox of a former run.
func (p *port) restore(e store.Entry) {
	ev, err := decode(e.Data)
	if err != nil {
		p.hub.log.Error("an entry of the outbox can't be read and stays there", "net", p.net, "account", p.user, "err", err)
		return
	}
	p.seq = max(p.seq, e.Seq)
	s := &send{user: cmp.Or(p.user, e.Net), id: e.ID, ev: ev, seq: e.Seq, mark: e.Mark, shelved: true}
	p.sends = append(p.sends, s)
}

// shelve puts s on disk. A message that waits for its ACK gets it then: the
// link is down and the message will not be forgotten. The lock is held.
func (p *port) shelve(s *send) {
	if s.shelved {
		return
	}
	s.shelved = true
	s.stopLimit()
	e := store.Entry{Seq: s.seq, Net: p.net, ID: s.id, Mark: s.mark, Data: encode(s.ev)}
	if p.user == "" {
		e.Net = s.user // a shared link's outbox holds everybody's: restore needs to know whose
	}
	switch ev := s.ev.(type) {
	case im.Message:
		e.Conv, e.At = ev.Conv, ev.At
	case im.ContactEdit:
		e.Conv = ev.Who.ID
	}
	h, owner, net := p.hub, p.user, p.net
	h.db.Do(store.Now, func(tx *store.Tx) error { return tx.AddOut(owner, net, e) }, func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if err != nil {
			h.log.Error("the outbox can't be written", "net", net, "account", owner, "err", err)
			s.shelved = false
			return
		}
		s.acknowledge(nil)
	})
}

func (s *send) stopLimit() {
	if s.limit != nil {
		s.limit.Stop()
	}
}

// acknowledge tells the sender once what became of s. The lock is held.
func (s *send) acknowledge(err error) {
	if s.ack != nil {
		ack := s.ack
		s.ack = nil
		ack(err)
	}
}

// finish takes s off the books. The lock is held.
func (p *port) finish(s *send) {
	s.over = true
	s.stopLimit()
	p.sends = slices.DeleteFunc(p.sends, func(o *send) bool { return o == s })
	if s.shelved {
		owner, net, id := p.user, p.net, s.id
		p.hub.db.Do(store.Soon, func(tx *store.Tx) error { return tx.DropOut(owner, net, id) }, p.hub.logged("outbox"))
	}
}

// receipt is what the network says became of something it was handed. The
// lock is held.
func (p *port) receipt(user string, r im.Receipt) {
	match := func(s *send) bool { return s.id == r.ID && s.user == user }
	if i := slices.IndexFunc(p.sends, match); i >= 0 {
		s := p.sends[i]
		if r.State == im.Failed {
			p.fail(s, r.Err)
			return
		}
		p.finish(s)
		p.named(s, r.As)
		s.acknowledge(nil)
		p.sent = append(p.sent, s)
		if len(p.sent) > keepSent {
			p.sent = slices.Delete(p.sent, 0, len(p.sent)-keepSent)
		}
		return
	}
	if i := slices.IndexFunc(p.sent, match); i >= 0 && r.State == im.Failed {
		s := p.sent[i]
		p.sent = slices.Delete(p.sent, i, i+1)
		p.bounce(s, r.Err)
	}
}

// fail ends s: the network will never take it. The lock is held.
func (p *port) fail(s *send, err error) {
	if s.over {
		return
	}
	if err == nil {
		err = errors.New("the network did not say why")
	}
	p.finish(s)
	s.acknowledge(err)
	p.bounce(s, err)
}

// bounce brings a message that was not delivered back to its sender, as words
// from the contact (DESIGN.md §3). An edit that the network refused is undone
// by its next roster; the log says why.
func (p *port) bounce(s *send, err error) {
	a := p.hub.accounts[s.user]
	m, ok := s.ev.(im.Message)
	switch {
	case a == nil:
	case !ok:
		p.hub.log.Warn("the network refused a change of the contact list", "net", p.net, "account", s.user, "err", err)
	default:
		a.unsaid(im.Addr{Net: p.net, ID: m.Conv}, m)
		what := "delivered"
		if m.Rel.Kind == im.Retract {
			what = "deleted"
		}
		text := fmt.Sprintf("Not %s (%v)", what, err)
		if words := cmp.Or(m.Text, m.Rel.Quote); words != "" {
			text += fmt.Sprintf(": %q", words)
		} else if m.File != nil {
			text += ": the file " + m.File.Name
		}
		a.receive(im.Addr{Net: p.net, ID: m.Conv}, "", im.Message{Kind: im.Notice, Text: text, At: m.At})
	}
}
