package assistant

import "strings"

// tidy makes a text comparable: lower-case, single spaces, without politeness
// and punctuation around it.
func tidy(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	if text == "?" {
		return text
	}
	text = strings.Trim(text, " .!?,;:/'\"“”„")
	for _, polite := range []string{"please ", "nudge, ", "nudge ", "hey ", "can you ", "could you ", "show me ", "show ", "my ", "the "} {
		text = strings.TrimPrefix(text, polite)
	}
	return strings.Trim(strings.TrimSuffix(strings.TrimSuffix(text, "please"), " nudge"), " ,")
}

// understand finds the command that a tidied text begins with, and what follows
// it. The longest matching words win; one slip of the finger in a word of four
// letters or more is forgiven.
func understand(said string) (c command, arg string, ok bool) {
	best := ""
	for _, cmd := range commands {
		for _, w := range cmd.words {
			rest, is := strings.CutPrefix(said, w)
			if is && (rest == "" || rest[0] == ' ' || rest[0] == ':') && len(w) > len(best) {
				best, c, arg = w, cmd, strings.Trim(rest, " :")
			}
		}
	}
	if best != "" {
		return c, arg, true
	}
	first, rest, _ := strings.Cut(said, " ")
	for _, cmd := range commands {
		for _, w := range cmd.words {
			if slip(first, w) {
				return cmd, rest, true
			}
		}
	}
	return command{}, "", false
}

// argument is whom a command is about, in the spelling of the original text.
// Of several words it is the one that is an address, else all of them.
func argument(text, arg string) string {
	if i := strings.LastIndex(strings.ToLower(text), arg); i >= 0 && len(strings.ToLower(text)) == len(text) {
		arg = text[i : i+len(arg)]
	}
	words := strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune(" \t\r\n,;<>()\"“”'", r) })
	for i, w := range words {
		words[i] = strings.TrimRight(strings.TrimPrefix(strings.TrimPrefix(w, "mailto:"), "xmpp:"), ".!?")
		if strings.Contains(words[i], "@") {
			return words[i]
		}
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

// slip tells whether said is word with one letter wrong, missing, too many or
// two swapped.
func slip(said, word string) bool {
	if len(word) < 4 || len(said) < len(word)-1 || len(said) > len(word)+1 {
		return false
	}
	i := 0
	for i < len(said) && i < len(word) && said[i] == word[i] {
		i++
	}
	s, w := said[i:], word[i:]
	switch {
	case len(s) > len(w):
		return s[1:] == w
	case len(s) < len(w):
		return s == w[1:]
	case len(s) > 1 && s[0] == w[1] && s[1] == w[0]:
		return s[2:] == w[2:]
	}
	return s != "" && s[1:] == w[1:]
}
