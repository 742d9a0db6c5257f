package bridge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"nudge/bridge/im"
)

// maxHandle is the longest address MSNP carries (MSNP.md A.5).
const maxHandle = 129

// handleFor chooses the handle by which the account knows addr (DESIGN.md §4):
// the network's identifier where it reads as an e-mail address, else one made
// from it. Handles are given out once: the caller stores it.
func (a *account) handleFor(addr im.Addr, name string) string {
	if addr.Net == "" {
		if o := a.hub.accounts[addr.ID]; o != nil {
			return o.rec.Handle
		}
		return addr.ID
	}
	want := a.hub.mailShape(addr, name)
	if a.free(want) {
		return want
	}
	if h := want + "." + addr.Net; a.free(h) {
		return h
	}
	sum := sha256.Sum256([]byte(addr.Net + " " + addr.ID))
	short := hex.EncodeToString(sum[:4])
	local, domain, _ := strings.Cut(want, "@")
	if h := local + "." + short + "@" + domain; a.free(h) {
		return h
	}
	return short + "@" + addr.Net + ".invalid"
}

// free says that handle names nobody else and fits.
func (a *account) free(handle string) bool {
	return len(handle) <= maxHandle && validHandle(handle) &&
		a.byHandle(canonical(handle)) == nil && a.hub.accounts[canonical(handle)] == nil
}

// mailShape writes a network identifier as an e-mail address: "@bob:example.org"
// as bob@example.org, a room by its name and server, somebody in an XMPP room,
// room@muc.example.org/bob, as bob.room@muc.example.org. Who has his address on
// another box, carl\40hotmail.com@msn.example.org (XEP-0106) or
// @msn2_carl=40hotmail.com:example.org, has it here too.
func (h *Hub) mailShape(addr im.Addr, name string) string {
	id := addr.ID
	if handle := h.elsewhere(addr.Net, id); handle != "" {
		return handle
	}
	if len(id) > 1 && strings.ContainsRune("@!#", rune(id[0])) {
		local, server, ok := strings.Cut(id[1:], ":")
		server, _, _ = strings.Cut(server, ":") // a port is no part of an e-mail address
		if id[0] != '@' && name != "" {
			local = name
		}
		if !ok && id[0] == '!' { // rooms since version 12
			server, ok = addr.Net+".invalid", true
		}
		if ok {
			return plainLocal(local) + "@" + server
		}
	}
	if local, server, ok := strings.Cut(id, "@"); ok {
		if server, nick, ok := strings.Cut(server, "/"); ok {
			return plainLocal(nick) + "." + plainLocal(local) + "@" + server
		}
		return plainLocal(local) + "@" + server
	}
	return plainLocal(id) + "@" + addr.Net + ".invalid"
}

// spelled is how user names have what is not allowed in them (Matrix, appendices,
// mapping from other character sets).
var spelled = strings.NewReplacer("__", "_", "=40", "@", "=3d", "=", "=2f", "/")

// elsewhere is the address that somebody has on another box that the owner named for
// the gateway to net, "" when it is none. No other may say what its people's addresses
// are elsewhere: it could say anybody's (DESIGN.md §6).
func (h *Hub) elsewhere(net, id string) string {
	p := h.shared[net]
	if p == nil {
		return ""
	}
	for _, box := range im.Words(p.rec.Settings[im.Boxes]) {
		var handle string
		if prefix, server, ok := strings.Cut(box, ":"); ok { // msn2_:example.org
			local, home, _ := strings.Cut(strings.TrimPrefix(id, "@"), ":")
			rest, begins := strings.CutPrefix(local, strings.ToLower(prefix))
			if begins && strings.EqualFold(home, server) {
				handle = spelled.Replace(rest)
			}
		} else if local, server, ok := strings.Cut(id, "@"); ok && strings.EqualFold(box, server) {
			handle = strings.Replace(local, `\40`, "@", 1)
		}
		if user, domain, ok := strings.Cut(handle, "@"); ok {
			if handle = plainLocal(user) + "@" + domain; validHandle(handle) {
				return handle
			}
		}
	}
	return ""
}

// plainLocal keeps what old clients take in front of the @.
func plainLocal(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-+=", r):
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	if b.Len() == 0 {
		return "room"
	}
	return b.String()
}

// validHandle says whether handle has the shape of an e-mail address that every
// client takes.
func validHandle(handle string) bool {
	local, domain, ok := strings.Cut(handle, "@")
	if !ok || local == "" || domain == "" || len(handle) > maxHandle || strings.Contains(domain, "@") {
		return false
	}
	return !strings.ContainsFunc(handle, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>,;"()[]\%`, r) })
}

// findLimit is how long an address may be asked for (DESIGN.md §4).
const findLimit = 5 * time.Second

// resolve finds out who is meant by an address a client typed: somebody on the
// lists, an account of this box, or somebody that one of the links knows.
func (h *Hub) resolve(ctx context.Context, a *account, who string) (im.Addr, string, error) {
	who = strings.TrimSpace(who)
	h.mu.Lock()
	c, o := a.find(who), h.accounts[canonical(who)]
	if c != nil {
		defer h.mu.Unlock()
		return c.addr(), c.Name, nil
	}
	if o != nil {
		defer h.mu.Unlock()
		return o.addr(), o.person().Name, nil
	}
	h.mu.Unlock()
	if !validHandle(who) {
		return im.Addr{}, "", ErrBadHandle
	}
	return h.ask(ctx, a, who)
}

// ask asks the account's links who has an address. ErrNoSuchUser when all of
// them say nobody, ErrNoAnswer when one that might know can't be asked now.
func (h *Hub) ask(ctx context.Context, a *account, who string) (im.Addr, string, error) {
	var links []im.Link
	answer := ErrNoSuchUser
	h.mu.Lock()
	ports := h.portsOf(a)
	slices.SortFunc(ports, func(x, y *port) int { return cmp.Compare(x.net, y.net) })
	for _, p := range ports {
		switch {
		case p.up:
			links = append(links, p.link)
		case h.live || p.user != "":
			answer = ErrNoAnswer
		}
	}
	user := a.addr()
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, findLimit)
	defer cancel()
	type found struct {
		who im.Person
		err error
	}
	answers := make([]chan found, len(links))
	for i, l := range links {
		answers[i] = make(chan found, 1)
		h.wg.Go(func() {
			p, err := l.Find(ctx, user, who)
			answers[i] <- found{p, err}
		})
	}
	for _, f := range answers {
		switch f := <-f; {
		case f.err == nil && f.who.ID != "":
			return f.who.Addr, f.who.Name, nil
		case f.err != nil && !errors.Is(f.err, im.ErrNotFound) && !errors.Is(f.err, im.ErrUnsupported):
			answer = ErrNoAnswer
		}
	}
	return im.Addr{}, "", answer
}
