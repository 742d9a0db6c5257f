package msnserver

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkSiege measures how much others slow a good client down: the 99th
// percentile of its pings while they do their worst, in microseconds and as a
// multiple of that on a quiet box, of which it may be twice (.ci/long). The
// attacker is a program of its own, but shares this machine's cores with box and
// client: at full speed it would measure how these are shared. So it makes a
// thousand connections a second, which with garbage is five times what a card of
// 100 Mbit/s could send; most are turned away when the burst is over (Connects).
func BenchmarkSiege(b *testing.B) {
	var quiet float64
	for _, attack := range attacks {
		b.Run(attack.name, func(b *testing.B) {
			s := newSiege(b, Limits{})
			end := s.besiege(attack.name)
			took := make([]float64, 0, b.N)
			for b.Loop() {
				if len(took)%(s.srv.limits.NS.Burst/2) == 0 { // before she is held to her own pace
					s.alice.Close()
					s.alice = s.signIn("127.0.0.1", "alice@example.com")
					s.alice.SetDeadline(time.Time{})
				}
				start := time.Now()
				s.alice.say("PNG\r\n")
				s.must(s.alice, "QNG")
				took = append(took, float64(time.Since(start).Nanoseconds())/1e3)
			}
			end()
			slices.Sort(took)
			p99 := took[len(took)*99/100]
			b.ReportMetric(p99, "p99-µs")
			if attack.do == nil {
				quiet = p99
			} else if quiet > 0 {
				b.ReportMetric(p99/quiet, "p99/quiet")
			}
			const enough = 10_000 // pings, to tell
			if b.N >= enough && quiet > 0 && p99 > 2*quiet {
				b.Errorf("99 of 100 pings take up to %.0f µs, on a quiet box %.0f", p99, quiet)
			}
		})
	}
}

// attacks are what others do to a box, over and over until stop is closed; the
// first is nothing.
var attacks = []struct {
	name string
	do   func(f fiend, stop <-chan struct{})
}{
	{"quiet", nil},
	{"connects", func(f fiend, stop <-chan struct{}) {
		for running(stop) {
			f.connect().Close()
		}
	}},
	{"flood of commands", func(f fiend, stop <-chan struct{}) {
		c := f.connect()
		defer c.Close()
		go io.Copy(io.Discard, c)
		io.WriteString(c, f.signed)
		for pings := strings.Repeat("PNG\r\n", 1000); running(stop); {
			c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			io.WriteString(c, pings)
		}
	}},
	{"garbage", func(f fiend, stop <-chan struct{}) {
		for garbage := strings.Repeat("A", 64<<10); running(stop); {
			c := f.connect()
			io.WriteString(c, garbage)
			c.Close()
		}
	}},
	{"wrong passwords", func(f fiend, stop <-chan struct{}) {
		for running(stop) {
			c := f.connect()
			io.WriteString(c, "VER 1 MSNP2\r\nUSR 2 MD5 I mallory@example.com\r\nUSR 3 MD5 S 00\r\n")
			io.Copy(io.Discard, c)
			c.Close()
		}
	}},
	{"idle", func(f fiend, stop <-chan struct{}) {
		for range 250 {
			defer f.connect().Close()
		}
		<-stop
	}},
}

func running(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
		return true
	}
}

// fiend is who attacks.
type fiend struct {
	box    string // its address
	signed string // how a session begins that is let in
	turn   <-chan time.Time
}

// connect makes a connection from where the others are; its end is no orderly
// one.
func (f fiend) connect() *net.TCPConn {
	<-f.turn
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(foe)}, Timeout: patience}
	c, err := d.Dial("tcp", f.box)
	if err != nil {
		panic(err)
	}
	tcp := c.(*net.TCPConn)
	tcp.SetLinger(0)
	return tcp
}

// What makes a program an attacker, in its environment.
const (
	attackName   = "NUDGE_ATTACK"
	attackBox    = "NUDGE_ATTACK_BOX"
	attackSigned = "NUDGE_ATTACK_SIGNED"
)

// TestMain runs the tests, or an attack until its input ends.
func TestMain(m *testing.M) {
	for _, a := range attacks {
		if a.name == os.Getenv(attackName) {
			stop := make(chan struct{})
			go func() {
				io.Copy(io.Discard, os.Stdin)
				close(stop)
			}()
			f := fiend{os.Getenv(attackBox), os.Getenv(attackSigned), time.Tick(time.Second / 1000)}
			f.connect().Close()
			os.Stdout.WriteString("it begins\n")
			a.do(f, stop)
			return
		}
	}
	os.Exit(m.Run())
}

// besiege starts an attack and returns what ends it.
func (s *siege) besiege(name string) (end func()) {
	s.t.Helper()
	if name == attacks[0].name {
		return func() {}
	}
	cmd := exec.CommandContext(s.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), attackName+"="+name, attackBox+"="+s.msn, attackSigned+"="+s.signed())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		s.t.Errorf("the attack does not begin: %v", err)
	}
	return func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			s.t.Error(err)
		}
	}
}
