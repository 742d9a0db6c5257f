package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// frames is every way a line can arrive; it also seeds the fuzzer.
var frames = []struct {
	in   string
	p    Payloads
	want Command
	err  error
}{
	{"VER 1 MSNP8 CVR0\r\n", ToNS, Line("VER", "1", "MSNP8", "CVR0"), nil},
	{"PNG\r\n", ToNS, Line("PNG"), nil},
	{"PNG\n", ToNS, Line("PNG"), nil},
	{"PNG\r\r\n", ToNS, Line("PNG"), nil},
	{"\r\n\n  \r\nPNG\r\n", ToNS, Line("PNG"), nil},
	{"INF 2 \r\n", ToNS, Line("INF", "2"), nil},
	{"CVQ 1  0x0409   win \r\n", ToNS, Line("CVQ", "1", "0x0409", "win"), nil},
	{"ADD 4294967295 FL b@x B%20b\r\n", ToNS, Line("ADD", "4294967295", "FL", "b@x", "B%20b"), nil},
	{"MSG 12 U 4\nabcdPNG\r\n", ToSB, Command{"MSG", []string{"12", "U"}, []byte("abcd")}, nil},
	{"MSG 12 N 0\r\n", ToSB, Command{"MSG", []string{"12", "N"}, []byte{}}, nil},
	{"MSG 3 A 1664\r\n" + strings.Repeat("x", 1664), ToSB, Command{"MSG", []string{"3", "A"}, bytes.Repeat([]byte("x"), 1664)}, nil},
	{"ADL 10 OK\r\n", FromServer, Line("ADL", "10", "OK"), nil},
	{"ADL 0 2\r\nhi", FromServer, Command{"ADL", []string{"0"}, []byte("hi")}, nil},
	{"QRY 7\r\n", FromServer, Line("QRY", "7"), nil},
	{"QRY 7 id 2\r\nhi", ToNS, Command{"QRY", []string{"7", "id"}, []byte("hi")}, nil},
	{"UUX 9 3\r\nabc", ToSB, Line("UUX", "9", "3"), nil},
	{"MSG 3 A 1665\r\n", ToSB, Command{}, ErrTooLong},
	{"MSG 3 A 99999999999999999999\r\n", ToSB, Command{}, ErrTooLong},
	{"MSG 3 A -1\r\n", ToSB, Command{}, ErrSyntax},
	{"MSG 3 A +1\r\n", ToSB, Command{}, ErrSyntax},
	{"MSG 3 A 0x10\r\n", ToSB, Command{}, ErrSyntax},
	{"MSG 2 N abc\r\n", ToSB, Command{}, ErrSyntax},
	{"MSG\r\n", ToSB, Command{}, ErrSyntax},
	{"ADL 1 65537\r\n", ToNS, Command{}, ErrTooLong},
	{"ADL 1 OK\r\n", ToNS, Command{}, ErrSyntax},
	{"PNG\rPNG\r\n", ToNS, Command{}, ErrSyntax},
	{"CHG 1 N\x00N\r\n", ToNS, Command{}, ErrSyntax},
	{"PNG " + strings.Repeat("A", MaxLine-6) + "\r\n", ToNS, Line("PNG", strings.Repeat("A", MaxLine-6)), nil},
	{"PNG " + strings.Repeat("A", MaxLine-5) + "\r\n", ToNS, Command{}, ErrLineTooLong},
	{strings.Repeat("A", MaxLine+1), ToNS, Command{}, ErrLineTooLong},
	{"MSG 1 N 5\r\nabc", ToSB, Command{}, io.ErrUnexpectedEOF},
	{"PNG", ToNS, Command{}, io.ErrUnexpectedEOF},
	{"", ToNS, Command{}, io.EOF},
}

func TestRead(t *testing.T) {
	for _, f := range frames {
		for name, reader := range map[string]func(string) io.Reader{
			"whole":        func(s string) io.Reader { return strings.NewReader(s) },
			"byte by byte": func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
		} {
			for _, size := range []int{16, MaxLine} {
				got, err := Read(bufio.NewReaderSize(reader(f.in), size), f.p)
				if !errors.Is(err, f.err) {
					t.Errorf("%.40q %s through %d: error %v, want %v", f.in, name, size, err, f.err)
				}
				if err == nil && !reflect.DeepEqual(got, f.want) {
					t.Errorf("%.40q %s through %d: %q, want %q", f.in, name, size, got, f.want)
				}
			}
		}
	}
}

// TestLimited: a lower limit wins over the verb's, a higher one does not.
func TestLimited(t *testing.T) {
	for _, c := range []struct {
		p    Payloads
		line string
		err  error
	}{
		{ToNS.Limited(0, 100), "UUX 1 100", nil}, {ToNS.Limited(0, 100), "UUX 1 101", ErrTooLong},
		{ToSB.Limited(0, 1<<20), "MSG 1 U 1665", ErrTooLong}, {ToNS.Limited(0, 0), "UUX 1 65536", nil},
		{ToNS.Limited(9, 0), "PNG 345", nil}, {ToNS.Limited(9, 0), "PNG 3456", ErrLineTooLong},
	} {
		if _, err := Read(bufio.NewReaderSize(strings.NewReader(c.line+"\r\n"+strings.Repeat("x", 1<<17)), MaxLine), c.p); !errors.Is(err, c.err) {
			t.Errorf("%s with a cap of %d: %v, want %v", c.line, c.p.cap, err, c.err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, fr := range frames {
		f.Add(fr.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range []Payloads{ToNS, ToSB, FromServer} {
			r := bufio.NewReaderSize(strings.NewReader(s), MaxLine)
			for {
				c, err := Read(r, p)
				if err != nil {
					break
				}
				again, err := Read(bufio.NewReaderSize(strings.NewReader(c.String()), MaxLine), p)
				if err != nil || again.String() != c.String() {
					t.Fatalf("%q became %q (%v)", c, again, err)
				}
			}
		}
	})
}

func TestEscape(t *testing.T) {
	for _, c := range []struct{ plain, escaped string }{
		{"Bob", "Bob"}, {"Bob B", "Bob%20B"}, {"100%", "100%25"}, {"a\r\nb\x00\x7f", "a%0D%0Ab%00%7F"},
		{"Zoë_-.@+", "Zoë_-.@+"}, {"", ""},
	} {
		if got := Escape(c.plain); got != c.escaped {
			t.Errorf("Escape(%q) = %q, want %q", c.plain, got, c.escaped)
		}
		if got := Unescape(c.escaped); got != c.plain {
			t.Errorf("Unescape(%q) = %q, want %q", c.escaped, got, c.plain)
		}
	}
	for in, want := range map[string]string{"%": "%", "a%2": "a%2", "%zz": "%zz", "%c3%AB": "ë", "a+b": "a+b"} {
		if got := Unescape(in); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("Bob B 100%")
	f.Fuzz(func(t *testing.T, s string) {
		e := Escape(s)
		if strings.ContainsAny(e, " \r\n\x00") || Unescape(e) != s {
			t.Fatalf("%q became %q", s, e)
		}
	})
}

func TestMessage(t *testing.T) {
	m := NewMessage("text/plain; charset=UTF-8")
	m.Add("X-MMS-IM-Format", "FN=A\r\nEvil: 1")
	m.Body = []byte("hi")
	const want = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nX-MMS-IM-Format: FN=A Evil: 1\r\n\r\nhi"
	if got := string(m.Bytes()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, in := range []string{want, strings.ReplaceAll(want, "\r\n", "\n"), strings.Replace(want, ": text", ":text", 1)} {
		got, ok := ParseMessage([]byte(in))
		if !ok || got.Type() != "text/plain" || got.Param("content-type", "CHARSET") != "UTF-8" || string(got.Body) != "hi" {
			t.Errorf("%q parsed as %q, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "\r\nhi", "no header", "::::"} {
		if got, ok := ParseMessage([]byte(in)); ok {
			t.Errorf("%q has a header: %q", in, got)
		}
	}
	if got, ok := ParseMessage([]byte("Content-Type: text/x-msmsgscontrol\r\nTypingUser: a@b")); !ok || got.Get("typinguser") != "a@b" {
		t.Errorf("message without an empty line: %q, %v", got, ok)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte("MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhi"))
	f.Add([]byte("\n\n:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := ParseMessage(b)
		if !ok {
			return
		}
		again, ok := ParseMessage(m.Bytes())
		if !ok || !bytes.Equal(again.Body, m.Body) || len(again.Header) != len(m.Header) {
			t.Fatalf("%q became %q", m, again)
		}
	})
}
