package hw

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// boardLED is an LED of the board itself, as the kernel's LED class shows it.
// periph.io's driver for these can't take them away from their trigger, without
// which the kernel goes on blinking them; so the two files are written here.
type boardLED struct {
	dir, name string
	trigger   string // what the kernel did with it before
}

// boardLEDs are the names of a Raspberry Pi's activity LED, new kernels first.
var boardLEDs = []string{"ACT", "led0"}

// findBoardLED takes the first LED there is below dir.
func findBoardLED(dir string) (*boardLED, error) {
	for _, name := range boardLEDs {
		l := &boardLED{dir: filepath.Join(dir, name), name: name}
		triggers, err := os.ReadFile(filepath.Join(l.dir, "trigger"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, l.wrong(err)
		}
		l.trigger = inBrackets(string(triggers))
		if err := cmp.Or(l.write("trigger", "none"), l.set(false)); err != nil {
			return nil, l.wrong(err)
		}
		return l, nil
	}
	return nil, fmt.Errorf("this board has no LED that Linux knows (%s in %s)", strings.Join(boardLEDs, ", "), dir)
}

func (l *boardLED) wrong(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the board's LED %s may not be used; run as root or in the group gpio", l.name)
	}
	return fmt.Errorf("the board's LED %s does not work: %w", l.name, err)
}

// inBrackets is the trigger in force: "none [mmc0] timer".
func inBrackets(triggers string) string {
	_, rest, _ := strings.Cut(triggers, "[")
	name, _, ok := strings.Cut(rest, "]")
	if !ok {
		return "none"
	}
	return name
}

func (l *boardLED) write(file, text string) error {
	return os.WriteFile(filepath.Join(l.dir, file), []byte(text), 0)
}

func (l *boardLED) set(on bool) error {
	if on {
		return l.write("brightness", "255") // the kernel takes its own maximum when that is less
	}
	return l.write("brightness", "0")
}

// release leaves the LED to the kernel again.
func (l *boardLED) release() {
	l.write("trigger", l.trigger) // what fails here was told before
}
