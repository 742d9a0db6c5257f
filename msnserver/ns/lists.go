package ns

import (
	"errors"

	"nudge/bridge"
	"nudge/msnserver/dialect"
	"nudge/msnserver/wire"
)

// lists are the account's lists for this client's version.
func (s *Session) lists() dialect.Lists {
	from := s.user.Lists()
	l := dialect.Lists{Version: s.Dialect().Version(from.Version), Name: s.user.Person().Name,
		Prompt: from.Prompt, BlockOthers: from.BlockOthers, Properties: from.Properties}
	for _, g := range from.Groups {
		l.Groups = append(l.Groups, dialect.Group(g))
	}
	l.Contacts = make([]dialect.Contact, 0, len(from.Contacts))
	for _, c := range from.Contacts {
		l.Contacts = append(l.Contacts, dialect.Contact{Person: c.Person, On: dialect.On(c.Lists), Groups: c.Groups, GUID: c.GUID, Properties: c.Properties})
	}
	return l
}

// syn hands out the lists, or says that the client's copy is good. A client that
// has none says 0 and always gets everything (MSNP.md K.3).
func (s *Session) syn(cmd wire.Command) error {
	d, l := s.Dialect(), s.lists()
	short := d.Unchanged(cmd.Arg(0), l.Version)
	if cmd.Arg(1) != "0" && cmd.Arg(1) == short.Arg(1) && (short.Arg(2) == "" || cmd.Arg(2) == short.Arg(2)) {
		s.Send(short)
		return nil
	}
	s.Send(d.Sync(d, cmd.Arg(0), l)...)
	return nil
}

// lst hands out one list (MSNP.md B.7).
func (s *Session) lst(cmd wire.Command) error {
	lines := s.Dialect().ListBlock(cmd.Arg(0), cmd.Arg(1), s.lists())
	if lines == nil {
		s.Send(wire.InvalidParameter.Reply(cmd.Arg(0)))
		return nil
	}
	s.Send(lines...)
	return nil
}

// gtc says whether the user is asked when somebody adds him.
func (s *Session) gtc(cmd wire.Command) error {
	return s.setting(cmd, "A", "N", func(ask bool) (uint64, error) { return s.user.SetPrompt(s.ctx, ask) })
}

// blp says what happens with people who are on neither list.
func (s *Session) blp(cmd wire.Command) error {
	return s.setting(cmd, "BL", "AL", func(block bool) (uint64, error) { return s.user.SetBlockOthers(s.ctx, block) })
}

// setting changes one of the two. It is no change when it is so already
// (MSNP.md B.8).
func (s *Session) setting(cmd wire.Command, yes, no string, set func(bool) (uint64, error)) error {
	value := cmd.Arg(1)
	if value != yes && value != no {
		s.Send(wire.InvalidParameter.Reply(cmd.Arg(0)))
		return nil
	}
	version, err := set(value == yes)
	if errors.Is(err, bridge.ErrUnchanged) {
		s.Send(wire.AlreadyInMode.Reply(cmd.Arg(0)))
		return nil
	}
	if err != nil {
		return s.refuse(cmd, err)
	}
	d := s.Dialect()
	s.Send(d.Setting(cmd.Verb, cmd.Arg(0), d.Version(version), value))
	return nil
}
