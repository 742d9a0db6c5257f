package conn

import (
	"net"
	"net/netip"
)

// Addr is our end of the connection as host:port, for the client to come back
// to: an IPv4 address is never written as ::ffff:…, which old clients don't
// understand.
func (c *Conn) Addr() string {
	a := c.Net.LocalAddr()
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()).String()
}

// Host is Addr without the port.
func (c *Conn) Host() string {
	host, _, err := net.SplitHostPort(c.Addr())
	if err != nil {
		return c.Addr()
	}
	return host
}
