package p2p

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// filesGUID is the EUF-GUID of sessions in which the client gives a file away.
const filesGUID = "{5D3E02AB-6190-11D3-BBBB-00C04F795683}"

// maxComing is how many files a client may be giving away at once.
const maxComing = 4

// Offer is a file that the client would like to give to a contact.
type Offer struct {
	To   string // the contact's address
	Name string // as the client says, perhaps with a path
	Size int64  // bytes
}

// File is where one goes. It may end by itself: whoever has the Host says then Settle.
type File interface {
	Write(b []byte) (int, error) // what comes next; an error means that no more is wanted
	Whole() bool                 // all came
	GiveUp()                     // the client will not send the rest
}

// coming is a file on its way from the client to a contact.
type coming struct {
	to     *contact
	id     uint32 // of the session
	invite slp
	file   File
	size   uint64
	part   uint32 // the logical message that brings it
	got    uint64
	wanted bool  // the invitation was answered
	last   frame // ends it
}

// OffersFile tells whether the payload of a MSG begins to offer a file, so that its
// addressee's Take will say what becomes of that.
func OffersFile(payload []byte) bool {
	if Addressee(payload) == "" {
		return false
	}
	f, ok := parseFrame(content(payload))
	return ok && f.session == 0 && f.offset == 0 && strings.EqualFold(parseSLP(f.data).body.Get("EUF-GUID"), filesGUID)
}

// offered takes up an INVITE for a file, or declines. Its answer follows by Want or
// Settle.
func (h *Host) offered(c *contact, m slp) []Message {
	id := m.number("SessionID")
	o, ok := parseOffer(m.body.Get("Context"))
	o.To = c.address
	if id == 0 || !ok || h.coming[id] != nil || len(h.coming) >= maxComing || h.files == nil {
		return h.decline(c, m)
	}
	f := h.files(o)
	if f == nil {
		return h.decline(c, m)
	}
	h.coming[id] = &coming{to: c, id: id, invite: m, file: f, size: uint64(o.Size)}
	return nil
}

// parseOffer reads the context of an invitation (MSNP.md D.9).
func parseOffer(context string) (o Offer, ok bool) {
	const size, name, end = 8, 20, 540
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(context, "= "))
	if err != nil || len(b) < end {
		return o, false
	}
	var units []uint16
	for at := name; at < end; at += 2 {
		u := binary.LittleEndian.Uint16(b[at:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	o.Name, o.Size = string(utf16.Decode(units)), int64(binary.LittleEndian.Uint64(b[size:]))
	return o, o.Size >= 0
}

// bringing is what goes there, nil when nothing does.
func (h *Host) bringing(f File) *coming {
	for _, x := range h.coming {
		if x.file == f {
			return x
		}
	}
	return nil
}

// Want lets the client send a file that it offered.
func (h *Host) Want(f File) []Message {
	x := h.bringing(f)
	if x == nil || x.wanted {
		return nil
	}
	x.wanted = true
	return h.say(x.to, x.invite.reply("200 OK", h.client, x.to.address, bodySession, fmt.Sprintf("SessionID: %d\r\n", x.id)))
}

// took takes in a part of a file. They come in order; the last is acknowledged when
// the file has arrived (Settle).
func (h *Host) took(x *coming, f frame) []Message {
	switch {
	case f.flags&flagFile == 0 && f.total == 4 && x.size != 4 && f.last(): // what prepares pictures
		return h.ack(x.to, f)
	case !x.wanted || f.total != x.size || len(f.data) == 0:
		return nil
	case f.offset == 0 && x.got == 0:
		x.part = f.id
	}
	if f.id != x.part || f.offset != x.got {
		return nil
	}
	if _, err := x.file.Write(f.data); err != nil {
		return nil
	}
	if x.got += uint64(len(f.data)); f.last() {
		x.last = f
		x.last.data = nil
	}
	return nil
}

// Settle ends a file: the client is told that it has arrived, or that it will not.
func (h *Host) Settle(f File, arrived bool) []Message {
	x := h.bringing(f)
	if x == nil {
		return nil
	}
	delete(h.coming, x.id)
	if !x.wanted {
		return h.decline(x.to, x.invite)
	}
	bye := h.say(x.to, h.request("BYE", x.to, x.invite.head.Get("Call-ID"), bodyClose, ""))
	if !arrived {
		return bye
	}
	return append(h.ack(x.to, x.last), bye...)
}

// withdrawn ends a file that the client took back.
func (h *Host) withdrawn(x *coming) {
	delete(h.coming, x.id)
	x.file.GiveUp()
}

// Close says that the client is gone: what it did not send whole will not come.
func (h *Host) Close() {
	for _, x := range h.coming {
		if !x.file.Whole() {
			x.file.GiveUp()
		}
	}
	clear(h.coming)
}
