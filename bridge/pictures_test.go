package bridge

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// showing lets clients see pictures: "small " and what they are made of.
func (b *box) showing() {
	b.ShowPictures(func(_ context.Context, source []byte) ([]byte, error) {
		if strings.Contains(string(source), "no-picture") {
			return nil, errors.New("this is no picture")
		}
		return append([]byte("small "), source...), nil
	})
}

// viewer is a client that can show pictures.
func (b *box) viewer(handle string) (*Session, *sink) {
	b.t.Helper()
	k := &sink{proves: true}
	s := must(b.SignOn(handle, Client{Proto: "test", Pictures: true}, k))
	s.SetPresence(im.Presence{Status: im.Online}, "1")
	return s, k
}

// album is a box with bob on the lists of the accounts.
func album(b *box, handles ...string) {
	b.showing()
	b.wire.known = []im.Contact{{Person: wirePerson("bob@wire.test"), Follows: true, Followed: true}}
	for _, h := range handles {
		b.user(h)
		b.linked(h)
	}
}

func wears(avatar string) im.PresenceChanged {
	return im.PresenceChanged{Who: wirePerson("bob@wire.test"), Now: im.Presence{Status: im.Online, Avatar: avatar}}
}

// settle lets what is fetched come to the disk.
func settle() {
	time.Sleep(2 * time.Second)
	rest()
}

// pictures are what the client is shown of bob, in order: the names, "-" for none.
func (b *box) pictures(k *sink) (seen []string) {
	names := map[im.Picture]string{}
	for _, name := range []string{"a", "b", "c"} {
		png := "small bytes of " + name
		names[im.Picture{SHA1: sha1.Sum([]byte(png)), Size: len(png)}] = name
	}
	settle()
	for _, ev := range of[im.PresenceChanged](k.take()) {
		switch p := ev.Now.Picture; {
		case p == nil:
			seen = append(seen, "-")
		default:
			seen = append(seen, names[*p])
		}
	}
	return seen
}

func equalAll(t *testing.T, what string, have []string, want ...string) {
	t.Helper()
	if !slices.Equal(have, want) {
		t.Errorf("%s: %q, want %q", what, have, want)
	}
}

// TestPictures: a picture is told when the box has it, kept while the network says
// nothing else, and fetched once for everybody and for ever.
func TestPictures(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		album(b, "carol@hotmail.com", "alice@hotmail.com")
		_, k := b.viewer("alice@hotmail.com")
		b.pictures(k)
		b.in(wears("a"))
		equalAll(t, "at first", b.pictures(k), "-", "a")
		b.in(im.PresenceChanged{Who: wirePerson("bob@wire.test"), Now: im.Presence{Later: true}})
		equalAll(t, "off-line", b.pictures(k), "a")
		b.in(wears("b"))
		equalAll(t, "another", b.pictures(k), "a", "b")
		b.in(wears("c"), im.PresenceChanged{Who: wirePerson("bob@wire.test")})
		equalAll(t, "another, of somebody who left", b.pictures(k), "b", "b")
		b.in(wears("c"))
		equalAll(t, "back with it", b.pictures(k), "c")
		b.in(wears("b"))
		equalAll(t, "and the one before", b.pictures(k), "b")
		b.in(wears("no-picture"))
		equalAll(t, "one that is none", b.pictures(k), "b")
		b.in(wears("a"), wears("b"))
		equalAll(t, "back and forth", b.pictures(k), "a", "b")
		b.in(wears(""))
		equalAll(t, "taken away", b.pictures(k), "-")
		b.in(wears(strings.Repeat("x", maxAvatar+1)))
		equalAll(t, "with a long name", b.pictures(k), "-")
		equalAll(t, "fetched", b.wire.opened, "a", "b", "c", "no-picture")

		_, ck := b.viewer("carol@hotmail.com")
		b.pictures(ck)
		carols := b.wire.links[0]
		carols.in(t.Context(), wears("a"))
		equalAll(t, "somebody else", b.pictures(ck), "a")
		b.restart()
		b.showing()
		rest()
		_, k = b.viewer("alice@hotmail.com")
		b.pictures(k)
		for _, l := range b.wire.links[2:] {
			if l.user.ID == "alice@hotmail.com" {
				l.in(t.Context(), wears("b"))
			}
		}
		equalAll(t, "after a restart", b.pictures(k), "b")
		equalAll(t, "fetched in all", b.wire.opened, "a", "b", "c", "no-picture")
	})
}

// TestNoPictures: nothing is fetched for clients that could not show it, of people
// who are on no list, or again soon after it failed.
func TestNoPictures(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		album(b, "alice@hotmail.com")
		_, k := b.signOn("alice@hotmail.com")
		b.in(wears("a"))
		k.take()
		equalAll(t, "fetched for an old client", b.wire.opened)

		b.wire.set(func(w *wire) { w.shut = errors.New("the server is tired") })
		s, k := b.viewer("alice@hotmail.com")
		equalAll(t, "at sign-on", b.pictures(k), "-")
		b.in(im.PresenceChanged{Who: wirePerson("stranger@wire.test"), Now: im.Presence{Status: im.Online, Avatar: "c"}}, wears("a"), wears("b"))
		rest()
		equalAll(t, "fetched", b.wire.opened, "a", "b")
		b.wire.set(func(w *wire) { w.shut = nil })
		b.in(wears("a"), wears("b"))
		rest()
		equalAll(t, "fetched at once", b.wire.opened, "a", "b")
		time.Sleep(pictureWait)
		b.pictures(k)
		s.SetPresence(im.Presence{Status: im.Away}, "")
		b.in(wears("a"))
		equalAll(t, "after an hour", b.pictures(k), "-", "a")

		// When a link breaks meanwhile, the next is asked.
		hold := make(chan struct{})
		b.wire.set(func(w *wire) { w.hold = hold })
		b.in(wears("c"))
		synctest.Wait()
		b.wire.link().Close()
		time.Sleep(time.Minute)
		b.wire.set(func(w *wire) { w.hold = nil })
		close(hold)
		if seen := b.pictures(k); !slices.Contains(seen, "c") {
			t.Errorf("after the link came back: %q", seen)
		}
	})
}

// TestPictureOf: in a conversation the client gets the picture that bob shows and no
// other, from bob and nobody else.
func TestPictureOf(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		album(b, "alice@hotmail.com")
		b.user("dave@hotmail.com")
		s, k := b.viewer("alice@hotmail.com")
		b.viewer("dave@hotmail.com")
		b.in(wears("a"), wears("b"))
		b.pictures(k)
		sk := &sink{}
		seat := must(b.Open(must(s.Cookie()), "alice@hotmail.com", sk, func(im.Person) {}))
		a, now := sha1.Sum([]byte("small bytes of a")), sha1.Sum([]byte("small bytes of b"))
		if seat.Stands("bob@wire.test") || seat.Picture("bob@wire.test", now) != nil {
			t.Error("he is not there yet")
		}
		if err := seat.Call("bob@wire.test", func(uint32) {}); err != nil {
			t.Fatal(err)
		}
		if !seat.Stands("BOB@wire.test") || string(seat.Picture("Bob@wire.test", now)) != "small bytes of b" {
			t.Errorf("he shows %q", seat.Picture("Bob@wire.test", now))
		}
		for who, sum := range map[string][20]byte{"bob@wire.test": a, "dave@hotmail.com": now, "": now} {
			if png := seat.Picture(who, sum); png != nil {
				t.Errorf("%s shows %q", who, png)
			}
		}
		sk.take()
		seat.Hear("dave@hotmail.com", []byte("no"))
		seat.Hear("bob@wire.test", []byte("yes"))
		if evs := of[im.Message](sk.take()); len(evs) != 1 || string(evs[0].Raw) != "yes" || evs[0].From != wirePerson("bob@wire.test").Addr {
			t.Errorf("the client hears %+v", evs)
		}
		seat.Leave(false)
		seat.Hear("bob@wire.test", []byte("no"))
		if evs := sk.take(); len(evs) > 0 || seat.Stands("bob@wire.test") {
			t.Errorf("afterwards it hears %+v", evs)
		}
	})
}

// stored counts what lies on disk of pictures.
func (b *box) stored() (n int) {
	settle()
	if err := b.db.Sync(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.db.View(func(tx *store.Tx) error {
		for range tx.KV("", pictureSpace).Scan(nil) {
			n++
		}
		return nil
	})
	return n
}

// TestPicturesKept: only so many are kept, those that are shown, and none of whom
// nobody knows any more.
func TestPicturesKept(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		album(b, "alice@hotmail.com")
		_, k := b.viewer("alice@hotmail.com")
		for i := range maxPictures {
			b.in(wears(fmt.Sprint("p", i)))
			synctest.Wait()
		}
		if n := b.stored(); n != 2*maxPictures {
			t.Errorf("%d records for %d pictures", n, maxPictures)
		}
		b.pictures(k)
		b.in(wears("a"))
		equalAll(t, "one more", b.pictures(k)[1:], "a")
		if n := b.stored(); n != 2 {
			t.Errorf("%d records for one picture", n)
		}
		if err := b.RemoveLink(t.Context(), "alice@hotmail.com", "wire"); err != nil {
			t.Fatal(err)
		}
		if n := b.stored(); n != 0 {
			t.Errorf("%d records for nobody", n)
		}
	})
}
