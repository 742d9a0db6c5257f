package dialect

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf16"

	"nudge/msnserver/wire"
)

// What is offered, by the GUID of the invitation; what is not here is not worth
// a word (pictures are asked for by programs).
var offers = map[string]string{
	"{5D3E02AB-6190-11D3-BBBB-00C04F795683}": "a file",
	"{4BD96FC0-AB17-4425-A14A-439185962DC8}": "a webcam picture",
	"{1C9AA97E-9C05-4583-A3BD-908A196F1E92}": "a webcam picture",
	"{41D3E74E-04A2-4B37-96F8-08ACDB610874}": "photos",
	"{6A13AF9C-5308-4F35-923A-67E8DDA40C2F}": "a game",
	"{44BBA842-CC51-11CF-AAFA-00AA00B6015C}": "NetMeeting",
	"{02D3C01F-BF30-4825-A83A-DE7AF41648AA}": "a voice conversation",
	"{56B994A7-380F-410B-9985-C809D78C1BDC}": "remote assistance",
}

// offer names what a client offers and waits for an answer to: an invitation of
// the old kind (MSNP.md D.4) or the first part of an INVITE over P2P (D.5, D.6).
// It is "" for everything else.
func offer(m wire.Message) string {
	if m.Type() == "text/x-msmsgsinvite" {
		body, _ := wire.ParseMessage(m.Body)
		if !strings.EqualFold(body.Get("Invitation-Command"), "INVITE") {
			return ""
		}
		return named(body.Get("Application-GUID"), body.Get("Application-File"))
	}
	const header = 48
	if len(m.Body) < header+4 || binary.LittleEndian.Uint32(m.Body) != 0 || binary.LittleEndian.Uint64(m.Body[8:]) != 0 {
		return "" // data, or a later part
	}
	slp := m.Body[header:]
	if !bytes.HasPrefix(slp, []byte("INVITE ")) {
		return ""
	}
	_, rest, _ := bytes.Cut(slp, []byte("\r\n\r\n"))
	body, _ := wire.ParseMessage(rest)
	return named(body.Get("EUF-GUID"), fileName(body.Get("Context")))
}

func named(guid, file string) string {
	what := offers[strings.ToUpper(guid)]
	if file = oneLine(file); what == "a file" && file != "" {
		return "the file " + file
	}
	return what
}

// fileName reads the name out of as much of a file context as is there
// (MSNP.md D.9): UTF-16 from byte 20 on.
func fileName(context string) string {
	b, _ := base64.StdEncoding.DecodeString(context[:len(context)/4*4])
	const from, most = 20, 520
	if len(b) < from {
		return ""
	}
	b = b[from:min(len(b), from+most)]
	var name []uint16
	for ; len(b) >= 2; b = b[2:] {
		c := binary.LittleEndian.Uint16(b)
		if c == 0 {
			break
		}
		name = append(name, c)
	}
	return string(utf16.Decode(name))
}
