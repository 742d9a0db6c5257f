// Package control is the owner's API: what may be done with the box from
// outside of MSN. The command line, the pages, the assistant and the tests all
// act through it, so that each rule about it is written once.
//
// # Shape
//
// Every action is one call: a path, a typed request and a typed answer (see
// call.go; one file per resource). A Box carries calls out on the hub and the
// store. A Client makes them: over the socket of a running box, or, made by
// Local, on a Box in the same process when no box runs.
//
// # The socket
//
// HTTP with JSON on the Unix socket control.sock in the data folder, or in the
// folder that systemd makes for it, which the group may enter. There is
// no log-in: who may open the socket (its owner, and the group nudge where that
// exists) owns the box. Errors come as {"error": "…"}, a sentence for a person.
//
// # Goroutines
//
// Server has one goroutine that accepts and those of net/http; Close waits for
// all of them. Box and Client may be used from any goroutine.
package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"nudge/bridge"
	"nudge/store"
)

// Config is what a Box acts on and tells about. Hub, Listeners and the functions may
// be filled in after New, before the first call.
type Config struct {
	Hub       *bridge.Hub
	Store     *store.DB
	Log       *slog.Logger
	Data      string // the data folder
	Runtime   string // the folder of the socket, "" the data folder
	Version   string
	Built     time.Time // of the program's source, zero when unknown: the clock can't be before it
	Running   bool      // clients can sign in and links are connected
	Listeners []Listener
	// SignInChanged is called after an account's password was changed or the
	// account was removed; nil: nobody keeps tickets.
	SignInChanged func(handle string)
	// SettingsChanged is called after a setting was changed; nil: nobody keeps any.
	SettingsChanged func()
	// Troubled tells which PCs could not sign in lately, the latest first. box
	// is the setting for the address by which they reach this box. nil: it is
	// not known.
	Troubled func(box string) []PC
	// Outside tells who reached the box from the Internet; nil: it is not known.
	Outside func() Outsider
	// Reach is the most likely address of this machine in the home network, as it
	// is now; nil: it is not known.
	Reach func() string
	// Trusted is the certificate of the authority that PCs are to trust (DER); it may
	// wait for it. nil: HTTPS is off.
	Trusted func(context.Context) ([]byte, error)
	// Overhear writes down, until ctx ends, what clients at an address (none: all) say
	// and are told, with nothing private in it; nil: the box is not running.
	Overhear func(ctx context.Context, pc netip.Addr) (string, error)
	Lights   Lights // nil: none
	// NamesUpstream tells how the name server's last question to its upstream
	// failed; nil: there is no name server.
	NamesUpstream func() error
	// Try asks before a password or code from source is looked at (see
	// passport.Throttle); nil: anybody may guess as fast as he likes.
	Try func(source netip.Addr, what string) (done func(right bool), wait time.Duration)
	// LinkPage makes an address under which account can be linked, once; nil:
	// there are no pages.
	LinkPage func(account string) string
	// Media lists the sticks and shares that are there now, to keep backups on; nil:
	// none.
	Media func() ([]Medium, error)
	// Restore puts a backup in place and starts the box again; nil: it can't.
	Restore func(ctx context.Context, r io.Reader, passphrase string) error
	LogTail func() []string // the last lines of the log; nil: nobody keeps them
	// Lookup asks the name server that this machine uses, which is most likely the
	// home network's, for a name's addresses; nil: PCs don't find this box by
	// names.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	// Certificate tells without waiting how the TLS certificate is; nil: there is
	// none.
	Certificate func() Certificate
}

// Listener is one port that the box listens on, or would.
type Listener struct {
	Name string `json:"name"`           // msn, http, https, names, netbios, llmnr
	Addr string `json:"addr"`           // "" when it could not be had; then Note says why and what to do
	Note string `json:"note,omitempty"` // what a person must know about it
}

// Certificate is how the TLS certificate is.
type Certificate struct {
	Ended     bool     // it is not being made any more
	Err       error    // why there is none then
	Authority string   // the name of its root
	Lacks     []string // names and addresses of the box that are not in it
}

// Box carries the calls out.
type Box struct {
	Config
	started    time.Time
	pairing    atomic.Pointer[Pairing]            // nil: not open
	stopRecord atomic.Pointer[context.CancelFunc] // nil: nothing is being recorded
	claim      claimCode
	keeping    sync.Mutex // one backup onto a medium at a time
}

// New makes a Box.
func New(c Config) *Box {
	if c.SignInChanged == nil {
		c.SignInChanged = func(string) {}
	}
	if c.NamesUpstream == nil {
		c.NamesUpstream = func() error { return nil }
	}
	return &Box{Config: c, started: time.Now()}
}

// ErrNotRunning means that no box answers on the socket.
var ErrNotRunning = errors.New("nudge is not running here")

// Done is the answer of calls that have nothing to tell.
type Done struct{}
