package xmpp

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// resident is one account on the component. Guarded by component.mu, but user and
// jid never change.
type resident struct {
	user im.Addr
	jid  stream.JID // full
	memory
	wanted im.Presence // what the account shows
	idle   time.Time   // since when, when it shows that
	shown  bool        // the hub has said so
	owed   map[string][]owed
	met    map[string]bool // on other boxes, who took something on this connection
	lobby  *lobby
}

// resident finds an account by its handle. Whoever is not an account, or has an
// address of its own on XMPP, is none.
func (k *component) resident(handle string) (*resident, im.Account, bool) {
	acct, ok := k.host.Account(handle)
	if !ok {
		return nil, acct, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.residents[acct.ID]
	if r == nil {
		r = &resident{user: im.Addr{ID: acct.ID}, jid: address(acct.ID, k.domain), memory: newMemory(), owed: map[string][]owed{}, met: map[string]bool{}}
		r.jid.Resource = device
		r.lobby = k.newLobby(r)
		k.residents[acct.ID] = r
	}
	return r, acct, true
}

// kept is what of a contact is on disk, under contactKey and his bare JID.
type kept struct {
	Listed bool     `json:"listed,omitempty"` // the user has him on the list
	Sub    string   `json:"sub,omitempty"`
	Ask    bool     `json:"ask,omitempty"`
	Asked  bool     `json:"asked,omitempty"`
	Groups []string `json:"groups,omitempty"`
}

const contactKey = "contact/"

// change is what is to be written of one contact; nil: nothing is to be kept.
type change struct {
	user im.Addr
	bare string
	data []byte
}

// load reads who may see whom.
func (k *component) load() error {
	for acct := range k.host.Accounts() {
		r, _, ok := k.resident(acct.ID)
		if !ok {
			continue
		}
		err := k.host.KV(r.user).View(func(tx im.Tx) error {
			k.mu.Lock()
			defer k.mu.Unlock()
			for key, value := range tx.Scan([]byte(contactKey)) {
				var s kept
				if err := json.Unmarshal(value, &s); err != nil {
					k.log.Warn("a contact of the component can't be read", "account", r.user.ID, "err", err)
					continue
				}
				c := r.contact(strings.TrimPrefix(string(key), contactKey))
				c.listed, c.sub, c.ask, c.asked, c.groups = s.Listed, s.Sub, s.Ask, s.Asked, s.Groups
			}
			return nil
		})
		if err == nil {
			err = k.loadRooms(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// changed notes that a contact is to be written. The lock is held.
func (k *component) changed(r *resident, bare string) {
	c := r.contact(bare)
	ch := change{user: r.user, bare: bare}
	if s := (kept{c.listed, c.sub, c.ask, c.asked, c.groups}); s.Listed || s.Sub != "none" || s.Ask || s.Asked {
		ch.data, _ = json.Marshal(s) // strings and bools: it can't fail
	}
	k.unsaved = append(k.unsaved, ch)
}

// save returns when everything noted before is written. Whoever comes first
// writes for those who wait.
func (k *component) save(ctx context.Context) error {
	select {
	case k.saving <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-k.saving }()
	k.mu.Lock()
	all := k.unsaved
	k.unsaved = nil
	k.mu.Unlock()
	for len(all) > 0 {
		user := all[0].user
		n := slices.IndexFunc(all, func(c change) bool { return c.user != user })
		if n < 0 {
			n = len(all)
		}
		if err := k.host.KV(user).Update(func(tx im.Tx) error { return put(tx, all[:n]) }); err != nil {
			k.fail(err) // the next link reads what is on disk
			return err
		}
		all = all[n:]
	}
	return nil
}

func put(tx im.Tx, changes []change) error {
	for _, c := range changes {
		key := []byte(contactKey + c.bare)
		var err error
		if c.data == nil {
			err = tx.Delete(key)
		} else {
			err = tx.Put(key, c.data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// moveOut ends what somebody had here who was removed, or has an address of its
// own now.
func (k *component) moveOut(ctx context.Context, user im.Addr) error {
	k.mu.Lock()
	r := k.residents[user.ID]
	delete(k.residents, user.ID)
	var out []hail
	if r != nil {
		for bare, c := range r.contacts {
			if c.seenBy() || c.asked {
				out = append(out, hail{r, unavailable, bare}, hail{r, unsubscribed, bare})
			}
			if c.sees() || c.ask {
				out = append(out, hail{r, unsubscribe, bare})
			}
			*c = contact{sub: "none"}
			k.changed(r, bare)
		}
	}
	k.mu.Unlock()
	if err := k.save(ctx); err != nil {
		return err
	}
	k.send(out...)
	if r == nil {
		return nil
	}
	return r.lobby.clear(ctx)
}

// hail is a presence to one contact that says nothing but its type.
type hail struct {
	by  *resident
	typ stanza.StanzaType
	to  string
}

// The types that are needed most.
const (
	unavailable  = stanza.PresenceTypeUnavailable
	probing      = stanza.PresenceTypeProbe
	subscribe    = stanza.PresenceTypeSubscribe
	subscribed   = stanza.PresenceTypeSubscribed
	unsubscribe  = stanza.PresenceTypeUnsubscribe
	unsubscribed = stanza.PresenceTypeUnsubscribed
)

// send sends presence; when the line breaks all of it is made anew.
// Subscriptions are between bare addresses.
func (k *component) send(all ...hail) {
	for _, h := range all {
		from := h.by.jid
		if h.typ != unavailable {
			from = from.Bare()
		}
		k.s.Send(stanza.NewPresence(stanza.Attrs{Type: h.typ, From: from.String(), To: h.to}), nil)
	}
}
