package bridge

import (
	"strings"
	"testing"

	"nudge/bridge/im"
)

func TestReadCommand(t *testing.T) {
	for text, want := range map[string]command{
		"/del": {kind: im.Retract}, "/del \r\n": {kind: im.Retract},
		"s/soup/soap/": {kind: im.Edit, old: "soup", text: "soap"}, "s/ not//": {kind: im.Edit, old: " not"},
		"+(Y)": {kind: im.React, text: "👍"}, "+(y)": {kind: im.React, text: "👍"}, "+:-)": {kind: im.React, text: "🙂"}, "+(l)": {kind: im.React, text: "❤️"},
		"+🎉": {kind: im.React, text: "🎉"}, "+👨‍👩‍👧": {kind: im.React, text: "👨‍👩‍👧"}, "+🇩🇪": {kind: im.React, text: "🇩🇪"}, "+👍🏽": {kind: im.React, text: "👍🏽"},
		"/react (6)": {kind: im.React, text: "😈"}, "/react": {kind: im.React}, "/react yes please": {kind: im.React},
		"/reply no\nthanks ": {kind: im.Reply, text: "no\nthanks"}, "/reply\r\nno": {kind: im.Reply, text: "no"}, "/reply ": {kind: im.Reply},
		"/vote 2": {kind: im.Vote, choice: 2}, "/vote": {kind: im.Vote}, "/vote two": {kind: im.Vote},
	} {
		if c, ok := readCommand(text); !ok || c != want {
			t.Errorf("%q reads as %+v, %v", text, c, ok)
		}
	}
	for _, text := range []string{
		"", "hello", " /del", "/del it", "/delete", "/Del", "/voted", "/replying x", "/replyx", "/me waves", "//del", "/", "//",
		"+", "+1", "+ (Y)", "+(Y)(Y)", "+(Y) yes", "+🎉🎉", "+🇩🇪🇫🇷", "+\u200d", "+ok", "+°", "s/a/b", "s//b/", "s/a/b/c/", "s/a/b/g", " s/a/b/", "s/a\nb/c/", "yes/no/never/",
	} {
		if c, ok := readCommand(text); ok {
			t.Errorf("%q reads as %+v", text, c)
		}
	}
	for text, want := range map[string]string{
		"//del": "/del", "//reply x": "/reply x", "//vote": "/vote", "///del": "///del", "//": "//", "// a comment": "// a comment", "//del it": "//del it", "/x": "/x", "x": "x",
	} {
		if got := literal(text); got != want {
			t.Errorf("%q says %q, want %q", text, got, want)
		}
	}
}

func FuzzReadCommand(f *testing.F) {
	for _, s := range []string{"/del", "s/a/b/", "s/a/b", "+(Y)", "+🇩🇪", "/react 👍", "/reply x", "/vote 2", "/vote -9999999999999999999", "//del", "+\u200d\ufe0f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := readCommand(text)
		switch {
		case !ok:
			return
		case literal("/"+text) != text && strings.HasPrefix(text, "/"):
			t.Errorf("nothing says %q", text)
		case c.kind == im.React && len(c.text) > longestEmoji, c.kind == im.React && strings.ContainsAny(c.text, " \n"):
			t.Errorf("%q reacts %q", text, c.text)
		case c.kind == im.Edit && (c.old == "" || strings.Contains(c.text, "/")):
			t.Errorf("%q corrects %q to %q", text, c.old, c.text)
		}
	})
}
