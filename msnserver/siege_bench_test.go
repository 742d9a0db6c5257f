package msnserver

import (
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkSiege measures how much others slow a good client down: the 99th
// percentile of its pings while they do their worst, in microseconds and as a
// multiple of that on a quiet box. Attackers and box share this machine's cores,
// so the figure is the worst that can be.
func BenchmarkSiege(b *testing.B) {
	var quiet float64
	for _, attack := range []struct {
		name string
		do   func(s *siege, stop <-chan struct{})
	}{
		{"quiet", nil},
		{"connects", func(s *siege, stop <-chan struct{}) {
			for c := s.attacker(); c != nil && running(stop); c = s.attacker() {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
		}},
		{"flood of commands", func(s *siege, stop <-chan struct{}) {
			c := s.attacker()
			defer c.Close()
			go io.Copy(io.Discard, c)
			io.WriteString(c, s.signed())
			for pings := strings.Repeat("PNG\r\n", 1000); running(stop); {
				c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				io.WriteString(c, pings)
			}
		}},
		{"garbage", func(s *siege, stop <-chan struct{}) {
			for garbage := strings.Repeat("A", 64<<10); running(stop); {
				c := s.attacker()
				io.WriteString(c, garbage)
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
		}},
		{"wrong passwords", func(s *siege, stop <-chan struct{}) {
			for running(stop) {
				c := s.attacker()
				io.WriteString(c, "VER 1 MSNP2\r\nUSR 2 MD5 I mallory@example.com\r\nUSR 3 MD5 S 00\r\n")
				io.Copy(io.Discard, c)
				c.Close()
			}
		}},
		{"idle", func(s *siege, stop <-chan struct{}) {
			for range 250 {
				defer s.attacker().Close()
			}
			<-stop
		}},
	} {
		b.Run(attack.name, func(b *testing.B) {
			s := newSiege(b, Limits{})
			stop := make(chan struct{})
			var wg sync.WaitGroup
			if attack.do != nil {
				wg.Go(func() { attack.do(s, stop) })
			}
			took := make([]float64, 0, b.N)
			s.alice.SetDeadline(time.Time{})
			for b.Loop() {
				start := time.Now()
				s.alice.say("PNG\r\n")
				s.must(s.alice, "QNG")
				took = append(took, float64(time.Since(start).Microseconds()))
			}
			close(stop)
			wg.Wait()
			slices.Sort(took)
			p99 := took[len(took)*99/100]
			b.ReportMetric(p99, "p99-µs")
			if attack.do == nil {
				quiet = p99
			} else if quiet > 0 {
				b.ReportMetric(p99/quiet, "p99/quiet")
			}
		})
	}
}

func running(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
		return true
	}
}

// attacker is a connection from where the others are.
func (s *siege) attacker() net.Conn {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(foe)}, Timeout: patience}
	c, err := d.Dial("tcp", s.msn)
	if err != nil {
		s.t.Error(err)
		return &net.TCPConn{}
	}
	return c
}
