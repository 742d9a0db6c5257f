package ns

import (
	"nudge/msnserver/conn"
	"nudge/msnserver/wire"
)

// png keeps the connection alive. One that polls needs none and gets no answer
// (MSNP.md K.10).
func (s *Session) png(wire.Command) error {
	if s.Polled() {
		return nil
	}
	s.Send(s.Dialect().Pong())
	return nil
}

func (s *Session) out(wire.Command) error { return conn.ErrBye }

// url names web pages for mail and profile: there is only our own.
func (s *Session) url(cmd wire.Command) error {
	s.Send(s.Dialect().URL(cmd.Arg(0), "/", "http://"+s.Host()+"/"))
	return nil
}

// fnd searches the public directory, in which nobody is.
func (s *Session) fnd(cmd wire.Command) error {
	s.Send(wire.Line("FND", cmd.Arg(0), "0", "0"))
	return nil
}

// snd asks for an invitation by mail (SDC brings the text). The client expects
// OK and shows nothing else; no mail leaves this box.
func (s *Session) snd(cmd wire.Command) error {
	s.Send(wire.Line(cmd.Verb, cmd.Arg(0), "OK"))
	return nil
}

// gcf hands out a policy: nothing is forbidden (MSNP.md B.16).
func (s *Session) gcf(cmd wire.Command) error {
	s.Send(s.Dialect().Policy(cmd.Arg(0), cmd.Arg(1)))
	return nil
}

// pag is a message to a telephone; it has no answer (MSNP.md B.14).
func (s *Session) pag(wire.Command) error { return nil }
