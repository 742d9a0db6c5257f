package bridge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// LinkInfo is a link as the owner sees it; a gateway has no Account. Fields holds
// no secrets.
type LinkInfo struct {
	Account, Net string
	Fields       map[string]string
	Settings     map[string]string
	State        im.State
	Text         string // for a person, with what to do next
	Since        time.Time
	Stuck        bool      // down until a person does what Text says
	Resting      bool      // closed until somebody signs on, as its settings say
	Waiting      int       // messages and edits that the network has not confirmed
	Question     im.Prompt // that the link asks now, zero none
	Asked        string    // which question that is
}

// Networks lists the networks a link can be made to.
func (h *Hub) Networks() []string {
	var names []string
	for n := range h.nets {
		if !slices.Contains(h.given, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// Form is a network's log-in form.
func (h *Hub) Form(net string) ([]im.Field, error) {
	if !slices.Contains(h.Networks(), net) {
		return nil, fmt.Errorf("there is no network %q; there are %s", net, strings.Join(h.Networks(), ", "))
	}
	return h.nets[net].Fields(), nil
}

// AddLink links an account to a network with the form's values. An account has
// one link per network; linking again replaces the log-in data and keeps what
// waits.
func (h *Hub) AddLink(ctx context.Context, handle, net string, values map[string]string) error {
	form, err := h.Form(net)
	if err != nil {
		return err
	}
	var rec store.Link
	h.mu.Lock()
	a := h.accounts[canonical(handle)]
	if a != nil {
		rec = newRecord(net, a.ports[net])
		rec.Account = a.key
	}
	h.mu.Unlock()
	if a == nil {
		return noAccount(handle)
	}
	if err := h.fill(&rec, form, values); err != nil {
		return err
	}
	h.mu.Lock()
	p := a.ports[net]
	if p == nil {
		p = newPort(h, rec, nil)
		a.leaves(net)
		a.ports[net] = p
	}
	return h.relink(ctx, p, rec)
}

// leaves tells a shared link, if there is one that speaks for the account, that
// it is about to do so no longer. The lock is held.
func (a *account) leaves(net string) {
	if p := a.hub.shared[net]; p != nil && a.ports[net] == nil {
		p.sendPresence(a.key, im.PresenceChanged{Who: a.person()})
	}
}

// newRecord is an empty record for a link; when that is made again, with what
// stays of old. The lock is held.
func newRecord(net string, old *port) store.Link {
	rec := store.Link{Net: net, Fields: map[string]string{}, Secrets: map[string][]byte{}, Settings: map[string]string{}, Created: time.Now().UTC()}
	if old != nil {
		rec.Settings, rec.Created, rec.Restored = old.rec.Settings, old.rec.Created, old.rec.Restored
	}
	return rec
}

// relink gives p its log-in data and connects it anew. The lock is held, and
// released.
func (h *Hub) relink(ctx context.Context, p *port, rec store.Link) error {
	p.rec = rec
	h.counted()
	h.db.Do(store.Now, func(tx *store.Tx) error { return tx.PutLink(rec) }, h.logged("link"))
	running := p.running
	if h.live && !running {
		p.start()
	}
	h.mu.Unlock()
	if running {
		p.restart()
	}
	return h.db.Sync(ctx)
}

// fill checks values against the form and seals the secrets.
func (h *Hub) fill(rec *store.Link, form []im.Field, values map[string]string) error {
	known := map[string]bool{}
	for _, f := range form {
		known[f.Key] = true
		v := cmp.Or(values[f.Key], f.Default)
		switch {
		case v == "" && f.Required:
			return fmt.Errorf("%s is missing: --%s (%s)", f.Label, f.Key, f.Help)
		case v == "":
		case len(f.Choices) > 0 && !slices.Contains(f.Choices, v):
			return fmt.Errorf("--%s can't be %q; choose one of %s", f.Key, v, strings.Join(f.Choices, ", "))
		case f.Secret:
			rec.Secrets[f.Key] = h.db.Seal(secretContext(*rec, f.Key), []byte(v))
		default:
			rec.Fields[f.Key] = v
		}
	}
	for k := range values {
		if !known[k] {
			return fmt.Errorf("%s links have no --%s", rec.Net, k)
		}
	}
	return nil
}

// SetLink changes one setting of a link.
func (h *Hub) SetLink(ctx context.Context, handle, net, key, value string) error {
	h.mu.Lock()
	p, err := h.linkOf(handle, net)
	if err == nil {
		err = p.settable(key, value)
	}
	if err != nil {
		h.mu.Unlock()
		return err
	}
	settings := map[string]string{}
	for k, v := range p.rec.Settings {
		settings[k] = v
	}
	settings[key] = value
	p.rec.Settings = settings
	p.expire()
	p.drowse()
	if !p.mayRest() {
		p.wake()
	}
	rec := p.rec
	h.db.Do(store.Now, func(tx *store.Tx) error { return tx.PutLink(rec) }, h.logged("link"))
	h.mu.Unlock()
	return h.db.Sync(ctx)
}

// linkOf finds a link; without a handle it is the gateway. The lock is held.
func (h *Hub) linkOf(handle, net string) (*port, error) {
	if handle == "" {
		return h.gateway(net)
	}
	a := h.accounts[canonical(handle)]
	if a == nil {
		return nil, noAccount(handle)
	}
	p := a.ports[net]
	if p == nil {
		return nil, fmt.Errorf("%s has no link to %s; nudge link add makes one", handle, net)
	}
	return p, nil
}

// RemoveLink ends a link and forgets its log-in data, its position and its
// contacts.
func (h *Hub) RemoveLink(ctx context.Context, handle, net string) error {
	if handle == "" {
		return noAccount(handle)
	}
	h.mu.Lock()
	p, err := h.linkOf(handle, net)
	h.mu.Unlock()
	if err != nil {
		return err
	}
	p.stop()
	h.mu.Lock()
	a := h.accounts[p.user]
	delete(a.ports, net)
	h.dropFiles(func(l *fileLink) bool { return l.Owner == a.key && l.Net == net })
	h.counted()
	for _, c := range a.contacts {
		if c.Net == net {
			a.gone(c)
		}
	}
	h.tidyPictures()
	user := a.key
	h.db.Do(store.Now, func(tx *store.Tx) error { return tx.DeleteLink(user, net) }, h.logged("link"))
	h.mu.Unlock()
	return h.db.Sync(ctx)
}

// Links lists the links of an account, or of all with an empty handle.
func (h *Hub) Links(handle string) []LinkInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []LinkInfo
	for _, a := range h.accounts {
		if handle != "" && a.key != canonical(handle) {
			continue
		}
		for _, p := range a.ports {
			all = append(all, p.info(a.rec.Handle))
		}
	}
	sort.Slice(all, func(i, j int) bool {
		return cmp.Or(cmp.Compare(all[i].Account, all[j].Account), cmp.Compare(all[i].Net, all[j].Net)) < 0
	})
	return all
}

func (p *port) info(account string) LinkInfo {
	l := LinkInfo{
		Account: account, Net: p.net, Fields: p.rec.Fields, Settings: p.rec.Settings,
		State: p.state.State, Text: p.state.Text, Since: p.since, Stuck: p.stuck, Resting: p.resting, Waiting: len(p.sends),
	}
	if p.question != nil {
		l.Question, l.Asked = p.question.Prompt, p.question.id
	}
	return l
}
