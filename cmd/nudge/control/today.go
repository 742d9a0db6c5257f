package control

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Today is what an account missed while it was signed off.
type Today struct {
	User   User     `json:"user"`
	Missed []Missed `json:"missed"` // the newest first
}

// Missed is somebody who wrote meanwhile.
type Missed struct {
	Handle   string    `json:"handle"`
	Name     string    `json:"name"`
	Messages int       `json:"messages"`
	Last     time.Time `json:"last"`
}

// Place is a machine of the home network.
type Place struct {
	Address netip.Addr `json:"address"`
}

// LogLines are the last lines of the box's log, the oldest first.
type LogLines struct {
	Lines []string `json:"lines"`
}

var (
	todayList = call[Place, []Today]{"/today", (*Box).todayList}
	logTail   = call[Done, LogLines]{"/log", (*Box).logTail}
)

// Today tells, for the accounts that are signed in from an address, who wrote
// before they did.
func (cl *Client) Today(ctx context.Context, from netip.Addr) ([]Today, error) {
	return ask(ctx, cl, todayList, Place{from})
}

// Log shows the end of the box's log.
func (cl *Client) Log(ctx context.Context) ([]string, error) {
	l, err := ask(ctx, cl, logTail, Done{})
	return l.Lines, err
}

func (b *Box) todayList(ctx context.Context, p Place) ([]Today, error) {
	users, err := b.userList(ctx, Done{})
	if err != nil {
		return nil, err
	}
	all := []Today{}
	for _, u := range users {
		host, _, _ := net.SplitHostPort(u.Address)
		at, err := netip.ParseAddr(host)
		if err != nil || at.Unmap() != p.Address.Unmap() {
			continue
		}
		t := Today{User: u, Missed: []Missed{}}
		for _, m := range b.Hub.Missed(u.Handle) {
			t.Missed = append(t.Missed, Missed{m.Who.ID, m.Who.Name, m.Messages, b.Hub.In(m.Last)})
		}
		all = append(all, t)
	}
	return all, nil
}

func (b *Box) logTail(context.Context, Done) (LogLines, error) {
	if b.LogTail == nil {
		return LogLines{Lines: []string{}}, nil
	}
	return LogLines{b.LogTail()}, nil
}
