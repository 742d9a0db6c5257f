package stream

import (
	"bufio"
	"io"
	"sync/atomic"
	"time"
)

// maxLeftOut is how many bytes of one stanza are read at all: more would hold up
// everybody else's. maxWord is how long a name in a tag may be, maxEntity an entity.
const (
	maxLeftOut = 64 << 20
	maxWord    = 4096
	maxEntity  = 12
)

// sieve reads one XML stream byte by byte, for the decoder, and leaves out what makes
// a stanza larger than max: text, values, attributes and whole elements. What is left
// is well-formed when the whole was. So no contact can end the stream, or make the box
// hold more than max, with a stanza that is larger than his server should allow, and
// that the archive would bring back at every sign-in.
//
// It knows just enough of XML to see where elements begin and end. What servers never
// send, above max or at all, is for the decoder to refuse.
type sieve struct {
	in    *bufio.Reader
	max   int64
	size  int64 // bytes of the stanza so far, also those left out
	cut   bool  // something was left out
	depth int   // elements that are open for the decoder; the stream is the first
	skip  int   // elements that are open and left out

	where  place
	hide   bool // the tag is left out
	tail   bool // the rest of the tag's attributes is
	quote  byte // inside a value: its quotation mark
	before [2]byte
	word   int  // bytes since something ended in the tag
	entity int  // bytes since the last one began, 0 outside of any
	shown  bool // the decoder was shown the byte before this one
}

// place is what the sieve is inside.
type place uint8

const (
	inText place = iota
	inStart
	inEnd
	inOther // instructions, comments, CDATA
)

func newSieve(r io.Reader, max int64, last *atomic.Int64) *sieve {
	return &sieve{in: bufio.NewReader(pulse{r, last}), max: max}
}

// pulse notes when something came.
type pulse struct {
	io.Reader
	last *atomic.Int64 // unix nanoseconds
}

func (p pulse) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 && p.last != nil {
		p.last.Store(time.Now().UnixNano())
	}
	return n, err
}

// Read is not used: the decoder takes single bytes.
func (s *sieve) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	b[0] = c
	return 1, nil
}

// ReadByte is the next byte that the decoder is to see.
func (s *sieve) ReadByte() (byte, error) {
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return 0, err
		}
		s.size++
		full := s.size > s.max
		if full && (s.depth == 0 || s.depth == 1 && s.where == inText || s.where == inOther || s.size > maxLeftOut) || s.word > maxWord {
			return 0, errTooBig
		}
		show, err := s.step(c, full)
		if err != nil {
			return 0, err
		}
		s.before = [2]byte{s.before[1], c}
		if s.shown = show; show {
			return c, nil
		}
		s.cut = true
	}
}

// step follows the XML over one byte and tells whether the decoder is to see it.
func (s *sieve) step(c byte, full bool) (show bool, err error) {
	switch s.where {
	case inStart:
		return s.inside(c, full), nil
	case inEnd:
		s.word++
		show = !s.hide
		if c == '>' {
			s.where, s.word = inText, 0
			if s.hide {
				s.skip--
			} else {
				s.depth--
				s.ends()
			}
		}
		return show, nil
	case inOther:
		if c == '>' && (s.before[1] == '?' || s.before == [2]byte{']', ']'}) {
			s.where = inText
		}
		return s.skip == 0, nil
	}
	if c != '<' {
		return s.skip == 0 && s.keeps(c, full), nil
	}
	return s.begins(full)
}

// begins looks which tag begins.
func (s *sieve) begins(full bool) (show bool, err error) {
	next, err := s.in.Peek(1)
	if err != nil {
		return false, err
	}
	s.hide, s.tail, s.word, s.entity, s.before = s.skip > 0, false, 0, 0, [2]byte{}
	switch next[0] {
	case '/':
		s.where = inEnd
	case '?', '!':
		s.where = inOther
	default:
		s.where = inStart
		s.hide = s.hide || full
	}
	return !s.hide, nil
}

// inside follows a start tag.
func (s *sieve) inside(c byte, full bool) (show bool) {
	switch {
	case s.quote == c:
		s.quote, s.word, s.entity = 0, 0, 0
		return !s.hide && !s.tail
	case s.quote != 0:
		return !s.hide && !s.tail && s.keeps(c, full)
	case c == '"', c == '\'':
		s.quote, s.entity = c, 0
	case c == '>':
		s.where, s.word = inText, 0
		empty := s.before[1] == '/'
		switch {
		case s.hide && !empty:
			s.skip++
		case !s.hide && !empty:
			s.depth++
		}
		s.ends()
		return !s.hide
	case c == '/':
		return !s.hide
	case c == ' ', c == '\t', c == '\n', c == '\r':
		s.word = 0
		s.tail = full || s.tail
	default:
		s.word++
	}
	return !s.hide && !s.tail
}

// ends begins to count anew when a stanza has ended.
func (s *sieve) ends() {
	if s.depth <= 1 && s.skip == 0 {
		s.size = 0
	}
}

// keeps tells whether a byte of text or of a value is kept: not above max, but what
// was begun is finished, be it a character or an entity.
func (s *sieve) keeps(c byte, full bool) bool {
	if full && (s.entity == 0 || s.entity > maxEntity) && !(s.shown && c&0xc0 == 0x80) {
		return false
	}
	switch {
	case c == '&':
		s.entity = 1
	case c == ';':
		s.entity = 0
	case s.entity > 0:
		s.entity++
	}
	return true
}
