package dialect

import (
	"strings"
	"testing"
	"unicode/utf8"

	"nudge/bridge/im"
)

var notes = []struct {
	in   string
	want im.Presence
	ok   bool
}{
	{"<Data><PSM>hello</PSM><CurrentMedia></CurrentMedia></Data>", im.Presence{Note: "hello"}, true},
	{"<Data><PSM>a &lt;b&gt; &amp; &quot;c&quot; &#x26; &apos;d&apos;</PSM></Data>", im.Presence{Note: `a <b> & "c" & 'd'`}, true},
	{"<x><Data><y><PSM> at home </PSM></y></Data></x>", im.Presence{Note: "at home"}, true},
	{"<Data><PSM></PSM><CurrentMedia>" + song + "</CurrentMedia></Data>", im.Presence{Playing: song, Media: "The Artist – A Song"}, true},
	{`<Data><PSM/><CurrentMedia>Winamp\0Music\01\0{1} by {0}\0Artist\0\0</CurrentMedia></Data>`, im.Presence{Playing: `Winamp\0Music\01\0{1} by {0}\0Artist\0\0`, Media: "by Artist"}, true},
	{`<Data><CurrentMedia>\0Games\01\0Playing {0}\0Chess\0</CurrentMedia></Data>`, im.Presence{Playing: `\0Games\01\0Playing {0}\0Chess\0`, Media: "Playing Chess"}, true},
	{`<Data><CurrentMedia>\0Music\00\0{0} - {1}\0A\0B\0</CurrentMedia></Data>`, im.Presence{Playing: `\0Music\00\0{0} - {1}\0A\0B\0`}, true},
	{`<Data><CurrentMedia>no media</CurrentMedia></Data>`, im.Presence{Playing: `no media`}, true},
	{"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><Data><PSM>\xe9t\xe9</PSM></Data>", im.Presence{}, false},
	{"<Data><PSM>a&nbsp;b</PSM>", im.Presence{Note: "a&nbsp;b"}, true},
	{"", im.Presence{}, true},
	{"<Data><PSM>bell \x07</PSM></Data>", im.Presence{}, false},
	{"<Data", im.Presence{}, false},
}

func TestParseNote(t *testing.T) {
	for _, n := range notes {
		got, ok := ParseNote([]byte(n.in), im.Presence{})
		if ok != n.ok || got != n.want {
			t.Errorf("%q: %+v, %v, want %+v, %v", n.in, got, ok, n.want, n.ok)
		}
	}
	was := im.Presence{Status: im.Busy, Note: "before"}
	if got, ok := ParseNote([]byte("<"), was); ok || got != was {
		t.Errorf("no XML left %+v, %v", got, ok)
	}
	if got, _ := ParseNote([]byte("<PSM>"+strings.Repeat("é", 2000)+"</PSM>"), was); len(got.Note) > maxNote || len(got.Note) < maxNote-2 || got.Status != im.Busy {
		t.Errorf("a long note became %d bytes", len(got.Note))
	}
}

// FuzzParseNote: whatever a client says of itself, its watchers get XML that says
// the same.
func FuzzParseNote(f *testing.F) {
	for _, n := range notes {
		f.Add([]byte(n.in))
	}
	d := Named("MSNP12")
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := ParseNote(b, im.Presence{})
		if !ok {
			return
		}
		if !utf8.ValidString(p.Note+p.Media+p.Playing) || len(p.Note) > maxNote || len(p.Playing) > maxNote {
			t.Fatalf("%q read as %+v", b, p)
		}
		p.Status = im.Online
		c, _ := d.Note("", bob, p)
		again, ok := ParseNote(c.Payload, im.Presence{Status: im.Online})
		if p.Playing == "" {
			p.Media, again.Media, again.Playing = "", "", ""
		}
		if !ok || again != p {
			t.Fatalf("%+v was told as %q and reads as %+v", p, c, again)
		}
	})
}

func TestNameWithNote(t *testing.T) {
	old, now := Named("MSNP10"), Named("MSNP11")
	for _, c := range []struct {
		d    *Dialect
		p    im.Presence
		want string
	}{
		{old, im.Presence{Note: "at home"}, "Bob B - at home"},
		{old, im.Presence{Media: "The Artist – A Song"}, "Bob B - ♫ The Artist – A Song"},
		{old, im.Presence{}, "Bob B"},
		{now, im.Presence{Note: "at home"}, "Bob B"},
	} {
		if got := c.d.NameWithNote(bob, c.p).Name; got != c.want {
			t.Errorf("%s %+v: %q, want %q", c.d.Name, c.p, got, c.want)
		}
	}
	if got := old.NameWithNote(im.Person{Addr: bob.Addr}, im.Presence{Note: "x"}).Name; got != "bob@example.com - x" {
		t.Errorf("without a name: %q", got)
	}
}
