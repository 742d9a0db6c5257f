package names

import (
	"encoding/binary"
	"errors"
)

// Messages of DNS, LLMNR and the NetBIOS name service have one form (RFC 1035 4.1,
// RFC 4795 2.1, RFC 1002 4.2.1), of which a server has to read only the header and
// the one question. A name there is written out: a pointer, which is how one part
// of a message refers to an earlier one, could only point into the header, so it is
// refused and no loop can arise.

const (
	headerSize = 12
	maxName    = 255
	maxLabel   = 63
	maxQuery   = 1500 // bytes of a question that is looked at; usual ones have fewer than 100
	maxPlain   = 4096 // bytes of an answer over UDP that is passed on
)

// Bits of a header's flags.
const (
	isResponse    uint16 = 1 << 15
	opcodes       uint16 = 0xf << 11
	authoritative uint16 = 1 << 10
	truncated     uint16 = 1 << 9
	wantRecursion uint16 = 1 << 8
	hasRecursion  uint16 = 1 << 7
)

// Codes of a response.
const (
	codeFormat         uint16 = 1
	codeFailed         uint16 = 2
	codeNotImplemented uint16 = 4
	codeRefused        uint16 = 5
)

// Kinds of records, and the Internet's class.
const (
	kindA          uint16 = 1
	kindNetBIOS    uint16 = 0x20
	kindNodeStatus uint16 = 0x21
	kindMeta       uint16 = 249 // and above: transfers, ANY and the like
	kindAny        uint16 = 255
	classInternet  uint16 = 1
)

// query is a message that asks.
type query struct {
	id, flags   uint16
	name        string // in lower case, without a dot at its end
	kind, class uint16
	question    []byte // as it came: name, kind, class
	single      bool   // it asks one question and holds no answers
}

// Why a message is no query.
var (
	errNoQuery = errors.New("it is no query") // and so gets no answer
	errForm    = errors.New("it is malformed")
)

// parse reads a query. With errForm id and flags are valid.
func parse(msg []byte) (q query, err error) {
	if len(msg) < headerSize {
		return q, errNoQuery
	}
	word := func(i int) uint16 { return binary.BigEndian.Uint16(msg[i:]) }
	q.id, q.flags = word(0), word(2)
	if q.flags&isResponse != 0 {
		return q, errNoQuery
	}
	if word(4) != 1 {
		return q, errForm
	}
	q.single = word(6) == 0 && word(8) == 0
	name, end, err := parseName(msg)
	if err != nil || len(msg) < end+4 {
		return q, errForm
	}
	q.name, q.kind, q.class = name, word(end), word(end+2)
	q.question = msg[headerSize : end+4]
	return q, nil
}

// parseName reads the name after the header; end is behind it.
func parseName(msg []byte) (name string, end int, err error) {
	text := make([]byte, 0, maxName)
	for i := headerSize; i < len(msg); {
		n := int(msg[i])
		i++
		switch {
		case n == 0:
			return string(text), i, nil
		case n > maxLabel || i+n > len(msg) || i+n-headerSize >= maxName:
			return "", 0, errForm
		}
		if len(text) > 0 {
			text = append(text, '.')
		}
		for _, b := range msg[i : i+n] {
			if b == '.' { // no border between words: it must not look like one
				b = 0xff
			}
			text = append(text, lower(b))
		}
		i += n
	}
	return "", 0, errForm
}

// lower is a letter of a name in lower case. Only ASCII letters have two cases
// there (RFC 4343).
func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// opcode is what the client wants; 0 is to ask.
func (q query) opcode() uint16 { return q.flags & opcodes }

// header begins a response.
func (q query) header(flags uint16, questions, answers int) []byte {
	b := make([]byte, 0, 512)
	for _, w := range []uint16{q.id, isResponse | flags, uint16(questions), uint16(answers), 0, 0} {
		b = binary.BigEndian.AppendUint16(b, w)
	}
	return b
}

// reply is a response without records. With a malformed query the question is
// left out.
func (q query) reply(flags uint16) []byte {
	if q.question == nil {
		return q.header(flags, 0, 0)
	}
	return append(q.header(flags, 1, 0), q.question...)
}

// address is a response of one address.
func (q query) address(flags uint16, ttl uint32, ip [4]byte) []byte {
	const theName = 0xc000 | headerSize // a pointer to the question's
	b := append(q.header(flags, 1, 1), q.question...)
	b = binary.BigEndian.AppendUint16(b, theName)
	return appendRecord(b, kindA, ttl, ip[:])
}

// appendRecord writes a record behind its name.
func appendRecord(b []byte, kind uint16, ttl uint32, data []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, classInternet)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}
