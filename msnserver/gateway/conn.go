package gateway

import (
	"io"
	"net"
	"os"
	"time"
)

// The server's side of a session: it is a net.Conn.

// Read implements net.Conn. It ends with io.EOF when the client has the last
// answer of a session that was closed for writing.
func (s *session) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.idle = false }()
	for {
		switch {
		case s.closed:
			return 0, net.ErrClosed
		case s.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(s.in) > 0:
			n := copy(b, s.in)
			if s.in = s.in[n:]; len(s.in) == 0 {
				s.in = nil
			}
			return n, nil
		case s.taken:
			return 0, io.EOF
		case s.gone:
			return 0, errGone
		}
		if !s.idle {
			s.idle, s.quiet = true, time.Now()
			s.cond.Broadcast()
		}
		s.cond.Wait()
	}
}

// Write implements net.Conn. It waits while too much is on its way to the
// client.
func (s *session) Write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed || s.closing:
			return n, net.ErrClosed
		case s.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		}
		if room := min(maxOut-len(s.out), len(b)); room > 0 {
			s.out = append(s.out, b[:room]...)
			b, n = b[room:], n+room
			s.quiet = time.Now()
			s.cond.Broadcast()
			continue
		}
		s.cond.Wait()
	}
}

// CloseWrite says goodbye: the client's next answer with nothing behind it is
// the last one.
func (s *session) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	s.cond.Broadcast()
	return nil
}

// Close implements net.Conn. What the client has not fetched is thrown away; a
// client that comes again hears only that the session is over.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.in, s.out, s.answers = nil, nil, nil
	s.readBy.set(time.Time{}, s.wake)
	s.writeBy.set(time.Time{}, s.wake)
	s.cond.Broadcast()
	if s.gone || s.said {
		s.expiry.Stop()
		s.gw.forget(s)
	}
	return nil
}

// Unacknowledged is how many bytes written the client has not shown to have.
func (s *session) Unacknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out)
}

// Vouch notes that the client has signed in.
func (s *session) Vouch() { s.vouched.Store(true) }

// LocalAddr implements net.Conn: the address by which the client reached us,
// with the port that MSN has on it.
func (s *session) LocalAddr() net.Addr { return s.local }

// RemoteAddr implements net.Conn: the client's address with port 0, for there
// is no one connection (MSNP.md E).
func (s *session) RemoteAddr() net.Addr { return s.remote }

// SetDeadline implements net.Conn.
func (s *session) SetDeadline(t time.Time) error {
	s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (s *session) SetReadDeadline(t time.Time) error { return s.setDeadline(&s.readBy, t) }

// SetWriteDeadline implements net.Conn.
func (s *session) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.writeBy, t) }

func (s *session) setDeadline(d *deadline, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	d.set(t, s.wake)
	s.cond.Broadcast()
	return nil
}

// deadline is a time and what wakes those who wait for it.
type deadline struct {
	at    time.Time // zero for none
	timer *time.Timer
}

func (d *deadline) set(t time.Time, wake func()) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.at = t; !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), wake)
	}
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }
