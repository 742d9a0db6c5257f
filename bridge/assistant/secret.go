package assistant

import (
	"regexp"
	"strings"
	"unicode"
)

var (
	// named is "password: …", "my token is …" and the like.
	named = regexp.MustCompile(`(?i)\b(pass(word|wort|phrase|code|wd)?|pwd|pw|pin|kennwort|token|secret|(recovery|security|access|api)[ _-]?key)\b\s*(=|:|is\b|ist\b|was\b)\s*\S`)
	// option is a command line with the secret on it.
	option = regexp.MustCompile(`(?i)--?(password|token|recovery-key)[ =]\S`)
	// token is an access token of a Matrix server.
	token = regexp.MustCompile(`\b(syt|syr|mat|mct|mcr|mua)_[0-9A-Za-z_]{8,}`)
	// recoveryKey is Matrix's: base58 in groups of four.
	recoveryKey = regexp.MustCompile(`\b[1-9A-HJ-NP-Za-km-z]{4}([ \t\r\n-]+[1-9A-HJ-NP-Za-km-z]{4}){7,}\b`)
)

// maxWord is the length from which a word of mixed characters is taken for a
// key rather than for a word.
const maxWord = 20

// secret tells whether a text probably holds a password, token or recovery
// key. It would rather see one too many: nothing is lost but an answer.
func secret(text string) bool {
	if named.MatchString(text) || option.MatchString(text) || token.MatchString(text) {
		return true
	}
	if key := recoveryKey.FindString(text); strings.ContainsAny(key, "123456789") {
		return true
	}
	for w := range strings.FieldsSeq(text) {
		if len(w) >= maxWord && !strings.ContainsAny(w, "@:/") && mixed(w) {
			return true
		}
	}
	return false
}

// mixed tells whether a word has letters and digits as no word has.
func mixed(w string) bool {
	letters, digits := 0, 0
	for _, r := range w {
		switch {
		case unicode.IsDigit(r):
			digits++
		case unicode.IsLetter(r):
			letters++
		}
	}
	return digits >= 2 && letters >= 2
}
