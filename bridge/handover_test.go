package bridge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"nudge/bridge/im"
)

// tray is a Room in memory.
type tray struct {
	bytes.Buffer
	full   bool
	closed *int
}

func (r *tray) Write(b []byte) (int, error) {
	if r.full {
		return 0, &im.Refused{Text: "The disk is full."}
	}
	return r.Buffer.Write(b)
}
func (r *tray) All() (io.Reader, string) { return bytes.NewReader(r.Bytes()), "text/plain" }
func (r *tray) Close() error             { *r.closed++; return nil }

// giver is a client that gives files to bob on the network.
type giver struct {
	*box
	*Seat
	k      *sink
	room   *tray
	closed int
	came   []string // what the Handover said: "ready", "taken" or "not taken"
	got    string   // what the network got
}

func newGiver(t *testing.T, b *box) *giver {
	g := &giver{box: b}
	g.room = &tray{closed: &g.closed}
	b.TakeFiles(func(size int64) (Room, error) {
		if size > 1000 {
			return nil, &im.Refused{Text: "Too large for the box."}
		}
		return g.room, nil
	})
	g.Seat, g.k = guestSeat(t, b)
	b.wire.set(func(w *wire) {
		w.upload = func(_ context.Context, f im.File, r io.Reader) (string, error) {
			if r == nil {
				return "", nil
			}
			text, err := io.ReadAll(r)
			g.got = string(text)
			return "ref-" + f.Name + "-" + f.Type, err
		}
	})
	return g
}

func (g *giver) give(name string, size int64) *Handover {
	o := g.HandOver("BOB@wire.test", im.File{Name: name, Size: size}, func(*Handover) { g.came = append(g.came, "ready") }, func(_ *Handover, taken bool) {
		g.came = append(g.came, map[bool]string{true: "taken", false: "not taken"}[taken])
	})
	rest()
	return o
}

func (g *giver) says(what string, got, want any) {
	g.box.t.Helper()
	switch w := want.(type) {
	case []string:
		if !slices.Equal(got.([]string), w) {
			g.box.t.Errorf("%s: %q, want %q", what, got, want)
		}
	default:
		if got != want {
			g.box.t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
}

// TestHandOver: a file goes out when all of it came, and its sender learns that it
// did when the network has the message with it. What he says meanwhile does not wait.
func TestHandOver(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		g := newGiver(t, b)
		o := g.give(`C:\My Documents\a.txt`, 9)
		g.says("at first", g.came, []string{"ready"})
		for _, part := range []string{"1234", "5678"} {
			if n, err := o.Write([]byte(part)); n != 4 || err != nil {
				t.Fatal(n, err)
			}
		}
		g.Send(says("1", "", "behind it"), func(err error) { g.came = append(g.came, "words") })
		rest()
		if _, err := o.Write([]byte("90")); err == nil {
			t.Error("more is taken than was promised")
		}
		g.says("not whole", o.Whole(), false)
		b.wire.set(func(w *wire) { w.mute = true })
		o.Write([]byte("9"))
		rest()
		g.says("given", g.got, "123456789")
		g.says("before the network has it", g.came, []string{"ready", "words"})
		out := of[im.Message](b.wire.sent())
		if len(out) != 2 || out[1].File == nil || *out[1].File != (im.File{Ref: "ref-a.txt-text/plain", Name: "a.txt", Type: "text/plain", Size: 9}) || out[1].Conv != "bob@wire.test" {
			t.Fatalf("%+v", out)
		}
		b.in(im.Receipt{ID: out[1].ID, State: im.Sent})
		rest()
		g.says("in the end", g.came, []string{"ready", "words", "taken"})
		g.says("rooms closed", g.closed, 1)
		if text := g.k.texts(); len(text) != 0 {
			t.Errorf("the client is told %q", text)
		}
	})
}

// TestHandOverLate: the network refuses the message after it has the bytes; who
// left meanwhile is told when he is back.
func TestHandOverLate(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		g := newGiver(t, b)
		o := g.give("a.txt", 1)
		b.wire.set(func(w *wire) { w.err = &im.Refused{Text: "no"} })
		o.Write([]byte("x"))
		g.Leave(false)
		rest()
		g.says("in the end", g.came, []string{"ready", "not taken"})
		if waits := b.accounts["alice@hotmail.com"].thread(im.Addr{Net: "wire", ID: "bob@wire.test"}).parcels; len(waits) != 1 || waits[0].msg.Text != "Not delivered (no): the file a.txt" {
			t.Errorf("%+v waits", waits)
		}
	})
}

// TestHandOverInVain: why a file does not go is said in the conversation, and
// nothing of it is kept.
func TestHandOverInVain(t *testing.T) {
	refuse := func(err error) func(*giver) {
		return func(g *giver) {
			g.wire.set(func(w *wire) {
				w.upload = func(context.Context, im.File, io.Reader) (string, error) { return "", err }
			})
		}
	}
	write := func(g *giver, o *Handover) { o.Write([]byte("xxxx")) }
	for name, c := range map[string]struct {
		before func(*giver)
		size   int64
		then   func(*giver, *Handover)
		came   string
		text   string
	}{
		"no way":        {refuse(im.ErrUnsupported), 4, nil, "not taken", "Not delivered: the file a.txt can't go to bob@wire.test from here. You can cancel it."},
		"not wanted":    {refuse(&im.Refused{Text: "Too large for the network."}), 4, nil, "not taken", "Not delivered: the file a.txt. Reason: Too large for the network."},
		"too large":     {nil, 1001, nil, "not taken", "Not delivered: the file a.txt. Reason: Too large for the box."},
		"empty":         {nil, 0, nil, "not taken", "Not delivered: the file a.txt. Reason: it is empty."},
		"away":          {func(g *giver) { g.wire.set(func(w *wire) { w.down = true }); g.wire.link().Close(); rest() }, 4, nil, "not taken", "can't be reached now. Send the file again"},
		"full":          {func(g *giver) { g.room.full = true }, 4, write, "ready not taken", "Reason: The disk is full."},
		"broken":        {nil, 4, func(g *giver, o *Handover) { refuse(errors.New("reset"))(g); write(g, o) }, "ready not taken", "can't be reached now. Send the file again"},
		"given up":      {nil, 4, func(g *giver, o *Handover) { o.GiveUp() }, "ready not taken", ""},
		"never sent":    {nil, 4, func(*giver, *Handover) { time.Sleep(2 * handoverTime) }, "ready not taken", "longer than an hour"},
		"a box stopped": {nil, 4, func(g *giver, o *Handover) { g.Hub.cancel() }, "ready not taken", "was stopped meanwhile"},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(t *testing.T, b *box) {
				g := newGiver(t, b)
				if c.before != nil {
					c.before(g)
				}
				g.k.take()
				o := g.give("a.txt", c.size)
				if c.then != nil {
					c.then(g, o)
					rest()
				}
				g.says("came", strings.Join(g.came, " "), c.came)
				if text := strings.Join(g.k.texts(), "|"); !strings.Contains(text, c.text) || c.text == "" && text != "" {
					t.Errorf("the client is told %q, want %q", text, c.text)
				}
				if _, err := o.Write([]byte("x")); err == nil {
					t.Error("it is written to in the end")
				}
				if ready := strings.HasPrefix(c.came, "ready"); ready != (g.closed == 1) {
					t.Errorf("the room was closed %d times", g.closed)
				}
			})
		})
	}
}

// TestHandOverTo: who has no client of his own that could take it, and is on a network
// that somebody linked, can be given files.
func TestHandOverTo(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		g := newGiver(t, b)
		none := func(*Handover) { t.Error("it is wanted") }
		if o := g.HandOver("carol@wire.test", im.File{Name: "a", Size: 1}, none, nil); o != nil {
			t.Error("somebody who is not here is given a file")
		}
		b.TakeFiles(nil)
		if o := g.give("a", 1); o != nil {
			t.Error("a box without room takes it")
		}
		if got := g.k.texts(); !slices.Equal(got, []string{"Not delivered: the file a can't go to bob@wire.test from here. You can cancel it."}) {
			t.Errorf("%q", got)
		}
		g.Leave(false)
		if o := g.give("a", 1); o != nil {
			t.Error("who left gives files")
		}
	})
}

func TestPlainName(t *testing.T) {
	for path, want := range map[string]string{
		`C:\a\b.txt`: "b.txt", "/tmp/x": "x", "a.b": "a.b", "": "file", `C:\`: "file", "..": "file", "../..": "file", "a\r\nb": "a b", "C:x": "x",
	} {
		if got := plainName(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}
