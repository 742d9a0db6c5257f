package stream

import (
	"context"
	"encoding/xml"
	"fmt"
	"strconv"
	"time"

	"gosrc.io/xmpp/stanza"
)

// ackEvery is how many handled stanzas may be unacknowledged before we say so
// unasked: servers bound what they keep for us (Prosody: 500).
const ackEvery = 100

// maxUnacked bounds what we keep for the server.
const maxUnacked = 2000

// ledger counts stanzas that came and were settled, in whatever order:
// settled is how many of the first were, without a gap. Counts are modulo 2³²
// (XEP-0198 §4).
type ledger struct {
	settled uint32
	open    []bool // settled+1 …: whether that one is settled
}

func (l *ledger) begin() (seq uint32) {
	l.open = append(l.open, false)
	return l.received()
}

// received is how many came.
func (l *ledger) received() uint32 { return l.settled + uint32(len(l.open)) }

func (l *ledger) finish(seq uint32) {
	i := seq - l.settled - 1
	if i >= uint32(len(l.open)) {
		return // settled before
	}
	l.open[i] = true
	n := 0
	for n < len(l.open) && l.open[n] {
		n++
	}
	l.open = l.open[n:]
	l.settled += uint32(n)
}

// sent is one stanza that the server has not acknowledged.
type sent struct {
	xml   []byte
	acked func()
}

// management is the state of XEP-0198, or of the pings that stand in for it.
// Guarded by Stream.mu.
type management struct {
	on     bool
	id     string        // to resume with, "" when that can't be done
	window time.Duration // how long the server keeps it, 0 unknown
	in     ledger
	told   uint32 // what we last acknowledged
	asked  bool   // the server asked for more than was settled then,
	upTo   uint32 // namely for this
	out    []sent
	acked  uint32 // how many of ours the server handled; out begins behind them
}

func (m *management) enabled(n *stanza.Node) {
	m.on = true
	if r := Attr(n, "resume"); r == "true" || r == "1" {
		m.id = Attr(n, "id")
	}
	if sec, err := strconv.Atoi(Attr(n, "max")); err == nil && sec > 0 {
		m.window = time.Duration(sec) * time.Second
	}
}

// errCount ends a stream whose counts do not agree any more: nothing that is
// sent on it could ever be settled (XEP-0198 §4).
var errCount = brokenError("it counts stanzas that were not sent")

// take removes what the server handled and returns whom to tell. A count below
// what is known says nothing new; one above what was sent is errCount.
func (m *management) take(h uint32) (tell []func(), err error) {
	if !reached(h, m.acked) {
		return nil, nil
	}
	n := h - m.acked
	if n > uint32(len(m.out)) {
		return nil, errCount
	}
	for _, s := range m.out[:n] {
		if s.acked != nil {
			tell = append(tell, s.acked)
		}
	}
	m.out, m.acked = m.out[n:], h
	return tell, nil
}

func call(fs []func()) {
	for _, f := range fs {
		f()
	}
}

// managed handles <r/> and <a/>, of servers that were asked for them.
func (s *Stream) managed(n *stanza.Node) error {
	s.mu.Lock()
	if !s.sm.on {
		s.mu.Unlock()
		return nil
	}
	var tell []func()
	var broken error
	switch n.XMLName.Local {
	case "r":
		s.sm.asked, s.sm.upTo = true, s.sm.in.received()
		s.acknowledge()
	case "a":
		if h, err := strconv.ParseUint(Attr(n, "h"), 10, 32); err == nil {
			tell, broken = s.sm.take(uint32(h))
		}
	}
	s.mu.Unlock()
	call(tell)
	return broken
}

// settled notes that a stanza need not come again, and tells the server when
// it waits for that. Only settled ones are ever acknowledged: a server resends
// nothing below the count it was told.
func (s *Stream) settled(seq uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sm.in.finish(seq)
	if s.sm.asked && reached(s.sm.in.settled, s.sm.upTo) || reached(s.sm.in.settled, s.sm.told+ackEvery) {
		s.acknowledge()
	}
}

// reached compares counts that wrap around.
func reached(count, goal uint32) bool { return int32(count-goal) >= 0 }

// acknowledge tells the server what is settled, but never less than it was
// told before: servers end the session over that. Caller holds s.mu.
func (s *Stream) acknowledge() {
	if !s.sm.on {
		return
	}
	if reached(s.sm.in.settled, s.sm.told) {
		s.sm.told = s.sm.in.settled
	}
	s.sm.asked = s.sm.asked && !reached(s.sm.told, s.sm.upTo)
	if s.wire != nil {
		s.write(s.wire, fmt.Appendf(nil, "<a xmlns='%s' h='%d'/>", nsSM, s.sm.told))
	}
}

// resume mends a cut line: it connects again, at growing intervals, for as
// long as the server keeps the session, and sends again what the server did
// not handle. A line that is cut before the server's answer is tried again too.
func (s *Stream) resume() (*wire, error) {
	within := s.cfg.ResumeWithin
	s.mu.Lock()
	if s.sm.window > 0 {
		within = min(within, s.sm.window)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, within)
	defer cancel()
	var failed error
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		w, err := s.signIn(ctx)
		if err == nil {
			var answer *stanza.Node
			if answer, err = s.askResume(ctx, w); err == nil {
				return s.resumed(w, answer)
			}
		}
		if failed = err; kindOf(err) != Network {
			return nil, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, failed
		}
	}
}

// askResume asks for the old session on a logged-in wire and returns the
// answer. The count it gives is of all that came, and acknowledges it: what is
// not settled yet is still in this process, and should that end within the
// second, in the archive.
func (s *Stream) askResume(ctx context.Context, w *wire) (*stanza.Node, error) {
	stop := context.AfterFunc(ctx, func() { w.conn.SetDeadline(time.Unix(1, 0)) })
	s.mu.Lock()
	h, id := s.sm.in.received(), s.sm.id
	s.mu.Unlock()
	err := w.send(fmt.Sprintf("<resume xmlns='%s' h='%d' previd='%s'/>", nsSM, h, escape(id)))
	var n *stanza.Node
	if err == nil {
		n, err = w.next()
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		w.conn.Close()
		return nil, explain(s.cfg.JID.Domain, err)
	}
	return n, nil
}

// resumed goes on with the old session when the server's answer allows it. A
// refusal may also say how far the server came.
func (s *Stream) resumed(w *wire, answer *stanza.Node) (*wire, error) {
	resumed := answer.XMLName == (xml.Name{Space: nsSM, Local: "resumed"})
	counts := resumed || answer.XMLName == (xml.Name{Space: nsSM, Local: "failed"})
	h, err := strconv.ParseUint(Attr(answer, "h"), 10, 32)
	s.mu.Lock()
	var tell []func()
	var broken error
	if err == nil && counts {
		tell, broken = s.sm.take(uint32(h))
	}
	goOn := resumed && broken == nil && !s.closed
	if goOn {
		s.wire = w
		s.sm.told = s.sm.in.received()
		for _, o := range s.sm.out {
			s.write(w, o.xml)
		}
		if len(s.sm.out) > 0 {
			s.write(w, []byte(request))
		}
	}
	s.mu.Unlock()
	call(tell)
	if goOn {
		s.cfg.Log.Debug("the line to the chat server was mended")
		return w, nil
	}
	w.conn.Close()
	if resumed && broken != nil {
		return nil, broken
	}
	return nil, &Error{Kind: Network, Text: "The chat server did not keep the session while the line was cut. A new one is made by itself."}
}
