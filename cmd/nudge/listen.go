package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"

	"nudge/cmd/nudge/control"
)

// port is one thing the box listens for.
type port struct {
	name     string // key of the configuration
	asked    string // what was configured, "" nothing
	standard string
	fallback string // when the standard one can't be had and nothing was configured, "" none
}

// door is an open port.
type door struct {
	net.Listener
	about control.Listener
}

func ports(c config) []port {
	all := []port{
		{"msn", c.MSN, ":1863", ""},
		{"http", c.HTTP, ":80", ":8080"},
		{"https", c.HTTPS, ":443", ":8443"},
	}
	return slices.DeleteFunc(all, func(p port) bool { return p.asked == off })
}

// openPorts opens every port that is on, or none.
func openPorts(c config) (doors map[string]door, err error) {
	doors = map[string]door{}
	for _, p := range ports(c) {
		if doors[p.name], err = p.open(); err != nil {
			delete(doors, p.name)
			closePorts(doors)
			return nil, err
		}
	}
	return doors, nil
}

func closePorts(doors map[string]door) {
	for _, d := range doors {
		d.Close()
	}
}

// open listens where it was configured to. Without that it takes the standard
// port, or else another one and says what that means.
func (p port) open() (door, error) {
	addr, note := p.asked, ""
	if addr == "" {
		addr = p.standard
	}
	l, err := net.Listen("tcp", addr)
	if err != nil && p.asked == "" && p.fallback != "" {
		note = fmt.Sprintf("port %s %s; old clients look for %s only", p.standard[1:], whyNot(err, addr), p.standard[1:])
		l, err = net.Listen("tcp", p.fallback)
	}
	if err != nil {
		return door{}, cantListen(p.name, addr, err)
	}
	return door{l, control.Listener{Name: p.name, Addr: l.Addr().String(), Note: note}}, nil
}

// whyNot says why addr, a standard port, can't be had; its number goes before.
func whyNot(err error, addr string) string {
	switch {
	case errors.Is(err, os.ErrPermission):
		return "needs the right to use it (root, or the capability CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EADDRINUSE):
		return "is used by " + holder(addr)
	}
	return "can't be used (" + err.Error() + ")"
}

// cantListen is the error for a port that was asked for, or must be had.
func cantListen(name, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %s (%s) is used by %s; stop that one, or choose another address with --%s", addr, name, holder(addr), name)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("there is no right to use %s for %s: run as root or choose a port above 1023 with --%s", addr, name, name)
	}
	return fmt.Errorf("%s can't listen on %s: %w", name, addr, err)
}

// lanAddresses are the addresses by which other machines of the home network
// reach this one, the most likely first.
func lanAddresses() []net.IP {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var ips []net.IP
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsPrivate() {
			ips = append(ips, n.IP.To4())
		}
	}
	// The address used towards the outside; a UDP "connection" sends nothing.
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return ips
	}
	defer c.Close()
	if out, ok := c.LocalAddr().(*net.UDPAddr); ok {
		slices.SortStableFunc(ips, func(a, b net.IP) int {
			return rank(b.Equal(out.IP)) - rank(a.Equal(out.IP))
		})
	}
	return ips
}

func rank(first bool) int {
	if first {
		return 1
	}
	return 0
}
