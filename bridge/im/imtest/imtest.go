// Package imtest checks that an im.Network keeps the contract of package im,
// as testing/fstest does for file systems. Every network runs it against a
// server made for the test:
//
//	func TestConformance(t *testing.T) {
//		imtest.Run(t, func(t *testing.T) imtest.Rig { ... })
//	}
//
// Each check gets a fresh Rig and plays the hub with a complete in-memory
// im.Host, whose disk survives crashes and whose commits can be held back,
// made to fail, or lost. Nothing sleeps: the checks wait for facts, and
// Rig.Timeout only bounds how long.
//
// # What is demanded
//
// Forms: keys of Fields and of Settings are unique and labelled.
//
// Connecting: the context of Connect covers the signing in only; the link
// lives on when it is cancelled. After Connect the link accepts exactly one
// LinkState that is Up or Degraded, and only then is it given anything to send.
// A Connect that fails returns *im.Lost with a text; wrong credentials have
// class Credentials. A cancelled Connect returns.
//
// Sending: of one conversation in order, also while other conversations are
// sent to. What Handle takes gets one settling Receipt with the same ID and
// Conv; no state is reported twice and none goes backwards, except to Failed.
// Handle and Find return when their context ends. Presence and typing never
// block, not even when the server is mute. Events that no network takes
// (Roster, LinkState and those that only the hub makes) are ErrUnsupported.
// A message that relates to another (Rel) is settled or refused like any; To is the
// ID of a Message that came, that of a Receipt's As, or the ID of one that went out.
// A contact edit settled twice does no harm. Find says ErrNotFound for nobody.
//
// Receiving: in order; Message has ID, Conv, From, At and valid UTF-8, and its
// ID is the same whenever and however it comes again. A mark covers only what
// was accepted with it or before it. settled may be called late, also after
// Close: the link must neither wait for it in Close nor call back into the
// host from it in a way that blocks. When settled reports an error the link
// ends by itself with *im.Lost, and the next one delivers everything after the
// mark on disk again.
//
// Crashes: whatever was not committed is forgotten by the host: events, marks,
// receipts, and KV updates that no Sync and no later commit made durable. After
// the next Connect nothing said is lost and nothing is doubled by ID; what the
// account sent arrives once: unsettled sends found on the server get their
// Receipt before Up, the host hands the rest over again with the same IDs.
//
// Closing: Close may be called twice and returns although the server is mute
// and batches are unsettled; Wait then returns nil (else *im.Lost with a text).
// After Close no goroutine of the network's package is left, nothing is
// accepted any more, and Handle returns an error.
//
// KV: transaction functions are run twice, and the slices that Get and Scan
// gave are overwritten at the end of the transaction.
//
// Checks must not run in parallel with other tests of the package, because
// leaked goroutines are found by their package path. Server code of the test
// belongs in _test.go files or in a package whose name ends in "test".
package imtest

import (
	"context"
	"testing"
	"time"

	"nudge/bridge/im"
)

// Rig is a network with a server of its own and a peer on the other side.
//
// Functions are abilities of the test server or the peer. A nil one skips the
// checks that need it and must be listed in Absent, so that nothing is skipped
// by oversight. They are called from the test's goroutine, one at a time.
type Rig struct {
	Network  im.Network
	Name     string            // the network's name: Net of the contact and of LinkState
	Fields   map[string]string // good log-in data
	Settings map[string]string // what Host.Setting answers, by key
	Account  im.Addr           // an account of this box that the link speaks for
	Shared   bool              // Connect with Login.User zero, one transport for all accounts
	Contact  im.Addr           // the peer, already on the contact list; the conversation is Contact.ID

	// Answers declares that the contact answers each text with one message of
	// its own accord; then sent and answered texts are counted against each other.
	Answers bool

	// Say lets the peer send a text to the account. It returns when the server
	// has it safely, whether or not the account is connected.
	Say func(text string) error
	// Hear returns the next text that reached the peer (or one of Others) from
	// the account, in order of arrival.
	Hear func(ctx context.Context) (string, error)
	// Ask lets a stranger ask to be on the account's contact list and returns him.
	Ask func(note string) (im.Addr, error)
	// Cut breaks the account's connections as a failing line would; the server
	// stays and takes new connections.
	Cut func() error
	// LoseAck makes the server take the next text of the account, deliver it to
	// the peer, but lose its answer to the account and cut the connection.
	LoseAck func() error
	// Stall makes the server mute (it reads and answers nothing), or ends that.
	Stall func(on bool) error

	Nobody string            // a handle of the network's own form that nobody has
	Known  string            // a handle that Find resolves to a person not on the list, "" absent
	Others []im.Addr         // up to three more contacts, for conversations side by side
	Denied map[string]string // log-in data that the server refuses, nil absent

	// Absent says for each ability that is nil why the network or its test
	// server has no such thing: {"Ask": "nobody asks the assistant"}.
	Absent map[string]string

	Timeout time.Duration // bounds each wait; zero is 10 s
}

// check is one part of the contract. needs names the abilities it uses.
type check struct {
	name  string
	needs []string
	run   func(*session)
}

// checks in the order in which their failures are best read.
var checks = []check{
	{"forms", nil, checkForms},
	{"connect", nil, checkConnect},
	{"denied", []string{"Denied"}, checkDenied},
	{"close", nil, checkClose},
	{"unsupported", nil, checkUnsupported},
	{"cancelled", nil, checkCancelled},
	{"find nobody", nil, checkFindNobody},
	{"find", []string{"Known"}, checkFind},
	{"presence", nil, checkPresence},
	{"mute server", []string{"Stall"}, checkStall},
	{"receipts", nil, checkReceipts},
	{"send order", []string{"Hear"}, checkSendOrder},
	{"send side by side", []string{"Hear", "Others"}, checkSideBySide},
	{"receive order", []string{"Say"}, checkReceiveOrder},
	{"answers", []string{"Answers"}, checkAnswers},
	{"relations", []string{"Say"}, checkRelations},
	{"edits", nil, checkEdits},
	{"asked", []string{"Ask"}, checkAsked},
	{"late settle", []string{"Say"}, checkLateSettle},
	{"settle after close", []string{"Say"}, checkSettleAfterClose},
	{"failed settle", []string{"Say"}, checkFailedSettle},
	{"crash receiving", []string{"Say"}, checkCrashReceiving},
	{"old mark", []string{"Say"}, checkOldMark},
	{"crash sending", []string{"Hear"}, checkCrashSending},
	{"crash answering", []string{"Answers"}, checkCrashAnswering},
	{"lost ack", []string{"Hear", "LoseAck"}, checkLostAck},
	{"cut", []string{"Say", "Hear", "Cut"}, checkCut},
}

// Run runs every check as a subtest, each with a Rig of its own.
func Run(t *testing.T, setup func(t *testing.T) Rig) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			runCheck(t, c, setup(t))
		})
	}
}

func runCheck(t testing.TB, c check, r Rig) {
	t.Helper()
	for name, has := range r.abilities() {
		if why, absent := r.Absent[name]; absent == has {
			t.Fatalf("Rig.%s: present %v, but Absent says %q; a missing ability needs its reason there", name, has, why)
		}
	}
	for _, need := range c.needs {
		if !r.abilities()[need] {
			t.Skipf("without %s: %s", need, r.Absent[need])
		}
	}
	if r.Timeout == 0 {
		r.Timeout = 10 * time.Second
	}
	s := newSession(t, r)
	defer s.finish()
	c.run(s)
}

func (r *Rig) abilities() map[string]bool {
	return map[string]bool{
		"Answers": r.Answers,
		"Say":     r.Say != nil,
		"Hear":    r.Hear != nil,
		"Ask":     r.Ask != nil,
		"Cut":     r.Cut != nil,
		"LoseAck": r.LoseAck != nil,
		"Stall":   r.Stall != nil,
		"Known":   r.Known != "",
		"Others":  r.Others != nil,
		"Denied":  r.Denied != nil,
	}
}
