package ns

import (
	"nudge/bridge"
	"nudge/msnserver/dialect"
	"nudge/msnserver/wire"
)

// groupName reads a group's name (MSNP.md A.5).
func (s *Session) groupName(arg string) (string, error) {
	if len(arg) > maxGroup {
		return "", bridge.ErrGroupName
	}
	return s.text(arg), nil
}

// adg makes a group (MSNP.md B.9.3).
func (s *Session) adg(cmd wire.Command) error {
	name, err := s.groupName(cmd.Arg(1))
	if err != nil {
		return s.refuse(cmd, err)
	}
	change, err := s.user.AddGroup(s.ctx, name)
	if err != nil {
		return s.refuse(cmd, err)
	}
	d := s.Dialect()
	s.Send(d.GroupAdded(d, cmd.Arg(0), d.Version(change.Version), dialect.Group(change.Group)))
	return nil
}

// rmg removes a group; who was in it stays on the list.
func (s *Session) rmg(cmd wire.Command) error {
	id, _, err := s.group(cmd.Arg(1))
	if err != nil {
		return s.refuse(cmd, err)
	}
	change, err := s.user.RemoveGroup(s.ctx, id)
	if err != nil {
		return s.refuse(cmd, err)
	}
	d := s.Dialect()
	s.Send(d.GroupRemoved(cmd.Arg(0), d.Version(change.Version), dialect.Group(change.Group)))
	return nil
}

// reg renames a group.
func (s *Session) reg(cmd wire.Command) error {
	id, _, err := s.group(cmd.Arg(1))
	if err != nil {
		return s.refuse(cmd, err)
	}
	name, err := s.groupName(cmd.Arg(2))
	if err != nil {
		return s.refuse(cmd, err)
	}
	change, err := s.user.RenameGroup(s.ctx, id, name)
	if err != nil {
		return s.refuse(cmd, err)
	}
	d := s.Dialect()
	s.Send(d.GroupRenamed(d, cmd.Arg(0), d.Version(change.Version), dialect.Group(change.Group)))
	return nil
}
