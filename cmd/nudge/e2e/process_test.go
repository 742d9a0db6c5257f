package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds everything that should happen soon; it is never waited out
// when things go well.
const patience = 30 * time.Second

// process is a program that runs beside the tests, its output in a file.
type process struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
}

// spawn starts a program in folder dir. It is killed with the test binary.
func spawn(dir, name string, env []string, argv ...string) (*process, error) {
	out, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), env...)
	return launch(&process{name: name, log: out.Name(), cmd: cmd})
}

func launch(p *process) (*process, error) {
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	p.done = make(chan struct{})
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// signal sends sig and waits for the end, at last with a kill.
func (p *process) signal(sig syscall.Signal) error {
	if p == nil {
		return nil
	}
	p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end on %v", p.name, sig)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// tail returns the end of the program's output.
func (p *process) tail(lines int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// listening waits until something accepts connections at every address.
func (p *process) listening(addrs ...string) error {
	for _, addr := range addrs {
		err := eventually(2*patience, func() error { // ejabberd makes its tables first
			if p.ended() {
				return errEnded
			}
			c, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%s does not listen at %s: %w\n%s", p.name, addr, err, p.tail(30))
		}
	}
	return nil
}

// errEnded makes eventually give up.
var errEnded = errors.New("the program has ended")

// eventually repeats try until it succeeds, gives up or the time is over. It
// is for conditions outside this process that nothing announces.
func eventually(limit time.Duration, try func() error) error {
	end := time.Now().Add(limit)
	for {
		err := try()
		if err == nil || errors.Is(err, errEnded) || time.Now().After(end) {
			return err
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// run executes a program to its end and returns its standard output.
func run(dir string, env []string, argv ...string) (string, error) {
	return feed(dir, env, "", argv...)
}

// feed is run with something on standard input.
func feed(dir string, env []string, stdin string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(argv, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.String(), nil
}

// ports hands out loopback ports below the range that the kernel gives to
// outgoing connections, so that a server finds its own again after a restart.
var ports struct {
	sync.Mutex
	used map[int]bool
}

// freePort returns a port that nobody listens on.
func freePort() int {
	// A process that another test starts at this moment has every open file
	// until its exec, the listener among them: the port would still be taken.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l := listen()
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// listen listens on a port that it gave to nobody before.
func listen() net.Listener {
	ports.Lock()
	defer ports.Unlock()
	if ports.used == nil {
		ports.used = map[int]bool{}
	}
	for {
		p := 20000 + rand.IntN(12000)
		if ports.used[p] {
			continue
		}
		l, err := net.Listen("tcp", loopback(p))
		if err != nil {
			continue
		}
		ports.used[p] = true
		return l
	}
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// check ends the test on an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// waiting returns a context that ends after limit.
func waiting(t testing.TB, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}
