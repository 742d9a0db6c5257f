package codepage

import (
	"bytes"
	"compress/flate"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

var update = flag.Bool("update", false, "write the tables anew")

// expected is what golang.org/x/text reads.
func expected(t testing.TB, b []byte, name string) string {
	t.Helper()
	enc, err := htmlindex.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// one is the only character of what golang.org/x/text reads, U+FFFD when there are
// none or several.
func one(t testing.TB, name string, b ...byte) rune {
	text := expected(t, b, name)
	if r, size := utf8.DecodeRuneInString(text); size == len(text) {
		return r
	}
	if i := slices.Index([]string{"Ê\u0304", "Ê\u030c", "ê\u0304", "ê\u030c"}, text); i >= 0 {
		return '\ue000' + rune(i)
	}
	return utf8.RuneError
}

// tables makes the tables of what golang.org/x/text reads.
func tables(t testing.TB) map[string][]rune {
	all := map[string][]rune{}
	for l := range strings.Lines(labels) {
		if name := strings.Fields(l)[0]; name == "utf-8" {
			break
		} else {
			for c := 0x80; c <= 0xff; c++ {
				all["single"] = append(all["single"], one(t, name, byte(c)))
			}
		}
	}
	for _, name := range []string{"gb18030", "big5", "euc-kr"} {
		for a := 0x81; a <= 0xfe; a++ {
			for b := 0x40; b <= 0xfe; b++ {
				all[name] = append(all[name], one(t, name, byte(a), byte(b)))
			}
		}
	}
	const basic = 39420 // characters of four bytes before those that end the table
	last := rune(-2)
	for n := range basic {
		r := one(t, "gb18030", four(n)...)
		if r != last+1 {
			all["gb18030"] = append(all["gb18030"], rune(n), r)
		}
		last = r
	}
	all["gb18030"] = append(all["gb18030"], basic, 0)
	for a := 0x81; a <= 0xfc; a++ {
		for b := 0x40; b <= 0xfc; b++ {
			if (a < 0xa0 || a > 0xdf) && b != 0x7f {
				all["jis"] = append(all["jis"], one(t, "shift_jis", byte(a), byte(b)))
			}
		}
	}
	for a := 0xa1; a <= 0xfe; a++ {
		for b := 0xa1; b <= 0xfe; b++ {
			all["jis"] = append(all["jis"], one(t, "euc-jp", 0x8f, byte(a), byte(b)))
		}
	}
	return all
}

// four is a character of four bytes by its number.
func four(n int) []byte {
	return []byte{byte(0x81 + n/12600), byte('0' + n/1260%10), byte(0x81 + n/10%126), byte('0' + n%10)}
}

// pack is the other way round than unpack.
func pack(t testing.TB, table []rune) []byte {
	var planes []byte
	for shift := 16; shift >= 0; shift -= 8 {
		var last rune
		for _, r := range table {
			planes = append(planes, byte((r-last)>>shift))
			last = r
		}
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(planes); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// The tables are those of golang.org/x/text; -update writes them anew.
func TestTables(t *testing.T) {
	packed := map[string]string{"single": singlePacked, "gb18030": gb18030Packed, "big5": big5Packed, "euc-kr": eucKRPacked, "jis": jisPacked}
	for name, want := range tables(t) {
		switch {
		case *update:
			if err := os.WriteFile(name+".table", pack(t, want), 0o644); err != nil {
				t.Fatal(err)
			}
		case !slices.Equal(unpack(packed[name]), want):
			t.Errorf("%s.table is not what golang.org/x/text has; write it anew with -update", name)
		}
	}
}

// Labels mean what they mean to browsers.
func TestLabels(t *testing.T) {
	for l := range strings.Lines(labels) {
		all := strings.Fields(l)
		for _, label := range all {
			enc, err := htmlindex.Get(label)
			if err != nil {
				t.Errorf("%s is not known elsewhere", label)
			} else if name, err := htmlindex.Name(enc); name != all[0] && label != "gb18030" {
				t.Errorf("%s is %s, not %s (%v)", label, name, all[0], err)
			}
		}
	}
	if !Known(" Shift_JIS ") || Known("") || Known("utf") {
		t.Error("wrong labels are known")
	}
	if got := Decode([]byte("\x80\xe9"), "nonsense"); got != "€é" {
		t.Errorf("an unknown encoding reads %q", got)
	}
}

// agree compares what is read of lines with what golang.org/x/text reads: the same,
// and some U+FFFD where it has some.
func agree(t *testing.T, in []byte, name string) {
	t.Helper()
	want, got := strings.Split(expected(t, in, name), "\n"), strings.Split(Decode(in, name), "\n")
	if len(got) != len(want) {
		t.Fatalf("%s has %d lines, want %d: %q", name, len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] && !(strings.Contains(want[i], "\ufffd") && strings.Contains(got[i], "\ufffd")) {
			t.Errorf("%s: line %d of %q is %q, want %q", name, i, in, got[i], want[i])
		}
	}
}

// Every character of one to four bytes is what golang.org/x/text reads.
func TestAgainstText(t *testing.T) {
	for l := range strings.Lines(labels) {
		var in []byte
		for a := range 256 {
			in = append(in, byte(a), '\n')
		}
		if name := strings.Fields(l)[0]; !strings.HasPrefix(name, "utf-16") {
			agree(t, in, name)
		}
	}
	lines := func(before string, from, to byte) (in []byte) {
		for b := int(from); b <= int(to); b++ {
			in = append(append(in, before...), byte(b), '\n')
		}
		return in
	}
	for a := 0x80; a <= 0xff; a++ {
		for _, name := range []string{"gb18030", "big5", "euc-kr", "shift_jis", "euc-jp"} {
			agree(t, lines(string([]byte{byte(a)}), 0x30, 0xff), name)
		}
		agree(t, lines(string([]byte{0x8f, byte(a)}), 0x30, 0xff), "euc-jp")
	}
	for a := byte(0x21); a < 0x7f; a++ {
		for _, escape := range []string{"\x1b$@", "\x1b$B", "\x1b$(D"} {
			agree(t, lines(escape+string(rune(a)), 0x21, 0x7e), "iso-2022-jp")
		}
	}
	agree(t, lines("\x1b(I", 0x21, 0x7e), "iso-2022-jp")
	for first := 0; first < 126*12600; first += 10 {
		if first == 50000 {
			first = 188990
		} else if first == 200000 {
			first = 1237000 // around the last one
		} else if first == 1238000 {
			first = 126*12600 - 10
		}
		number := four(first)
		agree(t, lines(string(number[:3]), '0', '9'), "gb18030")
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ in, label, want string }{
		{"", "big5", ""},
		{"\x1b$B$\"$$\x1b(B!\n", "iso-2022-jp", "あい!\n"},
		{"\x1b$B$\"\nx", "iso-2022-jp", "あ\nx"},
		{"\x1b(I1\x1b(Jx", "iso-2022-jp", "ｱx"},
		{"\x1b$(D0!\x1b(B", "iso-2022-jp", "丂"},
		{"\x1b$B$", "iso-2022-jp", "\ufffd"},
		{"\x88\x62\x88\xa5", "big5", "Ê\u0304ê\u030c"},
		{"\x82\"", "shift_jis", "\ufffd\""},
		{"\x82\x85\x86", "gbk", "倕\ufffd"},
		{"\x81\x30\x81", "gb18030", "\ufffd0\ufffd"},
		{"\x90\x30\x81\x30", "gbk", "\U00010000"},
		{"a\xff\xffb", "utf-8", "a\ufffd\ufffdb"},
		{"h\x00i\x00=\xd8\x00\xde!", "utf-16", "hi😀\ufffd"},
		{"text", "hz-gb-2312", "\ufffd"},
	} {
		if got := Decode([]byte(c.in), c.label); got != c.want {
			t.Errorf("%q in %s is %q, want %q", c.in, c.label, got, c.want)
		}
	}
}

// FuzzDecode reads anything in every encoding: the result is text, and what
// golang.org/x/text reads without complaint reads the same.
func FuzzDecode(f *testing.F) {
	for _, in := range []string{"", "hello", "\x1b$B$\"$$\x1b(B!\n", "\x1b$(D0!", "\x88\x62\x81\x30\x81\x30", "\x8f\xa2\xaf\x8e\xb1", "\x84\x31\xa4\x39"} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for l := range strings.Lines(labels) {
			name := strings.Fields(l)[0]
			got := Decode(b, name)
			if !utf8.ValidString(got) {
				t.Fatalf("%q in %s: %q is no text", b, name, got)
			}
			like := name
			if name == "gbk" {
				like = "gb18030" // which reads the same and more
			}
			if want := expected(t, b, like); got != want && len(b) > 0 && !strings.Contains(got, "\ufffd") {
				t.Fatalf("%q in %s: %q, want %q", b, name, got, want)
			}
		}
	})
}
