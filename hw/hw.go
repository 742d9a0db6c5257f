// Package hw shows how the box is with lights, and takes one button: LEDs and a
// buzzer on GPIO lines through periph.io, and the LED that a board has anyway.
//
// # Idea
//
// A Panel is a display of the hub (im.Sink). It keeps the few facts that matter
// (state.go); what each light shows is a pure function of them and of the time
// (look.go), which also says when it will change by itself. When no light
// blinks nothing ticks.
//
// # Goroutines
//
// A Panel has one goroutine, which owns the pins: nobody else touches them. A
// button has a second one, which waits for its edges. Close waits for both.
//
// # Caveats of the GPIO driver (periph.io/x/host/v3/gpioioctl v3.8.5)
//
// Reading an output makes it an input, so a light is never read; the package
// remembers what it set. Waiting for an edge with a negative timeout returns at
// once, so every wait has a positive one. The driver opens the chips once for
// the life of the process.
package hw

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"nudge/bridge/im"
)

// Role is what a light stands for.
type Role uint8

// The roles. Ready: lit when the box serves. Users: somebody is signed on.
// Links: all links are up, blinking when one is not. Traffic: flashes with each
// message, and blinks slowly while something waits for a person. Buzzer: sounds
// when somebody is nudged.
const (
	Ready Role = iota
	Users
	Links
	Traffic
	Buzzer
)

// String is the role's name in sentences.
func (r Role) String() string {
	return [...]string{"ready", "users", "links", "traffic", "buzzer"}[r]
}

// Config says what is wired where. A line is its kernel name or CHIP:OFFSET,
// with a ! before it when it is active low; "" is not wired.
type Config struct {
	Lines  map[Role]string
	Button string // between the line and ground
	Board  bool   // show Ready on the board's own LED
	Quiet  Quiet  // when the buzzer keeps silent
	Pair   func() // the button was pressed for a moment
	Off    func() // the button was held for five seconds

	// Pair and Off run in the button's goroutine and may block, but must not
	// call what waits for the Panel: About, Test, Close.
}

// Panel shows how the box is. Make one with New.
type Panel struct {
	log  *slog.Logger
	find finder
	wake chan struct{} // the state changed
	work chan func()   // for the goroutine that owns the pins
	done chan struct{} // it has ended

	// Only the owner touches these.
	lights  []*light
	button  *button
	about   string // what is wired, or why nothing is
	missing bool   // something that somebody wired can't be used
	leaving bool

	mu    sync.Mutex
	state state
}

// New makes a Panel without any lights; Wire gives it some. Close ends it.
func New(log *slog.Logger) *Panel { return newPanel(log, &hardware{}) }

func newPanel(log *slog.Logger, find finder) *Panel {
	p := &Panel{log: log, find: find, wake: make(chan struct{}, 1), work: make(chan func()), done: make(chan struct{}), about: "none"}
	go p.run()
	return p
}

// Wire takes the lights and the button that c names instead of those before.
// What can't be had is left out; About says why. It does not wait for the
// hardware, which may take a tenth of a second.
func (p *Panel) Wire(c Config) {
	p.give(func() {
		p.release()
		p.set(func(s *state) { s.quiet, s.gesture = c.Quiet, up })
		var have, wrong []string
		if c.Board {
			have, wrong = p.addBoard(have, wrong)
		}
		if len(c.Lines) > 0 || c.Button != "" {
			if err := p.find.open(); err != nil {
				wrong = append(wrong, err.Error())
			} else {
				have, wrong = p.addLines(c, have, wrong)
			}
		}
		if len(have) == 0 {
			have = []string{"none"}
		}
		p.about, p.missing = strings.Join(have, ", "), len(wrong) > 0 && !c.Board
		if len(wrong) > 0 {
			p.about += ": " + strings.Join(wrong, "; ")
		}
		if p.missing {
			p.log.Warn("lights are missing", "why", strings.Join(wrong, "; "))
		}
	})
}

func (p *Panel) addBoard(have, wrong []string) ([]string, []string) {
	l, err := p.find.board()
	if err != nil {
		return have, append(wrong, err.Error())
	}
	p.lights = append(p.lights, &light{role: Ready, name: l.name, out: l})
	return append(have, "ready on "+l.name), wrong
}

func (p *Panel) addLines(c Config, have, wrong []string) ([]string, []string) {
	for r := Ready; r <= Buzzer; r++ {
		name := c.Lines[r]
		if name == "" {
			continue
		}
		out, err := newLine(p.find, name)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", r, err))
			continue
		}
		p.lights = append(p.lights, &light{role: r, name: name, out: out})
		have = append(have, fmt.Sprintf("%s on %s", r, name))
	}
	if c.Button == "" {
		return have, wrong
	}
	b, err := watch(p.find, c.Button, p.pressed(c))
	if err != nil {
		return have, append(wrong, fmt.Sprintf("button: %v", err))
	}
	p.button = b
	return append(have, "button on "+c.Button), wrong
}

// About says in one line which lights there are and why others are not. missing:
// of those that were wired; a board without an LED misses nothing.
func (p *Panel) About() (line string, missing bool) {
	p.own(func() { line, missing = p.about, p.missing })
	return line, missing
}

// Deliver takes an event from the hub (im.Sink).
func (p *Panel) Deliver(ev im.Event, _ func(bool)) {
	switch ev := ev.(type) {
	case im.Overview:
		p.set(func(s *state) { s.seen = ev })
	case im.Message:
		now := time.Now()
		p.set(func(s *state) { s.say(ev.Kind == im.Nudge, now) })
	}
}

// Ready says that the box serves; false: that it is stopping.
func (p *Panel) Ready(yes bool) {
	p.set(func(s *state) {
		s.phase = stopping
		if yes {
			s.phase = serving
		}
	})
}

// Attention shows whether something waits for a person.
func (p *Panel) Attention(yes bool) { p.set(func(s *state) { s.attention = yes }) }

// Pairing shows until when the box lets somebody in; the zero time: no longer.
func (p *Panel) Pairing(until time.Time) { p.set(func(s *state) { s.pairing = until }) }

// Test lights one light after the other and then all, and returns how long that
// takes: 0 when there is none.
func (p *Panel) Test() (takes time.Duration) {
	p.own(func() {
		if len(p.lights) == 0 {
			return
		}
		now := time.Now()
		p.set(func(s *state) { s.test = now })
		takes = testTime
	})
	return takes
}

// Close turns every light off and lets the pins go.
func (p *Panel) Close() {
	p.own(func() {
		p.release()
		p.leaving = true
	})
	<-p.done
}

// own runs f in the goroutine that owns the pins, and waits.
func (p *Panel) own(f func()) {
	ready := make(chan struct{})
	if p.give(func() { f(); close(ready) }) {
		<-ready
	}
}

// give has f run by the goroutine that owns the pins; false after Close.
func (p *Panel) give(f func()) bool {
	select {
	case p.work <- f:
		return true
	case <-p.done:
		return false
	}
}

// set changes the state.
func (p *Panel) set(f func(*state)) {
	p.mu.Lock()
	f(&p.state)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run owns the pins: it shows the state whenever it changes, by itself or from
// outside.
func (p *Panel) run() {
	defer close(p.done)
	for !p.leaving {
		var alarm <-chan time.Time
		if next := p.show(time.Now()); !next.IsZero() {
			alarm = time.After(time.Until(next))
		}
		select {
		case <-p.wake:
		case <-alarm:
		case f := <-p.work:
			f()
		}
	}
}

// show sets every light as it must be now, and returns when the first of them
// changes by itself, zero when none does.
func (p *Panel) show(now time.Time) (next time.Time) {
	p.mu.Lock()
	s := p.state
	p.mu.Unlock()
	for i, l := range p.lights {
		on, until := s.look(l.role, i, len(p.lights), now)
		if err := l.set(on); err != nil {
			p.log.Warn("a light does not work", "light", l.name, "err", err)
		}
		if !until.IsZero() && (next.IsZero() || until.Before(next)) {
			next = until
		}
	}
	return next
}

// release turns the lights off and gives them and the button back.
func (p *Panel) release() {
	if p.button != nil {
		p.button.close()
		p.button = nil
	}
	for _, l := range p.lights {
		l.out.set(false) // what fails now was told before
		l.out.release()
	}
	p.lights = nil
}

// pressed acts on the button.
func (p *Panel) pressed(c Config) func(gesture) {
	return func(g gesture) {
		p.set(func(s *state) { s.gesture = g })
		switch {
		case g == tapped && c.Pair != nil:
			c.Pair()
		case g == held && c.Off != nil:
			c.Off()
		}
	}
}

// light is one output and what it was set to.
type light struct {
	role   Role
	name   string
	out    output
	on     bool
	known  bool // on was set
	broken bool
}

// set changes the light when it is not so already. A failure is reported once.
func (l *light) set(on bool) error {
	if l.known && l.on == on {
		return nil
	}
	err := l.out.set(on)
	l.on, l.known = on, err == nil
	if err != nil && l.broken {
		return nil
	}
	l.broken = err != nil
	return err
}
