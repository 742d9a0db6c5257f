package stream

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"
)

// maxQueued bounds the bytes that wait for the line: a server that lets more
// pile up is dead.
const maxQueued = 4 << 20

const request = "<r xmlns='" + nsSM + "'/>"

// write queues bytes for w and sees that somebody writes them. Caller holds
// s.mu.
func (s *Stream) write(w *wire, b []byte) {
	if len(w.out)+len(b) > maxQueued {
		w.conn.SetDeadline(time.Unix(1, 0)) // the reader and the writer notice
		return
	}
	w.out = append(w.out, b...)
	if !w.writing {
		w.writing = true
		s.wg.Add(1)
		go s.flush(w)
	}
}

// flush writes what is queued, in as few writes as it can, and ends.
func (s *Stream) flush(w *wire) {
	defer s.wg.Done()
	var b []byte
	for {
		s.mu.Lock()
		b, w.out = w.out, b[:0]
		if len(b) == 0 {
			w.writing = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		w.conn.SetWriteDeadline(time.Now().Add(s.cfg.Timeout))
		if _, err := w.conn.Write(b); err != nil {
			w.conn.Close() // the reader notices; writing stays set, nothing more is written here
			return
		}
	}
}

// Send queues a stanza, in the order of calls; it does not wait for the line.
// acked (may be nil) runs from the reader when the server has handled the
// stanza; it does not run when the stream ends before. Over a cut that can be
// mended, stanzas are kept. Errors: ErrClosed, ErrBusy, or what is wrong with p.
func (s *Stream) Send(p stanza.Packet, acked func()) error {
	b, err := xml.Marshal(p)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.push(b, acked)
}

// push does the work of Send. Caller holds s.mu.
func (s *Stream) push(b []byte, acked func()) error {
	if s.closed || s.wire == nil && s.sm.id == "" {
		return ErrClosed
	}
	if len(s.sm.out) >= maxUnacked {
		return ErrBusy
	}
	switch {
	case s.sm.on:
		s.sm.out = append(s.sm.out, sent{b, acked})
		if acked != nil || len(s.sm.out)%20 == 0 {
			b = append(b[:len(b):len(b)], request...)
		}
	case acked != nil:
		b = append(b[:len(b):len(b)], s.fence(acked)...)
	}
	if s.wire != nil {
		s.write(s.wire, b)
	}
	return nil
}

// fence is a ping behind a stanza: servers handle a client's stanzas in order,
// so that its answer, be it an error, shows that the stanza was handled. Caller
// holds s.mu.
func (s *Stream) fence(acked func()) []byte {
	s.sm.out = append(s.sm.out, sent{acked: acked})
	at := s.sm.acked + uint32(len(s.sm.out))
	iq := s.ping()
	s.waiting[iq.Id] = waiter{iq.To, func(*stanza.Node) {
		s.mu.Lock()
		tell, _ := s.sm.take(at) // our own count
		s.mu.Unlock()
		call(tell)
	}}
	b, _ := xml.Marshal(iq) // no values of ours that could fail
	return b
}

// ping asks the server, and a component itself, by way of its server: which
// other name that one has is not known.
func (s *Stream) ping() *stanza.IQ {
	iq := &stanza.IQ{
		XMLName: xml.Name{Local: "iq"},
		Attrs:   stanza.Attrs{Type: stanza.IQTypeGet, Id: rand.Text(), To: s.cfg.JID.Domain},
		Any:     &stanza.Node{XMLName: xml.Name{Space: nsPing, Local: "ping"}},
	}
	if s.component {
		iq.From = s.cfg.JID.Domain
	}
	return iq
}

// echo tells whether n is our own ping that came back. Nobody else has that
// address.
func (s *Stream) echo(n *stanza.Node) bool {
	return s.component && Attr(n, "from") == s.cfg.JID.Domain && Attr(n, "to") == s.cfg.JID.Domain
}

// waiter is somebody who waits for the answer to an IQ that was sent to.
type waiter struct {
	to    string
	reply func(*stanza.Node)
}

// from tells whether an answer from that address is the one waited for: ids
// can be guessed, addresses can't be forged.
func (w waiter) from(from string, own JID) bool {
	if strings.EqualFold(from, w.to) {
		return true
	}
	mine := from == "" || strings.EqualFold(from, own.Bare().String()) || strings.EqualFold(from, own.Domain) || strings.EqualFold(from, own.String())
	return mine && (w.to == "" || strings.EqualFold(w.to, own.Bare().String()) || from == "" && strings.EqualFold(w.to, own.Domain))
}

// answered gives an answer to whom it is for.
func (s *Stream) answered(n *stanza.Node) {
	id, from := Attr(n, "id"), Attr(n, "from")
	s.mu.Lock()
	w, ok := s.waiting[id]
	ok = ok && w.from(from, s.bound)
	if ok {
		delete(s.waiting, id)
	}
	s.mu.Unlock()
	if ok {
		w.reply(n)
	}
}

// Do sends an IQ of type get or set under an id of its own and waits for the
// answer. Errors: *StanzaError when the answer is one, ErrClosed, ErrBusy, or
// ctx's. It must not be called from Handle.
func (s *Stream) Do(ctx context.Context, iq *stanza.IQ) (*stanza.Node, error) {
	iq.Id = rand.Text()
	b, err := xml.Marshal(iq)
	if err != nil {
		return nil, err
	}
	answer := make(chan *stanza.Node, 1)
	s.mu.Lock()
	if err = s.push(b, nil); err == nil {
		s.waiting[iq.Id] = waiter{iq.To, func(n *stanza.Node) { answer <- n }}
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	defer func() {
		s.mu.Lock()
		delete(s.waiting, iq.Id)
		s.mu.Unlock()
	}()
	select {
	case n := <-answer:
		if Attr(n, "type") == "error" {
			return nil, ErrorOf(n)
		}
		return n, nil
	case <-s.done:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Ping asks the server for a sign of life (XEP-0199); an error answer is one.
func (s *Stream) Ping(ctx context.Context) error {
	_, err := s.Do(ctx, s.ping())
	if _, ok := err.(*StanzaError); ok {
		return nil
	}
	return err
}
