package e2e

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// TestProxy shows that the proxy passes, records, cuts and mends.
func TestProxy(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	p := newProxy(t, echo.Addr().String())
	dial := func() (net.Conn, error) {
		c, err := net.Dial("tcp", p.Addr)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			c.SetDeadline(time.Now().Add(patience))
		}
		return c, err
	}
	say := func(c net.Conn, err error, word string) error {
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, word); err != nil {
			return err
		}
		_, err = io.ReadFull(c, make([]byte, len(word)))
		return err
	}
	c, err := dial()
	p.Delay(time.Millisecond)
	check(t, say(c, err, "hello"))
	p.Cut()
	if say(c, nil, "gone") == nil {
		t.Error("a cut connection still answers")
	}
	fresh, err := dial()
	if say(fresh, err, "gone") == nil {
		t.Error("a new connection got through a cut")
	}
	p.Mend()
	fresh, err = dial()
	check(t, say(fresh, err, "again"))
	if all := bytes.Join(p.Sent(), []byte("|")); string(all) != "hello|again" {
		t.Errorf("recorded %q", all)
	}
}
