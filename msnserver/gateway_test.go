package msnserver

import (
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestTranscriptsOverGateway plays them with clients that poll: there is one
// server for both. Left out are the one about the gateway, and those that show
// what comes again because nothing proves that a client had read it before it
// left: over the gateway its OUT proves that.
func TestTranscriptsOverGateway(t *testing.T) {
	for name, g := range map[string]*msnclient.Gateway{
		"obedient": {},
		"HTTP 1.0": {Old: true, Absolute: true},
		"eager":    {Eager: true},
	} {
		t.Run(name, func(t *testing.T) { playAll(t, g, "gateway", "p2-foreign", "p3-webtv", "time") })
	}
}
