package names

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"
)

// How long a PC may keep an answer, in seconds: short, for the box may get another
// address, and a guarded name must soon lead back to where it belongs.
const (
	hostTTL    = 60
	guardedTTL = 10
)

// tcpIdle is how long a TCP connection may take for its next question, and for
// taking an answer.
const tcpIdle = 10 * time.Second

// dnsPacket answers a packet, or has the upstream asked.
func (s *Server) dnsPacket(p packet) {
	q, reply, up := s.dns(p.data, p.peer.Addr(), p.own)
	if reply != nil {
		p.sock.write(reply, p)
	}
	if !up.IsValid() {
		return
	}
	if !s.sources.begin(p.peer.Addr(), time.Now()) {
		p.sock.write(q.reply(codeFailed|q.flags&wantRecursion|hasRecursion), p)
		return
	}
	p.data = bytes.Clone(p.data) // the reader goes on with its buffer
	q.question = p.data[headerSize:][:len(q.question)]
	if !s.start(func() {
		defer s.sources.end(p.peer.Addr())
		p.sock.write(s.forward(p.data, q, up, false), p)
	}) {
		s.sources.end(p.peer.Addr())
	}
}

// dnsConn answers one question after the other on a TCP connection.
func (s *Server) dnsConn(c net.Conn, peer netip.Addr) {
	if !s.hold(c) {
		return
	}
	defer s.drop(c)
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return
	}
	var size [2]byte
	buf := make([]byte, maxQuery)
	for {
		c.SetDeadline(time.Now().Add(tcpIdle))
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint16(size[:])
		if n > maxQuery {
			return
		}
		if _, err := io.ReadFull(c, buf[:n]); err != nil || !s.sources.may(peer, time.Now()) {
			return
		}
		q, reply, up := s.dns(buf[:n], peer, local.Addr().Unmap())
		if up.IsValid() {
			reply = s.forward(buf[:n], q, up, true)
		}
		if reply == nil {
			return
		}
		c.SetDeadline(time.Now().Add(tcpIdle))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// dns decides about a message: it has a reply, or is to be asked of the upstream,
// or gets no answer at all. own is our address as the peer sees it.
func (s *Server) dns(msg []byte, peer, own netip.Addr) (q query, reply []byte, upstream netip.AddrPort) {
	q, err := parse(msg)
	if errors.Is(err, errNoQuery) {
		return q, nil, upstream
	}
	flags := q.flags & (opcodes | wantRecursion)
	switch {
	case q.opcode() != 0:
		return q, q.reply(flags | codeNotImplemented), upstream
	case err != nil || !q.single:
		return q, q.reply(flags | codeFormat), upstream
	case q.class != classInternet:
		return q, q.reply(flags | codeRefused), upstream
	}
	s.noteModern(q.name, peer)
	if h, ours := s.leadsHere(q.name, peer); ours {
		flags |= authoritative
		if q.kind != kindA && q.kind != kindAny || !own.Is4() {
			return q, q.reply(flags), upstream // the name exists, but has no such record
		}
		if h.role != elsewhere {
			s.conf.Asked(peer, h.role == login)
		}
		ttl := uint32(hostTTL)
		if h.guard == listed {
			ttl = guardedTTL
		}
		return q, q.address(flags, ttl, own.As4()), upstream
	}
	if upstream = s.conf.Rules().Upstream; !upstream.IsValid() || q.kind >= kindMeta {
		return q, q.reply(flags | codeRefused), netip.AddrPort{}
	}
	return q, nil, upstream
}
