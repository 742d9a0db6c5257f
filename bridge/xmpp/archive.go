package xmpp

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

const (
	nsMAM  = "urn:xmpp:mam:2"
	nsRSM  = "http://jabber.org/protocol/rsm"
	nsForm = "jabber:x:data"
)

// Reading the archive starts a little before the mark, by so many ids and by so
// much of the server's time: live messages come not quite in archive order.
const (
	overlap     = 40
	overlapTime = time.Minute
	pageSize    = 50
	maxPage     = 1000 // results kept of one page, whatever the server sends
)

// mark is the position in the archive; its bytes are im.Batch.Mark.
type mark struct {
	ID     string    `json:"id"`              // the newest known, "" when the archive was empty
	Stamp  time.Time `json:"at"`              // not later than any message that is not known; the server's clock
	Recent []string  `json:"recent"`          // the last that came, oldest first
	First  string    `json:"first,omitempty"` // where the first mark was made, until Recent is full
	valid  bool

	Rooms map[string]string `json:"rooms,omitempty"` // the newest known in the archive of each room, by its bare JID
}

func decodeMark(b []byte) (m mark) {
	if len(b) > 0 && json.Unmarshal(b, &m) == nil {
		m.valid = true
	}
	return m
}

func (m *mark) encode() []byte {
	b, _ := json.Marshal(m) // strings and a time always encode
	return b
}

func (m *mark) has(id string) bool { return slices.Contains(m.Recent, id) }

// advance moves the mark to id. at is the server's time of it, zero when
// unknown.
func (m *mark) advance(id string, at time.Time) {
	if at.After(m.Stamp) {
		m.Stamp = at
	}
	if m.has(id) {
		return
	}
	m.ID = id
	m.Recent = append(m.Recent, id)
	if extra := len(m.Recent) - overlap; extra > 0 {
		m.Recent = slices.Delete(m.Recent, 0, extra)
		m.First = ""
	}
}

// from is where reading starts to find everything behind m.
func (m *mark) from() archiveQuery {
	q := archiveQuery{after: m.First}
	if m.First == "" && len(m.Recent) > 0 {
		q.after = m.Recent[0]
	}
	if !m.Stamp.IsZero() {
		q.start = m.Stamp.Add(-overlapTime)
	}
	return q
}

// archiveQuery asks for one page (XEP-0313 §4.1, XEP-0059). Both after and
// start: one server refuses an id that it no longer has, another then answers
// from the beginning.
type archiveQuery struct {
	after  string
	start  time.Time
	newest bool // only the last size messages
	size   int  // 0: pageSize
}

func (q archiveQuery) iq(id string) *stanza.IQ {
	p := element(nsMAM, "query", "queryid", id)
	field := func(name, typ, value string) stanza.Node {
		f := element(nsForm, "field", "var", name)
		if typ != "" {
			f = element(nsForm, "field", "var", name, "type", typ)
		}
		f.Nodes = []stanza.Node{words(nsForm, "value", value)}
		return f
	}
	form := element(nsForm, "x", "type", "submit")
	form.Nodes = []stanza.Node{field("FORM_TYPE", "hidden", nsMAM)}
	if !q.start.IsZero() {
		form.Nodes = append(form.Nodes, field("start", "", q.start.UTC().Format("2006-01-02T15:04:05Z")))
	}
	var at stanza.Node
	switch {
	case q.newest:
		at = element(nsRSM, "before")
	case q.after != "":
		at = words(nsRSM, "after", q.after)
	}
	set := element(nsRSM, "set")
	set.Nodes = []stanza.Node{words(nsRSM, "max", strconv.Itoa(cmp.Or(q.size, pageSize)))}
	if at.XMLName.Local != "" {
		set.Nodes = append(set.Nodes, at)
	}
	p.Nodes = []stanza.Node{form, set}
	return query(stanza.IQTypeSet, "", p)
}

// page asks for one page and returns its results in archive order.
func (l *link) page(q archiveQuery) (results []*stanza.Node, last string, complete bool, err error) {
	id := rand.Text()
	l.mu.Lock()
	l.pages[id] = []*stanza.Node{}
	l.mu.Unlock()
	n, err := l.ask(q.iq(id))
	l.mu.Lock()
	results = l.pages[id]
	delete(l.pages, id)
	l.mu.Unlock()
	if err != nil {
		return nil, "", false, err
	}
	fin := stream.Child(n, nsMAM, "fin")
	last = stream.Text(stream.Child(fin, nsRSM, "set"), nsRSM, "last")
	if last == "" && len(results) > 0 {
		last = stream.Attr(results[len(results)-1], "id")
	}
	return results, last, stream.Attr(fin, "complete") == "true" || last == "" || len(results) == 0, nil
}

// result keeps one archive result for the page that asked for it. Only our own
// server may answer.
func (l *link) result(n, r *stanza.Node) {
	if from, err := stream.ParseJID(stream.Attr(n, "from")); stream.Attr(n, "from") != "" && (err != nil || from != l.me.Bare()) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id := stream.Attr(r, "queryid")
	if page, asked := l.pages[id]; asked && len(page) < maxPage {
		l.pages[id] = append(page, r)
	}
}

// catchUp reads the archive from the mark to its end, moves the mark and lets
// the live messages through. The first time on a link it also looks for the
// echo of what a former link had sent.
func (l *link) catchUp(first bool) error {
	l.mu.Lock()
	l.catching = true
	l.mu.Unlock()
	if l.has.archive {
		if err := l.readArchive(first); err != nil {
			return err
		}
	} else if first {
		l.trackUnsettled()
	}
	l.release()
	return nil
}

func (l *link) readArchive(first bool) error {
	var open map[string]string // unsettled messages and whom they are for
	var oldest *im.Unsettled
	if first {
		open, oldest = l.trackUnsettled()
	}
	if !l.mark.valid && oldest == nil {
		return l.firstMark()
	}
	before := l.mark.ID
	from := l.mark.from()
	if oldest != nil {
		from = l.mark.fromEcho(oldest)
	}
	for {
		results, last, complete, err := l.page(from)
		var no *stream.StanzaError
		switch {
		case errors.As(err, &no) && no.Condition == "item-not-found" && from.after != "":
			from.after = ""
			continue
		case err != nil:
			return err
		}
		if err := l.takePage(results, open); err != nil {
			return err
		}
		if complete || last == from.after {
			break
		}
		from.after = last
	}
	if !l.mark.valid {
		return l.firstMark()
	}
	if l.mark.ID == before && !first {
		return nil
	}
	l.mu.Lock()
	b := l.mark.encode()
	l.mu.Unlock()
	return l.acceptBatch(im.Batch{User: l.user, Mark: b}, nil)
}

// loadMark reads where a former link was.
func (l *link) loadMark() error {
	raw, err := l.host.Mark(l.user)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mark = decodeMark(raw)
	if l.mark.Rooms == nil {
		l.mark.Rooms = map[string]string{}
	}
	l.lobby.marks = l.mark.Rooms
	return nil
}

// firstMark begins with what the archive has now: older messages are history.
// The newest does not count as one that came: it may have waited for this
// account at the server, and then comes now.
func (l *link) firstMark() error {
	results, _, _, err := l.page(archiveQuery{newest: true, size: 1})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.mark.valid = true
	for _, r := range results {
		at, _ := stamp(stream.Child(r, nsForward, "forwarded"), time.Now())
		l.mark.ID, l.mark.First, l.mark.Stamp = stream.Attr(r, "id"), stream.Attr(r, "id"), at
	}
	b := l.mark.encode()
	l.mu.Unlock()
	return l.acceptBatch(im.Batch{User: l.user, Mark: b}, nil)
}

// noMark is how far back the echo of a message is sought that was handed over
// before there was a mark: our clock and the server's may differ.
const noMark = time.Hour

// fromEcho is where reading must start to find the echo of u as well as
// everything behind m: where the mark was when u was handed over. Inbound
// messages have moved it past that since.
func (m *mark) fromEcho(u *im.Unsettled) archiveQuery {
	if older := decodeMark(u.Mark); older.valid {
		return older.from()
	}
	sent, _ := u.Event.(im.Message)
	start := sent.At.Add(-noMark)
	switch {
	case sent.At.IsZero(), m.valid && m.Stamp.IsZero():
		return archiveQuery{}
	case m.valid && m.Stamp.Add(-overlapTime).Before(start):
		return m.from()
	}
	return archiveQuery{start: start}
}

// trackUnsettled lists the messages that a former link may have sent, and the
// oldest of them, nil when there are none.
func (l *link) trackUnsettled() (open map[string]string, oldest *im.Unsettled) {
	open = map[string]string{}
	for _, u := range l.host.Unsettled(l.user) {
		m, is := u.Event.(im.Message)
		if !is {
			continue
		}
		if oldest == nil {
			oldest = &u
		}
		open[m.ID] = m.Conv
		l.mu.Lock()
		l.sends.add(m.ID, m.Conv)
		l.mu.Unlock()
	}
	return open, oldest
}

// takePage reports one page. Own messages of this resource are those that this
// box sent: they only settle. The mark moves in memory; it is given to the hub
// when everything was read.
func (l *link) takePage(results []*stanza.Node, open map[string]string) error {
	var events []im.Event
	var confirm []confirmation
	var invited []invitation
	lis := l.listener()
	l.mu.Lock()
	for _, r := range results {
		id := stream.Attr(r, "id")
		at, known := stamp(stream.Child(r, nsForward, "forwarded"), lis.now)
		if !known {
			at = time.Time{}
		}
		h, ok := lis.archived(r)
		v, invites := readInvitation(stream.Child(stream.Child(r, nsForward, "forwarded"), stanza.NSClient, "message"))
		switch {
		case invites && l.mark.valid && !l.mark.has(id):
			invited = append(invited, v)
		case !ok:
		case h.own && h.device == l.me.Resource:
			for _, name := range []string{h.origin, h.ref} {
				if conv, is := open[name]; is && conv == h.conv() {
					delete(open, name)
					if s := (im.Receipt{ID: name, Conv: conv, State: im.Sent}); l.sends.furthers(s) {
						events = append(events, s)
					}
				}
			}
			l.refs.add(id, h.conv(), h.ref, false)
		case !l.mark.valid: // history
		case !l.mark.has(id):
			evs, to := l.digest(&h)
			events = append(events, evs...)
			if to.ref != "" {
				confirm = append(confirm, to)
			}
		default: // it came over a former link: what relates to it must know its name
			l.refs.add(h.id, h.conv(), h.ref, h.mark)
		}
		if id != "" && l.mark.valid {
			l.mark.advance(id, at)
		}
	}
	l.mu.Unlock()
	for _, v := range invited {
		l.lobby.invited(v)
	}
	if len(events) == 0 {
		return nil
	}
	return l.accept(func(err error) {
		if err != nil {
			l.fail(err)
			return
		}
		for _, to := range confirm {
			l.confirm(to)
		}
	}, events...)
}

// release lets the messages through that came live while the archive was read,
// and lets live messages move the mark, unless more may come only by the
// archive.
func (l *link) release() {
	l.mu.Lock()
	l.moves = l.has.archive && l.shown.mode != away
	for len(l.held) > 0 {
		waiting := l.held
		l.held = nil
		l.mu.Unlock()
		for _, h := range waiting {
			l.hear(h.n, h.done)
		}
		l.mu.Lock()
	}
	l.catching = false
	l.mu.Unlock()
}
