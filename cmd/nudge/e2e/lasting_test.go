package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestBackup takes a backup while messages flow both ways, restores it into an
// empty folder and goes on there: accounts, lists, links and positions must be
// as they were; what was said since, with and without a box, must come; and
// nothing that had arrived before the backup may come again.
func TestBackup(t *testing.T) {
	end2end(t)
	first := newBox(t)
	var flows []*flow
	for i, kind := range []string{"prosody", "dendrite"} {
		sc := &scene{test: t, version: versions[i], server: sharedServer(t, kind), box: first}
		sc.me, sc.bob = friends(t, sc.server, false)
		f := &flow{scene: sc, handle: fmt.Sprintf("user%d@nudge.test", i)}
		first.AddUser(t, f.handle, sc.version)
		first.Link(t, f.handle, sc.me, sc.server.Addr())
		first.Knows(t, f.handle, sc.bob.Person().Handle)
		f.client, f.lists = first.SignIn(t, sc.version, f.handle, "NLN")
		f.talk(t, "before")
		flows = append(flows, f)
	}
	ctx, dry := context.WithCancel(t.Context())
	var in, out sync.WaitGroup
	defer in.Wait()
	defer dry()
	outCtx, mute := context.WithCancel(ctx)
	for _, f := range flows {
		in.Go(func() { f.pourIn(ctx, t) })
		out.Go(func() { f.pourOut(outCtx, t) })
		check(t, eventually(patience, f.proved))
	}

	began := time.Now()
	file := filepath.Join(t.TempDir(), "box.nudge")
	var made struct{ Passphrase string }
	check(t, json.Unmarshal([]byte(first.cli(t, "backup", file, "--json")), &made))
	mute()
	out.Wait()
	for _, f := range flows {
		f.client.Close()
		f.collect(t, began)
	}
	check(t, first.Stop())

	second := prepareBox(t)
	_, err := feed(second.Dir, nil, made.Passphrase+"\n", second.binary, "restore", file, "--data", second.Dir, "--passphrase-stdin")
	check(t, err)
	second.run(t)
	for _, f := range flows {
		f.box = second
		net := map[string]string{"dendrite": "matrix"}[f.server.Kind]
		if net == "" {
			net = "xmpp"
		}
		second.cli(t, "link", "test", f.handle, net)
		f.client, f.lists = second.SignIn(t, f.version, f.handle, "NLN")
		if bob := f.lists.Contacts[f.bobHandle()]; bob.On&(msnclient.FL|msnclient.AL|msnclient.RL) != msnclient.FL|msnclient.AL|msnclient.RL {
			t.Errorf("%s: bob is on the lists as %+v", f.handle, bob)
		}
	}
	dry()
	in.Wait()
	for _, f := range flows {
		check(t, eventually(2*patience, f.complete))
		f.talk(t, "after")
		f.judge(t)
	}
}

// flow is numbered messages in both directions, and what came of them.
type flow struct {
	*scene
	handle string
	before map[int]bool // came to the client surely before the backup
	first  map[int]bool // came to the client of the first box
	acked  []string     // what the box took of what the client said
}

// A flow is gentle, unlike a burst: what is behind must be read while it goes on.
const flowPace = 40 * time.Millisecond

var flowing = regexp.MustCompile(`\bflow (\d+)`)

// pourIn lets bob speak until ctx ends.
func (f *flow) pourIn(ctx context.Context, t *testing.T) {
	tick := time.NewTicker(flowPace)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		if err := f.bob.Post(fmt.Sprint("flow ", n)); err != nil {
			t.Errorf("bob can't speak: %v", err)
			return
		}
		<-tick.C
	}
}

// pourOut lets the client speak until ctx ends.
func (f *flow) pourOut(ctx context.Context, t *testing.T) {
	tick := time.NewTicker(flowPace)
	defer tick.Stop()
	chat := f.client.Chat(f.bobHandle())
	for n := 0; ctx.Err() == nil; n++ {
		text := fmt.Sprintf("back %d.", n)
		if err := chat.Send(waiting(t, patience), text); err != nil {
			t.Errorf("the client can't speak: %v", err)
			return
		}
		f.acked = append(f.acked, text)
		<-tick.C
	}
}

// heard lists the numbers that the client was given, with the times.
func (f *flow) heard() (at map[int][]time.Time) {
	at = map[int][]time.Time{}
	for _, e := range f.client.Log.Since(0) {
		if text, ok := e.Text(); ok {
			if m := flowing.FindStringSubmatch(text); m != nil {
				n, _ := strconv.Atoi(m[1])
				at[n] = append(at[n], e.At)
			}
		}
	}
	return at
}

// proved waits for a message that the box must know to have arrived.
func (f *flow) proved() error {
	for _, times := range f.heard() {
		if time.Since(times[0]) > unproved {
			return nil
		}
	}
	return errors.New("nothing has arrived long enough ago")
}

// collect keeps what came to the client of the first box.
func (f *flow) collect(t *testing.T, backup time.Time) {
	f.before, f.first = map[int]bool{}, map[int]bool{}
	for n, times := range f.heard() {
		f.first[n] = true
		f.before[n] = backup.Sub(times[0]) > unproved
		if len(times) > 1 {
			t.Errorf("%s: flow %d came %d times", f.handle, n, len(times))
		}
	}
}

// complete is an error until all that bob's server took has come.
func (f *flow) complete() error {
	now := f.heard()
	for _, text := range f.bob.Sent() {
		m := flowing.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		if n, _ := strconv.Atoi(m[1]); !f.first[n] && len(now[n]) == 0 {
			return fmt.Errorf("%s: flow %d is missing", f.handle, n)
		}
	}
	return nil
}

// judge looks for what came twice, in both directions.
func (f *flow) judge(t *testing.T) {
	t.Helper()
	now, fresh := f.heard(), 0
	for n, times := range now {
		if len(times) > 1 || f.before[n] {
			t.Errorf("%s: flow %d came again", f.handle, n)
		}
		if !f.first[n] {
			fresh++
		}
	}
	said := map[string]int{}
	for _, text := range f.bob.Archive(t) {
		said[text]++
	}
	for _, text := range f.acked {
		if said[text] != 1 {
			t.Errorf("%s: %q is %d times in bob's archive", f.handle, text, said[text])
		}
	}
	t.Logf("%s on %s: %d came before, %d only afterwards, %d were said by the client", f.handle, f.server.Kind, len(f.first), fresh, len(f.acked))
	if fresh == 0 || len(f.acked) == 0 {
		t.Errorf("%s: nothing was under way", f.handle)
	}
}

// TestRemovedWhileDown removes a contact while the network can't be reached and
// the box is killed before it can: he must stay removed.
func TestRemovedWhileDown(t *testing.T) {
	for _, kind := range allKinds {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			s := sharedServer(t, kind)
			via := newProxy(t, s.Addr())
			sc := newScene(t, msnclient.MSNP8, s, via.Addr)
			dave := newStranger(t, s, "dave", sc.me)
			switch dave := dave.(type) {
			case *xmppPeer:
				dave.meet(t, sc.me)
			case *matrixPeer:
				dave.meet(t, sc.me, false)
			}
			sc.box.Knows(t, aliceHandle, dave.Person().Handle)
			sc.signIn(t, "NLN")
			bob := sc.bobHandle()
			via.Cut()
			check(t, sc.client.Remove(waiting(t, patience), msnclient.FL, bob))
			check(t, sc.box.Kill())
			check(t, sc.box.Start())
			sc.signIn(t, "NLN")
			if on := sc.lists.Contacts[bob].On; on&msnclient.FL != 0 {
				t.Errorf("bob is on the lists %v after the crash", on)
			}
			via.Mend()
			from := sc.client.Log.Len()
			check(t, dave.Say(t.Context(), "the network is back"))
			_, err := sc.hears(waiting(t, 2*patience), from, dave.Person(), "the network is back")
			check(t, err)
			if x, ok := sc.bob.(*xmppPeer); ok {
				check(t, eventually(patience, func() error { return x.not(sc.me, "both", "to", "from") }))
			}
			sc.signIn(t, "NLN")
			if on := sc.lists.Contacts[bob].On; on&msnclient.FL != 0 {
				t.Errorf("bob is back on the lists %v", on)
			}
			if on := sc.lists.Contacts[dave.Person().Handle].On; on&msnclient.FL == 0 {
				t.Errorf("dave is gone too")
			}
		})
	}
}

// TestUnusableDatabase starts the box on files that it can't use: one line says
// so, the exit code tells systemd not to try again, and the file stays as it is.
func TestUnusableDatabase(t *testing.T) {
	end2end(t)
	b := newBox(t)
	b.AddUser(t, aliceHandle, msnclient.MSNP8)
	check(t, b.Stop())
	whole, err := os.ReadFile(filepath.Join(b.Dir, "nudge.db"))
	check(t, err)
	key, err := os.ReadFile(filepath.Join(b.Dir, "nudge.key"))
	check(t, err)
	damaged := bytes.Clone(whole)
	copy(damaged[4096*2:], bytes.Repeat([]byte{0xA5}, len(damaged)-4096*2))
	for name, file := range map[string]struct {
		content []byte
		says    string
	}{
		"damaged":   {damaged, "damaged"},
		"cut short": {whole[:4096*2+100], "damaged"},
		"foreign":   {[]byte(strings.Repeat("SQLite format 3\x00", 4096)), "can't be used"},
		"empty":     {nil, "empty"},
		"newer":     {bytes.ReplaceAll(whole, []byte("schema\x01"), []byte("schema\x63")), "newer nudge"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "nudge.db")
			check(t, os.WriteFile(path, file.content, 0o600))
			check(t, os.WriteFile(filepath.Join(dir, "nudge.key"), key, 0o600))
			was, err := os.Stat(path)
			check(t, err)
			for _, command := range [][]string{
				{"serve", "--msn", loopback(freePort()), "--http", loopback(freePort()), "--https", "off", "--names", "off"},
				{"user", "list"},
			} {
				cmd := exec.CommandContext(waiting(t, patience), b.binary, append(command, "--data", dir)...)
				var said bytes.Buffer
				cmd.Stderr = &said
				err := cmd.Run()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != 78 {
					t.Errorf("%s: %v, want exit code 78", command[0], err)
				}
				if text := said.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, path) || !strings.Contains(text, file.says) {
					t.Errorf("%s says %q", command[0], text)
				}
			}
			now, err := os.ReadFile(path)
			check(t, err)
			is, err := os.Stat(path)
			check(t, err)
			if !bytes.Equal(now, file.content) || !is.ModTime().Equal(was.ModTime()) {
				t.Error("the file was touched")
			}
		})
	}
}
