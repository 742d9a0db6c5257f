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
	for rest := m.Get(field); rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, ";")
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
	head, body := cutHeader(payload)
	m.Body = body
	for rest := string(head); rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		name, value, colon := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); colon && name != "" {
			if m.Header == nil {
				m.Header = make([]Field, 0, 4) // most have three
			}
			m.Add(name, strings.TrimSpace(value))
		}
	}
	return m, len(m.Header) > 0
}

// cutHeader cuts a message at its first empty line.
func cutHeader(payload []byte) (head, body []byte) {
	for at := 0; at < len(payload); {
		line, after, found := bytes.Cut(payload[at:], []byte{'\n'})
		if len(bytes.TrimRight(line, "\r")) == 0 {
			return payload[:at], after
		}
		if !found {
			break
		}
		at += len(line) + 1
	}
	return payload, nil
}
