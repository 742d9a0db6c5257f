package e2e

import (
	"bufio"
	"crypto/md5"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// recordedPassword is that of every account in the recordings.
const recordedPassword = "123456"

// TestRecordings plays what real clients sent, byte for byte with its packet
// borders, to the box. Every command must be taken, and every line that
// satisfied the client then must come, with the same arguments where they are
// not the server's own.
func TestRecordings(t *testing.T) {
	for _, r := range []struct {
		file     string
		accounts []string // JSON lines for `user import`
		md5      []string
		// Lines of the recorded server that ours need not send.
		optional []string
	}{
		{
			file: "amsn-0.49-msnp2.txt",
			accounts: []string{
				`{"handle":"u16@bench.test","password":"123456","name":"User16","contacts":["u17@bench.test"]}`,
				`{"handle":"u17@bench.test","password":"123456","name":"User17","contacts":["u16@bench.test"]}`,
				`{"handle":"u30@bench.test","password":"123456","name":"u30@bench.test"}`,
			},
			md5: []string{"u16@bench.test", "u17@bench.test"},
			// u16 was offline before and appears hidden: nothing changes for u17.
			optional: []string{"#1 FLN u16@bench.test"},
		},
		{
			file: "twisted-16.1-msnp8.txt",
			accounts: []string{
				`{"handle":"u0@bench.test","password":"123456","name":"User0","contacts":["u1@bench.test","u4@bench.test","u5@bench.test"]}`,
				`{"handle":"u1@bench.test","password":"123456","name":"User1","contacts":["u0@bench.test"]}`,
				`{"handle":"u4@bench.test","password":"123456","name":"u4@bench.test"}`,
				`{"handle":"u5@bench.test","password":"123456","name":"u5@bench.test"}`,
				`{"handle":"u6@bench.test","password":"123456","name":"u6@bench.test"}`,
			},
		},
	} {
		t.Run(r.file, func(t *testing.T) {
			end2end(t)
			b := newBox(t)
			list := filepath.Join(t.TempDir(), "accounts.json")
			check(t, os.WriteFile(list, []byte(strings.Join(r.accounts, "\n")+"\n"), 0o600))
			b.cli(t, "user", "import", list)
			for _, handle := range r.md5 {
				b.cli(t, "user", "set", handle, "md5", "on", "--password", recordedPassword)
			}
			p := &player{t: t, box: b, conns: map[int]*tape{}, now: map[string]string{}, optional: r.optional}
			p.play(filepath.Join("testdata", r.file))
		})
	}
}

// block is one piece of a recording: what one side sent at once.
type block struct {
	conn, port int
	client     bool
	size       int
	lines      []string
}

// player plays one recording.
type player struct {
	t        *testing.T
	box      *box
	conns    map[int]*tape
	now      map[string]string // what stands today for a word of the recording
	ticket   string
	optional []string
}

func (p *player) play(file string) {
	text, err := os.ReadFile(file)
	check(p.t, err)
	for _, b := range parseRecording(p.t, string(text)) {
		where := fmt.Sprintf("#%d", b.conn)
		switch {
		case strings.HasPrefix(b.lines[0], "(closed)"):
			if c := p.conns[b.conn]; b.client && c != nil {
				c.nc.Close()
			}
		case strings.HasPrefix(b.lines[0], "("):
			// (payload only), (HTTP answer …): asserted where they arise
		case b.client && b.port == 443:
			p.https(b)
		case b.client:
			p.send(b)
		default:
			for _, line := range b.lines {
				f := strings.Fields(line)
				if len(f) == 0 || len(f[0]) != 3 {
					continue
				}
				optional := slices.Contains(p.optional, where+" "+line)
				if optional {
					p.optional = slices.DeleteFunc(p.optional, func(s string) bool { return s == where+" "+line })
				}
				p.expect(b.conn, f, optional)
			}
		}
	}
	for n, c := range p.conns {
		c.nc.Close()
		if errs := c.errors(); len(errs) > 0 {
			p.t.Errorf("#%d: the box answered with errors: %q", n, errs)
		}
	}
}

func parseRecording(t *testing.T, text string) (blocks []block) {
	for line := range strings.SplitSeq(text, "\n") {
		if s, ok := strings.CutPrefix(line, "    "); ok {
			b := &blocks[len(blocks)-1]
			b.lines = append(b.lines, strings.ReplaceAll(s, `\x0d`, "\r"))
			continue
		}
		var b block
		var side string
		if n, _ := fmt.Sscanf(line, "#%d :%d %1s: %dB", &b.conn, &b.port, &side, &b.size); n == 4 {
			b.client = side == "C"
			blocks = append(blocks, b)
		}
	}
	for _, b := range blocks {
		if len(b.lines) == 0 {
			t.Fatalf("an empty block in the recording: %+v", b)
		}
	}
	return blocks
}

// bytes restores what was sent from its lines and its size.
func (b block) bytes() (string, error) {
	joined := strings.Join(b.lines, "\r\n")
	bare := strings.Replace(joined, "\r\n", "\n", 1)
	for _, s := range []string{joined, joined + "\r\n", joined + "\r\n\r\n", joined + "\n", bare} {
		if len(s) == b.size {
			return s, nil
		}
	}
	return "", fmt.Errorf("no line ends make %q %d bytes", joined, b.size)
}

// send plays one packet of a client on port 1863 or 1864.
func (p *player) send(b block) {
	p.t.Helper()
	c := p.conns[b.conn]
	if c == nil {
		addr := p.box.MSN
		if b.port != 1863 {
			addr = p.now[fmt.Sprintf("127.0.0.1:%d", b.port)]
		}
		nc, err := net.Dial("tcp", addr)
		check(p.t, err)
		c = newTape(nc)
		p.conns[b.conn] = c
		p.t.Cleanup(c.end)
	}
	s, err := b.bytes()
	check(p.t, err)
	for then, now := range p.now {
		s = strings.ReplaceAll(s, then, now)
	}
	f := strings.Fields(s)
	switch {
	case len(f) == 5 && f[0] == "USR" && f[2] == "MD5" && f[3] == "S":
		s = strings.Replace(s, f[4], fmt.Sprintf("%x", md5.Sum([]byte(c.challenge+recordedPassword))), 1)
	case len(f) == 5 && f[0] == "USR" && f[2] == "TWN" && f[3] == "S":
		s = strings.Replace(s, f[4], p.ticket, 1)
	}
	if _, err := io.WriteString(c.nc, s); err != nil {
		p.t.Fatalf("#%d: the box does not take %q: %v; it said %q", b.conn, s, err, c.all())
	}
}

// https plays one request of a client to the Passport services.
func (p *player) https(b block) {
	p.t.Helper()
	s, err := b.bytes()
	check(p.t, err)
	for then, now := range p.now {
		s = strings.ReplaceAll(s, then, now)
	}
	nc, err := tls.Dial("tcp", p.box.HTTPS, &tls.Config{InsecureSkipVerify: true})
	check(p.t, err)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(nc, s)
	check(p.t, err)
	// Twisted speaks HTTP 1.0: the end of the connection is the end of the answer.
	answer, err := io.ReadAll(nc)
	check(p.t, err)
	head, _, _ := strings.Cut(string(answer), "\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(answer))), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("answer to %q: %v %q", s, err, answer)
	}
	resp.Body.Close()
	switch {
	case strings.HasPrefix(s, "GET /rdr/pprdr.asp"):
		_, urls, ok := strings.Cut(head, "\r\nPassportURLs: ")
		_, login, ok2 := strings.Cut(urls, "DALogin=")
		login, _, ok3 := strings.Cut(login, ",")
		host, path, ok4 := strings.Cut(login, "/")
		if !ok || !ok2 || !ok3 || !ok4 || host == "" {
			p.t.Fatalf("the nexus answered %q", answer)
		}
		p.now["GET /login "], p.now["Host: login.live.com"] = "GET /"+path+" ", "Host: "+host
	default:
		_, info, ok := strings.Cut(head, "\r\nAuthentication-Info: ")
		_, ticket, ok2 := strings.Cut(info, "from-PP='")
		ticket, _, ok3 := strings.Cut(ticket, "'")
		if !ok || !ok2 || !ok3 || ticket == "" {
			p.t.Fatalf("the login server answered %q", answer)
		}
		p.ticket = ticket
	}
}

// strict lists, by command, the arguments that ours must have in common with
// the recorded server; the others are versions, counts, cookies and addresses.
var strict = map[string][]int{
	"VER": {1, 2}, "INF": {1, 2}, "CVR": {1}, "USR": {1, 2, 3}, "SYN": {1}, "CHG": {1, 2},
	"ILN": {1, 2, 3, 4}, "NLN": {1, 2, 3}, "FLN": {1}, "LSG": {1}, "ADD": {1, 2, 4},
	"XFR": {1, 2, 4}, "RNG": {3, 5, 6}, "CAL": {1, 2}, "ANS": {1, 2}, "IRO": {1, 2, 3, 4, 5},
	"JOI": {1, 2}, "BYE": {1}, "ACK": {1}, "MSG": {1, 2, 3},
}

// expect waits for a line like the recorded one and learns its words.
func (p *player) expect(conn int, then []string, optional bool) {
	p.t.Helper()
	same := strict[then[0]]
	switch {
	case then[0] == "MSG" && then[1] == "Hotmail":
		same = []int{1, 2}
	case then[0] == "GTC" || then[0] == "BLP":
		same = []int{len(then) - 1}
	case then[0] == "LST" && len(then) > 6: // MSNP2, an entry
		same = []int{1, 2, 6, 7}
	case then[0] == "LST" && len(then) == 6: // MSNP2, an empty list
		same = []int{1, 2}
	case then[0] == "LST":
		same = []int{1}
	case same == nil:
		p.t.Fatalf("the recording has the command %s, which the player does not know", then[0])
	}
	limit := patience
	if optional {
		limit = time.Second
	}
	now, ok := p.conns[conn].take(limit, func(f []string) bool {
		if len(f) < len(then) || f[0] != then[0] {
			return false
		}
		for _, i := range same {
			if f[i] != then[i] {
				return false
			}
		}
		return true
	})
	if !ok {
		if !optional {
			p.t.Fatalf("#%d: nothing like %q came; unmatched is %q", conn, strings.Join(then, " "), p.conns[conn].all())
		}
		return
	}
	learn := map[string][]int{"XFR": {3, 5}, "RNG": {1, 2, 4}, "CAL": {3}}[then[0]]
	if then[0] == "USR" && then[3] == "S" {
		p.conns[conn].challenge = now[4]
		if then[2] == "TWN" {
			learn = []int{4}
		}
	}
	for _, i := range learn {
		p.now[then[i]] = now[i]
	}
}

// tape is one connection of the player: the lines that the box sent and that
// were not yet asked for.
type tape struct {
	nc        net.Conn
	challenge string
	done      chan struct{}

	mu      sync.Mutex
	lines   [][]string
	refused []string
	changed chan struct{}
}

func newTape(nc net.Conn) *tape {
	c := &tape{nc: nc, done: make(chan struct{}), changed: make(chan struct{})}
	go c.read()
	return c
}

func (c *tape) end() {
	c.nc.Close()
	<-c.done
}

func (c *tape) read() {
	defer close(c.done)
	r := bufio.NewReader(c.nc)
	for {
		line, err := r.ReadString('\n')
		f := strings.Fields(line)
		if err != nil || len(f) == 0 {
			return
		}
		if f[0] == "MSG" {
			n, err := strconv.Atoi(f[len(f)-1])
			if err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
				return
			}
		}
		c.mu.Lock()
		c.lines = append(c.lines, f)
		if len(f[0]) == 3 && strings.Trim(f[0], "0123456789") == "" {
			c.refused = append(c.refused, strings.TrimSpace(line))
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
	}
}

// take waits for a line that matches and removes it.
func (c *tape) take(limit time.Duration, match func([]string) bool) ([]string, bool) {
	late := time.After(limit)
	for {
		c.mu.Lock()
		i, changed := slices.IndexFunc(c.lines, match), c.changed
		if i >= 0 {
			f := c.lines[i]
			c.lines = slices.Delete(c.lines, i, i+1)
			c.mu.Unlock()
			return f, true
		}
		c.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			return nil, false
		}
	}
}

func (c *tape) all() [][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

func (c *tape) errors() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.refused)
}

// TestRecordedBytes shows that the recordings are understood to the last byte.
func TestRecordedBytes(t *testing.T) {
	for _, file := range []string{"amsn-0.49-msnp2.txt", "twisted-16.1-msnp8.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		check(t, err)
		n := 0
		for _, b := range parseRecording(t, string(text)) {
			if !b.client || b.lines[0][:min(1, len(b.lines[0]))] == "(" {
				continue
			}
			n++
			if _, err := b.bytes(); err != nil {
				t.Errorf("%s: #%d: %v", file, b.conn, err)
			}
		}
		if n < 20 {
			t.Errorf("%s: only %d packets of the client", file, n)
		}
	}
}
