package imtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"nudge/bridge/im"
)

// queueLen bounds the batches accepted and not yet committed.
const queueLen = 64

var errDisk = errors.New("imtest: the disk failed, nothing was kept")

// box is the machine: what is on its disk, the faults planned for it, and what
// it saw. One mutex guards it and all its hosts; it is never held in a callback.
type box struct {
	rig  Rig
	mu   sync.Mutex
	bell chan struct{} // closed and replaced whenever something changed

	// On disk.
	marks   map[im.Addr][]byte
	seen    map[im.Addr]map[string]bool
	journal []im.Message
	outbox  []*outgoing
	kv      map[im.Addr]map[string]string

	// Faults.
	hold     bool // commit nothing
	failNext bool // fail the next commit that has a message, and what is queued after it
	commits  int  // commits of messages or marks still allowed before hold is set; -1 any number

	refused []string // events that got a final no
	broken  []string // violations of the contract
}

// outgoing is an event handed out and not settled on disk.
type outgoing struct {
	im.Unsettled
	id string
}

func newBox(r Rig) *box {
	return &box{
		rig: r, bell: make(chan struct{}), commits: -1,
		marks: map[im.Addr][]byte{}, seen: map[im.Addr]map[string]bool{}, kv: map[im.Addr]map[string]string{},
	}
}

// ring wakes whoever waits for a change. The lock is held.
func (b *box) ring() {
	close(b.bell)
	b.bell = make(chan struct{})
}

// violated notes a breach of the contract. The lock is held.
func (b *box) violated(format string, args ...any) {
	b.broken = append(b.broken, fmt.Sprintf(format, args...))
	b.ring()
}

// host is the box between one Connect and the end of that link: a crash ends
// it, the disk stays. It implements im.Host.
type host struct {
	box   *box
	queue []queued
	kv    map[im.Addr]map[string]string // what transactions see; on disk with the next commit

	dead   bool // crashed
	failed bool // a commit failed: nothing of this link is kept any more
	closed bool // Close has returned

	ups      int
	events   []im.Event
	receipts map[string][]im.ReceiptState
	handed   map[string]bool // given to Handle during this connection

	committer sync.WaitGroup
	settles   sync.WaitGroup
	settling  bool // the committer is in a settled function
}

type queued struct {
	im.Batch
	settled func(error)
}

func newHost(b *box) *host {
	b.mu.Lock()
	h := &host{box: b, kv: maps.Clone(b.kv), receipts: map[string][]im.ReceiptState{}, handed: map[string]bool{}}
	b.mu.Unlock()
	h.committer.Go(h.commitLoop)
	return h
}

// Accept implements im.Inbox.
func (h *host) Accept(ctx context.Context, batch im.Batch, settled func(error)) error {
	b := h.box
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(h.queue) >= queueLen && !h.dead {
		bell := b.bell
		b.mu.Unlock()
		select {
		case <-bell:
		case <-ctx.Done():
		}
		b.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	switch {
	case h.dead:
		return errCrashed
	case h.closed:
		b.violated("Accept was called after Close had returned")
		return errCrashed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	h.inspect(batch)
	batch.Events = slices.Clone(batch.Events)
	batch.Mark = bytes.Clone(batch.Mark)
	h.events = append(h.events, batch.Events...)
	if settled != nil && batch.Mark == nil && !hasMessage(batch) {
		now := settled
		settled = nil
		h.settles.Go(func() { now(nil) })
	}
	h.queue = append(h.queue, queued{batch, settled})
	b.ring()
	return nil
}

// commitLoop commits one batch after the other and calls settled, until the
// host crashes or is closed with nothing queued.
func (h *host) commitLoop() {
	b := h.box
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case h.dead, h.closed && len(h.queue) == 0:
			return
		case len(h.queue) == 0, b.hold:
			bell := b.bell
			b.mu.Unlock()
			<-bell
			b.mu.Lock()
			continue
		}
		if b.failNext && hasMessage(h.queue[0].Batch) {
			b.failNext, h.failed = false, true
		}
		err := error(nil)
		if h.failed {
			err = errDisk
		} else {
			h.commit(h.queue[0].Batch)
		}
		settled := h.queue[0].settled
		h.queue = h.queue[1:]
		b.ring()
		if settled != nil {
			h.settling = true
			b.mu.Unlock()
			settled(err)
			b.mu.Lock()
			h.settling = false
			b.ring()
		}
	}
}

// commit puts a batch on disk in one step. The lock is held.
func (h *host) commit(batch im.Batch) {
	b := h.box
	for _, ev := range batch.Events {
		switch ev := ev.(type) {
		case im.Message:
			if b.seen[batch.User] == nil {
				b.seen[batch.User] = map[string]bool{}
			}
			if ev.ID != "" && b.seen[batch.User][ev.ID] {
				continue
			}
			b.seen[batch.User][ev.ID] = true
			b.journal = append(b.journal, ev)
		case im.Receipt:
			b.outbox = slices.DeleteFunc(b.outbox, func(o *outgoing) bool { return o.id == ev.ID })
		}
	}
	if batch.Mark != nil {
		b.marks[batch.User] = batch.Mark
	}
	b.kv = maps.Clone(h.kv)
	if b.commits > 0 && (batch.Mark != nil || hasMessage(batch)) {
		if b.commits--; b.commits == 0 {
			b.hold, b.commits = true, -1
		}
	}
}

// crash forgets what is not on disk: the queue, receipts, KV updates. The
// link's calls fail from now on.
func (h *host) crash() {
	h.box.mu.Lock()
	defer h.box.mu.Unlock()
	h.dead = true
	h.queue = nil
	h.box.hold, h.box.commits, h.box.failNext = false, -1, false
	h.box.ring()
}

// Mark implements im.Inbox.
func (h *host) Mark(user im.Addr) ([]byte, error) {
	h.box.mu.Lock()
	defer h.box.mu.Unlock()
	if h.dead {
		return nil, errCrashed
	}
	return bytes.Clone(h.box.marks[user]), nil
}

// Account implements im.Host.
func (h *host) Account(handle string) (im.Account, bool) {
	for a := range h.Accounts() {
		if strings.EqualFold(a.ID, handle) {
			return a, true
		}
	}
	return im.Account{}, false
}

// Accounts implements im.Host: the rig's account is the only one.
func (h *host) Accounts() iter.Seq[im.Account] {
	return func(yield func(im.Account) bool) {
		yield(im.Account{
			Person: im.Person{Addr: h.box.rig.Account, Name: "Tess Ter"},
			Now:    im.Presence{Status: im.Online},
			OnList: func(im.Addr) (allow, block bool) { return true, false },
		})
	}
}

// Unsettled implements im.Host.
func (h *host) Unsettled(user im.Addr) []im.Unsettled {
	h.box.mu.Lock()
	defer h.box.mu.Unlock()
	var list []im.Unsettled
	if user == h.box.rig.Account && !h.dead {
		for _, o := range h.box.outbox {
			list = append(list, o.Unsettled)
		}
	}
	return list
}

// KV implements im.Host.
func (h *host) KV(user im.Addr) im.KV { return kv{h, user} }

// Seal implements im.Host: everything can be opened by its own user only.
func (h *host) Seal(user im.Addr, plain []byte) []byte { return append([]byte(user.ID+" "), plain...) }

// Unseal implements im.Host.
func (h *host) Unseal(user im.Addr, sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte(user.ID+" "))
	if !ok {
		return nil, errors.New("imtest: sealed for somebody else")
	}
	return plain, nil
}

// Ask implements im.Host: nobody is there to answer.
func (h *host) Ask(ctx context.Context, _ im.Addr, q im.Prompt) (string, error) {
	<-ctx.Done()
	return "", fmt.Errorf("imtest: nobody answers %q: %w", q.Text, ctx.Err())
}

// Picture implements im.Host: the account shows none.
func (h *host) Picture(im.Addr) []byte { return nil }

// Setting implements im.Host.
func (h *host) Setting(_ im.Addr, key string) string { return h.box.rig.Settings[key] }

func hasMessage(b im.Batch) bool {
	return slices.ContainsFunc(b.Events, func(ev im.Event) bool { _, is := ev.(im.Message); return is })
}
