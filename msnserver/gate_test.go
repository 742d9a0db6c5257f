package msnserver

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
)

// caller is a connection from an address.
type caller struct {
	net.Conn
	from string
}

func (c *caller) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}
func (c *caller) Close() error { return nil }

func TestGate(t *testing.T) {
	l := DefaultLimits()
	l.Connections, l.PerSource = 4, 2
	g := newGate(AtHome, l, slog.New(slog.DiscardHandler))
	enter := func(from string, want error) admitted {
		t.Helper()
		c, err := g.enter(&caller{from: from})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", from, err, want)
		}
		return c
	}
	enter("8.8.8.8:1", errOutside)
	one := enter("192.168.1.2:1", nil)
	two := enter("[::ffff:192.168.1.2]:2", nil)
	enter("192.168.1.2:3", errManyFrom)
	one.Vouch()
	one.Vouch()
	enter("192.168.1.2:3", nil)
	enter("192.168.1.2:4", errManyFrom)
	enter("[fd00::1]:1", nil)
	enter("[fd00::2]:1", errMany)
	two.Close()
	two.Close()
	one.Close()
	enter("[fd00::2]:1", nil)
	enter("[fd00::3]:1", errManyFrom) // one network is one source
	if g.open != 3 || len(g.from) != 2 {
		t.Errorf("%d are open, from %v", g.open, g.from)
	}
}

// TestOutsiders counts who comes from the Internet, and nobody else.
func TestOutsiders(t *testing.T) {
	g := newGate(AtHome, DefaultLimits(), slog.New(slog.DiscardHandler))
	for from, want := range map[string]int{"100.64.1.2:1": 0, "[2001:db8::1]:1": 0, "203.0.113.9:1": 1, "[::ffff:203.0.113.9]:2": 2} {
		g.outside = Outsiders{Times: max(0, want-1)}
		c := &caller{from: from}
		_, err := g.enter(c)
		g.turnAway(c, err)
		o := g.outsiders()
		if o.Times != want || want > 0 && o.Peer != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("%s: %+v", from, o)
		}
	}
	g.outside = Outsiders{}
	g.turnAway(&caller{from: "203.0.113.9:1"}, errMany)
	if o := g.outsiders(); o.Times != 0 {
		t.Errorf("somebody who may come in, but for the limits, counts: %+v", o)
	}
}
