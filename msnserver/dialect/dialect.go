// Package dialect is the one place that knows what differs between the
// versions of MSNP. A Dialect is a set of named facts, on which handlers may
// branch, and of shape functions, which write lines. Each version is the one
// before it plus a few changes (MSNP.md I), so the table in versions.go reads
// like the history of the protocol: a new version is one function and one row.
//
// Dialects are made once and never change; every goroutine may use them. Each has
// a twin for clients whose system draws emoji, the one thing that a line owes to
// the system and not to the version. A receiver's lines are always written by the
// receiver's own dialect, never copied from the sender's.
package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// ListModel is how a version hands out the contact lists.
type ListModel uint8

// PerList sends one block per list, Summed one line per contact with the sum of
// its lists, Tagged the same with every part marked (N= F= C=) and edits in that
// form too (MSNP.md B.6, B.9.2).
const (
	PerList ListModel = iota
	Summed
	Tagged
)

// GroupModel is how a version names contact groups.
type GroupModel uint8

// NoGroups: the version has none. Numbered: by number, with a group 0 for
// everybody else. Unique: by GUID, as contacts too; who is in none has no group
// (MSNP.md B.9.3).
const (
	NoGroups GroupModel = iota
	Numbered
	Unique
)

// Dialect is one version: facts first, then the shapes of its lines. trid is
// the transaction id of the command that is answered, as it was received.
type Dialect struct {
	Name string // as in VER

	Emoji       bool // the client's system draws them: see ForSystem
	MD5         bool // signs in with USR MD5
	Tickets     bool // signs in with USR TWN
	Lists       ListModel
	Groups      GroupModel
	Properties  []string  // of the account that the version has, with those of its contacts first
	Shown       int       // so many of these are told of contacts too
	MaxContacts int       // the longest forward list the client takes
	UnknownUser wire.Code // the answer to adding somebody who does not exist
	Acks        string    // the letters of MSG that ask for ACK or NAK (MSNP.md C.4)
	OfflineSend bool      // the client can write to somebody who is offline
	Fonts       bool      // the client knows X-MMS-IM-Format
	Nudges      bool      // the client knows text/x-msnmsgr-datacast
	Pending     bool      // the version has the list PL
	OwnName     bool      // PRP MFN sets the own name
	Pictures    bool      // the client speaks P2P (MSNP.md D.5)
	Aliases     bool      // only @hotmail.com addresses work: foreign contacts get one

	row       uint64          // in the table
	verbs     map[string]bool // what a client may say to the notification server; false: no longer
	foreign   im.Caps         // what contacts on networks are said to be able to do
	noPicture string          // stands for no MSNObject
	types     bool            // LST has the contact's network type
	joinCaps  bool            // IRO and JOI have capabilities
	emoji     *Dialect        // the same with Emoji

	SignedIn     func(d *Dialect, trid, handle, name string) wire.Command
	Greeting     []wire.Command // between that and the profile
	Profile      func(p Profile) wire.Message
	Sync         func(d *Dialect, trid string, l Lists) []wire.Command
	Unchanged    func(trid string, version uint64) wire.Command
	Setting      func(verb, trid string, version uint64, value string) wire.Command
	Added        func(trid string, e Edit) wire.Command
	Removed      func(trid string, e Edit) wire.Command
	Renamed      func(trid string, version uint64, handle, name string) wire.Command
	Property     func(trid string, version uint64, key, value string) wire.Command
	PropertyOf   func(d *Dialect, version uint64, who im.Addr, key, value string) wire.Command
	GroupAdded   func(d *Dialect, trid string, version uint64, g Group) wire.Command
	GroupRemoved func(trid string, version uint64, g Group) wire.Command
	GroupRenamed func(d *Dialect, trid string, version uint64, g Group) wire.Command
	Changed      func(trid string, args []string) wire.Command
	Arrived      func(d *Dialect, trid string, who im.Person, now im.Presence) wire.Command
	Left         func(d *Dialect, who im.Person) wire.Command
	Personal     func(d *Dialect, who im.Person, now im.Presence) wire.Command // note and media
	Transfer     func(trid, addr, cookie string) wire.Command
	Ring         func(d *Dialect, addr string, in im.Invitation) wire.Command
	Present      func(d *Dialect, trid string, i, of int, m im.Membership) wire.Command
	Joined       func(d *Dialect, m im.Membership) wire.Command
	Pong         func() wire.Command
	URL          func(trid, path, login string) wire.Command
	Policy       func(trid, file string) wire.Command

	Prove func(challenge, product, key string) string // the right answer to CHL; nil: the version has none
}

// Profile is what the first message of a session tells the client
// (MSNP.md B.15).
type Profile struct {
	Handle     string
	LoginTime  int64 // Unix time in seconds
	Ticket     string
	ClientIP   string
	ClientPort int
}

// Lists is an account's lists as Sync and ListBlock write them. Here as in the
// shapes, a version is one that Dialect.Version made.
type Lists struct {
	Version             uint64
	Name                string // the account's own
	Prompt, BlockOthers bool
	Properties          map[string]string // of the account, by key
	Groups              []Group           // without group 0
	Contacts            []Contact
}

// Group is a contact-list group.
type Group struct {
	ID   uint32
	GUID string
	Name string
}

// Contact is one entry with the lists he is on.
type Contact struct {
	im.Person
	On         On
	GUID       string
	Groups     []uint32
	Properties map[string]string // by key
}

// On is a set of lists, with the numbers of MSNP.md B.6.
type On uint8

// The lists: forward, allow, block, reverse, pending.
const (
	Forward On = 1 << iota
	Allow
	Block
	Reverse
	Pending
)

// Version is the list version as clients of this dialect see it. Each version
// counts apart: what a client keeps from one, without groups or with other
// addresses, is no copy for the next (MSNP.md K.3). It fits 32 bits as long as
// the store's epochs do.
func (d *Dialect) Version(v uint64) uint64 { return v<<4 | d.row }

// Edit is one change of a list. Handle, Name and Group are written as they are
// (escaped already); an empty one is none, and so is an empty GUID.
type Edit struct {
	List                string
	Version             uint64
	Handle, Name, Group string
	GUID                string
}

// Choose returns the newest version among those a client offered in VER, nil
// when none is spoken here. Case does not matter.
func Choose(offered []string) *Dialect {
	for _, d := range slices.Backward(versions) {
		if slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, d.Name) }) {
			return d
		}
	}
	return nil
}

// Named returns the version of that name, nil when there is none.
func Named(name string) *Dialect { return Choose([]string{name}) }

// ForSystem is the version for a client on that system and release, as CVR names
// them (MSNP.md B.4): winnt 6.2 is Windows 8 and mac 10.7 the first Mac with a font
// for emoji. Programs for other systems say that they are on an older Windows.
func (d *Dialect) ForSystem(name, release string) *Dialect {
	var major, minor int
	fmt.Sscanf(release, "%d.%d", &major, &minor)
	switch v := major*100 + minor; {
	case strings.EqualFold(name, "winnt") && v >= 602, strings.EqualFold(name, "mac") && v >= 1007:
		return d.WithEmoji()
	}
	return d
}

// WithEmoji is the same version for a client whose system draws emoji.
func (d *Dialect) WithEmoji() *Dialect {
	if d.Emoji {
		return d
	}
	return d.emoji
}

// Knows tells whether a client of this version may say verb to the notification
// server.
func (d *Dialect) Knows(verb string) bool { return d.verbs[verb] }

// Dropped tells whether verb was there in an older version: it is answered that
// it is disabled (MSNP.md A.7).
func (d *Dialect) Dropped(verb string) bool {
	may, had := d.verbs[verb]
	return had && !may
}

// Shows tells whether a client of this version is told about that property of a
// contact.
func (d *Dialect) Shows(key string) bool { return slices.Contains(d.Properties[:d.Shown], key) }

// with returns the verbs plus more.
func (d *Dialect) with(more string) map[string]bool { return d.set(more, true) }

// without returns the verbs with some of them dropped.
func (d *Dialect) without(some string) map[string]bool { return d.set(some, false) }

func (d *Dialect) set(list string, may bool) map[string]bool {
	verbs := maps.Clone(d.verbs)
	if verbs == nil {
		verbs = map[string]bool{}
	}
	for v := range strings.FieldsSeq(list) {
		verbs[v] = may
	}
	return verbs
}

// aliasDomain is the one that MSN 1.0 wants in every address.
const aliasDomain = "@hotmail.com"

// Handle is how a client of this version addresses who. Where only hotmail.com
// works, foreign contacts have an alias there (DESIGN.md §4).
func (d *Dialect) Handle(who im.Addr) string {
	if !d.Aliases || who.Net == "" || strings.HasSuffix(strings.ToLower(who.ID), aliasDomain) {
		return who.ID
	}
	return strings.Replace(who.ID, "@", ".", 1) + aliasDomain
}

// Unalias lists the addresses that an alias may stand for, likeliest first; none
// when handle is no alias or the version has none.
func (d *Dialect) Unalias(handle string) (meant []string) {
	at := len(handle) - len(aliasDomain)
	if !d.Aliases || at < 0 || !strings.EqualFold(handle[at:], aliasDomain) {
		return nil
	}
	local := handle[:at]
	for i := range len(local) {
		if local[i] == '.' && i > 0 && strings.Contains(local[i+1:], ".") {
			meant = append(meant, local[:i]+"@"+local[i+1:])
		}
	}
	return meant
}
