//go:build boards

package board

import "strings"

// byHand goes through the life of a box on a board without systemd. The emulated
// boards have no way to press a button.
func (s *scene) byHand() {
	s.Log(s.do("uname -m; grep MemTotal /proc/meminfo"))
	s.do("mkdir -p /etc/nudge /var/lib/nudge; :>/etc/nudge/nudge.toml")
	s.serve()
	s.Logf("kernel start to ready: %s s", s.do("cut -d' ' -f1 /proc/uptime"))
	if about := s.do("nudge status --json"); !strings.Contains(about, "ready on ACT") {
		s.Errorf("status does not tell of the board's LED: %s", about)
	}
	s.do("grep -q '[1-9]' /sys/class/leds/ACT/brightness")
	s.stop("TERM")
	// The kernel has it again and may light it when it looks for a card.
	s.eventually("0", "cat /sys/class/leds/ACT/brightness")

	s.wire()
	s.serve()
	s.accounts()
	s.people()
	s.attention()
	s.Log(s.do("grep -E 'VmHWM|VmRSS' /proc/$(cat /tmp/box)/status"))

	alice := s.signIn("alice")
	s.just("users again", s.ready, s.users)
	s.stop("KILL")
	s.just("nothing after kill -9")
	alice.Kill()

	s.serve()
	s.just("ready after a restart", s.ready)
	s.stop("TERM")
	s.just("nothing after it was stopped")
	if s.load {
		s.Log(s.do("nudgeload --nudge /usr/bin/nudge --clients 20 --contacts 5 --pairs 5 --messages 20 --changes 20 --rounds 1 --rest 0s")) // what rests here is not still enough for a PC's measure
	}
}

// serve starts the box and waits until it serves. Its process is in /tmp/box.
func (s *scene) serve() {
	s.Helper()
	s.do("nudge serve >/tmp/said 2>&1 & echo $! >/tmp/box")
	s.eventually("runs.", "cat /tmp/said")
}

// stop ends the box with a signal and waits for its end.
func (s *scene) stop(signal string) {
	s.Helper()
	s.do("kill -%s $(cat /tmp/box); while kill -0 $(cat /tmp/box) 2>/dev/null; do sleep 0.1; done", signal)
}
