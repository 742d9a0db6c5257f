package gateway

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Time limits of a session, and bytes that may wait in one.
const (
	maxLifespan = 60 * time.Second        // a poll is held that long at most
	awayTime    = 60 * time.Second        // a session without a request is over (MSNP.md E)
	replyTime   = 1500 * time.Millisecond // commands are answered then at the latest, with what there is
	settleTime  = 20 * time.Millisecond   // the server has said all it says at once
	doubtTime   = time.Second             // an answer that is younger may still be on its way
	maxIn       = 2 * maxBody
	maxOut      = 256 << 10
	maxAnswer   = 64 << 10
	maxAtOnce   = 2  // requests of one session, one served and one waiting (MSNP.md K.10)
	maxRecent   = 8  // answers remembered that the client has not confirmed
	maxHeard    = 64 // commands remembered: one that was given up may still be on its way when many newer ones have come
)

// errGone is why a session ends whose client does not come any more. It is no
// io.EOF: nothing is known of what the client has read last.
var errGone = errors.New("the client has stopped polling the gateway")

// answer is one that had something in it: bytes start to end of what the server
// has written.
type answer struct {
	number     uint64
	start, end int64
	line       *Line
	at         time.Time
	doubt      time.Time // when a request first showed that the client had not got it
	lost       bool      // it was given again
}

// heard is what a request brought: the same commands under the same number are
// a request that is repeated, or one that was long on its way. Commands have
// transaction ids; no client says the same twice.
type heard struct {
	number uint64
	body   uint64
}

var seed = maphash.MakeSeed()

// session is one MSNP connection. Its fields are guarded by mu; cond tells of
// every change.
type session struct {
	gw            *Server
	id            string
	local, remote net.Addr
	vouched       atomic.Bool // the client has signed in

	mu   sync.Mutex
	cond sync.Cond

	in    []byte    // from the client, not yet read by the server
	idle  bool      // the server has read all and waits in Read, unless in says otherwise
	quiet time.Time // since when the server neither reads nor writes

	out     []byte // written and not confirmed: it starts at byte base of all
	base    int64
	given   int64    // so far it was put into answers
	number  uint64   // of the newest answer
	first   uint64   // of the answer to open
	follows bool     // the client takes over the numbers it is given
	answers []answer // the newest that are not confirmed, oldest first

	came, served uint64  // requests, for their order
	answered     uint64  // served, or their answers are being written: the client may have them
	overlaps     bool    // the client has sent one before the one before it was answered
	heard        []heard // the newest commands

	readBy, writeBy deadline
	expiry          *time.Timer // runs while there is no request
	closing         bool        // closed for writing
	said            bool        // an answer said that the session is over,
	taken           bool        // and the client has it
	gone            bool        // the client does not come any more
	closed          bool
}

func newSession(gw *Server, id string, local, remote net.Addr) *session {
	s := &session{gw: gw, id: id, local: local, remote: remote, number: 1, first: 1, quiet: time.Now()}
	s.cond.L = &s.mu
	s.expiry = time.AfterFunc(awayTime, s.expire)
	return s
}

func (s *session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cond.Broadcast()
}

// waitUntil returns at the next change, at t at the latest. s.mu is held.
func (s *session) waitUntil(t time.Time) {
	timer := time.AfterFunc(time.Until(t), s.wake)
	defer timer.Stop()
	s.cond.Wait()
}

// expire ends a session whose client has not come for too long.
func (s *session) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.came != s.served { // one came just now
		return
	}
	s.gone = true
	s.cond.Broadcast()
	if s.closed {
		s.gw.forget(s)
	}
}

// reply is what a request is answered with.
type reply struct {
	id   string // of the session, with the number
	data []byte
	last bool // the session is over
}

// enter waits until it is the caller's turn; false when too many wait. It gives
// them a moment: the client may have given up some whose connection broke.
func (s *session) enter() bool {
	for end := time.Now().Add(doubtTime); s.came-s.served >= maxAtOnce; s.waitUntil(end) {
		if !time.Now().Before(end) {
			return false
		}
	}
	turn := s.came
	s.came++
	s.overlaps = s.overlaps || turn != s.answered
	s.expiry.Stop()
	s.cond.Broadcast() // a poll that is held ends
	for s.served != turn {
		s.cond.Wait()
	}
	return true
}

// leave lets the next request have its turn.
func (s *session) leave() {
	s.served++
	s.answered = s.served
	if s.came == s.served && !(s.said && s.closed) {
		s.expiry.Reset(awayTime)
	}
	s.cond.Broadcast()
}

// serve runs one request that came on l; write sends its answer while it still
// is the request's turn. ok is false when the client has too many requests.
func (s *session) serve(l *Line, r request, write func(reply) error) (ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shows(r.number)
	if !s.enter() {
		return false, nil
	}
	defer s.leave()
	h := heard{r.number, maphash.Bytes(seed, r.body)}
	repeated := len(r.body) > 0 && slices.Contains(s.heard, h)
	overtaken := s.regive(l, r.number, repeated)
	if !repeated && len(r.body) > 0 {
		if len(s.in)+len(r.body) > maxIn {
			s.gone = true // it says more than anybody can read
			return true, fmt.Errorf("%w: too much is waiting to be read", errTooLarge)
		}
		s.in = append(s.in, r.body...)
		if s.heard = append(s.heard, h); len(s.heard) > maxHeard {
			s.heard = s.heard[1:]
		}
		s.cond.Broadcast()
	}
	if overtaken || s.await(r) {
		return true, s.give(l, reply{id: s.numbered(r.number)}, write)
	}
	a := s.take(l, r.number)
	if r.action == "open" {
		s.first = s.number
	}
	return true, s.give(l, a, write)
}

// shows draws the conclusion from the number that a request carries: the client
// has the answer of that number and those before it.
func (s *session) shows(number uint64) {
	if number > s.first {
		s.follows = true
	}
	if i := slices.IndexFunc(s.answers, func(a answer) bool { return a.number == number }); i >= 0 {
		s.release(s.answers[i].end)
	}
}

// regive puts what a client that shows number has lost into its next answer, so
// that at most one answer at a time is not known to have arrived. It is overtaken
// when that is not yet clear and another request has come.
func (s *session) regive(l *Line, number uint64, repeated bool) (overtaken bool) {
	for {
		i := slices.IndexFunc(s.answers, func(a answer) bool { return a.number > number && !a.lost })
		if i < 0 {
			return false
		}
		if s.answers[i].doubt.IsZero() {
			s.answers[i].doubt = time.Now()
		}
		lacking := s.answers[i]
		lost, clear := repeated && !s.overlaps, true
		switch {
		case lost:
		case lacking.line != l:
			lost, clear = s.missed(lacking)
		case s.follows:
			return false // it comes before this request's answer, on the same connection
		}
		switch {
		case !clear:
			return true
		case !lost:
			s.release(lacking.end)
			continue
		}
		s.given = max(lacking.start, s.base)
		for i := range s.answers {
			s.answers[i].lost = s.answers[i].lost || s.answers[i].number > number
		}
		return false
	}
}

// missed tells whether an answer, which the client had not got when it sent a
// request on another connection, is lost. It isn't when the client has got it
// meanwhile: some have two requests on their way, and of those the other one may
// tell in a moment. One that keeps to the rules has given an answer up before it
// asks again: when the connection was closed in peace, it was a proxy that had
// got it. One that stays with its first number says nothing by it.
func (s *session) missed(a answer) (lost, clear bool) {
	for s.base < a.end && !s.closed {
		old := time.Since(a.at) >= doubtTime
		switch f := a.line.fate(); {
		case f == broken && (!s.overlaps || time.Since(a.doubt) >= doubtTime):
			return true, true
		case f == taken && (s.overlaps || !s.follows):
			return false, true
		case f == taken && old:
			return true, true
		case f == open && old:
			n, known := s.gw.unacknowledged(a.line.c)
			return known && n > 0, true
		case s.crowded():
			return false, false
		}
		s.waitUntil(time.Now().Add(doubtTime / 20))
	}
	return false, true
}

// release forgets what the client has, up to byte pos of all.
func (s *session) release(pos int64) {
	if pos <= s.base || s.closed {
		return
	}
	if s.out = s.out[pos-s.base:]; len(s.out) == 0 {
		s.out = nil
	}
	s.base, s.given = pos, max(s.given, pos)
	s.answers = slices.DeleteFunc(s.answers, func(a answer) bool { return a.end <= pos })
	s.cond.Broadcast()
}

// crowded tells whether another request waits for its turn.
func (s *session) crowded() bool { return s.came-s.served > 1 }

// await holds a request until it can be answered. It is overtaken when the
// client has sent another request meanwhile, which gets what there is: perhaps
// the client doesn't listen to this one any more.
func (s *session) await(r request) (overtaken bool) {
	end := time.Now().Add(replyTime)
	if len(r.body) == 0 && r.action != "open" {
		end = time.Now().Add(r.lifespan)
	}
	for !s.closed && !s.closing && time.Now().Before(end) {
		next := end
		if len(r.body) == 0 && r.action != "open" {
			if s.crowded() {
				return true
			}
			if s.more() {
				return false
			}
		} else if s.idle && len(s.in) == 0 {
			settled := s.quiet.Add(settleTime)
			if !time.Now().Before(settled) {
				return false
			}
			next = settled
		}
		s.waitUntil(next)
	}
	return false
}

// take puts what there is into an answer to a request that showed a number. It
// has a new one if it says something: a client that shows that has the answer.
// Otherwise it has the client's, who may lack what others say.
func (s *session) take(l *Line, number uint64) reply {
	r := reply{data: s.out[min(s.given-s.base, int64(len(s.out))):]}
	r.data = r.data[:min(len(r.data), maxAnswer)]
	if len(r.data) > 0 {
		s.number++
		number = s.number
		end := s.given + int64(len(r.data))
		s.answers = append(s.answers, answer{number: s.number, start: s.given, end: end, line: l, at: time.Now()})
		if len(s.answers) > maxRecent { // two become one, so that nothing of them counts as known
			s.answers[1].start = s.answers[0].start
			s.answers = s.answers[1:]
		}
		s.given = end
	}
	r.id, r.last = s.numbered(number), s.closed || s.closing && !s.more()
	return r
}

// more tells whether there is something that is in no answer yet.
func (s *session) more() bool { return s.given < s.base+int64(len(s.out)) }

// numbered is the session id with a number, the newest when the client had none.
func (s *session) numbered(n uint64) string {
	if n == 0 || n > s.number {
		n = s.number
	}
	return fmt.Sprintf("%s.%d", s.id, n)
}

// give sends an answer. A last one has no request after it that could show that
// the client has it; there the client's machine is asked.
func (s *session) give(l *Line, r reply, write func(reply) error) error {
	s.answered = s.served + 1
	s.mu.Unlock()
	err := write(r)
	delivered := err == nil && (!r.last || len(r.data) == 0 || s.gw.arrived(l.c))
	s.mu.Lock()
	if !r.last {
		return err
	}
	s.said = true
	if delivered {
		s.release(s.given)
		s.taken = true
		s.cond.Broadcast()
	}
	if s.closed {
		s.gw.forget(s)
	}
	return err
}
