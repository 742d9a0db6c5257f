package dialect

import (
	"cmp"
	"strings"
	"time"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// migrated tells the clients of this version that their lists moved to the
// address book. Whether they did shows in three things that belong together: the
// profile's ABCHMigrated, list versions that are times, and GUIDs instead of
// numbers (MSNP.md K.15).
func migrated(d *Dialect, yes bool) {
	d.Groups, d.Profile = Numbered, profileUnmoved
	d.Unchanged = unchanged2
	d.GroupAdded, d.GroupRemoved, d.GroupRenamed = groupAddedUnmoved, groupRemovedUnmoved, groupRenamedUnmoved
	if yes {
		d.Groups, d.Profile = Unique, profile10
		d.Unchanged = unchanged10
		d.GroupAdded, d.GroupRemoved, d.GroupRenamed = groupAdded10, groupRemoved10, groupRenamed10
	}
}

func profile10(p Profile) wire.Message {
	m := profile3(p)
	m.Add("ABCHMigrated", "1")
	return m
}

func profileUnmoved(p Profile) wire.Message {
	m := profile3(p)
	m.Add("ABCHMigrated", "0")
	return m
}

func signedIn10(_ *Dialect, trid, handle, _ string) wire.Command {
	return wire.Line("USR", trid, "OK", handle, "1", "0")
}

// stamp writes a list version as a time, in the form that aMSN insists on
// (MSNP.md B.6.5): so many tenths of a microsecond after the turn of the
// millennium.
func stamp(version uint64) string {
	const second = 10_000_000
	t := time.Date(2000, 1, 1, 0, 0, int(version/second), int(version%second)*100, time.UTC)
	return t.Format("2006-01-02T15:04:05.0000000") + "-07:00"
}

// unchanged10 has one time for the lists and one for the settings; they move
// together here.
func unchanged10(trid string, version uint64) wire.Command {
	return wire.Line("SYN", trid, stamp(version), stamp(version))
}

// sync10 has no group 0. Clients count: exactly as many LST and LSG as announced
// follow.
func sync10(d *Dialect, trid string, l Lists) []wire.Command {
	l = d.fit(l)
	groups := d.groupLines(l.Groups)
	head := d.Unchanged(trid, l.Version)
	head.Args = append(head.Args, number(len(l.Contacts)), number(len(groups)))
	out := []wire.Command{head, wire.Line("GTC", prompt(l)), wire.Line("BLP", others(l)), wire.Line("PRP", "MFN", d.EscapeName(l.Name, "-"))}
	for _, key := range d.Properties {
		if v := l.Properties[key]; v != "" {
			out = append(out, wire.Line("PRP", key, wire.Escape(v)))
		}
	}
	out = append(out, groups...)
	for _, c := range l.Contacts {
		out = append(out, d.tagged(c, l.Groups))
		for _, key := range d.Properties[:d.Shown] {
			if v := c.Properties[key]; v != "" && c.On&Forward != 0 {
				out = append(out, wire.Line("BPR", key, wire.Escape(v)))
			}
		}
	}
	return out
}

func (d *Dialect) groupLines(groups []Group) (out []wire.Command) {
	if d.Groups == Numbered {
		out = append(out, wire.Line("LSG", wire.Escape(GroupZero), "0"))
	}
	for _, g := range groups {
		id := number(g.ID)
		if d.Groups == Unique {
			id = g.GUID
		}
		out = append(out, wire.Line("LSG", d.EscapeGroup(g.Name), id))
	}
	return out
}

// tagged is a contact's LST. GUID and groups are only for the forward list.
func (d *Dialect) tagged(c Contact, groups []Group) wire.Command {
	args := []string{"N=" + d.Handle(c.Addr), "F=" + d.name(c.Person)}
	friend := c.On&Forward != 0
	if friend && d.Groups == Unique {
		args = append(args, "C="+c.GUID)
	}
	args = append(args, number(int(c.On)))
	if d.types {
		args = append(args, "1") // everybody is a Messenger user to this client
	}
	switch {
	case friend && d.Groups == Numbered:
		args = append(args, groupIDs(c))
	case friend && len(c.Groups) > 0:
		args = append(args, guids(c.Groups, groups))
	}
	return wire.Line("LST", args...)
}

func guids(ids []uint32, groups []Group) string {
	var in []string
	for _, id := range ids {
		for _, g := range groups {
			if g.ID == id {
				in = append(in, g.GUID)
			}
		}
	}
	return strings.Join(in, ",")
}

func setting10(verb, trid string, _ uint64, value string) wire.Command {
	return wire.Line(verb, trid, value)
}

// added10 names a contact of the forward list also by GUID, one that goes into a
// group by nothing else (MSNP.md B.9.2).
func added10(trid string, e Edit) wire.Command {
	c := wire.Line("ADC", trid, e.List)
	if e.Handle != "" {
		c.Args = append(c.Args, "N="+e.Handle)
		if e.List == "FL" || e.List == "RL" {
			c.Args = append(c.Args, "F="+cmp.Or(e.Name, e.Handle))
		}
	}
	if e.GUID != "" && e.List == "FL" {
		c.Args = append(c.Args, "C="+e.GUID)
	}
	if e.Group != "" {
		c.Args = append(c.Args, e.Group)
	}
	return c
}

func removed10(trid string, e Edit) wire.Command {
	c := wire.Line("REM", trid, e.List, e.Handle)
	if e.GUID != "" && e.List == "FL" {
		c.Args[2] = e.GUID
	}
	if e.Group != "" {
		c.Args = append(c.Args, e.Group)
	}
	return c
}

func property10(trid string, _ uint64, key, value string) wire.Command {
	return valued(wire.Line("PRP", trid, key), value)
}

func propertyOf10(d *Dialect, _ uint64, who im.Addr, key, value string) wire.Command {
	return valued(wire.Line("BPR", d.Handle(who), key), value)
}

// The answers about groups have GUID and name where clients written against the
// real service read them: for REG the GUID comes first.

func groupAdded10(d *Dialect, trid string, _ uint64, g Group) wire.Command {
	return wire.Line("ADG", trid, d.EscapeGroup(g.Name), g.GUID)
}

func groupRemoved10(trid string, _ uint64, g Group) wire.Command {
	return wire.Line("RMG", trid, g.GUID)
}

func groupRenamed10(d *Dialect, trid string, _ uint64, g Group) wire.Command {
	return wire.Line("REG", trid, g.GUID, d.EscapeGroup(g.Name))
}

func groupAddedUnmoved(d *Dialect, trid string, _ uint64, g Group) wire.Command {
	return wire.Line("ADG", trid, d.EscapeGroup(g.Name), number(g.ID))
}

func groupRemovedUnmoved(trid string, _ uint64, g Group) wire.Command {
	return wire.Line("RMG", trid, number(g.ID))
}

func groupRenamedUnmoved(d *Dialect, trid string, _ uint64, g Group) wire.Command {
	return wire.Line("REG", trid, number(g.ID), d.EscapeGroup(g.Name))
}
