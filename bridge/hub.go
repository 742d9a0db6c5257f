// Package bridge joins MSN sessions and network links. The Hub knows the
// accounts, who is signed on, who talks to whom and which links are up, and
// moves events between them.
//
// # Goroutines and locks
//
// One mutex guards every map of the hub. It is never held across I/O, the
// store or a callback, with one exception that im.Sink documents: Sink.Deliver
// (and the callbacks that are marked "only queues") run under it, so that what
// reaches a client is in the order in which it happened. Store transactions
// get copies and run in the store's committer. Each link has one goroutine
// that keeps it connected (port.go) and up to four that carry events out.
//
// # What is on disk
//
// Accounts, lists and links are loaded once and written through. A message
// that comes in is journalled in the transaction that moves the network's mark
// and dropped from the journal when a client has proved it
// (thread.go); one that goes out is journalled when its link is down
// (outbox.go). DESIGN.md §3 says what lost and doubled mean.
package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// Config is what a Hub is made of.
type Config struct {
	Store    *store.DB
	Networks map[string]im.Network // by the name used in im.Addr.Net
	Shared   []string              // networks that every account has without a link of its own
	Gateways map[string]im.Network // the same networks, as one transport for all accounts
	Voice    im.Addr               // the contact that speaks for the box, zero for none
	Limits   Limits                // none: DefaultLimits
	Log      *slog.Logger
	// Clock is closed when the machine's clock can be trusted: links that were
	// made by somebody wait for it, because without it no certificate is valid.
	// nil: it can be trusted already.
	Clock <-chan struct{}
}

// Hub routes events. Make one with New.
type Hub struct {
	db     *store.DB
	nets   map[string]im.Network
	gates  map[string]im.Network
	given  []string // shared networks that no owner has to add
	limits Limits
	log    *slog.Logger
	voice  im.Addr
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	clock  <-chan struct{}
	dial   chan struct{} // limits how many links sign in at once
	zone   atomic.Pointer[time.Location]

	fileSite func(local string) string // nil: clients get no links to files
	fileLife atomic.Int64              // time.Duration

	room func(size int64) (Room, error) // nil: clients can't give files to networks

	portrait func(ctx context.Context, source []byte) (png []byte, err error) // nil: clients see no pictures of networks

	mu       sync.Mutex
	accounts map[string]*account // by canonical handle
	shared   map[string]*port    // by network
	chats    map[uint32]*chat
	cookies  map[string]*admission
	files    map[string]*fileLink // by token
	shelf    map[avatar]shelved   // pictures
	tidied   time.Time            // when shelf was, because it is full
	watchers []im.Sink
	overview im.Overview // as the watchers know it
	started  time.Time
	live     bool // Start was called
	closed   bool
}

// New loads the accounts from the store. Links start with Start.
func New(c Config) (*Hub, error) {
	h := &Hub{
		db: c.Store, nets: c.Networks, gates: c.Gateways, given: c.Shared, limits: c.Limits, log: c.Log, voice: c.Voice, clock: c.Clock,
		dial:     make(chan struct{}, 4),
		accounts: map[string]*account{}, shared: map[string]*port{},
		chats: map[uint32]*chat{}, cookies: map[string]*admission{}, files: map[string]*fileLink{}, shelf: map[avatar]shelved{},
		started: time.Now(),
	}
	if h.limits == (Limits{}) {
		h.limits = DefaultLimits()
	}
	h.SetZone(h.Setting(TimeZone))
	h.SetFileHours(h.Setting(FileHours))
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if err := h.load(); err != nil {
		return nil, fmt.Errorf("loading accounts: %w", err)
	}
	for _, name := range c.Shared {
		if h.nets[name] == nil {
			return nil, fmt.Errorf("network %q is not in this build", name)
		}
		if err := h.share(name); err != nil {
			return nil, fmt.Errorf("loading what waits for %s: %w", name, err)
		}
	}
	return h, nil
}

// share makes the link to a network that every account has, unless the owner
// made one with log-in data of its own.
func (h *Hub) share(net string) error {
	if h.shared[net] != nil {
		return nil
	}
	return h.db.View(func(tx *store.Tx) error {
		h.shared[net] = newPort(h, store.Link{Net: net}, slices.Collect(tx.Outs("", net)))
		return nil
	})
}

// load reads every account. List versions jump at each start, because a change
// of the last second before a crash may have been shown under a number that
// never reached the disk (MSNP.md K.3).
func (h *Hub) load() error {
	const jump = 1000
	once := map[string]string{} // most addresses stand on many lists
	share := func(s string) string {
		if t, ok := once[s]; ok {
			return t
		}
		once[s] = s
		return s
	}
	err := h.db.View(func(tx *store.Tx) error {
		for rec := range tx.Accounts() {
			rec.Version += jump
			a := newAccount(h, rec)
			for c := range tx.Contacts(a.key) {
				c.ID, c.Handle, c.Name = share(c.ID), share(c.Handle), share(c.Name)
				a.keep(&contact{Contact: c})
			}
			a.contacts = slices.Clone(a.contacts) // most lists rarely grow
			for g := range tx.Groups(a.key) {
				a.groups[g.ID] = g
			}
			a.seq = tx.LastSeq(a.key)
			h.loadFiles(tx, a.key)
			a.loadOwn(tx)
			h.accounts[a.key] = a
		}
		h.loadPictures(tx)
		for l := range tx.Links() {
			outs := slices.Collect(tx.Outs(l.Account, l.Net))
			p := newPort(h, l, outs)
			p.mark = slices.Clone(tx.Mark(l.Account, l.Net))
			if a := h.accounts[canonical(l.Account)]; a != nil {
				a.ports[l.Net] = p
			} else if l.Account == "" {
				h.shared[l.Net] = p
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range h.accounts {
		h.put(store.Lazy, a)
	}
	return nil
}

// Start connects every link.
func (h *Hub) Start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live = true
	for _, p := range h.ports() {
		p.start()
	}
}

// ports lists every port, shared ones first. The lock is held.
func (h *Hub) ports() []*port {
	ps := slices.Collect(maps.Values(h.shared))
	for _, a := range h.accounts {
		ps = append(ps, slices.Collect(maps.Values(a.ports))...)
	}
	return ps
}

// Close signs every session off, ends the links and puts everything on disk.
// The store stays open: it belongs to the caller.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	for _, a := range h.accounts {
		for _, s := range slices.Clone(a.sessions) {
			s.end(im.Shutdown)
		}
	}
	for _, a := range h.accounts {
		for _, t := range a.threads {
			t.stopRing()
		}
	}
	h.mu.Unlock()
	h.cancel()
	h.wg.Wait()
	return h.db.Sync(ctx)
}

// NoteInName is the key of the setting that puts the note of a contact after his
// name ("on") for clients that can show it nowhere else.
const NoteInName = "note-in-name"

// Challenge is the key of the setting by which clients are asked what program they
// are: "on", or ChallengeStrict when one without the right answer is sent away.
const (
	Challenge       = "challenge"
	ChallengeStrict = "strict"
)

// Setting is a setting of the whole box, "" when it was never set.
func (h *Hub) Setting(key string) (value string) {
	h.db.View(func(tx *store.Tx) error {
		value = tx.Setting(key)
		return nil
	})
	return value
}

// canonical is how handles are compared (DESIGN.md §4).
func canonical(handle string) string { return strings.ToLower(strings.TrimSpace(handle)) }
