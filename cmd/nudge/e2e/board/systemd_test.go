//go:build boards

package board

import (
	"strconv"
	"strings"
)

// property is one of the unit's.
func (s *scene) property(name string) string {
	return s.do("systemctl show --property=%s --value nudge", name)
}

// underSystemd goes through the life of the package's unit, as it was installed.
func (s *scene) underSystemd() {
	if s.act != 0 {
		s.see("the board's own LED, without any configuration", func(lit func(int) bool) bool { return lit(s.act) })
	}
	s.serves()
	took, err := strconv.Atoi(s.property("ActiveEnterTimestampMonotonic"))
	if err != nil {
		s.Fatal(err)
	}
	s.Logf("kernel start to ready: %.1f s", float64(took)/1e6)
	s.confined()
	s.wire()
	s.do("systemctl reload nudge")
	if s.act != 0 {
		s.see("no LED of the board's own after a reload to wired ones", func(lit func(int) bool) bool { return !lit(s.act) })
	}
	s.accounts()
	s.people()
	s.attention()
	if s.button {
		s.tapped()
	}
	s.deaths()
	s.Log(s.do("systemctl show --property=MemoryCurrent --property=NRestarts nudge"))
}

// serves waits until the unit is up.
func (s *scene) serves() {
	s.Helper()
	s.eventually("it serves", "systemctl --quiet is-active nudge && echo it serves")
}

// confined looks at what the unit may do, from the kernel's side.
func (s *scene) confined() {
	status := "/proc/" + s.property("MainPID") + "/status"
	s.do("! grep -q '^Uid:.0' %s", status)
	s.do("grep -q '^CapBnd:.*0400$' %s && grep -q '^Seccomp:.*2' %s", status, status)
	for file, most := range map[string]string{"memory.high": "134217728", "memory.max": "201326592"} {
		if got := s.do("cat /sys/fs/cgroup/system.slice/nudge.service/%s", file); got != most {
			s.Errorf("%s is %s, not %s", file, got, most)
		}
	}
	if about := s.do("nudge status --json"); s.act != 0 && !strings.Contains(about, "ready on ACT") {
		s.Errorf("status does not tell of the board's LED: %s", about)
	}
}

// tapped presses the button.
func (s *scene) tapped() {
	if err := s.Press(); err != nil {
		s.Fatal(err)
	}
	s.just("ready, dark while pairing blinks")
	s.just("ready, lit while pairing blinks", s.ready)
	s.eventually(`"pairing"`, "nudge status --json")
}

// deaths ends the box in every way while somebody is signed in. No LED may stay
// lit.
func (s *scene) deaths() {
	alice := s.signIn("alice")
	s.just("users again", s.ready, s.users)
	s.do("systemctl kill --signal=KILL nudge")
	s.just("nothing after kill -9")
	s.serves() // before that it blinks
	s.just("ready after systemd's restart", s.ready)
	alice.Kill()

	s.do("mkdir -p /run/systemd/system/nudge.service.d && printf '[Service]\nWatchdogSec=10\n' >/run/systemd/system/nudge.service.d/test.conf")
	s.do("systemctl daemon-reload && systemctl restart nudge")
	alice = s.signIn("alice")
	s.just("users after a restart", s.ready, s.users)
	s.do("systemctl kill --signal=STOP --kill-whom=main nudge")
	s.just("nothing after the watchdog has killed a box that hung")
	s.serves()
	s.just("ready after the watchdog", s.ready)
	alice.Kill()

	alice = s.signIn("alice")
	s.just("users once more", s.ready, s.users)
	s.do("systemctl stop nudge")
	s.just("nothing after systemctl stop")
	alice.Kill()
	if r := s.property("Result"); r != "success" {
		s.Errorf("systemctl stop ended with %s", r)
	}
}
