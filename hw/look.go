package hw

import (
	"time"

	"nudge/bridge/im"
)

// phase is where the box is in its life.
type phase uint8

const (
	starting phase = iota
	serving
	stopping
)

// state is what the lights show, all of it.
type state struct {
	phase     phase
	seen      im.Overview
	flash     time.Time // the last flash of Traffic began
	nudged    time.Time // the last sound of the buzzer began
	quiet     Quiet
	attention bool      // something waits for a person
	pairing   time.Time // open until
	gesture   gesture   // what the button is doing
	test      time.Time // a test began
}

// How long things are lit, and the halves of a blink.
const (
	flashTime = 60 * time.Millisecond
	soundTime = 300 * time.Millisecond
	slow      = time.Second
	quick     = 200 * time.Millisecond
	hasty     = 100 * time.Millisecond
	testStep  = 500 * time.Millisecond
	maxLights = 6 // five roles and the board's LED
	testTime  = (maxLights + 1) * testStep
)

// say notes a message. What comes during a flash, or in the dark after it that
// sets it off from the next, adds nothing.
func (s *state) say(nudge bool, now time.Time) {
	if now.Sub(s.flash) >= 2*flashTime {
		s.flash = now
	}
	if nudge && now.Sub(s.nudged) >= 2*soundTime && !s.quiet.at(now) {
		s.nudged = now
	}
}

// look tells whether light i of n, which has this role, is on now, and until
// when that holds: zero, until the state changes.
func (s state) look(r Role, i, n int, now time.Time) (on bool, until time.Time) {
	if since := now.Sub(s.test); since >= 0 && since < testTime {
		step := int(since / testStep)
		return step == i || step >= n, s.test.Add(time.Duration(step+1) * testStep)
	}
	switch r {
	case Ready:
		return s.lookReady(now)
	case Users:
		return s.phase == serving && s.seen.Users > 0, time.Time{}
	case Links:
		if s.phase == serving && s.seen.Up < s.seen.Links {
			return blink(slow, now)
		}
		return s.phase == serving && s.seen.Links > 0, time.Time{}
	case Traffic:
		return s.lookTraffic(now)
	default:
		return pulse(s.nudged, soundTime, now)
	}
}

// lookReady is also the answer to the button: dark while it is down, blinking
// hastily when it was held long enough, quickly while pairing is open.
func (s state) lookReady(now time.Time) (bool, time.Time) {
	switch {
	case s.phase == starting, s.gesture == held:
		return blink(hasty, now)
	case s.phase == stopping:
		return blink(quick, now)
	case s.gesture == down:
		return false, time.Time{}
	case now.Before(s.pairing):
		on, until := blink(quick, now)
		if s.pairing.Before(until) {
			until = s.pairing
		}
		return on, until
	}
	return true, time.Time{}
}

// lookTraffic turns a slow blink upside down for a flash, so that both are seen.
func (s state) lookTraffic(now time.Time) (bool, time.Time) {
	flash, until := pulse(s.flash, flashTime, now)
	if !s.attention || s.phase != serving {
		return flash, until
	}
	on, turn := blink(slow, now)
	if until.IsZero() || turn.Before(until) {
		until = turn
	}
	return on != flash, until
}

// blink is on and off for half each, all lights in step.
func blink(half time.Duration, now time.Time) (on bool, until time.Time) {
	n := now.UnixNano() / int64(half)
	return n%2 == 0, time.Unix(0, (n+1)*int64(half))
}

// pulse is on once, from a moment on.
func pulse(from time.Time, length time.Duration, now time.Time) (on bool, until time.Time) {
	end := from.Add(length)
	if now.Before(from) || !now.Before(end) {
		return false, time.Time{}
	}
	return true, end
}

// Quiet is a part of the day, in minutes after midnight, From inclusive and To
// exclusive; it may pass midnight. The zero Quiet is never.
type Quiet struct{ From, To int }

// at tells whether t is in it, by the clock on the wall.
func (q Quiet) at(t time.Time) bool {
	m := t.Hour()*60 + t.Minute()
	if q.From <= q.To {
		return q.From <= m && m < q.To
	}
	return m >= q.From || m < q.To
}
