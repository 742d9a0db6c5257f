package conn

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"testing"

	"nudge/msnserver/wire"
)

// BenchmarkSend is a message of 16 that go out together, over a real socket.
func BenchmarkSend(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	nc, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	c := New(nc, bufio.NewReader(nc), limits, slog.New(slog.DiscardHandler))
	cmd := wire.Command{Verb: "MSG", Args: []string{"alice@example.com", "Alice"}, Payload: make([]byte, 188)}
	const together = 16
	r := bufio.NewReaderSize(client, 64<<10)
	size := len(cmd.Append(nil))
	settle := func(bool) {}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		c.SendSettled(settle, cmd)
		if i++; i%together == 0 {
			if _, err := io.CopyN(io.Discard, r, int64(together*size)); err != nil {
				b.Fatal(err)
			}
		}
	}
	c.Close()
	c.finish(0)
}
