package wire

import "strings"

const hexDigits = "0123456789ABCDEF"

// Escape writes s as one argument: bytes up to 0x20, 0x7F and "%" become %XX,
// everything else, UTF-8 included, stays (MSNP.md A.4).
func Escape(s string) string {
	if strings.IndexFunc(s, mustEscape) < 0 {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		if c := s[i]; mustEscape(rune(c)) {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func mustEscape(r rune) bool { return r <= ' ' || r == 0x7f || r == '%' }

// Unescape undoes any %XX. A "%" that starts no escape stands for itself and
// "+" is a plus.
func Unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
