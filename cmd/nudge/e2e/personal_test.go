package e2e

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"image/color"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// What slixmpp publishes by its server (XEP-0163) is seen in the client, and the other way
// round.

// published waits until bob's server tells him of what the account published, with all
// parts in it.
func (x *xmppPeer) published(ctx context.Context, from int, by person, kind string, parts ...string) error {
	_, err := x.find(ctx, from, func(e peerEvent) bool {
		if e.Ev != "published" || e.Type != kind || e.Frm != by.ID {
			return false
		}
		for _, p := range parts {
			if !strings.Contains(e.XML, p) {
				return false
			}
		}
		return true
	})
	if err != nil {
		err = fmt.Errorf("bob is told of no %s with %q: %w", kind, parts, err)
	}
	return err
}

// tuneIn lets bob hear something, and then nothing.
func (sc *roomScene) tuneIn(t *testing.T) {
	if !sc.version.Note() {
		return // the old clients show it nowhere
	}
	for _, c := range []struct{ artist, title, want string }{{"Yes", "Roundabout", "Yes – Roundabout"}, {want: ""}} {
		from := sc.client.Log.Len()
		heard := op{"op": "tune"}
		if c.want != "" {
			heard["artist"], heard["title"] = c.artist, c.title
		}
		sc.bob.do(t, heard)
		_, err := sc.client.Log.Wait(waiting(t, patience), from, func(e msnclient.Event) bool {
			who, _, media, ok := e.Note()
			return ok && is(who, sc.bob.me) && strings.Contains(media, c.want) && (c.want != "" || media == "")
		})
		check(t, err)
	}
}

// What the client says that it plays, and what a peer gets when that is over.
const (
	aTune  = `\0Music\01\0{0} - {1}\0Fragile\0Yes\0\0\0`
	noTune = `<tune xmlns="http://jabber.org/protocol/tune" />`
)

// tuneOut lets bob's server tell him what the client plays, that it stopped, and, when the
// account signs off while it plays, that too.
func (sc *roomScene) tuneOut(t *testing.T) {
	if !sc.version.Note() {
		return // these clients tell nobody what they play
	}
	for _, over := range []func() error{
		func() error { return sc.client.SetNote(t.Context(), "", "") },
		func() error { return sc.client.SetStatus(t.Context(), "HDN") },
	} {
		mark := sc.bob.Mark()
		check(t, sc.client.SetNote(t.Context(), "", aTune))
		check(t, sc.bob.published(waiting(t, patience), mark, sc.me, "user_tune", "<artist>Yes</artist>", "<title>Fragile</title>"))
		mark = sc.bob.Mark()
		check(t, over())
		check(t, sc.bob.published(waiting(t, patience), mark, sc.me, "user_tune", noTune))
	}
	check(t, sc.client.SetNote(t.Context(), "", ""))
	mark := sc.bob.Mark()
	check(t, sc.client.SetStatus(t.Context(), "NLN"))
	check(t, sc.bob.Sees(waiting(t, patience), mark, "online"))
}

// nickPublished lets bob give himself a nick, and another.
func (sc *roomScene) nickPublished(t *testing.T) { sc.seesNick(t, sc.bob) }

// stepNick is that for an account on a component.
func (sc *scene) stepNick(t *testing.T) { sc.seesNick(t, sc.bob.(*xmppPeer)) }

func (sc *scene) seesNick(t *testing.T, bob *xmppPeer) {
	for _, nick := range []string{"Bob the Baker", "Bob"} {
		from := sc.client.Log.Len()
		bob.do(t, op{"op": "nick", "nick": nick})
		_, err := sc.client.Log.Wait(waiting(t, patience), from, func(e msnclient.Event) bool {
			who, _, name := e.Presence()
			return is(who, bob.me) && (name == nick || strings.HasPrefix(name, nick+" - "))
		})
		check(t, err)
	}
}

// nickOut lets the user choose a name, once it is to be that of the account.
func (sc *roomScene) nickOut(t *testing.T) {
	mark := sc.bob.Mark()
	sc.set(t, "xmpp", "nick", "yes")
	check(t, sc.client.Rename(t.Context(), "Alice in the kitchen"))
	check(t, sc.bob.published(waiting(t, patience), mark, sc.me, "user_nick", "Alice in the kitchen"))
	sc.set(t, "xmpp", "nick", "no")
	check(t, sc.client.Rename(t.Context(), "Alice"))
}

// stepPublishedPicture lets bob publish a picture; on Matrix there is one way only.
func (sc *scene) stepPublishedPicture(t *testing.T) {
	yellow := color.RGBA{200, 200, 0, 255}
	bob, is := sc.bob.(*xmppPeer)
	if !is {
		sc.wears(t, yellow)
		return
	}
	from := sc.client.Log.Len()
	bob.do(t, op{"op": "avatar", "png": base64.StdEncoding.EncodeToString(avatar(t, yellow))})
	sc.seesPicture(t, from, yellow)
}

// stepOwnPicture makes the picture of the client that of the user's own account: bob finds
// it in the profile or vCard, and on XMPP is told of it and finds it where it is published.
func (sc *scene) stepOwnPicture(t *testing.T) {
	bob, is := sc.bob.(*xmppPeer)
	if !is {
		sc.set(t, "matrix", "picture", "yes")
		sc.stepPictureOut(t)
		return
	}
	bob.Show(t, "online") // what was raw did not say what he wants to be told of
	mark := bob.Mark()
	sc.set(t, "xmpp", "picture", "yes")
	sc.stepPictureOut(t)
	check(t, bob.published(waiting(t, patience), mark, sc.me, "avatar_metadata", "image/png"))
	picture := bob.looks(t, sc.me)
	check(t, bob.published(waiting(t, patience), mark, sc.me, "avatar_metadata", fmt.Sprintf("%x", sha1.Sum(picture))))
}

// looks is the picture that somebody published.
func (x *xmppPeer) looks(t *testing.T, who person) []byte {
	t.Helper()
	e := x.do(t, op{"op": "ask", "to": who.ID, "type": "get", "xml": "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub>"})
	_, rest, _ := strings.Cut(e.XML, `<data xmlns="urn:xmpp:avatar:data">`)
	text, _, _ := strings.Cut(rest, "</data>")
	picture, err := base64.StdEncoding.DecodeString(text)
	check(t, err)
	if len(picture) == 0 {
		t.Fatalf("%s has published no picture: %s", who.ID, e.XML)
	}
	return picture
}

// stepTuneOver kills the box while the client plays something: the next one says that it is
// over.
func (sc *scene) stepTuneOver(t *testing.T) {
	bob, is := sc.bob.(*xmppPeer)
	if !is || !sc.version.Note() {
		return
	}
	mark := bob.Mark()
	check(t, sc.client.SetNote(t.Context(), "", aTune))
	check(t, bob.published(waiting(t, patience), mark, sc.me, "user_tune", "<title>Fragile</title>"))
	check(t, sc.box.Kill())
	sc.client.Close()
	check(t, sc.box.Start())
	mark = bob.Mark()
	sc.signIn(sc.test, "NLN")
	check(t, bob.published(waiting(t, patience), mark, sc.me, "user_tune", noTune))
}
