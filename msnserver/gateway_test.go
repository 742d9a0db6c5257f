package msnserver

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestTranscriptsOverGateway plays them with clients that poll: there is one
// server for both. Left out are the one about the gateway, and those that show
// what comes again because nothing proves that a client had read it before it
// left: over the gateway its OUT proves that. Polling also takes the time that the
// one about challenges measures.
func TestTranscriptsOverGateway(t *testing.T) {
	for name, g := range map[string]*msnclient.Gateway{
		"obedient": {},
		"HTTP 1.0": {Old: true, Absolute: true},
		"eager":    {Eager: true},
	} {
		t.Run(name, func(t *testing.T) { playAll(t, g, "gateway", "p2-foreign", "p3-webtv", "time", "challenge") })
	}
}

// TestGatewayAndTheGate: more clients sign in through one proxy than there may be
// strangers at its address.
func TestGatewayAndTheGate(t *testing.T) {
	l := DefaultLimits()
	l.PerSource = 2
	s := newSiege(t, l)
	for name, connect := range map[string]func() net.Conn{
		"http":  func() net.Conn { return s.connect(foe, s.web) },
		"https": func() net.Conn { return tls.Client(s.connect(foe, s.tls), &tls.Config{InsecureSkipVerify: true}) },
	} {
		for _, handle := range []string{"alice@example.com", "bob@example.com", "mallory@example.com", "eve@example.com"} {
			g := &msnclient.Gateway{Host: "gateway", Connect: func(context.Context) (net.Conn, error) { return connect(), nil }}
			c, err := msnclient.SignIn(t.Context(), msnclient.Config{
				Version: msnclient.MSNP2, Addr: "127.0.0.1:1863", Handle: handle, Password: "123456", Dial: g.Dial, Polls: true,
			})
			if err != nil {
				t.Fatalf("%s over %s: %v", handle, name, err)
			}
			t.Cleanup(c.Kill)
		}
	}
}
