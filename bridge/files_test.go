package bridge

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nudge/bridge/im"
)

// pc is a client on a PC of that address.
func (b *box) pc(handle, address string) (*Session, *sink) {
	b.t.Helper()
	k := &sink{proves: true}
	s, err := b.SignOn(handle, Client{Proto: "test", Remote: address + ":1042", Local: "192.168.1.20:1863"}, k)
	if err != nil {
		b.t.Fatal(err)
	}
	s.SetPresence(im.Presence{Status: im.Online}, "1")
	return s, k
}

func sends(id, name string) im.Message {
	m := says(id, "bob@wire.test", "look")
	m.File = &im.File{Ref: "ref-" + name, Name: name, Type: "image/png", Size: 5}
	return m
}

// link opens a conversation with bob for the client and takes the link out of what
// bob says.
func (b *box) link(s *Session, k *sink, m im.Message) (token string) {
	b.t.Helper()
	b.in(m)
	for _, ev := range k.take() {
		inv, ok := ev.(im.Invitation)
		if !ok {
			continue
		}
		seat := &sink{proves: true}
		if _, err := b.Answer(inv.Cookie, s.Person().ID, inv.Session, seat, func(im.Person, []im.Membership) {}); err != nil {
			b.t.Fatal(err)
		}
		return b.linkIn(seat)
	}
	b.t.Fatal("the client is not called")
	return ""
}

func (b *box) linkIn(seat *sink) string {
	b.t.Helper()
	for _, text := range seat.texts() {
		rest, ok := strings.CutPrefix(text, "http://192.168.1.20/m/")
		token, caption, _ := strings.Cut(rest, "\n")
		if ok && caption == "look" && len(token) == 16 {
			return token
		}
		b.t.Errorf("the client shows %q", text)
	}
	b.t.Fatal("there is no link")
	return ""
}

func (b *box) offering() {
	b.OfferFiles(func(local string) string { return "http://" + strings.TrimSuffix(local, ":1863") + "/m/" })
}

var (
	here  = netip.MustParseAddr("192.168.1.30")
	there = netip.MustParseAddr("192.168.1.31")
)

func (b *box) opens(token string, from netip.Addr) error {
	_, err := b.LinkedFile(token, from)
	r, second := b.OpenFile(b.t.Context(), token, from)
	if second != nil {
		return second
	}
	if text, _ := io.ReadAll(r); err == nil && string(text) != "bytes of ref-a.png" {
		err = errors.New(string(text))
	}
	return errors.Join(err, r.Close())
}

// TestFileLinks: a link opens on the PC that it was made for and where the account
// is signed on, for as long as it is good, over a restart too.
func TestFileLinks(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.offering()
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		s, k := b.pc("alice@hotmail.com", here.String())
		token := b.link(s, k, sends("1", "a.png"))
		if f, err := b.LinkedFile(token, here); err != nil || f.Name != "a.png" || f.Account != "alice@hotmail.com" || f.From == "" {
			t.Errorf("it leads to %+v, %v", f, err)
		}
		try := func(when string, from netip.Addr, want error) {
			t.Helper()
			if err := b.opens(token, from); !errors.Is(err, want) {
				t.Errorf("%s, from %v: %v, want %v", when, from, err, want)
			}
		}
		try("at once", here, nil)
		try("at once", there, ErrFileElsewhere)
		try("at once", netip.Addr{}, ErrFileElsewhere)
		if err := b.opens("abcdefghijklmnop", here); !errors.Is(err, ErrFileGone) {
			t.Errorf("a guess: %v", err)
		}
		s.Close()
		s, _ = b.pc("alice@hotmail.com", there.String())
		try("moved", there, nil)
		s.Close()
		b.restart()
		rest()
		try("after a restart", here, nil)
		try("after a restart", there, ErrFileElsewhere)
		b.wire.set(func(w *wire) { w.down = true })
		b.wire.link().Close()
		rest()
		try("without the network", here, ErrFileAway)
		time.Sleep(DefaultFileHours*time.Hour + time.Minute)
		try("later", here, ErrFileGone)
	})
}

func TestFileLinksGoWithTheAccount(t *testing.T) {
	for name, remove := range map[string]func(*box) error{
		"link":    func(b *box) error { return b.RemoveLink(b.t.Context(), "alice@hotmail.com", "wire") },
		"account": func(b *box) error { return b.RemoveAccount(b.t.Context(), "alice@hotmail.com") },
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(t *testing.T, b *box) {
				b.offering()
				b.SetFileHours("48")
				b.user("alice@hotmail.com")
				b.linked("alice@hotmail.com")
				s, k := b.pc("alice@hotmail.com", here.String())
				token := b.link(s, k, sends("1", "a.png"))
				time.Sleep(47 * time.Hour)
				if err := b.opens(token, here); err != nil {
					t.Errorf("after 47 hours of 48: %v", err)
				}
				if err := remove(b); err != nil {
					t.Fatal(err)
				}
				if err := b.opens(token, here); !errors.Is(err, ErrFileGone) {
					t.Errorf("removed: %v", err)
				}
				b.restart()
				if len(b.files) != 0 {
					t.Errorf("%d links came back", len(b.files))
				}
			})
		})
	}
}

// TestManyFileLinks: who sends files without end ends the oldest links.
func TestManyFileLinks(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		b.offering()
		b.user("alice@hotmail.com")
		b.linked("alice@hotmail.com")
		s, k := b.pc("alice@hotmail.com", here.String())
		first := b.link(s, k, sends("0", "a.png"))
		time.Sleep(time.Minute)
		for i := range maxFileLinks {
			b.in(sends(fmt.Sprint("more ", i), "a.png"))
		}
		rest()
		if err := b.opens(first, here); !errors.Is(err, ErrFileGone) || len(b.files) != maxFileLinks {
			t.Errorf("the oldest of %d: %v", len(b.files), err)
		}
		time.Sleep((DefaultFileHours + 1) * time.Hour)
		b.in(sends("last", "a.png"))
		rest()
		if len(b.files) != 1 {
			t.Errorf("%d links are kept that are over", len(b.files)-1)
		}
	})
}

// TestNoLinks: a box without pages says only that there is a file.
func TestNoLinks(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		_, k := guestSeat(t, b)
		b.in(sends("1", "a.png"))
		ms := of[im.Message](k.take())
		if len(ms) != 1 || ms[0].Text != "look" || ms[0].File == nil || len(b.files) != 0 {
			t.Errorf("the client gets %+v", ms)
		}
	})
}
