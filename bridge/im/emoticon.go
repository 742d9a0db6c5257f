package im

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// emoticons are the pictures that Messenger draws for what its user types, with
// the emoji that mean the same, the likeliest first.
var emoticons = [...]struct{ typed, emoji string }{
	{":)", "🙂😊☺"}, {":D", "😃😄😁😀😂🤣😆"}, {";)", "😉"}, {":-O", "😮😲😯"}, {":P", "😛😜😝"}, {"(H)", "😎"}, {":@", "😠😡"},
	{":$", "😳"}, {":S", "😕"}, {":(", "🙁☹😞"}, {":'(", "😢😭"}, {":|", "😐😑"}, {"(6)", "😈👿"}, {"(A)", "😇"},
	{"(L)", "❤💕💖🧡💛💚💙💜🖤😍"}, {"(U)", "💔"}, {"(Y)", "👍"}, {"(N)", "👎"}, {"(K)", "💋😘"}, {"(G)", "🎁"}, {"(F)", "🌹"}, {"(W)", "🥀"},
	{"(P)", "📷"}, {"(8)", "🎵🎶"}, {"(#)", "☀🌞"}, {"(S)", "🌙"}, {"(*)", "⭐🌟"}, {"(E)", "✉📧"}, {"(T)", "📞☎"}, {"(O)", "🕐⏰"},
	{"(^)", "🎂"}, {"(B)", "🍺🍻"}, {"(D)", "🍸"}, {"(C)", "☕"}, {"(@)", "🐱🐈"}, {"(&)", "🐶🐕"}, {"(I)", "💡"}, {"(~)", "🎬"},
	{"(R)", "🌈"}, {":[", "🦇"}, {"(Z)", "👦"}, {"(X)", "👧"},
}

// typedFor has what is typed for each emoji.
var typedFor = sync.OnceValue(func() map[rune]string {
	m := map[rune]string{}
	for _, e := range emoticons {
		for _, r := range e.emoji {
			m[r] = e.typed
		}
	}
	return m
})

// Emoticon is what a user of Messenger types for an emoji, "" for one that it does
// not draw.
func Emoticon(emoji rune) string { return typedFor()[emoji] }

// lettered are those of them that are drawn as letters unless pictured follows
// (Unicode TR 51).
const (
	lettered = "❤☀✉"
	pictured = "\ufe0f"
)

// Emoji is the emoji for what a user of Messenger types, with or without a nose, ""
// when it draws nothing for that.
func Emoji(typed string) string {
	plain := func(s string) string { return strings.Replace(s, "-", "", 1) }
	for _, e := range emoticons {
		if !strings.EqualFold(plain(typed), plain(e.typed)) {
			continue
		}
		first, _ := utf8.DecodeRuneInString(e.emoji)
		if strings.ContainsRune(lettered, first) {
			return string(first) + pictured
		}
		return string(first)
	}
	return ""
}
