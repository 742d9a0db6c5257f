// Package assistant is the contact that lives in the box: "Nudge" is on every
// account's list, is always there and answers plain words such as "status" or
// "add bob@example.org". It is also the smallest example of a network.
//
// The assistant is one shared link that speaks for all accounts (Login.User is
// zero). It knows nothing of the box: what it does, it does through Actions,
// for the account that asked and no other. It never takes a password, token or
// recovery key in chat, and says how it is done instead.
//
// Each text gets exactly one answer. The answer's ID is made from the text's,
// so that a text handed over twice is answered once; the text counts as taken
// when the answer is on disk.
//
// A link has one goroutine, which puts the assistant on lists and reports on
// what was settled; Handle answers in the caller's.
package assistant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"nudge/bridge/im"
)

// Name is the network's name, handle the only address in it.
const (
	Name   = "assistant"
	handle = "assistant@nudge.local"
)

// self is how the assistant appears.
var self = im.Person{Addr: Address(), Name: "Nudge"}

// Address is the assistant's: what the box has to say comes from there.
func Address() im.Addr { return im.Addr{Net: Name, ID: handle} }

// Actions is what the assistant can do, always for the account with that
// handle. Texts are short and plain; an error's words are shown to the person.
type Actions interface {
	// Status says in a line or two how the box is doing.
	Status(ctx context.Context, account string) (string, error)
	// Links describes the account's links to other networks, a line each.
	Links(ctx context.Context, account string) ([]string, error)
	// Find looks for people by name or address, the account's own contacts
	// first; a line each.
	Find(ctx context.Context, account, who string) ([]string, error)
	// Add, Remove, Block and Unblock change the account's contact list.
	// Doing it twice does no harm.
	Add(ctx context.Context, account, contact string) error
	Remove(ctx context.Context, account, contact string) error
	Block(ctx context.Context, account, contact string) error
	Unblock(ctx context.Context, account, contact string) error
	// Settings describes what may be set on the account's links, a line for each link;
	// Set changes one setting of a link.
	Settings(ctx context.Context, account string) ([]string, error)
	Set(ctx context.Context, account, network, key, value string) error
	// Answer answers the question that one of the account's links asks, never one
	// about a secret.
	Answer(ctx context.Context, account, answer string) error
	// LinkPage makes a page on which the account can be linked to a network,
	// once and for a few minutes; "" when this build has no such pages.
	LinkPage(ctx context.Context, account string) (url string, err error)
}

// Network is the assistant as a network.
type Network struct{ Actions Actions }

// Fields is empty: there is nothing to sign in to.
func (*Network) Fields() []im.Field { return nil }

// Settings is empty.
func (*Network) Settings() []im.Field { return nil }

// Connect puts the assistant on the lists of all accounts.
func (n *Network) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	if l.User != (im.Addr{}) {
		return nil, &im.Lost{Class: im.Forbidden, Text: "The assistant speaks to every account already; it can't be linked to one."}
	}
	k := &link{actions: n.Actions, host: l.Host, met: map[im.Addr]bool{}, bell: make(chan struct{}, 1), done: make(chan struct{})}
	k.ctx, k.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	go k.run()
	return k, nil
}

// link is one connection to the hub.
type link struct {
	actions Actions
	host    im.Host
	ctx     context.Context // ends with the link; its cause says why
	cancel  context.CancelCauseFunc
	done    chan struct{} // run has ended
	bell    chan struct{}

	mu   sync.Mutex
	met  map[im.Addr]bool // accounts that were greeted on this link
	todo []im.Batch       // for run to accept, in order
}

var errClosed = errors.New("the assistant's link is closed")

// kvRemoved is set in an account's KV when it took the assistant off its list.
var kvRemoved = []byte("removed")

// run greets all accounts, reports Up, and then accepts what is queued.
func (k *link) run() {
	defer close(k.done)
	for a := range k.host.Accounts() {
		k.meet(a.Addr)
	}
	k.queue(im.Batch{Events: []im.Event{im.LinkState{Net: Name, State: im.Up}}})
	for {
		select {
		case <-k.bell:
		case <-k.ctx.Done():
			return
		}
		k.mu.Lock()
		todo := k.todo
		k.todo = nil
		k.mu.Unlock()
		for _, b := range todo {
			if err := k.host.Accept(k.ctx, b, nil); err != nil {
				k.lost(err)
				return
			}
		}
	}
}

// queue leaves a batch without messages to run.
func (k *link) queue(b im.Batch) {
	k.mu.Lock()
	k.todo = append(k.todo, b)
	k.mu.Unlock()
	select {
	case k.bell <- struct{}{}:
	default:
	}
}

func (k *link) lost(err error) {
	k.cancel(&im.Lost{Class: im.Retry, Text: fmt.Sprintf("The assistant could not go on (%v); it tries again by itself.", err)})
}

// meet puts the assistant on user's list, once per link, unless the user took
// it off.
func (k *link) meet(user im.Addr) {
	k.mu.Lock()
	known := k.met[user]
	k.met[user] = true
	k.mu.Unlock()
	if known {
		return
	}
	removed := false
	err := k.host.KV(user).View(func(tx im.Tx) error {
		removed = tx.Get(kvRemoved) != nil
		return nil
	})
	if err != nil {
		k.lost(err)
		return
	}
	if !removed {
		k.appear(user)
	}
}

func (k *link) appear(user im.Addr) {
	k.queue(im.Batch{User: user, Events: []im.Event{
		im.Roster{Items: []im.Contact{{Person: self, Follows: true, Followed: true}}},
		im.PresenceChanged{Who: self, Now: im.Presence{Status: im.Online}},
	}})
}

// Handle answers texts and keeps the assistant on or off the list.
func (k *link) Handle(ctx context.Context, user im.Addr, ev im.Event) error {
	if k.ctx.Err() != nil {
		return context.Cause(k.ctx)
	}
	switch ev := ev.(type) {
	case im.Message:
		k.meet(user)
		return k.hear(ctx, user, ev)
	case im.ContactEdit:
		return k.edit(ctx, user, ev)
	case im.PresenceChanged:
		k.meet(user)
		return nil
	case im.Typing, im.Receipt:
		return nil
	}
	return im.ErrUnsupported
}

// hear answers one message and confirms it when the answer is on disk. What
// machines wrote, reactions and retractions get no answer.
func (k *link) hear(ctx context.Context, user im.Addr, m im.Message) error {
	if m.Conv != handle {
		return &im.Refused{Text: "Here is nobody but the assistant, " + handle + "."}
	}
	taken := im.Batch{User: user, Events: []im.Event{im.Receipt{ID: m.ID, Conv: m.Conv, State: im.Sent}}}
	if m.Kind == im.Notice || m.Rel.Kind == im.Retract || m.Rel.Kind == im.React {
		k.queue(taken)
		return nil
	}
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.ctx, cancel)()
	answer := im.Message{
		ID: "re-" + m.ID, Conv: handle, From: self.Addr, Kind: im.Notice,
		Text: k.answer(both, user.ID, m), At: time.Now(),
	}
	if err := both.Err(); err != nil {
		return err // the answer would only tell of the interruption
	}
	return k.host.Accept(both, im.Batch{User: user, Events: []im.Event{answer}}, func(err error) {
		if err != nil {
			k.lost(err)
			return
		}
		k.queue(taken)
	})
}

// edit remembers a removal, and comes back when added.
func (k *link) edit(ctx context.Context, user im.Addr, e im.ContactEdit) error {
	if e.Who.ID != handle {
		return &im.Refused{Text: "Here is nobody but the assistant, " + handle + "."}
	}
	kv := k.host.KV(user)
	var change func(tx im.Tx) error
	switch e.Op {
	case im.Add:
		change = func(tx im.Tx) error { return tx.Delete(kvRemoved) }
	case im.Remove:
		change = func(tx im.Tx) error { return tx.Put(kvRemoved, []byte{1}) }
	default:
		return im.ErrUnsupported // the box itself keeps names, groups and blocks
	}
	if err := kv.Update(change); err != nil {
		return err
	}
	if err := kv.Sync(ctx); err != nil {
		return err
	}
	if e.Op == im.Add {
		k.appear(user)
	}
	k.queue(im.Batch{User: user, Events: []im.Event{im.Receipt{ID: e.ID, Conv: handle, State: im.Sent}}})
	return nil
}

// Find knows the assistant, by its handle or by its names.
func (k *link) Find(_ context.Context, _ im.Addr, who string) (im.Person, error) {
	if k.ctx.Err() != nil {
		return im.Person{}, context.Cause(k.ctx)
	}
	switch strings.ToLower(strings.TrimSpace(who)) {
	case handle, "assistant", "nudge":
		return self, nil
	}
	return im.Person{}, fmt.Errorf("%q: %w", who, im.ErrNotFound)
}

// Open has nothing to open.
func (*link) Open(context.Context, im.Addr, string) (io.ReadCloser, im.File, error) {
	return nil, im.File{}, im.ErrUnsupported
}

// Upload is refused: the assistant takes no files.
func (*link) Upload(context.Context, im.Addr, string, im.File, io.Reader) (string, error) {
	return "", im.ErrUnsupported
}

// Wait returns when the link has ended.
func (k *link) Wait() error {
	<-k.done
	if err := context.Cause(k.ctx); !errors.Is(err, errClosed) {
		return err
	}
	return nil
}

// Close ends the link and waits for its goroutine.
func (k *link) Close() error {
	k.cancel(errClosed)
	<-k.done
	return nil
}
