// Package sb is the switchboard: one connection is one client's seat in one
// conversation (MSNP.md C). There is no VER: the client speaks the version of
// the session that its cookie was made for.
//
// A Seat's handlers run in its connection's reader. Deliver and the callbacks
// given to the hub run with the hub's lock held; they only queue, and that lock
// guards the names. One timer for each seat hangs up when nobody says anything. Files
// that the client gives to people on networks go their way in goroutines of the hub,
// which come back for what the client is to be told (play.go).
package sb

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/msnserver/conn"
	"nudge/msnserver/dialect"
	"nudge/msnserver/p2p"
	"nudge/msnserver/wire"
)

// IdleTime is how long a seat may be silent before it is given up (MSNP.md C.5).
const IdleTime = 15 * time.Minute

// Seat is one client's connection to the switchboard. It is the im.Sink of that
// client in the conversation.
type Seat struct {
	*conn.Conn
	hub   *bridge.Hub
	seat  *bridge.Seat // reader's
	ear   dialect.Ear  // reader's
	asked bool         // reader's: for the client's picture

	playing sync.Mutex        // held while something of the hub is asked, never the other way round
	p2p     *p2p.Host         // guarded by playing; nil until the client speaks to somebody who is played
	fetches map[string]*fetch // likewise; files by the old way, by their cookies
	getting sync.WaitGroup

	made  time.Time            // the seat
	said  atomic.Int64         // when anybody said something last, in ns since then
	idle  *time.Timer          // hangs up on a silent conversation
	quiet atomic.Bool          // it did
	known map[im.Addr]*speaker // who is or was here
}

// speaker is somebody under the name he joined with.
type speaker struct {
	im.Person
	says wire.Command // what he says, but for the words: written once
}

// New makes a seat on c.
func New(c *conn.Conn, hub *bridge.Hub) *Seat {
	s := &Seat{Conn: c, hub: hub, made: time.Now(), known: map[im.Addr]*speaker{}}
	s.idle = time.AfterFunc(IdleTime, s.lookIdle)
	return s
}

// alive notes that the conversation is.
func (s *Seat) alive() { s.said.Store(int64(time.Since(s.made))) }

// lookIdle gives the seat up when it was silent for long enough, else looks
// again when it could have been: cheaper than a timer that every message sets.
func (s *Seat) lookIdle() {
	if left := IdleTime - (time.Since(s.made) - time.Duration(s.said.Load())); left > 0 {
		s.idle.Reset(left)
		return
	}
	s.quiet.Store(true)
	s.HangUp()
}

// Serve runs the seat until the client is gone.
func (s *Seat) Serve() {
	conn.Serve(s.Conn, wire.ToSB, table, s, func() {
		s.idle.Stop()
		if s.seat != nil {
			s.stopPlaying()
			s.seat.Leave(s.quiet.Load())
			s.getting.Wait()
		}
	})
}

var table = conn.Table[*Seat]{
	Rows: map[string]conn.Command[*Seat]{
		"USR": {Run: (*Seat).usr, In: conn.Fresh, Min: 3, Max: 3},
		"ANS": {Run: (*Seat).ans, In: conn.Fresh, Min: 4, Max: 4},
		"CAL": {Run: (*Seat).cal, In: conn.SignedIn, Min: 2, Max: 2},
		"MSG": {Run: (*Seat).msg, In: conn.SignedIn, Min: 2, Max: 2},
		"OUT": {Run: (*Seat).out, In: conn.Any, Max: 1},
	},
}

// usr opens a conversation with a cookie of XFR (MSNP.md C.1).
func (s *Seat) usr(cmd wire.Command) error {
	trid, handle, cookie := cmd.Arg(0), cmd.Arg(1), cmd.Arg(2)
	d, ok := s.speak(cookie)
	if !ok {
		return s.refuse(trid, bridge.ErrCookie)
	}
	seat, err := s.hub.Open(cookie, handle, s, func(me im.Person) {
		s.Send(wire.Line("USR", trid, "OK", handle, d.EscapeName(me.Name, d.Handle(me.Addr))))
	})
	return s.seated(seat, trid, err)
}

// ans joins the conversation of an invitation (MSNP.md C.3).
func (s *Seat) ans(cmd wire.Command) error {
	trid, handle, cookie := cmd.Arg(0), cmd.Arg(1), cmd.Arg(2)
	id, err := strconv.ParseUint(cmd.Arg(3), 10, 32)
	d, ok := s.speak(cookie)
	if !ok || err != nil {
		return s.refuse(trid, bridge.ErrCookie)
	}
	seat, err := s.hub.Answer(cookie, handle, uint32(id), s, func(_ im.Person, present []im.Membership) {
		for i, m := range present {
			s.meet(d, m.Who)
			s.Send(d.Present(d, trid, i+1, len(present), m))
		}
		s.Send(wire.Line("ANS", trid, "OK"))
	})
	return s.seated(seat, trid, err)
}

// speak takes over the version of the session that asked for the cookie.
func (s *Seat) speak(cookie string) (*dialect.Dialect, bool) {
	client, ok := s.hub.Admission(cookie)
	if !ok {
		return nil, false
	}
	d := dialect.Named(client.Proto)
	if d == nil {
		return nil, false
	}
	if client.Emoji {
		d = d.WithEmoji()
	}
	s.Speak(d)
	return d, true
}

// seated is the end of both ways in.
func (s *Seat) seated(seat *bridge.Seat, trid string, err error) error {
	if err != nil {
		return s.refuse(trid, err)
	}
	s.seat, s.ear.Page = seat, seat.CodePage()
	s.SignedIn()
	return nil
}

// refuse turns a client away.
func (s *Seat) refuse(trid string, err error) error {
	s.Send(wire.AuthFailed.Reply(trid))
	return fmt.Errorf("%w: %w", err, conn.ErrBye)
}

// cal invites somebody. A contact on a network joins at once, so its JOI follows
// the answer (MSNP.md C.2, C.6).
func (s *Seat) cal(cmd wire.Command) error {
	s.alive()
	trid := cmd.Arg(0)
	err := s.seat.Call(cmd.Arg(1), func(session uint32) {
		s.Send(wire.Line("CAL", trid, "RINGING", strconv.FormatUint(uint64(session), 10)))
	})
	switch {
	case err == nil:
	case errors.Is(err, bridge.ErrBadHandle):
		s.Send(wire.InvalidUserName.Reply(trid))
	case errors.Is(err, bridge.ErrPresent):
		s.Send(wire.AlreadyThere.Reply(trid))
	case errors.Is(err, bridge.ErrFull):
		s.Send(wire.CallingTooRapidly.Reply(trid)) // the one of its kind that does not make BitlBee sign off (MSNP.md G)
	case errors.Is(err, bridge.ErrClosed):
		s.Send(wire.SwitchboardFailed.Reply(trid))
	default:
		s.Send(wire.NotOnline.Reply(trid))
	}
	return nil
}

// msg says something. The payload is relayed as it is, even when nothing could
// be read out of it (MSNP.md C.4).
func (s *Seat) msg(cmd wire.Command) error {
	s.alive()
	trid, ack := cmd.Arg(0), cmd.Arg(1)
	done := func(err error) { s.acknowledge(trid, ack, err) }
	if len(cmd.Payload) == 0 {
		done(bridge.ErrAlone) // an empty MSG is poison to some clients
		return nil
	}
	m, typing := s.ear.Read(cmd.Payload)
	if typing {
		s.seat.Typing(cmd.Payload)
		done(nil)
		return nil
	}
	s.seat.Send(m, done)
	switch {
	case !m.Speaks():
		s.play(cmd.Payload, m.Offer)
	case s.Dialect().Pictures:
		s.askPicture()
	}
	return nil
}

// acknowledge answers a message as the client asked for it: U never, N only a
// failure, the letters of Acks both ways. One that the version does not have asks
// for nothing, but is told of a failure too: nothing is lost in silence.
func (s *Seat) acknowledge(trid, ack string, err error) {
	switch {
	case ack == "U":
	case err != nil:
		s.Send(wire.Line("NAK", trid))
	case ack != "" && strings.Contains(s.Dialect().Acks, ack):
		s.Send(wire.Line("ACK", trid))
	}
}

func (s *Seat) out(wire.Command) error { return conn.ErrBye }

// Deliver implements im.Sink.
func (s *Seat) Deliver(ev im.Event, settle func(bool)) {
	if _, ok := ev.(im.SignedOff); ok { // perhaps before the version is known
		s.HangUp()
		return
	}
	d := s.Dialect()
	switch ev := ev.(type) {
	case im.Membership:
		if ev.Joined {
			s.meet(d, ev.Who)
			s.Send(d.Joined(d, ev))
		} else {
			s.Send(d.Gone(ev.Who, ev.Idle))
		}
	case im.Message:
		s.say(d, ev, settle)
	case im.Typing:
		if ev.On {
			s.Send(s.speaker(d, ev.Who).words(dialect.TypingNote(d.Handle(ev.Who))))
		}
	}
}

// say queues a message, in the box's time zone, as one delivery.
func (s *Seat) say(d *dialect.Dialect, m im.Message, settle func(bool)) {
	s.alive()
	who := s.speaker(d, m.From)
	m.At = s.hub.In(m.At)
	cmds := make([]wire.Command, 0, 1)
	for _, payload := range d.Render(m, who.Name) {
		cmds = append(cmds, who.words(payload))
	}
	s.SendSettled(settle, cmds...)
}

// meet notes somebody under the name he joins with.
func (s *Seat) meet(d *dialect.Dialect, who im.Person) *speaker {
	if who.Name == "" {
		who.Name, _, _ = strings.Cut(who.ID, "@")
	}
	p := &speaker{who, d.Said(who, nil)}
	s.known[who.Addr] = p
	return p
}

// speaker is who a message is from.
func (s *Seat) speaker(d *dialect.Dialect, a im.Addr) *speaker {
	if p := s.known[a]; p != nil {
		return p
	}
	return s.meet(d, im.Person{Addr: a})
}

// words is one message of his.
func (p *speaker) words(payload []byte) wire.Command {
	cmd := p.says
	cmd.Payload = payload
	return cmd
}
