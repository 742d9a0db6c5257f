//go:build boards

package board

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// model is what differs between boards.
type model struct {
	chip                         Chip
	ready, users, links, traffic int // lines
	act                          int // the board's own LED, 0 when it can't be seen
	button, systemd, load        bool
}

var models = map[string]model{
	"virt":    {chip: PL061(0x09030000), ready: 0, users: 1, links: 2, traffic: 4, act: 6, button: true, systemd: true},
	"raspi3b": {chip: BCM(0x3f000000), ready: 17, users: 27, links: 22, traffic: 23, systemd: true}, // QEMU lacks the chip of its ACT LED
	"raspi2b": {chip: BCM(0x3f000000), ready: 17, users: 27, links: 22, traffic: 23},
	"raspi0":  {chip: BCM(0x20000000), ready: 17, users: 27, links: 22, traffic: 23, load: true},
}

// patience bounds what should happen soon on a machine that has other things to
// do; it is never waited out when things go well.
const patience = 4 * time.Minute

// pause is between two looks at what changes in the guest, whose one processor has
// other things to do.
const pause = 300 * time.Millisecond

// scene is a test of one board.
type scene struct {
	*testing.T
	*Board
	model
	ctx  context.Context
	addr string // of the guest's port 1863, on this machine
}

// TestBoard runs the board whose files .ci/boards has put into $NUDGE_BOARD.
func TestBoard(t *testing.T) {
	dir := os.Getenv("NUDGE_BOARD")
	m, ok := models[filepath.Base(dir)]
	if !ok {
		t.Fatalf("NUDGE_BOARD is %q, which is no board's folder; .ci/boards makes one", dir)
	}
	log, err := os.Create(filepath.Join(dir, "console"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 14*time.Minute)
	defer cancel()
	s := &scene{T: t, model: m, ctx: ctx, addr: freeAddress(t)}
	if s.Board, err = Start(ctx, dir, log, "-netdev", "user,id=net0,restrict=on,hostfwd=tcp:"+s.addr+"-:1863"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		t.Log("QEMU took", s.Memory())
		if t.Failed() {
			s.explain()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if m.systemd {
		s.underSystemd()
	} else {
		s.byHand()
	}
}

// explain shows what is known of a failure.
func (s *scene) explain() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	command := "tail -n 40 /tmp/said"
	if s.systemd {
		command = "journalctl -b -o short-monotonic -u 'nudge*' | tail -n 40"
	}
	said, err := s.Board.Run(ctx, command)
	s.Log(said, err)
	s.Log(tail(s.console.since(0)))
}

// freeAddress is one of loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// do runs a command in the guest, which must succeed.
func (s *scene) do(format string, args ...any) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	said, err := s.Board.Run(ctx, fmt.Sprintf(format, args...))
	if err != nil {
		s.Fatal(err)
	}
	return said
}

// see waits until the pins are as wanted.
func (s *scene) see(what string, wanted func(lit func(line int) bool) bool) {
	s.Helper()
	s.seeFrom(s.ctx, what, wanted)
}

func (s *scene) seeFrom(ctx context.Context, what string, wanted func(lit func(line int) bool) bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	from := time.Now()
	if err := s.Until(ctx, s.chip, what, wanted); err != nil {
		s.Fatal(err)
	}
	s.Logf("seen after %.1f s: %s", time.Since(from).Seconds(), what)
}

// just waits until of the wired LEDs exactly these are lit.
func (s *scene) just(what string, lines ...int) {
	s.Helper()
	s.see(what, func(lit func(int) bool) bool {
		want := map[int]bool{}
		for _, l := range lines {
			want[l] = true
		}
		for _, l := range []int{s.ready, s.users, s.links, s.traffic} {
			if lit(l) != want[l] {
				return false
			}
		}
		return true
	})
}

// wire tells the box of LEDs and a button; virt's button connects to the supply.
func (s *scene) wire() {
	s.do(`printf '[lights]\nshow = "wired"\nbutton = "!GPIO24"\n' >/etc/nudge/nudge.toml`)
}

// accounts makes two that know each other.
func (s *scene) accounts() {
	for _, who := range []string{"alice", "bob"} {
		s.do("nudge user add %s@hotmail.com --md5 --password secret-%s", who, who)
	}
	s.do("nudge contact add alice@hotmail.com bob@hotmail.com")
}

// signIn signs in over the emulated network.
func (s *scene) signIn(who string) *msnclient.Client {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	c, err := s.trySignIn(ctx, who, "secret-"+who)
	if err == nil {
		_, err = c.Sync(ctx)
	}
	if err == nil {
		err = c.SetStatus(ctx, "NLN")
	}
	if err != nil {
		s.Fatalf("%s can't sign in: %v", who, err)
	}
	return c
}

func (s *scene) trySignIn(ctx context.Context, who, password string) (*msnclient.Client, error) {
	dial := func(ctx context.Context, _ string) (net.Conn, error) { // every server is the guest
		var d net.Dialer
		return d.DialContext(ctx, "tcp", s.addr)
	}
	return msnclient.SignIn(ctx, msnclient.Config{
		Version: msnclient.MSNP7, Addr: s.addr, Handle: who + "@hotmail.com", Password: password, Answer: true, Dial: dial,
	})
}

// attention has a PC fail to sign in, which somebody must mend.
func (s *scene) attention() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	_, err := s.trySignIn(ctx, "alice", "wrong")
	if msnclient.Code(err) != "911" {
		s.Fatalf("a wrong password is answered with %v", err)
	}
	s.just("traffic, blinking because a PC can't sign in", s.ready, s.traffic)
	s.just("and in the dark half of its blink", s.ready)
	s.signIn("alice").Close()
	s.eventually(`"attention": []`, "nudge status --json")
}

// people has two sign in, chat and sign out, and looks at the LEDs meanwhile.
func (s *scene) people() {
	s.Helper()
	s.just("ready alone", s.ready)
	alice := s.signIn("alice")
	defer alice.Close()
	bob := s.signIn("bob")
	defer bob.Close()
	s.just("users after a sign-on over the emulated network", s.ready, s.users)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	chat, err := alice.Invite(ctx, "bob@hotmail.com")
	if err != nil {
		s.Fatal(err)
	}
	said := make(chan error, 1)
	talk, stop := context.WithCancel(ctx)
	go func() { // a flash that falls between two looks comes again
		for n := 1; ; n++ {
			if err := chat.Send(talk, fmt.Sprint("message ", n)); err != nil || talk.Err() != nil {
				said <- err
				return
			}
		}
	}()
	s.just("traffic, lit by a message", s.ready, s.users, s.traffic)
	s.just("and dark again", s.ready, s.users)
	stop()
	if err := <-said; err != nil && talk.Err() == nil {
		s.Fatal(err)
	}
}

// eventually waits until a command of the guest says the words.
func (s *scene) eventually(words, format string, args ...any) {
	s.Helper()
	for end := time.Now().Add(patience); !strings.Contains(s.do(format+" || true", args...), words); {
		if time.Now().After(end) {
			s.Fatalf("%s never said %q", fmt.Sprintf(format, args...), words)
		}
		time.Sleep(pause)
	}
}
