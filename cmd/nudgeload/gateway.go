package main

import (
	"context"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"nudge/cmd/nudge/e2e/msnclient"
)

// overHTTP connects as clients behind a proxy do: one HTTP connection each, on
// which they say things and poll every two seconds (MSNP.md E).
func overHTTP(gateway string) func(addr string) (net.Conn, error) {
	g := &msnclient.Gateway{Host: "gateway.messenger.hotmail.com", Connect: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", gateway)
	}}
	return func(addr string) (net.Conn, error) {
		c, err := g.Dial(context.Background(), addr)
		if err != nil {
			return nil, err
		}
		s, err := store(c)
		if err != nil {
			c.Close()
		}
		return s, err
	}
}

// stored is a connection whose input waits in the kernel until somebody reads
// it, as that of a TCP connection does: polling goes on meanwhile.
type stored struct {
	net.Conn
	copies sync.WaitGroup
}

func store(c net.Conn) (net.Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var ends [2]net.Conn
	for i, fd := range pair {
		f := os.NewFile(uintptr(fd), "pair")
		end, e := net.FileConn(f) // a copy
		f.Close()
		if e != nil {
			err = e
			continue
		}
		ends[i] = end
	}
	if err != nil {
		for _, end := range ends {
			if end != nil {
				end.Close()
			}
		}
		return nil, err
	}
	s := &stored{Conn: ends[0]}
	s.copies.Go(func() {
		io.Copy(ends[1], c)
		ends[1].Close()
	})
	s.copies.Go(func() {
		io.Copy(c, ends[1])
		c.Close()
	})
	return s, nil
}

// Close ends the session without a word to the server.
func (s *stored) Close() error {
	err := s.Conn.Close()
	s.copies.Wait()
	return err
}
