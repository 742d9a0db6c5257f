package ns

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nudge/bridge"
	"nudge/msnserver/conn"
	"nudge/msnserver/dialect"
	"nudge/msnserver/wire"
)

// Limits of MSNP.md A.5, in escaped bytes, and how many readings of an alias are
// tried: each may ask the networks.
const (
	maxName     = 387
	maxGroup    = 61
	maxReadings = 3
)

// codes are the answers to what the hub refuses (MSNP.md G).
var codes = []struct {
	err  error
	code wire.Code
}{
	{bridge.ErrBadHandle, wire.InvalidParameter},
	{bridge.ErrListFull, wire.ListFull},
	{bridge.ErrOnList, wire.AlreadyThere},
	{bridge.ErrNotOnList, wire.NotOnList},
	{bridge.ErrOpposite, wire.OnOppositeList},
	{bridge.ErrTooMany, wire.TooManyGroups},
	{bridge.ErrNoGroup, wire.InvalidGroup},
	{bridge.ErrNotInGroup, wire.NotInGroup},
	{bridge.ErrGroupExists, wire.GroupExists},
	{bridge.ErrGroupName, wire.GroupNameTooLong},
	{bridge.ErrGroupZero, wire.CannotRemoveGroup0},
	{bridge.ErrName, wire.InvalidFriendlyName},
	{bridge.ErrHidden, wire.NotWhileHidden},
	{bridge.ErrManyChats, wire.ChangingTooRapidly}, // 714 would say it better, but makes BitlBee sign off (MSNP.md G)
}

// refuse answers a command that the hub refused. What is not the client's fault
// is logged.
func (s *Session) refuse(cmd wire.Command, err error) error {
	code := wire.InternalError
	for _, c := range codes {
		if errors.Is(err, c.err) {
			code = c.code
		}
	}
	if errors.Is(err, bridge.ErrNoSuchUser) {
		code = s.Dialect().UnknownUser
	}
	if code == wire.InternalError {
		s.Log.Error("command failed", "verb", cmd.Verb, "err", err)
	}
	s.Send(code.Reply(cmd.Arg(0)))
	return nil
}

// editable finds the list a client may edit. The reverse list is none: clients
// that try are cut off (MSNP.md B.9.1), but where there is a pending list they
// move people from there to it.
func (s *Session) editable(cmd wire.Command) (l bridge.List, ok bool, err error) {
	switch l = bridge.ListNamed(cmd.Arg(1)); {
	case l == bridge.FL, l == bridge.AL, l == bridge.BL:
		return l, true, nil
	case s.Dialect().Pending && (l == bridge.RL && cmd.Verb == "ADC" || l == bridge.PL && cmd.Verb == "REM"):
		return l, true, nil
	case l == bridge.RL:
		return l, false, fmt.Errorf("%s RL: %w", cmd.Verb, conn.ErrBye)
	}
	s.Send(wire.InvalidParameter.Reply(cmd.Arg(0)))
	return l, false, nil
}

// group reads the optional argument that names a group; text is "" where the
// version has none or the client gave none.
func (s *Session) group(arg string) (id uint32, text string, err error) {
	switch model := s.Dialect().Groups; {
	case arg == "" || model == dialect.NoGroups:
		return 0, "", nil
	case model == dialect.Unique:
		g, ok := s.user.FindGroup(wire.Unescape(arg))
		if !ok {
			return 0, "", bridge.ErrNoGroup
		}
		return g.ID, g.GUID, nil
	}
	n, err := strconv.ParseUint(arg, 10, 32)
	if err != nil {
		return 0, "", bridge.ErrNoGroup
	}
	return uint32(n), arg, nil
}

// add puts somebody on a list (MSNP.md B.9.1). His presence follows the answer.
func (s *Session) add(cmd wire.Command) error {
	list, ok, err := s.editable(cmd)
	if !ok {
		return err
	}
	if list != bridge.FL && len(cmd.Args) > 4 {
		cmd.Args = cmd.Args[:4]
	}
	group, groupText, err := s.group(cmd.Arg(4))
	if err != nil {
		return s.refuse(cmd, err)
	}
	change, err := s.addOrReading(list, cmd.Arg(2), group)
	if err != nil {
		return s.refuse(cmd, err)
	}
	d, name := s.Dialect(), cmd.Arg(3)
	if name == "" {
		name = d.EscapeName(change.Who.Name, change.Who.ID)
	}
	s.Send(d.Added(cmd.Arg(0), dialect.Edit{
		List: list.String(), Version: d.Version(change.Version), Handle: s.spelled(cmd.Arg(2), change), Name: name, Group: groupText,
	}))
	if list == bridge.FL {
		s.user.Announce(change.Who.ID, cmd.Arg(0))
	}
	return nil
}

// addOrReading adds who, or, when nobody has that address, whom it stands for as
// an alias. When a link that might know is down, the likeliest is pending
// (DESIGN.md §4).
func (s *Session) addOrReading(list bridge.List, who string, group uint32) (bridge.Change, error) {
	readings := append(s.Dialect().Unalias(who), who)
	likeliest, unasked := readings[0], false
	change, err := s.user.Add(s.ctx, list, who, group)
	for _, r := range readings[:min(len(readings)-1, maxReadings)] {
		unasked = unasked || errors.Is(err, bridge.ErrNoAnswer)
		if !errors.Is(err, bridge.ErrNoSuchUser) && !errors.Is(err, bridge.ErrNoAnswer) {
			return change, err
		}
		change, err = s.user.Add(s.ctx, list, r, group)
	}
	if errors.Is(err, bridge.ErrNoAnswer) || unasked && errors.Is(err, bridge.ErrNoSuchUser) {
		return s.user.AddPending(s.ctx, list, likeliest, group)
	}
	return change, err
}

// spelled is the address for the answer: as the client wrote it, but a foreign
// contact has the one his presence will come under.
func (s *Session) spelled(written string, change bridge.Change) string {
	if change.Who.Net == "" {
		return written
	}
	return s.Dialect().Handle(change.Who.Addr)
}

// rem takes somebody off a list, or only out of a group.
func (s *Session) rem(cmd wire.Command) error {
	list, ok, err := s.editable(cmd)
	if !ok {
		return err
	}
	group, groupText, err := s.group(cmd.Arg(3))
	if err != nil {
		return s.refuse(cmd, err)
	}
	change, err := s.user.Remove(s.ctx, list, cmd.Arg(2), group, groupText != "")
	if list == bridge.PL && errors.Is(err, bridge.ErrNotOnList) {
		change, err = s.user.Answered(cmd.Arg(2)) // allowing or blocking him took him off
	}
	if err != nil {
		return s.refuse(cmd, err)
	}
	d := s.Dialect()
	s.Send(d.Removed(cmd.Arg(0), dialect.Edit{
		List: list.String(), Version: d.Version(change.Version), Handle: s.spelled(cmd.Arg(2), change), Group: groupText, GUID: d.GUID(change.GUID),
	}))
	return nil
}

// text reads a name that the user wrote.
func (s *Session) text(arg string) string { return dialect.Text(arg, s.user.CodePage()) }

// rea changes the own name or that of a contact (MSNP.md B.9.4).
func (s *Session) rea(cmd wire.Command) error {
	d, who, name := s.Dialect(), cmd.Arg(1), s.text(cmd.Arg(2))
	if len(cmd.Arg(2)) > maxName {
		return s.refuse(cmd, bridge.ErrName)
	}
	if strings.EqualFold(who, s.user.Person().ID) {
		version, err := s.user.SetName(name)
		if err != nil {
			return s.refuse(cmd, err)
		}
		s.Send(d.Renamed(cmd.Arg(0), d.Version(version), who, cmd.Arg(2)))
		return nil
	}
	change, err := s.user.Rename(s.ctx, who, name)
	if err != nil {
		return s.refuse(cmd, err)
	}
	s.Send(d.Renamed(cmd.Arg(0), d.Version(change.Version), s.spelled(who, change), cmd.Arg(2)))
	return nil
}
