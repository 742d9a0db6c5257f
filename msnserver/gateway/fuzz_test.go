package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzSession lets a client and a server do anything in any order, with
// connections that break before an answer was read: in the end each has got
// exactly what the other has said.
func FuzzSession(f *testing.F) {
	for _, s := range []string{"", "cspl", "scpbscpb", "sdcsdc", "ssoosco", "lslslt", "kckpskb", "sbbbp", "cdcdcd", "nsnpnsbn", "lttttttts", "hsphsp", "dsbh", "sksksk", "wwdwsbp"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		synced(t, Config{}, func(t *testing.T, r *rig) {
			p := &play{t: t, r: r, w: r.connect()}
			p.open()
			for _, op := range ops[:min(len(ops), 60)] {
				p.do(op)
			}
			p.check()
		})
	})
}

// play is the client and the server of FuzzSession.
type play struct {
	t  *testing.T
	r  *rig
	w  *web
	nc net.Conn

	id        string          // the newest the client has got
	said, got strings.Builder // by the client
	wrote     strings.Builder // by the server
	mu        sync.Mutex
	read      bytes.Buffer // by the server
	n         int          // counts what both say
	much      int          // counts what is long
	broke     bool         // a connection has ended
}

func (p *play) open() {
	nc, first := p.r.open(p.w, "")
	p.nc, p.id = nc, first.id
	go func() {
		buf := make([]byte, 100)
		for {
			n, err := nc.Read(buf)
			p.mu.Lock()
			p.read.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
}

func (p *play) took(g got) {
	if g.status != 200 || g.closed {
		p.t.Fatalf("%+v", g)
	}
	if g.number() >= (got{id: p.id}).number() { // an empty answer has the number that was shown
		p.id = g.id
	}
	p.got.WriteString(g.data)
}

func (p *play) poll() string { return "Action=poll&SessionID=" + p.id }

func (p *play) command() string {
	p.n++
	c := fmt.Sprintf("c%d;", p.n)
	p.said.WriteString(c)
	return c
}

func (p *play) do(op byte) {
	p.broke = p.broke || strings.IndexByte("bdhk", op) >= 0
	switch op {
	case 'c': // says something
		p.took(p.w.ask("SessionID="+p.id, p.command()))
	case 'p': // polls
		p.took(p.w.ask(p.poll(), ""))
	case 'l': // polls, and the server holds it
		p.took(p.w.ask(p.poll()+"&Lifespan=5", ""))
	case 's', 'w': // the server says something, perhaps much
		p.n++
		text := fmt.Sprintf("s%d;", p.n)
		if op == 'w' && p.much < 8 { // more would wait until the client takes some
			p.much++
			text = strings.Repeat(text, maxAnswer/len(text)/3)
		}
		p.wrote.WriteString(text)
		say(p.t, p.nc, text)
	case 'b': // polls, and the connection breaks
		p.w.post(p.poll(), "")
		p.w.Close()
		p.w = p.r.connect()
	case 'd': // says something, the connection breaks, and it says it again
		c := p.command()
		p.w.post("SessionID="+p.id, c)
		p.w.Close()
		p.w = p.r.connect()
		p.took(p.w.ask("SessionID="+p.id, c))
	case 'h': // a held poll is given up for a new one
		p.w.post(p.poll()+"&Lifespan=5", "")
		synctest.Wait()
		p.w.Close()
		p.w = p.r.connect()
	case 'k': // closes its connection in peace
		p.w.Close()
		p.w = p.r.connect()
	case 'o': // polls twice at once
		other := p.r.connect()
		p.w.post(p.poll(), "")
		other.post(p.poll(), "")
		second := make(chan got)
		go func() { second <- other.answer() }()
		a, b := p.w.answer(), <-second
		if a.number() > b.number() { // the second was first
			a, b = b, a
		}
		p.took(a)
		p.took(b)
		other.Close()
	case 'n': // shows an old number, or none; who also changes connections can't be told from one who has lost answers
		id, number, _ := strings.Cut(p.id, ".")
		if !p.broke {
			number = fmt.Sprint(p.n % 2)
		}
		p.took(p.w.ask("Action=poll&SessionID="+id+"."+number, ""))
	case 't':
		time.Sleep(time.Second)
	}
}

// number is the answer's, by which a client can put two in order.
func (g got) number() int {
	_, number, _ := strings.Cut(g.id, ".")
	n, _ := strconv.Atoi(number)
	return n
}

// pollTime is how often official clients poll (MSNP.md E).
const pollTime = 2 * time.Second

// check fetches what is left and compares.
func (p *play) check() {
	for range 20 {
		time.Sleep(pollTime) // else requests that were given up overtake these all the time
		p.took(p.w.ask(p.poll(), ""))
	}
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if got, want := p.got.String(), p.wrote.String(); got != want {
		p.t.Errorf("the client got %.200q of %.200q (%d of %d)", got, want, len(got), len(want))
	}
	if got, want := p.read.String(), p.said.String(); got != want {
		p.t.Errorf("the server got %.200q of %.200q", got, want)
	}
	p.nc.Close()
	if n, err := p.nc.Read(make([]byte, 1)); n > 0 || err == io.EOF {
		p.t.Error("closed, and not over")
	}
}
