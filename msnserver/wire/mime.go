package wire

import (
	"bytes"
	"strings"
)

// Field is one header line of a message.
type Field struct{ Name, Value string }

// Message is the MIME-like body of MSG (MSNP.md D).
type Message struct {
	Header []Field
	Body   []byte
}

// NewMessage starts a message of a content type.
func NewMessage(contentType string) Message {
	return Message{Header: []Field{{"MIME-Version", "1.0"}, {"Content-Type", contentType}}}
}

// Add appends a header field.
func (m *Message) Add(name, value string) { m.Header = append(m.Header, Field{name, value}) }

// Get is the value of the first field of that name, in whatever case.
func (m Message) Get(name string) string {
	for _, f := range m.Header {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Type is the content type without its parameters, in lower case.
func (m Message) Type() string {
	t, _, _ := strings.Cut(m.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// Param is one parameter of a field ("charset" of Content-Type), "" when it is
// not there.
func (m Message) Param(field, name string) string {
	for part := range strings.SplitSeq(m.Get(field), ";") {
		if k, v, ok := strings.Cut(part, "="); ok && strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}

// Bytes is the message as it is sent. Line ends in names and values become
// spaces, so that no value can start a header of its own, and NUL, which ends strings in
// many clients, a question mark.
func (m Message) Bytes() []byte {
	var b bytes.Buffer
	for _, f := range m.Header {
		b.WriteString(oneLine.Replace(f.Name))
		b.WriteString(": ")
		b.WriteString(oneLine.Replace(f.Value))
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	b.Write(m.Body)
	return b.Bytes()
}

var oneLine = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\x00", "?")

// ParseMessage reads a message leniently: LF ends a line as well as CR LF, a
// line without a colon is skipped, and without an empty line all is header. ok
// is false when there is no header at all. Body shares payload's memory.
func ParseMessage(payload []byte) (m Message, ok bool) {
	rest := payload
	for len(rest) > 0 {
		line, after, _ := bytes.Cut(rest, []byte{'\n'})
		rest = after
		line = bytes.TrimRight(line, "\r")
		if len(line) == 0 {
			m.Body = rest
			break
		}
		name, value, colon := strings.Cut(string(line), ":")
		if colon && strings.TrimSpace(name) != "" {
			m.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	return m, len(m.Header) > 0
}
