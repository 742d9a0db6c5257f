package conn

import "time"

// Limits is what one client may cost.
type Limits struct {
	Line    int           // bytes of a command line
	Payload int           // bytes of a payload
	Queue   int           // bytes that may wait for the client
	SignIn  time.Duration // until it has proved who it is (MSNP.md A.7)
}

// Rate is how many commands a client may say: Burst of them at any speed, then
// PerSecond. None is no limit.
type Rate struct{ PerSecond, Burst int }

// pace holds a client to a Rate by reading no faster: the client's own machine
// then makes it wait, nothing is lost and nobody is cut off. The clock is asked
// only when a burst is used up, so a limit that is not reached costs nothing.
type pace struct {
	rate Rate
	left int       // commands until the clock is asked
	at   time.Time // when it was
}

// pause is how long a client that is too fast waits at a time. It is short
// because nothing wakes a reader that waits.
const pause = 10 * time.Millisecond

func newPace(r Rate) pace {
	r.Burst = max(r.Burst, 1)
	return pace{rate: r, left: r.Burst, at: time.Now()}
}

// wait returns when the next command may be read.
func (p *pace) wait() {
	if p.rate.PerSecond == 0 {
		return
	}
	for p.left == 0 {
		earned := int(min(time.Since(p.at), time.Hour) * time.Duration(p.rate.PerSecond) / time.Second)
		if earned == 0 {
			time.Sleep(max(pause, time.Second/time.Duration(p.rate.PerSecond)))
			continue
		}
		p.left, p.at = min(earned, p.rate.Burst), time.Now()
	}
	p.left--
}
