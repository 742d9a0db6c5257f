package dialect

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"nudge/bridge/im"
	"nudge/bridge/im/codepage"
	"nudge/msnserver/wire"
)

// Ear understands what one client says. It belongs to one goroutine.
//
// A client puts the same header before all its words until its user takes
// another font, so what the last one meant is kept.
type Ear struct {
	Page string // the encoding of a client that names none, "" for Western European

	head []byte // of the last words, with the empty line
	last manner
}

// manner is how words are written.
type manner struct {
	charset, page string // see decode
	style         im.Style
}

// Read reads the payload of a client's MSG: a note that its user is typing, or a
// message whose Raw is the payload itself. What means nothing to a network
// (pictures, invitations, capabilities, or no message at all) has Raw alone.
func (e *Ear) Read(payload []byte) (msg im.Message, typing bool) {
	msg.Raw = payload
	if body, same := bytes.CutPrefix(payload, e.head); same && len(e.head) > 0 {
		e.last.words(body, &msg)
		return msg, false
	}
	m, _ := wire.ParseMessage(payload)
	switch m.Type() {
	case "text/x-msmsgscontrol":
		return msg, m.Get("TypingUser") != ""
	case "text/x-msnmsgr-datacast":
		datacast(m, &msg)
	case "application/x-ms-ink", "image/gif":
		msg.Kind, msg.Text = im.Emote, "sent a drawing"
	case "application/x-msnmsgrp2p", "text/x-msmsgsinvite":
		msg.Offer = offer(m)
	case "text/plain":
		e.last = manner{m.Param("Content-Type", "charset"), fontPage(m.Param(formatField, "CS"), e.Page), style(m)}
		e.head = nil
		if m.Body != nil { // there is an empty line
			e.head = bytes.Clone(payload[:len(payload)-len(m.Body)])
		}
		e.last.words(m.Body, &msg)
	}
	return msg, false
}

// words reads text.
func (w *manner) words(body []byte, msg *im.Message) {
	msg.Text, msg.Style = im.Plain(decode(body, w.charset, w.page)), w.style
	if act, found := strings.CutPrefix(msg.Text, "/me "); found {
		msg.Kind, msg.Text = im.Emote, act
	}
}

// datacast reads what is sent beside words (MSNP.md D.3): a nudge, or what
// becomes words for whoever can't see it.
func datacast(m wire.Message, msg *im.Message) {
	switch body, _ := wire.ParseMessage(m.Body); body.Get("ID") {
	case "1":
		msg.Kind = im.Nudge
	case "2":
		msg.Kind, msg.Text = im.Emote, "sent a wink"
	case "3":
		msg.Kind, msg.Text = im.Emote, "sent a voice clip"
	case "4":
		if text := oneLine(body.Get("Data")); text != "" {
			msg.Kind, msg.Text = im.Emote, text
		}
	}
}

// fontPages are the encodings that a font's character set stands for (CS of
// X-MMS-IM-Format, MSNP.md D.1). 0 and 1 are those of the client's Windows.
var fontPages = map[string]string{
	"80": "shift_jis", "81": "euc-kr", "86": "gbk", "88": "big5", "a1": "windows-1253", "a2": "windows-1254", "a3": "windows-1258",
	"b1": "windows-1255", "b2": "windows-1256", "ba": "windows-1257", "cc": "windows-1251", "de": "windows-874", "ee": "windows-1250",
}

// fontPage is the encoding that a font points to, page when to none. Russian
// without Windows is KOI8, in the same fonts.
func fontPage(cs, page string) string {
	font := fontPages[strings.ToLower(cs)]
	if font == "" || font == "windows-1251" && strings.HasPrefix(page, "koi8") {
		return page
	}
	return font
}

// decode makes text of bytes in one of these encodings, the first that is known.
// When charset, which the client gave, is not, what reads as UTF-8 is taken as
// that: several clients leave the word out and mean it. The last resort is
// ISO-8859-1 (MSNP.md A.6).
func decode(b []byte, charset, page string) string {
	valid := utf8.Valid(b)
	if valid && strings.EqualFold(charset, "utf-8") {
		return string(b) // nearly always
	}
	if !codepage.Known(charset) {
		if valid {
			return string(b)
		}
		charset = page
	}
	return codepage.Decode(b, charset)
}

// Text reads an argument that a person wrote: a name. It is UTF-8, but programs
// of the first years use the encoding of their system.
func Text(arg, page string) string { return im.Plain(decode([]byte(wire.Unescape(arg)), "", page)) }

// formatField is the header about font and colour.
const formatField = "X-MMS-IM-Format"

// style reads X-MMS-IM-Format.
func style(m wire.Message) (s im.Style) {
	if m.Get(formatField) == "" {
		return s
	}
	s.Font = oneLine(wire.Unescape(m.Param(formatField, "FN")))
	s.Effects = effects(m.Param(formatField, "EF"))
	if c := m.Param(formatField, "CO"); c != "" && c != "0" {
		if c = swapColor(c); c != "0" {
			s.Color = strings.Repeat("0", 6-len(c)) + c
		}
	}
	return s
}

// TypingNote is the payload that tells a client that handle is writing
// (MSNP.md D.2).
func TypingNote(handle string) []byte {
	m := wire.NewMessage("text/x-msmsgscontrol")
	m.Add("TypingUser", handle)
	m.Body = []byte("\r\n")
	return m.Bytes()
}
