package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// theatres are where chaos is made: by way of an own account on a server, or of the
// server's component or application service. Each says how dense a burst is: so many messages each way, one
// every pace, so that at any moment some are under way. Prosody takes hundreds a
// second, Dendrite some 30 on a shared core. The blow falls a random moment up to
// blowWithin after calm: at a component only when the receipts for the first have
// come, within the second that it takes until messages are on disk. Everything must
// have come after most: with a service both sides pause longer after each failure, the
// box up to a minute between connections and the homeserver as long between attempts.
var theatres = map[string]struct {
	server           string
	burst            int
	pace, calm, most time.Duration
	fresh            int // after how many rounds new people take over
}{
	"prosody":            {"prosody", 120, 4 * time.Millisecond, 200 * time.Millisecond, 2 * patience, fresh},
	"dendrite":           {"dendrite", 40, 40 * time.Millisecond, 200 * time.Millisecond, 2 * patience, fresh},
	"prosody component":  {"prosody", 120, 15 * time.Millisecond, 1200 * time.Millisecond, 2 * patience, fresh},
	"ejabberd component": {"ejabberd", 120, 15 * time.Millisecond, 1200 * time.Millisecond, 2 * patience, fresh},
	"dendrite service":   {"dendrite", 40, 40 * time.Millisecond, 200 * time.Millisecond, 6 * patience, 2},
}

const blowWithin = 200 * time.Millisecond

// fresh is after how many rounds new people take over in most theatres: a server that
// reads its whole archive for every page gets too slow to be tested (XMPP-DELIVERY.md
// §4). A service has them sooner, before the pauses are long.
const fresh = 5

// unproved is how long before the end of a session a message may have been
// handed to it without counting as delivered: the second that the session must
// outlive, and, before a crash of the box, the second until it is on disk that it
// did (DESIGN.md §3); and some time for two busy cores. Such a message may come
// once more.
const unproved = 2500 * time.Millisecond

// TestChaos breaks something in the middle of bursts in both directions, again
// and again. What the server acknowledged to the peer must reach the client,
// what the box acknowledged to the client must reach the peer's archive:
// nothing lost, nothing swapped, and doubled only what could not be known to
// have arrived.
func TestChaos(t *testing.T) {
	asked := 0
	if s := os.Getenv("NUDGE_CHAOS_ROUNDS"); s != "" {
		var err error
		asked, err = strconv.Atoi(s)
		check(t, err)
	}
	for _, test := range []struct {
		kind, mode string
		blow       func(*chaos) error
		again      func(*chaos, int) bool // a message from the client may arrive twice
		rounds     int                    // when none are asked for, negative: none at all; 0 is five
	}{
		{"prosody", "box killed", (*chaos).killBox, (*chaos).unwritten, 0},
		{"prosody", "server restarted", (*chaos).restartServer, nil, 0},
		{"prosody", "connection cut", (*chaos).cutConnection, nil, 0},
		{"prosody", "client killed", (*chaos).killClient, nil, 0},
		{"dendrite", "box killed", (*chaos).killBox, (*chaos).unwritten, 0},
		{"dendrite", "server restarted", (*chaos).restartServer, (*chaos).denied, 0},
		{"dendrite", "connection cut", (*chaos).cutConnection, (*chaos).denied, 0},
		{"dendrite", "client killed", (*chaos).killClient, (*chaos).denied, 0},
		{"prosody component", "box killed", (*chaos).killBox, (*chaos).unwritten, 0},
		{"prosody component", "server restarted", (*chaos).restartServer, (*chaos).unanswered, 0},
		{"prosody component", "connection cut", (*chaos).cutConnection, (*chaos).unanswered, 0},
		{"prosody component", "client killed", (*chaos).killClient, nil, 0},
		{"ejabberd component", "box killed", (*chaos).killBox, (*chaos).unwritten, 0},
		// A homeserver pauses longer and longer after each failure: rounds are slow.
		{"dendrite service", "box killed", (*chaos).killBox, (*chaos).unwritten, 2},
		{"dendrite service", "server restarted", (*chaos).restartServer, (*chaos).denied, -1},
		{"dendrite service", "connection cut", (*chaos).cutConnection, (*chaos).denied, -1},
		{"dendrite service", "client killed", (*chaos).killClient, (*chaos).denied, -1},
	} {
		rounds := cmp.Or(asked, test.rounds, 5)
		if rounds < 0 {
			continue
		}
		t.Run(test.kind+"/"+test.mode, func(t *testing.T) {
			end2end(t)
			hit, fresh := 0, theatres[test.kind].fresh
			for first := 0; first < rounds; first += fresh {
				t.Run(fmt.Sprint("from ", first), func(t *testing.T) {
					c := newChaos(t, test.kind, test.again)
					for range min(fresh, rounds-first) {
						c.round(test.blow)
					}
					c.judge()
					hit += c.hit
				})
			}
			if !t.Failed() && hit*2 < rounds {
				t.Errorf("only %d of %d blows fell while messages were under way: nothing is shown", hit, rounds)
			}
		})
	}
}

// chaos is one run.
type chaos struct {
	*scene
	t     *testing.T
	via   *proxy
	kind  string // of theatre
	size  int    // messages of a burst each way
	pace  time.Duration
	seed  uint64
	rand  *rand.Rand
	again func(*chaos, int) bool // nil: nothing may

	rounds, hit int // rounds, and those with something under way at the blow
	in          int // numbers given to what bob says
	heard       []heard
	blows       []blow
	killed      time.Time    // when the client was, in this round
	forgotten   map[int]bool // what the server took and lost

	mu     sync.Mutex // guards what the bursts write
	out    int        // numbers given to what the client says
	ids    map[string]int
	posted map[int]time.Time
	acked  map[int]time.Time
}

// blow is when something broke, and when it was whole again.
type blow struct{ at, over time.Time }

// heard is one numbered message that a session of the client was given.
type heard struct {
	n       int
	at, end time.Time // when it came, and when its session ended
}

// numbered finds the number of a message in either direction: "in 12".
var numbered = regexp.MustCompile(`\b(in|out) (\d+)\b`)

func number(text, direction string) (int, bool) {
	m := numbered.FindStringSubmatch(text)
	if m == nil || m[1] != direction {
		return 0, false
	}
	n, err := strconv.Atoi(m[2])
	return n, err == nil
}

func newChaos(t *testing.T, kind string, again func(*chaos, int) bool) *chaos {
	t.Helper()
	place := theatres[kind]
	c := &chaos{
		t: t, seed: rand.Uint64(), again: again, kind: kind, size: place.burst, pace: place.pace,
		posted: map[int]time.Time{}, acked: map[int]time.Time{}, forgotten: map[int]bool{},
	}
	c.rand = rand.New(rand.NewPCG(c.seed, 0))
	switch {
	case kind == place.server:
		s := ownServer(t, place.server, true)
		c.via = newProxy(t, s.Addr())
		c.scene = &scene{version: msnclient.MSNP8, server: s}
		c.me, c.bob = friends(t, s, false)
		c.house(t, c.via.Addr)
	case place.server == "dendrite":
		c.scene = newServiceScene(t, msnclient.MSNP8)
		c.via = c.scene.via
		c.stepInvited(t)
		c.client.Close()
	default:
		s := ownServer(t, place.server, true)
		c.via = newProxy(t, loopback(s.settings.Component))
		c.scene = newComponentScene(t, s, msnclient.MSNP8, c.via.Addr)
		c.stepAcquaint(t)
		c.client.Close()
		c.bob = visitor{c.bob.(*xmppPeer)}
	}
	t.Logf("seed %d", c.seed)
	c.enter()
	return c
}

// enter signs the client in.
func (c *chaos) enter() {
	c.t.Helper()
	check(c.t, eventually(patience, func() (err error) {
		c.client, err = msnclient.SignIn(c.t.Context(), c.box.config(c.version, aliceHandle))
		return err
	}))
	c.t.Cleanup(c.client.Kill)
	var err error
	c.lists, err = c.client.Sync(c.t.Context())
	check(c.t, err)
	check(c.t, c.client.SetStatus(c.t.Context(), "NLN"))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids, c.killed = map[string]int{}, time.Time{}
}

// leave ends the client's session and keeps what it was given.
func (c *chaos) leave() {
	c.client.Kill()
	c.heard = c.hearing()
	c.settle()
}

// hearing is everything the client was given so far, in order, each with the end
// of the connection that it came over; one that is still open ends now.
func (c *chaos) hearing() []heard {
	all, now := slices.Clone(c.heard), time.Now()
	if !c.killed.IsZero() {
		now = c.killed
	}
	log := c.client.Log.Since(0)
	ends := map[*msnclient.Chat]time.Time{}
	for _, e := range log {
		if e.Cmd == msnclient.Closed {
			ends[e.Chat] = e.At
		}
	}
	for _, e := range log {
		text, ok := e.Text()
		if !ok {
			continue
		}
		if n, ok := number(text, "in"); ok {
			end := now
			if at, closed := ends[e.Chat]; closed {
				end = at
			}
			all = append(all, heard{n, e.At, end})
		}
		if strings.Contains(text, "Not delivered") {
			c.t.Errorf("what the box had acknowledged failed: %s", text)
		}
	}
	return all
}

// settle takes the box's acknowledgements of this session.
func (c *chaos) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.client.Log.Since(0) {
		if e.Chat != nil && e.Cmd == "ACK" && len(e.Args) > 0 {
			if n, ok := c.ids[e.Args[0]]; ok {
				if _, known := c.acked[n]; !known {
					c.acked[n] = e.At
				}
			}
		}
	}
}

// round is one burst with a blow inside, and the recovery from it.
func (c *chaos) round(strike func(*chaos) error) {
	c.t.Helper()
	c.rounds++
	c.shake()
	chat := c.chat(c.t)
	var wg sync.WaitGroup
	wg.Go(c.burstIn)
	wg.Go(func() { c.burstOut(chat) })
	time.Sleep(theatres[c.kind].calm + time.Duration(c.rand.Int64N(int64(blowWithin))))
	if c.awaitUnderWay() {
		c.hit++
	}
	at := time.Now()
	check(c.t, strike(c))
	wg.Wait()
	c.blows = append(c.blows, blow{at, time.Now()})
	c.in += c.size
	if c.rand.IntN(2) == 0 {
		c.calm()
	}
	c.leave()
	c.enter()
	if err := eventually(theatres[c.kind].most, c.complete); err != nil {
		c.forgive()
		check(c.t, c.complete())
	}
}

// forgive finds out what the server itself has lost: it took the message from
// the peer and does not have it (XMPP-DELIVERY.md §5: nothing to do with us).
func (c *chaos) forgive() {
	c.t.Helper()
	kept := map[int]bool{}
	said, _ := c.bob.Kept(c.t)
	for _, text := range said {
		if n, ok := number(text, "in"); ok {
			kept[n] = true
		}
	}
	for _, n := range c.sent() {
		if !kept[n] {
			c.forgotten[n] = true
		}
	}
}

// shake makes sure that everything works in both directions before a blow.
func (c *chaos) shake() {
	c.t.Helper()
	most := theatres[c.kind].most
	ctx, word := waiting(c.t, most), fmt.Sprintf("round %d begins", c.rounds)
	mark, from := c.bob.Mark(), c.client.Log.Len()
	check(c.t, c.chat(c.t).Send(ctx, word))
	check(c.t, c.bob.Heard(ctx, mark, word))
	check(c.t, eventually(most, func() error { return c.bob.Say(waiting(c.t, patience), word) }))
	_, err := c.hears(ctx, from, c.bob.Person(), word)
	check(c.t, err)
}

// burstIn lets bob speak, however things are.
func (c *chaos) burstIn() {
	tick := time.NewTicker(c.pace)
	defer tick.Stop()
	for i := range c.size {
		if err := c.bob.Post(fmt.Sprintf("in %d", c.in+i)); err != nil {
			c.t.Errorf("bob can't speak: %v", err)
			return
		}
		<-tick.C
	}
}

// burstOut lets the client speak until its connection is gone.
func (c *chaos) burstOut(chat *msnclient.Chat) {
	tick := time.NewTicker(c.pace)
	defer tick.Stop()
	for range c.size {
		c.mu.Lock()
		n := c.out
		c.out++
		c.posted[n] = time.Now()
		id, err := chat.Post(fmt.Sprintf("out %d", n), msnclient.Acknowledged)
		if err == nil {
			c.ids[id] = n
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
		<-tick.C
	}
}

// awaitUnderWay waits for the next moment at which a message is between the ends,
// if none is; on a quiet machine they are there quickly.
func (c *chaos) awaitUnderWay() bool {
	for end := time.Now().Add(2 * c.pace); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if c.underWay() {
			return true
		}
	}
	return c.underWay()
}

// underWay tells whether a message is between the ends in either direction.
func (c *chaos) underWay() bool {
	c.settle()
	got := map[int]bool{}
	for _, h := range c.hearing() {
		got[h.n] = true
	}
	for _, n := range c.sent() {
		if !got[n] {
			return true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.ids {
		if c.acked[n].IsZero() {
			return true
		}
	}
	return false
}

// sent are the numbers that bob's server has acknowledged to him and not lost.
func (c *chaos) sent() (ns []int) {
	for _, text := range c.bob.Sent() {
		if n, ok := number(text, "in"); ok && !c.forgotten[n] {
			ns = append(ns, n)
		}
	}
	return ns
}

// complete is an error while the client lacks something that was sent to it.
func (c *chaos) complete() error {
	got := map[int]bool{}
	for _, h := range c.hearing() {
		got[h.n] = true
	}
	var missing []int
	for _, n := range c.sent() {
		if !got[n] {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the client lacks %v", missing)
	}
	return nil
}

// calm waits until the open session has everything and has outlived it. One that
// the blow ended gets no more.
func (c *chaos) calm() {
	eventually(patience, func() error {
		if !c.killed.IsZero() || slices.ContainsFunc(c.client.Log.Since(0), func(e msnclient.Event) bool { return e.Chat == nil && e.Cmd == msnclient.Closed }) {
			return nil
		}
		if err := c.complete(); err != nil {
			return err
		}
		if all := c.hearing(); len(all) > 0 && time.Since(all[len(all)-1].at) < unproved {
			return errors.New("too early")
		}
		return nil
	})
}

// The blows.

func (c *chaos) killBox() error {
	if err := c.box.Kill(); err != nil {
		return err
	}
	return c.box.Start()
}

func (c *chaos) restartServer() error {
	if err := c.server.Stop(); err != nil {
		return err
	}
	return c.server.Start()
}

func (c *chaos) cutConnection() error {
	lines := []*proxy{c.via}
	if c.door != nil {
		lines = append(lines, c.door)
	}
	for _, p := range lines {
		p.Cut()
	}
	time.Sleep(time.Duration(c.rand.Int64N(int64(time.Second))))
	for _, p := range lines {
		p.Mend()
	}
	return nil
}

// killClient lets messages pile up unread and then resets the connections.
func (c *chaos) killClient() error {
	c.client.Stall()
	time.Sleep(time.Duration(c.rand.Int64N(int64(blowWithin))))
	c.client.Kill()
	c.killed = time.Now()
	return nil
}

// judge counts gaps, repeats and swaps in both directions.
func (c *chaos) judge() {
	c.t.Helper()
	c.shake()
	c.settle()
	if eventually(patience, c.complete) != nil {
		c.forgive()
	}
	in := count(c.brought(), c.hearing(), func(first, _ heard) bool { return first.end.Sub(first.at) < unproved })

	var acked []int
	for n := range c.acked {
		acked = append(acked, n)
	}
	slices.Sort(acked)
	var out tally
	eventually(2*patience, func() error {
		var archive []heard
		for _, text := range c.bob.Archive(c.t) {
			if n, ok := number(text, "out"); ok {
				archive = append(archive, heard{n: n})
			}
		}
		out = count(acked, archive, func(first, _ heard) bool { return c.again != nil && c.again(c, first.n) })
		if len(out.lost) > 0 {
			return errors.New("not yet complete")
		}
		return nil
	})
	c.t.Logf("seed %d, %d rounds, %d with messages under way", c.seed, c.rounds, c.hit)
	if len(out.lost) > 0 {
		// What the server kept for the sender alone, or answered 200 to and keeps
		// nowhere, it has lost itself.
		_, own := c.bob.Kept(c.t)
		c.t.Logf("acknowledged and not in bob's archive: %v", out.lost)
		out.lost = slices.DeleteFunc(out.lost, func(n int) bool {
			word := fmt.Sprintf("out %d", n)
			return slices.Contains(own, word) || c.via.Took(`"`+word+`"`, http.StatusOK)
		})
	}
	if len(c.forgotten) > 0 {
		c.t.Logf("the server took and lost: %v", slices.Sorted(maps.Keys(c.forgotten)))
	}
	if v, ok := c.bob.(visitor); ok {
		v.sameNames(c.t)
	}
	c.t.Logf("to the client: %v", in)
	c.t.Logf("from the client: %v", out)
	for _, d := range []tally{in, out} {
		if len(d.lost)+len(d.swapped)+len(d.doubled) > 0 {
			c.t.Error("messages were lost, swapped or doubled")
		}
	}
}

// unwritten tells whether a message was handed on so shortly before a crash of the box
// that it need not be on disk that it was, and may go out again (DESIGN.md §3).
func (c *chaos) unwritten(n int) bool {
	return c.denied(n) || slices.ContainsFunc(c.blows, func(b blow) bool {
		since := b.at.Sub(c.posted[n])
		return since > -c.pace && since < unproved
	})
}

// denied tells whether Dendrite answered to a message with an internal error, and so
// must not have it; that it takes it up again much later, perhaps only after the next
// restart, and has forgotten the transaction id by which it would know that it came
// again, is nothing that a client can help.
func (c *chaos) denied(n int) bool {
	return c.server.Kind == "dendrite" && c.via.Took(fmt.Sprintf(`"out %d"`, n), http.StatusInternalServerError)
}

// tally is what became of one direction.
type tally struct {
	sent, arrived          int
	lost, doubled, swapped []int
	excused                int // repeats of what could not be known to have arrived
}

func (d tally) String() string {
	return fmt.Sprintf("%d sent, %d arrived, lost %d %v, doubled %d %v (and %d that may be), swapped %d %v",
		d.sent, d.arrived, len(d.lost), d.lost, len(d.doubled), d.doubled, d.excused, len(d.swapped), d.swapped)
}

// count compares what was sent, in the order in which the server took it, with
// what arrived, in order of arrival. (Dendrite takes up later what it answered
// to with an error while it was shut down.)
func count(sent []int, arrived []heard, excused func(first, again heard) bool) (d tally) {
	d.sent, d.arrived = len(sent), len(arrived)
	place := map[int]int{}
	for i, n := range sent {
		place[n] = i
	}
	first, highest := map[int]heard{}, -1
	for _, h := range arrived {
		f, again := first[h.n]
		at, acked := place[h.n]
		switch {
		case again && excused(f, h):
			d.excused++
		case again:
			d.doubled = append(d.doubled, h.n)
		case acked && at < highest:
			d.swapped = append(d.swapped, h.n)
		}
		first[h.n] = h
		if acked {
			highest = max(highest, at)
		}
	}
	for _, n := range sent {
		if _, ok := first[n]; !ok {
			d.lost = append(d.lost, n)
		}
	}
	return d
}

// TestCount shows that the judge sees what it should.
func TestCount(t *testing.T) {
	now := time.Now()
	at := func(ns ...int) (hs []heard) {
		for _, n := range ns {
			hs = append(hs, heard{n, now, now.Add(time.Hour)})
		}
		return hs
	}
	strict := func(first, _ heard) bool { return first.end.Sub(first.at) < unproved }
	for _, test := range []struct {
		name    string
		sent    []int
		arrived []heard
		want    string
	}{
		{"all well", []int{0, 1, 2}, at(0, 1, 2), "3 sent, 3 arrived, lost 0 [], doubled 0 [] (and 0 that may be), swapped 0 []"},
		{"unacknowledged too", []int{0, 2}, at(0, 1, 2), "2 sent, 3 arrived, lost 0 [], doubled 0 [] (and 0 that may be), swapped 0 []"},
		{"lost", []int{0, 1, 2}, at(0, 2), "3 sent, 2 arrived, lost 1 [1], doubled 0 [] (and 0 that may be), swapped 0 []"},
		{"taken late", []int{0, 2, 1}, at(0, 2, 1), "3 sent, 3 arrived, lost 0 [], doubled 0 [] (and 0 that may be), swapped 0 []"},
		{"late, unacknowledged", []int{0, 2}, at(0, 2, 1), "2 sent, 3 arrived, lost 0 [], doubled 0 [] (and 0 that may be), swapped 0 []"},
		{"early, unacknowledged", []int{0, 1}, at(0, 2, 1), "2 sent, 3 arrived, lost 0 [], doubled 0 [] (and 0 that may be), swapped 0 []"},
		{"doubled", []int{0, 1}, at(0, 1, 0), "2 sent, 3 arrived, lost 0 [], doubled 1 [0] (and 0 that may be), swapped 0 []"},
		{"swapped", []int{0, 1, 2}, at(0, 2, 1), "3 sent, 3 arrived, lost 0 [], doubled 0 [] (and 0 that may be), swapped 1 [1]"},
		{"unproved", []int{0}, append([]heard{{0, now, now.Add(time.Second)}}, at(0)...), "1 sent, 2 arrived, lost 0 [], doubled 0 [] (and 1 that may be), swapped 0 []"},
	} {
		if got := count(test.sent, test.arrived, strict).String(); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}
