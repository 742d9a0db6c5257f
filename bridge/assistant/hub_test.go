package assistant

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"

	"nudge/bridge/im"
)

// hub is a host with one account whose disk is a map.
type hub struct {
	mu      sync.Mutex
	batches []im.Batch
	kv      map[string]string
}

func newHub() *hub { return &hub{kv: map[string]string{}} }

// take returns what was accepted since the last time.
func (h *hub) take() []im.Batch {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.batches
	h.batches = nil
	return b
}

func (h *hub) Accept(_ context.Context, b im.Batch, settled func(error)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batches = append(h.batches, b)
	if settled != nil {
		go settled(nil)
	}
	return nil
}

func (*hub) Mark(im.Addr) ([]byte, error)         { return nil, nil }
func (*hub) Account(string) (im.Account, bool)    { return im.Account{}, false }
func (*hub) Picture(im.Addr) []byte               { return nil }
func (*hub) Unsettled(im.Addr) []im.Unsettled     { return nil }
func (*hub) Setting(_ im.Addr, key string) string { return "" }
func (h *hub) KV(u im.Addr) im.KV                 { return space{h, u.ID + " "} }
func (h *hub) Accounts() iter.Seq[im.Account] {
	return slices.Values([]im.Account{{Person: im.Person{Addr: alice}}})
}
func (*hub) Seal(_ im.Addr, plain []byte) []byte             { return plain }
func (*hub) Unseal(_ im.Addr, sealed []byte) ([]byte, error) { return sealed, nil }
func (*hub) Ask(context.Context, im.Addr, im.Prompt) (string, error) {
	return "", errors.New("nobody is asked here")
}

// space is one account's part of the map; it is its own transaction.
type space struct {
	h      *hub
	prefix string
}

func (s space) View(fn func(im.Tx) error) error { return s.Update(fn) }
func (space) Sync(context.Context) error        { return nil }
func (s space) Update(fn func(im.Tx) error) error {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return fn(s)
}
func (s space) Get(k []byte) []byte {
	if v, ok := s.h.kv[s.prefix+string(k)]; ok {
		return []byte(v)
	}
	return nil
}
func (s space) Put(k, v []byte) error { s.h.kv[s.prefix+string(k)] = string(v); return nil }
func (s space) Delete(k []byte) error { delete(s.h.kv, s.prefix+string(k)); return nil }
func (s space) Scan(prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range s.h.kv {
			if rest, ok := strings.CutPrefix(k, s.prefix+string(prefix)); ok && !yield([]byte(string(prefix)+rest), []byte(v)) {
				return
			}
		}
	}
}
