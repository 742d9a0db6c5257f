// Package board runs the box on an emulated board: a QEMU with a console, in
// which a test works as root, and pins that are looked at from outside, through
// QEMU's monitor, as somebody would look at LEDs. What the program believes of
// them counts for nothing.
//
// .ci/boards makes kernels and trees, writes the command line of each board and
// runs the tests: the one here, which is built with the tag boards, and that of a
// card which goes from board to board (card_test.go in the folder above).
//
// # Goroutines
//
// A Board has one that reads the console; Close ends QEMU and waits for it. Its
// methods are for one goroutine.
package board

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Board is a running one. Make it with Start.
type Board struct {
	cmd     *exec.Cmd
	console *console
	monitor *monitor
	asked   int // of commands in the guest
}

// shellReady is what the guest prints when its shell takes commands.
const shellReady = "the-shell-is-here"

// Start runs QEMU with the words in the file qemu of folder dir and with further
// ones, among them those of the network net0, and waits for the guest's shell. What
// the console shows is also written to log.
func Start(ctx context.Context, dir string, log io.Writer, further ...string) (b *Board, err error) {
	words, err := os.ReadFile(filepath.Join(dir, "qemu"))
	if err != nil {
		return nil, err
	}
	argv := strings.Split(strings.TrimSpace(string(words)), "\n")
	socket := filepath.Join(dir, "monitor")
	argv = append(argv, "-serial", "stdio", "-qmp", "unix:"+socket+",server=on,wait=off")
	argv = append(argv, further...)
	b = &Board{cmd: exec.Command(argv[0], argv[1:]...)}
	b.cmd.Stderr = log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := b.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	b.console = newConsole(in, io.TeeReader(out, log))
	if b.monitor, err = dialMonitor(ctx, socket); err == nil {
		if _, err = b.console.wait(ctx, 0, shellReady+"\r\n"); err == nil {
			_, err = b.Run(ctx, "stty -echo </dev/console; export SYSTEMD_PAGER= SYSTEMD_COLORS=0")
		}
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close switches the board off.
func (b *Board) Close() error {
	b.cmd.Process.Kill()
	<-b.console.done
	b.cmd.Wait() // says that it was killed
	if b.monitor == nil {
		return nil
	}
	return b.monitor.c.Close()
}

// Memory is the most that QEMU has taken of this machine, as the kernel writes it.
func (b *Board) Memory() string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	_, after, found := strings.Cut(string(text), "VmHWM:")
	if err != nil || !found {
		return "unknown"
	}
	most, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(most)
}

// Run executes a command of the guest's shell and returns what it said. That it
// fails is an error.
func (b *Board) Run(ctx context.Context, command string) (string, error) {
	from, err := b.Type(command)
	if err != nil {
		return "", err
	}
	begin, end := fmt.Sprintf("<<%d\r\n", b.asked), fmt.Sprintf(">>%d\r\n", b.asked)
	text, err := b.console.wait(ctx, from, end)
	if err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	_, text, _ = strings.Cut(text, begin)
	text, _, _ = strings.Cut(text, end)
	last := strings.LastIndex(text, "\n") + 1
	said, code := strings.TrimSpace(strings.ReplaceAll(text[:last], "\r\n", "\n")), text[last:]
	if code != "0" {
		return said, fmt.Errorf("%s: exit code %s: %s", command, code, said)
	}
	return said, nil
}

// Type gives the guest's shell a command and does not wait for it. from is where
// in the console's text its words will come.
func (b *Board) Type(command string) (from int, err error) {
	b.asked++
	from = len(b.console.since(0))
	// What marks begin and end is broken here: it must not be found in an echo.
	_, err = fmt.Fprintf(b.console.in, "echo '<<''%d'; { %s\n} </dev/null 2>&1; code=$?; echo; echo $code'>>''%d'\n", b.asked, command, b.asked)
	return from, err
}

// Press presses the button of the board virt for a tenth of a second.
func (b *Board) Press() error {
	_, err := b.monitor.ask("system_powerdown", nil)
	return err
}

// often is how often pins are looked at: a flash of 60 ms must not be missed.
const often = 5 * time.Millisecond

// Until looks at the pins of a chip until they are as wanted. what is for people.
func (b *Board) Until(ctx context.Context, c Chip, what string, wanted func(lit func(line int) bool) bool) error {
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		words, err := b.monitor.words(c.addr, c.words)
		if err != nil {
			return err
		}
		if wanted(func(line int) bool { return c.lit(words, line) }) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("never seen: %s; the chip has %08x: %w", what, words, ctx.Err())
		}
	}
}
