package ns

import (
	"strconv"
	"strings"

	"nudge/bridge/im"
	"nudge/msnserver/dialect"
	"nudge/msnserver/wire"
)

// chg sets the user's presence. The first time the presence of the contacts
// follows the answer, as ILN (MSNP.md B.10).
func (s *Session) chg(cmd wire.Command) error {
	status, ok := dialect.StatusNamed(cmd.Arg(1))
	if !ok {
		s.Send(wire.InvalidParameter.Reply(cmd.Arg(0)))
		return nil
	}
	now := im.Presence{Status: status, Object: cmd.Arg(3), Picture: dialect.ParsePicture(cmd.Arg(3))}
	basic, _, _ := strings.Cut(cmd.Arg(2), ":")
	if caps, err := strconv.ParseUint(basic, 10, 32); err == nil {
		now.Caps = im.Caps(caps)
	}
	s.Send(s.Dialect().Changed(cmd.Arg(0), cmd.Args[1:]))
	s.user.SetPresence(now, cmd.Arg(0))
	s.beginChallenges()
	return nil
}

// uux sets what the user says about himself and listens to (MSNP.md B.16).
func (s *Session) uux(cmd wire.Command) error {
	note, ok := dialect.ParseNote(cmd.Payload, im.Presence{})
	if !ok {
		s.Send(wire.InvalidParameter.Reply(cmd.Arg(0)))
		return nil
	}
	s.Send(wire.Command{Verb: "UUX", Args: []string{cmd.Arg(0)}, Payload: []byte{}})
	s.user.SetNote(note)
	return nil
}

// xfr sends the client to a switchboard: the same address it came to
// (MSNP.md B.11).
func (s *Session) xfr(cmd wire.Command) error {
	if cmd.Arg(1) != "SB" {
		s.Send(wire.InvalidParameter.Reply(cmd.Arg(0)))
		return nil
	}
	cookie, err := s.user.Cookie()
	if err != nil {
		return s.refuse(cmd, err)
	}
	s.Send(s.Dialect().Transfer(cmd.Arg(0), s.Addr(), cookie))
	return nil
}

// ims switches conversations off and on (WebTV, MSNP.md B.14).
func (s *Session) ims(cmd wire.Command) error {
	value := cmd.Arg(1)
	if value != "ON" && value != "OFF" {
		s.Send(wire.InvalidParameter.Reply(cmd.Arg(0)))
		return nil
	}
	s.Send(wire.Line("IMS", cmd.Arg(0), "0", value))
	s.user.SetDeaf(value == "OFF")
	return nil
}
