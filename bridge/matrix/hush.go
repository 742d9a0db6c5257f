package matrix

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"maunium.net/go/mautrix/id"
)

// hush is what the account's push rules say of windows (MAPPING.md §0): a muted
// room opens none, one that notifies of mentions opens one for those. Only rules
// about one room count: whom the others are for, phones, is not here.
type hush struct {
	Muted    []id.RoomID `json:"muted,omitempty"`
	Mentions []id.RoomID `json:"mentions,omitempty"`
	Words    []string    `json:"words,omitempty"` // that are as good as a mention
}

// pushRule is one rule of m.push_rules (client-server API, push rules).
type pushRule struct {
	ID         string `json:"rule_id"`
	Enabled    bool   `json:"enabled"`
	Pattern    string `json:"pattern"`
	Conditions []struct {
		Kind    string `json:"kind"`
		Key     string `json:"key"`
		Pattern string `json:"pattern"`
	} `json:"conditions"`
	Actions []json.RawMessage `json:"actions"`
}

// notifies tells whether what the rule is about is worth a sound.
func (p *pushRule) notifies() bool {
	return slices.ContainsFunc(p.Actions, func(a json.RawMessage) bool {
		s, _ := decode[string](a)
		return s == "notify" || s == "coalesce"
	})
}

// readHush reads m.push_rules.
func readHush(content json.RawMessage) (h hush) {
	c, _ := decode[struct {
		Global struct{ Override, Room, Content []pushRule } `json:"global"`
	}](content)
	for _, p := range c.Global.Override {
		if len(p.Conditions) != 1 || !p.Enabled || p.notifies() {
			continue
		}
		if is := p.Conditions[0]; is.Kind == "event_match" && is.Key == "room_id" && strings.HasPrefix(is.Pattern, "!") {
			h.Muted = append(h.Muted, id.RoomID(is.Pattern))
		}
	}
	for _, p := range c.Global.Room {
		if p.Enabled && !p.notifies() {
			h.Mentions = append(h.Mentions, id.RoomID(p.ID))
		}
	}
	for _, p := range c.Global.Content {
		if p.Enabled && p.notifies() && p.Pattern != "" {
			h.Words = append(h.Words, strings.ToLower(p.Pattern))
		}
	}
	return h
}

// quiet tells whether an event, after it was decrypted, opens no window.
func (m *memory) quiet(r id.RoomID, e *evt) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.hush.Muted, r) {
		return true
	}
	return slices.Contains(m.hush.Mentions, r) && !m.mentions(e)
}

// mentions tells whether an event speaks to the account. mu is held.
func (m *memory) mentions(e *evt) bool {
	c, _ := decode[struct {
		Body     string `json:"body"`
		Mentions *struct {
			Users []id.UserID `json:"user_ids"`
			Room  bool        `json:"room"`
		} `json:"m.mentions"`
	}](e.Content)
	if c.Mentions != nil && (c.Mentions.Room || slices.Contains(c.Mentions.Users, m.me)) {
		return true
	}
	spoken := func(word string) bool { return says(strings.ToLower(c.Body), word) }
	if c.Mentions != nil { // whoever says whom he means does not mean others
		own := strings.ToLower(m.me.Localpart())
		return slices.ContainsFunc(m.hush.Words, func(word string) bool { return word != own && spoken(word) })
	}
	return spoken(strings.ToLower(m.me.Localpart())) || slices.ContainsFunc(m.hush.Words, spoken)
}

// says tells whether a text has a word, or words, of its own.
func says(text, word string) bool {
	inside := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
	for from := 0; word != ""; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			break
		}
		before, _ := utf8.DecodeLastRuneInString(text[:from+i]) // at an end no letter
		after, _ := utf8.DecodeRuneInString(text[from+i+len(word):])
		if !inside(before) && !inside(after) {
			return true
		}
		from += i + len(word)
	}
	return false
}
