package dialect

import (
	"slices"
	"strings"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// block is one of the lists.
type block struct {
	name string
	on   On
}

// blocks are the lists in the order in which they are handed out.
var blocks = []block{{"FL", Forward}, {"AL", Allow}, {"BL", Block}, {"RL", Reverse}}

// GroupZero is what the implicit group is called (MSNP.md B.6.3).
const GroupZero = "Other Contacts"

// fit makes lists that a client of this version can take: pending contacts are
// on the pending list or, where there is none, on the reverse list only, so that
// it asks about them (MSNP.md K.8). That nobody is too many for it was seen to
// when it signed on.
func (d *Dialect) fit(l Lists) Lists {
	l.Contacts = slices.Clone(l.Contacts)
	for i, c := range l.Contacts {
		switch {
		case c.On&Pending == 0:
		case d.Pending:
			l.Contacts[i].On &^= Reverse
		default:
			l.Contacts[i].On = c.On&^Pending | Reverse
		}
	}
	return l
}

func prompt(l Lists) string {
	if l.Prompt {
		return "A"
	}
	return "N"
}

func others(l Lists) string {
	if l.BlockOthers {
		return "BL"
	}
	return "AL"
}

func unchanged2(trid string, version uint64) wire.Command {
	return wire.Line("SYN", trid, number(version))
}

// sync2 is what MSNP2 to 4 begin with: settings, then every list.
func sync2(d *Dialect, trid string, l Lists) []wire.Command {
	return slices.Concat(settings2(trid, l), d.perList(trid, l))
}

// sync5 has the user's properties between the two.
func sync5(d *Dialect, trid string, l Lists) []wire.Command {
	return slices.Concat(settings2(trid, l), d.properties5(trid, l), d.perList(trid, l))
}

// sync7 has the groups too; group 0 is among them (MSNP.md B.6.3).
func sync7(d *Dialect, trid string, l Lists) []wire.Command {
	var groups []wire.Command
	version, total := number(l.Version), number(len(l.Groups)+1)
	for i, g := range append([]Group{{Name: GroupZero}}, l.Groups...) {
		groups = append(groups, wire.Line("LSG", trid, version, number(i+1), total, number(g.ID), d.EscapeGroup(g.Name), "0"))
	}
	return slices.Concat(settings2(trid, l), d.properties5(trid, l), groups, d.perList(trid, l))
}

func settings2(trid string, l Lists) []wire.Command {
	return []wire.Command{
		unchanged2(trid, l.Version),
		setting2("GTC", trid, l.Version, prompt(l)),
		setting2("BLP", trid, l.Version, others(l)),
	}
}

func (d *Dialect) properties5(trid string, l Lists) (out []wire.Command) {
	for _, key := range d.Properties {
		if v := l.Properties[key]; v != "" {
			out = append(out, property5(trid, l.Version, key, v))
		}
	}
	return out
}

// perList are all lists, one after the other, with the telephone numbers of the
// people on the forward list.
func (d *Dialect) perList(trid string, l Lists) []wire.Command {
	l = d.fit(l)
	out := make([]wire.Command, 0, len(blocks)*(len(l.Contacts)+1))
	for _, b := range blocks {
		out = d.listBlock(out, trid, b, l, b.on == Forward)
	}
	return out
}

// sync8 always has group 0: libpurple needs an LSG to finish, and BitlBee the
// exact counts (MSNP.md B.6.4).
func sync8(d *Dialect, trid string, l Lists) []wire.Command {
	l = d.fit(l)
	out := []wire.Command{
		wire.Line("SYN", trid, number(l.Version), number(len(l.Contacts)), number(len(l.Groups)+1)),
		wire.Line("GTC", prompt(l)),
		wire.Line("BLP", others(l)),
	}
	for _, key := range d.Properties {
		if v := l.Properties[key]; v != "" {
			out = append(out, wire.Line("PRP", key, wire.Escape(v)))
		}
	}
	out = append(out, wire.Line("LSG", "0", wire.Escape(GroupZero), "0"))
	for _, g := range l.Groups {
		out = append(out, wire.Line("LSG", number(g.ID), d.EscapeGroup(g.Name), "0"))
	}
	for _, c := range l.Contacts {
		args := []string{d.Handle(c.Addr), d.name(c.Person), number(int(c.On))}
		if c.On&Forward != 0 {
			args = append(args, groupIDs(c))
		}
		out = append(out, wire.Line("LST", args...))
		for _, key := range d.Properties[:d.Shown] {
			if v := c.Properties[key]; v != "" && c.On&Forward != 0 {
				out = append(out, wire.Line("BPR", key, wire.Escape(v)))
			}
		}
	}
	return out
}

// ListBlock is one list in the form with transaction id, version, position and
// total, also for the explicit LST of a client (MSNP.md B.7). It is nil when
// there is no list of that name.
func (d *Dialect) ListBlock(trid, list string, l Lists) []wire.Command {
	for _, b := range blocks {
		if b.name == list {
			return d.listBlock(nil, trid, b, d.fit(l), false)
		}
	}
	return nil
}

// listBlock appends one list to out, with telephone numbers or without.
func (d *Dialect) listBlock(out []wire.Command, trid string, b block, l Lists, phones bool) []wire.Command {
	n, of := 0, 0
	for _, c := range l.Contacts {
		if c.On&b.on != 0 {
			of++
		}
	}
	version, total := number(l.Version), number(of)
	if of == 0 {
		return append(out, wire.Line("LST", trid, b.name, version, "0", "0"))
	}
	for _, c := range l.Contacts {
		if c.On&b.on == 0 {
			continue
		}
		n++
		args := append(make([]string, 0, 8), trid, b.name, version, number(n), total, d.Handle(c.Addr), d.name(c.Person))
		if d.Groups == Numbered && b.on == Forward {
			args = append(args, groupIDs(c))
		}
		out = append(out, wire.Line("LST", args...))
		for _, key := range d.Properties[:d.Shown] {
			if v := c.Properties[key]; v != "" && phones {
				out = append(out, d.PropertyOf(d, l.Version, c.Addr, key, v))
			}
		}
	}
	return out
}

// groupIDs is the list of a contact's groups, group 0 when he is in none.
func groupIDs(c Contact) string {
	if len(c.Groups) == 0 {
		return "0"
	}
	ids := make([]string, len(c.Groups))
	for i, g := range c.Groups {
		ids[i] = number(g)
	}
	return strings.Join(ids, ",")
}

// maxGroupName is the longest group name in bytes, escaped (MSNP.md A.5).
const maxGroupName = 61

// EscapeGroup writes a group name as an argument, cut to what clients take.
func (d *Dialect) EscapeGroup(name string) string {
	return d.escapeCut(oneLine(name), maxGroupName)
}

func setting2(verb, trid string, version uint64, value string) wire.Command {
	return wire.Line(verb, trid, number(version), value)
}

// added2 carries the group too, where the version has groups.
func added2(trid string, e Edit) wire.Command {
	c := wire.Line("ADD", trid, e.List, number(e.Version), e.Handle, e.Name)
	if e.Group != "" {
		c.Args = append(c.Args, e.Group)
	}
	return c
}

func removed2(trid string, e Edit) wire.Command {
	c := wire.Line("REM", trid, e.List, number(e.Version), e.Handle)
	if e.Group != "" {
		c.Args = append(c.Args, e.Group)
	}
	return c
}

// ListChanged tells that somebody else put who on a list or took him off
// (MSNP.md B.9.1). A pending contact comes as an entry of the reverse list;
// leaving the pending list is not worth a line here.
func (d *Dialect) ListChanged(ev im.ListChanged) (c wire.Command, ok bool) {
	e := Edit{List: ev.List, Version: d.Version(ev.Version), Handle: d.Handle(ev.Who.Addr), Name: d.name(ev.Who), GUID: d.GUID(ev.GUID)}
	if e.List == "PL" {
		if e.List = "RL"; !ev.Added {
			return c, false
		}
	}
	if ev.Added {
		return d.Added("0", e), true
	}
	return d.Removed("0", e), true
}

// GUID is an entry's as an Edit wants it: "" where the version has none.
func (d *Dialect) GUID(guid string) string {
	if d.Groups != Unique {
		return ""
	}
	return guid
}

func renamed2(trid string, version uint64, handle, name string) wire.Command {
	return wire.Line("REA", trid, number(version), handle, name)
}

// property5 sets one of the user's own, with an empty value it has none any more
// (MSNP.md B.9.4).
func property5(trid string, version uint64, key, value string) wire.Command {
	return valued(wire.Line("PRP", trid, number(version), key), value)
}

// propertyOf5 is one of a contact's.
func propertyOf5(d *Dialect, version uint64, who im.Addr, key, value string) wire.Command {
	return valued(wire.Line("BPR", number(version), d.Handle(who), key), value)
}

func valued(c wire.Command, value string) wire.Command {
	if value != "" {
		c.Args = append(c.Args, wire.Escape(value))
	}
	return c
}

func groupAdded7(d *Dialect, trid string, version uint64, g Group) wire.Command {
	return wire.Line("ADG", trid, number(version), d.EscapeGroup(g.Name), number(g.ID), "0")
}

func groupRemoved7(trid string, version uint64, g Group) wire.Command {
	return wire.Line("RMG", trid, number(version), number(g.ID))
}

func groupRenamed7(d *Dialect, trid string, version uint64, g Group) wire.Command {
	return wire.Line("REG", trid, number(version), number(g.ID), d.EscapeGroup(g.Name), "0")
}
