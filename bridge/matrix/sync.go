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
		last := context.WithoutCancel(ctx)
		err := l.mem.flush(last, l.kv)
		if err == nil && l.olm() != nil {
			err = l.olm().Flush(last)
		}
		if err != nil {
			l.log.Debug("last write of what is known of rooms", "err", err)
		}
	}()
	for _, u := range l.host.Unsettled(l.user) {
		if m, ok := u.Event.(im.Message); ok {
			l.track.pend(m)
		}
	}
	if err := l.recover(ctx); err != nil {
		return err
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
	state := im.LinkState{Net: Name, State: im.Up, Text: "signed in as " + string(l.cli.UserID) + l.standing(ctx)}
	if since != "" {
		if err := l.lookAround(ctx); err != nil {
			return "", err
		}
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
		l.mem.formed()
		next, err = l.next(ctx, "", mautrix.ReqSync{FilterID: filterFirst})
		<-l.net.firstSync
	}
	if err == nil {
		next, err = l.awaitEchoes(ctx, next)
	}
	if err != nil {
		return "", err
	}
	if err := l.deliver(ctx, delivery{events: []im.Event{state}}); err != nil || since != "" {
		return next, err
	}
	return next, l.propose(ctx)
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
	late, read, err := l.resolve(ctx)
	if err != nil {
		return "", err
	}
	events = append(events, late...)
	if err := l.keep(ctx); err != nil {
		return "", err
	}
	l.mem.complete()
	if len(events) == 0 && resp.NextBatch == since {
		l.poke() // presence that is inferred fades with time
		return since, nil
	}
	mark := l.mark(l.trail.behind(resp.NextBatch, time.Now()))
	return resp.NextBatch, l.deliver(ctx, delivery{events: events, mark: mark, read: read})
}

// keep puts on disk what must not be behind the position.
func (l *link) keep(ctx context.Context) error {
	if err := l.mem.save(ctx, l.kv); err != nil || l.olm() == nil {
		return err
	}
	return l.olm().Flush(ctx)
}

// polled is syncOnce, tried again when the failure may pass. A link that can't
// reach its server for longer is better lost: the hub then answers for us.
func (l *link) polled(ctx context.Context, req mautrix.ReqSync) (*syncResponse, error) {
	for attempt := 0; ; attempt++ {
		resp, err := syncOnce(ctx, l.cli, req)
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

// syncOnce does one GET /sync. mautrix's own request type would decode every event
// at once and fail on a single bad one.
func syncOnce(ctx context.Context, cli *mautrix.Client, req mautrix.ReqSync) (*syncResponse, error) {
	var resp syncResponse
	_, err := cli.MakeFullRequest(ctx, mautrix.FullRequest{
		Method:       http.MethodGet,
		URL:          cli.BuildURLWithQuery(mautrix.ClientURLPath{"v3", "sync"}, req.BuildQuery()),
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
	if err := l.door.held.end(ctx); err != nil {
		return err
	}
	switch {
	case l.form["password"] != "":
		return &im.Lost{Class: im.Retry, Text: "The Matrix server has ended this session. The box signs in again with the password."}
	case l.form["token"] != "":
		return asLost(mautrix.MUnknownToken)
	}
	return &im.Lost{Class: im.Credentials, Text: "The Matrix server has ended this box's session. Link the account again to sign in anew; nothing that waits is lost."}
}

// digest takes a response into memory and turns it into events, oldest first.
// Without a since nothing in it is new to the user but invitations.
func (l *link) digest(ctx context.Context, resp *syncResponse, since string) ([]im.Event, error) {
	var events []im.Event
	for _, u := range l.mem.accountData(resp.AccountData.Events) {
		who := im.Contact{Person: l.mem.personOf(u)}
		events = append(events, im.ContactEdit{ID: "heard:" + string(u), Op: im.Unblock, Who: who})
	}
	l.mem.tell(resp.Presence.Events)
	if err := l.receiveKeys(ctx, resp, since); err != nil {
		return nil, err
	}
	for _, r := range slices.Sorted(maps.Keys(resp.Rooms.Leave)) {
		last, err := l.lastWords(ctx, r, resp.Rooms.Leave[r], since, resp.NextBatch)
		if err != nil {
			return nil, err
		}
		events = append(events, last...)
		l.mem.left(r)
	}
	for r, j := range resp.Rooms.Join { // a room and the one that it goes on in may come in any order
		for i := range j.Timeline.Events {
			if e := &j.Timeline.Events[i]; e.Type == event.StateTombstone.Type {
				l.mem.change(r, e)
			}
		}
	}
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
	l.lookUpMembers(ctx)
	return events, nil
}

// invitation takes in an invitation. Somebody on the contact list is followed
// into the new room without asking; others ask to be added.
func (l *link) invitation(ctx context.Context, r id.RoomID, inv invitedRoom) (im.Event, bool) {
	rm, ok := l.mem.invited(r, inv.State.Events)
	if !ok {
		return nil, false
	}
	who := im.Contact{Person: l.mem.personOf(rm.Inviter), Asked: true, Note: rm.Note}
	if l.mem.ignores(rm.Inviter) {
		return nil, false
	}
	if l.mem.awaited(r) {
		l.errand(ctx, func(ctx context.Context) error { return l.join(ctx, r) })
		return nil, false
	}
	if rm.Direct && l.mem.follows(string(rm.Inviter)) {
		l.errand(ctx, func(ctx context.Context) error { return l.joinDirect(ctx, r, rm.Inviter) })
		return nil, false
	}
	if !rm.Direct {
		who.Note = l.mem.requestFor(&rm)
		who.Person = im.Person{Addr: im.Addr{Net: Name, ID: string(r)}, Name: cmp.Or(rm.Name, rm.Alias, "Room of "+rm.Inviter.Localpart())}
		who.Room = true
	}
	return im.ContactEdit{ID: "invite:" + string(r), Op: im.Add, Who: who, Note: who.Note}, true
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
