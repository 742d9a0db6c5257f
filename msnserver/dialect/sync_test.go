package dialect

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"nudge/bridge/im"
)

// TestSyncCounts: from MSNP8 on clients count what follows SYN, and drop the
// connection when it is not what was announced (MSNP.md H.2).
func TestSyncCounts(t *testing.T) {
	var many Lists
	for i := range uint32(900) {
		many.Contacts = append(many.Contacts, Contact{
			Person: im.Person{Addr: im.Addr{Net: "xmpp", ID: fmt.Sprint(i, "@example.org")}},
			On:     On(i%32) | Allow, GUID: fmt.Sprint("c", i), Groups: []uint32{i%40 + 1},
		})
	}
	for i := range uint32(30) {
		many.Groups = append(many.Groups, Group{ID: i + 1, GUID: fmt.Sprint("g", i), Name: fmt.Sprint("Group ", i)})
	}
	unmoved := *Named("MSNP10")
	migrated(&unmoved, false)
	for _, d := range append(versions, &unmoved) {
		if d.Lists == PerList {
			continue
		}
		for _, l := range []Lists{{}, lists, many} {
			var contacts, groups int
			out := d.Sync(d, "5", l)
			for _, c := range out {
				switch c.Verb {
				case "LST":
					contacts++
				case "LSG":
					groups++
				}
			}
			said := out[0].Args[len(out[0].Args)-2:]
			if said[0] != strconv.Itoa(contacts) || said[1] != strconv.Itoa(groups) {
				t.Errorf("%s announces %s contacts and %s groups, %d and %d follow", d.Name, said[0], said[1], contacts, groups)
			}
		}
	}
}

// TestStamp: the times that stand for list versions have the form aMSN insists on
// and order as the versions do.
func TestStamp(t *testing.T) {
	form := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+-\d\d:\d\d$`)
	last := ""
	for _, v := range []uint64{0, 1, 9_999_999, 10_000_000, 16_000_000, 2_144_000_010, 1 << 40, 1 << 45} {
		s := stamp(v)
		if !form.MatchString(s) || s <= last {
			t.Errorf("version %d is %s after %s", v, s, last)
		}
		last = s
	}
}
