package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gosrc.io/xmpp/stanza"
)

const opening = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='" + stanza.NSStream + "'>"

// stanzas reads a stream to its end: what it holds, and why it ended.
func stanzas(text string, max int64) (out []string, err error) {
	d := newDecoder(strings.NewReader(opening+text), max, nil)
	if err := d.header(); err != nil {
		return nil, err
	}
	for {
		n, err := d.next()
		if err != nil {
			return out, err
		}
		out = append(out, fmt.Sprintf("%s %d %d %q", n.XMLName.Local, len(n.Attrs), len(n.Nodes), n.Content))
	}
}

// TestTooBig: of what is too big only the name is left, and what follows is whole.
func TestTooBig(t *testing.T) {
	const max = 1000
	long := strings.Repeat("x", 10*max)
	for name, big := range map[string]string{
		"text":        "<a from='b'><body>" + long + "</body><c/></a>",
		"own text":    "<a>" + long + "</a>",
		"characters":  "<a>" + strings.Repeat("ж😀", max) + "</a>",
		"entities":    "<a>" + strings.Repeat("&amp;&#x416;", max) + "</a>",
		"value":       "<a from=\"" + long + "\" to='c'><body>x</body></a>",
		"value cut":   "<a from='" + strings.Repeat("&lt;ж>/", max) + "' to='c'/>",
		"attributes":  "<a " + strings.Repeat("b='c>' ", max) + "/>",
		"own many":    "<a " + strings.Repeat("b='c>'\n", max) + "><b/></a>",
		"inner value": "<a><b c='" + long + "'/><d>e</d></a>",
		"children":    "<a>" + strings.Repeat("<b c='/>'/><d>e</d>", max) + "</a>",
		"deep":        "<a>" + strings.Repeat("<b>", max) + strings.Repeat("</b>", max) + "</a>",
		"one deeper":  "<a>" + strings.Repeat("<b>"+long[:max]+"<c d='e'>f</c></b>", 3) + "</a>",
		"cut at tag":  "<a>" + long[:max-3] + "<b/></a>",
		"cut at end":  "<a>" + long[:max-3] + "<b></b></a>",
	} {
		got, err := stanzas(" <m>one</m>"+big+"\n<m>two</m>"+big+"<m><b/>three</m></stream:stream>", max)
		want := []string{`m 0 0 "one"`, `a 0 0 ""`, `m 0 0 "two"`, `a 0 0 ""`, `m 0 1 "three"`}
		if err != errEnd || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, bad := range map[string]string{
		"between": strings.Repeat(" ", 2*max), "name": "<" + strings.Repeat("a", 3*maxWord) + "/>", "end": "<a></" + strings.Repeat("a", 3*maxWord) + ">",
		"CDATA": "<a><![CDATA[" + long + "]]></a>", "attribute": "<a " + strings.Repeat("a", 3*maxWord) + "='b'/>",
	} {
		if got, err := stanzas(bad+"<m/>", max); err != errTooBig {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := stanzas("<a><![CDATA[<b>]]></a><m/></stream:stream>", max); err != errEnd || len(got) != 2 || got[0] != `a 0 0 "<b>"` {
		t.Errorf("CDATA: %q, %v", got, err)
	}
}

// FuzzSieve: with less room the same stanzas come, or nothing but their names, and the
// stream ends in the same way. What the sieve refuses is no business of a stranger's.
func FuzzSieve(f *testing.F) {
	for _, s := range []string{
		"<message from='a'><body>x &amp; y</body></message><iq/></stream:stream>", "<a b=\"'>\"><c/>t<d>e</d></a> <f/>", "<a>&#1046;ж</a><b></b>", "<a", "<a><![CDATA[]]></a>", "<a></b>",
	} {
		f.Add(s, uint16(300))
	}
	f.Fuzz(func(t *testing.T, text string, room uint16) {
		max := int64(len(opening)) + int64(room%512)
		whole, end := stanzas(text, 1<<30)
		got, err := stanzas(text, max)
		if err == errTooBig || end == errTooBig {
			return
		}
		if end == errEnd && err != errEnd {
			t.Fatalf("%q with room for %d ends with %v", text, max, err)
		}
		if end == errEnd && len(got) != len(whole) {
			t.Fatalf("%q with room for %d: %q of %q", text, max, got, whole)
		}
		for i := range min(len(got), len(whole)) {
			name, _, _ := strings.Cut(whole[i], " ")
			if got[i] != whole[i] && got[i] != name+` 0 0 ""` {
				t.Fatalf("%q with room for %d: %q instead of %q", text, max, got[i], whole[i])
			}
		}
	})
}
