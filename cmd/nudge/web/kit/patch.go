package kit

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// standIns are the names that are written into clients (SERVERS.md 3a), and what
// stands for each in a patched one: always nudge, which is the same name however it
// is spelled, but by its capitals the undo knows which name was there. No program
// spells a word of its own like that.
var standIns = []struct{ host, standIn string }{
	{"messenger.hotmail.com", "nudgE"},
	{"gateway.messenger.hotmail.com", "nudGe"},
	{"nexus.passport.com", "nuDge"},
	{"login.passport.com", "nUdge"},
	{"loginnet.passport.com", "nudGE"},
	{"login.passport.net", "nuDgE"},
	{"login.live.com", "nUdgE"},
	{"config.messenger.msn.com", "nuDGe"},
	{"rsi.hotmail.com", "nUdGe"},
	{"ows.messenger.msn.com", "nUDge"},
	{"byrdr.omega.contacts.msn.com", "nuDGE"},
	{"tkrdr.storage.msn.com", "nUdGE"},
}

// others are names in programs that were patched for another server.
var others = []string{"m1.escargot.log1p.xyz", "msnmsgr.escargot.chat", "ds.escargot.nina.chat", "ms.msgrsvcs.ctsrv.gay", "pp.login.ugnet.gay"}

// Change is one place of a program that was changed.
type Change struct {
	Offset int64  `json:"offset"`
	Was    string `json:"was"` // from the name to the end of the text it stands in
	Is     string `json:"is"`
}

// Program is a program's file.
type Program interface {
	io.ReaderAt
	io.WriterAt
}

// Why a program is not patched.
var (
	errNoProgram = errors.New("this is no Windows program; give the installed msnmsgr.exe, msmsgs.exe or msidcrl.dll")
	errUnknown   = errors.New("none of the known server names is in this program, so nothing was changed; give the installed msnmsgr.exe, msmsgs.exe or msidcrl.dll, not its installation program")
	errAlready   = errors.New("this program is patched for this box already")
	errOther     = errors.New("this program was patched for Escargot or CrossTalk; patch the original, or let it be led here: nudge setting names-patched on")
	errNothing   = errors.New("there is nothing to undo: this program was not patched for this box")
	errMany      = errors.New("this program names servers in more places than any client does, so nothing was changed")
)

const (
	window     = 64 << 10 // of a program that is looked at, at once
	longest    = 512      // text with a name in it, in letters
	mostPlaces = 256
)

// Patch makes the program of size bytes call the box where it calls one of the known
// servers: the text that the name stands in becomes shorter, and zeros fill it up.
// With undo it makes the program what it was before, to the byte. It returns what it
// changed; after an error of its own nothing was.
func Patch(f Program, size int64, undo bool) ([]Change, error) {
	if !isProgram(f, size) {
		return nil, errNoProgram
	}
	from, to := make([]string, len(standIns)), make([]string, len(standIns))
	for i, s := range standIns {
		from[i], to[i] = s.host, s.standIn
	}
	if undo {
		from, to = to, from
	}
	places, err := search(f, size, from)
	if err != nil {
		return nil, err
	}
	// From the end on: where one text has two names, the second must not move
	// before it is found.
	var all []Change
	for _, p := range slices.Backward(places) {
		c, ok, err := p.replace(f, size, from[p.name], to[p.name])
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, c)
		}
	}
	if len(all) > 0 {
		slices.Reverse(all)
		return all, nil
	}
	if undo {
		return nil, errNothing
	}
	for _, known := range []struct {
		names []string
		why   error
	}{{to, errAlready}, {others, errOther}} {
		if found, err := search(f, size, known.names); err != nil || len(found) > 0 {
			return nil, cmp.Or(err, known.why)
		}
	}
	return nil, errUnknown
}

// isProgram tells whether it is a Windows program or library: one of MS-DOS that leads to
// the real one.
func isProgram(f io.ReaderAt, size int64) bool {
	const where = 0x3c // it says where the real one begins
	var dos [where + 4]byte
	var real [4]byte
	if _, err := f.ReadAt(dos[:], 0); err != nil || string(dos[:2]) != "MZ" {
		return false
	}
	at := int64(binary.LittleEndian.Uint32(dos[where:]))
	_, err := f.ReadAt(real[:], at)
	return at+int64(len(real)) <= size && err == nil && string(real[:]) == "PE\x00\x00"
}

// place is where a name begins.
type place struct {
	at   int64
	name int // of those searched for
	wide bool
}

// search finds names, in letters of one byte and of two, in the order of the file.
func search(f io.ReaderAt, size int64, names []string) (all []place, err error) {
	const overlap = 2 * 64 // more than the longest name, and a letter before it
	buf := make([]byte, window+2*overlap)
	for start := int64(0); start < size; start += window {
		from := max(0, start-overlap)
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-from)], from)
		if err != nil && (err != io.EOF || from+int64(n) < size) {
			return nil, err
		}
		for i, name := range names {
			for _, wide := range []bool{false, true} {
				pattern := letters(name, wide)
				for at := range indexes(buf[:n], pattern) {
					if p := from + int64(at); p >= start && p < start+window && whole(buf[:n], at, len(pattern), wide) {
						if all = insert(all, place{p, i, wide}); len(all) > mostPlaces {
							return nil, errMany
						}
					}
				}
			}
		}
	}
	return all, nil
}

// insert keeps places in order.
func insert(all []place, p place) []place {
	i := len(all)
	for i > 0 && all[i-1].at > p.at {
		i--
	}
	return slices.Insert(all, i, p)
}

// indexes are the places of pattern in b.
func indexes(b, pattern []byte) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], pattern)
			if i < 0 || !yield(at+i) {
				return
			}
			at += i
		}
	}
}

// letters are a text in letters of one byte or two.
func letters(s string, wide bool) []byte {
	if !wide {
		return []byte(s)
	}
	b := make([]byte, 0, 2*len(s))
	for _, c := range []byte(s) {
		b = append(b, c, 0)
	}
	return b
}

// whole tells whether a name is not a part of a longer one.
func whole(b []byte, at, length int, wide bool) bool {
	step := 1
	if wide {
		step = 2
	}
	part := func(i int) bool {
		return i >= 0 && i+step <= len(b) && (!wide || b[i+1] == 0) &&
			(b[i] == '.' || b[i] == '-' || b[i] >= '0' && b[i] <= '9' || b[i]|0x20 >= 'a' && b[i]|0x20 <= 'z')
	}
	return !part(at-step) && !part(at+length)
}

// replace puts the name to where from stands. ok is false where the text does not
// end in a zero, or has no room: such a place is left alone.
func (p place) replace(f Program, size int64, from, to string) (c Change, ok bool, err error) {
	step := 1
	if p.wide {
		step = 2
	}
	room := max(0, len(to)-len(from)) + 1 // zeros that the text must end in
	buf := make([]byte, min(int64((longest+room)*step), size-p.at))
	if _, err := f.ReadAt(buf, p.at); err != nil {
		return c, false, err
	}
	was, ok := ended(buf, room, step)
	if !ok || !strings.HasPrefix(was, from) {
		return c, false, nil
	}
	is := to + was[len(from):]
	text := letters(is, p.wide)
	if n := len(was) * step; len(text) < n {
		text = append(text, make([]byte, n-len(text))...)
	}
	_, err = f.WriteAt(text, p.at)
	return Change{p.at, was, is}, err == nil, err
}

// ended is the text that b begins with, when it ends in that many zeros.
func ended(b []byte, zeros, step int) (text string, ok bool) {
	var s strings.Builder
	for i := 0; i+step <= len(b); i += step {
		c := b[i]
		switch {
		case step == 2 && b[i+1] != 0:
			return "", false
		case c == 0:
			tail := b[i:]
			n := zeros * step
			return s.String(), len(tail) >= n && len(bytes.Trim(tail[:n], "\x00")) == 0
		case c < ' ' || c > '~' || s.Len() == longest:
			return "", false
		}
		s.WriteByte(c)
	}
	return "", false
}

// String is one line about the change.
func (c Change) String() string { return fmt.Sprintf("%08x  %s -> %s", c.Offset, c.Was, c.Is) }
