// Package im is the vocabulary of instant messaging: people, presence,
// messages, contact lists, and the events that carry them between an MSN
// session, the hub and a foreign network. It has no goroutines and no I/O and
// imports nothing of this module, so every other package may import it.
//
// # Directions
//
// The same closed set of events travels both ways. "In" is from a network to
// the hub (Inbox.Accept) and from the hub to a client (Sink.Deliver); "out" is
// from the hub to a network (Link.Handle). Each event says what it means in
// either direction.
//
// # Conversations
//
// A conversation is named by the contact it is held with: Message.Conv is that
// contact's Addr.ID, be it a person or a room (a room is a contact too). A
// network that has several places to talk to one person (Matrix direct rooms)
// chooses one and keeps the choice to itself.
package im

import (
	"errors"
	"time"
)

// Addr names one person or room. The zero Net is this box: ID is then the
// account's canonical (lower-case) handle. Otherwise Net is the network's name
// ("xmpp", "matrix", "assistant") and ID the network's own identifier, in its
// canonical spelling.
//
// Towards a Sink the ID of a foreign Addr is the handle the account knows the
// contact by (DESIGN.md §4): clients never see network identifiers.
type Addr struct{ Net, ID string }

// Person is an address with the name to show for it; an empty Name means
// unknown, not "no name".
type Person struct {
	Addr
	Name string
}

// Status is one of the nine MSN states, so that two boxes exchange them
// exactly; networks narrow it to what they know.
type Status uint8

// The states of MSNP (MSNP.md B.10). Hidden is only ever sent out: nobody sees
// a hidden person, he is Offline.
const (
	Offline Status = iota
	Online
	Busy
	Idle
	BeRightBack
	Away
	Phone
	Lunch
	Hidden
)

// Caps are client capability bits as MSNP.md B.10.1 numbers them; networks
// ignore them.
type Caps uint32

// Presence is what a person shows.
type Presence struct {
	Status Status
	Note   string // personal message, "" none
	Media  string // what is playing, "artist – title", "" nothing
	Caps   Caps
	Avatar string // the network's own reference (mxc URI, XEP-0084 id), "" none
	Later  bool   // Offline or Away, but messages are kept for him (DESIGN.md §3)
	Cut    string // towards a Sink: his network, when that can't be reached now

	// Picture is what the box keeps of it, nil while it has none: towards a Sink of what
	// Avatar names, out of what the account's client shows (Host.Picture).
	Picture *Picture

	// What only MSN clients understand, as one of them sent it; networks ignore it.
	Object  string // MSNObject, encoded
	Playing string // CurrentMedia, which Media has in words
}

// Picture is one that every client can show: a PNG of 96 by 96 points.
type Picture struct {
	SHA1 [20]byte
	Size int // bytes
}

// RelKind says what a message does to an earlier one.
type RelKind uint8

// The relations a message may have. Resolve replaces a placeholder (an
// encrypted message whose key came late) by its text. Vote answers a poll.
const (
	NoRel RelKind = iota
	Reply
	Edit
	Retract
	React
	Resolve
	Vote
)

// Rel relates a message to the earlier one with network id To. Quote is what that
// one said, in a line and in short, where network or hub remember it.
type Rel struct {
	Kind  RelKind
	To    string
	Quote string `json:",omitempty"`
}

// Choice is an answer that a poll offers, by the network's own id and in words.
type Choice struct{ ID, Text string }

// Kind is what sort of message it is.
type Kind uint8

// Kinds of message. Notice is machine-made text (never answered by machines),
// Emote is "/me", Nudge shakes the window and has no text.
const (
	Text Kind = iota
	Emote
	Notice
	Nudge
)

// Style is whole-message formatting in the terms of X-MMS-IM-Format.
type Style struct {
	Font    string
	Effects string // any of B I U S
	Color   string // RRGGBB, "" default
}

// File refers to a file kept by a network; the bytes go through Link.Open, and, out,
// through Link.Upload before. All but Ref is what the sender says of it. Type is a MIME
// type, "image/*" and the like when only the kind is known.
type File struct {
	Ref, Name, Type string
	Size            int64 // bytes, 0 unknown
	W, H            int   // pixels, 0 unknown
}

// Event is one fact. The set is closed: only this package can add to it.
type Event interface{ event() }

// Message is something said.
//
// Out, ID is ours: stable over retries and restarts, used as Matrix
// transaction id and XMPP origin-id. In, ID is the network's own, unique
// within the link; the hub drops an ID it has seen. An empty ID is never
// deduplicated.
type Message struct {
	ID   string
	Conv string // Addr.ID of the contact the conversation is held with
	From Addr   // who spoke; the zero Addr out (it is the account)
	Name string // in: the speaker's name when he is not the contact (rooms)
	Own  bool   // in: written by the account itself on another device
	At   time.Time
	Kind Kind
	Text string
	Style
	Rel  Rel
	File *File
	Raw  []byte // an MSN sender's own bytes, relayed untouched to MSN clients; networks ignore it
	Late bool   // towards a Sink: delivered later than sent, show At

	// Poll is, in, what the poll that the message asks for offers, and out, with
	// Rel.Kind Vote, what the account chose.
	Poll []Choice `json:",omitempty"`

	// Quiet: in, it opens no window: it waits for the next that is open. Aside: in,
	// it is for the account alone although Conv is a room, so nothing relates to it.
	Quiet bool
	Aside bool `json:",omitempty"`

	// Passed: these are the words of somebody else, named in them, which a box repeats to
	// those in a conversation who do not hear him. No box repeats them again.
	Passed bool `json:",omitempty"`

	// Offer names what Raw offers ("the file a.jpg") in a way that only MSN clients
	// can take up: whoever makes it waits for an answer. Networks ignore it.
	Offer string
}

// PresenceChanged tells what somebody shows now. In: Who is a contact. Out:
// the account itself. Re is set only towards a Sink and names the client's
// request that this answers (MSNP.md B.10, ILN).
type PresenceChanged struct {
	Who Person
	Now Presence
	Re  string
}

// Typing says that Who is writing (On) or stopped. Out, Who is the account.
type Typing struct {
	Conv string
	Who  Addr
	On   bool
}

// ReceiptState is how far a message or edit came.
type ReceiptState uint8

// Sent: the network's server took it. Delivered, Read: the peer's device, the
// peer. Failed: it will never arrive, Err says why in words for a person.
const (
	Sent ReceiptState = iota
	Delivered
	Read
	Failed
)

// Receipt reports on an event with that ID. In: the first of Sent, Delivered,
// Read or Failed settles what Handle took; later ones may follow and are
// informative, but Failed after Sent means that it did not arrive after all.
// Out: {State: Delivered or Read} says that the network's message ID in Conv
// reached the user. As is, in, the network's own id of the message, "" where it has
// none or knows the account's own: Rel.To names it by that from then on.
type Receipt struct {
	ID    string
	As    string
	Conv  string
	State ReceiptState
	Err   error
}

// Contact is one entry of a roster as the network knows it.
type Contact struct {
	Person
	Follows  bool // the account has him on its list (FL)
	Followed bool // he may see the account (RL)
	Asked    bool // he wants to see the account and waits for an answer
	Blocked  bool
	Groups   []string
	Room     bool
	Note     string // what he wrote with his request
}

// Roster is the contact list as the network has it. Full: contacts of this
// network that are not in Items are gone. Otherwise Items were added or
// changed and Gone went away. Only in.
type Roster struct {
	Full  bool
	Items []Contact
	Gone  []Addr
}

// EditOp is what a ContactEdit does.
type EditOp uint8

// The edits. In, only Add (somebody wants to add the account, Note says why),
// Remove (he withdrew or removed the account) and Unblock (the user took his block
// back on another device) occur.
const (
	Add EditOp = iota
	Remove
	Rename
	Regroup
	Block
	Unblock
	Accept  // let him see the account
	Decline // refuse a request
)

// ContactEdit is a change of the contact list that the user made (out) or that
// a contact asks for (in). Out, it is journalled until its Receipt; applying
// it twice must do no harm. Who carries the state wanted after the edit.
type ContactEdit struct {
	ID   string
	Op   EditOp
	Who  Contact
	Note string
}

// Crowd is the largest room, with the account, whose members are shown in the
// conversation (MAPPING.md §1). Of a larger one a network need not tell Members.
const Crowd = 20

// Room says who is in a conversation with more than one other member. Full
// replaces Members; Joined and Left are changes. Size counts the account too.
type Room struct {
	Conv, Name, Topic string
	Full              bool
	Members           []Person
	Joined, Left      []Person
	Size              int
}

// State is how a link is.
type State uint8

// Up comes once after every Connect, when catch-up is complete: only then does
// the hub send. Degraded means up with a limitation that Text explains.
const (
	Down State = iota
	Up
	Degraded
)

// LinkState tells how the link is, in words for a person. In from networks;
// the hub also delivers it to sinks that show it.
type LinkState struct {
	Net   string
	State State
	Text  string
}

// The events that only the hub makes, for sinks.
type (
	// Invitation asks a signed-on client to open a conversation; Cookie and
	// Session admit it (MSNP.md C.2).
	Invitation struct {
		From    Person
		Cookie  string
		Session uint32
	}
	// Membership tells a client in a conversation who came or went.
	Membership struct {
		Who    Person
		Caps   Caps // of a client of this box
		Joined bool
		Idle   bool // left because the conversation was idle
	}
	// ListChanged tells a signed-on client that one entry of its lists was
	// changed by somebody else: Added or removed on the list named
	// (FL, AL, BL, RL, PL). Version is the list version after it.
	ListChanged struct {
		List    string
		Who     Person
		GUID    string // of his entry
		Added   bool
		Version uint64
	}
	// PropertyChanged tells a signed-on client that a contact on this box has
	// another value for Key (PHH, MOB …, MSNP.md B.9.4), "" for none. Version
	// is the list version after it.
	PropertyChanged struct {
		Who        Person
		Key, Value string
		Version    uint64
	}
	// SignedOff is the last event of a session.
	SignedOff struct{ Why SignOff }
	// Overview counts, for displays: the accounts that are signed on, the links
	// that the owner made, and those of them that are up.
	Overview struct{ Users, Links, Up int }
)

// SignOff is why a session was ended by the box.
type SignOff uint8

// Reasons for SignedOff: the account signed on elsewhere, the box shuts down,
// the account was removed or its password changed.
const (
	Elsewhere SignOff = iota
	Shutdown
	Removed
)

func (Message) event()         {}
func (PresenceChanged) event() {}
func (Typing) event()          {}
func (Receipt) event()         {}
func (Roster) event()          {}
func (ContactEdit) event()     {}
func (Room) event()            {}
func (LinkState) event()       {}
func (Invitation) event()      {}
func (Membership) event()      {}
func (ListChanged) event()     {}
func (PropertyChanged) event() {}
func (SignedOff) event()       {}
func (Overview) event()        {}

// Sink takes events for one client (an NS session, a switchboard seat) or for
// a display (LEDs, status page). Deliver only queues: it is called with the
// hub's lock held, must not block and must not call the hub.
//
// settle is nil except for messages to a client. It must be called exactly once
// and not from within Deliver: true when the last byte was handed to the kernel
// and the session was still alive a second later, false when that can't be
// proved any more; then the hub keeps the message for the next time.
type Sink interface {
	Deliver(ev Event, settle func(delivered bool))
}

// ErrUnsupported is what Handle returns for an event the network has no notion
// of: the hub then degrades it to text or drops what has no meaning as text.
var ErrUnsupported = errors.New("this network has no such thing")

// ErrNotFound is what Find returns when the network knows nobody of that name.
var ErrNotFound = errors.New("nobody of that name")

// Refused is a final "no" to one event, in words for the person who sent it.
// The hub answers NAK and shows Text; it does not retry.
type Refused struct{ Text string }

func (r *Refused) Error() string { return r.Text }

// Speaks says whether m carries something for a person to read (or a nudge),
// and not only bytes that machines exchange.
func (m Message) Speaks() bool { return m.Text != "" || m.Kind == Nudge || m.File != nil }
