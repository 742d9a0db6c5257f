package bridge

import (
	"strconv"
	"strings"
	"unicode"

	"nudge/bridge/im"
)

// command is what somebody at an old client wants done about what was said before
// (MAPPING.md §1): his client sends only words, so it is one of
//
//	s/old/new/        corrects his last message
//	/del              takes it back
//	+(Y), /react (Y)  reacts to the last message of the others
//	/reply text       answers it
//	/vote 2           answers the last poll
type command struct {
	kind   im.RelKind
	old    string // what is corrected
	text   string // the correction, the emoji or the answer; "" when it is missing
	choice int    // from 1, 0 when it is missing
}

// readCommand reads text. Not ok: it is words. What begins with a blank always is.
func readCommand(text string) (c command, ok bool) {
	text = strings.TrimRightFunc(text, unicode.IsSpace)
	word, rest := text, ""
	if i := strings.IndexFunc(text, unicode.IsSpace); i >= 0 {
		word, rest = text[:i], strings.TrimSpace(text[i:])
	}
	switch word {
	case "/del":
		return command{kind: im.Retract}, rest == ""
	case "/react":
		return command{kind: im.React, text: emoji(rest)}, true
	case "/reply":
		return command{kind: im.Reply, text: rest}, true
	case "/vote":
		n, err := strconv.Atoi(rest)
		if err != nil {
			n = 0
		}
		return command{kind: im.Vote, choice: n}, true
	}
	if rest, plus := strings.CutPrefix(text, "+"); plus {
		e := emoji(rest)
		return command{kind: im.React, text: e}, e != ""
	}
	parts := strings.Split(text, "/")
	if len(parts) != 4 || parts[0] != "s" || parts[1] == "" || parts[3] != "" || strings.Contains(text, "\n") {
		return command{}, false
	}
	return command{kind: im.Edit, old: parts[1], text: parts[2]}, true
}

// literal is what words say that would be a command but for a second slash.
func literal(text string) string {
	rest, slashes := strings.CutPrefix(text, "/")
	if slashes && strings.HasPrefix(rest, "/") {
		if _, would := readCommand(rest); would {
			return rest
		}
	}
	return text
}

// longestEmoji is in bytes; a family of four with their skins has 41.
const longestEmoji = 64

// emoji is the one emoji that s is, or is the emoticon for, "" when it is none.
func emoji(s string) string {
	if e := im.Emoji(s); e != "" {
		return e
	}
	if len(s) > longestEmoji {
		return ""
	}
	for part := range strings.SplitSeq(strings.Map(undressed, s), "\u200d") {
		switch r := []rune(part); {
		case len(r) == 1 && r[0] >= 0x2600 && unicode.Is(unicode.So, r[0]):
		case len(r) == 2 && flagHalf(r[0]) && flagHalf(r[1]):
		default:
			return ""
		}
	}
	return s
}

// undressed leaves out what only changes the picture before it.
func undressed(r rune) rune {
	if r == '\ufe0f' || r >= 0x1f3fb && r <= 0x1f3ff || r >= 0xe0020 && r <= 0xe007f {
		return -1
	}
	return r
}

// flagHalf tells whether r is a letter of which two make a flag.
func flagHalf(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }
