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
		"xmpp": xmpp.NewGateway(log),
	}
}
