package matrix

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// page is how many events are asked for at most at a time, and pages how often:
// a server that goes on for ever must not hold the account.
const (
	page  = 1000
	pages = 100
)

// backfill fetches what a limited timeline left out, oldest first: back to
// since or, in a room the account has just entered, back to its invitation, as an
// heir to the room's beginning.
// cut says in words why something is missing, "" when nothing is.
//
// It begins at next, behind the timeline, and goes back further than since: a
// server that pages by depth in the room's graph (Dendrite) leaves out, at the
// edge of a page, all but one of the events that were sent at the same time. For
// the same reason pages are large, and their limit is in the filter as well: that
// server makes 100 of a larger one in the query alone. What comes again here is
// dropped.
func (l *link) backfill(ctx context.Context, r id.RoomID, said evts, next, since string, entered, heir bool) (older evts, cut string, err error) {
	limit := l.number(im.History, 500)
	from, to := next, l.trail.before(since)
	if entered {
		to = "" // the invitation may be older than since, and what was said after it counts
	}
	known := map[id.EventID]bool{}
	for _, e := range said {
		known[e.ID] = true
	}
	for range pages {
		if from == "" {
			break
		}
		var h historyPage
		err = l.retry(ctx, func() error {
			h = historyPage{}
			return l.history(ctx, r, from, to, min(limit+len(said)+1, page), &h)
		})
		if err != nil && (ctx.Err() != nil || passing(err) || tokenRefused(err)) {
			return nil, "", err
		}
		if err != nil {
			l.log.Warn("history refused", "room", r, "err", words(err))
			return older, "the server does not give them (" + words(err) + ")", nil
		}
		for _, e := range h.Chunk {
			if known[e.ID] {
				continue
			}
			if len(older) == limit {
				return older, fmt.Sprintf("there are more than %d", limit), nil
			}
			older = slices.Insert(older, 0, e)
			if entered && !heir && l.began(&e) {
				return older, "", nil
			}
		}
		if h.End == "" || h.End == from {
			break
		}
		from = h.End
	}
	return older, "", nil
}

// began tells whether e is where the account's time in a room began: its
// invitation, or its joining when nothing says that it was invited before.
func (l *link) began(e *evt) bool {
	if e.Type != event.StateMember.Type || e.StateKey == nil || *e.StateKey != string(l.cli.UserID) {
		return false
	}
	now, _ := decode[event.MemberEventContent](e.Content)
	before, known := decode[event.MemberEventContent](e.Unsigned.PrevContent)
	return now.Membership == event.MembershipInvite ||
		known && !before.Membership.IsInviteOrJoin() ||
		!known && e.Unsigned.ReplacesState == ""
}

// history does one GET /rooms/{room}/messages, newest first. Without from it begins
// with the newest.
func (l *link) history(ctx context.Context, r id.RoomID, from, to string, limit int, h *historyPage) error {
	query := map[string]string{"dir": "b", "limit": fmt.Sprint(limit), "filter": fmt.Sprintf(filterHistory, limit)}
	if from != "" {
		query["from"] = from
	}
	if to != "" {
		query["to"] = to
	}
	_, err := l.cli.MakeFullRequest(ctx, mautrix.FullRequest{
		Method:       http.MethodGet,
		URL:          l.cli.BuildURLWithQuery(mautrix.ClientURLPath{"v3", "rooms", r, "messages"}, query),
		ResponseJSON: h,
	})
	return err
}

// cutNotice tells the user that messages before first are missing.
func (l *link) cutNotice(r id.RoomID, first evt, why string) im.Message {
	conv, _ := l.mem.conv(r)
	return im.Message{
		ID: "cut:" + string(first.ID), Conv: conv, From: im.Addr{Net: Name, ID: string(first.Sender)},
		At: time.UnixMilli(first.At), Kind: im.Notice,
		Text: "Earlier messages were left out: " + why + ". They are in other Matrix apps.",
	}
}
