package passport

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"
)

// Tickets are the proofs of a log-in. They are meant to be used many times and
// live in memory: a restart makes clients log in again (MSNP.md K.12).
type Tickets struct {
	mu   sync.Mutex
	all  map[string]*ticket
	mine map[string][]string // tickets of an account, oldest first, by lower-case handle
}

type ticket struct {
	handle string
	until  time.Time
}

const (
	ticketLife = 7 * 24 * time.Hour // since it was issued or last used
	ticketMost = 32                 // per account; the oldest go first
)

// NewTickets makes an empty set.
func NewTickets() *Tickets {
	return &Tickets{all: map[string]*ticket{}, mine: map[string][]string{}}
}

// Issue makes a ticket for an account: letters and digits only, about 100 of them,
// because some clients may not believe in a shorter one (MSNP.md F.2).
func (t *Tickets) Issue(handle string) string {
	id, key := rand.Text()+rand.Text()+rand.Text()+rand.Text(), strings.ToLower(handle)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	kept := t.mine[key][:0]
	for i, old := range t.mine[key] {
		if len(t.mine[key])-i >= ticketMost || now.After(t.all[old].until) {
			delete(t.all, old)
			continue
		}
		kept = append(kept, old)
	}
	t.mine[key] = append(kept, id)
	t.all[id] = &ticket{handle, now.Add(ticketLife)}
	return id
}

// Verify tells whose ticket it is. It may come as issued or as t=…&p=…
func (t *Tickets) Verify(text string) (handle string, ok bool) {
	if rest, found := strings.CutPrefix(text, "t="); found {
		text, _, _ = strings.Cut(rest, "&")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.all[text]
	now := time.Now()
	if k == nil || now.After(k.until) {
		return "", false
	}
	k.until = now.Add(ticketLife)
	return k.handle, true
}

// Void ends every ticket of an account: its password changed or it was removed.
func (t *Tickets) Void(handle string) {
	key := strings.ToLower(handle)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range t.mine[key] {
		delete(t.all, id)
	}
	delete(t.mine, key)
}
