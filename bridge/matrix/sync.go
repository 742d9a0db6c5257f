package matrix

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// pollFor is how long the server may hold a /sync with nothing to say.
const pollFor = 30 * time.Second

// tries is how often a /sync is tried before the link counts as lost.
const tries = 3

// follow is the sync loop. It returns why the link is lost.
func (l *link) follow(ctx context.Context) error {
	since, err := l.position()
	if err != nil {
		return err
	}
	if since != "" {
		l.trail.behind(since, time.Now())
	}
	defer func() {
		if err := l.mem.flush(context.WithoutCancel(ctx), l.kv); err != nil {
			l.log.Debug("last write of what is known of rooms", "err", err)
		}
	}()
	for _, u := range l.host.Unsettled(l.user) {
		if m, ok := u.Event.(im.Message); ok {
			l.track.pend(m.ID, m.Conv)
		}
	}
	since, err = l.catchUp(ctx, since)
	for err == nil {
		since, err = l.next(ctx, since, mautrix.ReqSync{
			Since: since, FilterID: filterFollow, Timeout: int(pollFor.Milliseconds()),
		})
	}
	if tokenRefused(err) {
		return l.sessionEnded(ctx)
	}
	return err
}

// catchUp takes in all that came since the position on disk, and then says
// that the link is up. An account without a position starts with now.
func (l *link) catchUp(ctx context.Context, since string) (string, error) {
	next, err := since, errNoPosition
	state := im.LinkState{Net: Name, State: im.Up, Text: "signed in as " + string(l.cli.UserID)}
	if since != "" {
		l.whoIsOnline(ctx)
		next, err = l.next(ctx, since, mautrix.ReqSync{Since: since, FilterID: filterFollow})
		if status(err) == http.StatusBadRequest {
			l.log.Warn("the server refuses the kept position; starting afresh", "err", words(err))
			state.State, state.Text = im.Degraded, "The Matrix server does not know any more where this box had read up to. "+
				"Messages of the time it was away are only in other Matrix apps."
			err = errNoPosition
		}
	}
	if errors.Is(err, errNoPosition) {
		select {
		case l.net.firstSync <- struct{}{}:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		next, err = l.next(ctx, "", mautrix.ReqSync{FilterID: filterFirst})
		<-l.net.firstSync
	}
	if err == nil {
		next, err = l.awaitEchoes(ctx, next)
	}
	if err != nil {
		return "", err
	}
	return next, l.deliver(ctx, delivery{events: []im.Event{state}})
}

// How long awaitEchoes waits, in pauses: for what nobody answered for, and, from
// the server's last word on, for what it answered to with an internal error. One
// that is shut down in the midst of an event (Dendrite) takes it up again
// half a minute later, and by then has forgotten its transaction id.
const (
	echoSoon = 3
	echoLate = 35
)

// awaitEchoes gives a server that has just come back a moment to work off what
// it had queued: events that a former link sent and that nobody answered for may
// turn up only now, and would else be sent a second time.
func (l *link) awaitEchoes(ctx context.Context, since string) (string, error) {
	began := time.Now()
	for {
		open := l.track.open()
		end := began.Add(echoSoon * l.net.pause)
		if late := l.net.stumbles.latest(open).Add(echoLate * l.net.pause); late.After(end) {
			end = late
		}
		if len(open) == 0 || !time.Now().Before(end) {
			return since, nil
		}
		var err error
		since, err = l.next(ctx, since, mautrix.ReqSync{Since: since, FilterID: filterFollow, Timeout: int(l.net.pause.Milliseconds())})
		if err != nil {
			return "", err
		}
	}
}

var errNoPosition = errors.New("no position")

// position is the mark on disk as a /sync token. A mark of another Matrix
// account counts as none.
func (l *link) position() (string, error) {
	b, err := l.host.Mark(l.user)
	if err != nil {
		return "", err
	}
	who, since, _ := strings.Cut(string(b), " ")
	if who != string(l.cli.UserID) {
		return "", nil
	}
	return since, nil
}

func (l *link) mark(next string) []byte { return []byte(string(l.cli.UserID) + " " + next) }

// overlap is how far the mark stays behind: a server that goes down may answer a
// /sync with half of what there is and the position after all of it. The next
// link asks from before that, and the hub knows what it has seen.
const overlap = 20 * time.Second

// trail is the positions of the last while, oldest first. The sync loop owns it.
type trail []step

type step struct {
	since string
	at    time.Time
}

// behind notes a position and returns the newest that is old enough to go on
// from, or the oldest there is.
func (t *trail) behind(since string, now time.Time) string {
	*t = append(*t, step{since, now})
	for len(*t) > 1 && now.Sub((*t)[1].at) >= overlap {
		*t = (*t)[1:]
	}
	return (*t)[0].since
}

// before is a position some time before since, as far back as the trail goes.
func (t trail) before(since string) string {
	if len(t) > 0 {
		return t[0].since
	}
	return since
}

// next does one /sync and hands over what it brought. It returns the position
// after it.
func (l *link) next(ctx context.Context, since string, req mautrix.ReqSync) (string, error) {
	req.SetPresence = l.saying()
	resp, err := l.polled(ctx, req)
	if err != nil {
		return "", err
	}
	events, err := l.digest(ctx, resp, since)
	if err != nil {
		return "", err
	}
	if err := l.mem.save(ctx, l.kv); err != nil {
		return "", err
	}
	l.mem.complete()
	if len(events) == 0 && resp.NextBatch == since {
		l.poke() // presence that is inferred fades with time
		return since, nil
	}
	mark := l.mark(l.trail.behind(resp.NextBatch, time.Now()))
	return resp.NextBatch, l.deliver(ctx, delivery{events: events, mark: mark})
}

// polled is poll, tried again when the failure may pass. A link that can't
// reach its server for longer is better lost: the hub then answers for us.
func (l *link) polled(ctx context.Context, req mautrix.ReqSync) (*syncResponse, error) {
	for attempt := 0; ; attempt++ {
		resp, err := l.poll(ctx, req)
		wait := waitFor(err, attempt, l.net.pause)
		if err == nil || ctx.Err() != nil || !passing(err) || wait > time.Minute ||
			attempt+1 >= tries && retryAfter(err) == 0 {
			return resp, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// poll does one GET /sync. mautrix's own request type would decode every event
// at once and fail on a single bad one.
func (l *link) poll(ctx context.Context, req mautrix.ReqSync) (*syncResponse, error) {
	var resp syncResponse
	_, err := l.cli.MakeFullRequest(ctx, mautrix.FullRequest{
		Method:       http.MethodGet,
		URL:          l.cli.BuildURLWithQuery(mautrix.ClientURLPath{"v3", "sync"}, req.BuildQuery()),
		ResponseJSON: &resp,
		MaxAttempts:  1,
	})
	if err == nil && resp.NextBatch == "" {
		err = &im.Lost{Class: im.Retry, Text: "The Matrix server gave an answer that makes no sense. The box tries again by itself."}
	}
	return &resp, err
}

// sessionEnded forgets the refused token. With a password the hub may connect
// at once; the same device is used again.
func (l *link) sessionEnded(ctx context.Context) error {
	s, err := loadSession(ctx, l.kv, l.form)
	if err != nil {
		return err
	}
	s.Token = ""
	if err := s.save(ctx, l.kv); err != nil {
		return err
	}
	if l.form["password"] == "" {
		return asLost(mautrix.MUnknownToken)
	}
	return &im.Lost{Class: im.Retry, Text: "The Matrix server has ended this session. The box signs in again with the password."}
}

// digest takes a response into memory and turns it into events, oldest first.
// Without a since nothing in it is new to the user but invitations.
func (l *link) digest(ctx context.Context, resp *syncResponse, since string) ([]im.Event, error) {
	l.mem.accountData(resp.AccountData.Events)
	l.mem.tell(resp.Presence.Events)
	for r := range resp.Rooms.Leave {
		l.mem.left(r)
	}
	var events []im.Event
	for _, r := range slices.Sorted(maps.Keys(resp.Rooms.Invite)) {
		if edit, ok := l.invitation(ctx, r, resp.Rooms.Invite[r]); ok {
			events = append(events, edit)
		}
	}
	for _, r := range byTime(resp.Rooms.Join) {
		j := resp.Rooms.Join[r]
		said, err := l.roomEvents(ctx, r, &j, since, resp.NextBatch)
		if err != nil {
			return nil, err
		}
		events = append(events, said...)
	}
	if since == "" || len(resp.AccountData.Events) > 0 {
		l.lookUpNames(ctx)
	}
	return events, nil
}

// byTime orders rooms by their first event, so that two direct rooms with one
// person come out in the order they were used.
func byTime(rooms map[id.RoomID]joinedRoom) []id.RoomID {
	first := func(r id.RoomID) int64 {
		if es := rooms[r].Timeline.Events; len(es) > 0 {
			return es[0].At
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(rooms), func(a, b id.RoomID) int {
		return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(a, b))
	})
}

// roomEvents is what one room of a response brought. State goes in first, so
// that a room that became encrypted is known as such before anything else.
func (l *link) roomEvents(ctx context.Context, r id.RoomID, j *joinedRoom, since, next string) ([]im.Event, error) {
	for i := range j.State.Events {
		l.mem.change(r, &j.State.Events[i])
	}
	for i := range j.Timeline.Events {
		l.mem.change(r, &j.Timeline.Events[i])
	}
	entered, asked := l.mem.enter(r, j)
	if asked != "" {
		l.errand(ctx, func(ctx context.Context) error { return l.nowDirect(ctx, r, asked) })
	}
	entered = entered && since != ""
	for _, e := range slices.Concat(j.State.Events, j.Timeline.Events) {
		entered = entered || since != "" && l.entering(&e)
	}
	said := j.Timeline.Events
	var events []im.Event
	if j.Timeline.Limited && since != "" {
		older, cut, err := l.backfill(ctx, r, said, next, since, entered)
		if err != nil {
			return nil, err
		}
		said = slices.Concat(older, said)
		if cut != "" && len(said) > 0 {
			events = append(events, l.cutNotice(r, said[0], cut))
		}
	}
	if entered {
		said = l.sinceInvited(said)
	}
	for i := range said {
		if m, ok := l.message(r, &said[i], since == ""); ok {
			events = append(events, m)
		}
	}
	return append(events, l.ephemeral(r, j.Ephemeral.Events)...), nil
}

// entering tells whether e is the account's own joining.
func (l *link) entering(e *evt) bool {
	if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey != string(l.cli.UserID) || e.Unsigned.PrevContent == nil {
		return false
	}
	now, _ := decode[event.MemberEventContent](e.Content)
	before, _ := decode[event.MemberEventContent](e.Unsigned.PrevContent)
	return now.Membership == event.MembershipJoin && before.Membership != event.MembershipJoin
}

// sinceInvited leaves out what was said before the account was invited to a
// room, or before it joined without an invitation.
func (l *link) sinceInvited(said evts) evts {
	from := -1
	for i, e := range said {
		if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey != string(l.cli.UserID) {
			continue
		}
		c, _ := decode[event.MemberEventContent](e.Content)
		if c.Membership == event.MembershipInvite || from < 0 {
			from = i
		}
	}
	return said[max(from, 0):]
}

// message turns a timeline event into a message for the hub, or into the
// receipt of one of ours that came back. old says that it was there before the
// account was linked.
func (l *link) message(r id.RoomID, e *evt, old bool) (im.Event, bool) {
	own := e.Sender == l.cli.UserID
	if e.StateKey == nil && e.Type != event.EventReaction.Type {
		l.mem.spoke(r, e.Sender, e.At)
	}
	if e.Type == event.EventEncrypted.Type {
		l.mem.learn(r, true)
	}
	l.track.saw(e.ID, r, e.Type == event.EventReaction.Type)
	if msg := l.echoOf(e); own && msg != "" {
		l.track.named(msg, e.ID)
		return l.settle(msg)
	}
	if old {
		return nil, false
	}
	conv, with := l.mem.conv(r)
	m, ok := convert(e, scene{me: l.cli.UserID, conv: conv, with: with, name: l.mem.nameOf(e.Sender)})
	if ok && m.Rel.Kind == im.Retract && l.track.reaction(id.EventID(m.Rel.To)) {
		return nil, false // taking back a reaction is not worth a line
	}
	return m, ok
}

// echoOf is the id of the message of this box that e is, "" when e was written
// elsewhere.
func (l *link) echoOf(e *evt) string {
	if e.Unsigned.TransactionID != "" {
		return e.Unsigned.TransactionID
	}
	x, _ := decode[extra](e.Content)
	box, msg, _ := strings.Cut(x.Origin, "/")
	if box != l.box {
		return ""
	}
	return msg
}

// ephemeral is who began and stopped writing in a room.
func (l *link) ephemeral(r id.RoomID, events evts) (out []im.Event) {
	for _, e := range events {
		switch e.Type {
		case event.EphemeralEventReceipt.Type:
			l.mem.read(e.Content)
		case event.EphemeralEventTyping.Type:
			c, _ := decode[event.TypingEventContent](e.Content)
			began, stopped := l.mem.writing(r, c.UserIDs, time.Now())
			conv, _ := l.mem.conv(r)
			for i, u := range slices.Concat(stopped, began) {
				out = append(out, im.Typing{Conv: conv, Who: im.Addr{Net: Name, ID: string(u)}, On: i >= len(stopped)})
			}
		}
	}
	return out
}

// invitation takes in an invitation. Somebody on the contact list is followed
// into the new room without asking; others ask to be added.
func (l *link) invitation(ctx context.Context, r id.RoomID, inv invitedRoom) (im.Event, bool) {
	rm, ok := l.mem.invited(r, inv.State.Events)
	if !ok {
		return nil, false
	}
	who := im.Contact{Person: l.mem.personOf(rm.Inviter), Asked: true, Note: rm.Note}
	if rm.Direct && l.mem.follows(string(rm.Inviter)) {
		l.errand(ctx, func(ctx context.Context) error { return l.joinDirect(ctx, r, rm.Inviter) })
		return nil, false
	}
	if !rm.Direct {
		who.Person = im.Person{Addr: im.Addr{Net: Name, ID: string(r)}, Name: cmp.Or(rm.Name, rm.Alias, "Room of "+rm.Inviter.Localpart())}
		who.Room = true
	}
	return im.ContactEdit{ID: "invite:" + string(r), Op: im.Add, Who: who, Note: rm.Note}, true
}

// lookUpNames fetches the profiles of contacts whose name did not come with
// their rooms.
func (l *link) lookUpNames(ctx context.Context) {
	users := l.mem.nameless()
	if len(users) == 0 {
		return
	}
	l.errand(ctx, func(ctx context.Context) error {
		for _, u := range users {
			p, err := l.cli.GetProfile(ctx, u)
			if err != nil && (passing(err) || ctx.Err() != nil) {
				return err
			}
			if err != nil {
				p = &mautrix.RespUserProfile{} // the server will not tell
			}
			l.mem.profile(u, p.DisplayName, p.AvatarURL)
		}
		l.poke()
		return l.mem.save(ctx, l.kv)
	})
}
