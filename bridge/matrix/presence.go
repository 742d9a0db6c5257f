package matrix

import (
	"context"
	"net/http"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// presenceContent is m.presence (client-server API, presence).
type presenceContent struct {
	Presence   event.Presence `json:"presence"`
	LastActive *int64         `json:"last_active_ago"` // ms
	Active     bool           `json:"currently_active"`
	Note       string         `json:"status_msg"`
}

// nothing tells whether this is what a server with presence switched off says
// of everybody.
func (c presenceContent) nothing() bool {
	return c.Presence == event.PresenceOffline && c.LastActive == nil && c.Note == ""
}

// busy is MSC3026's state, which some servers and clients know.
const busy event.Presence = "org.matrix.msc3026.busy"

// idleAfter is when somebody online counts as idle.
const idleAfter = 5 * time.Minute

// The states Matrix has no word for travel as the beginning of the note, so
// that people can read them and another box knows them exactly.
var stateNotes = []struct {
	status im.Status
	text   string
}{
	{im.Busy, "Busy"},
	{im.Idle, "Idle"},
	{im.BeRightBack, "Be right back"},
	{im.Phone, "On the phone"},
	{im.Lunch, "Out to lunch"},
}

const (
	noteJoin  = " · "
	mediaSign = "♫ "
)

// presenceIn is what m.presence means.
func presenceIn(c presenceContent) im.Presence {
	quiet := c.LastActive != nil && time.Duration(*c.LastActive)*time.Millisecond > idleAfter
	p := im.Presence{Note: c.Note}
	switch {
	case c.Presence == busy:
		p.Status = im.Busy
	case c.Presence == event.PresenceOnline && (c.Active || !quiet):
		p.Status = im.Online
	case c.Presence == event.PresenceOnline:
		p.Status, p.Later = im.Idle, true
	case c.Presence == event.PresenceUnavailable:
		p.Status, p.Later = im.Away, true
	default:
		p.Status, p.Later = im.Offline, true
	}
	if c.Presence == event.PresenceUnavailable {
		for _, s := range stateNotes {
			if rest, ok := strings.CutPrefix(p.Note, s.text); ok && (rest == "" || strings.HasPrefix(rest, noteJoin)) {
				p.Status, p.Note = s.status, strings.TrimPrefix(rest, noteJoin)
			}
		}
	}
	if before, media, ok := strings.Cut(p.Note, mediaSign); ok && (before == "" || strings.HasSuffix(before, noteJoin)) {
		p.Note, p.Media = strings.TrimSuffix(before, noteJoin), media
	}
	return p
}

// presenceOut is what to tell the server for p.
func presenceOut(p im.Presence) (event.Presence, string) {
	state := event.PresenceUnavailable
	switch p.Status {
	case im.Offline, im.Hidden:
		return event.PresenceOffline, ""
	case im.Online:
		state = event.PresenceOnline
	}
	var parts []string
	for _, s := range stateNotes {
		if s.status == p.Status {
			parts = append(parts, s.text)
		}
	}
	if p.Note != "" {
		parts = append(parts, p.Note)
	}
	if p.Media != "" {
		parts = append(parts, mediaSign+p.Media)
	}
	return state, im.OneLine(strings.Join(parts, noteJoin))
}

// shows is what a person shows now: what the server tells, and where it tells
// nothing, online while the last sign of life is younger than window, else
// away. mu is held.
func (p *person) shows(now time.Time, window time.Duration) im.Presence {
	show := im.Presence{Status: im.Away, Later: true}
	switch {
	case p.told != nil:
		show = *p.told
	case !p.active.IsZero() && now.Sub(p.active) < window:
		show = im.Presence{Status: im.Online}
	}
	show.Avatar = p.Avatar
	return show
}

// saying is what /sync is to say of the account.
func (l *link) saying() event.Presence {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.presence
}

// show tells the server what the account shows.
func (l *link) show(p im.Presence) {
	state, note := presenceOut(p)
	l.mu.Lock()
	l.presence = state
	l.mu.Unlock()
	l.soon.ask("presence", func(ctx context.Context) error { return l.putPresence(ctx, state, &note) })
}

// putPresence sets the presence; a nil note leaves the old one. The empty note
// has to be sent: servers keep the old one when the field is absent, and
// mautrix leaves it out.
func (l *link) putPresence(ctx context.Context, state event.Presence, note *string) error {
	body := struct {
		Presence event.Presence `json:"presence"`
		Note     *string        `json:"status_msg,omitempty"`
	}{state, note}
	_, err := l.cli.MakeRequest(ctx, http.MethodPut, l.cli.BuildClientURL("v3", "presence", l.cli.UserID, "status"), body, nil)
	return err
}

// typingFor is how long the server shows the account as writing.
const typingFor = 7 * time.Second

// typing says in a conversation that the user is writing.
func (l *link) typing(t im.Typing) {
	if r := l.mem.place(t.Conv); r != "" {
		l.soon.ask("typing "+t.Conv, func(ctx context.Context) error {
			_, err := l.cli.UserTyping(ctx, r, t.On, typingFor)
			return err
		})
	}
}

// markRead says that a contact's message reached the user.
func (l *link) markRead(rc im.Receipt) {
	kind := event.ReceiptTypeRead
	switch l.host.Setting(l.user, "receipts") {
	case "off":
		return
	case "private":
		kind = event.ReceiptTypeReadPrivate
	}
	e := id.EventID(rc.ID)
	r := l.track.roomOf(e)
	if r == "" {
		r = l.mem.place(rc.Conv)
	}
	if r == "" || !strings.HasPrefix(rc.ID, "$") || rc.State != im.Delivered && rc.State != im.Read {
		return
	}
	l.soon.ask("read "+rc.Conv, func(ctx context.Context) error {
		return l.cli.SendReceipt(ctx, r, e, kind, nil)
	})
}
