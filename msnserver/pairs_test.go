package msnserver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

var updatePairs = flag.Bool("update-pairs", false, "write what receivers are told in testdata/pairs anew")

// way is how a client comes in: its version, and the transport.
type way struct {
	msnclient.Version
	name string
	dial func(b *box, t testing.TB) func(context.Context, string) (net.Conn, error)
}

// direct is the MSN port, polling the gateway on port 80.
func direct(b *box, t testing.TB) func(context.Context, string) (net.Conn, error) {
	return func(context.Context, string) (net.Conn, error) { return b.dial(t, false), nil }
}

func polling(b *box, t testing.TB) func(context.Context, string) (net.Conn, error) {
	g := &msnclient.Gateway{Host: "gateway.messenger.hotmail.com", Every: 200 * time.Millisecond,
		Connect: func(context.Context) (net.Conn, error) { return b.dial(t, true), nil }}
	return g.Dial
}

// ways are all that meet in TestPairs: every version, and some that poll (w).
func ways() (ws []way) {
	for _, v := range msnclient.Versions {
		ws = append(ws, way{v, strings.TrimPrefix(v.Name, "MSNP"), direct})
	}
	return append(ws, way{msnclient.MSNP8, "8w", polling}, way{msnclient.MSNP12, "12w", polling})
}

// picture is what senders show that have one.
const picture = `<msnobj Creator="x@example.com" Size="7" Type="3" Location="TFR2C.tmp" Friendly="AAA=" SHA1D="EauWsvSkKIGXsFwwiYnlVjjBQGE="/>`

// party is one client of the matrix.
type party struct {
	*msnclient.Client
	way
	handle, name string
	caps         uint32
}

// clientConfig is a client of this box that comes in through pipes.
func clientConfig(b *box, t testing.TB, v msnclient.Version, handle string) msnclient.Config {
	return msnclient.Config{
		Version: v, Addr: "192.0.2.1:1863", Handle: handle, Password: "123456", Answer: true, Timeout: 10 * time.Second,
		Dial: direct(b, t), Web: func(context.Context) (net.Conn, error) { return b.dial(t, true), nil },
	}
}

// join makes an account and signs it in.
func (w way) join(t testing.TB, b *box, role string) *party {
	t.Helper()
	p := &party{way: w, name: fmt.Sprintf("I %s%04s", role, w.name), caps: 0x10000020}
	p.handle = p.name[2:] + "@example.com"
	ctx := t.Context()
	if err := b.hub.CreateAccount(ctx, p.handle, p.name, "123456", true); err != nil {
		t.Fatal(err)
	}
	cfg := clientConfig(b, t, w.Version, p.handle)
	cfg.Dial, cfg.Polls = w.dial(b, t), w.name != strings.TrimPrefix(w.Name, "MSNP")
	var err error
	p.Client, err = msnclient.SignIn(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if _, err := p.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.show(ctx, "NLN"); err != nil {
		t.Fatal(err)
	}
	return p
}

// show is a state with all that the version can show beside it.
func (p *party) show(ctx context.Context, state string) error {
	return p.Show(ctx, state, p.caps, picture)
}

// pair is one cell of the matrix.
type pair struct {
	from, to *party
	at       int // the receiver's log before the step
	chat     *msnclient.Chat
}

// pairSteps are what happens in a cell, one after the other. can tells whether
// the sender's client is able to.
var pairSteps = []struct {
	name string
	can  func(msnclient.Version) bool
	run  func(context.Context, *pair) error
}{
	{"add", nil, func(ctx context.Context, p *pair) error {
		return errors.Join(p.from.Add(ctx, msnclient.AL, p.to.handle), p.from.Add(ctx, msnclient.FL, p.to.handle))
	}},
	{"accept", nil, func(ctx context.Context, p *pair) error {
		return errors.Join(p.to.Add(ctx, msnclient.AL, p.from.handle), p.to.Add(ctx, msnclient.FL, p.from.handle))
	}},
	{"presence", nil, func(ctx context.Context, p *pair) error {
		return errors.Join(p.from.show(ctx, "BSY"), p.from.show(ctx, "LUN"), p.from.show(ctx, "HDN"), p.from.show(ctx, "NLN"))
	}},
	{"block", nil, func(ctx context.Context, p *pair) error {
		return errors.Join(p.from.Remove(ctx, msnclient.AL, p.to.handle), p.from.Add(ctx, msnclient.BL, p.to.handle))
	}},
	{"unblock", nil, func(ctx context.Context, p *pair) error {
		return errors.Join(p.from.Remove(ctx, msnclient.BL, p.to.handle), p.from.Add(ctx, msnclient.AL, p.to.handle))
	}},
	{"name", nil, func(ctx context.Context, p *pair) error {
		return errors.Join(p.from.Rename(ctx, "Ünï 100%"), p.from.Rename(ctx, p.from.name))
	}},
	{"note", msnclient.Version.Note, func(ctx context.Context, p *pair) error {
		return errors.Join(p.from.SetNote(ctx, "at <home> & away", ""), p.from.SetNote(ctx, "", ""))
	}},
	{"chat", nil, func(ctx context.Context, p *pair) (err error) {
		if p.chat, err = p.from.Invite(ctx, p.to.handle); err != nil {
			return err
		}
		return p.heard(ctx, p.chat.SendRaw(ctx, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nX-MMS-IM-Format: FN=Arial; EF=; CO=0; CS=0; PF=22\r\nX-Odd: %20\r\n\r\nÜ and\r\n b "))
	}},
	{"bytes", nil, func(ctx context.Context, p *pair) error {
		return p.heard(ctx, p.chat.SendRaw(ctx, "Content-Type: text/plain\r\n\r\n\xe4\xf6\xfc \x93\x94\n"))
	}},
	{"typing", nil, func(ctx context.Context, p *pair) error { return p.heard(ctx, p.chat.Typing()) }},
	{"nudge", msnclient.Version.Nudges, func(ctx context.Context, p *pair) error { return p.heard(ctx, p.chat.Nudge(ctx)) }},
	{"leave", nil, func(ctx context.Context, p *pair) error {
		p.chat.Leave()
		_, err := p.to.Log.Wait(ctx, p.at, func(e msnclient.Event) bool { return e.Cmd == "BYE" })
		return err
	}},
	{"remove", nil, func(ctx context.Context, p *pair) error {
		return errors.Join(p.from.Remove(ctx, msnclient.FL, p.to.handle), p.from.Remove(ctx, msnclient.AL, p.to.handle))
	}},
	{"remove too", nil, func(ctx context.Context, p *pair) error {
		return errors.Join(p.to.Remove(ctx, msnclient.FL, p.from.handle), p.to.Remove(ctx, msnclient.AL, p.from.handle))
	}},
}

// heard waits until the receiver has a MSG that it had not before the step.
func (p *pair) heard(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	_, err = p.to.Log.Wait(ctx, p.at, func(e msnclient.Event) bool { return e.Cmd == "MSG" && e.Chat != nil })
	return err
}

// run takes the steps and returns the first that went wrong: something was
// refused, or the receiver was told something else than what golden has. With
// record, golden gets the steps that it does not have yet.
func (p *pair) run(ctx context.Context, golden map[string]string, record bool) (failed string, err error) {
	for _, s := range pairSteps {
		if s.can != nil && !s.can(p.from.Version) {
			continue
		}
		p.at = p.to.Log.Len()
		if err := errors.Join(s.run(ctx, p), p.from.Ping(ctx), p.to.Ping(ctx)); err != nil {
			return s.name, err
		}
		var got strings.Builder
		for _, e := range p.to.Log.Since(p.at) {
			if e.Cmd != "QNG" && e.Cmd != "URL" {
				fmt.Fprintln(&got, p.line(e))
			}
		}
		if want, ok := golden[s.name]; !ok && record {
			golden[s.name] = got.String()
		} else if got.String() != want {
			return s.name, fmt.Errorf("the receiver was told\n%swant\n%s", got.String(), want)
		}
	}
	return "", nil
}

// What differs from one run to the next, or from one sender to the next, has a
// name in the golden files.
var (
	guid   = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	number = regexp.MustCompile(`^[1-9][0-9]*$`)
)

// line is what the receiver was told, as golden writes it: every byte, but what
// only this run or this sender has.
func (p *pair) line(e msnclient.Event) string {
	f := strings.Split(e.Line, " ")
	switch e.Cmd {
	case "RNG":
		f[1], f[4] = "$SESSION", "$COOKIE"
	case "closed":
		f = append(f, e.Args...)
	default:
		if len(f) > 1 && number.MatchString(f[1]) {
			f[1] = "$TRID"
		}
	}
	if (e.Cmd == "ADD" || e.Cmd == "REM") && len(f) > 4 && number.MatchString(f[3]) {
		f[3] = "$VERSION"
	}
	switch {
	case e.Cmd == "ILN":
		f = p.shown(f, 5)
	case e.Cmd == "NLN":
		f = p.shown(f, 4)
	case e.Cmd == "IRO":
		f = p.capable(f, 6)
	}
	line := guid.ReplaceAllString(strings.Join(f, " "), "$$ID")
	line = strings.NewReplacer(p.from.handle, "$WHO", strings.ReplaceAll(p.from.name, " ", "%20"), "$NAME").Replace(line)
	if e.Body != nil {
		line += " | " + strings.Trim(strconv.QuoteToASCII(strings.NewReplacer(p.from.handle, "$WHO", p.from.name, "$NAME").Replace(string(e.Body))), `"`)
	}
	return line
}

// capable gives a name to the capabilities in field i when they are those of the
// sender: 0 where his version has none.
func (p *pair) capable(f []string, i int) []string {
	caps := "0"
	if p.from.Caps() {
		caps = strconv.FormatUint(uint64(p.from.caps), 10)
	}
	if len(f) > i && f[i] == caps {
		f[i] = "$CAPS"
	}
	return f
}

// shown is capable for presence, where a picture may follow. A sender without
// one shows none, but the versions from 10 to 13 are given an empty one
// (MSNP.md K.13).
func (p *pair) shown(f []string, i int) []string {
	f = p.capable(f, i)
	object := ""
	if p.from.Picture() {
		object = strings.ReplaceAll(url.QueryEscape(picture), "+", "%20")
	} else if p.to.Version != msnclient.MSNP9 {
		object = "%3Cmsnobj%2F%3E"
	}
	if p.to.Picture() && len(f) > i && strings.Join(f[i+1:], " ") == object {
		f = append(f[:i+1], "[$PICTURE]")
	}
	return f
}

// Golden files have a heading for each step.
func readPairs(file string) (map[string]string, error) {
	b, err := os.ReadFile(file)
	steps := map[string]string{}
	for part := range strings.SplitSeq(string(b), "# ") {
		if name, lines, ok := strings.Cut(part, "\n"); ok {
			steps[name] = lines
		}
	}
	return steps, err
}

func writePairs(file string, steps map[string]string) error {
	var b bytes.Buffer
	for _, s := range pairSteps {
		fmt.Fprintf(&b, "# %s\n%s", s.name, steps[s.name])
	}
	return os.WriteFile(file, b.Bytes(), 0o666)
}

// TestPairs lets every version meet every other, over every transport: one
// server, a sender and a receiver of each, and the steps above for each pair.
// What a receiver is told must be the same whoever does it, and is in
// testdata/pairs.
func TestPairs(t *testing.T) { synctest.Test(t, testPairs) }

func testPairs(t *testing.T) {
	b := newBox(t)
	var senders, receivers []*party
	for _, w := range ways() {
		senders = append(senders, w.join(t, b, "s"))
		receivers = append(receivers, w.join(t, b, "r"))
	}
	golden := map[string]map[string]string{}
	for _, v := range msnclient.Versions {
		steps, err := readPairs("testdata/pairs/" + strings.ToLower(v.Name) + ".txt")
		if err != nil && !*updatePairs {
			t.Fatal(err)
		}
		if *updatePairs {
			clear(steps)
		}
		golden[v.Name] = steps
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
	fmt.Fprint(w, "from \\ to")
	for _, to := range receivers {
		fmt.Fprintf(w, "\t%s", to.way.name)
	}
	for _, from := range senders {
		fmt.Fprintf(w, "\n%s", from.way.name)
		for _, to := range receivers {
			p := &pair{from: from, to: to}
			failed, err := p.run(t.Context(), golden[to.Version.Name], *updatePairs)
			if err != nil {
				t.Errorf("%s to %s, %s: %v", from.way.name, to.way.name, failed, err)
			}
			fmt.Fprintf(w, "\t%s", cmp.Or(failed, "ok"))
		}
	}
	fmt.Fprintln(w)
	w.Flush()
	t.Logf("which versions understand each other:\n%s", table.String())
	if *updatePairs {
		for v, steps := range golden {
			if err := writePairs("testdata/pairs/"+strings.ToLower(v)+".txt", steps); err != nil {
				t.Error(err)
			}
		}
	}
}
