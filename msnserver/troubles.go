package msnserver

import (
	"cmp"
	"net"
	"net/netip"
	"sort"
	"strings"
	"sync"
	"time"

	"nudge/msnserver/passport"
)

// Trouble says why a PC could not sign in the last time it tried.
type Trouble struct {
	Peer        netip.Addr
	Handle      string // the account, "" when it did not come to that
	Why         passport.Trouble
	Times       int // in a row
	First, Last time.Time
}

const (
	troublesMost = 64               // PCs remembered; who was silent longest goes first
	followTime   = 20 * time.Second // who was told where to go and did not come by then is in trouble
	fallbackTime = time.Minute      // an old hello that soon after a TLS one is only a client's second try
)

// troubles is what shows of PCs that do not get signed in. It lives in memory
// only, and forgets a PC that signs in.
type troubles struct {
	mu  sync.Mutex
	all map[netip.Addr]*pc
}

// pc is one PC that is not signed in, or not yet. Times is 0 while it is in no
// trouble.
type pc struct {
	Trouble
	waits passport.Trouble // AskedServer or AskedLogin while nothing has followed, else SignedIn
	asked time.Time        // since when
	whose string           // the account that is to log in
	came  bool             // meanwhile, to another port
}

// Saw implements passport.Witness.
func (t *troubles) Saw(peer netip.Addr, handle string, why passport.Trouble) {
	handle = printable(handle)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if why == passport.SignedIn {
		delete(t.all, peer)
		return
	}
	p := t.all[peer]
	if p == nil {
		if t.all == nil {
			t.all = map[netip.Addr]*pc{}
		}
		t.makeRoom()
		p = &pc{Trouble: Trouble{Peer: peer}}
		t.all[peer] = p
	}
	p.giveUp(now)
	switch {
	case why == passport.AskedServer || why == passport.AskedLogin:
		if p.waits != why {
			p.waits, p.asked, p.whose, p.came = why, now, handle, false
		}
	case why == passport.OldHello && p.distrusts() && now.Sub(p.Last) < fallbackTime:
	default:
		p.waits = passport.SignedIn
		p.note(handle, why, now)
	}
}

// giveUp makes a trouble of what was waited for too long.
func (p *pc) giveUp(now time.Time) {
	if p.waits == passport.SignedIn || now.Sub(p.asked) < followTime {
		return
	}
	why := passport.No443
	switch {
	case p.waits == passport.AskedServer && p.came:
		why = passport.No1863
	case p.waits == passport.AskedServer:
		why = passport.NeverCame
	}
	p.waits = passport.SignedIn
	p.note(p.whose, why, p.asked)
}

// distrusts tells whether the PC's last trouble came after a good hello.
func (p *pc) distrusts() bool {
	return p.Why == passport.Untrusted || p.Why == passport.WrongClock || p.Why == passport.WeakHello
}

func (p *pc) note(handle string, why passport.Trouble, at time.Time) {
	if p.Why != why || p.Handle != handle {
		p.Why, p.Handle, p.Times, p.First = why, handle, 0, at
	}
	p.Times++
	p.Last = at
}

// printable is a handle as a PC wrote it, if it can be shown to a person and in
// a command for him to run; else "".
func printable(handle string) string {
	if len(handle) > 129 || strings.HasPrefix(handle, "-") ||
		strings.Trim(handle, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._-+=") != "" {
		return ""
	}
	return handle
}

// makeRoom forgets the PC of which nothing was seen for longest, when there are
// too many. t.mu is held.
func (t *troubles) makeRoom() {
	if len(t.all) < troublesMost {
		return
	}
	var oldest *pc
	for _, p := range t.all {
		if oldest == nil || p.seen().Before(oldest.seen()) {
			oldest = p
		}
	}
	delete(t.all, oldest.Peer)
}

func (p *pc) seen() time.Time {
	if p.waits != passport.SignedIn && p.asked.After(p.Last) {
		return p.asked
	}
	return p.Last
}

// cameTo notes that a PC has connected: to the port that is told to those who
// asked for it, or to another one.
func (t *troubles) cameTo(asked passport.Trouble, peer netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.all[peer]
	if p == nil {
		return
	}
	if p.waits == asked {
		p.waits = passport.SignedIn
	} else {
		p.came = true
	}
	switch {
	case asked == passport.AskedServer && (p.Why == passport.NeverCame || p.Why == passport.No1863),
		asked == passport.AskedLogin && p.Why == passport.No443:
		p.Trouble = Trouble{Peer: peer}
	case p.Why == passport.NeverCame:
		p.Why = passport.No1863
	}
	if p.Times == 0 && p.waits == passport.SignedIn {
		delete(t.all, peer)
	}
}

// noting is a listener that notes who comes: to the port that is told to those who
// asked for it.
type noting struct {
	net.Listener
	t     *troubles
	asked passport.Trouble
}

func (n *noting) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err == nil {
		n.t.cameTo(n.asked, passport.Peer(c.RemoteAddr()))
	}
	return c, err
}

// list are the PCs that are in trouble by now, the latest first.
func (t *troubles) list(now time.Time) []Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Trouble
	for _, p := range t.all {
		if p.giveUp(now); p.Times > 0 {
			all = append(all, p.Trouble)
		}
	}
	sort.Slice(all, func(i, j int) bool {
		return cmp.Or(all[j].Last.Compare(all[i].Last), all[i].Peer.Compare(all[j].Peer)) < 0
	})
	return all
}
