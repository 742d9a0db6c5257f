package im

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain is s as text that any side can carry on: valid UTF-8, LF between lines,
// and no character that XML 1.0 forbids (§2.2) or that only controls a terminal.
// Every text passes through here on its way in and out of a network and of an MSN
// client, so that no one's text can end another's stream.
func Plain(s string) string {
	if printable(s) || !strings.ContainsFunc(s, unfit) {
		return s
	}
	s = lineEnds.Replace(strings.ToValidUTF8(s, string(utf8.RuneError)))
	return strings.Map(func(r rune) rune {
		if r != utf8.RuneError && unfit(r) {
			return -1
		}
		return r
	}, s)
}

// OneLine is Plain for what stands in a line with other things: names, notes,
// groups. Blanks of any kind become one space each, and what turns the direction
// of writing goes: it would reach beyond the name (Unicode UAX 9, 2.1 to 2.4).
func OneLine(s string) string {
	if printable(s) {
		return strings.TrimSpace(s)
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\u2028', r == '\u2029':
			return ' '
		case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1
		}
		return r
	}, Plain(s)))
}

// printable tells quickly of most texts that nothing is wrong with them.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// unfit tells which characters make Plain look closer; U+FFFD also stands for
// bytes that are none.
func unfit(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' || r == utf8.RuneError || r == 0xfffe || r == 0xffff
}

// Short is s as one line of at most most characters.
func Short(s string, most int) string {
	r := []rune(OneLine(s))
	if len(r) > most {
		return strings.TrimSpace(string(r[:most-1])) + "…"
	}
	return string(r)
}
