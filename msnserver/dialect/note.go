package dialect

import (
	"bytes"
	"encoding/xml"
	"io"
	"strconv"
	"strings"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// gone is what a client that can't write to somebody offline is told about one
// whose messages are kept for him.
const gone = "(gets it later)"

// maxNote is the longest note and the longest media text in bytes: far more than
// clients let anybody write, and what each watcher may be sent.
const maxNote = 1000

// Note tells a client what who says about himself and listens to: UBX, after his
// presence. There is none for a version without notes, for somebody who is not
// there, and at first (with the transaction id of a request) where there is
// nothing to tell.
func (d *Dialect) Note(trid string, who im.Person, now im.Presence) (c wire.Command, ok bool) {
	who, now = d.shown(who, now)
	empty := now.Note == "" && now.Media == "" && now.Playing == ""
	if d.Personal == nil || now.Status == im.Offline || now.Status == im.Hidden || trid != "" && empty {
		return c, false
	}
	return d.Personal(d, who, now), true
}

// NameWithNote is who with his note after his name, for a version that can show
// it nowhere else.
func (d *Dialect) NameWithNote(who im.Person, now im.Presence) im.Person {
	note := now.Note
	if note == "" && now.Media != "" {
		note = "♫ " + now.Media
	}
	if d.Personal == nil && note != "" {
		if who.Name == "" {
			who.Name = d.Handle(who.Addr)
		}
		who.Name += " - " + note
	}
	return who
}

func personal11(d *Dialect, who im.Person, now im.Presence) wire.Command {
	playing := now.Playing
	if playing == "" && now.Media != "" {
		playing = `\0Music\01\0{0}\0` + strings.ReplaceAll(now.Media, `\0`, "") + `\0`
	}
	text := "<Data><PSM>" + entities(clip(d.legible(now.Note))) + "</PSM><CurrentMedia>" + entities(playing) + "</CurrentMedia></Data>"
	return wire.Command{Verb: "UBX", Args: []string{d.Handle(who.Addr)}, Payload: []byte(text)}
}

// entities escapes text for XML with the named entities, which is all that
// clients before MSNP13 read (MSNP.md K.14). What XML forbids is left out.
func entities(s string) string {
	return xmlNames.Replace(im.Plain(strings.ToValidUTF8(s, "?")))
}

var xmlNames = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

// clip cuts a note that is too long.
func clip(s string) string {
	for len(s) > maxNote {
		s = dropLast(s)
	}
	return s
}

// ParseNote reads the payload of UUX into p: the note, and what is playing both
// as the client sent it and as words. Elements are found at any depth. ok is
// false when it is no XML; p is as it was then.
func ParseNote(payload []byte, p im.Presence) (_ im.Presence, ok bool) {
	dec := xml.NewDecoder(bytes.NewReader(payload))
	dec.Strict = false
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	was := p
	p.Note, p.Media, p.Playing = "", "", ""
	var into *string
	for {
		tok, err := dec.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return was, false
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			switch into = nil; tok.Name.Local {
			case "PSM":
				into = &p.Note
			case "CurrentMedia":
				into = &p.Playing
			}
		case xml.EndElement:
			into = nil
		case xml.CharData:
			if into != nil {
				*into += string(tok)
			}
		}
	}
	p.Note = strings.TrimSpace(clip(oneLine(p.Note))) // the cut may be at a blank
	if p.Playing = oneLine(p.Playing); len(p.Playing) > maxNote {
		p.Playing = ""
	}
	p.Media = media(p.Playing)
	return p, true
}

// media is CurrentMedia in words, "" when nothing is playing. Its fields stand
// between the characters \0: program, type, 1 for on, a format with {0} and so
// on, and what to put in. Music has the title first and the artist second
// (MSNP.md B.16).
func media(current string) string {
	f := strings.Split(current, `\0`)
	if len(f) < 5 || f[2] != "1" {
		return ""
	}
	parts := f[4:]
	if f[1] == "Music" && len(parts) > 1 && parts[0] != "" && parts[1] != "" {
		return parts[1] + " – " + parts[0]
	}
	text := f[3]
	for i, part := range parts {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", part)
	}
	return clip(strings.TrimSpace(text))
}
