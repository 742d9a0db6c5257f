package xmpp

import (
	"slices"
	"strings"
	"time"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// contact is what is known about one address. Guarded like its memory.
type contact struct {
	listed    bool // in the server's roster
	name      string
	sub       string // none, to, from, both
	ask       bool   // we asked to see him
	groups    []string
	asked     bool   // he asked to see the account
	note      string // and wrote this
	blocked   bool
	resources map[string]seen
	says      published
	told      bool // the hub knows
	last      seen // this
	probe     probe

	lock      string    // full address his last message came from (RFC 6121 §5.1)
	composing bool      // he is
	typed     time.Time // the account's last key, while the contact thinks that it is typing
	nudgedIn  time.Time
	nudgedOut time.Time
	wrote     bool // the account wrote to him on this link
}

// memory is what one account of this box has on XMPP: its contacts, and what is
// known about single messages. A link or component has a lock over it.
type memory struct {
	contacts map[string]*contact // by bare JID
	sends    *sends
	refs     *refs
}

func newMemory() memory {
	return memory{contacts: map[string]*contact{}, sends: newSends(), refs: newRefs()}
}

// contact is the contact of that address, made when it is new.
func (m *memory) contact(bare string) *contact {
	c := m.contacts[bare]
	if c == nil {
		c = &contact{sub: "none"}
		m.contacts[bare] = c
	}
	return c
}

// sees tells whether the account may see him; seenBy whether he may see it.
func (c *contact) sees() bool   { return c.sub == "to" || c.sub == "both" }
func (c *contact) seenBy() bool { return c.sub == "from" || c.sub == "both" }

// remembered bounds what is kept about single messages.
const remembered = 1000

// sends remembers, for messages that went out, how far they came, so that no
// receipt comes twice or from a stranger.
type sends struct {
	of    map[string]*sentTo
	order []string
}

type sentTo struct {
	conv  string
	any   bool // a receipt came
	state im.ReceiptState
	first chan struct{} // closed by the first receipt; nil while nobody waits
}

func newSends() *sends { return &sends{of: map[string]*sentTo{}} }

func (s *sends) add(id, conv string) {
	if s.of[id] == nil {
		s.order = append(s.order, id)
	}
	s.of[id] = &sentTo{conv: conv}
	if len(s.order) > remembered {
		delete(s.of, s.order[0])
		s.order = slices.Delete(s.order, 0, 1)
	}
}

// news tells whether what somebody says of a message is to be believed and
// says more than is known, and notes it: whom it was sent to may say it, and
// that it failed also the servers on the way, who know it by its id only.
func (s *sends) news(r *im.Receipt, from stream.JID, own string) bool {
	if t := s.of[r.ID]; t != nil && r.State == im.Failed && from.Local == "" &&
		(from.Domain == own || strings.HasSuffix(t.conv, "@"+from.Domain)) {
		r.Conv = t.conv
	}
	return s.furthers(*r)
}

// furthers tells whether r says more than is known, and notes it. Of a message
// from before this link nothing is known.
func (s *sends) furthers(r im.Receipt) bool {
	t := s.of[r.ID]
	switch {
	case t == nil:
		return true
	case t.conv != r.Conv, t.any && r.State <= t.state:
		return false
	}
	t.any, t.state = true, r.State
	if t.first != nil {
		close(t.first)
		t.first = nil
	}
	return true
}

// answered is closed when the first receipt for a message comes; nil when there is
// one, or nothing is known of the message.
func (s *sends) answered(id string) <-chan struct{} {
	t := s.of[id]
	if t == nil || t.any {
		return nil
	}
	if t.first == nil {
		t.first = make(chan struct{})
	}
	return t.first
}

// refs remembers how messages are called: in the archive (as the hub knows
// them) and by the sender's client (as other clients refer to them).
type refs struct {
	byID  map[string]ref
	read  map[string]bool   // ids whose sender wants to know that they were read
	by    map[string]string // full addresses of who said them in a room
	byRef map[ref]string
	order []string
}

// ref is what a client calls a message in the conversation with conv.
type ref struct{ conv, name string }

func newRefs() *refs {
	return &refs{byID: map[string]ref{}, read: map[string]bool{}, by: map[string]string{}, byRef: map[ref]string{}}
}

func (r *refs) add(id, conv, name string, read bool) {
	if name == "" || id == "" {
		return
	}
	if _, known := r.byID[id]; !known {
		r.order = append(r.order, id)
	}
	r.byID[id] = ref{conv, name}
	if read {
		r.read[id] = true
	}
	r.byRef[ref{conv, name}] = id
	if len(r.order) > remembered {
		old := r.order[0]
		delete(r.byRef, r.byID[old])
		delete(r.byID, old)
		delete(r.read, old)
		delete(r.by, old)
		r.order = slices.Delete(r.order, 0, 1)
	}
}

// saidBy notes who said something in a room.
func (r *refs) saidBy(id, who string) {
	if _, known := r.byID[id]; known {
		r.by[id] = who
	}
}

// id is the hub's name for what a client calls name; name itself when it is
// not known, as for messages of the account.
func (r *refs) id(conv, name string) string {
	if id, ok := r.byRef[ref{conv, name}]; ok {
		return id
	}
	return name
}

// name is what clients call the message that the hub calls id.
func (r *refs) name(conv, id string) (string, bool) {
	if x, ok := r.byID[id]; ok && x.conv == conv {
		return x.name, true
	}
	return id, false
}

// target is the message that another one is about.
type target struct {
	name   string // what clients call it, "" when that is not known
	author string // his address, "" likewise
}

// about finds what a relation is to. In a direct conversation the account's own
// messages have the names that the box gave them.
func (r *refs) about(conv string, rel im.Rel) target {
	if strings.HasPrefix(rel.To, ownPrefix) {
		return target{name: rel.To}
	}
	name, known := r.name(conv, rel.To)
	if !known {
		return target{}
	}
	return target{name, conv}
}

// aboutGroup is about for a room, which gives messages names of its own (XEP-0461
// §3.1, XEP-0424 §5); only a correction has the name that its client gave it
// (XEP-0308 §4).
func (r *refs) aboutGroup(conv string, rel im.Rel) target {
	if rel.Kind == im.Edit {
		if !strings.HasPrefix(rel.To, ownPrefix) {
			return target{}
		}
		return target{name: rel.To}
	}
	name, known := r.name(conv, rel.To)
	if filed, ok := strings.CutPrefix(rel.To, conv+"#"); ok {
		name, known = filed, true
	}
	if !known {
		return target{}
	}
	return target{name, r.by[rel.To]}
}
