// Package wire frames MSNP: command lines, their arguments and payloads,
// escaping, error numbers and the MIME-like bodies of messages (MSNP.md A, D,
// G). It knows no protocol version and no meaning, opens no socket and has no
// goroutines; a bufio.Reader belongs to one goroutine at a time.
package wire

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Limits (MSNP.md A.3), in bytes. A line longer than MaxLine, or the limit of
// Payloads, its end included, is refused, whatever the buffer of the bufio.Reader holds.
const (
	MaxLine      = 8 << 10
	MaxMessage   = 1664
	MaxNSPayload = 64 << 10
)

// Payloads names the verbs that carry a payload in one direction
// (MSNP.md A.3).
type Payloads struct {
	most map[string]int // verb to longest payload, in bytes
	bare []string       // of these, the ones that are a reply without payload when they don't end in a number
	cap  int            // longest of all, 0 for none
	line int            // longest command line, 0 for MaxLine
}

// Limited is p with no line and no payload longer than so many bytes; 0 leaves
// things as they are.
func (p Payloads) Limited(line, payload int) Payloads {
	p.line, p.cap = line, payload
	return p
}

// The payload verbs of a client towards the notification server, of a client
// towards the switchboard, and of a server.
var (
	ToNS = Payloads{most: map[string]int{
		"MSG": MaxMessage, "QRY": MaxNSPayload, "PAG": MaxNSPayload, "PGD": MaxNSPayload, "SDC": MaxNSPayload,
		"UUX": MaxNSPayload, "ADL": MaxNSPayload, "RML": MaxNSPayload, "FQY": MaxNSPayload, "UUN": MaxNSPayload,
		"UUM": MaxNSPayload, "VAS": MaxNSPayload, "PUT": MaxNSPayload, "DEL": MaxNSPayload, "SDG": MaxNSPayload,
	}}
	ToSB       = Payloads{most: map[string]int{"MSG": MaxMessage}}
	FromServer = Payloads{most: map[string]int{
		"MSG": MaxNSPayload, "NOT": MaxNSPayload, "IPG": MaxNSPayload, "UUX": MaxNSPayload, "UBX": MaxNSPayload,
		"GCF": MaxNSPayload, "ADL": MaxNSPayload, "RML": MaxNSPayload, "FQY": MaxNSPayload, "UBN": MaxNSPayload,
		"UBM": MaxNSPayload, "NFY": MaxNSPayload, "SDG": MaxNSPayload,
	}, bare: []string{"ADL", "RML"}}
)

// Errors of Read. All of them end the connection: after one the position in
// the stream is unknown.
var (
	ErrLineTooLong = errors.New("command line too long")
	ErrSyntax      = errors.New("malformed command")
	ErrTooLong     = errors.New("payload too long")
)

// Command is one command or reply: a verb or error number, its arguments as
// they stand on the line (escaped) and a payload, nil for none. The payload's
// length is not among Args.
type Command struct {
	Verb    string
	Args    []string
	Payload []byte
}

// Line makes a command without payload.
func Line(verb string, args ...string) Command { return Command{Verb: verb, Args: args} }

// Arg is argument i, "" when the line is shorter.
func (c Command) Arg(i int) string {
	if i < len(c.Args) {
		return c.Args[i]
	}
	return ""
}

// Append appends c as it goes over the wire.
func (c Command) Append(b []byte) []byte {
	b = append(b, c.Verb...)
	for _, a := range c.Args {
		b = append(b, ' ')
		b = append(b, a...)
	}
	if c.Payload != nil {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(len(c.Payload)), 10)
	}
	b = append(b, '\r', '\n')
	return append(b, c.Payload...)
}

// String is c as it goes over the wire.
func (c Command) String() string { return string(c.Append(nil)) }

// Read reads the next command. A line ends with LF or CR LF; empty lines are
// skipped; runs of spaces count as one, so that an argument a client left
// empty is no argument (MSNP.md A.1). The error is one of ErrLineTooLong,
// ErrSyntax and ErrTooLong, or that of r.
func Read(r *bufio.Reader, p Payloads) (Command, error) {
	line, err := readLine(r, cmp.Or(p.line, MaxLine))
	if err != nil {
		return Command{}, err
	}
	verb, rest, _ := strings.Cut(line, " ")
	c := Command{Verb: verb, Args: split(rest)}
	most, ok := p.most[verb]
	if !ok {
		return c, nil
	}
	if p.cap > 0 {
		most = min(most, p.cap)
	}
	if len(c.Args) == 0 {
		return c, fmt.Errorf("%w: %s without a length", ErrSyntax, verb)
	}
	last := len(c.Args) - 1
	n, err := strconv.ParseUint(c.Args[last], 10, 31)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && n > uint64(most):
		return c, fmt.Errorf("%w: %s of %s bytes", ErrTooLong, verb, c.Args[last])
	case err != nil && slices.Contains(p.bare, verb):
		return c, nil
	case err != nil:
		return c, fmt.Errorf("%w: %s with the length %q", ErrSyntax, verb, c.Args[last])
	}
	c.Args, c.Payload = c.Args[:last], make([]byte, n)
	if _, err := io.ReadFull(r, c.Payload); err != nil {
		return c, io.ErrUnexpectedEOF
	}
	return c, nil
}

// readLine returns the next line that is not empty, without its end.
func readLine(r *bufio.Reader, most int) (string, error) {
	for {
		raw, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			raw, err = readOn(r, raw, most)
		}
		switch {
		case len(raw) > most:
			return "", ErrLineTooLong
		case errors.Is(err, io.EOF) && len(raw) > 0:
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		}
		line := bytes.Trim(bytes.TrimRight(raw, "\r\n"), " ")
		if bytes.ContainsAny(line, "\r\x00") {
			return "", fmt.Errorf("%w: control character in a line", ErrSyntax)
		}
		if len(line) > 0 {
			return string(line), nil
		}
	}
}

// readOn reads the rest of a line that is longer than r's buffer, which most
// connections keep small. It stops when the line is too long.
func readOn(r *bufio.Reader, start []byte, most int) ([]byte, error) {
	line := bytes.Clone(start)
	for {
		more, err := r.ReadSlice('\n')
		line = append(line, more...)
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > most {
			return line, err
		}
	}
}

// split cuts at runs of spaces; nil when nothing is left.
func split(s string) (args []string) {
	if s != "" {
		args = make([]string, 0, strings.Count(s, " ")+1)
	}
	for s != "" {
		var a string
		if a, s, _ = strings.Cut(s, " "); a != "" {
			args = append(args, a)
		}
	}
	return args
}
