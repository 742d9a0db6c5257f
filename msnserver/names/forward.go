package names

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

const (
	upstreamTime = 4 * time.Second // for an answer; then the client asks again anyway
	complainTime = time.Minute     // between two lines in the log about the upstream
)

// forward asks the upstream and returns its answer, or one that says that it
// failed. An answer that is too long for UDP has no end: then a client that asked
// over TCP gets all of it, asked over TCP.
func (s *Server) forward(msg []byte, q query, up netip.AddrPort, whole bool) []byte {
	ctx, cancel := context.WithTimeout(s.ctx, upstreamTime)
	defer cancel()
	reply, err := s.exchange(ctx, "udp", up, msg, q)
	if err == nil && whole && flagsOf(reply)&truncated != 0 {
		reply, err = s.exchange(ctx, "tcp", up, msg, q)
	}
	s.note(err, up)
	if err != nil {
		return q.reply(codeFailed | q.flags&wantRecursion | hasRecursion)
	}
	return reply
}

// note remembers how the upstream is, and logs that it fails, now and then.
func (s *Server) note(err error, up netip.AddrPort) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.health = err
	log := err != nil && time.Since(s.told) > complainTime
	if log {
		s.told = time.Now()
	}
	s.mu.Unlock()
	if log {
		s.conf.Log.Warn("the upstream name server fails; see the setting names-upstream", "upstream", up, "err", err)
	}
}

// exchange sends a query to the upstream under another id, from a port of its own,
// and waits for the answer to it; whatever else comes is passed over.
func (s *Server) exchange(ctx context.Context, network string, up netip.AddrPort, msg []byte, q query) ([]byte, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, up.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if s.isSelf(c) {
		return nil, errSelf
	}
	if deadline, ok := ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	ask := bytes.Clone(msg)
	rand.Read(ask[:2])
	if network == "tcp" {
		_, err = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(ask))), ask...))
	} else {
		_, err = c.Write(ask)
	}
	for err == nil {
		var reply []byte
		if network == "tcp" {
			reply, err = readWhole(c)
		} else {
			reply = make([]byte, maxPlain+1)
			var n int
			n, err = c.Read(reply)
			reply = reply[:n]
		}
		if err == nil && answers(reply, ask[:2], q) {
			return q.restore(reply, network == "tcp"), nil
		}
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		err = fmt.Errorf("no answer from %v within %v", up, upstreamTime)
	}
	return nil, err
}

var errSelf = errors.New("it is this name server itself")

// isSelf tells whether a connection leads back to us.
func (s *Server) isSelf(c net.Conn) bool {
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	remote, err2 := netip.ParseAddrPort(c.RemoteAddr().String())
	s.mu.Lock()
	defer s.mu.Unlock()
	return err == nil && err2 == nil && local.Addr() == remote.Addr() && remote.Port() == s.port
}

func readWhole(c net.Conn) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(c, reply)
	return reply, err
}

// answers tells whether a message is the response to a query that was sent under
// id. It then holds at least header and question.
func answers(reply, id []byte, q query) bool {
	end := headerSize + len(q.question)
	return len(reply) >= end && bytes.Equal(reply[:2], id) && flagsOf(reply)&isResponse != 0 &&
		binary.BigEndian.Uint16(reply[4:]) == 1 && sameQuestion(reply[headerSize:end], q.question)
}

// sameQuestion compares questions of one length; a name may be spelled in capitals.
func sameQuestion(a, b []byte) bool {
	name := len(a) - 4 // kind and class follow
	for i := range name {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return bytes.Equal(a[name:], b[name:])
}

// restore makes of the upstream's answer the client's: under its id, and with the
// question as it spelled it. What is too long for UDP is cut to the question and
// marked as truncated.
func (q query) restore(reply []byte, whole bool) []byte {
	binary.BigEndian.PutUint16(reply, q.id)
	copy(reply[headerSize:], q.question)
	if !whole && len(reply) > maxPlain {
		binary.BigEndian.PutUint16(reply[2:], flagsOf(reply)|truncated)
		clear(reply[6:headerSize]) // no records
		reply = reply[:headerSize+len(q.question)]
	}
	return reply
}

func flagsOf(msg []byte) uint16 { return binary.BigEndian.Uint16(msg[2:]) }
