package msnserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"nudge/msnserver/conn"
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
	if pc, v6 := g.from[netip.MustParseAddr("192.168.1.2")], g.from[netip.MustParseAddr("fd00::")]; g.open != 3 || pc.open != 1 || v6.open != 2 {
		t.Errorf("%d are open, %v, %v", g.open, pc, v6)
	}
}

// TestGateSlowsDown: who connects again and again without signing in is turned away
// until he has slowed down; who signs in may do so as often as he likes.
func TestGateSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := DefaultLimits()
		l.Connects = conn.Rate{PerSecond: 2, Burst: 3}
		g := newGate(AtHome, l, slog.New(slog.DiscardHandler))
		connect := func(from string, signsIn bool, want error) {
			t.Helper()
			c, err := g.enter(&caller{from: from})
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", from, err, want)
			}
			if err == nil {
				if signsIn {
					c.Vouch()
				}
				c.Close()
				c.Vouch() // too late
			}
		}
		for range 10 {
			connect("192.168.1.2:1", true, nil)
		}
		for range 3 {
			connect("192.168.1.2:1", false, nil)
		}
		connect("192.168.1.2:1", false, errFastFrom)
		connect("192.168.1.3:1", false, nil)
		time.Sleep(time.Second)
		connect("192.168.1.2:1", false, nil)
		connect("192.168.1.2:1", false, nil)
		connect("192.168.1.2:1", false, errFastFrom)
		time.Sleep(time.Hour)
		for range 3 {
			connect("192.168.1.2:1", false, nil)
		}
		connect("192.168.1.2:1", false, errFastFrom)

		kept, _ := g.enter(&caller{from: "192.168.1.4:1"})
		for i := range 3 * mostOrigins {
			connect(fmt.Sprintf("10.0.%d.%d:1", i/250, 1+i%250), false, nil)
		}
		if len(g.from) > mostOrigins+1 || g.from[netip.MustParseAddr("192.168.1.4")] == nil {
			t.Errorf("%d addresses are remembered", len(g.from))
		}
		kept.Close()
	})
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
