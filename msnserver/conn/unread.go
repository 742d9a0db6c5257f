package conn

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Polled is a connection whose client comes for what is written to it, as over
// the HTTP gateway. It needs no PNG, takes its time to say goodbye, and knows
// better than a kernel what the client has.
type Polled interface {
	net.Conn
	// Unacknowledged is how many bytes written the client has not shown to
	// have.
	Unacknowledged() int
}

// Polled tells whether the client polls.
func (c *Conn) Polled() bool {
	_, ok := c.Net.(Polled)
	return ok
}

// Unacknowledged is how many bytes written to c the client's machine has not
// confirmed yet, or the client itself where that is known. known is false where
// nobody can be asked (a pipe).
func Unacknowledged(c net.Conn) (n int, known bool) {
	if p, ok := c.(Polled); ok {
		return p.Unacknowledged(), true
	}
	for t, ok := c.(interface{ NetConn() net.Conn }); ok; t, ok = c.(interface{ NetConn() net.Conn }) {
		c = t.NetConn() // inside TLS
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, false
	}
	if e := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); e != nil || err != nil {
		return 0, false
	}
	return n, true
}
