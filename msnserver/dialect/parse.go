package dialect

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// Parse reads the payload of a client's MSG: an im.Typing, or an im.Message
// whose Raw is the payload itself. What means nothing to a network (pictures,
// invitations, capabilities) is a message with Raw alone. ok is false for a
// payload that is no message at all.
func Parse(payload []byte) (ev im.Event, ok bool) {
	m, ok := wire.ParseMessage(payload)
	if !ok {
		return nil, false
	}
	msg := im.Message{Raw: payload}
	switch m.Type() {
	case "text/x-msmsgscontrol":
		if m.Get("TypingUser") != "" {
			return im.Typing{On: true}, true
		}
	case "text/x-msnmsgr-datacast":
		datacast(m, &msg)
	case "application/x-ms-ink", "image/gif":
		msg.Kind, msg.Text = im.Emote, "sent a drawing"
	case "application/x-msnmsgrp2p", "text/x-msmsgsinvite":
		msg.Offer = offer(m)
	case "text/plain":
		msg.Text = decode(m.Body, m.Param("Content-Type", "charset"))
		msg.Style = style(m)
		if act, found := strings.CutPrefix(msg.Text, "/me "); found {
			msg.Kind, msg.Text = im.Emote, act
		}
	}
	return msg, true
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
		if text := strings.Map(printable, strings.ToValidUTF8(body.Get("Data"), "?")); text != "" {
			msg.Kind, msg.Text = im.Emote, text
		}
	}
}

// decode turns a body into text with LF between lines. Without a charset it is
// ISO-8859-1, but several clients leave the word out and mean UTF-8: so what
// reads as UTF-8 is taken as that (MSNP.md A.6). An unknown charset is treated
// in the same way.
func decode(body []byte, charset string) string {
	enc, err := htmlindex.Get(charset)
	if err != nil || charset == "" {
		enc, _ = htmlindex.Get("iso-8859-1")
		if utf8.Valid(body) {
			enc, _ = htmlindex.Get("utf-8")
		}
	}
	text, err := enc.NewDecoder().Bytes(body)
	if err != nil {
		text = bytes.ToValidUTF8(body, []byte("?"))
	}
	return strings.Map(printable, lineEnds.Replace(string(text)))
}

// printable drops the control characters that XML forbids.
func printable(r rune) rune {
	if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == 0xfffe || r == 0xffff {
		return -1
	}
	return r
}

// style reads X-MMS-IM-Format.
func style(m wire.Message) (s im.Style) {
	const field = "X-MMS-IM-Format"
	if m.Get(field) == "" {
		return s
	}
	s.Font = strings.Map(printable, strings.ToValidUTF8(wire.Unescape(m.Param(field, "FN")), "?"))
	s.Effects = effects(m.Param(field, "EF"))
	if c := m.Param(field, "CO"); c != "" {
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
