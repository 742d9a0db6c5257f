package im

import (
	"context"
	"io"
	"iter"
	"strings"
	"time"
)

// Field describes one input of a form: a link's log-in data or one of its
// settings. CLI flags, pages and the assistant are all made from it.
type Field struct {
	Key, Label, Help, Default string
	Secret, Required          bool
	Choices                   []string
}

// Boxes is the setting of a gateway that names the other boxes, by their names on
// the network, with blanks, commas or semicolons between them (Words). Whoever speaks
// from there has the address that the name of his account says.
const Boxes = "boxes"

// Words splits a setting that is a list.
func Words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" ,;\t\n", r) })
}

// Prompt is a question to the user that a network needs answered.
type Prompt struct {
	Text string
	Link string // the page in Text that is to be opened for an answer, "" none
	Field
	Until time.Time
}

// Login is what a Network needs to sign in.
type Login struct {
	User   Addr              // the account; zero: one shared transport that speaks for all accounts
	Fields map[string]string // by Field.Key, secrets opened
	Host   Host
	// Restored: the link's KV came out of a backup. Keys in it that must not be
	// used twice are to be given up, on disk, before Connect succeeds.
	Restored bool
}

// Network is one foreign system. It holds no state of its own: Connect makes a
// Link, and a lost Link is never revived; the hub connects again with back-off.
type Network interface {
	// Fields is the log-in form; Settings what may be set per link later.
	Fields() []Field
	Settings() []Field
	// Connect signs in. An error is *Lost. After Connect the link catches up
	// and then accepts LinkState{State: Up}; the hub sends nothing before.
	Connect(ctx context.Context, l Login) (Link, error)
}

// Link is one live connection to a network.
type Link interface {
	// Handle carries ev out for user. The hub calls it in order within one
	// conversation, for up to four conversations at once; presence and typing
	// are latest-wins. nil means taken: then exactly one settling Receipt
	// follows for a Message or ContactEdit, or the link is lost. It may block
	// until ctx is done. Errors: ErrUnsupported, *Refused (final), anything
	// else is retried after a reconnect with the same ID.
	Handle(ctx context.Context, user Addr, ev Event) error
	// Find asks the network who handle is. ErrNotFound when nobody; the hub
	// allows 5 s.
	Find(ctx context.Context, user Addr, handle string) (Person, error)
	// Open and Upload move a file's bytes, outside the ordered lanes. What Open
	// gives ends with io.EOF only when it is the file that was meant, whole: a
	// reader must not use what it got before. *Refused says in words for a person
	// why there is nothing to get. Upload with a nil r moves nothing: it says whether
	// such a file would be taken. What it returns then is the Ref of a Message of the
	// same conversation; ErrUnsupported where there is no way for files.
	Open(ctx context.Context, user Addr, ref string) (io.ReadCloser, File, error)
	Upload(ctx context.Context, user Addr, conv string, f File, r io.Reader) (ref string, err error)
	// Wait returns when the link has ended, with *Lost, or nil after Close.
	Wait() error
	// Close ends the link: signs off, stops every goroutine of the link and
	// waits for them. It may be called more than once.
	Close() error
}

// LostClass says what to do about a lost link.
type LostClass uint8

// Retry: with back-off. After: not before Lost.After. Credentials: only after
// the user gave new ones. Forbidden: only after the owner changed something.
const (
	Retry LostClass = iota
	After
	Credentials
	Forbidden
)

// Lost is why a link ended or could not be made.
type Lost struct {
	Class LostClass
	After time.Duration
	Text  string // for a person, with what to do next
}

func (l *Lost) Error() string { return l.Text }

// Batch is what one sync response, transaction or stanza brought, with the
// position after it. A nil Mark leaves the position where it is.
type Batch struct {
	User   Addr
	Events []Event
	Mark   []byte
}

// Inbox is where links report to.
type Inbox interface {
	// Accept keeps order per user and returns at once, or when its bounded
	// queue has room. settled (may be nil) runs once, from another goroutine,
	// when every event is delivered or on disk AND Mark is on disk with them,
	// in one transaction: only then may the network be told to forget them.
	// settled's error means that nothing was kept: end the link. Events of a
	// batch that has no mark and no Message need no disk and settle at once.
	Accept(ctx context.Context, b Batch, settled func(error)) error
	// Mark is the position last put on disk, nil when there is none.
	Mark(user Addr) ([]byte, error)
}

// Unsettled is a message or edit that a former connection may or may not have
// sent. Mark is the link's position on disk when it was first handed over: its
// echo can only be found after that.
type Unsettled struct {
	Event Event // Message or ContactEdit
	Mark  []byte
}

// Host is what the hub offers to a link, bound to the link's network.
type Host interface {
	Inbox
	// Account and Accounts know the accounts that the link speaks for: a shared
	// one does not speak for who has a link of its own. When an account leaves a
	// shared link, its PresenceChanged is handed out once more, and Account does
	// not find it.
	Account(handle string) (Account, bool)
	Accounts() iter.Seq[Account]
	// Unsettled lists what was handed out and has no Receipt yet, oldest
	// first. The link looks for the echo of each during catch-up and accepts a
	// Receipt for those it finds, before LinkState Up; the hub sends the rest
	// again with the same IDs.
	Unsettled(user Addr) []Unsettled
	KV(user Addr) KV
	// Seal encrypts a secret for the link's KV with a key that is not in the
	// database; Unseal opens it, for the same user and network only.
	Seal(user Addr, plain []byte) []byte
	Unseal(user Addr, sealed []byte) ([]byte, error)
	// Ask puts a question to the user or owner (page, CLI) and waits.
	Ask(ctx context.Context, user Addr, q Prompt) (string, error)
	Setting(user Addr, key string) string
	// Picture is the PNG that Presence.Picture of the account stands for, nil when there
	// is none.
	Picture(user Addr) []byte
}

// Account is a snapshot of one account of this box.
type Account struct {
	Person
	Now Presence
	// OnList tells whether the account lets addr see it and write to it.
	OnList func(addr Addr) (allow, block bool)
}

// KV is a link's private storage, one name space per link.
type KV interface {
	View(func(Tx) error) error
	// Update runs fn in one transaction, durable within about a second. fn may
	// run more than once and must touch nothing but the Tx.
	Update(func(Tx) error) error
	// Sync returns when every Update before it is durable: ratchets, secrets.
	Sync(ctx context.Context) error
}

// Tx is a transaction of a KV. Slices are valid only inside it.
type Tx interface {
	Get(k []byte) []byte
	Put(k, v []byte) error
	Delete(k []byte) error
	Scan(prefix []byte) iter.Seq2[[]byte, []byte]
}
