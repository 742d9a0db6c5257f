package main

import (
	"log/slog"

	"nudge/bridge/assistant"
	"nudge/bridge/im"
	"nudge/bridge/matrix"
	"nudge/bridge/xmpp"
	"nudge/cmd/nudge/control"
)

// voice is the contact that speaks for the box.
var voice = assistant.Address()

// networks names the networks of this build, one line each, and those that
// every account has without a link of its own.
func networks(log *slog.Logger, b *control.Box) (all map[string]im.Network, shared []string) {
	return map[string]im.Network{
		assistant.Name: &assistant.Network{Actions: b.Actions()},
		"matrix":       matrix.New(log),
		"xmpp":         xmpp.New(log),
	}, []string{assistant.Name}
}

// gateways names the networks that speak for all accounts at once.
func gateways(log *slog.Logger) map[string]im.Network {
	return map[string]im.Network{
		"matrix": matrix.NewGateway(log),
		"xmpp":   xmpp.NewGateway(log),
	}
}

// register makes what a gateway's server has to be given as a file, nil when there
// is no such thing. It adds to the values of the form what is in it; old is the
// file of before, if there is one.
func register(network string) func(values map[string]string, old []byte) ([]byte, error) {
	if network == "matrix" {
		return matrix.Register
	}
	return nil
}
