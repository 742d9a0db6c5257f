package bridge

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// What a contact on a network shows of himself (im.Presence.Avatar) is fetched when
// there is a client that can show it, made small, and kept on disk. His presence is
// told a second time then, with the picture. Failures are quiet: he has none.

// avatar names a picture on a network.
type avatar struct{ net, ref string }

// shelved is a picture that the box has, or knows that it can't have now.
type shelved struct {
	*im.Picture           // nil: none, or it is under way
	again       time.Time // then: not to be tried before
}

// wish is a picture to be fetched over a link, for one of its users.
type wish struct {
	avatar
	user im.Addr
}

const (
	maxPictures = 1000     // on disk; one has about 20 kB
	maxPicture  = 64 << 10 // bytes
	maxSource   = 5 << 20  // bytes of what it is made of
	maxAvatar   = 1 << 10  // bytes of a reference
	pictureTime = time.Minute
	pictureWait = time.Hour // after a failure
)

// pictureSpace is where pictures lie in the store, beside what the gateways to
// networks keep: no network has that name. The key of one is pngKey and its check
// sum, that of its check sum and size avatarKey and its name.
const (
	pictureSpace = ".pictures"
	pngKey       = "png "
	avatarKey    = "avatar "
)

func (p avatar) key() []byte { return []byte(avatarKey + p.net + " " + p.ref) }

func keyOf(p *im.Picture) []byte { return append([]byte(pngKey), p.SHA1[:]...) }

// ShowPictures begins to show clients the pictures of people on networks. portrait
// makes of any picture a PNG of 96 by 96 points; it may take its time. Call it before
// clients are let in.
func (h *Hub) ShowPictures(portrait func(ctx context.Context, source []byte) (png []byte, err error)) {
	h.portrait = portrait
}

// loadPictures reads which pictures there are.
func (h *Hub) loadPictures(tx *store.Tx) {
	for k, v := range tx.KV("", pictureSpace).Scan([]byte(avatarKey)) {
		net, ref, _ := strings.Cut(string(k[len(avatarKey):]), " ")
		if len(v) != sha1.Size+4 {
			h.log.Warn("the record of a picture can't be read", "net", net)
			continue
		}
		p := &im.Picture{Size: int(binary.BigEndian.Uint32(v[sha1.Size:]))}
		copy(p.SHA1[:], v)
		h.shelf[avatar{net, ref}] = shelved{Picture: p}
	}
}

// showsAvatar takes in which picture c shows now. Until another one is there he
// keeps the last. The lock is held.
func (h *Hub) showsAvatar(c *contact) {
	if s := h.shelf[avatar{c.Net, c.now.Avatar}]; s.Picture != nil || c.now.Avatar == "" {
		c.picture = s.Picture
	}
}

// wishFor has the picture of c fetched when the box has none. The lock is held.
func (a *account) wishFor(c *contact) {
	h := a.hub
	if h.portrait == nil || h.closed || c.Net == "" || c.now.Avatar == "" || len(c.now.Avatar) > maxAvatar {
		return
	}
	p, name := a.port(c.Net), avatar{c.Net, c.now.Avatar}
	if s, tried := h.shelf[name]; p == nil || !p.up || tried && (s.Picture != nil || time.Now().Before(s.again)) {
		return
	}
	if len(h.shelf) >= maxPictures && time.Since(h.tidied) >= pictureWait {
		h.tidyPictures()
	}
	if len(h.shelf) >= maxPictures {
		return
	}
	h.shelf[name] = shelved{again: time.Now().Add(pictureWait)}
	if p.wishes = append(p.wishes, wish{name, a.addr()}); len(p.wishes) == 1 {
		h.wg.Go(p.fetchPictures)
	}
}

// fetchPictures fetches what is wished for, one after the other.
func (p *port) fetchPictures() {
	h := p.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(p.wishes) > 0 && !h.closed {
		w, link := p.wishes[0], p.link
		h.mu.Unlock()
		png, err := h.fetchPicture(link, w)
		h.mu.Lock()
		if err != nil && p.link != nil && p.link != link {
			continue // the new link may have it
		}
		p.wishes = p.wishes[1:]
		switch {
		case err == nil:
			h.keepPicture(w.avatar, png)
		case p.link == nil:
			delete(h.shelf, w.avatar) // wished for again when there is a link
		default:
			h.log.Debug("a picture can't be shown", "net", p.net, "err", err)
		}
	}
}

func (h *Hub) fetchPicture(link im.Link, w wish) ([]byte, error) {
	if link == nil {
		return nil, ErrFileAway
	}
	ctx, cancel := context.WithTimeout(h.ctx, pictureTime)
	defer cancel()
	r, _, err := link.Open(ctx, w.user, w.ref)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxSource+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSource {
		return nil, errors.New("it is too large")
	}
	png, err := h.portrait(ctx, b)
	if err == nil && len(png) > maxPicture {
		err = fmt.Errorf("small it has %d bytes", len(png))
	}
	return png, err
}

// keepPicture puts a picture on disk and shows it then. The lock is held.
func (h *Hub) keepPicture(name avatar, png []byte) {
	p := &im.Picture{SHA1: sha1.Sum(png), Size: len(png)}
	h.db.Do(store.Soon, func(tx *store.Tx) error {
		kv := tx.KV("", pictureSpace)
		var err error
		if kv.Get(keyOf(p)) == nil {
			err = kv.Put(keyOf(p), png)
		}
		return errors.Join(err, kv.Put(name.key(), binary.BigEndian.AppendUint32(p.SHA1[:], uint32(p.Size))))
	}, func(err error) {
		if h.logged("picture")(err); err != nil {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.shelf[name] = shelved{Picture: p}
		for _, a := range h.accounts {
			for _, c := range a.contacts {
				if c.Net != name.net || c.now.Avatar != name.ref {
					continue
				}
				c.picture = p
				if now := a.sees(c); c.on(FL) && isThere(now) {
					a.deliverPresence(c, now)
				}
			}
		}
	})
}

// tidyPictures forgets those that nobody shows. It looks at every contact, so it is
// not for every wish. The lock is held.
func (h *Hub) tidyPictures() {
	h.tidied = time.Now()
	shown, used := map[avatar]bool{}, map[[sha1.Size]byte]bool{}
	for _, a := range h.accounts {
		for _, c := range a.contacts {
			if c.Net != "" && c.on(FL) {
				shown[avatar{c.Net, c.now.Avatar}] = true
			}
		}
	}
	var drop [][]byte
	for name, s := range h.shelf {
		if s.Picture != nil && shown[name] {
			used[s.SHA1] = true
		}
	}
	for name, s := range h.shelf {
		if shown[name] {
			continue
		}
		delete(h.shelf, name)
		if s.Picture == nil {
			continue
		}
		if drop = append(drop, name.key()); !used[s.SHA1] {
			drop = append(drop, keyOf(s.Picture))
		}
	}
	if len(drop) == 0 {
		return
	}
	h.db.Do(store.Lazy, func(tx *store.Tx) error {
		var err error
		for _, k := range drop {
			err = errors.Join(err, tx.KV("", pictureSpace).Delete(k))
		}
		return err
	}, h.logged("picture"))
}

// guest finds somebody on a network who takes part in the client's conversation. The
// lock is held.
func (s *Seat) guest(who string) *guest {
	if s.chat == nil {
		return nil
	}
	i := slices.IndexFunc(s.chat.guests, func(g *guest) bool {
		return g.c.Net != "" && canonical(g.c.Handle) == canonical(who)
	})
	if i < 0 {
		return nil
	}
	return s.chat.guests[i]
}

// Stands tells whether who takes part in the conversation without a client that
// could answer this one: he is on a network.
func (s *Seat) Stands(who string) bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.guest(who) != nil
}

// Picture is the PNG that who shows, when it has that check sum and he takes part
// in the conversation, else nil.
func (s *Seat) Picture(who string, sum [sha1.Size]byte) (png []byte) {
	h := s.hub
	h.mu.Lock()
	g := s.guest(who)
	var p *im.Picture
	if g != nil {
		p = g.c.picture
	}
	h.mu.Unlock()
	if p == nil || p.SHA1 != sum {
		return nil
	}
	h.db.View(func(tx *store.Tx) error {
		png = bytes.Clone(tx.KV("", pictureSpace).Get(keyOf(p)))
		return nil
	})
	return png
}

// Hear delivers to the client what who, if he Stands in the conversation, says to it
// in its own protocol.
func (s *Seat) Hear(who string, payload []byte) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if g := s.guest(who); g != nil {
		s.sink.Deliver(im.Message{From: g.owner.show(g.c).Addr, Raw: payload}, nil)
	}
}
