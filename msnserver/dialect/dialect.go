// Package dialect is the one place that knows what differs between the
// versions of MSNP. A Dialect is a set of named facts, on which handlers may
// branch, and of shape functions, which write lines. Each version is the one
// before it plus a few changes (MSNP.md I), so the table in versions.go reads
// like the history of the protocol: a new version is one function and one row.
//
// Dialects are made once and never change; every goroutine may use them. A
// receiver's lines are always written by the receiver's own dialect, never
// copied from the sender's.
package dialect

import (
	"maps"
	"slices"
	"strings"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// ListModel is how a version hands out the contact lists.
type ListModel uint8

// PerList sends one block per list, Summed one line per contact with the sum of
// its lists (MSNP.md B.6).
const (
	PerList ListModel = iota
	Summed
)

// GroupModel is how a version names contact groups.
type GroupModel uint8

// NoGroups: the version has none. Numbered: by number, with a group 0 for
// everybody else (MSNP.md B.9.3).
const (
	NoGroups GroupModel = iota
	Numbered
)

// Dialect is one version: facts first, then the shapes of its lines. trid is
// the transaction id of the command that is answered, as it was received.
type Dialect struct {
	Name string // as in VER

	MD5         bool // signs in with USR MD5
	Tickets     bool // signs in with USR TWN
	Lists       ListModel
	Groups      GroupModel
	Properties  []string  // of the account that the version has, with those of its contacts first
	Shown       int       // so many of these are told of contacts too
	MaxContacts int       // the longest forward list the client takes
	UnknownUser wire.Code // the answer to adding somebody who does not exist
	OfflineSend bool      // the client can write to somebody who is offline
	Fonts       bool      // the client knows X-MMS-IM-Format
	Nudges      bool      // the client knows text/x-msnmsgr-datacast
	Aliases     bool      // only @hotmail.com addresses work: foreign contacts get one

	row   uint64          // in the table
	verbs map[string]bool // what a client may say to the notification server

	SignedIn     func(trid, handle, name string) wire.Command
	Profile      func(p Profile) wire.Message
	Sync         func(d *Dialect, trid string, l Lists) []wire.Command
	Unchanged    func(trid string, version uint64) wire.Command
	Setting      func(verb, trid string, version uint64, value string) wire.Command
	Added        func(trid string, e Edit) wire.Command
	Removed      func(trid string, e Edit) wire.Command
	Renamed      func(trid string, version uint64, handle, name string) wire.Command
	Property     func(trid string, version uint64, key, value string) wire.Command
	PropertyOf   func(d *Dialect, version uint64, who im.Addr, key, value string) wire.Command
	GroupAdded   func(trid string, version uint64, g Group) wire.Command
	GroupRemoved func(trid string, version uint64, g Group) wire.Command
	GroupRenamed func(trid string, version uint64, g Group) wire.Command
	Changed      func(trid string, args []string) wire.Command
	Arrived      func(d *Dialect, trid string, who im.Person, now im.Presence) wire.Command
	Left         func(d *Dialect, who im.Person) wire.Command
	Transfer     func(trid, addr, cookie string) wire.Command
	Ring         func(d *Dialect, addr string, in im.Invitation) wire.Command
	Present      func(d *Dialect, trid string, i, of int, who im.Person) wire.Command
	Joined       func(d *Dialect, who im.Person) wire.Command
	Pong         func() wire.Command
	URL          func(trid, path, login string) wire.Command
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
	Prompt, BlockOthers bool
	Properties          map[string]string // of the account, by key
	Groups              []Group           // without group 0
	Contacts            []Contact
}

// Group is a contact-list group.
type Group struct {
	ID   uint32
	Name string
}

// Contact is one entry with the lists he is on.
type Contact struct {
	im.Person
	On         On
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
// (escaped already); an empty Group is none.
type Edit struct {
	List                string
	Version             uint64
	Handle, Name, Group string
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

// Knows tells whether a client of this version may say verb to the notification
// server.
func (d *Dialect) Knows(verb string) bool { return d.verbs[verb] }

// Shows tells whether a client of this version is told about that property of a
// contact.
func (d *Dialect) Shows(key string) bool { return slices.Contains(d.Properties[:d.Shown], key) }

// with returns the verbs plus more.
func (d *Dialect) with(more string) map[string]bool {
	verbs := maps.Clone(d.verbs)
	if verbs == nil {
		verbs = map[string]bool{}
	}
	for v := range strings.FieldsSeq(more) {
		verbs[v] = true
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
