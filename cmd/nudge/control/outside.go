package control

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Outsider is who reached the box from the Internet, and was turned away.
type Outsider struct {
	Peer  netip.Addr
	Times int // they, all together
	Last  time.Time
}

// recently is how long the Internet's being at the door counts: scanners come by
// every few hours, so that a day without one proves that it is closed.
const recently = 24 * time.Hour

// checkOutside tells whether the Internet reaches the box: nobody out there needs
// to be asked for that, because who comes from there is seen.
func (b *Box) checkOutside() Check {
	c := Check{"from outside", Good, "nobody from the Internet has reached this box"}
	if b.Outside == nil {
		return c
	}
	if o := b.Outside(); o.Times > 0 && time.Since(o.Last) < recently {
		return Check{c.Name, Bad, fmt.Sprintf("somebody from the Internet (%s, %s) reached this box and was turned away, %d in all: "+
			"in the router, take away the forwarding of its ports to this box, also what it calls DMZ or exposed host",
			o.Peer, o.Last.Local().Format("2 Jan 15:04:05"), o.Times)}
	}
	if public := b.publicAddresses(); len(public) > 0 {
		return Check{c.Name, Warn, fmt.Sprintf("this machine has an address of the Internet (%s) and listens there; who comes from outside is turned away, but a firewall should stand before it",
			strings.Join(public, ", "))}
	}
	return c
}

// publicAddresses are those of this machine by which the Internet could reach a
// port that is open: IPv4 only, for behind a home's router every machine has
// IPv6 addresses of the Internet, and it keeps the Internet off them.
func (b *Box) publicAddresses() (all []string) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && b.listensOn(p.Addr()) && outside(p.Addr()) {
			all = append(all, p.Addr().String())
		}
	}
	return all
}

// shared is what providers give out when they run short of addresses: nobody
// from the Internet comes in by one (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// outside tells whether an IPv4 address is one of the Internet.
func outside(a netip.Addr) bool {
	return a.Is4() && a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// listensOn tells whether one of the ports is open at a.
func (b *Box) listensOn(a netip.Addr) bool {
	for _, l := range b.Listeners {
		if at, err := netip.ParseAddrPort(l.Addr); err == nil && (at.Addr().IsUnspecified() || at.Addr().Unmap() == a) {
			return true
		}
	}
	return false
}
