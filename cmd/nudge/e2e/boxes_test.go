package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

const carlHandle = "carl@other.test"

// TestBoxes makes two boxes one network: each is a component of the same server, or an
// application service of the same homeserver, and knows of the other's. Their people
// find each other by the addresses that they have at home, and talk from one old client
// to another.
func TestBoxes(t *testing.T) {
	for _, c := range []struct {
		kind string
		a, b msnclient.Version
	}{
		{"prosody", msnclient.MSNP12, msnclient.MSNP12}, {"ejabberd", msnclient.MSNP12, msnclient.MSNP12},
		{"dendrite", msnclient.MSNP12, msnclient.MSNP12},
		{"prosody", msnclient.MSNP8, msnclient.MSNP2}, {"ejabberd", msnclient.MSNP9, msnclient.MSNP8},
	} {
		t.Run(c.kind+"/"+c.a.Name+" and "+c.b.Name, func(t *testing.T) {
			end2end(t)
			s := ownServer(t, c.kind, true)
			x := newSide(t, s, "msn", "msn2", aliceHandle, c.a)
			y := newSide(t, s, "msn2", "msn", carlHandle, c.b)
			x.other, y.other = y, x
			if c.kind == "dendrite" { // now it hears of the boxes
				_, err := s.configure("dendrite.yaml")
				check(t, err)
				check(t, s.Stop())
				check(t, s.Start())
			}
			for _, w := range []*side{x, y} {
				check(t, eventually(2*patience, w.box.upAgain))
			}
			for _, step := range []struct {
				name string
				run  func(*testing.T, *side, *side)
			}{
				{"found and accepted", stepFound}, {"chat", stepBothTalk}, {"exact status", stepExactStatus}, {"note", stepBoxNote},
				{"typing and nudge", stepLively}, {"offline message", stepBoxOffline}, {"killed", stepBoxKilled}, {"cut", stepBoxCut},
				{"three", stepBoxThree},
			} {
				if !t.Run(step.name, func(t *testing.T) { step.run(t, x, y) }) {
					t.FailNow()
				}
			}
		})
	}
}

// side is one of two boxes with one account, and its client.
type side struct {
	box     *box
	version msnclient.Version
	me      person
	client  *msnclient.Client
	lists   msnclient.Lists
	other   *side
	lines   []*proxy // between the box and its server
}

// newSide makes a box that is the component name of the server, or the service whose
// users' names begin so, and knows of another's.
func newSide(t *testing.T, s *server, name, other, handle string, v msnclient.Version) *side {
	t.Helper()
	x := &side{box: newBox(t), version: v, me: person{server: s, Handle: handle}}
	x.box.AddUser(t, handle, v)
	if s.Kind == "dendrite" {
		x.serve(t, s, name, other)
		return x
	}
	x.lines = []*proxy{newProxy(t, loopback(s.settings.Component))}
	x.box.cli(t, "gateway", "add", "xmpp", "--jid", name+"."+s.Domain, "--server", x.lines[0].Addr, "--secret", s.settings.Secret)
	x.box.cli(t, "gateway", "set", "xmpp", "boxes", other+"."+s.Domain)
	return x
}

// serve makes the box an application service of the homeserver, which hears of it
// later (restart).
func (x *side) serve(t *testing.T, s *server, name, other string) {
	t.Helper()
	listen, file := loopback(freePort()), filepath.Join(s.Dir, name+".yaml")
	x.lines = []*proxy{newProxy(t, s.Addr()), newProxy(t, listen)}
	out, err := x.box.try("gateway", "add", "matrix", "--homeserver", "http://"+x.lines[0].Addr, "--domain", s.Domain, "--prefix", name+"_",
		"--listen", listen, "--url", "http://"+x.lines[1].Addr, "--registration", file, "--wait", "1s")
	if err == nil {
		t.Fatalf("a homeserver that does not know the box took it: %s", out)
	}
	x.box.cli(t, "gateway", "set", "matrix", "boxes", other+"_:"+s.Domain)
	s.settings.Registrations = append(s.settings.Registrations, file)
}

// again signs in anew.
func (x *side) again(t *testing.T) {
	t.Helper()
	if x.client != nil {
		x.client.Close()
	}
	c, err := msnclient.SignIn(t.Context(), x.box.config(x.version, x.me.Handle))
	check(t, err)
	x.client = c
	x.lists, err = c.Sync(t.Context())
	check(t, err)
	check(t, c.SetStatus(t.Context(), "NLN"))
}

// named is how the client has an account of another box in its lists.
func (x *side) named(o *side) string {
	if _, ok := x.lists.Contacts[o.me.alias()]; ok {
		return o.me.alias()
	}
	return o.me.Handle
}

func (x *side) sees(ctx context.Context, from int, state string) error {
	_, err := x.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		who, got, _ := e.Presence()
		return got == state && is(who, x.other.me)
	})
	if err != nil {
		err = fmt.Errorf("%s does not see %s as %s: %w", x.me.Handle, x.other.me.Handle, state, err)
	}
	return err
}

func (x *side) hears(ctx context.Context, from int, part string) error {
	_, err := x.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		text, ok := e.Text()
		return ok && is(e.From(), x.other.me) && strings.Contains(text, part)
	})
	if err != nil {
		err = fmt.Errorf("%s does not hear %q: %w", x.me.Handle, part, err)
	}
	return err
}

// chat is the conversation with the other side.
func (x *side) chat(t *testing.T) *msnclient.Chat {
	t.Helper()
	if ch := x.client.Chat(x.named(x.other)); ch != nil {
		return ch
	}
	ch, err := x.client.Invite(t.Context(), x.named(x.other))
	check(t, err)
	return ch
}

// stepFound adds the other by the address that he has at home. He is asked, and says
// yes.
func stepFound(t *testing.T, x, y *side) {
	ctx := waiting(t, 2*patience)
	y.again(t)
	from := y.client.Log.Len()
	check(t, eventually(patience, func() error {
		_, err := x.box.try("contact", "add", x.me.Handle, y.me.Handle)
		return err
	}))
	e, err := y.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		_, list, who, ok := e.Listed()
		return ok && list == msnclient.RL && is(who.Handle, x.me)
	})
	check(t, err)
	_, _, asker, _ := e.Listed()
	check(t, y.client.Add(ctx, msnclient.AL, asker.Handle))
	if err := y.client.Add(ctx, msnclient.FL, asker.Handle); err != nil && msnclient.Code(err) != "215" {
		t.Fatal(err)
	}
	x.again(t)
	if x.lists.Contacts[x.named(y)].On&msnclient.FL == 0 {
		t.Fatalf("%s is not on the list: %+v", y.me.Handle, x.lists)
	}
	y.again(t)
	check(t, x.sees(ctx, 0, "NLN"))
	check(t, y.sees(ctx, 0, "NLN"))
}

func stepBothTalk(t *testing.T, x, y *side) {
	for _, way := range [][2]*side{{x, y}, {y, x}} {
		ctx, from := waiting(t, patience), way[1].client.Log.Len()
		check(t, way[0].chat(t).Send(ctx, "hello <b>&amp; — from "+way[0].me.Handle))
		check(t, way[1].hears(ctx, from, "hello <b>&amp;"))
	}
}

// stepExactStatus shows states that the network has no word for. Dendrite is asked
// every ten seconds.
func stepExactStatus(t *testing.T, x, y *side) {
	states := []string{"PHN", "LUN", "BRB", "BSY", "IDL", "NLN"}
	if x.me.server.Kind == "dendrite" {
		states = []string{"PHN", "IDL", "NLN"}
	}
	for _, state := range states {
		ctx, from := waiting(t, patience), y.client.Log.Len()
		check(t, x.client.SetStatus(ctx, state))
		check(t, y.sees(ctx, from, state))
	}
}

func stepBoxNote(t *testing.T, x, y *side) {
	if !x.version.Note() || !y.version.Note() {
		return
	}
	ctx, from := waiting(t, patience), y.client.Log.Len()
	check(t, x.client.SetNote(ctx, "gone fishing", ""))
	_, err := y.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		who, note, _, ok := e.Note()
		return ok && is(who, x.me) && note == "gone fishing"
	})
	check(t, err)
}

func stepLively(t *testing.T, x, y *side) {
	ctx, from := waiting(t, patience), y.client.Log.Len()
	if x.me.server.Kind != "dendrite" { // which tells services nothing of it
		check(t, x.chat(t).Typing())
		_, err := y.client.Log.Wait(ctx, from, func(e msnclient.Event) bool { return is(e.Typing(), x.me) })
		check(t, err)
	}
	if !x.version.Nudges() {
		return
	}
	check(t, x.chat(t).Nudge(ctx))
	_, err := y.client.Log.Wait(ctx, from, func(e msnclient.Event) bool { return e.Nudged() && is(e.From(), x.me) })
	check(t, err)
}

// stepBoxOffline writes to carl while he is signed off.
func stepBoxOffline(t *testing.T, x, y *side) {
	ctx, from := waiting(t, patience), x.client.Log.Len()
	y.client.Close()
	_, err := x.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		who, state, _ := e.Presence()
		return is(who, y.me) && state != "NLN"
	})
	check(t, err)
	check(t, x.chat(t).Send(ctx, "read this tomorrow"))
	y.again(t)
	check(t, y.hears(ctx, 0, "read this tomorrow"))
	check(t, y.sees(ctx, 0, "NLN"))
}

// stepBoxKilled kills carl's box: afterwards both see each other again and talk.
func stepBoxKilled(t *testing.T, x, y *side) {
	ctx := waiting(t, 2*patience)
	check(t, y.box.Kill())
	check(t, y.box.Start())
	y.client = nil
	y.again(t)
	check(t, y.sees(ctx, 0, "NLN"))
	check(t, eventually(patience, y.box.upAgain))
	stepBothTalk(t, x, y)
}

// isUp finds a gateway that is up in the list of them.
var isUp = regexp.MustCompile(`(?m)^(xmpp|matrix)\s+\S+\s+up\b`)

// upAgain is an error while the gateway of the box is not up.
func (b *box) upAgain() error {
	out, err := b.try("gateway", "list")
	if err == nil && !isUp.MatchString(out) {
		err = fmt.Errorf("the gateway is not up:\n%s", out)
	}
	return err
}

// stepBoxCut cuts carl's box off its server while both talk, for as long as
// NUDGE_BOXES_CUT says: everything comes, once and in order.
func stepBoxCut(t *testing.T, x, y *side) {
	const pause, before, after = 500 * time.Millisecond, 10, 10
	cut := 10 * time.Second
	if s := os.Getenv("NUDGE_BOXES_CUT"); s != "" {
		d, err := time.ParseDuration(s)
		check(t, err)
		cut = d
	}
	n, from := 0, map[*side]int{x: x.client.Log.Len(), y: y.client.Log.Len()}
	say := func(end time.Time, least int) {
		for i := 0; i < least || time.Now().Before(end); i++ {
			for _, w := range []*side{x, y} {
				_, err := w.chat(t).Post(fmt.Sprintf("number %03d.", n), msnclient.Acknowledged)
				check(t, err)
			}
			n++
			time.Sleep(pause)
		}
	}
	say(time.Time{}, before)
	for _, l := range y.lines {
		l.Cut()
	}
	say(time.Now().Add(cut), 0)
	for _, l := range y.lines {
		l.Mend()
	}
	say(time.Time{}, after)
	for _, w := range []*side{x, y} {
		check(t, w.hears(waiting(t, 3*patience+2*cut), from[w], fmt.Sprintf("number %03d.", n-1)))
		var got, want []string
		for _, e := range w.client.Log.Since(from[w]) {
			if text, ok := e.Text(); ok && is(e.From(), w.other.me) && strings.Contains(text, "number ") {
				_, text, _ = strings.Cut(text, "number ")
				got = append(got, text)
			}
		}
		for i := range n {
			want = append(want, fmt.Sprintf("%03d.", i))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s heard %q", w.me.Handle, got)
		}
	}
}

// stepBoxThree has alice ask two people of the other box into one conversation. Each
// hears both others, in order; what alice's box repeats comes with the name.
func stepBoxThree(t *testing.T, x, y *side) {
	const each = 5
	ctx := waiting(t, 3*patience)
	z := &side{box: y.box, version: y.version, me: person{server: y.me.server, Handle: "dora@other.test"}, other: x}
	z.box.AddUser(t, z.me.Handle, z.version)
	stepFound(t, x, z)
	defer z.client.Close()
	all := map[string]*side{"alice": x, "carl": y, "dora": z}
	from := map[*side]int{}
	for _, w := range all {
		from[w] = w.client.Log.Len()
	}
	ch, err := x.client.Invite(ctx, x.named(y))
	check(t, err)
	check(t, ch.Call(ctx, x.named(z)))
	chats := map[string]*msnclient.Chat{"alice": ch}
	for i := range each {
		for _, who := range []string{"alice", "carl", "dora"} {
			if chats[who] == nil { // she has been heard, so the window is open
				for _, w := range []*side{y, z} {
					check(t, w.hears(ctx, from[w], "this is alice 0"))
				}
				chats[who] = all[who].chat(t)
			}
			_, err := chats[who].Post(fmt.Sprintf("this is %s %d", who, i), msnclient.Acknowledged)
			check(t, err)
		}
	}
	for name, w := range all {
		for who, by := range all {
			if by == w {
				continue
			}
			speaker := by.me
			if name != "alice" {
				speaker = x.me // her box speaks for the other
			}
			last := fmt.Sprintf("this is %s %d", who, each-1)
			_, err := w.client.Log.Wait(ctx, from[w], func(e msnclient.Event) bool {
				text, ok := e.Text()
				return ok && is(e.From(), speaker) && strings.HasSuffix(text, last)
			})
			check(t, err)
			var got, want []string
			for _, e := range w.client.Log.Since(from[w]) {
				text, ok := e.Text()
				before, said, is := strings.Cut(text, "this is "+who+" ")
				if !ok || !is {
					continue
				}
				if named := strings.Contains(strings.ToLower(before), who); named != (speaker.Handle != by.me.Handle) {
					t.Errorf("%s hears %q", name, text)
				}
				got = append(got, said)
			}
			for i := range each {
				want = append(want, fmt.Sprint(i))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s hears of %s %q", name, who, got)
			}
		}
	}
}
