package dialect

import "nudge/msnserver/wire"

// versions is every version this server speaks, oldest first.
var versions = build(
	row{"MSNP2", msnp2},
	row{"MSNP3", msnp3},
	row{"MSNP4", msnp4},
	row{"MSNP5", msnp5},
	row{"MSNP6", msnp6},
	row{"MSNP7", msnp7},
	row{"MSNP8", msnp8},
	row{"MSNP9", msnp9},
	row{"MSNP10", msnp10},
	row{"MSNP11", msnp11},
	row{"MSNP12", msnp12},
)

// row names a version and says how it differs from the one above it.
type row struct {
	name string
	diff func(*Dialect)
}

func build(rows ...row) (vs []*Dialect) {
	var d Dialect
	for i, r := range rows {
		r.diff(&d)
		d.Name, d.row = r.name, uint64(i)
		v, twin := d, d
		twin.Emoji, v.emoji = true, &twin
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
	d.Acks = "A"
	d.verbs = d.with("VER INF CVR CVQ USR SYN LST GTC BLP ADD REM REA CHG XFR URL FND SND PNG OUT")

	d.SignedIn = signedIn2
	d.Profile = profile2
	d.Sync, d.Unchanged, d.Setting = sync2, unchanged2, setting2
	d.Added, d.Removed, d.Renamed = added2, removed2, renamed2
	d.Changed, d.Arrived, d.Left = changed2, arrived2, left2
	d.Transfer, d.Ring, d.Present, d.Joined = transfer2, ring2, present2, joined2
	d.Pong, d.URL = pong2, url2
}

// msnp3 is MSN 2.0: fonts, and a profile that says more.
func msnp3(d *Dialect) {
	d.Profile, d.URL = profile3, url3
	d.Fonts = true
	d.verbs = d.with("IMS")
}

// msnp4 is MSN 2.2. Its CVR and SND have one more argument; its clients take
// addresses of any domain (DESIGN.md §4).
func msnp4(d *Dialect) { d.Aliases = false }

// msnp5 is MSN 3.0: telephone numbers.
func msnp5(d *Dialect) {
	d.Properties, d.Shown = []string{"PHH", "PHW", "PHM", "MOB", "MBE"}, 4
	d.Property, d.PropertyOf = property5, propertyOf5
	d.Sync = sync5
	d.verbs = d.with("PRP SDC")
}

// msnp6 is MSN 3.6: challenges, pages, and the word that an address is verified.
func msnp6(d *Dialect) {
	d.SignedIn = signedIn6
	d.Prove = prove6
	d.verbs = d.with("QRY PAG")
}

// msnp7 is MSN 4.5 to 4.7: groups.
func msnp7(d *Dialect) {
	d.Groups = Numbered
	d.Sync = sync7
	d.GroupAdded, d.GroupRemoved, d.GroupRenamed = groupAdded7, groupRemoved7, groupRenamed7
	d.verbs = d.with("ADG RMG REG")
}

// msnp8 is MSN 5.0: Passport, one line per contact, capabilities. MD5 and INF
// stay for MSN 5.0.0124-0340 (MSNP.md K.4).
func msnp8(d *Dialect) {
	d.Tickets, d.Lists = true, Summed
	d.SignedIn = signedIn8
	d.Sync = sync8
	d.Changed, d.Arrived = changed8, arrived8
}

// msnp9 is MSN 6.0: pictures and peer to peer; MD5 is gone for good. Its libraries
// count the arguments of presence, so no picture is no argument (MSNP.md K.13).
func msnp9(d *Dialect) {
	d.MD5 = false
	d.Acks = "ADS"
	d.Arrived = arrived9
	d.Pictures, d.foreign = true, bridged
	d.Pong = pong9
	d.verbs = d.without("INF")
	d.verbs = d.with("PGD")
}

// msnp10 is MSN 6.1 and 6.2: contacts and groups have GUIDs, the own name is a
// property, list versions are times.
func msnp10(d *Dialect) {
	d.Lists = Tagged
	d.MaxContacts = 600
	d.UnknownUser = wire.InvalidUserName
	d.OwnName, d.noPicture = true, "%3Cmsnobj%2F%3E"
	d.Properties, d.Shown = []string{"PHH", "PHW", "PHM", "MOB", "HSB", "MBE", "WWE"}, 5
	d.SignedIn, d.Sync = signedIn10, sync10
	d.Setting, d.Added, d.Removed = setting10, added10, removed10
	d.Property, d.PropertyOf = property10, propertyOf10
	d.verbs = d.without("ADD REA LST")
	d.verbs = d.with("ADC SBP GCF")
	d.Policy = policy10
	migrated(d, true)
}

// msnp11 is MSN 7.0: notes, nudges, winks and the list of those who wait for an
// answer.
func msnp11(d *Dialect) {
	d.Pending, d.Nudges = true, true
	d.Greeting = []wire.Command{wire.Line("SBS", "0", "null")}
	d.Personal = personal11
	d.Prove = prove11
	d.verbs = d.with("UUX")
}

// msnp12 is MSN 7.5.
func msnp12(d *Dialect) { d.types, d.joinCaps = true, true }
