package ns

import (
	"errors"
	"strings"

	"nudge/bridge"
	"nudge/msnserver/dialect"
	"nudge/msnserver/wire"
)

// entry is what the arguments of ADC name: somebody by address or by GUID, and a
// group.
type entry struct{ handle, guid, group string }

// parseEntry reads them. The name (F=) is the contact's own affair.
func parseEntry(args []string) (e entry) {
	for _, a := range args {
		switch tag, value, _ := strings.Cut(a, "="); tag {
		case "N":
			e.handle = value
		case "C":
			e.guid = value
		case "F":
		default:
			e.group = a
		}
	}
	return e
}

// adc puts somebody on a list, or somebody of the forward list into a group
// (MSNP.md B.9.2). The answer to the latter names him by GUID only, as the
// request does.
func (s *Session) adc(cmd wire.Command) error {
	list, ok, err := s.editable(cmd)
	if !ok {
		return err
	}
	e := parseEntry(cmd.Args[2:])
	if list == bridge.RL {
		return s.answered(cmd, e.handle)
	}
	var group uint32
	var groupText string
	if list == bridge.FL {
		if group, groupText, err = s.group(e.group); err != nil {
			return s.refuse(cmd, err)
		}
	}
	who := e.handle
	if who == "" {
		who = e.guid
	}
	change, err := s.addOrReading(list, who, group)
	if e.handle == "" && errors.Is(err, bridge.ErrBadHandle) {
		err = bridge.ErrNoSuchUser // nobody has that GUID
	}
	if err != nil {
		return s.refuse(cmd, err)
	}
	d := s.Dialect()
	edit := dialect.Edit{List: list.String(), Version: d.Version(change.Version), Group: groupText, GUID: d.GUID(change.GUID)}
	if e.handle != "" {
		edit.Handle, edit.Name = s.spelled(e.handle, change), d.EscapeName(change.Who.Name, change.Who.ID)
	}
	s.Send(d.Added(cmd.Arg(0), edit))
	if list == bridge.FL && e.handle != "" {
		s.user.Announce(change.Who.ID, cmd.Arg(0))
	}
	return nil
}

// answered is ADC RL: the client is done with somebody who wanted to add the
// user, and moves him from the pending list to the reverse list.
func (s *Session) answered(cmd wire.Command, who string) error {
	change, err := s.user.Answered(who)
	if err != nil {
		return s.refuse(cmd, err)
	}
	d := s.Dialect()
	s.Send(d.Added(cmd.Arg(0), dialect.Edit{
		List: bridge.RL.String(), Version: d.Version(change.Version), Handle: s.spelled(who, change), Name: d.EscapeName(change.Who.Name, change.Who.ID),
	}))
	return nil
}

// sbp is what a client notes about a contact: the name it last saw, whether he has
// a web log. Both come from elsewhere here, so it is answered and not kept.
func (s *Session) sbp(cmd wire.Command) error {
	s.Send(wire.Line("SBP", cmd.Args...))
	return nil
}

// ownName is PRP MFN, which changes the user's name (MSNP.md B.9.4).
func (s *Session) ownName(cmd wire.Command) error {
	name := s.text(cmd.Arg(2))
	if len(cmd.Arg(2)) > maxName {
		return s.refuse(cmd, bridge.ErrName)
	}
	version, err := s.user.SetName(name)
	if err != nil {
		return s.refuse(cmd, err)
	}
	d := s.Dialect()
	s.Send(d.Property(cmd.Arg(0), d.Version(version), cmd.Arg(1), name))
	return nil
}
