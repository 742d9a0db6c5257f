package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

const carlHandle = "carl@other.test"

// TestBoxes makes two boxes one network: each is a component of the same server and
// knows of the other's. Their people find each other by the addresses that they have
// at home, and talk from one old client to another.
func TestBoxes(t *testing.T) {
	for _, c := range []struct {
		kind string
		a, b msnclient.Version
	}{
		{"prosody", msnclient.MSNP12, msnclient.MSNP12}, {"ejabberd", msnclient.MSNP12, msnclient.MSNP12},
		{"prosody", msnclient.MSNP8, msnclient.MSNP2}, {"ejabberd", msnclient.MSNP9, msnclient.MSNP8},
	} {
		t.Run(c.kind+"/"+c.a.Name+" and "+c.b.Name, func(t *testing.T) {
			end2end(t)
			s := ownServer(t, c.kind, true)
			x := newSide(t, s, "msn", "msn2", aliceHandle, c.a)
			y := newSide(t, s, "msn2", "msn", carlHandle, c.b)
			x.other, y.other = y, x
			for _, w := range []*side{x, y} {
				check(t, eventually(patience, w.box.upAgain))
			}
			for _, step := range []struct {
				name string
				run  func(*testing.T, *side, *side)
			}{
				{"found and accepted", stepFound}, {"chat", stepBothTalk}, {"exact status", stepExactStatus}, {"note", stepBoxNote},
				{"typing and nudge", stepLively}, {"offline message", stepBoxOffline}, {"killed", stepBoxKilled}, {"cut", stepBoxCut},
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
	via     *proxy // between the box and its server
}

// newSide makes a box that is the component name of the server and knows of another's.
func newSide(t *testing.T, s *server, name, other, handle string, v msnclient.Version) *side {
	t.Helper()
	x := &side{box: newBox(t), version: v, me: person{server: s, Handle: handle}, via: newProxy(t, loopback(s.settings.Component))}
	x.box.AddUser(t, handle, v)
	x.box.cli(t, "gateway", "add", "xmpp", "--jid", name+"."+s.Domain, "--server", x.via.Addr, "--secret", s.settings.Secret)
	x.box.cli(t, "gateway", "set", "xmpp", "boxes", other+"."+s.Domain)
	return x
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

// friend is how the client has the other side's account in its lists.
func (x *side) friend() string {
	if _, ok := x.lists.Contacts[x.other.me.alias()]; ok {
		return x.other.me.alias()
	}
	return x.other.me.Handle
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
	if ch := x.client.Chat(x.friend()); ch != nil {
		return ch
	}
	ch, err := x.client.Invite(t.Context(), x.friend())
	check(t, err)
	return ch
}

// stepFound adds carl by the address that he has at home. He is asked, and says yes.
func stepFound(t *testing.T, x, y *side) {
	ctx := waiting(t, 2*patience)
	y.again(t)
	from := y.client.Log.Len()
	check(t, eventually(patience, func() error {
		_, err := x.box.try("contact", "add", aliceHandle, carlHandle)
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
	if !slices.ContainsFunc([]string{carlHandle, y.me.alias()}, func(h string) bool { return x.lists.Contacts[h].On&msnclient.FL != 0 }) {
		t.Fatalf("carl is not on the list: %+v", x.lists)
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

// stepExactStatus shows states that XMPP has no word for.
func stepExactStatus(t *testing.T, x, y *side) {
	for _, state := range []string{"PHN", "LUN", "BRB", "BSY", "NLN"} {
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
	check(t, x.chat(t).Typing())
	_, err := y.client.Log.Wait(ctx, from, func(e msnclient.Event) bool { return is(e.Typing(), x.me) })
	check(t, err)
	if !x.version.Nudges() {
		return
	}
	check(t, x.chat(t).Nudge(ctx))
	_, err = y.client.Log.Wait(ctx, from, func(e msnclient.Event) bool { return e.Nudged() && is(e.From(), x.me) })
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

// upAgain is an error while the gateway of the box is not up.
func (b *box) upAgain() error {
	out, err := b.try("gateway", "list")
	if err == nil && !strings.Contains(out, "up") {
		err = fmt.Errorf("the gateway is not up:\n%s", out)
	}
	return err
}

// stepBoxCut cuts carl's box off its server for a minute while both talk: everything
// comes, once and in order.
func stepBoxCut(t *testing.T, x, y *side) {
	const cut, pause, before, after = time.Minute, 500 * time.Millisecond, 10, 10
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
	y.via.Cut()
	say(time.Now().Add(cut), 0)
	y.via.Mend()
	say(time.Time{}, after)
	for _, w := range []*side{x, y} {
		check(t, w.hears(waiting(t, 3*patience), from[w], fmt.Sprintf("number %03d.", n-1)))
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
