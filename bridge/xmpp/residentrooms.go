package xmpp

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// Each account on a component has a lobby of its own. No server keeps bookmarks for
// it: they are on a shelf here. Nor does a server tell rooms that it went.

// newLobby makes the lobby of an account. The lock is held.
func (k *component) newLobby(r *resident) *lobby {
	y := newLobby(k.s, r.jid, &k.mu, &r.memory, k.host.KV(r.user), k.log.With("account", r.user.ID))
	y.from, y.ctx, y.wg, y.wake = r.jid.String(), k.ctx, &k.wg, k.wake
	y.shelf = homeShelf{k.host, r.user}
	y.report = func(settled func(error), events ...im.Event) error {
		b := im.Batch{User: r.user, Events: events}
		k.mu.Lock()
		if y.news {
			b.Mark, y.news = encodeRoomMarks(y.marks), false
		}
		k.mu.Unlock()
		return k.acceptBatch(b, func(err error) {
			if err != nil {
				k.fail(err)
			}
			if settled != nil {
				settled(err)
			}
		})
	}
	return y
}

// encodeRoomMarks writes down how far the archives of rooms are known (im.Batch.Mark).
// It is a list: a link of the account's own, made later, must not take it for the place
// in the account's archive.
func encodeRoomMarks(marks map[string]string) []byte {
	list := [][2]string{}
	for _, bare := range slices.Sorted(maps.Keys(marks)) {
		list = append(list, [2]string{bare, marks[bare]})
	}
	b, _ := json.Marshal(list) // strings always encode
	return b
}

// decodeRoomMarks reads it; what is something else has no marks.
func decodeRoomMarks(b []byte) map[string]string {
	marks := map[string]string{}
	var list [][2]string
	if json.Unmarshal(b, &list) == nil {
		for _, m := range list {
			marks[m[0]] = m[1]
		}
	}
	return marks
}

// loadRooms reads the rooms of an account, how far they are known, and which of its
// messages to them may be there already.
func (k *component) loadRooms(r *resident) error {
	raw, err := k.host.Mark(r.user)
	if err == nil {
		err = r.lobby.load(k.ctx)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	r.lobby.marks = decodeRoomMarks(raw)
	none := len(r.lobby.rooms) == 0
	k.mu.Unlock()
	if none {
		return nil
	}
	for _, u := range k.host.Unsettled(r.user) {
		if m, is := u.Event.(im.Message); is && r.lobby.has(m.Conv) {
			k.mu.Lock()
			r.sends.add(m.ID, m.Conv)
			k.mu.Unlock()
		}
	}
	return nil
}

// enterRooms begins to enter the rooms of those who may be seen, so that what waits for
// rooms waits until they are in.
func (k *component) enterRooms() {
	for acct := range k.host.Accounts() {
		if r, _, ok := k.resident(acct.ID); ok {
			r.lobby.show(acct.Now, time.Time{})
		}
	}
}

// roomChores does what is due in rooms, and returns when to look again, 0 when nothing
// is planned. It need not be exact, and with many accounts something is always due.
func (k *component) roomChores(now time.Time) (next time.Duration) {
	for _, y := range k.lobbies() {
		if due := y.chores(now); due > 0 && (next == 0 || due < next) {
			next = due
		}
	}
	if next > 0 {
		next = max(next, time.Second)
	}
	return next
}

func (k *component) lobbies() (all []*lobby) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.residents {
		all = append(all, r.lobby)
	}
	return all
}

// closeRooms makes that nobody enters a room any more, and leaveRooms tells the rooms
// that everybody is gone.
func (k *component) closeRooms() {
	for _, y := range k.lobbies() {
		y.close()
	}
}

func (k *component) leaveRooms() {
	for _, y := range k.lobbies() {
		y.mu.Lock()
		var seats []stream.JID
		for _, r := range y.rooms {
			seats = append(seats, r.seat())
			r.leave()
		}
		y.mu.Unlock()
		y.sayGone(seats...)
	}
}

// ofRooms takes a message that has to do with rooms; false when it does not.
func (k *component) ofRooms(r *resident, acct im.Account, n *stanza.Node) bool {
	if result := stream.Child(n, nsMAM, "result"); result != nil {
		r.lobby.result(n, result)
		return true
	}
	if v, is := readInvitation(n); is && !k.mayInvite(r, acct, v) {
		k.bounce(n, "service-unavailable")
		return true
	}
	return r.lobby.message(n, func() {})
}

// mayInvite tells whether an account may be asked into a room: by whom it may be written
// to. What a room says of who asks is believed of people of its own server, and of all
// when it is on the component's; of others its server has asked.
func (k *component) mayInvite(r *resident, acct im.Account, v invitation) bool {
	by := v.by.Bare()
	server := home(v.room.Domain)
	if v.mediated && (by.Local == "" || by == v.room || by.Domain != server && by.Domain != v.room.Domain && server != home(k.domain)) {
		by = stream.JID{Domain: server}
	}
	_, shut := acct.OnList(addr(v.room))
	may, blocked := acct.OnList(addr(by))
	return !shut && !blocked && (may || by.Local == "") && k.mayWrite(r, by)
}

// addsRoom tells whether an account adds somebody who is a room. People of the
// component's own server and of other boxes are none.
func (k *component) addsRoom(ctx context.Context, r *resident, j stream.JID) bool {
	k.mu.Lock()
	c := r.contacts[addr(j).ID]
	person := c != nil && (c.listed || c.asked || c.seenBy())
	k.mu.Unlock()
	return !person && j.Domain != home(k.domain) && !k.neighbour(j) && r.lobby.isRoom(ctx, j.Bare())
}

// clear leaves and forgets all rooms, and invitations.
func (y *lobby) clear(ctx context.Context) error {
	y.mu.Lock()
	y.open = false
	rooms, asked := slices.Collect(maps.Keys(y.rooms)), slices.Collect(maps.Keys(y.asked))
	y.mu.Unlock()
	for _, bare := range asked {
		y.answered(bare)
	}
	for _, bare := range rooms {
		if err := y.remove(ctx, bare); err != nil {
			return err
		}
	}
	return nil
}

// homeShelf keeps the rooms of an account on a component in its KV, under roomKey and the
// room's address.
type homeShelf struct {
	host im.Host
	user im.Addr
}

const roomKey = "room/"

// keptRoom is what of a room is on disk.
type keptRoom struct {
	Name     string `json:"name,omitempty"`
	Nick     string `json:"nick,omitempty"`
	Password []byte `json:"password,omitempty"` // sealed
}

func (s homeShelf) fetch(context.Context) (map[stream.JID]bookmark, error) {
	found := map[stream.JID]bookmark{}
	err := s.host.KV(s.user).View(func(tx im.Tx) error {
		for key, value := range tx.Scan([]byte(roomKey)) {
			var k keptRoom
			room, err := stream.ParseJID(strings.TrimPrefix(string(key), roomKey))
			if err != nil || json.Unmarshal(value, &k) != nil {
				continue
			}
			b := bookmark{name: k.Name, nick: k.Nick}
			if len(k.Password) > 0 {
				plain, err := s.host.Unseal(s.user, k.Password)
				if err != nil {
					return err
				}
				b.password = string(plain)
			}
			found[room] = b
		}
		return nil
	})
	return found, err
}

func (s homeShelf) put(_ context.Context, room string, b bookmark) error {
	k := keptRoom{Name: b.name, Nick: b.nick}
	if b.password != "" {
		k.Password = s.host.Seal(s.user, []byte(b.password))
	}
	value, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return s.host.KV(s.user).Update(func(tx im.Tx) error { return tx.Put([]byte(roomKey+room), value) })
}

func (s homeShelf) drop(_ context.Context, room string, _ bookmark) error {
	return s.host.KV(s.user).Update(func(tx im.Tx) error { return tx.Delete([]byte(roomKey + room)) })
}
