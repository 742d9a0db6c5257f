package msnserver

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"nudge/msnserver/conn"
	"nudge/msnserver/passport"
	"nudge/msnserver/transcript"
)

// recorder is the recording that runs, if one does.
type recorder struct {
	mu   sync.Mutex
	now  *transcript.Recording
	from netip.Addr // whose connections it hears; none: everybody's
}

// errRecording is why a second recording does not begin.
var errRecording = errors.New("a recording runs already; let it end first")

// Record writes down what clients at an address say that connect from now on until
// ctx ends, and what they are told; with no address all clients. The transcript has
// nobody's name, password, words or address in it.
func (s *Server) Record(ctx context.Context, from netip.Addr) (text string, err error) {
	r := &s.record
	rec := transcript.New()
	r.mu.Lock()
	if r.now != nil {
		r.mu.Unlock()
		return "", errRecording
	}
	r.now, r.from = rec, from
	r.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	r.mu.Lock()
	r.now = nil
	r.mu.Unlock()
	return rec.Text(), nil
}

// listen lets a recording hear a new connection.
func (s *Server) listen(c *conn.Conn) {
	r := &s.record
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || r.from.IsValid() && passport.Peer(c.Net.RemoteAddr()) != r.from {
		return
	}
	if ear := r.now.Client(c.Polled()); ear != nil {
		c.Ear = ear
	}
}
