package passport

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func from(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1024} }

var (
	thief = from("192.0.2.66")
	owner = from("192.0.2.1")
)

// guess tries once; it tells whether the password was looked at.
func guess(k *Throttle, source net.Addr, handle string, right bool) bool {
	done, pause := k.Try(source, handle)
	if pause > 0 {
		return false
	}
	done(right)
	return true
}

func throttled(t *testing.T, test func(t *testing.T, k *Throttle)) {
	synctest.Test(t, func(t *testing.T) {
		test(t, NewThrottle(Limits{PerAccount: 5, PerSource: 20, Longest: time.Minute}))
	})
}

func TestPausesGrow(t *testing.T) {
	throttled(t, func(t *testing.T, k *Throttle) {
		for i := range 5 {
			if !guess(k, thief, "Alice@example.com", false) {
				t.Fatalf("try %d is not free", i+1)
			}
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			done, pause := k.Try(thief, "alice@EXAMPLE.com ")
			if done != nil || pause != want*time.Second {
				t.Fatalf("a pause of %v, want %v s", pause, int(want))
			}
			time.Sleep(pause - time.Nanosecond)
			if guess(k, thief, "alice@example.com", true) {
				t.Fatal("looked at during the pause")
			}
			time.Sleep(time.Nanosecond)
			if !guess(k, thief, "alice@example.com", false) {
				t.Fatal("not looked at after the pause: it grew while it lasted")
			}
		}
		time.Sleep(time.Minute)
		if !guess(k, thief, "alice@example.com", true) {
			t.Fatal("the right password does not work after the pause")
		}
		for range 4 { // as if nothing had been
			if !guess(k, thief, "alice@example.com", false) {
				t.Fatal("what was wrong before counts after a success")
			}
		}
	})
}

func TestOwnerIsNotLockedOut(t *testing.T) {
	throttled(t, func(t *testing.T, k *Throttle) {
		looked := 0
		for range 1000 {
			if guess(k, thief, "alice@example.com", false) {
				looked++
			}
			if !guess(k, owner, "alice@example.com", true) {
				t.Fatal("the owner's other PC is held up")
			}
		}
		if looked != 5 {
			t.Errorf("%d of 1,000 passwords were looked at", looked)
		}
		if !guess(k, thief, "bob@example.com", true) {
			t.Error("somebody else can't use that PC")
		}
	})
}

// TestSiege: many PCs guess at one account. Each new one has one try, so the
// owner gets in from anywhere at the first.
func TestSiege(t *testing.T) {
	throttled(t, func(t *testing.T, k *Throttle) {
		looked := 0
		for i := range 100 {
			for range 10 {
				if guess(k, from(fmt.Sprintf("198.51.100.%d", i)), "alice@example.com", false) {
					looked++
				}
			}
		}
		if want := 4*5 + 96; looked != want {
			t.Errorf("100 PCs had %d tries, want %d", looked, want)
		}
		for range 2 {
			if !guess(k, owner, "alice@example.com", true) {
				t.Error("the owner is held up")
			}
		}
	})
}

// TestSource: one PC guesses at many accounts, from all the addresses of its
// IPv6 network, and many at once.
func TestSource(t *testing.T) {
	throttled(t, func(t *testing.T, k *Throttle) {
		looked := 0
		for i := range 1000 {
			if guess(k, from(fmt.Sprintf("2001:db8::%x", i+1)), fmt.Sprintf("user%d@example.com", i), false) {
				looked++
			}
		}
		if looked != 20 {
			t.Errorf("%d of 1,000 were looked at", looked)
		}
		looked = 0
		for range 100 { // none of which has its answer yet
			if _, pause := k.Try(thief, "alice@example.com"); pause == 0 {
				looked++
			}
		}
		if looked != 5 {
			t.Errorf("%d of 100 at once were looked at", looked)
		}
	})
}

func TestThrottleForgets(t *testing.T) {
	throttled(t, func(t *testing.T, k *Throttle) {
		for range 10 {
			guess(k, thief, "alice@example.com", false)
		}
		time.Sleep(forgetTime + time.Second)
		for range 5 {
			if !guess(k, thief, "alice@example.com", false) {
				t.Fatal("remembered for ever")
			}
		}
		for i := range 3 * mostTries {
			guess(k, from(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)), strings.Repeat("x", 9999), false)
		}
		if len(k.tries) > mostTries {
			t.Errorf("%d entries", len(k.tries))
		}
		for a := range k.tries {
			if len(a.handle) > maxSecret {
				t.Errorf("%d bytes of an account's name are kept", len(a.handle))
			}
		}
	})
}

// TestLoginWaits: the log-in of MSNP8 says so in a way that clients take for a
// service that is down, not for a wrong password.
func TestLoginWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		login := func(password string) string {
			got, _ := ask(t, s, "GET /login2.srf HTTP/1.1\r\nAuthorization: Passport1.4 sign-in=alice%40example.com,pwd="+password+"\r\n\r\n", Via{local, remote, true})
			return got
		}
		for range 5 {
			if got := login("wrong"); !strings.HasPrefix(got, "HTTP/1.1 401 ") {
				t.Fatal(got)
			}
		}
		const right = "123%2C%20456"
		if got := login(right); !strings.HasPrefix(got, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\n") {
			t.Errorf("%q", got)
		}
		time.Sleep(2 * time.Second)
		if got := login(right); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("%q", got)
		}
	})
}
