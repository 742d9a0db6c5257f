package hw

import (
	"time"

	"periph.io/x/conn/v3/gpio"
)

// gesture is what somebody does with the button.
type gesture uint8

const (
	up     gesture = iota // nothing
	down                  // pressing
	tapped                // let go after a moment
	held                  // pressed long enough to mean it
)

// A press shorter than bounce is none. One longer than tapTime that ends before
// holdTime was thought better of.
const (
	bounce   = 50 * time.Millisecond
	tapTime  = 3 * time.Second
	holdTime = 5 * time.Second
	asleep   = time.Hour // a wait for nothing in particular; see the package comment
)

// press makes gestures of a button's levels.
type press struct {
	since time.Time // it is down
	told  gesture   // of this press
}

// step takes the level and the time, and returns a gesture that began and how
// long to wait for the next edge. A gesture is told once.
func (p *press) step(pressed bool, now time.Time) (g gesture, changed bool, wait time.Duration) {
	if !pressed {
		long, was := now.Sub(p.since), p.told
		*p = press{}
		switch {
		case was == down && long <= tapTime:
			return tapped, true, asleep
		case was == up:
			return up, false, asleep
		}
		return up, true, asleep
	}
	if p.since.IsZero() {
		p.since = now
	}
	long := now.Sub(p.since)
	switch {
	case long < bounce:
		return up, false, bounce - long
	case long < holdTime:
		g, wait = down, holdTime-long
	default:
		g, wait = held, asleep
	}
	changed = g != p.told
	p.told = g
	return g, changed, wait
}

// button watches a line that the button connects to ground.
type button struct {
	pin  gpio.PinIO
	low  bool // inverted: the button connects it to the supply
	tell func(gesture)
	stop chan struct{}
	done chan struct{}
}

// watch begins to wait for presses.
func watch(f finder, name string, tell func(gesture)) (*button, error) {
	pin, low, err := find(f, name)
	if err != nil {
		return nil, err
	}
	pull := gpio.PullUp
	if low {
		pull = gpio.PullDown
	}
	if err := pin.In(pull, gpio.BothEdges); err != nil {
		letGo(pin)
		return nil, refused(name, err)
	}
	b := &button{pin: pin, low: low, tell: tell, stop: make(chan struct{}), done: make(chan struct{})}
	go b.run()
	return b, nil
}

func (b *button) run() {
	defer close(b.done)
	var p press
	for {
		select {
		case <-b.stop:
			return
		default:
		}
		pressed := b.pin.Read() == gpio.Level(b.low)
		g, changed, wait := p.step(pressed, time.Now())
		if changed {
			b.tell(g)
		}
		b.pin.WaitForEdge(wait)
	}
}

// close ends the waiting. A Halt that comes between two waits is lost, so it is
// repeated.
func (b *button) close() {
	close(b.stop)
	for {
		b.pin.Halt()
		select {
		case <-b.done:
			letGo(b.pin)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
