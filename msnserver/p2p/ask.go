package p2p

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
)

// maxObject is how large what a client shows of itself may be, in bytes.
const maxObject = 64 << 10

// asking is the client's own picture on its way from it to a contact.
type asking struct {
	of   *contact
	id   uint32 // of the session
	call string
	sum  [sha1.Size]byte
	part uint32 // the logical message that brings it
	data []byte
	take func(data []byte)
}

// Ask lets a contact ask the client for the data of its own MSNObject, as it shows it
// (MSNP.md D.8). take gets it, once, if it comes and has the check sum that object
// promises. Who asks again gives the question before up.
func (h *Host) Ask(address, object string, app uint32, take func(data []byte)) []Message {
	sum, ok := sumOf(object)
	if !ok {
		return nil
	}
	c := h.contact(address)
	h.asking = &asking{of: c, id: h.random()>>1 | 1, call: h.guid(), sum: sum, take: take}
	body := fmt.Sprintf("EUF-GUID: %s\r\nSessionID: %d\r\nAppID: %d\r\nContext: %s\r\n", objects, h.asking.id, app, base64.StdEncoding.EncodeToString([]byte(object+"\x00")))
	return h.say(c, h.request("INVITE", c, h.asking.call, bodySession, body))
}

// told takes in the client's answer to Ask.
func (h *Host) told(c *contact, m slp) {
	a := h.asking
	if a != nil && a.of == c && m.head.Get("Call-ID") == a.call && (m.is("BYE") || m.is("MSNSLP/1.0") && !strings.HasPrefix(m.start, "MSNSLP/1.0 200 ")) {
		h.asking = nil
	}
}

// received takes in data of the session that Ask began. What prepares it is four
// bytes without a flag. Parts come in order.
func (h *Host) received(c *contact, f frame) []Message {
	a := h.asking
	switch {
	case a == nil || a.of != c || f.session != a.id || f.total > maxObject || len(f.data) == 0:
		return nil
	case f.flags&flagObject == 0:
		if f.total != 4 || !f.last() {
			return nil
		}
		return h.ack(c, f)
	case f.offset == 0:
		a.part, a.data = f.id, nil
	}
	if f.id != a.part || f.offset != uint64(len(a.data)) {
		return nil
	}
	if a.data = append(a.data, f.data...); !f.last() {
		return nil
	}
	h.asking = nil
	if sha1.Sum(a.data) == a.sum {
		a.take(a.data)
	}
	return append(h.ack(c, f), h.say(c, h.request("BYE", c, a.call, bodyClose, ""))...)
}
