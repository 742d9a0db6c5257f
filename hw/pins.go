package hw

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"
)

// finder is where pins come from: the hardware, or a test's fakes.
type finder interface {
	open() error // why there are no lines at all
	line(name string) (gpio.PinIO, error)
	board() (*boardLED, error)
}

// output is something that can be lit.
type output interface {
	set(on bool) error
	release() // dark already
}

// LineWrong says what is wrong with the name of a line, "" nothing.
func LineWrong(name string) string {
	chip, offset, numbered := strings.Cut(strings.TrimPrefix(name, "!"), ":")
	if chip == "" || strings.ContainsAny(chip, " !,") {
		return "is no line; it must look like GPIO17, !GPIO17 (active low) or gpiochip0:17"
	}
	if _, err := strconv.ParseUint(offset, 10, 16); numbered && err != nil {
		return "has no number after the chip's name; it must look like gpiochip0:17"
	}
	return ""
}

// find looks a configured name up; low: it is active low.
func find(f finder, name string) (pin gpio.PinIO, low bool, err error) {
	if why := LineWrong(name); why != "" {
		return nil, false, fmt.Errorf("%q %s", name, why)
	}
	bare, low := strings.CutPrefix(name, "!")
	pin, err = f.line(bare)
	return pin, low, err
}

// line is an LED or a buzzer on a GPIO line.
type line struct {
	pin gpio.PinIO
	low bool
}

func newLine(f finder, name string) (*line, error) {
	pin, low, err := find(f, name)
	if err != nil {
		return nil, err
	}
	l := &line{pin, low}
	if err := l.set(false); err != nil {
		letGo(pin)
		return nil, refused(name, err)
	}
	return l, nil
}

func (l *line) set(on bool) error { return l.pin.Out(gpio.Level(on != l.low)) }
func (l *line) release()          { letGo(l.pin) }

// letGo gives a line back to the kernel, for which periph.io has no method that
// every driver knows.
func letGo(pin gpio.PinIO) {
	pin.Halt()
	if c, ok := pin.(interface{ Close() }); ok {
		c.Close()
	}
}

// refused says why the kernel does not give a line.
func refused(name string, err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%s is used by another program or driver", name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be used; run as root or in the group gpio", name)
	}
	return fmt.Errorf("%s does not work: %w", name, err)
}

// hardware is the machine's own.
type hardware struct{}

// chips are the devices of GPIO chips.
const chips = "/dev/gpiochip*"

// open finds the chips. The driver logs, in its own way, what it may not open:
// so it is not asked then.
func (hardware) open() error {
	devices, _ := filepath.Glob(chips) // the pattern is good
	if len(devices) == 0 {
		return errors.New("this machine has no GPIO (no " + chips + ")")
	}
	for _, d := range devices {
		f, err := os.Open(d)
		if err != nil {
			return fmt.Errorf("%s can't be opened (%w); run as root or in the group gpio", d, errors.Unwrap(err))
		}
		f.Close()
	}
	if _, err := driverreg.Init(); err != nil { // does it once
		return fmt.Errorf("the GPIO driver does not start: %w", err)
	}
	if len(gpioioctl.Chips) == 0 {
		return errors.New("the kernel's GPIO is older than Linux 5.10")
	}
	return nil
}

func (hardware) line(name string) (gpio.PinIO, error) {
	chip, offset, numbered := strings.Cut(name, ":")
	if !numbered {
		for _, c := range gpioioctl.Chips { // the main one of a Pi is the first
			if l := c.ByName(name); l != nil {
				return l, nil
			}
		}
		return nil, fmt.Errorf("there is no line %s; name it by its chip, such as gpiochip0:17 (gpioinfo lists them)", name)
	}
	n, _ := strconv.Atoi(offset) // was checked
	for _, c := range gpioioctl.Chips {
		if c.Name() == chip && n < c.LineCount() {
			return c.ByNumber(n), nil
		}
	}
	return nil, fmt.Errorf("there is no line %s (gpioinfo lists them)", name)
}

func (hardware) board() (*boardLED, error) { return findBoardLED("/sys/class/leds") }
