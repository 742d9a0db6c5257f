package xmpp

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// What the account publishes about itself (XEP-0163), as its settings allow. Its nodes
// are open to whom the user or his server opened them: by default to contacts that may
// see the account.

// Keys of the settings.
const (
	tuneKey = "tune"
	nickKey = "nick"
)

var (
	tuneField = im.Field{Key: tuneKey, Label: "Publish what is playing", Help: "Contacts who may see the account learn what is playing in a way that their apps take for music; without, by the note only.",
		Default: "yes", Choices: []string{"yes", "no"}}
	nickField = im.Field{Key: nickKey, Label: "Publish the name", Help: "The name that you have in Messenger becomes the nickname of the account, in your other apps too.",
		Default: "no", Choices: []string{"no", "yes"}}
)

// worn is what the account has published on this link. Guarded by link.mu.
type worn struct {
	tune, nick string
	picture    [sha1.Size]byte
	there      bool // the picture
}

// publication puts something on a node of the account (XEP-0060 §7.1).
func publication(node, id string, payload stanza.Node) stanza.Node {
	it := element(nsPubSub, "item", "id", id)
	it.Nodes = []stanza.Node{payload}
	publish := element(nsPubSub, "publish", "node", node)
	publish.Nodes = []stanza.Node{it}
	q := element(nsPubSub, "pubsub")
	q.Nodes = []stanza.Node{publish}
	return q
}

// items asks for what is on a node, with an id for that one (XEP-0060 §6.5).
func items(node, id string) stanza.Node {
	all := element(nsPubSub, "items", "node", node)
	if id != "" {
		all.Nodes = []stanza.Node{element(nsPubSub, "item", "id", id)}
	}
	q := element(nsPubSub, "pubsub")
	q.Nodes = []stanza.Node{all}
	return q
}

// item is the first one in the answer, nil when there is none.
func item(n *stanza.Node) *stanza.Node {
	return stream.Child(stream.Child(stream.Child(n, nsPubSub, "pubsub"), nsPubSub, "items"), nsPubSub, "item")
}

// play publishes what is playing, if that may be, or with "" that it is over.
func (l *link) play(media string) {
	if !l.has.eventing || l.ctx.Err() != nil || l.host.Setting(l.user, tuneKey) == "no" {
		media = ""
	}
	l.plays(media)
}

// plays publishes it when it is news. Nobody waits for the answer: where it can't be done
// contacts have the note.
func (l *link) plays(media string) {
	l.mu.Lock()
	same := l.worn.tune == media
	l.worn.tune = media
	l.mu.Unlock()
	if !same {
		l.sendTune(media)
	}
}

func (l *link) sendTune(media string) {
	// The name of the item tells ours from what another device of the account plays.
	iq := query(stanza.IQTypeSet, "", publication(nsTune, l.me.Resource, tune(media)))
	iq.Id = rand.Text()
	l.s.Send(iq, nil)
}

// reminded takes what the server says that the account itself published. A tune that
// this link does not know is of one that broke: it is over.
func (l *link) reminded(e event) {
	l.mu.Lock()
	playing := l.worn.tune != ""
	l.mu.Unlock()
	if e.node == nsTune && e.item == l.me.Resource && !playing && e.payload != nil && readTune(e.payload) != "" {
		l.sendTune("")
	}
}

// publish puts something on a node of the account.
func (l *link) publish(node, id string, payload stanza.Node) error {
	_, err := l.ask(query(stanza.IQTypeSet, "", publication(node, id, payload)))
	return err
}

// own is what the account has on a node, nil when there is nothing.
func (l *link) own(node string) (*stanza.Node, error) {
	n, err := l.ask(query(stanza.IQTypeGet, "", items(node, "")))
	if fatal(err) {
		return nil, err
	}
	return item(n), nil
}

// publishNick gives the account the name that it has in Messenger, if it is to have that.
// What it has is asked for once: nobody is told the same again.
func (l *link) publishNick() error {
	acct, ok := l.host.Account(l.user.ID)
	name := im.OneLine(acct.Name)
	l.mu.Lock()
	was := l.worn.nick
	l.mu.Unlock()
	if !ok || name == "" || name == was || !l.has.eventing || l.host.Setting(l.user, nickKey) != "yes" {
		return nil
	}
	had, err := l.own(nsNick)
	if err == nil && stream.Text(had, nsNick, "nick") != name {
		err = l.publish(nsNick, current, words(nsNick, "nick", name))
	}
	return l.publishedAs(err, "nick", func(w *worn) { w.nick = name })
}

// current is the name of the one item on a node that has no more (XEP-0060 §12.20).
const current = "current"

// publishedAs notes that something was published, or that it can't be: it is not tried again
// on this link.
func (l *link) publishedAs(err error, what string, note func(*worn)) error {
	if fatal(err) {
		return err
	}
	if err != nil {
		l.log.Info("the server does not let the account publish something", "what", what, "err", err)
	}
	l.mu.Lock()
	note(&l.worn)
	l.mu.Unlock()
	return nil
}

// publishPicture makes the picture of the account in Messenger that of the account, if it
// is to be so: published, and where the server does not do that itself (XEP-0398), in the
// vCard. Before presence, which has the check sum of the latter.
func (l *link) publishPicture(p *im.Picture) error {
	if p == nil || !l.has.eventing || l.host.Setting(l.user, im.OwnPicture) != "yes" {
		return nil
	}
	l.mu.Lock()
	same := l.worn.picture == p.SHA1
	l.mu.Unlock()
	if same {
		return nil
	}
	png := l.host.Picture(l.user)
	if sha1.Sum(png) != p.SHA1 {
		return nil
	}
	hash := hex.EncodeToString(p.SHA1[:])
	had, err := l.own(nsAvatar)
	if err == nil && readMetadata(stream.Child(had, nsAvatar, "metadata")) != hash { // XEP-0084 §3.1, §3.2
		if err = l.publish(nsAvatarData, hash, pictureData(png)); err == nil {
			err = l.publish(nsAvatar, hash, metadata(hash, len(png)))
		}
	}
	if err == nil && !l.has.conversion {
		err = l.putPhoto(hash, png)
	}
	return l.publishedAs(err, "picture", func(w *worn) { w.picture, w.there = p.SHA1, err == nil })
}

// dressed is the account's presence, with the check sum of the picture that it has.
func (l *link) dressed(p im.Presence, idle time.Time) stanza.Presence {
	out := composePresence(p, idle)
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.Picture != nil && l.worn.there && l.worn.picture == p.Picture.SHA1 {
		out.Extensions = append(out.Extensions, pictureUpdate(p.Picture))
	}
	return out
}

// putPhoto puts a picture into the account's vCard, and leaves the rest of it as it is. A
// vCard that can't be read is left alone.
func (l *link) putPhoto(hash string, png []byte) error {
	n, err := l.ask(query(stanza.IQTypeGet, "", element(nsVCard, "vCard")))
	var no *stream.StanzaError
	none := errors.As(err, &no) && no.Condition == "item-not-found"
	if err != nil && !none {
		return err
	}
	old := stream.Child(n, nsVCard, "vCard")
	if _, has := picture(n); has == hash || old == nil && !none {
		return nil
	}
	card := element(nsVCard, "vCard")
	if old != nil {
		card.Nodes = slices.DeleteFunc(old.Nodes, func(c stanza.Node) bool { return c.XMLName.Local == "PHOTO" })
	}
	card.Nodes = append(card.Nodes, photo(png))
	_, err = l.ask(query(stanza.IQTypeSet, "", card))
	return err
}
