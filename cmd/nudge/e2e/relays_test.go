package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"text/template"
)

// relay runs a real proxy from Debian for one test and returns its address.
// argv is its command line, with its configuration file at the end.
func relay(t testing.TB, name string, argv ...string) (addr string) {
	t.Helper()
	tmpl, err := template.ParseFiles(filepath.Join("testdata", name+".conf.tmpl"))
	check(t, err)
	port := freePort()
	dir, err := os.MkdirTemp(house.dir, name+"-")
	check(t, err)
	file, err := os.Create(filepath.Join(dir, name+".conf"))
	check(t, err)
	check(t, tmpl.Execute(file, settings{Port: port}))
	check(t, file.Close())
	p, err := spawn(dir, name, nil, append(argv, file.Name())...)
	check(t, err)
	t.Cleanup(func() {
		p.signal(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, p.tail(20))
		}
	})
	check(t, p.listening(loopback(port)))
	return loopback(port)
}

// tinyproxy is an HTTP proxy, danted one for SOCKS 4 and 5.
func tinyproxy(t testing.TB) string { return relay(t, "tinyproxy", "tinyproxy", "-d", "-c") }
func danted(t testing.TB) string    { return relay(t, "danted", "danted", "-f") }

// dialTCP connects, and hands the connection to speak, which may fail.
func dialTCP(ctx context.Context, addr string, speak func(net.Conn) error) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := speak(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// httpConnect asks an HTTP proxy for a tunnel.
func httpConnect(target string) func(net.Conn) error {
	return func(c net.Conn) error {
		if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.0\r\n\r\n", target); err != nil {
			return err
		}
		br := bufio.NewReaderSize(c, 16) // what follows the answer is the tunnel's: nothing comes unasked
		resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || br.Buffered() > 0 {
			return fmt.Errorf("CONNECT: %s", resp.Status)
		}
		return nil
	}
}

// socks4 asks a SOCKS 4 proxy for a connection to an IPv4 address.
func socks4(target string) func(net.Conn) error {
	return func(c net.Conn) error {
		a, err := net.ResolveTCPAddr("tcp4", target)
		if err != nil {
			return err
		}
		ask := binary.BigEndian.AppendUint16([]byte{4, 1}, uint16(a.Port))
		ask = append(append(ask, a.IP.To4()...), "alice\x00"...)
		answer := make([]byte, 8)
		return converse(c, ask, answer, func() bool { return answer[1] == 90 })
	}
}

// socks5 asks a SOCKS 5 proxy for one, without a password.
func socks5(target string) func(net.Conn) error {
	return func(c net.Conn) error {
		a, err := net.ResolveTCPAddr("tcp4", target)
		if err != nil {
			return err
		}
		method := make([]byte, 2)
		if err := converse(c, []byte{5, 1, 0}, method, func() bool { return method[1] == 0 }); err != nil {
			return err
		}
		ask := append([]byte{5, 1, 0, 1}, a.IP.To4()...)
		answer := make([]byte, 10)
		return converse(c, binary.BigEndian.AppendUint16(ask, uint16(a.Port)), answer, func() bool { return answer[1] == 0 })
	}
}

func converse(c net.Conn, ask, answer []byte, good func() bool) error {
	if _, err := c.Write(ask); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if !good() {
		return fmt.Errorf("the SOCKS proxy refused: % x", answer)
	}
	return nil
}
