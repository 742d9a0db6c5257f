package ns

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"nudge/bridge"
	"nudge/msnserver/conn"
	"nudge/msnserver/dialect"
	"nudge/msnserver/wire"
)

// Times of challenges (MSNP.md B.13).
const (
	challengePause = 5 * time.Minute  // from one to the next
	challengeTime  = 50 * time.Second // for the answer
)

// challenges are what the box asks a client to prove that it is a program of the
// time, if a setting says so (MSNP.md K.5). Nothing follows from the answer unless
// the setting is strict. The reader and the timer's goroutine use them.
type challenges struct {
	setting string // at sign-in

	mu    sync.Mutex
	timer *time.Timer // until the next one or, when strict, for the answer; nil while none are sent
	asked string      // and not yet answered
}

func (c *challenges) strict() bool { return c.setting == bridge.ChallengeStrict }

// beginChallenges sends the first one, after the first presence. Windows Live
// Messenger 8 stumbles over them.
func (s *Session) beginChallenges() {
	c := &s.challenges
	if c.setting != "on" && !c.strict() || s.Dialect().Prove == nil || strings.HasPrefix(s.program, "MSNMSGR 8.") {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(challengePause, s.nextChallenge)
		s.sendChallenge()
	}
}

// nextChallenge sends another one, or gives a client up that owes an answer.
func (s *Session) nextChallenge() {
	c := &s.challenges
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.timer == nil: // the session has ended
	case c.strict() && c.asked != "":
		s.Log.Info("a challenge was not answered", "program", s.program)
		s.Send(wire.ChallengeFailed.Reply("0"))
		s.HangUp()
	default:
		s.sendChallenge()
	}
}

// sendChallenge sends one. c.mu is held.
func (s *Session) sendChallenge() {
	c := &s.challenges
	var b [8]byte
	rand.Read(b[:])
	c.asked = fmt.Sprintf("%0*d", dialect.ChallengeDigits, binary.BigEndian.Uint64(b[:]))
	s.Send(wire.Line("CHL", "0", c.asked))
	if c.strict() {
		c.timer.Reset(challengeTime)
	} else {
		c.timer.Reset(challengePause)
	}
}

// stop ends them with the session.
func (c *challenges) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// qry answers a challenge, or what the client thinks is one: it is always answered.
func (s *Session) qry(cmd wire.Command) error {
	c := &s.challenges
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.strict() && c.asked != "" {
		if !s.Dialect().Answers(c.asked, cmd.Arg(1), cmd.Payload) {
			s.Send(wire.ChallengeFailed.Reply(cmd.Arg(0)))
			return fmt.Errorf("%q answered a challenge wrongly as %q: %w", s.program, cmd.Arg(1), conn.ErrBye)
		}
		c.timer.Reset(challengePause)
	}
	c.asked = ""
	s.Send(wire.Line("QRY", cmd.Arg(0)))
	return nil
}
