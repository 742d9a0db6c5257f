package wire

import (
	"bufio"
	"testing"
)

// said is a message as most clients send it.
var said = []byte("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nX-MMS-IM-Format: FN=MS%20Sans%20Serif; EF=; CO=0; CS=0; PF=0\r\n\r\nhello you!")

// again is one text without end.
type again struct {
	text []byte
	at   int
}

func (a *again) Read(b []byte) (int, error) {
	n := copy(b, a.text[a.at:])
	a.at = (a.at + n) % len(a.text)
	return n, nil
}

func BenchmarkRead(b *testing.B) {
	for name, text := range map[string][]byte{"line": []byte("USR 4 MD5 S 0dc38e0c96e5ef37eb9451a0b2d5aaf9\r\n"), "message": Command{"MSG", []string{"12", "N"}, said}.Append(nil)} {
		b.Run(name, func(b *testing.B) {
			r := bufio.NewReaderSize(&again{text: text}, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Read(r, ToSB); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	c := Command{"MSG", []string{"alice@example.com", "Alice%20A"}, said}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = c.Append(out[:0])
	}
}

func BenchmarkParseMessage(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := ParseMessage(said); !ok {
			b.Fatal("no message")
		}
	}
}
