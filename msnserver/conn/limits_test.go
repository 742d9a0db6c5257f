package conn

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestPace: a burst at any speed, then so many a second; nothing is lost, and a
// client that rests may have its burst again.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(Rate{PerSecond: 50, Burst: 100})
		took := func(n int) time.Duration {
			start := time.Now()
			for range n {
				p.wait()
			}
			return time.Since(start)
		}
		if d := took(100); d != 0 {
			t.Errorf("the burst took %v", d)
		}
		for range 3 {
			if d := took(500); d < 9*time.Second || d > 11*time.Second {
				t.Errorf("500 commands took %v, want 10 s", d)
			}
		}
		time.Sleep(time.Hour)
		if d := took(100); d != 0 {
			t.Errorf("the burst after a rest took %v", d)
		}
		for range 100 { // as fast as is allowed
			time.Sleep(time.Second)
			if d := took(50); d > pause {
				t.Fatalf("a client that keeps to the limit waits %v", d)
			}
		}
		p = newPace(Rate{})
		if d := took(1_000_000); d != 0 {
			t.Errorf("without a limit it waits %v", d)
		}
		p = newPace(Rate{PerSecond: 1})
		if d := took(10); d < 8*time.Second || d > 10*time.Second {
			t.Errorf("without a burst 10 took %v", d)
		}
	})
}

// TestPaceOfAConnection: a flood of commands is answered to the last, but no
// faster than the limit.
func TestPaceOfAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client, done := serveAt(t, io.Discard, Rate{PerSecond: 100, Burst: 10})
		start := time.Now()
		go func() {
			io.WriteString(client, "VER 1 MSNP2\r\nUSR 2 x\r\n")
			for range 1000 {
				io.WriteString(client, "ECO 1\r\n")
			}
			io.WriteString(client, "OUT\r\n")
		}()
		got, _ := io.ReadAll(client)
		<-done
		if want := len("VER 1 MSNP2\r\nUSR 2 x\r\n") + 1000*len("ECO 1\r\n"); len(got) != want || !s.ended {
			t.Errorf("%d bytes of %d were answered", len(got), want)
		}
		if d := time.Since(start); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("1,000 commands at 100 a second took %v", d)
		}
	})
}
