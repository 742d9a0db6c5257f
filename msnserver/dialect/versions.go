package dialect

import "nudge/msnserver/wire"

// versions is every version this server speaks, oldest first.
var versions = build(
	row{"MSNP2", msnp2},
	row{"MSNP8", msnp8},
)

// row names a version and says how it differs from the one above it.
type row struct {
	name string
	diff func(*Dialect)
}

func build(rows ...row) (vs []*Dialect) {
	var d Dialect
	for _, r := range rows {
		r.diff(&d)
		d.Name = r.name
		v := d
		vs = append(vs, &v)
	}
	return vs
}

// msnp2 is the base: MSN Messenger 1.0.
func msnp2(d *Dialect) {
	d.MD5 = true
	d.Aliases = true
	d.MaxContacts = 150
	d.UnknownUser = wire.InvalidUser
	d.verbs = d.with("VER INF CVR CVQ USR SYN LST GTC BLP ADD REM REA CHG XFR URL FND SND PNG OUT")

	d.SignedIn = signedIn2
	d.Profile = profile2
	d.Sync, d.Unchanged, d.Setting = sync2, unchanged2, setting2
	d.Added, d.Removed, d.Renamed = added2, removed2, renamed2
	d.Changed, d.Arrived, d.Left = changed2, arrived2, left2
	d.Transfer, d.Ring, d.Present, d.Joined = transfer2, ring2, present2, joined2
	d.Pong, d.URL = pong2, url2
}

// msnp8 is MSN 5.0: Passport, one line per contact, capabilities. It holds all
// that came after MSNP2; the number says which version brought it.
func msnp8(d *Dialect) {
	d.Profile, d.URL = profile3, url3                         // 3
	d.Fonts, d.Aliases = true, false                          // 3; aliases: the clients of 4 and later take any domain
	d.verbs = d.with("IMS PRP SDC QRY PAG ADG RMG REG")       // 3 IMS, 5 PRP SDC, 6 QRY PAG, 7 groups
	d.Property = property5                                    // 5
	d.Groups = Numbered                                       // 7
	d.GroupAdded, d.GroupRemoved = groupAdded7, groupRemoved7 // 7
	d.GroupRenamed = groupRenamed7                            // 7
	d.Tickets, d.Lists = true, Summed                         // 8; MD5 and INF stay for MSN 5.0.0124-0340 (MSNP.md K.4)
	d.SignedIn = signedIn8                                    // 6 verified, 8 kids
	d.Sync = sync8
	d.Changed, d.Arrived = changed8, arrived8
}
