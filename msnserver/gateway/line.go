package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// Time limits of one HTTP request.
const (
	requestTime = 30 * time.Second // to send it
	answerTime  = 30 * time.Second // to take its answer
	partingTime = 2 * time.Second  // to close a connection after the last one
)

// fate is what is known of the answers that went out on a connection.
type fate int32

const (
	open   fate = iota // the connection stands
	taken              // the client closed it in peace: it has read them
	broken             // some may not have arrived
)

// Line is one HTTP connection whose requests are for the gateway. It belongs to
// the goroutine that reads the connection.
type Line struct {
	gw      *Server
	c       net.Conn
	br      *bufio.Reader
	vouched bool         // somebody who uses it has signed in
	ended   atomic.Int32 // a fate
}

// Attach begins to answer requests on a connection. End must be called when it
// is over.
func (g *Server) Attach(c net.Conn, br *bufio.Reader) *Line { return &Line{gw: g, c: c, br: br} }

func (l *Line) fate() fate { return fate(l.ended.Load()) }

// End tells how the connection ended, or nil when the client went on to ask for
// something else.
func (l *Line) End(err error) {
	n, _ := l.gw.unacknowledged(l.c)
	if err == nil || errors.Is(err, io.EOF) && n == 0 {
		l.ended.Store(int32(taken))
	} else {
		l.ended.Store(int32(broken))
	}
}

// Answer reads the next request, which Wants had wanted, and answers it. An
// error means that the connection can't be used any more; io.EOF that it has
// come to its end.
func (l *Line) Answer() error {
	l.c.SetDeadline(time.Now().Add(requestTime))
	r, err := readRequest(l.br, l.c)
	l.c.SetDeadline(time.Time{})
	switch {
	case errors.Is(err, errTooLarge):
		l.refuse("413 Request Entity Too Large", err.Error(), false)
		return err
	case errors.Is(err, errMalformed):
		l.refuse("400 Bad Request", err.Error(), false)
		return err
	case err != nil:
		return err
	}
	if err := l.serve(r); err != nil {
		return err
	}
	if !r.keep {
		return l.part()
	}
	return nil
}

// serve finds or opens the session of a request.
func (l *Line) serve(r request) error {
	switch {
	case r.method != "POST" && r.method != "GET":
		return l.refuse("405 Method Not Allowed", "The gateway takes POST.", r.keep)
	case r.malformed != "":
		return l.refuse("400 Bad Request", r.malformed+".", r.keep)
	}
	var s *session
	if r.action == "open" {
		var why refusal
		if s, why = l.gw.open(l.c, r); s == nil {
			return l.refuse(why.status, why.text, r.keep)
		}
	} else if s = l.gw.find(r.session); s == nil {
		return l.refuse("400 Bad Request", "There is no such session.", r.keep)
	}
	ok, err := s.serve(l, r, func(a reply) error { return l.give(r, a) })
	if !ok {
		return l.refuse("400 Bad Request", "The session has too many requests at once.", r.keep)
	}
	if s.vouched.Load() && !l.vouched {
		l.vouched = true
		l.gw.vouch(l.c)
	}
	return err
}

// give writes an answer in the order and spelling that clients look for
// (MSNP.md E). It is always HTTP/1.1: libpurple matches the line.
func (l *Line) give(r request, a reply) error {
	gw := l.host(r)
	header := []string{
		"Content-Type: application/x-msn-messenger",
		fmt.Sprintf("Content-Length: %d", len(a.data)),
		"X-MSN-Messenger: SessionID=" + a.id + "; GW-IP=" + gw,
		"X-MSN-Host: " + hostOnly(gw), // BitlBee looks this one up
	}
	if a.last {
		header[2] += "; Session=close"
	}
	return l.write("200 OK", header, a.data, r.keep)
}

// refuse answers a request that can't be served, with words for whoever looks.
func (l *Line) refuse(status, why string, keep bool) error {
	return l.write(status, []string{"Content-Type: text/plain; charset=utf-8", fmt.Sprintf("Content-Length: %d", len(why))}, []byte(why), keep)
}

func (l *Line) write(status string, header []string, body []byte, keep bool) error {
	connection := "Connection: close"
	if keep {
		connection = "Connection: Keep-Alive"
	}
	b := make([]byte, 0, 256+len(body))
	b = append(b, "HTTP/1.1 "+status+"\r\n"+strings.Join(append(header, connection), "\r\n")+"\r\n\r\n"...)
	l.c.SetWriteDeadline(time.Now().Add(answerTime))
	_, err := l.c.Write(append(b, body...))
	return err
}

// part lets the client take the last answer before the connection is closed:
// closing at once could throw it away, and the client's own end tells whether
// it has read it.
func (l *Line) part() error {
	if half, ok := l.c.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return io.EOF
	}
	l.c.SetReadDeadline(time.Now().Add(partingTime))
	if _, err := io.Copy(io.Discard, io.LimitReader(l.br, maxBody)); err != nil {
		return err
	}
	return io.EOF
}

// host is where the client shall send its next request: the name or address it
// has used for this one.
func (l *Line) host(r request) string {
	if r.host != "" && strings.Trim(r.host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") == "" {
		return r.host
	}
	return ipOf(l.c.LocalAddr()).String()
}

// hostOnly is a host without its port.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

// ipOf is the address of a socket, an IPv4 one never in the ::ffff: form.
func ipOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.IPv4Unspecified()
	}
	return ap.Addr().Unmap().WithZone("")
}
