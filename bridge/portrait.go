package bridge

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"

	"nudge/bridge/im"
	"nudge/store"
)

// What an account shows of itself is in its client. Somebody on a network asks the
// client for it in a conversation (MSNP.md D.8); made small it is kept on disk, and
// given to the networks that have no other word for who the account is than the box:
// the gateways. A link to an account of the user's own has the picture that he chose
// there, unless he set that it is to be this one.

// own is the picture of an account as the box has it.
type own struct {
	*im.Picture
	source [sha1.Size]byte // check sum of the client's
}

// Keys of an account's own picture in its pictureSpace: the check sums of the
// client's and the box's with the size of that, and the PNG.
const (
	ownKey    = "own"
	ownPNGKey = "own png"
)

// loadOwn reads whether there is one.
func (a *account) loadOwn(tx *store.Tx) {
	b := tx.KV(a.key, pictureSpace).Get([]byte(ownKey))
	if len(b) != 2*sha1.Size+4 {
		return
	}
	a.own.Picture = &im.Picture{Size: int(binary.BigEndian.Uint32(b[2*sha1.Size:]))}
	copy(a.own.source[:], b)
	copy(a.own.SHA1[:], b[sha1.Size:])
}

// ownPicture is what networks are to be shown of a client that shows what has the
// check sum of promised; nil while the box does not have it.
func (a *account) ownPicture(promised *im.Picture) *im.Picture {
	if promised == nil || a.own.Picture == nil || promised.SHA1 != a.own.source {
		return nil
	}
	return a.own.Picture
}

// Wanted tells whether the box would like to have what the client shows of itself:
// the MSNObject, as the client encoded it, and who in the conversation may ask for it.
func (s *Seat) Wanted() (object, by string, ok bool) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	a, promised := s.acct, s.session.promised
	if h.portrait == nil || s.chat == nil || promised == nil || a.ownPicture(promised) != nil {
		return "", "", false
	}
	for _, g := range s.chat.guests {
		if p := a.port(g.c.Net); g.owner == a && p != nil && p.wears() {
			return s.session.now.Object, g.c.Handle, true
		}
	}
	return "", "", false
}

// wears tells whether a network is given the pictures of accounts. The lock is held.
func (p *port) wears() bool {
	return p.user == "" && !p.builtin() || p.rec.Settings[im.OwnPicture] == "yes"
}

// Wear takes what the client shows of itself, and gives it to the networks.
func (s *Seat) Wear(source []byte) {
	h, a := s.hub, s.acct
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.wg.Go(func() {
		png, err := h.portrait(h.ctx, source)
		if err != nil || len(png) > maxPicture {
			h.log.Debug("the picture of an account can't be shown", "account", a.key, "bytes", len(png), "err", err)
			return
		}
		mine := own{&im.Picture{SHA1: sha1.Sum(png), Size: len(png)}, sha1.Sum(source)}
		record := binary.BigEndian.AppendUint32(append(mine.source[:], mine.SHA1[:]...), uint32(mine.Size))
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.accounts[a.key] != a {
			return // removed meanwhile, with all that was kept of it
		}
		h.db.Do(store.Soon, func(tx *store.Tx) error {
			kv := tx.KV(a.key, pictureSpace)
			if err := kv.Put([]byte(ownKey), record); err != nil {
				return err
			}
			return kv.Put([]byte(ownPNGKey), png)
		}, func(err error) {
			if h.logged("picture")(err); err == nil {
				h.worn(a, mine)
			}
		})
	})
}

// worn shows the networks what an account has on disk now.
func (h *Hub) worn(a *account, mine own) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.own = mine
	for _, s := range a.sessions {
		s.now.Picture = a.ownPicture(s.promised)
	}
	for _, p := range h.portsOf(a) {
		if !p.wears() {
			continue
		}
		p.sendPresence(a.key, im.PresenceChanged{Who: a.person(), Now: a.shown()})
	}
}

// Picture is the PNG that the account shows (im.Host).
func (h *host) Picture(user im.Addr) (png []byte) {
	h.hub.db.View(func(tx *store.Tx) error {
		png = bytes.Clone(tx.KV(canonical(user.ID), pictureSpace).Get([]byte(ownPNGKey)))
		return nil
	})
	return png
}
