package msnserver

import (
	"time"

	"nudge/msnserver/conn"
	"nudge/msnserver/passport"
	"nudge/msnserver/wire"
)

// Limits is what one client, one PC and all of them together may cost. What one
// account may hold open is the hub's (bridge.Limits).
type Limits struct {
	Line    int           // bytes of a command line
	Payload int           // bytes of a payload; the switchboard takes less in any case (MSNP.md A.3)
	Queue   int           // bytes that may wait for a client that is slow to read
	SignIn  time.Duration // until a client has signed in

	Connections int // to all ports, from anywhere
	PerSource   int // from one address, those not counted that have signed in to MSN

	// Connects is how fast one address may make connections that do not sign in.
	Connects conn.Rate

	NS, SB conn.Rate // commands of one client

	Passwords passport.Limits
}

// DefaultLimits are those of a home network, on a Pi Zero. No client comes near
// them: the rates are several times what a file sent through the switchboard or
// a long list of new contacts takes.
func DefaultLimits() Limits {
	return Limits{
		Line: wire.MaxLine, Payload: wire.MaxNSPayload, Queue: 1 << 20, SignIn: time.Minute,
		Connections: 2048, PerSource: 256, Connects: conn.Rate{PerSecond: 50, Burst: 300},
		NS: conn.Rate{PerSecond: 200, Burst: 2000}, SB: conn.Rate{PerSecond: 20_000, Burst: 20_000},
		Passwords: passport.Limits{PerAccount: 5, PerSource: 20, Longest: 5 * time.Minute},
	}
}
