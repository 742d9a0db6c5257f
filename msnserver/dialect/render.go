package dialect

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// maxText is the longest text of one message in bytes: all clients take a whole
// message of wire.MaxMessage (MSNP.md D.1).
const maxText = 1400

// Render writes m as the payloads of one or more MSG. speaker is the name of
// the contact who says it; m.Name goes before it in rooms. What this version
// has no notion of becomes text. The bytes of an MSN sender are relayed as they
// are, unless the message is late: then it shows when it was sent, in the zone
// of m.At. There is always at least one.
func (d *Dialect) Render(m im.Message, speaker string) [][]byte {
	if len(m.Raw) > 0 && (!m.Late || m.Text == "") && d.takes(m) {
		return [][]byte{m.Raw}
	}
	if m.Kind == im.Nudge && d.Nudges && m.Name == "" && !m.Late {
		n := wire.NewMessage("text/x-msnmsgr-datacast")
		n.Body = []byte("ID: 1\r\n\r\n\r\n")
		return [][]byte{n.Bytes()}
	}
	m.Name, speaker = oneLine(m.Name), oneLine(speaker)
	if m.Name != "" {
		speaker = m.Name
	}
	text := words(m, speaker)
	if strings.TrimSpace(text) == "" {
		text = fmt.Sprintf("* %s sent something that can't be shown here", speaker)
	}
	var before string
	if m.Late {
		before = m.At.Format("(sent 2 Jan 15:04) ")
	}
	switch {
	case m.Own:
		before += "(me elsewhere) "
	case m.Name != "" && (m.Kind == im.Text || m.Kind == im.Notice) && m.Rel.Kind != im.Edit && m.Rel.Kind != im.Retract && m.Rel.Kind != im.React && m.File == nil:
		before += m.Name + ": "
	}
	var out [][]byte
	for _, part := range splitText(d.legible(before+text), maxText) {
		p := wire.NewMessage("text/plain; charset=UTF-8")
		if f := d.format(m); f != "" && d.Fonts {
			p.Add("X-MMS-IM-Format", f)
		}
		p.Body = []byte(part)
		out = append(out, p.Bytes())
	}
	return out
}

// takes says whether a client of this version makes sense of the bytes of an MSN
// sender, or nobody can: what is neither words nor an offer is between programs.
func (d *Dialect) takes(m im.Message) bool {
	if m.Kind == im.Text && m.Offer == "" || d.Nudges && d.Pictures {
		return true
	}
	raw, _ := wire.ParseMessage(m.Raw)
	switch raw.Type() {
	case "text/x-msnmsgr-datacast":
		return d.Nudges
	case "application/x-msnmsgrp2p":
		return d.Pictures
	}
	return true
}

// words is what m says, as text with CR LF between lines.
func words(m im.Message, speaker string) string {
	text := strings.TrimRight(im.Plain(strings.ToValidUTF8(m.Text, "?")), "\n")
	switch {
	case m.File != nil:
		text = strings.TrimRight(fmt.Sprintf("* %s sent a %s: %s%s\n%s", speaker, sort(m.File.Type), oneLine(m.File.Name), size(m.File.Size), text), "\n")
	case m.Offer != "":
		text = fmt.Sprintf("* %s offers %s, which this version of Messenger can't take", speaker, m.Offer)
	case m.Kind == im.Nudge:
		text = fmt.Sprintf("* %s sent you a nudge", speaker)
	case m.Rel.Kind == im.Edit:
		text = "* corrected: " + text
		if m.Name != "" {
			text = "* " + speaker + strings.TrimPrefix(text, "*")
		}
	case m.Rel.Kind == im.Retract && text == "" && m.Rel.Quote == "":
		text = fmt.Sprintf("* %s deleted a message", speaker)
	case m.Rel.Kind == im.Retract:
		text = fmt.Sprintf("* %s deleted: %q", speaker, cmp.Or(text, m.Rel.Quote))
	case m.Rel.Kind == im.React && m.Rel.Quote != "":
		text = fmt.Sprintf("* %s reacted %s to %q", speaker, text, im.Short(m.Rel.Quote, maxReacted))
	case m.Rel.Kind == im.React:
		text = fmt.Sprintf("* %s reacted %s", speaker, text)
	case m.Kind == im.Emote:
		text = fmt.Sprintf("* %s %s", speaker, text)
	}
	if m.Rel.Kind == im.Reply && m.Rel.Quote != "" {
		text = "> " + im.Short(m.Rel.Quote, maxQuoted) + "\n" + text
	}
	return strings.ReplaceAll(text, "\n", "\r\n")
}

// How many characters of an earlier message are shown with an answer, and with a
// reaction.
const (
	maxQuoted  = 60
	maxReacted = 30
)

// sort is what sort of file has the MIME type.
func sort(mime string) string {
	kind, _, _ := strings.Cut(mime, "/")
	return cmp.Or(map[string]string{"image": "picture", "audio": "sound", "video": "video"}[kind], "file")
}

// size is a file's size for a person, "" when it is not known.
func size(n int64) string {
	switch {
	case n <= 0:
		return ""
	case n < 1000:
		return fmt.Sprintf(" (%d bytes)", n)
	case n < 1000*1000:
		return fmt.Sprintf(" (%d kB)", (n+500)/1000)
	}
	return fmt.Sprintf(" (%.1f MB)", float64(n)/1e6)
}

// notice is how machine-made text looks (MAPPING.md): grey and italic.
var notice = im.Style{Effects: "I", Color: "808080"}

// maxFont is the longest name of a font in bytes, escaped; Windows has 31
// characters.
const maxFont = 93

// format is m's style in the terms of X-MMS-IM-Format, "" for the client's own.
func (d *Dialect) format(m im.Message) string {
	s := m.Style
	if m.Kind == im.Notice && s == (im.Style{}) {
		s = notice
	}
	if s == (im.Style{}) {
		return ""
	}
	font := s.Font
	if font == "" {
		font = "MS Sans Serif"
	}
	return fmt.Sprintf("FN=%s; EF=%s; CO=%s; CS=0; PF=22", d.escapeCut(strings.ReplaceAll(oneLine(font), ";", ""), maxFont), effects(s.Effects), swapColor(s.Color))
}

// effects keeps the letters that mean something.
func effects(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("BIUS", r) {
			return r
		}
		return -1
	}, s)
}

// swapColor turns RRGGBB into BBGGRR without leading zeros and back: MSNP
// counts colours from blue (MSNP.md D.1). What is no colour is black.
func swapColor(c string) string {
	if len(c) > 6 || strings.Trim(c, "0123456789abcdefABCDEF") != "" {
		return "0"
	}
	c = strings.ToLower(strings.Repeat("0", 6-len(c)) + c)
	c = strings.TrimLeft(c[4:]+c[2:4]+c[:2], "0")
	if c == "" {
		return "0"
	}
	return c
}

// splitText cuts text into parts of at most most bytes: at the last line end or
// space of the second half of a part, else between characters. The blank at a
// cut is dropped.
func splitText(text string, most int) (parts []string) {
	for len(text) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		end := cut
		if i := strings.LastIndexAny(text[:cut+1], " \n"); i > most/2 && text[cut] != ' ' {
			end, cut = i, i
		}
		parts = append(parts, strings.TrimRight(text[:end], " \r\n"))
		text = strings.TrimLeft(text[cut:], " \r\n")
	}
	if text != "" {
		parts = append(parts, text)
	}
	return parts
}
