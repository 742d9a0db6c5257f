package bridge

import (
	"context"
	"crypto/sha1"
	"testing"
	"testing/synctest"

	"nudge/bridge/im"
	"nudge/store"
)

// wearing shows what a client says that it shows of itself.
func wearing(s *Session, source string) {
	p := &im.Picture{SHA1: sha1.Sum([]byte(source)), Size: len(source)}
	s.SetPresence(im.Presence{Status: im.Online, Object: "object%20of%20" + source, Picture: p}, "")
}

// worn is the picture of alice that a network was told of last, "-" for none; nothing
// when it was told of none since the test asked.
func (w *wire) worn() (out []string) {
	settle()
	for _, ev := range of[im.PresenceChanged](w.sent()) {
		what := "-"
		if ev.Now.Picture != nil {
			png := string(w.link().host.Picture(im.Addr{ID: "Alice@hotmail.com"}))
			if what = png; sha1.Sum([]byte(png)) != ev.Now.Picture.SHA1 || len(png) != ev.Now.Picture.Size {
				what = "not " + png
			}
		}
		out = []string{what}
	}
	return out
}

// TestOwnPicture: what a client shows of itself is wanted in a conversation with
// somebody who is reached by a gateway, and given to that; once, and for ever.
func TestOwnPicture(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.showing()
		b.user("alice@hotmail.com")
		if err := b.AddGateway(t.Context(), "wire", map[string]string{"name": "x"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s, _ := b.viewer("alice@hotmail.com")
		must(s.Add(t.Context(), FL, "bob@wire.test", 0))
		seat := must(b.Open(must(s.Cookie()), "alice@hotmail.com", &sink{}, func(im.Person) {}))
		wants := func(what, object string) {
			t.Helper()
			got, by, ok := seat.Wanted()
			if ok != (object != "") || got != object || ok && by != "bob@wire.test" {
				t.Errorf("%s %s wants %q, %v", what, by, got, ok)
			}
		}
		wearing(s, "me")
		wants("alone", "")
		if err := seat.Call("bob@wire.test", func(uint32) {}); err != nil {
			t.Fatal(err)
		}
		wants("in a conversation", "object%20of%20me")
		equalAll(t, "before", b.gate.worn(), "-")
		seat.Wear([]byte("no-picture"))
		equalAll(t, "what is none", b.gate.worn())
		seat.Wear([]byte("me"))
		equalAll(t, "given", b.gate.worn(), "small me")
		wants("now that the box has it", "")
		s.SetPresence(im.Presence{Status: im.Away}, "")
		equalAll(t, "taken off", b.gate.worn(), "-")
		wants("of nothing", "")
		wearing(s, "other")
		wants("of another", "object%20of%20other")
		wearing(s, "me")
		equalAll(t, "put on again", b.gate.worn(), "small me")

		b.restart()
		b.showing()
		rest()
		s, _ = b.viewer("alice@hotmail.com")
		wearing(s, "me")
		equalAll(t, "after a restart", b.gate.worn(), "small me")
		if n := b.stored(); n != 0 {
			t.Errorf("%d records lie with those of contacts", n)
		}
	})
}

// TestOwnPictureOfNobody: of an account that is removed while its picture is made
// small nothing is kept.
func TestOwnPictureOfNobody(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		album(b, "alice@hotmail.com")
		made := make(chan struct{})
		b.ShowPictures(func(_ context.Context, source []byte) ([]byte, error) {
			<-made
			return source, nil
		})
		s, _ := b.viewer("alice@hotmail.com")
		must(b.Open(must(s.Cookie()), "alice@hotmail.com", &sink{}, func(im.Person) {})).Wear([]byte("me"))
		synctest.Wait()
		if err := b.RemoveAccount(t.Context(), "alice@hotmail.com"); err != nil {
			t.Fatal(err)
		}
		close(made)
		settle()
		b.db.View(func(tx *store.Tx) error {
			for k := range tx.KV("alice@hotmail.com", pictureSpace).Scan(nil) {
				t.Errorf("%q is kept", k)
			}
			return nil
		})
	})
}

// TestOwnPictureStays: an account of the user's own has the picture that he gave it, until
// he sets that it is to have that of his client.
func TestOwnPictureStays(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		album(b, "alice@hotmail.com")
		s, _ := b.viewer("alice@hotmail.com")
		wearing(s, "me")
		seat := must(b.Open(must(s.Cookie()), "alice@hotmail.com", &sink{}, func(im.Person) {}))
		if err := seat.Call("bob@wire.test", func(uint32) {}); err != nil {
			t.Fatal(err)
		}
		if object, by, ok := seat.Wanted(); ok {
			t.Errorf("%s wants %q", by, object)
		}
		if err := b.SetLink(t.Context(), "alice@hotmail.com", "wire", im.OwnPicture, "yes"); err != nil {
			t.Fatal(err)
		}
		if _, by, ok := seat.Wanted(); !ok || by != "bob@wire.test" {
			t.Errorf("%q wants it: %v", by, ok)
		}
		b.wire.worn()
		seat.Wear([]byte("me"))
		equalAll(t, "given", b.wire.worn(), "small me")
	})
}
