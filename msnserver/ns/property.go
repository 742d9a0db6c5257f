package ns

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"nudge/msnserver/wire"
)

// maxProperty is the longest value of a property, escaped, in bytes (MSNP.md
// A.5).
const maxProperty = 95

// prp sets one of the user's properties, or removes it when there is no value
// (MSNP.md B.9.4). One that this version does not know is answered and not kept.
func (s *Session) prp(cmd wire.Command) error {
	key, value := cmd.Arg(1), wire.Unescape(cmd.Arg(2))
	if len(cmd.Arg(2)) > maxProperty {
		return fmt.Errorf("%s with a value of %d bytes", cmd.Verb, len(cmd.Arg(2)))
	}
	if !utf8.ValidString(value) {
		s.Send(wire.InvalidParameter.Reply(cmd.Arg(0)))
		return nil
	}
	d, version := s.Dialect(), s.user.Lists().Version
	if slices.Contains(d.Properties, key) {
		var err error
		if version, err = s.user.SetProperty(s.ctx, key, value); err != nil {
			return s.refuse(cmd, err)
		}
	}
	s.Send(d.Property(cmd.Arg(0), d.Version(version), key, value))
	return nil
}
