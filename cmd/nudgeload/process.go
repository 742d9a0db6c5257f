package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server under test, alone on the first core.
type process struct {
	place
	cmd  *exec.Cmd
	said *bytes.Buffer // on standard error
}

// startProcess runs a server and returns when it has told where it answers. Its
// last words before that are a blank line or the line of its last port.
func startProcess(ctx context.Context, path string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, path, args...), said: &bytes.Buffer{}}
	p.cmd.Stderr = p.said
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = patience
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := onCore(0, p.cmd.Start); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); p.https == "" && lines.Scan(); {
		switch f := append(strings.Fields(lines.Text()), "", ""); f[0] {
		case "msn":
			p.msn = f[1]
		case "http":
			p.http = f[1]
		case "https":
			p.https = f[1]
		}
	}
	if p.https == "" {
		return nil, fmt.Errorf("%s did not start: %w: %s", path, p.cmd.Wait(), p.said)
	}
	go io.Copy(io.Discard, out) // ends with the process
	p.dial = direct
	return p, nil
}

// onCore starts a process that may run on one core only, if there are several.
func onCore(core int, start func() error) error {
	if runtime.NumCPU() == 1 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	one.Set(core)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &before)
	return start()
}

// offCore keeps this program away from the core of the server under test.
func offCore(core int) error {
	if runtime.NumCPU() == 1 {
		return nil
	}
	var others unix.CPUSet
	for n := range runtime.NumCPU() {
		if n != core {
			others.Set(n)
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads { // those to come inherit it
		id, _ := strconv.Atoi(t.Name())
		if err := unix.SchedSetaffinity(id, &others); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the server and waits for it.
func (p *process) stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s ended badly: %w: %s", p.cmd.Path, err, p.said)
	}
	return nil
}

// cpu is the processor time that the server has used, from the kernel's clock
// for it: /proc/PID/stat counts in hundredths of a second only.
func (p *process) cpu() (time.Duration, error) {
	const whole, sched = 3, 2 // the clock of a whole process as the scheduler counts
	var t unix.Timespec
	err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<whole|sched), &t)
	return time.Duration(t.Nano()), err
}

// others is how much of its core the server does not use while do runs but
// somebody else does, in percent: what depends on the clock is worth less then.
func (p *process) others(do func() error) (float64, error) {
	var used time.Duration
	began := time.Now()
	before, err := coreBusy()
	if err != nil {
		return 0, err
	}
	if err := p.spent(&used, do); err != nil {
		return 0, err
	}
	after, err := coreBusy()
	return max(0, 100*float64(after-before-used)/float64(time.Since(began))), err
}

// coreBusy is how long the first core has not been idle.
func coreBusy() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	_, line, _ := strings.Cut(string(stat), "\ncpu0 ")
	line, _, _ = strings.Cut(line, "\n")
	const tick, idle, wait, guest = time.Second / 100, 3, 4, 8
	var ticks int64
	for i, word := range strings.Fields(line) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != idle && i != wait && i < guest { // guests are in user already
			ticks += n
		}
	}
	return time.Duration(ticks) * tick, nil
}

// rss is the memory the server holds, in kB.
func (p *process) rss() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, fmt.Errorf("no VmRSS in /proc/%d/status", p.cmd.Process.Pid)
}

// settled waits until the server has done next to nothing for so long. What it
// does seldom and then only for a moment may fall into that time, and what clients
// that poll make it do.
func (p *process) settled(quiet time.Duration) error {
	const look = 50 * time.Millisecond
	little := time.Millisecond
	if p.polls {
		little = 10 * time.Millisecond
	}
	last, err := p.cpu()
	still, end := time.Duration(0), time.Now().Add(patience+quiet)
	for still < quiet && err == nil {
		if time.Now().After(end) {
			return fmt.Errorf("%s does not come to rest", p.cmd.Path)
		}
		time.Sleep(look)
		before := last
		if last, err = p.cpu(); last-before < little {
			still += look
		} else {
			still = 0
		}
	}
	return err
}
