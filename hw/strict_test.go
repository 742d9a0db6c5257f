package hw

import (
	"errors"
	"sync"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// strict is a GPIO line that fails the test where the kernel's driver does
// something else than one would think: an output is read, or a wait has no
// positive timeout. It panics on methods that the package has no use for.
type strict struct {
	gpio.PinIO
	name string
	t    *testing.T
	err  error           // of Out and In
	edge chan gpio.Level // a person at the button

	mu     sync.Mutex
	level  gpio.Level
	output bool
	edges  bool
	wrote  []change
	closed int
	halted chan struct{}
}

// change is one level that was written.
type change struct {
	at time.Time
	on gpio.Level
}

func newStrict(t *testing.T, name string) *strict {
	return &strict{name: name, t: t, edge: make(chan gpio.Level, 64), halted: make(chan struct{}, 1)}
}

func (p *strict) Out(l gpio.Level) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	p.output, p.edges = true, false
	p.wrote = append(p.wrote, change{time.Now(), l})
	p.level = l
	return nil
}

func (p *strict) In(pull gpio.Pull, edge gpio.Edge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	p.output, p.edges = false, edge != gpio.NoEdge
	p.level = pull == gpio.PullUp
	return nil
}

func (p *strict) Read() gpio.Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.output {
		p.t.Errorf("%s is an output and was read: that makes it an input", p.name)
	}
	return p.level
}

func (p *strict) WaitForEdge(timeout time.Duration) bool {
	p.mu.Lock()
	if timeout <= 0 || !p.edges {
		p.t.Errorf("%s: WaitForEdge(%v), edges %v: returns at once or never", p.name, timeout, p.edges)
	}
	p.mu.Unlock()
	select {
	case l := <-p.edge:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.level = l
		return true
	case <-p.halted:
		return false
	case <-time.After(timeout):
		return false
	}
}

// Halt ends a wait that is under way, and only that.
func (p *strict) Halt() error {
	select {
	case p.halted <- struct{}{}:
	default:
	}
	return nil
}

func (p *strict) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed++
	p.output, p.edges = false, false
}

// on is what the line shows now.
func (p *strict) on() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bool(p.level)
}

// writes counts how often the line was written since the last call.
func (p *strict) writes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.wrote)
	p.wrote = nil
	return n
}

// bench is a finder of strict lines and of a board's LED in a folder.
type bench struct {
	pins map[string]*strict
	none error // from open
	leds string
}

func newBench(t *testing.T, names ...string) *bench {
	b := &bench{pins: map[string]*strict{}, leds: t.TempDir()}
	for _, n := range names {
		b.pins[n] = newStrict(t, n)
	}
	return b
}

func (b *bench) open() error { return b.none }

func (b *bench) line(name string) (gpio.PinIO, error) {
	if p := b.pins[name]; p != nil {
		return p, nil
	}
	return nil, errors.New("there is no line " + name)
}

func (b *bench) board() (*boardLED, error) { return findBoardLED(b.leds) }

func TestTheFakeIsStrict(t *testing.T) {
	for name, misuse := range map[string]func(p *strict){
		"reading an output":     func(p *strict) { p.Out(gpio.High); p.Read() },
		"waiting for ever":      func(p *strict) { p.In(gpio.PullUp, gpio.BothEdges); p.edge <- gpio.Low; p.WaitForEdge(-1) },
		"waiting without edges": func(p *strict) { p.edge <- gpio.Low; p.WaitForEdge(time.Second) },
		"waiting on an output": func(p *strict) {
			p.In(gpio.PullUp, gpio.BothEdges)
			p.Out(gpio.High)
			p.edge <- gpio.Low
			p.WaitForEdge(1)
		},
	} {
		inner := &testing.T{}
		misuse(newStrict(inner, "X"))
		if !inner.Failed() {
			t.Errorf("%s passes", name)
		}
	}
}
