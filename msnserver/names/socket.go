package names

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket is a UDP socket over IPv4 that knows to which of our addresses a packet
// came, and answers from there: a client believes no other.
type Socket struct {
	conn *net.UDPConn
	only netip.Addr // packets to our other addresses are passed over; none: to any
}

// packet is one that came. data is valid until the next is read.
type packet struct {
	sock *Socket
	data []byte
	peer netip.AddrPort
	own  netip.Addr // ours, in the peer's network; invalid when the packet does not count
}

// group is where LLMNR asks everybody (RFC 4795 2).
var group = netip.AddrFrom4([4]byte{224, 0, 0, 252})

// Listen opens a socket at an address, such as :53.
func Listen(addr string) (*Socket, error) { return listen(addr, false) }

// ListenBroadcast opens a socket that also gets what is broadcast in our networks,
// for the NetBIOS name service. An address of ours in addr restricts it to that
// one's network.
func ListenBroadcast(addr string) (*Socket, error) {
	anywhere, only, err := restrict(addr)
	if err != nil {
		return nil, err
	}
	s, err := listen(anywhere, false)
	if err == nil {
		s.only = only
	}
	return s, err
}

// ListenLLMNR is like ListenBroadcast, for LLMNR. Other programs of this machine
// may listen for that too.
func ListenLLMNR(addr string) (*Socket, error) {
	anywhere, only, err := restrict(addr)
	if err != nil {
		return nil, err
	}
	s, err := listen(anywhere, true)
	if err == nil {
		s.only = only
		s.join()
	}
	return s, err
}

// restrict takes apart where to listen and which packets count. A socket bound to
// an address does not get what is sent to all.
func restrict(addr string) (anywhere string, only netip.Addr, err error) {
	at, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		return "", only, err
	}
	port := at.AddrPort()
	if ip := port.Addr().Unmap(); ip.IsValid() && !ip.IsUnspecified() {
		only = ip
	}
	if only.IsLoopback() {
		return netip.AddrPortFrom(only, port.Port()).String(), only, nil
	}
	return netip.AddrPortFrom(netip.IPv4Unspecified(), port.Port()).String(), only, nil
}

func listen(addr string, share bool) (*Socket, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		control := raw.Control(func(fd uintptr) {
			if share {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			}
			err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1))
		})
		return errors.Join(control, err)
	}}
	c, err := lc.ListenPacket(context.Background(), "udp4", addr)
	if err != nil {
		return nil, err
	}
	return &Socket{conn: c.(*net.UDPConn)}, nil
}

// Addr is where the socket listens.
func (s *Socket) Addr() net.Addr { return s.conn.LocalAddr() }

// Close closes the socket.
func (s *Socket) Close() error { return s.conn.Close() }

// join makes the socket hear LLMNR in every network there is. One that was joined
// already, or can't be, changes nothing.
func (s *Socket) join() {
	all, err := net.Interfaces()
	if err != nil {
		return
	}
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		for _, i := range all {
			if i.Flags&net.FlagUp != 0 && i.Flags&(net.FlagMulticast|net.FlagLoopback) != 0 {
				unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(i.Index)})
			}
		}
	})
}

// read waits for the next packet.
func (s *Socket) read(buf []byte) (packet, error) {
	oob := make([]byte, 64)
	n, on, _, peer, err := s.conn.ReadMsgUDPAddrPort(buf, oob)
	if err != nil {
		return packet{}, err
	}
	p := packet{s, buf[:n], netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()), ownAddress(oob[:on])}
	if s.only.IsValid() && p.own != s.only {
		p.own = netip.Addr{}
	}
	return p, nil
}

// ownAddress finds in control messages to which of our addresses a packet came, or
// with one that was sent to all, which of them is in the network it came from.
func ownAddress(oob []byte) netip.Addr {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range all {
		// struct in_pktinfo: interface, our address, the packet's address.
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= 12 {
			own := netip.AddrFrom4([4]byte(m.Data[4:8]))
			if !own.IsUnspecified() && !own.IsMulticast() {
				return own
			}
		}
	}
	return netip.Addr{}
}

// write answers a packet. That an answer can't be sent is the asker's loss: it asks
// again.
func (s *Socket) write(b []byte, to packet) {
	s.conn.WriteMsgUDPAddrPort(b, unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: to.own.As4()}), to.peer)
}
