package codepage

import (
	"strings"
	"unicode/utf8"
)

// jis.table has the 120 rows of 94 that Shift_JIS has of JIS X 0208 with its
// additions, then the 94 of JIS X 0212.
const (
	jisRow  = 94
	jis0212 = 120 * jisRow
)

// kana is what to add to a byte from 0xa1 to 0xdf for the narrow katakana that it
// stands for.
const kana = 0xff61 - 0xa1

// shiftJIS reads a character of Shift_JIS. Each first byte stands for two rows.
func shiftJIS(b []byte) (rune, int) {
	c := b[0]
	switch {
	case c == 0x80:
		return 0x80, 1
	case c >= 0xa1 && c <= 0xdf:
		return rune(c) + kana, 1
	case c == 0xa0 || c > 0xfc || len(b) < 2:
		return utf8.RuneError, 1
	case b[1] < 0x40 || b[1] == 0x7f || b[1] > 0xfc:
		return unread(b[1])
	}
	row, cell := 2*int(c-0x81), int(b[1]-0x40)
	if c >= 0xe0 {
		row -= 2 * 0x40
	}
	if b[1] > 0x7f {
		cell--
	}
	if r := jisTable()[row*jisRow+cell]; r != utf8.RuneError {
		return r, 2
	}
	return unread(b[1])
}

// eucJP reads a character of EUC-JP: of two bytes, or of three that start with
// 0x8f for JIS X 0212.
func eucJP(b []byte) (rune, int) {
	switch {
	case len(b) < 2:
		return utf8.RuneError, 1
	case b[0] == 0x8e && b[1] >= 0xa1 && b[1] <= 0xdf:
		return rune(b[1]) + kana, 2
	case b[0] == 0x8f && len(b) > 2 && b[1] >= 0xa1 && b[2] >= 0xa1:
		return jis(b[1], b[2], jis0212), 3
	case b[0] >= 0xa1 && b[1] >= 0xa1:
		if r := jis(b[0], b[1], 0); r != utf8.RuneError {
			return r, 2
		}
	}
	return unread(b[1])
}

// jis finds the character of a row and a cell, which count from 0xa1, in the part
// of the table that starts at part.
func jis(row, cell byte, part int) rune {
	if row < 0xa1 || row > 0xfe || cell < 0xa1 || cell > 0xfe {
		return utf8.RuneError
	}
	return jisTable()[part+int(row-0xa1)*jisRow+int(cell-0xa1)]
}

// jisEscapes switch ISO-2022-JP between its character sets: what follows has one
// byte for a character, or two.
var jisEscapes = []struct{ escape, set string }{
	{"\x1b(B", "ascii"}, {"\x1b(J", "ascii"}, {"\x1b(I", "kana"}, {"\x1b$@", "0208"}, {"\x1b$B", "0208"}, {"\x1b$(D", "0212"},
}

// decodeISO2022JP reads the encoding of Japanese mail, all in seven bits. A line's
// end ends two-byte sets.
func decodeISO2022JP(b []byte) string {
	var s strings.Builder
	set := "ascii"
next:
	for len(b) > 0 {
		for _, e := range jisEscapes {
			if strings.HasPrefix(string(b[:min(len(b), 4)]), e.escape) {
				set, b = e.set, b[len(e.escape):]
				continue next
			}
		}
		r, size := rune(utf8.RuneError), 1
		switch c := b[0]; {
		case c >= utf8.RuneSelf || c == 0x1b:
		case set == "ascii":
			r = rune(c)
		case set == "kana":
			if c > 0x20 && c < 0x60 {
				r = rune(c) + 0x80 + kana
			}
		case c == '\n':
			r, set = '\n', "ascii"
		case len(b) > 1:
			part := 0
			if set == "0212" {
				part = jis0212
			}
			r, size = jis(c+0x80, b[1]+0x80, part), 2
		}
		s.WriteRune(r)
		b = b[size:]
	}
	return s.String()
}
