package hw

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge/im"
	"periph.io/x/conn/v3/gpio"
)

var wired = map[Role]string{Ready: "GPIO17", Users: "GPIO27", Links: "GPIO22", Traffic: "GPIO23", Buzzer: "GPIO18"}

// panel makes one on fakes of the usual lines.
func panel(t *testing.T, b *bench, c Config) *Panel {
	p := newPanel(slog.New(slog.NewTextHandler(t.Output(), nil)), b)
	p.Wire(c)
	t.Cleanup(p.Close)
	return p
}

func usual(t *testing.T) *bench {
	return newBench(t, "GPIO17", "GPIO27", "GPIO22", "GPIO23", "GPIO18", "GPIO24")
}

// shows compares what is lit with the names given.
func (b *bench) shows(t *testing.T, when string, lit string) {
	t.Helper()
	synctest.Wait()
	var on []string
	for r := Ready; r <= Buzzer; r++ {
		if b.pins[wired[r]].on() {
			on = append(on, r.String())
		}
	}
	if got := strings.Join(on, " "); got != lit {
		t.Errorf("%s: lit are %q, want %q", when, got, lit)
	}
}

func TestLightsFollowTheBox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := usual(t)
		p := panel(t, b, Config{Lines: wired})
		p.Ready(true)
		b.shows(t, "ready", "ready")
		p.Deliver(im.Overview{Users: 1}, nil)
		b.shows(t, "signed on", "ready users")
		p.Deliver(im.Overview{Users: 1, Links: 2, Up: 2}, nil)
		b.shows(t, "links up", "ready users links")
		p.Deliver(im.Message{Kind: im.Text}, nil)
		b.shows(t, "message", "ready users links traffic")
		time.Sleep(flashTime)
		b.shows(t, "after the flash", "ready users links")
		p.Deliver(im.Message{Kind: im.Nudge}, nil)
		b.shows(t, "nudge within the pause of a flash", "ready users links buzzer")
		time.Sleep(soundTime)
		b.shows(t, "after the sound", "ready users links")
		p.Deliver(im.Overview{Links: 2, Up: 1}, nil)
		b.shows(t, "a link lost, at some time of its blink", strings.TrimSpace("ready "+map[bool]string{true: "links"}[time.Now().Unix()%2 == 0]))
		p.Deliver(im.Overview{Links: 2, Up: 2}, nil)
		p.Close()
		b.shows(t, "closed", "")
		for _, pin := range b.pins {
			if pin.name != "GPIO24" && pin.closed != 1 {
				t.Errorf("%s was given back %d times", pin.name, pin.closed)
			}
		}
		p.Ready(true) // does no harm
		p.Wire(Config{Lines: wired})
	})
}

// TestNothingTicksWhenNothingBlinks lets a day pass.
func TestNothingTicksWhenNothingBlinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := usual(t)
		p := panel(t, b, Config{Lines: wired})
		p.Ready(true)
		p.Deliver(im.Overview{Users: 3, Links: 2, Up: 2}, nil)
		synctest.Wait()
		if next := p.show(time.Now()); !next.IsZero() {
			t.Errorf("something is to change at %v", next)
		}
		for _, pin := range b.pins {
			pin.writes()
		}
		time.Sleep(24 * time.Hour)
		p.Deliver(im.Overview{Users: 3, Links: 2, Up: 2}, nil) // the same again
		synctest.Wait()
		for _, pin := range b.pins {
			if n := pin.writes(); n > 0 {
				t.Errorf("%s was written %d times", pin.name, n)
			}
		}
	})
}

func TestBlinkingIsEvenAndInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := usual(t)
		p := panel(t, b, Config{Lines: map[Role]string{Ready: "GPIO17", Links: "GPIO22"}})
		p.Ready(true)
		p.Deliver(im.Overview{Links: 1}, nil)
		time.Sleep(10*time.Second + slow/2)
		synctest.Wait()
		w := b.pins["GPIO22"].wrote
		if n := len(w); n < 10 || n > 13 {
			t.Fatalf("%d changes in ten seconds", n)
		}
		for i := 3; i < len(w); i++ {
			if d := w[i].at.Sub(w[i-1].at); d != slow || w[i].on == w[i-1].on {
				t.Errorf("change %d after %v", i, d)
			}
		}
	})
}

// TestAttention: the traffic light blinks while something waits for a person, and
// a message turns it upside down.
func TestAttention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := usual(t)
		p := panel(t, b, Config{Lines: map[Role]string{Traffic: "GPIO23"}})
		pin := b.pins["GPIO23"]
		p.Attention(true)
		synctest.Wait()
		if pin.on() {
			t.Error("it blinks before the box serves")
		}
		p.Ready(true)
		for range 6 {
			synctest.Wait()
			if even := time.Now().Unix()%2 == 0; pin.on() != even {
				t.Errorf("%v: lit is %v", time.Now(), pin.on())
			}
			time.Sleep(slow / 2)
			lit := pin.on()
			p.Deliver(im.Message{Kind: im.Text}, nil)
			synctest.Wait()
			if pin.on() == lit {
				t.Error("a message does not show")
			}
			time.Sleep(flashTime)
			synctest.Wait()
			if pin.on() != lit {
				t.Error("a message shows for too long")
			}
			time.Sleep(slow/2 - flashTime)
		}
		p.Attention(false)
		synctest.Wait()
		if next := p.show(time.Now()); !next.IsZero() || pin.on() {
			t.Errorf("nothing waits any more, yet it is lit (%v) or changes at %v", pin.on(), next)
		}
	})
}

func TestActiveLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := usual(t)
		p := panel(t, b, Config{Lines: map[Role]string{Ready: "!GPIO17"}})
		p.Ready(true)
		synctest.Wait()
		if b.pins["GPIO17"].on() {
			t.Error("lit is high")
		}
		p.Close()
		if !b.pins["GPIO17"].on() {
			t.Error("dark is low")
		}
	})
}

func TestLightsTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := usual(t)
		p := panel(t, b, Config{Lines: wired})
		p.Ready(true)
		if d := p.Test(); d != testTime {
			t.Errorf("takes %v", d)
		}
		for _, lit := range []string{"ready", "users", "links", "traffic", "buzzer", "ready users links traffic buzzer"} {
			b.shows(t, "test", lit)
			time.Sleep(testStep)
		}
		time.Sleep(testStep)
		b.shows(t, "after the test", "ready")
	})
}

// TestRewire is what a reload does: the sessions' facts stay, the pins change.
func TestRewire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := usual(t)
		p := panel(t, b, Config{Lines: wired})
		p.Ready(true)
		p.Deliver(im.Overview{Users: 1}, nil)
		synctest.Wait()
		p.Wire(Config{Lines: map[Role]string{Users: "GPIO17"}})
		b.shows(t, "rewired", "ready") // the line of Ready before: Users now
		if about, missing := p.About(); about != "users on GPIO17" || missing {
			t.Error(about, missing)
		}
	})
}

func TestWhatIsMissing(t *testing.T) {
	none := errors.New("this machine has no GPIO")
	for _, c := range []struct {
		name   string
		spoil  func(*bench)
		config Config
		about  string
	}{
		{"nothing wanted", nil, Config{}, "none"},
		{"no GPIO", func(b *bench) { b.none = none }, Config{Lines: wired, Button: "GPIO24"}, "none: this machine has no GPIO"},
		{"no LED on the board", nil, Config{Board: true}, "none: this board has no LED that Linux knows"},
		{"no such line", nil, Config{Lines: map[Role]string{Ready: "GPIO17", Users: "GPIO99"}}, "ready on GPIO17: users: there is no line GPIO99"},
		{"taken", func(b *bench) { b.pins["GPIO17"].err = fmt.Errorf("ioctl: %w", syscall.EBUSY) }, Config{Lines: map[Role]string{Ready: "GPIO17"}}, "none: ready: GPIO17 is used by another program"},
		{"forbidden", func(b *bench) { b.pins["GPIO24"].err = fs.ErrPermission }, Config{Button: "GPIO24"}, "none: button: GPIO24 may not be used; run as root or in the group gpio"},
		{"no name", nil, Config{Lines: map[Role]string{Ready: "GPIO 17"}}, `none: ready: "GPIO 17" is no line`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := usual(t)
			if c.spoil != nil {
				c.spoil(b)
			}
			p := panel(t, b, c.config)
			p.Ready(true)
			if d := p.Test(); (d == 0) != strings.HasPrefix(c.about, "none") && c.config.Button == "" {
				t.Errorf("a test takes %v", d)
			}
			got, missing := p.About()
			if want := strings.Contains(c.about, ":") && !c.config.Board; missing != want {
				t.Errorf("missing: %v", missing)
			}
			if !strings.HasPrefix(got, c.about) || strings.Contains(got, "\n") {
				t.Errorf("About: %q, want %q", got, c.about)
			}
		})
	}
}

func TestBoardLED(t *testing.T) {
	b := newBench(t)
	led := func(file string) string {
		text, err := os.ReadFile(filepath.Join(b.leds, "ACT", file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if err := os.Mkdir(filepath.Join(b.leds, "ACT"), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"trigger": "none timer [mmc0] heartbeat\n", "brightness": "0"} {
		if err := os.WriteFile(filepath.Join(b.leds, "ACT", file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := panel(t, b, Config{Board: true})
	if about, _ := p.About(); about != "ready on ACT" || led("trigger") != "none" {
		t.Errorf("%s, trigger %s", about, led("trigger"))
	}
	p.Ready(true)
	p.own(func() { p.show(time.Now()) }) // it may have been shown already
	if led("brightness") != "255" {
		t.Error("ready is dark")
	}
	p.Close()
	if led("brightness") != "0" || led("trigger") != "mmc0" {
		t.Errorf("left with brightness %s, trigger %s", led("brightness"), led("trigger"))
	}
}

func TestButton(t *testing.T) {
	for _, c := range []struct {
		name   string
		down   time.Duration
		bounce bool
		pair   int
		off    int
	}{
		{"bounce only", 20 * time.Millisecond, false, 0, 0},
		{"tap", 200 * time.Millisecond, false, 1, 0},
		{"tap with bounces", 200 * time.Millisecond, true, 1, 0},
		{"long tap", 2900 * time.Millisecond, false, 1, 0},
		{"thought better of", 4 * time.Second, false, 0, 0},
		{"held", 6 * time.Second, false, 0, 1},
		{"held for long", 2 * time.Hour, false, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := usual(t)
				pair, off := 0, 0
				p := panel(t, b, Config{Lines: map[Role]string{Ready: "GPIO17"}, Button: "GPIO24",
					Pair: func() { pair++ }, Off: func() { off++ }})
				p.Ready(true)
				button, led := b.pins["GPIO24"], b.pins["GPIO17"]
				edge := func(l gpio.Level) {
					button.edge <- l
					if c.bounce {
						time.Sleep(time.Millisecond)
						button.edge <- !l
						time.Sleep(time.Millisecond)
						button.edge <- l
					}
				}
				time.Sleep(90 * time.Minute) // past the longest wait
				synctest.Wait()
				edge(gpio.Low)
				time.Sleep(c.down)
				synctest.Wait()
				if c.down > bounce && c.down < holdTime && led.on() {
					t.Error("the light does not show that the button is down")
				}
				if c.down > holdTime {
					if off != 1 {
						t.Error("nothing happened while it was held")
					}
					led.writes()
					time.Sleep(time.Second)
					synctest.Wait()
					if n := led.writes(); n < 9 {
						t.Errorf("the light changed %d times in a second", n)
					}
				}
				edge(gpio.High)
				time.Sleep(time.Second)
				synctest.Wait()
				if pair != c.pair || off != c.off {
					t.Errorf("paired %d times, switched off %d times", pair, off)
				}
				if !led.on() {
					t.Error("the light is dark after it")
				}
				p.Close()
				if button.closed != 1 {
					t.Error("the line was not given back")
				}
			})
		})
	}
}

func TestQuietHours(t *testing.T) {
	night, noon := Quiet{22 * 60, 7*60 + 30}, Quiet{12 * 60, 13 * 60}
	for _, c := range []struct {
		q     Quiet
		clock string
		quiet bool
	}{
		{Quiet{}, "00:00", false}, {night, "21:59", false}, {night, "22:00", true}, {night, "03:00", true},
		{night, "07:29", true}, {night, "07:30", false}, {noon, "12:59", true}, {noon, "13:00", false},
	} {
		at, err := time.Parse("2006 15:04", "2005 "+c.clock)
		if err != nil {
			t.Fatal(err)
		}
		if c.q.at(at) != c.quiet {
			t.Errorf("%v at %s", c.q, c.clock)
		}
		var s state
		s.quiet = c.q
		s.say(true, at)
		if on, _ := s.look(Buzzer, 0, 1, at); on == c.quiet {
			t.Errorf("%v at %s: the buzzer sounds: %v", c.q, c.clock, on)
		}
	}
}

// TestABurstFlickers proves that many messages do not become one long light.
func TestABurstFlickers(t *testing.T) {
	var s state
	now, lit, changes, was := time.Unix(1e9, 0), 0, 0, false
	for range 1000 {
		s.say(false, now)
		on, _ := s.look(Traffic, 0, 1, now)
		if on {
			lit++
		}
		if on != was {
			changes++
		}
		was, now = on, now.Add(time.Millisecond)
	}
	if lit < 400 || lit > 600 || changes < 14 {
		t.Errorf("lit for %d of 1000 ms with %d changes", lit, changes)
	}
}

// BenchmarkChangeToLight is how long it takes from an event of the hub to the
// line's new level, on a machine that does something else besides.
func BenchmarkChangeToLight(b *testing.B) {
	pin := &counted{wrote: make(chan bool, 8)}
	p := newPanel(slog.New(slog.DiscardHandler), pin)
	defer p.Close()
	p.Wire(Config{Lines: map[Role]string{Users: "GPIO27"}})
	p.Ready(true)
	p.About() // wired
	users := 0
	for b.Loop() {
		users = 1 - users
		p.Deliver(im.Overview{Users: users}, nil)
		for <-pin.wrote != (users > 0) { // from before
		}
	}
}

// counted is a line that says when it was written, and its finder.
type counted struct {
	gpio.PinIO
	wrote chan bool
}

func (c *counted) Out(l gpio.Level) error {
	select {
	case c.wrote <- bool(l):
	default:
	}
	return nil
}
func (c *counted) Halt() error                     { return nil }
func (c *counted) open() error                     { return nil }
func (c *counted) line(string) (gpio.PinIO, error) { return c, nil }
func (c *counted) board() (*boardLED, error)       { return nil, errors.New("none") }
