package dialect

import (
	"fmt"
	"strings"
	"testing"

	"nudge/bridge/im"
)

// said is a message as most clients send it.
var said = []byte("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nX-MMS-IM-Format: FN=MS%20Sans%20Serif; EF=; CO=0; CS=0; PF=0\r\n\r\nhello you!")

func BenchmarkRead(b *testing.B) {
	for name, payload := range map[string][]byte{
		"text":   said,
		"typing": TypingNote("bob@example.com"),
		"accent": append(said[:len(said):len(said)], " d\xc3\xa9j\xc3\xa0 vu\r\n"...),
	} {
		b.Run(name, func(b *testing.B) {
			var ear Ear
			b.ReportAllocs()
			for b.Loop() {
				ear.Read(payload)
			}
		})
	}
}

// BenchmarkSaid is what one receiver of a relayed message costs.
func BenchmarkSaid(b *testing.B) {
	d := Named("MSNP8")
	var m im.Message
	m.Raw = said
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		for _, payload := range d.Render(m, bob.Name) {
			out = d.Said(bob, payload).Append(out[:0])
		}
	}
}

func BenchmarkPresence(b *testing.B) {
	var out []byte
	for _, d := range versions {
		b.Run(d.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out = d.Presence("", bob, im.Presence{Status: im.Away}).Append(out[:0])
			}
		})
	}
}

func BenchmarkSync(b *testing.B) {
	l := Lists{Version: 27}
	for i := range 20 {
		who := im.Person{Addr: im.Addr{ID: fmt.Sprintf("user%d@example.com", i)}, Name: "Some One"}
		l.Contacts = append(l.Contacts, Contact{Person: who, On: Forward | Allow | Reverse})
	}
	var out []byte
	for _, d := range versions {
		b.Run(d.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out = out[:0]
				for _, c := range d.Sync(d, "5", l) {
					out = c.Append(out)
				}
			}
		})
	}
}

// BenchmarkLegible is a message of a friend who has much to show, at most.
func BenchmarkLegible(b *testing.B) {
	text := strings.Repeat("👨‍👩‍👧", 3000)
	for b.Loop() {
		legible(text)
	}
}
