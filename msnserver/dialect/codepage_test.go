package dialect

import (
	"testing"
)

// TestCodePages reads what clients of other alphabets write: those that name the
// encoding, those whose font tells it, and those that say nothing.
func TestCodePages(t *testing.T) {
	const plain, font = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n", "Content-Type: text/plain\r\nX-MMS-IM-Format: FN=Arial; EF=; CO=0; CS="
	for _, c := range []struct{ payload, page, want string }{
		{plain + "caf\xe9 \x80", "", "café €"},
		{plain + "caf\xe9", "windows-1251", "cafй"},
		{plain + "\xef\xf0\xe8\xe2\xe5\xf2", "windows-1251", "привет"},
		{plain + "\xd0\xd2\xc9\xd7\xc5\xd4", "koi8-r", "привет"},
		{plain + "привет", "koi8-r", "привет"}, // UTF-8 without a word about it
		{plain + "\x82\xa0", "shift_jis", "あ"},
		{plain + "caf\xe9", "nonsense", "café"},
		{font + "cc; PF=22\r\n\r\n\xef\xf0\xe8\xe2\xe5\xf2", "", "привет"},
		{font + "CC; PF=22\r\n\r\n\xd0\xd2\xc9\xd7\xc5\xd4", "koi8-r", "привет"},
		{font + "86; PF=22\r\n\r\n\xc4\xe3\xba\xc3", "", "你好"},
		{font + "80; PF=22\r\n\r\n\x82\xa0", "windows-1251", "あ"},
		{font + "0; PF=22\r\n\r\n\xef\xf0", "windows-1251", "пр"},
		{font + "86; PF=22\r\n\r\n你好", "", "你好"},
		{"Content-Type: text/plain; charset=windows-1251\r\nX-MMS-IM-Format: FN=Arial; EF=; CO=0; CS=86\r\n\r\n\xef\xf0", "shift_jis", "пр"},
		{plain + "a\x01b\x0bc\x1b[0m\r\nd\re\x7f\xff", "", "abc[0m\nd\neÿ"},
		{"Content-Type: text/plain; charset=UTF-8\r\n\r\n\xef\xbf\xbe\xff\x00x", "", "\ufffdx"},
	} {
		ear := Ear{Page: c.page}
		if m, typing := ear.Read([]byte(c.payload)); typing || m.Text != c.want || string(m.Raw) != c.payload {
			t.Errorf("%q with %q: %q, want %q", c.payload, c.page, m.Text, c.want)
		}
	}
	for _, c := range []struct{ arg, page, want string }{
		{"Caf%E9%20x", "", "Café x"}, {"Café", "windows-1251", "Café"}, {"%EF%F0", "windows-1251", "пр"}, {"%C3%A9", "windows-1251", "é"},
		{"two%0D%0Alines%00%1B", "", "two\nlines"}, {"100%25", "", "100%"},
	} {
		if got := Text(c.arg, c.page); got != c.want {
			t.Errorf("name %q with %q: %q, want %q", c.arg, c.page, got, c.want)
		}
	}
}
