package dialect

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/runenames"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

var emojis = map[string]string{
	"plain, ünï, 日本語, ♥ ♪ ☺": "plain, ünï, 日本語, ♥ ♪ ☺",
	"hi 🙂":                   "hi :)",
	"👍🏽 👎":                   "(Y) (N)",
	"I ❤️ you":               "I (L) you",
	"🎉🎉":                     ":party_popper::party_popper:",
	"☎️ ☎":                   "(T) ☎",
	"🇩🇪🇫🇷 🇩":                 ":flag_de::flag_fr: D",
	"👩‍💻":                    ":woman::personal_computer:",
	"🤷🏽‍♂️ 🤷‍♀️ ♀":           ":shrug: :shrug: ♀",
	"3️⃣":                    "3",
	"🏴\U000e0067\U000e007f":  ":waving_black_flag:",
	"\u0645\u06cc\u200c\u062e \u0915\u094d\u200d\u0937": "\u0645\u06cc\u200c\u062e \u0915\u094d\u200d\u0937", // joiners of scripts stay
	"\U0001faff":                 "?",
	"a\u200d🙂":                   "a:)",
	strings.Repeat("🙂", 3) + "!": ":):):)!",
}

func TestLegible(t *testing.T) {
	for in, want := range emojis {
		if got := legible(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	d := Named("MSNP8")
	m := im.Message{Text: "well 👍", Name: "Eve 🎉"}
	if got := string(d.Render(m, "")[0]); !strings.HasSuffix(got, "\r\n\r\nEve :party_popper:: well (Y)") {
		t.Errorf("rendered as %q", got)
	}
	raw := []byte("Content-Type: text/plain; charset=UTF-8\r\n\r\n👍")
	if got := d.Render(im.Message{Text: "👍", Raw: raw}, "")[0]; string(got) != string(raw) {
		t.Errorf("what an MSN client wrote became %q", got)
	}
	if got := Named("MSNP8").EscapeName("Eve 👍", ""); got != "Eve%20(Y)" {
		t.Errorf("a name became %q", got)
	}
	if got := Named("MSNP8").EscapeGroup("Pals 👍"); got != "Pals%20(Y)" {
		t.Errorf("a group became %q", got)
	}
}

// TestEmoji: a client on a system that draws emoji gets them as they are.
func TestEmoji(t *testing.T) {
	for _, c := range []struct {
		name, release string
		draws         bool
	}{
		{"winnt", "6.2", true}, {"WINNT", "6.3", true}, {"winnt", "10.0", true}, {"mac", "10.7.5", true},
		{"winnt", "6.1", false}, {"winnt", "5.1", false}, {"win", "4.10", false}, {"mac", "10.6.8", false}, {"mac", "9.2", false},
		{"linux", "6.8", false}, {"winnt", "", false}, {"", "6.2", false}, {"winnt", "-6.-2", false},
	} {
		d := Named("MSNP11").ForSystem(c.name, c.release)
		if d.Emoji != c.draws || d.Name != "MSNP11" || d.ForSystem(c.name, c.release) != d {
			t.Errorf("%s %s: %s, %v", c.name, c.release, d.Name, d.Emoji)
		}
	}
	d := Named("MSNP11").WithEmoji()
	text := string(d.Render(im.Message{Text: "👍"}, "")[0])
	note := string(d.Personal(d, im.Person{}, im.Presence{Note: "👍"}).Payload)
	for what, got := range map[string]string{"text": text, "note": note, "name": wire.Unescape(d.EscapeName("👍", "")), "group": wire.Unescape(d.EscapeGroup("👍"))} {
		if !strings.Contains(got, "👍") {
			t.Errorf("the %s became %q", what, got)
		}
	}
}

func FuzzLegible(f *testing.F) {
	for in := range emojis {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		valid := utf8.ValidString(s)
		got := legible(s)
		if valid && !utf8.ValidString(got) || strings.IndexFunc(got, emoji) >= 0 {
			t.Fatalf("%q became %q", s, got)
		}
		for name, most := range map[string]int{Named("MSNP8").EscapeName(s, "x"): maxName, Named("MSNP8").EscapeGroup(s): maxGroupName} {
			if len(name) > most || !utf8.ValidString(name) || strings.ContainsAny(name, " \r\n") {
				t.Fatalf("%q became the name %q", s, name)
			}
			if name != "" && wire.Escape(wire.Unescape(name)) != name {
				t.Fatalf("%q became the name %q, which reads as %q", s, name, wire.Unescape(name))
			}
		}
	})
}

// emoji.txt.gz has the names of Unicode, and each is found; -update writes it anew.
func TestEmojiNames(t *testing.T) {
	var want strings.Builder
	want.WriteString("# Emoji and their names.\n")
	for r := rune(0); r <= 0x1faff; r++ {
		if name := runenames.Name(r); emoji(r) && name != "" && name[0] != '<' {
			name = strings.ReplaceAll(strings.ToLower(name), " ", "_")
			fmt.Fprintf(&want, "%x %s\n", r, name)
			if found := emojiName(r); found != name && !*update {
				t.Errorf("%x is %q, found is %q", r, name, found)
			}
		} else if found := emojiName(r); found != "" {
			t.Errorf("%x has no name, found is %q", r, found)
		}
	}
	if *update {
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write([]byte(want.String()))
		if err := cmp.Or(err, w.Close(), os.WriteFile("emoji.txt.gz", packed.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	} else if emojiNames() != want.String() {
		t.Error("emoji.txt.gz is not what Unicode says; write it anew with -update")
	}
}
