package xmpp

import (
	"context"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// lobby is what one account has to do with rooms (XEP-0045). A room on its list
// is entered while the account is there for all to see, and left when it hides:
// what was said meanwhile is in the room's archive, read when it enters again.
//
// The stream's reader brings stanzas, in order; a goroutine for each room enters it
// (enter) and ends. mu is the owner's; it is held over neither Send nor report.
type lobby struct {
	s     *stream.Stream
	self  stream.JID // the account, full
	from  string     // on stanzas, "" where the server adds it, and tells rooms who goes
	log   *slog.Logger
	ctx   context.Context
	wg    *sync.WaitGroup
	doors chan struct{} // how many rooms are entered at once
	wake  func()        // makes the owner come to chores

	// report gives events to the hub, with the marks when they may move.
	report func(settled func(error), events ...im.Event) error

	mu    *sync.Mutex
	mem   *memory
	open  bool // rooms are entered
	shows im.Presence
	idle  time.Time
	rooms map[string]*room       // by bare JID
	marks map[string]string      // by bare JID: the newest in the room's archive that is known, "" when that was empty
	news  bool                   // of marks, since they were reported last
	pages map[string]*roomPage   // archive results by query
	asked map[string]*invitation // that wait for an answer
	shelf shelf
	kv    im.KV
	most  func() int // messages of a room's archive that are shown
}

// room is one room on the account's list.
type room struct {
	jid stream.JID // bare
	bookmark
	stage  stage
	called string          // the account's nick in it
	why    string          // the account is not in it
	try    *try            // the last to enter, nil before
	people map[string]bool // by nick
	topic  string
	holds  bool // what is said waits: the archive is read
	held   []held
	life   time.Time
	again  time.Time // when to try again, zero: never
	said   []saying

	unheard []stanza.Message // said by the account, and not by the room yet
	came    time.Time        // when the account came in last
	hasty   int              // how often it came back at once
}

// try is one to enter a room.
type try struct {
	over  chan struct{}  // closed at its end
	reply chan occupancy // the room's
	owed  []string       // what the account said to the room before, and the room has not
}

// stage is how far the account is into a room.
type stage uint8

const (
	outside stage = iota
	entering
	within
)

// roomPage gathers the results of one query of a room's archive.
type roomPage struct {
	room    stream.JID
	results []*stanza.Node
}

// atDoors is how many rooms one account enters at a time.
const atDoors = 3

func newLobby(s *stream.Stream, self stream.JID, mu *sync.Mutex, mem *memory, kv im.KV, log *slog.Logger) *lobby {
	return &lobby{
		s: s, self: self, mu: mu, mem: mem, kv: kv, log: log, doors: make(chan struct{}, atDoors), most: func() int { return roomHistory },
		rooms: map[string]*room{}, marks: map[string]string{}, pages: map[string]*roomPage{}, asked: map[string]*invitation{},
	}
}

// person is the room as a contact.
func (r *room) person() im.Person {
	name := r.name
	if name == "" {
		name = r.jid.Local
	}
	return im.Person{Addr: addr(r.jid), Name: name}
}

// seat is the account's own place in the room.
func (r *room) seat() stream.JID {
	j := r.jid
	j.Resource = r.called
	return j
}

func (r *room) entry() im.Contact { return im.Contact{Person: r.person(), Follows: true, Room: true} }

func (r *room) occupant(nick string) im.Person {
	j := r.jid
	j.Resource = nick
	return im.Person{Addr: im.Addr{Net: Name, ID: j.String()}, Name: nick}
}

// members are all in the room but the account itself.
func (r *room) members() (ps []im.Person) {
	for nick := range r.people {
		if nick != r.called {
			ps = append(ps, r.occupant(nick))
		}
	}
	sort.Slice(ps, func(i, j int) bool { return ps[i].ID < ps[j].ID })
	return ps
}

// state is what the hub is to know of the room as it is.
func (r *room) state() []im.Event {
	p := im.PresenceChanged{Who: r.person(), Now: im.Presence{Status: im.Offline}}
	if r.stage == within {
		p.Now = im.Presence{Status: im.Online, Note: r.topic}
	}
	return []im.Event{r.change(im.Room{Full: true, Members: r.members()}), p}
}

// change is a change of the room, with what does not change.
func (r *room) change(ev im.Room) im.Room {
	who := r.person()
	ev.Conv, ev.Name, ev.Topic, ev.Size = who.ID, who.Name, r.topic, len(r.people)
	return ev
}

// entries are the rooms and invitations for a full roster. The lock is held.
func (y *lobby) entries() (items []im.Contact) {
	for _, r := range y.rooms {
		items = append(items, r.entry())
	}
	for bare, v := range y.asked {
		if y.rooms[bare] == nil {
			items = append(items, v.contact())
		}
	}
	return items
}

func (v *invitation) contact() im.Contact {
	return im.Contact{Person: im.Person{Addr: addr(v.room), Name: v.room.Local}, Asked: true, Room: true, Note: v.note()}
}

// find is the room that a stanza comes from, nil when it is from none.
func (y *lobby) find(n *stanza.Node) (*room, stream.JID) {
	from, err := stream.ParseJID(stream.Attr(n, "from"))
	if err != nil {
		return nil, from
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	r := y.rooms[from.Bare().String()]
	if r != nil && r.stage != outside {
		r.life = time.Now()
	}
	return r, from
}

// presence takes a presence; false when it is not from a room.
func (y *lobby) presence(n *stanza.Node) bool {
	r, from := y.find(n)
	if r == nil {
		return false
	}
	o := readOccupancy(n, from)
	y.mu.Lock()
	if r.stage == entering && (o.err != nil || o.self && !o.gone) {
		if o.err == nil {
			r.called, r.people[o.nick] = o.nick, true
		}
		select {
		case r.try.reply <- o:
		default:
		}
		y.mu.Unlock()
		return true
	}
	events := y.moved(r, o)
	y.mu.Unlock()
	if len(events) > 0 {
		y.report(nil, events...)
	}
	return true
}

// moved notes that somebody came, went or has another name. The lock is held.
func (y *lobby) moved(r *room, o occupancy) (events []im.Event) {
	was := r.people[o.nick]
	switch {
	case r.stage == outside, o.err != nil, o.nick == "":
		return nil
	case o.self && o.gone && o.has("303"):
		delete(r.people, o.nick)
		r.called, r.people[o.newNick] = o.newNick, true
		return nil
	case o.self && o.gone && !was: // of a seat that was given up before this one is taken
		return nil
	case o.self && o.gone:
		return y.thrownOut(r, o)
	case o.gone:
		delete(r.people, o.nick)
		if was && r.stage == within {
			return []im.Event{r.change(im.Room{Left: []im.Person{r.occupant(o.nick)}})}
		}
	case !was:
		r.people[o.nick] = true
		if r.stage == within && !o.self {
			return []im.Event{r.change(im.Room{Joined: []im.Person{r.occupant(o.nick)}})}
		}
	}
	return nil
}

// thrownOut notes that the account is not in a room any more. Whom somebody put out
// stays out; else it comes back. The lock is held.
func (y *lobby) thrownOut(r *room, o occupancy) []im.Event {
	r.leave()
	if !y.open {
		return r.state()
	}
	r.why = o.removal()
	if r.why == "" {
		return y.comesBack(r)
	}
	said := im.Message{
		ID: r.jid.String() + "#out " + time.Now().UTC().Format(time.RFC3339), Conv: addr(r.jid).ID, From: addr(r.jid), Kind: im.Notice, Text: r.why, At: time.Now(),
	}
	return append(append(r.state(), y.unsaid(r)...), said)
}

// leave notes that the account is not in the room. The lock is held.
func (r *room) leave() {
	r.stage, r.people, r.called = outside, map[string]bool{}, ""
}

// message takes a message; false when it has nothing to do with rooms.
func (y *lobby) message(n *stanza.Node, done func()) bool {
	if v, ok := readInvitation(n); ok {
		y.invited(v)
		done()
		return true
	}
	r, from := y.find(n)
	switch {
	case r == nil:
		return false
	case stream.Attr(n, "type") == "error":
		return y.refused(r, n, done)
	}
	if stream.Attr(n, "type") != "groupchat" {
		y.aside(r, from, n, done)
		return true
	}
	y.mu.Lock()
	switch {
	case r.stage == outside:
		y.mu.Unlock()
		done()
		return true
	case r.holds && len(r.held) < maxHeld:
		r.held = append(r.held, held{n, done})
		y.mu.Unlock()
		return true
	}
	y.mu.Unlock()
	y.hear(r, n, done)
	return true
}

// hear acts on what is said to all in a room. done is called when nothing of it can
// be lost.
func (y *lobby) hear(r *room, n *stanza.Node, done func()) {
	h, ok := listener{me: y.self, now: time.Now()}.group(n)
	if !ok {
		done()
		return
	}
	y.mu.Lock()
	h.client = stream.Attr(n, "id")
	events := y.digest(r, n, &h)
	if c := stream.Child(n, stanza.NSClient, "subject"); c != nil && h.msg == nil {
		if topic := im.OneLine(c.Content); r.topic != topic {
			r.topic = topic
			events = append(events, r.change(im.Room{}))
		}
	}
	y.mu.Unlock()
	if len(events) == 0 {
		done()
		return
	}
	y.report(func(err error) {
		if err != nil {
			return
		}
		done()
		y.reached(r, h.archive)
	}, events...)
}

// reached moves the mark of a room to what is on disk now; the next report takes it
// there. Only now, because another room's report may overtake this one's.
func (y *lobby) reached(r *room, id string) {
	if id != "" {
		y.mu.Lock()
		y.marks[r.jid.String()], y.news = id, true
		y.mu.Unlock()
	}
}

// digest turns what was said in a room into events. The lock is held.
func (y *lobby) digest(r *room, n *stanza.Node, h *heard) []im.Event {
	if events, is := y.echo(r, h); is {
		return events
	}
	trusted := r.mayChange(n, h)
	if h.msg != nil && !trusted {
		h.msg.Rel = im.Rel{}
		if h.msg.Text == "" {
			h.msg = nil
		}
	}
	if h.msg != nil && h.device == "" {
		h.msg.From, h.msg.Name = addr(r.jid), "" // the room itself
	}
	events, _ := y.mem.digest(h, y.self.Domain)
	return events
}

// echo is a message of the account that comes back from the room: the room has it,
// or another device of the account said it. The lock is held.
func (y *lobby) echo(r *room, h *heard) (events []im.Event, is bool) {
	conv, mine := addr(r.jid).ID, h.device == r.called
	for _, name := range []string{h.origin, h.client} {
		t := y.mem.sends.of[name]
		if t == nil || t.conv != conv || !mine && !h.late { // it may have had another nick
			continue
		}
		y.mem.refs.add(name, conv, h.ref, false)
		r.heard(name)
		if s := (im.Receipt{ID: name, Conv: conv, State: im.Sent}); y.mem.sends.furthers(s) {
			return []im.Event{s}, true
		}
		return nil, true
	}
	if !mine || h.msg == nil || strings.HasPrefix(h.origin, ownPrefix) || strings.HasPrefix(h.client, ownPrefix) {
		return nil, mine // said by this box before it was started anew
	}
	h.msg.Own, h.msg.From, h.msg.Name = true, im.Addr{}, ""
	return []im.Event{*h.msg}, true
}

// ownPrefix is what names of messages begin with that this box gave.
const ownPrefix = "nudge-"

// aside is what somebody in a room says to the account alone. An answer would go to
// all, so it says so.
func (y *lobby) aside(r *room, from stream.JID, n *stanza.Node, done func()) {
	m := content(n)
	if m == nil || from.Resource == "" {
		done()
		return
	}
	h := heard{peer: from, room: true, ref: stream.Attr(n, "id"), msg: m}
	now := time.Now()
	h.msg.At, h.late = stamp(n, now)
	listener{me: y.self, now: now}.identify(&h, n)
	m.ID, m.Conv, m.From, m.Name, m.Rel = h.id, h.conv(), h.who(), from.Resource, im.Rel{}
	m.Aside = true
	m.Text = "(only to you; what you answer here goes to all) " + m.Text
	y.report(func(err error) {
		if err == nil {
			done()
		}
	}, *m)
}

// result keeps one archive result for the page that asked for it; false when none
// did.
func (y *lobby) result(n, r *stanza.Node) bool {
	from, err := stream.ParseJID(stream.Attr(n, "from"))
	y.mu.Lock()
	defer y.mu.Unlock()
	page := y.pages[stream.Attr(r, "queryid")]
	if page == nil {
		return false
	}
	if err == nil && from == page.room && len(page.results) < maxPage {
		page.results = append(page.results, r)
	}
	return true
}
