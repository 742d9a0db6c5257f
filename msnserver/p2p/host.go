// Package p2p is what MSN clients send one another beside words: frames, and in
// them MSNSLP, with which one asks another for a picture or offers a file (MSNP.md D.5
// to D.10), and how files went before (ftp.go, D.4).
//
// A Host plays the contacts of a conversation that have no client of their own, who
// give their pictures, ask for the client's and take its files: payloads of MSG go in,
// payloads come out. It has no goroutines, does no I/O and
// knows no time: whoever has it asks it about one payload after the other.
//
// # Pace
//
// A picture goes through four steps, and the client says that each has arrived
// before the next is made: the answer to its invitation, four bytes that prepare
// it, the picture, the end. Within the picture nothing is acknowledged; so of all
// the contacts in a conversation only one sends his at a time, and the others wait.
package p2p

import (
	"crypto/sha1"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"nudge/msnserver/wire"
)

// maxSLP is the longest message of MSNSLP that is put together, in bytes. One with
// a picture's object has about 900.
const maxSLP = 8 << 10

// Message is the payload of a MSG that a contact says.
type Message struct {
	From    string // his address
	Payload []byte
}

// Host answers one client for the contacts in one conversation. It belongs to one
// goroutine.
type Host struct {
	client   string
	picture  func(contact string, sha1 [sha1.Size]byte) []byte
	files    func(Offer) File
	random   func() uint32
	contacts map[string]*contact // by address in lower case
	turn     *contact            // who sends his picture now
	waiting  []*contact          // who would like to
	asking   *asking             // nil while nobody wants to see the client's own
	coming   map[uint32]*coming  // files from the client, by their sessions
}

// contact is one who is played.
type contact struct {
	address string
	id      uint32 // of what he said last
	part    []byte // of what the client says to him, as far as it came
	partID  uint32
	session *session // nil while the client wants nothing
}

// session is a picture on its way.
type session struct {
	id, app uint32
	call    string
	sum     [sha1.Size]byte // of the picture
	// What he said last, which the client has to acknowledge first, and what is to
	// follow then.
	said uint32
	next step
}

// step is a stage of a session.
type step uint8

const (
	prepare step = iota
	send
	end
)

// New makes the host of a client with that address. picture gives what a contact
// shows when that has the check sum that is asked for, else nil. files says where a
// file goes, nil when it is not taken; it must not call the Host. It may be nil.
func New(client string, picture func(contact string, sha1 [sha1.Size]byte) []byte, files func(Offer) File) *Host {
	return &Host{client: client, picture: picture, files: files, random: rand.Uint32, contacts: map[string]*contact{}, coming: map[uint32]*coming{}}
}

// Addressee is whom the payload of a MSG is for, "" when there is no frame in it.
func Addressee(payload []byte) string {
	m, _ := wire.ParseMessage(payload)
	if m.Type() != contentType {
		return ""
	}
	to, _, _ := strings.Cut(m.Get("P2P-Dest"), ";")
	return to
}

// Take answers what the client said to the contact that Addressee names. The caller
// has made sure that it is one who is played.
func (h *Host) Take(payload []byte) []Message {
	f, ok := parseFrame(content(payload))
	to := Addressee(payload)
	if !ok || to == "" {
		return nil
	}
	c := h.contact(to)
	x := h.coming[f.session]
	if x != nil && x.to != c {
		x = nil
	}
	switch {
	case f.flags&flagAck != 0:
		return h.acknowledged(c, f.ack)
	case f.flags&(flagError|flagCancel|flagEnding) != 0:
		switch {
		case x != nil:
			h.withdrawn(x)
		case f.session != 0 && c.session != nil && c.session.id == f.session:
			return h.over(c)
		}
	case f.session == 0 && f.flags&^flagCompat == 0:
		whole, ok := c.gather(f)
		if !ok {
			return nil
		}
		return append(h.ack(c, f), h.heard(c, parseSLP(whole))...)
	case x != nil:
		return h.took(x, f)
	case f.session != 0:
		return h.received(c, f)
	}
	return nil
}

// content is what follows the fields of a payload.
func content(payload []byte) []byte {
	m, _ := wire.ParseMessage(payload)
	return m.Body
}

// contact is the one with that address.
func (h *Host) contact(address string) *contact {
	key := strings.ToLower(address)
	c := h.contacts[key]
	if c == nil {
		c = &contact{address: address, id: h.random() >> 2}
		h.contacts[key] = c
	}
	return c
}

// gather puts a message of MSNSLP together. Its parts come in order.
func (c *contact) gather(f frame) (whole []byte, ok bool) {
	if f.offset == 0 {
		c.part, c.partID = nil, f.id
	}
	if f.id != c.partID || f.offset != uint64(len(c.part)) || f.total > maxSLP || len(f.data) == 0 {
		return nil, false
	}
	c.part = append(c.part, f.data...)
	if !f.last() {
		return nil, false
	}
	whole, c.part = c.part, nil
	return whole, true
}

// heard acts on a message of MSNSLP.
func (h *Host) heard(c *contact, m slp) []Message {
	h.told(c, m)
	call, kind := m.head.Get("Call-ID"), strings.ToLower(m.head.Get("Content-Type"))
	var x *coming
	for _, o := range h.coming {
		if o.to == c && o.invite.head.Get("Call-ID") == call {
			x = o
		}
	}
	switch {
	case m.is("INVITE") && kind == bodySession && strings.EqualFold(m.body.Get("EUF-GUID"), filesGUID):
		return h.offered(c, m)
	case m.is("INVITE") && kind == bodySession:
		return h.invited(c, m)
	case m.is("INVITE") && kind == bodyTransport: // it would come itself for the data
		nonce := "Nonce"
		if m.body.Get("Hashed-Nonce") != "" {
			nonce = "Hashed-Nonce"
		}
		body := "Bridge: TCPv1\r\nListening: false\r\n" + nonce + ": {00000000-0000-0000-0000-000000000000}\r\n"
		return h.say(c, m.reply("200 OK", h.client, c.address, bodyOffer, body))
	case m.is("BYE") && x != nil:
		h.withdrawn(x)
	case m.is("BYE") && c.session != nil && c.session.call == call:
		return h.over(c)
	}
	return nil
}

// invited answers an INVITE for what a contact has: only pictures. Who asks again gave
// the one before up.
func (h *Host) invited(c *contact, m slp) (out []Message) {
	sum, known := sumOf(m.object())
	s := &session{id: m.number("SessionID"), app: m.number("AppID"), call: m.head.Get("Call-ID"), sum: sum}
	if s.id == 0 || !known || h.picture(c.address, s.sum) == nil {
		return h.decline(c, m)
	}
	if c.session != nil {
		out = h.over(c)
	}
	c.session = s
	out = append(out, h.say(c, m.reply("200 OK", h.client, c.address, bodySession, fmt.Sprintf("SessionID: %d\r\n", s.id)))...)
	s.said = c.id
	return out
}

// decline refuses an INVITE.
func (h *Host) decline(c *contact, m slp) []Message {
	return h.say(c, m.reply("603 Decline", h.client, c.address, bodySession, fmt.Sprintf("SessionID: %d\r\n", m.number("SessionID"))))
}

// acknowledged goes on with c's picture when the client has got what it is to get
// first.
func (h *Host) acknowledged(c *contact, id uint32) []Message {
	s := c.session
	if s == nil || id == 0 || id != s.said {
		return nil
	}
	switch s.next {
	case prepare:
		s.next = send
		out := h.data(c, 0, make([]byte, 4))
		s.said = c.id
		return out
	case send:
		s.said = 0 // nothing, until it is his turn
		h.waiting = append(h.waiting, c)
		return h.pass()
	}
	return h.over(c)
}

// pass lets the next contact send, if nobody does.
func (h *Host) pass() (out []Message) {
	for h.turn == nil && len(h.waiting) > 0 {
		c := h.waiting[0]
		h.waiting = h.waiting[1:]
		picture := h.picture(c.address, c.session.sum)
		if picture == nil { // he shows another one by now
			out = append(out, h.say(c, h.request("BYE", c, c.session.call, bodyClose, ""))...)
			c.session = nil
			continue
		}
		out = append(out, h.data(c, flagObject, picture)...)
		c.session.said, c.session.next = c.id, end
		h.turn = c
	}
	return out
}

// over ends c's session, and others have their turn.
func (h *Host) over(c *contact) []Message {
	c.session = nil
	h.waiting = slices.DeleteFunc(h.waiting, func(o *contact) bool { return o == c })
	if h.turn == c {
		h.turn = nil
	}
	return h.pass()
}

// ack says that the logical message that f ends has arrived.
func (h *Host) ack(c *contact, f frame) []Message {
	return []Message{{c.address, f.acknowledgement(c.nextID()).payload(h.client)}}
}

// say makes a message of MSNSLP.
func (h *Host) say(c *contact, text []byte) []Message { return h.logical(c, frame{}, text) }

// request makes one of MSNSLP.
func (h *Host) request(method string, c *contact, call, kind, body string) []byte {
	return compose(method+" MSNMSGR:"+h.client+" MSNSLP/1.0", h.client, c.address, "MSNSLP/1.0/TLP ;branch="+h.guid(), 0, call, kind, body)
}

func (h *Host) guid() string {
	r := h.random
	return fmt.Sprintf("{%08X-%04X-%04X-%04X-%08X%04X}", r(), r()>>16, r()>>16, r()>>16, r(), r()>>16)
}

// data is what goes through c's session.
func (h *Host) data(c *contact, flags uint32, all []byte) []Message {
	return h.logical(c, frame{session: c.session.id, flags: flags, app: c.session.app}, all)
}

// logical cuts a message into frames like f.
func (h *Host) logical(c *contact, f frame, all []byte) (out []Message) {
	f.id, f.total, f.ack = c.nextID(), uint64(len(all)), h.random()
	for part := range slices.Chunk(all, maxData) {
		f.data = part
		out = append(out, Message{c.address, f.payload(h.client)})
		f.offset += uint64(len(part))
	}
	return out
}

// nextID counts what the contact says. It is never 0.
func (c *contact) nextID() uint32 {
	c.id = c.id%(1<<31-1) + 1
	return c.id
}
