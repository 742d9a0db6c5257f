package msnserver

import (
	"bufio"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/cmd/nudge/e2e/msnclient"
	"nudge/msnserver/wire"
	"nudge/store"
)

// box is a whole server in this process: store, hub and MSN side.
type box struct {
	db    *store.DB
	hub   *bridge.Hub
	echo  *echo
	srv   *Server
	pages pipes
	down  sync.WaitGroup
	alarm *alarm
}

func newBox(t testing.TB) *box {
	t.Helper()
	h := slog.Handler(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	if _, fuzzing := t.(*testing.F); fuzzing {
		h = slog.DiscardHandler // nobody reads what a fuzzing process writes: it would stop
	}
	return newBoxWith(t, h, Config{})
}

// newBoxWith is newBox with a log of its own and what else c says.
func newBoxWith(t testing.TB, h slog.Handler, c Config) *box {
	t.Helper()
	bell := &alarm{Handler: h, bug: new(atomic.Pointer[string])}
	log := slog.New(bell)
	db, err := store.Open(t.TempDir(), store.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	net := &echo{}
	hub, err := bridge.New(bridge.Config{Store: db, Networks: map[string]im.Network{"echo": net}, Voice: voice, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	hub.Start()
	c.Hub, c.Log = hub, log
	b := &box{db: db, hub: hub, echo: net, srv: New(c), pages: make(pipes), alarm: bell}
	served := make(chan error, 1)
	go func() { served <- b.srv.serveFront(b.pages, false) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		b.down.Wait()
		if err := errors.Join(b.srv.Shutdown(ctx), hub.Close(ctx), db.Close()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != ErrClosed {
			t.Error(err)
		}
		b.alarm.check(t)
	})
	return b
}

// alarm is a log that notices what a connection would survive: a panic in a
// handler.
type alarm struct {
	slog.Handler
	bug *atomic.Pointer[string]
}

func (*alarm) Enabled(context.Context, slog.Level) bool { return true }

func (a *alarm) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(at slog.Attr) bool {
		if s := at.Value.String(); strings.Contains(s, "bug: ") {
			a.bug.Store(&s)
		}
		return true
	})
	if !a.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return a.Handler.Handle(ctx, r)
}

func (a *alarm) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &alarm{a.Handler.WithAttrs(attrs), a.bug}
}

func (a *alarm) check(t testing.TB) {
	t.Helper()
	if bug := a.bug.Swap(nil); bug != nil {
		t.Error(*bug)
	}
}

// dial connects a client to the MSN port, or to port 80.
func (b *box) dial(t testing.TB, web bool) net.Conn {
	client, server := net.Pipe()
	client.SetDeadline(time.Now().Add(30 * 24 * time.Hour)) // only a failing test gets there: time stands still while there is something to do
	t.Cleanup(func() { client.Close() })
	c := &local{server}
	if web {
		b.pages <- c
	} else {
		b.srv.mu.Lock()
		b.srv.work.Go(func() { b.srv.ServeConn(c) })
		b.srv.mu.Unlock()
	}
	return client
}

// local is a pipe's end with addresses as a socket has them.
type local struct{ net.Conn }

func (*local) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1).To16(), Port: 1863}
}
func (*local) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4242} }

// Close also stops the timer of a deadline, which a pipe leaves running.
func (c *local) Close() error {
	c.SetDeadline(time.Time{})
	return c.Conn.Close()
}

// pipes is a listener whose connections are sent to it.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error { close(p); return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestTranscripts plays every file in testdata. A line is one of
//
//	user HANDLE NAME PASSWORD [md5]   an account
//	friends HANDLE HANDLE             both on each other's list
//	contact HANDLE HANDLE             the second on the first's list
//	link HANDLE                       an account of its own on the network "echo"
//	setting KEY VALUE                 a setting of the box
//	away, back                        that network goes; it is there again
//	wait 31s                          nothing happens for so long
//	shutdown                          the server goes
//	A> TEXT    client A says TEXT; its first line connects it. H… is port 80,
//	           W… polls through the gateway
//	A>> TEXT   the same without a line end
//	A< TEXT    the next thing A is told
//	A<EOF      the server hangs up on A
//	A>EOF      A hangs up
//
// TEXT may have \r \n \x00; " | " starts a payload, whose length is filled in.
// In what is expected, * matches anything and ${name} one word, which is kept
// and put in for ${name} later; ${+name} keeps another. ${md5 PASSWORD} answers
// the kept ${challenge}.
func TestTranscripts(t *testing.T) { playAll(t, nil) }

// playAll plays every file but some, over the gateway if there is one.
func playAll(t *testing.T, over *msnclient.Gateway, but ...string) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		if slices.Contains(but, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				p := &player{t: t, box: newBox(t), over: over, clients: map[string]*client{}, kept: map[string]string{}}
				for i, line := range strings.Split(string(script), "\n") {
					p.at = fmt.Sprintf("%s:%d: %s", f, i+1, line)
					p.line(line)
				}
			})
		})
	}
}

type client struct {
	net.Conn
	r *bufio.Reader
}

type player struct {
	t       *testing.T
	box     *box
	over    *msnclient.Gateway // nil for plain connections
	at      string
	clients map[string]*client
	kept    map[string]string
}

var step = regexp.MustCompile(`^([A-Z]\w*)(>>|>EOF|<EOF|>|<) ?(.*)$`)

func (p *player) line(line string) {
	f := strings.Fields(line)
	if len(f) == 0 || strings.HasPrefix(line, "#") {
		return
	}
	m := step.FindStringSubmatch(line)
	if m == nil {
		p.set(f)
		return
	}
	c := p.client(m[1])
	text := m[3]
	switch m[2] {
	case ">", ">>":
		text = p.fill(unquote(text))
		if m[2] == ">" && !strings.HasPrefix(m[1], "H") {
			text = frame(text)
		}
		synctest.Wait() // an answer goes out before others are told
		if _, err := io.WriteString(c, text); err != nil {
			p.fail("sending: %v", err)
		}
	case ">EOF":
		if p.over != nil && m[1][0] != 'W' { // who polls has no other way to say so
			io.WriteString(c, "OUT\r\n")
			io.Copy(io.Discard, c)
		}
		c.Close()
	case "<EOF":
		c.SetReadDeadline(time.Now().Add(time.Hour))
		if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
			p.fail("instead of the end came %q, %v", b, err)
		}
	case "<":
		p.expect(c, text, strings.HasPrefix(m[1], "H"))
	}
}

func (p *player) fail(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s\n%s", p.at, fmt.Sprintf(format, args...))
}

func (p *player) client(name string) *client {
	c := p.clients[name]
	if c == nil {
		nc := p.dial(name[0])
		c = &client{nc, bufio.NewReaderSize(nc, wire.MaxLine)}
		p.clients[name] = c
	}
	return c
}

// dial connects a client whose name begins with kind.
func (p *player) dial(kind byte) net.Conn {
	g := msnclient.Gateway{}
	switch {
	case p.over != nil && kind != 'H':
		g = *p.over
	case kind != 'W':
		return p.box.dial(p.t, kind == 'H')
	}
	g.Host = "gateway.messenger.hotmail.com"
	g.Connect = func(context.Context) (net.Conn, error) { return p.box.dial(p.t, true), nil }
	nc, err := g.Dial(p.t.Context(), "192.0.2.1:1863")
	if err != nil {
		p.fail("%v", err)
	}
	p.t.Cleanup(func() { nc.Close() })
	return nc
}

// set runs a line that prepares the box.
func (p *player) set(f []string) {
	ctx, hub := p.t.Context(), p.box.hub
	var err error
	switch {
	case f[0] == "user" && len(f) >= 4:
		err = hub.CreateAccount(ctx, f[1], f[2], f[3], len(f) > 4)
	case f[0] == "friends" && len(f) == 3:
		err = errors.Join(hub.AddContact(ctx, f[1], f[2]), hub.AddContact(ctx, f[2], f[1]))
	case f[0] == "contact" && len(f) == 3:
		err = hub.AddContact(ctx, f[1], f[2])
	case f[0] == "link" && len(f) == 2:
		up := make(chan struct{}, 9)
		hub.Watch(watcher(up))
		err = hub.AddLink(ctx, f[1], "echo", nil)
		<-up
	case f[0] == "away":
		p.box.echo.leave()
		synctest.Wait()
	case f[0] == "back":
		up := make(chan struct{}, 9)
		hub.Watch(watcher(up))
		p.box.echo.away.Store(false)
		<-up
		synctest.Wait()
	case f[0] == "setting" && len(f) == 3:
		err = p.box.db.Update(ctx, func(tx *store.Tx) error { return tx.PutSetting(f[1], f[2]) })
	case f[0] == "wait" && len(f) == 2:
		d, e := time.ParseDuration(f[1])
		err = e
		time.Sleep(d)
		synctest.Wait()
	case f[0] == "shutdown":
		p.box.down.Go(func() { p.box.srv.Shutdown(ctx) })
	default:
		p.fail("what is this?")
	}
	if err != nil {
		p.fail("%v", err)
	}
}

// watcher hears when a link is up.
type watcher chan struct{}

func (w watcher) Deliver(ev im.Event, _ func(bool)) {
	if s, ok := ev.(im.LinkState); ok && s.State == im.Up {
		w <- struct{}{}
	}
}

var kept = regexp.MustCompile(`\$\{([^}]+)\}`)

// fill puts in what was kept.
func (p *player) fill(text string) string {
	return kept.ReplaceAllStringFunc(text, func(s string) string {
		name := s[2 : len(s)-1]
		if password, ok := strings.CutPrefix(name, "md5 "); ok {
			return fmt.Sprintf("%x", md5.Sum([]byte(p.kept["challenge"]+password)))
		}
		if p.kept[name] == "" {
			p.fail("%s is not known", s)
		}
		return p.kept[name]
	})
}

// expect compares what the client is told next.
func (p *player) expect(c *client, text string, web bool) {
	p.t.Helper()
	text = unquote(text)
	if p.over != nil {
		if strings.HasPrefix(text, "QNG") {
			return // nobody who polls is answered PNG
		}
		c.SetReadDeadline(time.Now().Add(time.Hour)) // polling, time does not stand still
	}
	var got string
	if web {
		b, err := io.ReadAll(c.r)
		if err != nil {
			p.fail("%v", err)
		}
		got = string(b)
	} else {
		cmd, err := wire.Read(c.r, wire.FromServer)
		if err != nil {
			p.fail("%v", err)
		}
		got = strings.TrimSuffix(wire.Line(cmd.Verb, cmd.Args...).String(), "\r\n")
		if cmd.Payload != nil {
			got += " | " + string(cmd.Payload)
		}
	}
	names, pattern := p.pattern(text)
	m := regexp.MustCompile(pattern).FindStringSubmatch(runes(got))
	if m == nil {
		p.fail("instead came\n%q", got)
	}
	for i, name := range names {
		p.kept[name] = m[i+1]
	}
}

// pattern makes a regular expression of what is expected.
func (p *player) pattern(text string) (names []string, pattern string) {
	for _, part := range regexp.MustCompile(`\$\{[^}]+\}|\*|[^*$]+|\$`).FindAllString(text, -1) {
		switch {
		case part == "*":
			pattern += `.*`
		case strings.HasPrefix(part, "${+"), strings.HasPrefix(part, "${") && p.kept[part[2:len(part)-1]] == "":
			names = append(names, strings.TrimLeft(part[:len(part)-1], "${+"))
			pattern += `(\S+)`
		default:
			pattern += regexp.QuoteMeta(runes(p.fill(part)))
		}
	}
	return names, `(?s)^` + pattern + `$`
}

// runes makes a character of each byte: payloads need not be UTF-8.
func runes(s string) string {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

// unquote undoes the escapes of a transcript.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	u, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		return s
	}
	return u
}

// frame ends a line, or counts its payload.
func frame(s string) string {
	line, payload, ok := strings.Cut(s, " | ")
	if !ok {
		return s + "\r\n"
	}
	return wire.Command{Verb: line, Payload: []byte(payload)}.String()
}

// voice is the contact that speaks for the box.
var voice = im.Addr{Net: "echo", ID: "nudge@echo.test"}

// echo is a network with everybody at echo.test on it, who repeat what is said.
// Ned says something about himself too when he is written to.
type echo struct {
	away atomic.Bool
	link atomic.Pointer[echoLink] // the newest
}

type echoLink struct {
	host im.Host
	end  chan struct{}
}

func (*echo) Fields() []im.Field   { return nil }
func (*echo) Settings() []im.Field { return nil }

func (n *echo) leave() {
	n.away.Store(true)
	n.link.Load().Close()
}

func (n *echo) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	if n.away.Load() {
		return nil, &im.Lost{Text: "gone fishing"}
	}
	k := &echoLink{l.Host, make(chan struct{})}
	n.link.Store(k)
	return k, l.Host.Accept(ctx, im.Batch{User: l.User, Events: []im.Event{im.LinkState{State: im.Up}}}, nil)
}

func (k *echoLink) Handle(ctx context.Context, user im.Addr, ev im.Event) error {
	var out []im.Event
	switch ev := ev.(type) {
	case im.Message:
		from := im.Addr{Net: "echo", ID: ev.Conv}
		out = append(out, im.Receipt{ID: ev.ID, Conv: ev.Conv, State: im.Sent},
			im.Message{ID: "echo-" + ev.ID, Conv: ev.Conv, From: from, At: time.Now(), Kind: ev.Kind, Text: ev.Text, Style: ev.Style})
		if ev.File != nil {
			out[1] = im.Message{ID: "echo-" + ev.ID, Conv: ev.Conv, From: from, At: time.Now(), Text: fmt.Sprintf("%d bytes of %q: %.3s", ev.File.Size, ev.File.Name, ev.File.Ref)}
		}
		if ev.Conv == "ned@echo.test" {
			out = append(out, im.PresenceChanged{Who: im.Person{Addr: from}, Now: im.Presence{Status: im.Busy, Note: "at <home> & well", Media: "The Artist – A Song"}})
		}
		if size, ok := strings.CutPrefix(ev.Text, "wear "); ok {
			out = append(out, im.PresenceChanged{Who: im.Person{Addr: from}, Now: im.Presence{Status: im.Online, Avatar: size}})
		}
	case im.ContactEdit:
		out = append(out, im.Receipt{ID: ev.ID, State: im.Sent})
	default:
		return im.ErrUnsupported
	}
	return k.host.Accept(ctx, im.Batch{User: user, Events: out}, nil)
}

func (k *echoLink) Find(_ context.Context, _ im.Addr, handle string) (im.Person, error) {
	if name, ok := strings.CutSuffix(handle, "@echo.test"); ok {
		return im.Person{Addr: im.Addr{Net: "echo", ID: handle}, Name: strings.ToUpper(name)}, nil
	}
	return im.Person{}, im.ErrNotFound
}

// Open opens a file of that many bytes.
func (k *echoLink) Open(_ context.Context, _ im.Addr, ref string) (io.ReadCloser, im.File, error) {
	n, err := strconv.Atoi(ref)
	if err != nil {
		return nil, im.File{}, im.ErrUnsupported
	}
	return io.NopCloser(strings.NewReader(strings.Repeat("x", n))), im.File{}, nil
}

// Upload takes every file that is not called "no".
func (k *echoLink) Upload(_ context.Context, _ im.Addr, _ string, f im.File, r io.Reader) (string, error) {
	if f.Name == "no" {
		return "", im.ErrUnsupported
	}
	if r == nil {
		return "", nil
	}
	b, err := io.ReadAll(r)
	return string(b), err
}
func (k *echoLink) Wait() error { <-k.end; return nil }
func (k *echoLink) Close() error {
	select {
	case <-k.end:
	default:
		close(k.end)
	}
	return nil
}
