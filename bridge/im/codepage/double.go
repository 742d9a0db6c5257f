package codepage

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// Tables of characters of two bytes have a row of 191 for each first byte from
// 0x81 on, and in it one for each second byte from 0x40 on. What does not exist is
// U+FFFD.
const (
	doubleRow = 0xfe - 0x40 + 1
	doubles   = (0xfe - 0x81 + 1) * doubleRow
)

// double reads characters of two bytes.
func double(table []rune) func([]byte) (rune, int) {
	return func(b []byte) (rune, int) {
		if len(b) < 2 || b[0] < 0x81 || b[0] > 0xfe {
			return utf8.RuneError, 1
		}
		if b[1] < 0x40 || b[1] > 0xfe {
			return unread(b[1])
		}
		if r := table[int(b[0]-0x81)*doubleRow+int(b[1]-0x40)]; r != utf8.RuneError {
			return r, 2
		}
		return unread(b[1])
	}
}

// unread stands for two bytes that are no character. When the second one is ASCII
// it is read again, so that a byte that got lost does not take a quote or a
// bracket with it.
func unread(second byte) (rune, int) {
	if second < utf8.RuneSelf {
		return utf8.RuneError, 1
	}
	return utf8.RuneError, 2
}

// big5Marks are the four characters of Big5 that are two of Unicode, and what the
// table has for them.
var big5Marks = strings.NewReplacer("\ue000", "Ê\u0304", "\ue001", "Ê\u030c", "\ue002", "ê\u0304", "\ue003", "ê\u030c")

// gb18030 reads characters of two bytes, and of four, which are all others of
// Unicode in their order: for those the table has, after the two-byte ones, pairs of
// a number and the character from which on to count.
func gb18030(b []byte) (rune, int) {
	switch {
	case b[0] == 0x80:
		return '€', 1
	case len(b) < 2 || b[1] < '0' || b[1] > '9':
		return double(gb18030Table())(b)
	case len(b) < 4 || b[0] < 0x81 || b[0] > 0xfe || b[2] < 0x81 || b[2] > 0xfe || b[3] < '0' || b[3] > '9':
		return utf8.RuneError, 1
	}
	const supplementary = 189000 // from here on U+10000 and all that follow
	n := ((rune(b[0]-0x81)*10+rune(b[1]-'0'))*126+rune(b[2]-0x81))*10 + rune(b[3]-'0')
	ranges := gb18030Table()[doubles:]
	switch {
	case n >= supplementary && n-supplementary <= utf8.MaxRune-0x10000:
		return n - supplementary + 0x10000, 4
	case n >= ranges[len(ranges)-2]: // the last one begins what is in use no more
		return utf8.RuneError, 1
	}
	i := sort.Search(len(ranges)/2, func(i int) bool { return ranges[2*i] > n }) - 1
	return ranges[2*i+1] + n - ranges[2*i], 4
}
