// Package ns is the notification server: sign-in, contact lists, presence and
// the way to a switchboard (MSNP.md B). It has one file per command family; the
// table below is all a client can say.
//
// A Session belongs to one connection. Its handlers run in the connection's
// reader; Deliver is called by the hub with the hub's lock held and only queues.
// Where a setting wants challenges, one timer sends them (challenge.go).
package ns

import (
	"context"
	"sync/atomic"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/msnserver/conn"
	"nudge/msnserver/dialect"
	"nudge/msnserver/passport"
	"nudge/msnserver/wire"
)

// Session is one client's connection to the notification server. It is the
// im.Sink of that client.
type Session struct {
	*conn.Conn
	hub     *bridge.Hub
	tickets *passport.Tickets
	witness passport.Witness
	tries   *passport.Throttle
	ctx     context.Context

	// Reader's.
	handle    string // as the client wrote it in USR I
	challenge string // of USR MD5
	program   string // as CVR named it
	user      *bridge.Session

	challenges challenges
	noteInName bool        // set before greeted: the note of a contact goes after his name
	greeted    atomic.Bool // USR OK is queued: the client takes events
}

// New makes a session on c. ctx ends what a handler waits for; w is told how the
// sign-in goes.
func New(ctx context.Context, c *conn.Conn, hub *bridge.Hub, tickets *passport.Tickets, w passport.Witness, tries *passport.Throttle) *Session {
	return &Session{Conn: c, hub: hub, tickets: tickets, witness: w, tries: tries, ctx: ctx}
}

// Serve runs the session until the client is gone.
func (s *Session) Serve() {
	conn.Serve(s.Conn, wire.ToNS, table, s, func() {
		s.challenges.stop()
		if s.user != nil {
			s.user.Close()
		}
	})
}

const (
	agreed = conn.Agreed | conn.Challenged | conn.SignedIn
	signIn = conn.Agreed | conn.Challenged
)

var table = conn.Table[*Session]{
	Known:   func(c *conn.Conn, verb string) bool { return c.Dialect() == nil || c.Dialect().Knows(verb) },
	Dropped: func(c *conn.Conn, verb string) bool { return c.Dialect().Dropped(verb) },
	Rows: map[string]conn.Command[*Session]{
		"VER": {Run: (*Session).ver, In: conn.Fresh, Min: 2, Max: 50},
		"CVR": {Run: (*Session).cvr, In: agreed, Min: 7, Max: 9, Wrong: wire.NotExpectedCVR},
		"CVQ": {Run: (*Session).cvq, In: conn.Any, Min: 6, Max: 9},
		"INF": {Run: (*Session).inf, In: signIn, Min: 1, Max: 1},
		"USR": {Run: (*Session).usr, In: signIn, Min: 4, Max: 4, Wrong: wire.AlreadyLoggedIn, Stay: true},

		"SYN": {Run: (*Session).syn, In: conn.SignedIn, Min: 2, Max: 3},
		"LST": {Run: (*Session).lst, In: conn.SignedIn, Min: 2, Max: 2},
		"GTC": {Run: (*Session).gtc, In: conn.SignedIn, Min: 2, Max: 2},
		"BLP": {Run: (*Session).blp, In: conn.SignedIn, Min: 2, Max: 2},

		"ADD": {Run: (*Session).add, In: conn.SignedIn, Min: 3, Max: 5},
		"ADC": {Run: (*Session).adc, In: conn.SignedIn, Min: 3, Max: 6},
		"SBP": {Run: (*Session).sbp, In: conn.SignedIn, Min: 3, Max: 4},
		"REM": {Run: (*Session).rem, In: conn.SignedIn, Min: 3, Max: 4},
		"REA": {Run: (*Session).rea, In: conn.SignedIn, Min: 3, Max: 3},
		"PRP": {Run: (*Session).prp, In: conn.SignedIn, Min: 2, Max: 3},
		"ADG": {Run: (*Session).adg, In: conn.SignedIn, Min: 2, Max: 3},
		"RMG": {Run: (*Session).rmg, In: conn.SignedIn, Min: 2, Max: 2},
		"REG": {Run: (*Session).reg, In: conn.SignedIn, Min: 3, Max: 4},

		"CHG": {Run: (*Session).chg, In: conn.SignedIn, Min: 2, Max: 4},
		"UUX": {Run: (*Session).uux, In: conn.SignedIn, Min: 1, Max: 1},
		"XFR": {Run: (*Session).xfr, In: conn.SignedIn, Min: 2, Max: 2},
		"IMS": {Run: (*Session).ims, In: conn.SignedIn, Min: 2, Max: 2},

		"PNG": {Run: (*Session).png, In: conn.SignedIn, Max: 1},
		"OUT": {Run: (*Session).out, In: conn.Any, Max: 1},
		"QRY": {Run: (*Session).qry, In: conn.SignedIn, Min: 1, Max: 2},
		"URL": {Run: (*Session).url, In: conn.SignedIn, Min: 2, Max: 3},
		"FND": {Run: (*Session).fnd, In: conn.SignedIn, Min: 1, Max: 9},
		"SND": {Run: (*Session).snd, In: conn.SignedIn, Min: 2, Max: 5},
		"SDC": {Run: (*Session).snd, In: conn.SignedIn, Min: 2, Max: 8},
		"PAG": {Run: (*Session).pag, In: conn.SignedIn, Min: 1, Max: 2},
		"PGD": {Run: (*Session).pag, In: conn.SignedIn, Min: 1, Max: 3},
		"GCF": {Run: (*Session).gcf, In: conn.SignedIn, Min: 2, Max: 2},
	},
}

// Deliver implements im.Sink. Messages do not come here but to a switchboard. A
// sign-off may come before the version is known, everything else after USR OK.
func (s *Session) Deliver(ev im.Event, _ func(bool)) {
	if off, ok := ev.(im.SignedOff); ok {
		s.Send(signedOff(off.Why))
		s.HangUp()
		return
	}
	d := s.Dialect()
	switch ev := ev.(type) {
	case im.PresenceChanged:
		s.present(d, ev)
	case im.ListChanged:
		// Before the greeting it would confuse; SYN brings it anyway.
		if c, ok := d.ListChanged(ev); ok && s.greeted.Load() {
			s.Send(c)
		}
	case im.PropertyChanged:
		if d.Shows(ev.Key) && s.greeted.Load() {
			s.Send(d.PropertyOf(d, d.Version(ev.Version), ev.Who.Addr, ev.Key, ev.Value))
		}
	case im.Invitation:
		s.Send(d.Ring(d, s.Addr(), ev))
	}
}

// present tells what a contact shows.
func (s *Session) present(d *dialect.Dialect, ev im.PresenceChanged) {
	if s.noteInName {
		ev.Who = d.NameWithNote(ev.Who, ev.Now)
	}
	s.Send(d.Presence(ev.Re, ev.Who, ev.Now))
	if note, ok := d.Note(ev.Re, ev.Who, ev.Now); ok {
		s.Send(note)
	}
}

// signedOff is the last line of a session (MSNP.md B.17).
func signedOff(why im.SignOff) wire.Command {
	switch why {
	case im.Elsewhere:
		return wire.Line("OUT", "OTH")
	case im.Shutdown:
		return wire.Line("OUT", "SSD")
	}
	return wire.Line("OUT")
}
