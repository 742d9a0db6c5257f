package conn

import (
	"net"
	"testing"
)

// at is a connection whose own end has that address.
type at struct {
	net.Conn
	addr string
}

func (a at) LocalAddr() net.Addr { return a }
func (at) Network() string       { return "tcp" }
func (a at) String() string      { return a.addr }

func TestAddr(t *testing.T) {
	for in, want := range map[string][2]string{
		"192.0.2.1:1863":          {"192.0.2.1:1863", "192.0.2.1"},
		"[::ffff:192.0.2.1]:1863": {"192.0.2.1:1863", "192.0.2.1"},
		"[fe80::1%eth0]:1863":     {"[fe80::1]:1863", "fe80::1"},
		"pipe":                    {"pipe", "pipe"},
	} {
		c := &Conn{Net: at{addr: in}}
		if got := [2]string{c.Addr(), c.Host()}; got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
