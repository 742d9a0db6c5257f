package im

import (
	"encoding/xml"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile are texts that have broken somebody's stream.
var hostile = []string{
	"", "plain", "two\nlines\tand a tab", "a\r\nb\rc\nd", "nul\x00 bell\x07 esc\x1b[31m del\x7f", "c1\u0085\u009b",
	"\xff\xfe", "cut \xe2\x82", "overlong \xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "surrogate \xed\xa0\x80", "too high \xf4\x90\x80\x80",
	"\ufffe\uffff \U0001fffe", "kept \ufffd", "\u202egnp.exe", "\u2066\u2067\u2069\u200f", "line\u2028end\u2029", "]]><x/>&amp;", strings.Repeat("e\u0301", 99),
	"%0d%0a%00", "zwj 👨‍👩‍👧",
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nb\rc\nd\te": "a\nb\nc\nd\te", "nul\x00bell\x07del\x7fnel\u0085": "nulbelldelnel", "\xff": "\ufffd", "\ufffe\uffffx": "x",
		"\xc0\xaf": "\ufffd", "\xed\xa0\x80.": "\ufffd.", "kept \ufffd": "kept \ufffd", "\u202ename": "\u202ename", "👨‍👩‍👧": "👨‍👩‍👧",
	} {
		if got := Plain(in); got != want {
			t.Errorf("Plain(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		" a\r\nb\tc\x00 ": "a b c", "\u202egnp.exe\u2066": "gnp.exe", "a\u2028b": "a b", "שלום": "שלום", "\n": "",
	} {
		if got := OneLine(in); got != want {
			t.Errorf("OneLine(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, l := Plain(s), OneLine(s)
		if !utf8.ValidString(p) || strings.ContainsAny(p, "\r\x00\x0b\x7f\ufffe\uffff") || strings.ContainsAny(l, "\r\n\t\u202e\u2066") {
			t.Fatalf("%q became %q and %q", s, p, l)
		}
		if Plain(p) != p || OneLine(l) != l {
			t.Fatalf("%q became %q and %q, which is not the end of it", s, p, l)
		}
		var back string
		b, err := xml.Marshal(p)
		if err == nil {
			err = xml.Unmarshal(b, &back)
		}
		if err != nil || back != p {
			t.Fatalf("%q goes through XML as %q, %v", p, back, err)
		}
	})
}
