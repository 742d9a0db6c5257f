package matrix

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nudge/bridge/im"
)

var account = im.Addr{ID: "alice@hotmail.com"}

// testHost is a hub that keeps everything at once and remembers what came.
type testHost struct {
	t testing.TB

	mu       sync.Mutex
	bell     chan struct{}
	events   []im.Event
	mark     []byte
	kv       map[string][]byte
	settings map[string]string
	sends    []im.Unsettled
	answer   func(im.Prompt) string // "" nobody
	asked    func(context.Context, im.Prompt) (string, error)
	picture  []byte
}

func newTestHost(t testing.TB) *testHost {
	return &testHost{t: t, bell: make(chan struct{}), kv: map[string][]byte{}, settings: map[string]string{}}
}

// copy is the same disk for another life, as after a restart.
func (h *testHost) copy() *testHost {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := newTestHost(h.t)
	c.mark, c.kv, c.settings = slices.Clone(h.mark), maps.Clone(h.kv), h.settings
	return c
}

func (h *testHost) Accept(_ context.Context, b im.Batch, settled func(error)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, b.Events...)
	if b.Mark != nil {
		h.mark = slices.Clone(b.Mark)
	}
	close(h.bell)
	h.bell = make(chan struct{})
	if settled != nil {
		go settled(nil)
	}
	return nil
}

func (h *testHost) Mark(im.Addr) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mark, nil
}

func (h *testHost) Account(string) (im.Account, bool)  { return im.Account{}, false }
func (h *testHost) Accounts() iter.Seq[im.Account]     { return func(func(im.Account) bool) {} }
func (h *testHost) Unsettled(im.Addr) []im.Unsettled   { return h.sends }
func (h *testHost) KV(im.Addr) im.KV                   { return h }
func (h *testHost) Setting(_ im.Addr, k string) string { return h.settings[k] }
func (h *testHost) Sync(context.Context) error         { return nil }
func (h *testHost) Seal(_ im.Addr, plain []byte) []byte {
	return flip(append([]byte("sealed "), plain...))
}
func (h *testHost) Unseal(_ im.Addr, sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(flip(bytes.Clone(sealed)), []byte("sealed "))
	if !ok {
		return nil, errors.New("not sealed")
	}
	return plain, nil
}

func (h *testHost) Picture(im.Addr) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.picture
}

// flip makes what it is given unreadable, and readable again.
func flip(b []byte) []byte {
	for i := range b {
		b[i] ^= 0x55
	}
	return b
}

func (h *testHost) Ask(ctx context.Context, _ im.Addr, q im.Prompt) (string, error) {
	if h.asked != nil {
		return h.asked(ctx, q)
	}
	if h.answer == nil {
		return "", context.Canceled
	}
	if a := h.answer(q); a != "" {
		return a, nil
	}
	return "", context.Canceled
}

func (h *testHost) View(fn func(im.Tx) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fn((*testTx)(h))
}

func (h *testHost) Update(fn func(im.Tx) error) error { return h.View(fn) }

type testTx testHost

func (tx *testTx) Get(k []byte) []byte   { return tx.kv[string(k)] }
func (tx *testTx) Put(k, v []byte) error { tx.kv[string(k)] = bytes.Clone(v); return nil }
func (tx *testTx) Delete(k []byte) error { delete(tx.kv, string(k)); return nil }
func (tx *testTx) Scan(p []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(tx.kv)) {
			if strings.HasPrefix(k, string(p)) && !yield([]byte(k), tx.kv[k]) {
				return
			}
		}
	}
}

// all, disk and position look at what came and what is kept.
func (h *testHost) all() []im.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

func (h *testHost) disk(key string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.kv[key])
}

func (h *testHost) position() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.mark)
}

// wait waits until ok finds what it looks for among the events so far.
func (h *testHost) wait(what string, ok func([]im.Event) bool) []im.Event {
	h.t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for {
		h.mu.Lock()
		events, bell := slices.Clone(h.events), h.bell
		h.mu.Unlock()
		if ok(events) {
			return events
		}
		select {
		case <-bell:
		case <-limit.C:
			h.t.Fatalf("no %s among %d events: %+v", what, len(events), events)
		}
	}
}

// await waits for an event of type E that ok accepts, and returns it.
func await[E im.Event](h *testHost, what string, ok func(E) bool) (found E) {
	h.t.Helper()
	h.wait(what, func(events []im.Event) bool {
		for _, ev := range events {
			if e, is := ev.(E); is && ok(e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// texts are the texts that came in, in order.
func texts(events []im.Event) (out []string) {
	for _, ev := range events {
		if m, ok := ev.(im.Message); ok {
			out = append(out, m.Text)
		}
	}
	return out
}

// world is a homeserver with alice, whose account is linked, and bob, who is
// her contact.
type world struct {
	*homeserver
	t          *testing.T
	alice, bob string
	room       string
	host       *testHost
	net        *Network
	form       map[string]string
	restored   bool
}

func newWorld(t *testing.T) *world {
	h := newHomeserver(t)
	alice := h.user("alice", "secret-alice", "Alice")
	bob := h.user("bob", "secret-bob", "Bob")
	room := h.dm(alice, bob)
	return &world{
		homeserver: h, t: t, alice: string(alice), bob: string(bob), room: string(room),
		host: newTestHost(t), net: testNetwork(),
		form: map[string]string{"homeserver": h.http.URL, "user": "@alice:hs.test", "password": "secret-alice"},
	}
}

// connect links alice and waits until the link is up.
func (w *world) connect() im.Link {
	w.t.Helper()
	l := w.dial()
	await(w.host, "LinkState", func(im.LinkState) bool { return true })
	return l
}

func (w *world) dial() im.Link {
	w.t.Helper()
	l, err := w.net.Connect(w.t.Context(), im.Login{User: account, Fields: w.form, Host: w.host, Restored: w.restored})
	if err != nil {
		w.t.Fatalf("Connect: %v", err)
	}
	w.t.Cleanup(func() { l.Close() })
	return l
}

// revive links alice as the hub does: again when the link is lost.
func (w *world) revive() im.Link {
	w.t.Helper()
	for range 3 {
		l, lost := w.dial(), make(chan error, 1)
		go func() { lost <- l.Wait() }()
		for {
			w.host.mu.Lock()
			bell, up := w.host.bell, slices.ContainsFunc(w.host.events, func(ev im.Event) bool { _, is := ev.(im.LinkState); return is })
			w.host.mu.Unlock()
			if up {
				return l
			}
			select {
			case <-bell:
				continue
			case err := <-lost:
				w.t.Log(err)
			}
			break
		}
	}
	w.t.Fatal("the link does not come up")
	return nil
}

// restart ends l and goes on with the same disk.
func (w *world) restart(l im.Link) im.Link {
	w.t.Helper()
	l.Close()
	w.host = w.host.copy()
	return w.connect()
}

// send hands a text over and returns what Handle says.
func (w *world) send(l im.Link, id, text string) error {
	return l.Handle(w.t.Context(), account, im.Message{ID: id, Conv: w.bob, Text: text, At: time.Now()})
}

// mustSend is send, with its receipt.
func (w *world) mustSend(l im.Link, id, text string) {
	w.t.Helper()
	if err := w.send(l, id, text); err != nil {
		w.t.Fatalf("send %s: %v", id, err)
	}
	await(w.host, "receipt for "+id, func(r im.Receipt) bool { return r.ID == id })
}
