package xmpp

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

const (
	nsPubSub        = "http://jabber.org/protocol/pubsub"
	nsPubSubEvent   = "http://jabber.org/protocol/pubsub#event"
	nsPubSubOptions = "http://jabber.org/protocol/pubsub#publish-options"
	nsPrivate       = "jabber:iq:private"
)

// shelf is where the rooms of an account are kept.
type shelf interface {
	// put keeps a room, drop forgets it. Both may be done twice.
	fetch(ctx context.Context) (map[stream.JID]bookmark, error)
	put(ctx context.Context, room string, b bookmark) error
	drop(ctx context.Context, room string, b bookmark) error
}

// bookmarks keeps rooms on the account's server: as XEP-0402 has it, or, where a
// client or server knows only that, as XEP-0048.
type bookmarks struct{ s *stream.Stream }

// fetch reads both; what a server does not have is empty.
func (s bookmarks) fetch(ctx context.Context) (map[stream.JID]bookmark, error) {
	found := map[stream.JID]bookmark{}
	old, err := s.private(ctx)
	if fatal(err) {
		return nil, err
	}
	if old != nil {
		for i := range old.Nodes {
			c := &old.Nodes[i]
			if room, b, ok := readBookmark(stream.Attr(c, "jid"), c); ok && c.XMLName.Local == "conference" {
				found[room] = b
			}
		}
	}
	n, err := s.s.Do(ctx, query(stanza.IQTypeGet, "", items(nsBookmarks, "")))
	if fatal(err) {
		return nil, err
	}
	kept := stream.Child(stream.Child(n, nsPubSub, "pubsub"), nsPubSub, "items")
	if kept != nil {
		for i := range kept.Nodes {
			item := &kept.Nodes[i]
			if room, b, ok := readBookmark(stream.Attr(item, "id"), stream.Child(item, nsBookmarks, "conference")); ok {
				found[room] = b
			}
		}
	}
	return found, nil
}

// private reads what XEP-0048 kept, nil when there is nothing.
func (s bookmarks) private(ctx context.Context) (*stanza.Node, error) {
	q := element(nsPrivate, "query")
	q.Nodes = []stanza.Node{element(nsOldBookmarks, "storage")}
	n, err := s.s.Do(ctx, query(stanza.IQTypeGet, "", q))
	return stream.Child(stream.Child(n, nsPrivate, "query"), nsOldBookmarks, "storage"), err
}

// rewrite puts one room into what XEP-0048 kept, or with nil takes it out, and leaves
// the rest as it is.
func (s bookmarks) rewrite(ctx context.Context, room string, c *stanza.Node) error {
	old, err := s.private(ctx)
	if err != nil {
		return err
	}
	storage := element(nsOldBookmarks, "storage")
	if old != nil {
		for _, n := range old.Nodes {
			if j, err := stream.ParseJID(stream.Attr(&n, "jid")); err != nil || j.String() != room {
				storage.Nodes = append(storage.Nodes, n)
			}
		}
	}
	if c != nil {
		storage.Nodes = append(storage.Nodes, *c)
	}
	q := element(nsPrivate, "query")
	q.Nodes = []stanza.Node{storage}
	_, err = s.s.Do(ctx, query(stanza.IQTypeSet, "", q))
	return err
}

func (s bookmarks) put(ctx context.Context, room string, b bookmark) error {
	c := b.conference(room)
	if b.old {
		return s.rewrite(ctx, room, &c)
	}
	form := element(nsForm, "x", "type", "submit")
	for _, f := range [][2]string{
		{"FORM_TYPE", nsPubSubOptions}, {"pubsub#persist_items", "true"}, {"pubsub#max_items", "max"},
		{"pubsub#send_last_published_item", "never"}, {"pubsub#access_model", "whitelist"},
	} {
		form.Nodes = append(form.Nodes, formField(f[0], f[1]))
	}
	options := element(nsPubSub, "publish-options")
	options.Nodes = []stanza.Node{form}
	q := publication(nsBookmarks, room, c)
	q.Nodes = append(q.Nodes, options)
	_, err := s.s.Do(ctx, query(stanza.IQTypeSet, "", q))
	var no *stream.StanzaError
	if errors.As(err, &no) { // the server has no such store, or not one that is private
		b.old = true
		c = b.conference(room)
		return s.rewrite(ctx, room, &c)
	}
	return err
}

// formField is one field of a form that is sent (XEP-0004).
func formField(name, value string) stanza.Node {
	f := element(nsForm, "field", "var", name)
	if name == "FORM_TYPE" {
		f = element(nsForm, "field", "var", name, "type", "hidden")
	}
	f.Nodes = []stanza.Node{words(nsForm, "value", value)}
	return f
}

func (s bookmarks) drop(ctx context.Context, room string, b bookmark) error {
	retract := element(nsPubSub, "retract", "node", nsBookmarks, "notify", "true")
	retract.Nodes = []stanza.Node{element(nsPubSub, "item", "id", room)}
	q := element(nsPubSub, "pubsub")
	q.Nodes = []stanza.Node{retract}
	if _, err := s.s.Do(ctx, query(stanza.IQTypeSet, "", q)); fatal(err) {
		return err
	}
	if err := s.rewrite(ctx, room, nil); fatal(err) { // what has none, has none to forget
		return err
	}
	return nil
}

// readBookmarkEvent reads what another client of the account changed (XEP-0402 §3.3):
// rooms to be in, and rooms not to be in any more.
func readBookmarkEvent(n *stanza.Node) (in map[stream.JID]bookmark, out []stream.JID, ok bool) {
	items := stream.Child(stream.Child(n, nsPubSubEvent, "event"), nsPubSubEvent, "items")
	if items == nil || stream.Attr(items, "node") != nsBookmarks {
		return nil, nil, false
	}
	in = map[stream.JID]bookmark{}
	for i := range items.Nodes {
		item := &items.Nodes[i]
		room, b, auto := readBookmark(stream.Attr(item, "id"), stream.Child(item, nsBookmarks, "conference"))
		switch {
		case auto:
			in[room] = b
		case !room.IsZero():
			out = append(out, room)
		}
	}
	return in, out, true
}

// Invitations wait for an answer longer than a link lives, and nobody repeats them:
// they are kept under this key and the room's address.
const invitedKey = "invited/"

// keptInvitation is what of one is on disk.
type keptInvitation struct {
	By       string `json:"by,omitempty"`
	Mediated bool   `json:"mediated,omitempty"`
	Words    string `json:"words,omitempty"`
	Password string `json:"password,omitempty"`
}

func (y *lobby) keepInvitation(v invitation) {
	k := keptInvitation{Mediated: v.mediated, Words: v.words, Password: v.password}
	if !v.by.IsZero() {
		k.By = v.by.String()
	}
	b, _ := json.Marshal(k) // strings always encode
	if err := y.kv.Update(func(tx im.Tx) error { return tx.Put([]byte(invitedKey+v.room.String()), b) }); err != nil {
		y.log.Warn("an invitation could not be remembered", "err", err)
	}
}

// answered notes that an invitation, if there was one, has its answer.
func (y *lobby) answered(bare string) *invitation {
	y.mu.Lock()
	v := y.asked[bare]
	delete(y.asked, bare)
	y.mu.Unlock()
	if v == nil {
		return nil
	}
	if err := y.kv.Update(func(tx im.Tx) error { return tx.Delete([]byte(invitedKey + bare)) }); err != nil {
		y.log.Warn("an answered invitation could not be forgotten", "err", err)
	}
	return v
}

// load reads the rooms on the list and the invitations.
func (y *lobby) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := y.shelf.fetch(ctx)
	if err != nil {
		return err
	}
	asked := map[string]*invitation{}
	err = y.kv.View(func(tx im.Tx) error {
		for key, value := range tx.Scan([]byte(invitedKey)) {
			var k keptInvitation
			room, err := stream.ParseJID(strings.TrimPrefix(string(key), invitedKey))
			if err != nil || json.Unmarshal(value, &k) != nil {
				continue
			}
			v := invitation{room: room, mediated: k.Mediated, words: k.Words, password: k.Password}
			v.by, _ = stream.ParseJID(k.By) // nobody
			asked[room.String()] = &v
		}
		return nil
	})
	if err != nil {
		return err
	}
	y.mu.Lock()
	y.asked = asked
	y.mu.Unlock()
	for room, b := range found {
		y.have(room, b)
	}
	return nil
}
