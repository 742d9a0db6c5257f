package dialect

import (
	"compress/gzip"
	_ "embed"
	"io"
	"strconv"
	"strings"
	"sync"

	"nudge/bridge/im"
)

// emojiPacked has a line for each emoji: its number and its name. A test keeps it
// true to Unicode; the whole list of names there would be a megabyte.
//
//go:embed emoji.txt.gz
var emojiPacked string

// emojiNames is unpacked when the first name is needed, and stays (77 kB).
var emojiNames = sync.OnceValue(func() string {
	var text []byte
	r, err := gzip.NewReader(strings.NewReader(emojiPacked))
	if err == nil {
		text, err = io.ReadAll(r)
	}
	if err != nil {
		panic("emoji.txt.gz: " + err.Error()) // a test reads it
	}
	return string(text)
})

// Code points that only dress an emoji.
const (
	joiner   = '\u200d'
	textLook = '\ufe0e'
	pictured = '\ufe0f'
	keycap   = '\u20e3'
)

// legible is text for a client of this version.
func (d *Dialect) legible(text string) string {
	if d.Emoji {
		return text
	}
	return legible(text)
}

// legible writes emoji as what the systems of these clients can show: they are
// years older than emoji and draw boxes. What Messenger draws itself becomes what
// the user would type for it, the rest its name between colons (MAPPING.md §0).
func legible(s string) string {
	if strings.IndexFunc(s, dressed) < 0 {
		return s
	}
	var b strings.Builder
	text := []rune(s)
	for i := 0; i < len(text); i++ {
		var before, r, next rune = 0, text[i], 0
		if i > 0 {
			before = text[i-1]
		}
		if i+1 < len(text) {
			next = text[i+1]
		}
		switch {
		case r == textLook, r == pictured, r == keycap, tag(r), tone(r) && (emoji(before) || before == pictured):
		case r == joiner && (emoji(next) || sex(next)), sex(r) && before == joiner:
		case regional(r) && regional(next):
			b.WriteString(":flag_" + string(r-regionA+'a') + string(next-regionA+'a') + ":")
			i++
		case regional(r):
			b.WriteRune(r - regionA + 'A')
		case emoji(r), im.Emoticon(r) != "" && next == pictured:
			b.WriteString(inLetters(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// inLetters is what stands for an emoji.
func inLetters(r rune) string {
	if s := im.Emoticon(r); s != "" {
		return s
	}
	if name := emojiName(r); name != "" {
		return ":" + name + ":"
	}
	return "?"
}

// emojiName is the name of an emoji, "" when it has none here. The lines of the list
// are in the order of their numbers; going through all of it for each of some thousand
// emoji would hold everybody up.
func emojiName(r rune) string {
	names := emojiNames()
	for low, high := 0, len(names); low < high; {
		mid := (low + high) / 2
		line, _, _ := strings.Cut(names[strings.LastIndexByte(names[:mid], '\n')+1:], "\n")
		digits, name, _ := strings.Cut(line, " ")
		number, err := strconv.ParseInt(digits, 16, 32)
		switch {
		case err == nil && rune(number) == r:
			return name
		case err != nil || rune(number) < r: // the comment is at the beginning
			low = mid + 1
		default:
			high = mid
		}
	}
	return ""
}

// dressed finds text that may need work; letters are below all of that.
func dressed(r rune) bool {
	return r >= keycap && (emoji(r) || regional(r) || r == textLook || r == pictured || r == keycap || tag(r))
}

// emoji tells whether r is a picture that no font of Windows 95 to XP has.
func emoji(r rune) bool {
	switch {
	case r >= 0x1f000 && r <= 0x1faff:
		return !regional(r)
	case r >= 0x23e9 && r <= 0x23fa, r == 0x231a, r == 0x231b, r == 0x2b50, r == 0x2b55, r == 0x2b1b, r == 0x2b1c:
		return true
	case r >= 0x2614 && r <= 0x2615, r >= 0x2648 && r <= 0x2653, r >= 0x2670 && r <= 0x27bf:
		return true
	}
	return false
}

// regionA is the first of the letters of which two make a flag.
const regionA = '\U0001f1e6'

func regional(r rune) bool { return r >= regionA && r < regionA+26 }

// tone, sex and tag change the picture before them.
func tone(r rune) bool { return r >= 0x1f3fb && r <= 0x1f3ff }
func sex(r rune) bool  { return r == '♀' || r == '♂' }
func tag(r rune) bool  { return r >= 0xe0020 && r <= 0xe007f }
